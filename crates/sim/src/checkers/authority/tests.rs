//! A ledger in miniature with the real rules is believed; whatever is altered in it is seen: an act that the rules forbid and that was
//! taken all the same, an outcome that names other policies, a vote that was not cast, a row that nobody was permitted to write.

use super::{policies::TWO_HANDS, *};
use crate::members::{Member, Members};
use tallystick_ledger::{
    AgendaRow, BlockContext, CountersRow, KeyRow, LimitsRow, MandateRow, Missing, OrganisationRow, PolicyRow,
    PolicySetRow, ScheduleRow, View, apply, begin_block,
    limit::SetLimit,
    x509::{Certificate, Wording, issue, issue_authority},
};
use tallystick_protocol::{
    Assurance, AuthorityTerms, Change, ChangeKind, Choice, Code, Cosigner, Datatype, Decision, EntryKind, Field,
    GenesisPrincipal, Intent, LimitName, NewEntry, Operation, Outcome, Particulars, PolicyChange, PolicyText,
    PrincipalId, ProposalRow, RegisterRow, RuleText, RulebookChange, SignedTransaction, SigningKey, Subject,
    VoteWeight, Weight, cbor,
};

/// When it begins: Unix seconds.
const START_S: u64 = 1_000_000;

#[derive(Clone)]
struct Ledger {
    members: Members,
    log: Vec<LogEntry>,
    rows: Rows,
    height: u64,
    time_ms: u64,
}

impl Ledger {
    fn new() -> Self {
        let members = Members::new(7, 4, 0, START_S * 1_000);
        let mut view = View::new();
        tallystick_ledger::genesis(&mut view, &members.genesis);
        let mut rows: Rows = view.changes().into_iter().filter_map(|(key, row)| Some((key, row?))).collect();
        rows.insert(StateKey::log(), Vec::new());
        Self { members, log: Vec::new(), rows, height: 0, time_ms: START_S * 1_000 }
    }

    fn administrator(&self, organisation: usize) -> Member {
        self.members.principals[organisation][0].clone()
    }

    fn registrar(&self, organisation: usize) -> Member {
        self.members.principals[organisation][1].clone()
    }

    /// Begins a block, and does in it what is done.
    fn block<T>(&mut self, mut work: impl FnMut(&mut View, &BlockContext) -> Result<T, Missing>) -> T {
        self.height += 1;
        self.time_ms += 1_000;
        let (network, log_size) = (self.members.genesis.id(), self.log.len() as u64);
        let context = BlockContext { network, height: self.height, time_ms: self.time_ms, log_size };
        let (mut view, mut begun) = (View::new(), false);
        let done = loop {
            let step = if begun {
                work(&mut view, &context).map(Some)
            } else {
                begin_block(&mut view, &context).map(|_| None)
            };
            match step {
                Ok(Some(done)) => break done,
                Ok(None) => begun = true,
                Err(Missing(keys)) => keys.iter().for_each(|key| view.insert(*key, self.rows.get(key).cloned())),
            }
        };
        self.rows.extend(view.changes().into_iter().filter_map(|(key, row)| Some((key, row?))));
        done
    }

    fn sign(&self, signers: &[&Member], mandate: Option<&str>, operation: Operation) -> SignedTransaction {
        let [first, others @ ..] = signers else { panic!("nobody signs") };
        let cosigner = |member: &&Member| Cosigner { principal: member.id.clone(), key: member.key.public() };
        let intent = Intent {
            not_after: self.time_ms / 1_000 + 60,
            idempotency_key: (self.log.len() as u64).to_be_bytes().to_vec(),
            mandate: mandate.map(|id| id.parse().unwrap()),
            cosigners: others.iter().map(cosigner).collect(),
            ..Intent::new(self.members.genesis.id(), first.id.clone(), "simulation", vec![operation])
        };
        let begun = intent.begin(&first.key).unwrap();
        others.iter().fold(begun, |begun, member| begun.cosign(&member.key).unwrap()).complete().unwrap()
    }

    fn record(&mut self, transaction: &SignedTransaction, outcome: Outcome) {
        let (height, time_ms) = (self.height, self.time_ms);
        self.log.push(LogEntry { transaction: transaction.bytes().clone(), height, time_ms, outcome });
    }

    /// As the ledger judges it.
    fn judge(&mut self, signers: &[&Member], mandate: Option<&str>, operation: Operation) -> Outcome {
        let leaf = self.log.len() as u64;
        let transaction = self.sign(signers, mandate, operation);
        let verified = transaction.clone().verify().unwrap();
        let outcome = self.block(|view, context| apply(view, context, &verified, leaf));
        self.record(&transaction, outcome.clone());
        outcome
    }

    fn act(&mut self, member: &Member, operation: Operation) {
        let outcome = self.judge(&[member], None, operation);
        assert!(outcome.is_accepted(), "{outcome:?}");
    }

    /// As a ledger would that had forgotten its rules: it takes the act and changes nothing.
    fn take(&mut self, signers: &[&Member], mandate: Option<&str>, operation: Operation) {
        let transaction = self.sign(signers, mandate, operation);
        self.block(|_, _| Ok(()));
        let decision =
            Decision { version: 1, determining: vec!["own-mandates".parse().unwrap()], ..Decision::default() };
        self.record(&transaction, Outcome::Accepted { appended: Vec::new(), decision });
    }

    fn propose(&mut self, organisation: usize, proposal: &str, changes: Vec<Change>) {
        let (proposal, title) = (proposal.to_owned(), "A change".to_owned());
        let text = RuleText::Whole("As decided.".to_owned());
        let submit = Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None };
        self.act(&self.administrator(organisation), submit);
    }

    fn vote(&mut self, proposal: &str, voters: &[usize]) {
        for voter in voters {
            self.act(&self.administrator(*voter), ballot(proposal, Choice::Yes));
        }
    }

    /// Has a change decided, and waits until it is in effect.
    fn decide(&mut self, proposal: &str, changes: Vec<Change>) {
        self.propose(0, proposal, changes);
        self.vote(proposal, &[0, 1, 2]);
        self.wait();
    }

    fn wait(&mut self) {
        (0..11).for_each(|_| self.block(|_, _| Ok(())));
    }

    fn verdict(&self) -> Result<(), String> {
        check(0, (&self.members.genesis, &[]), &self.log, &self.rows).map_err(|broken| broken.detail)
    }

    /// One in which a little of everything has happened.
    fn busy() -> Self {
        let mut ledger = Self::new();
        let (administrator, registrar) = (ledger.administrator(0), ledger.registrar(0));
        let key = registrar.key.public();
        ledger.act(&administrator, create("things"));
        ledger.act(&registrar, append("things", "a"));
        ledger.act(&administrator, Operation::enrol("newcomer", Roles::registrar(), new_key(1)));
        ledger.act(&registrar, append("things", "a-2"));
        ledger.act(&registrar, grant("cover", &ledger.registrar(1), START_S + 100_000));
        ledger.act(&registrar, grant("brief", &ledger.registrar(1), START_S + 20));
        ledger.act(&registrar, Operation::MandateRevoke { mandate: mandate("cover") });
        ledger.act(&registrar, rotate(&registrar.id, &key, &new_key(2)));
        ledger.decide("limits", vec![limit(100)]);
        ledger.decide("hands", vec![Change::Policies { put: vec![two_hands()], remove: Vec::new() }]);
        let outcome = ledger.judge(&[&administrator, &ledger.administrator(1)], None, contact());
        assert!(outcome.is_accepted(), "{outcome:?}");
        ledger.propose(0, "later", vec![admission("newcomers", new_key(3))]);
        ledger.vote("later", &[0]);
        ledger
    }
}

fn new_key(seed: u8) -> PublicKey {
    SigningKey::from_ed25519_seed(&[seed; 32]).public()
}

fn mandate(name: &str) -> MandateId {
    format!("organisation-0/registrar-1/{name}").parse().unwrap()
}

fn create(register: &str) -> Operation {
    let field = Field::new(register, Datatype::String);
    Operation::RegisterCreate { register: register.to_owned(), text: "Things".to_owned(), fields: vec![field] }
}

fn append(register: &str, key: &str) -> Operation {
    let items = vec![format!(r#"{{"{register}":"{key}"}}"#)];
    Operation::EntryAppend { register: register.to_owned(), entries: vec![NewEntry { key: key.to_owned(), items }] }
}

fn rotate(principal: &PrincipalId, old: &PublicKey, new: &PublicKey) -> Operation {
    Operation::KeyRotate { principal: principal.clone(), old: *old, new: *new, overlap: 0 }
}

fn grant(name: &str, agent: &Member, until: u64) -> Operation {
    let terms = MandateTerms {
        agents: vec![agent.id.clone()],
        actions: vec!["entry-append".to_owned()],
        resources: vec!["register:things".to_owned()],
        purpose: "Holidays.".to_owned(),
        from: START_S,
        until,
        depth: 0,
        concur: 1,
        parent: None,
    };
    Operation::MandateGrant { name: name.to_owned(), terms }
}

fn contact() -> Operation {
    Operation::OrganisationContact { contact: Some("Room 1".to_owned()) }
}

fn ballot(proposal: &str, choice: Choice) -> Operation {
    Operation::BallotCast { proposal: proposal.to_owned(), choice }
}

fn limit(value: u64) -> Change {
    Change::Limit { limit: LimitName::Registers, value }
}

fn two_hands() -> PolicyText {
    PolicyText { id: "two-hands".parse().unwrap(), text: TWO_HANDS.to_owned() }
}

fn admission(id: &str, key: PublicKey) -> Change {
    let organisation = GenesisOrganisation {
        id: id.to_owned(),
        name: "Newcomers".to_owned(),
        particulars: Particulars::default(),
        principals: vec![GenesisPrincipal::person("administrator", Roles::administrator(), key)],
    };
    Change::OrganisationAdmit { organisation }
}

#[test]
fn a_ledger_that_keeps_its_rules_is_believed() {
    assert_eq!(Ledger::new().verdict(), Ok(()));
    let mut ledger = Ledger::busy();
    assert_eq!(ledger.verdict(), Ok(()));
    let stranger = ledger.registrar(1);
    let outcome = ledger.judge(&[&stranger], None, append("things", "b"));
    assert!(matches!(&outcome, Outcome::Refused(refusal) if refusal.code == Code::NotPermitted), "{outcome:?}");
    assert_eq!(ledger.verdict(), Ok(()));
}

/// Each act is one that the rules forbid, taken all the same.
#[test]
fn a_rule_forgotten_is_seen() {
    let ledger = Ledger::busy();
    let [one, other] = [0, 1].map(|organisation| ledger.administrator(organisation));
    let [registrar, stranger] = [0, 1].map(|organisation| ledger.registrar(organisation));
    let key = one.key.public();
    let table: Vec<(&Member, Option<&str>, Operation, &str)> = vec![
        (&stranger, None, append("things", "b"), "no rule permits entry-append"),
        (&other, None, append("things", "b"), "no rule permits entry-append"),
        (&stranger, None, create("others"), "no rule permits register-create"),
        (
            &stranger,
            None,
            Operation::enrol("friend", Roles::registrar(), new_key(9)),
            "no rule permits principal-enrol",
        ),
        (&other, None, rotate(&one.id, &key, &new_key(9)), "no rule permits key-rotate"),
        (&one, None, append("nowhere", "b"), "no rule permits anything to nowhere"),
        // A policy forbids it to one hand.
        (&one, None, contact(), "no rule permits organisation-contact"),
        // Its key was replaced.
        (&registrar, None, append("things", "b"), "does not hold the key that signed"),
        // Mandates that were revoked, and that have ended; and one that is for others.
        (&stranger, Some("organisation-0/registrar-1/cover"), append("things", "b"), "which is not in force"),
        (&stranger, Some("organisation-0/registrar-1/brief"), append("things", "b"), "words do not allow it"),
        (&other, Some("organisation-0/registrar-1/brief"), append("things", "b"), "words do not allow it"),
        // A key that is kept for another, and one that another has.
        (&other, None, Operation::enrol("thief", Roles::registrar(), new_key(3)), "that is newcomers/administrator's"),
        (&other, None, Operation::enrol("thief", Roles::registrar(), new_key(1)), "that is organisation-0/newcomer's"),
        // Votes: cast twice, and on what is decided; a proposal of another's that is taken back; and one by a name that was used.
        (&one, None, ballot("later", Choice::Yes), "has no vote on it now"),
        (&other, None, ballot("limits", Choice::Yes), "has no vote on it now"),
        (&other, None, Operation::ProposalWithdraw { proposal: "later".to_owned() }, "took later back"),
        (
            &other,
            None,
            Operation::ProposalObject { proposal: "limits".to_owned(), reason: "No.".to_owned() },
            "objected to limits",
        ),
    ];
    for (who, mandate, operation, told) in table {
        let mut ledger = ledger.clone();
        ledger.take(&[who], mandate, operation.clone());
        let verdict = ledger.verdict().unwrap_err();
        assert!(verdict.contains(told), "{operation:?}: {verdict}");
    }
}

/// What a mandate must name for a hold to be lifted is what it must name for it to be placed, whoever lifts it.
#[test]
fn a_hold_is_lifted_as_it_is_placed() {
    let ledger = Ledger::new();
    let mut network = Network::new(&ledger.members.genesis);
    let place = Operation::HoldPlace {
        hold: "h-1".to_owned(),
        controller: "organisation-0".to_owned(),
        subject: Subject::new("people", "p-1").unwrap(),
        authority: "A court".to_owned(),
        reason: "Evidence".to_owned(),
        until: None,
    };
    network.follow_erasures(&ledger.administrator(0).id, START_S * 1_000, &place).unwrap();
    let lift = |hold: &str| Operation::HoldLift { hold: hold.to_owned(), reason: "Settled".to_owned() };
    assert_eq!(network.word(&place, "organisation-1"), "organisation:organisation-0");
    assert_eq!(network.word(&lift("h-1"), "organisation-1"), "organisation:organisation-0");
    assert_eq!(network.word(&lift("h-2"), "organisation-1"), "organisation:organisation-1");
}

#[test]
fn one_hand_where_two_are_needed_is_seen() {
    let mut ledger = Ledger::new();
    let (administrator, registrar) = (ledger.administrator(0), ledger.registrar(0));
    ledger.act(&administrator, Operation::enrol("deputy", Roles::administrator(), new_key(1)));
    assert_eq!(ledger.verdict(), Ok(()));
    let (principal, key, assurance) = (registrar.id.clone(), new_key(2), Assurance::Substantial);
    for operation in [
        Operation::KeyAdd { principal: principal.clone(), key, assurance },
        Operation::PrincipalRecover { principal: principal.clone(), key, assurance },
        rotate(&principal, &registrar.key.public(), &key),
        Operation::enrol("third", Roles::administrator(), key),
        Operation::PrincipalAmend { principal, roles: Some(Roles::administrator()), assurance: None },
        Operation::RecoverySet { administrators: 1 },
    ] {
        let mut ledger = ledger.clone();
        ledger.take(&[&administrator], None, operation.clone());
        let verdict = ledger.verdict().unwrap_err();
        assert!(verdict.contains("too few administrators signed"), "{operation:?}: {verdict}");
    }
}

/// Says what is told of a busy ledger in which something was altered.
fn told(change: impl Fn(&mut Ledger)) -> String {
    let mut ledger = Ledger::busy();
    change(&mut ledger);
    ledger.verdict().expect_err("the checker sees nothing")
}

fn decision(ledger: &mut Ledger, leaf: usize) -> &mut Decision {
    match &mut ledger.log[leaf].outcome {
        Outcome::Accepted { decision, .. } => decision,
        Outcome::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// A row, altered.
fn alter<R>(
    ledger: &mut Ledger,
    key: StateKey,
    (decode, encode): (impl Fn(&[u8]) -> R, impl Fn(&R) -> Vec<u8>),
    change: impl Fn(&mut R),
) {
    let mut row = decode(&ledger.rows[&key]);
    change(&mut row);
    ledger.rows.insert(key, encode(&row));
}

macro_rules! row {
    ($type:ty) => {
        (|bytes: &[u8]| <$type>::decode(bytes).unwrap(), |row: &$type| row.to_bytes())
    };
}

#[test]
fn an_outcome_that_names_other_policies_is_seen() {
    let last = |ledger: &Ledger| ledger.log.len() - 1;
    assert!(told(|ledger| decision(ledger, 1).determining.clear()).contains("it records"));
    assert!(told(|ledger| decision(ledger, 1).determining = vec!["own-keys".parse().unwrap()]).contains("it records"));
    // The version before the latest change of policies.
    assert!(told(|ledger| decision(ledger, last(ledger)).version -= 1).contains("by version 2 of the policies"));
    assert!(told(|ledger| decision(ledger, 1).mandates = vec![mandate("brief")]).contains("it records the mandates"));
}

#[test]
fn a_decision_without_its_ballots_its_notice_or_its_effect_is_seen() {
    // The first change that took effect, and the ballot that decided it.
    let decided = |ledger: &Ledger| {
        let cast = |entry: &LogEntry| {
            let transaction = SignedTransaction::decode(entry.transaction.clone()).unwrap();
            matches!(&transaction.operations()[0], Operation::BallotCast { proposal, .. } if proposal == "limits")
        };
        ledger.log.iter().rposition(cast).unwrap()
    };
    let turns = StateKey::turns(0);
    let refused = told(|ledger| {
        let leaf = decided(ledger);
        ledger.log[leaf].outcome = Outcome::refused(Code::BallotExists, 0);
    });
    assert!(refused.contains("which the ballots and the clock do not say"), "{refused}");
    let early = told(|ledger| alter(ledger, turns, row!(TurnsRow), |row| row.turns[0].height -= 1));
    assert!(early.contains("which the ballots and the clock do not say"), "{early}");
    let without = told(|ledger| alter(ledger, turns, row!(TurnsRow), |row| drop(row.turns.remove(0))));
    assert!(without.contains("no accepted act explains it") || without.contains("is effective by"), "{without}");
    let failed = told(|ledger| {
        alter(ledger, turns, row!(TurnsRow), |row| row.turns[0].status = tallystick_protocol::ProposalStatus::Failed);
    });
    assert!(failed.contains("limits is effective"), "{failed}");
    let tally = |ledger: &mut Ledger| {
        alter(ledger, StateKey::proposal("later"), row!(ProposalRow), |row| row.polls[0].yes += 2);
    };
    assert!(told(tally).contains("by its ballots it is open"));
}

#[test]
fn weights_and_electorates_are_counted() {
    let mut ledger = Ledger::new();
    let mut rule = *Rulebook::default().rule(ChangeKind::Limit).unwrap();
    rule.weight = Weight::Listed;
    let weights = Some(vec![VoteWeight { organisation: "organisation-3".to_owned(), votes: 4 }]);
    let rulebook = RulebookChange { rules: vec![rule], weights, register_policies_max: None };
    ledger.propose(1, "before", vec![limit(50)]);
    ledger.decide("weights", vec![Change::Rulebook { rulebook }]);
    ledger.propose(1, "after", vec![limit(60)]);
    // One member with four of seven votes decides; on what was proposed before, it has one of four.
    ledger.vote("after", &[3]);
    ledger.vote("before", &[3, 0]);
    let open = ledger.clone();
    ledger.wait();
    assert_eq!(ledger.verdict(), Ok(()));
    let limits = LimitsRow::decode(&ledger.rows[&StateKey::limits()]).unwrap();
    assert_eq!(limits.value(LimitName::Registers), 60);
    // As a ledger would that counted heads.
    let mut ledger = open;
    let row = ProposalRow::decode(&ledger.rows[&StateKey::proposal("after")]).unwrap();
    let heads = row.polls[0].votes - 3;
    alter(&mut ledger, StateKey::proposal("after"), row!(ProposalRow), |row| row.polls[0].votes = heads);
    assert!(ledger.verdict().unwrap_err().contains("after is accepted by"));
}

#[test]
fn each_organisation_concerned_has_a_poll_of_its_own() {
    let mut ledger = Ledger::new();
    let mut rule = *Rulebook::default().rule(ChangeKind::OrganisationSuspend).unwrap();
    rule.vote = tallystick_protocol::Circle::Others;
    let rulebook = RulebookChange { rules: vec![rule], weights: None, register_policies_max: None };
    ledger.decide("others-vote", vec![Change::Rulebook { rulebook }]);
    let suspend = |organisation: usize| Change::OrganisationSuspend {
        organisation: format!("organisation-{organisation}"),
        reason: "In arrears.".to_owned(),
    };
    ledger.propose(0, "both", vec![suspend(2), suspend(3)]);
    ledger.vote("both", &[0, 1]);
    ledger.wait();
    assert_eq!(ledger.verdict(), Ok(()));
    let row = OrganisationRow::decode(&ledger.rows[&StateKey::organisation("organisation-3")]).unwrap();
    assert_eq!(row.status, OrganisationStatus::Suspended);
    // Whoever is suspended acts no more, whatever takes it.
    let mut taken = ledger.clone();
    taken.take(&[&taken.registrar(3)], None, grant("late", &taken.registrar(1), START_S + 90_000));
    assert!(taken.verdict().unwrap_err().contains("does not hold the key that signed"));
    // Two polls of three votes each, not one.
    alter(&mut ledger, StateKey::proposal("both"), row!(ProposalRow), |row| drop(row.polls.pop()));
    assert!(ledger.verdict().unwrap_err().contains("both is effective by"));
}

#[test]
fn what_a_custodian_may_not_set_alone_is_seen() {
    let mut ledger = Ledger::busy();
    let administrator = ledger.administrator(0);
    let policy = |id: &str| PolicyText { id: id.parse().unwrap(), text: TWO_HANDS.to_owned() };
    let change = |put| Operation::RegisterPolicy {
        register: "things".to_owned(),
        change: PolicyChange { put, remove: Vec::new() },
    };
    let mut stray = ledger.clone();
    stray.take(&[&administrator], None, change(vec![policy("everywhere")]));
    assert!(stray.verdict().unwrap_err().contains("everywhere is no policy of things"));
    let many = (0..9).map(|number| policy(&format!("things/many-{number}"))).collect();
    ledger.take(&[&administrator], None, change(many));
    assert!(ledger.verdict().unwrap_err().contains("more policies than its custodian may set"));
}

#[test]
fn a_certificate_that_has_ended_or_was_admitted_by_one_alone_is_seen() {
    let mut ledger = Ledger::new();
    let (administrator, registrar) = (ledger.administrator(0), ledger.registrar(0));
    let root_key = SigningKey::from_ed25519_seed(&[8; 32]);
    let wording = |subject| Wording { serial: [1; 16], subject, from: START_S - 60, until: START_S + 50 };
    let root = issue_authority(&root_key, &wording("CN=Root")).unwrap();
    let certificate = root.der().to_vec();
    let mut alone = ledger.clone();
    let admit = Operation::AuthorityAdmit { certificate: certificate.clone(), terms: AuthorityTerms::default() };
    alone.take(&[&administrator], None, admit);
    assert!(alone.verdict().unwrap_err().contains("authority-admit was done without a vote"));
    let (organisation, terms) = ("organisation-0".to_owned(), AuthorityTerms::default());
    ledger.decide("trust", vec![Change::AuthorityAdmit { organisation, certificate, terms }]);
    let key = registrar.key.public();
    let of = |certificate: Certificate| {
        let (principal, authority) = (registrar.id.clone(), Hash::of(&[root.der()]));
        Operation::KeyCertify { principal, key, authority, chain: vec![certificate.der().to_vec()] }
    };
    ledger.act(&administrator, create("things"));
    let certificate = issue((&root, &root_key), &key, "1.2.3", &wording("CN=Registrar")).unwrap();
    ledger.act(&registrar, of(certificate.clone()));
    ledger.act(&registrar, append("things", "a"));
    assert_eq!(ledger.verdict(), Ok(()));
    ledger.time_ms += 60_000;
    // To renew is all that it may do now.
    let outcome = ledger.judge(&[&registrar], None, append("things", "b"));
    assert!(matches!(&outcome, Outcome::Refused(refusal) if refusal.code == Code::KeyExpired), "{outcome:?}");
    assert_eq!(ledger.verdict(), Ok(()));
    ledger.take(&[&registrar], None, append("things", "b"));
    assert!(ledger.verdict().unwrap_err().contains("does not hold the key that signed"));
}

#[test]
fn a_row_that_nobody_was_permitted_to_write_is_seen() {
    let record = |key: &str| StateKey::record(1, EntryKind::User, key);
    assert!(told(|ledger| drop(ledger.rows.insert(record("c"), vec![1]))).contains("no accepted act explains it"));
    assert!(told(|ledger| drop(ledger.rows.remove(&record("a")))).contains("is gone"));
    let swapped = told(|ledger| {
        let row = ledger.rows[&record("a")].clone();
        ledger.rows.insert(record("a-2"), row);
    });
    assert!(swapped.contains("is not what log entry 3 made it"), "{swapped}");
    let promoted = told(|ledger| {
        let row = ledger.rows[&StateKey::principal(&ledger.administrator(0).id)].clone();
        ledger.rows.insert(StateKey::principal(&ledger.registrar(0).id), row);
    });
    assert!(promoted.contains("permitted were registrar"), "{promoted}");
    // An act is left out of the log, and its rows stay.
    let mut ledger = Ledger::new();
    ledger.act(&ledger.administrator(0), create("things"));
    ledger.log.clear();
    assert!(ledger.verdict().unwrap_err().contains("no accepted act explains it"));
    assert!(told(|ledger| ledger.log[5].height = 0).contains("time goes back"));
}

#[test]
fn a_row_that_is_not_what_was_permitted_is_seen() {
    let things = StateKey::register("things");
    let custodian = |row: &mut RegisterRow| row.custodian = "organisation-3".to_owned();
    assert!(told(|l| alter(l, things, row!(RegisterRow), custodian)).contains("permitted were organisation-0"));
    let own = StateKey::organisation("organisation-2");
    let suspended = |row: &mut OrganisationRow| row.status = OrganisationStatus::Suspended;
    assert!(told(|l| alter(l, own, row!(OrganisationRow), suspended)).contains("permitted was active"));
    let key = StateKey::key(&new_key(3));
    let others = |row: &mut KeyRow| row.holder = "organisation-1/thief".to_owned();
    assert!(told(|l| alter(l, key, row!(KeyRow), others)).contains("permitted was newcomers/administrator"));
    let cover = StateKey::mandate(&mandate("cover"));
    let revived = |row: &mut MandateRow| row.revoked_ms = None;
    assert!(told(|l| alter(l, cover, row!(MandateRow), revived)).contains("revoked: true"));
    let set = StateKey::policy_set("");
    let lifted = |row: &mut PolicySetRow| row.policies.retain(|policy| policy.id.as_str() != "two-hands");
    assert!(told(|l| alter(l, set, row!(PolicySetRow), lifted)).contains("the policies of `` are"));
    let policy = StateKey::policy(&"two-hands".parse().unwrap(), 2);
    let reworded = |row: &mut PolicyRow| row.text = row.text.replace("isEmpty", "contains");
    assert!(told(|l| alter(l, policy, row!(PolicyRow), reworded)).contains("is not as it was put"));
    let raised = |row: &mut LimitsRow| row.set = vec![SetLimit { limit: LimitName::Registers, value: 101 }];
    assert!(told(|l| alter(l, StateKey::limits(), row!(LimitsRow), raised)).contains("decided were"));
    let others = |row: &mut ScheduleRow| row.later = tallystick_protocol::ValidatorSet::new(vec![[9; 32]]).unwrap();
    assert!(
        told(|l| alter(l, StateKey::schedule(), row!(ScheduleRow), others)).contains("not those that were decided")
    );
    let fewer = |row: &mut CountersRow| row.active -= 1;
    assert!(told(|l| alter(l, StateKey::counters(), row!(CountersRow), fewer)).contains("where 4 members act"));
    let forgotten = |row: &mut AgendaRow| row.due.clear();
    assert!(told(|l| alter(l, StateKey::agenda(), row!(AgendaRow), forgotten)).contains("not what is pending"));
    let rules = told(|ledger| {
        let rulebook = Rulebook { register_policies_max: 99, ..Rulebook::default() };
        ledger.rows.insert(StateKey::rulebook(), cbor::encode(&rulebook));
    });
    assert!(rules.contains("the rulebook is"), "{rules}");
}
