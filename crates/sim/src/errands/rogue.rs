//! Rogue: a registrar turns against its organisation and tries everything. What it can do bears its name and ends with it; what it
//! cannot do is refused, whichever node it asks. The page `docs/concepts/rogue-registrar.md` lists it.

use crate::{
    client::{Client, Fate, register_of},
    members::Member,
};
use std::sync::Arc;
use tallystick_protocol::{
    Assurance, AuthorityTerms, Change, Choice, Code, Hash, ImportedEntry, LimitName, MandateId, MandateTerms, NewEntry,
    Operation, Outcome, Phase, PolicyChange, PolicyText, PrincipalId, PrincipalStatus, PublicKey, Roles, RuleText,
    SignedTransaction, SigningKey, operation::EntryKind,
};

/// Whose registrar it is.
const ORGANISATION: usize = 3;
/// Whose registrar helps it.
const ACCOMPLICE: usize = 0;

pub(super) async fn rogue(client: &mut Client) -> Option<()> {
    let rogue = client.registrar(ORGANISATION);
    client.has_register(ORGANISATION).await?;
    for (what, operation) in overreaches(client, &rogue) {
        client.refused(&rogue, operation, Code::NotPermitted).await?;
        client.record.note(format!("cannot {what}"));
    }
    writes(client, &rogue).await?;
    lends(client, &rogue).await?;
    ends(client, &rogue).await
}

fn new_key(client: &mut Client) -> SigningKey {
    SigningKey::from_ed25519_seed(client.chance.bytes(32).first_chunk().expect("32 bytes"))
}

fn register() -> String {
    format!("register-{ORGANISATION}")
}

fn entry(client: &mut Client, register: String) -> Operation {
    let item = format!(r#"{{"name":"{}","{register}":"false"}}"#, client.chance.number());
    Operation::EntryAppend { register, entries: vec![NewEntry { key: "false".to_owned(), items: vec![item] }] }
}

/// What it may not do, with what it would be.
fn overreaches(client: &mut Client, rogue: &Member) -> Vec<(&'static str, Operation)> {
    let [administrator, other] = [client.administrator(ORGANISATION), client.administrator(ACCOMPLICE)];
    let mut all = of_registers(client);
    all.extend(of_people(client, rogue, &administrator));
    all.extend(of_the_network());
    // Another organisation, in every way that it has in its own.
    let key = new_key(client).public();
    let rotation = rotate(&other, key);
    all.push(("act for another organisation's people", rotation));
    all
}

fn rotate(whose: &Member, new: PublicKey) -> Operation {
    Operation::KeyRotate { principal: whose.id.clone(), old: whose.key.public(), new, overlap: 0 }
}

fn of_registers(client: &mut Client) -> Vec<(&'static str, Operation)> {
    let policy: PolicyText = PolicyText {
        id: format!("{}/mine", register()).parse().expect("an id"),
        text: crate::checkers::authority::policies::GUESTS_WRITE.to_owned(),
    };
    let change = PolicyChange { put: vec![policy], remove: Vec::new() };
    let imported = ImportedEntry {
        kind: EntryKind::User,
        key: "false".to_owned(),
        timestamp: 1,
        items: vec![format!(r#"{{"{}":"false"}}"#, register())],
    };
    let import = Operation::RegisterImport {
        register: register(),
        user_first: 1,
        system_first: 1,
        entries: vec![imported],
        root: Hash([0; 32]),
    };
    vec![
        ("write to another's register", entry(client, format!("register-{ACCOMPLICE}"))),
        ("create a register", register_of("register-of-its-own")),
        ("close a register", Operation::RegisterPhase { register: register(), phase: Phase::Closed, successor: None }),
        ("date entries back by an import", import),
        ("set a policy", Operation::RegisterPolicy { register: register(), change }),
    ]
}

fn of_people(client: &mut Client, rogue: &Member, administrator: &Member) -> Vec<(&'static str, Operation)> {
    let keys = [(); 4].map(|()| new_key(client).public());
    let (principal, assurance) = (administrator.id.clone(), Assurance::Substantial);
    let promote =
        Operation::PrincipalAmend { principal: rogue.id.clone(), roles: Some(Roles::administrator()), assurance: None };
    let suspend = Operation::PrincipalStatus {
        principal: principal.clone(),
        status: PrincipalStatus::Suspended,
        reason: "In the way.".to_owned(),
    };
    vec![
        ("enrol a friend", Operation::enrol("friend", Roles::registrar(), keys[0])),
        ("promote itself", promote),
        ("suspend its administrator", suspend),
        ("replace its administrator's key", rotate(administrator, keys[1])),
        ("add a key to its administrator", Operation::KeyAdd { principal: principal.clone(), key: keys[2], assurance }),
        (
            "recover its administrator",
            Operation::PrincipalRecover { principal: principal.clone(), key: keys[3], assurance },
        ),
        ("end its administrator's key", Operation::KeyRetire { principal, key: administrator.key.public() }),
        ("lower what a recovery takes", Operation::RecoverySet { administrators: 1 }),
        ("say where its organisation is reached", Operation::OrganisationContact { contact: Some("Mine".to_owned()) }),
        (
            "have an authority trusted",
            Operation::AuthorityAdmit { certificate: vec![0x30, 0x00], terms: AuthorityTerms::default() },
        ),
    ]
}

fn of_the_network() -> Vec<(&'static str, Operation)> {
    let submit = Operation::ProposalSubmit {
        proposal: "mine".to_owned(),
        title: "Mine".to_owned(),
        text: RuleText::Whole("Mine.".to_owned()),
        changes: vec![Change::Limit { limit: LimitName::Registers, value: 1 }],
        effect_height: None,
    };
    let proposal = || "mine".to_owned();
    vec![
        ("propose", submit),
        ("vote", Operation::BallotCast { proposal: proposal(), choice: Choice::Yes }),
        ("object", Operation::ProposalObject { proposal: proposal(), reason: "Mine.".to_owned() }),
        ("withdraw", Operation::ProposalWithdraw { proposal: proposal() }),
    ]
}

/// It enters what is false, and what it entered stays beside what corrects it; under its name.
async fn writes(client: &mut Client, rogue: &Member) -> Option<()> {
    let [lie, correction] = [entry(client, register()), entry(client, register())];
    let lie = client.accepted(rogue, lie).await?;
    let administrator = client.administrator(ORGANISATION);
    let correction = client.accepted(&administrator, correction).await?;
    let place = client.chance.below(client.doors.len() as u64);
    let (_, door) = client.doors[usize::try_from(place).unwrap_or(0)].clone();
    loop {
        let (first, second) = (lie.index, correction.index);
        let asked = door.ask(move |service| async move {
            let said = [service.log_entry(first).await.ok()??, service.log_entry(second).await.ok()??];
            let count = service.history().register(&register()).map_or(0, |known| known.count(EntryKind::User));
            let entries = service.entries(&register(), EntryKind::User, 1..=count).await.ok()?;
            Some((said.map(|entry| SignedTransaction::decode(entry.transaction)), entries))
        });
        if let Some(([said, corrected], entries)) = asked.await.flatten() {
            let by = |said: Result<SignedTransaction, _>| said.map(|transaction| transaction.principal().clone());
            let names = [by(said), by(corrected)].map(|name: Result<PrincipalId, _>| name.expect("a transaction"));
            let leaves: Vec<u64> = entries.iter().filter(|one| one.key == "false").map(|one| one.leaf).collect();
            if names != [rogue.id.clone(), administrator.id] || !leaves.ends_with(&[first, second]) {
                client.complain(format!("a false entry and its correction are {leaves:?} by {names:?}"));
                return None;
            }
            client.record.note(format!("can enter what is false, as {}, and it stays beside its correction", rogue.id));
            return Some(());
        }
        client.pause().await?;
    }
}

/// It lends what it may do itself, and no more.
async fn lends(client: &mut Client, rogue: &Member) -> Option<()> {
    let accomplice = client.registrar(ACCOMPLICE);
    let now = client.now_s();
    let terms = MandateTerms {
        agents: vec![accomplice.id.clone()],
        actions: vec!["*".to_owned()],
        resources: vec!["*".to_owned()],
        purpose: "Mischief.".to_owned(),
        from: now - 3_600,
        until: now + 3_600,
        depth: 0,
        concur: 1,
        parent: None,
    };
    client.accepted(rogue, Operation::MandateGrant { name: "mischief".to_owned(), terms }).await?;
    let entry = entry(client, register());
    under(client, &accomplice, rogue, entry, None).await?;
    client.record.note("can lend its pen".to_owned());
    let create = register_of("register-of-its-own");
    under(client, &accomplice, rogue, create, Some(Code::NotPermitted)).await?;
    client.record.note("cannot lend what it may not do".to_owned());
    Some(())
}

/// What comes of an act under the mandate that it granted.
async fn under(
    client: &mut Client,
    agent: &Member,
    rogue: &Member,
    operation: Operation,
    code: Option<Code>,
) -> Option<()> {
    let mandate = MandateId::new(&rogue.id, "mischief").expect("a slug");
    loop {
        let transaction = client.sign_under(agent, &mandate, vec![operation.clone()]);
        match client.submit(transaction).await {
            Fate::Void if !client.record.is_stopping() => {}
            Fate::Final(told) => {
                let is_expected = match (&told.outcome, code) {
                    (Outcome::Accepted { .. }, None) => true,
                    (Outcome::Refused(refusal), Some(code)) => refusal.code == code,
                    _ => false,
                };
                if !is_expected {
                    client.complain(format!("under {mandate}: {code:?} was expected, and not {told:?}"));
                }
                return is_expected.then_some(());
            }
            Fate::Rejected(_, rejection) => {
                client.complain(format!("under {mandate}: {rejection}"));
                return None;
            }
            Fate::Void => return None,
        }
    }
}

/// One administrator ends it, with every key that it gave itself and all that it lent.
async fn ends(client: &mut Client, rogue: &Member) -> Option<()> {
    let (administrator, accomplice) = (client.administrator(ORGANISATION), client.registrar(ACCOMPLICE));
    let spare = Member { id: rogue.id.clone(), key: Arc::new(new_key(client)) };
    let (principal, key) = (rogue.id.clone(), spare.key.public());
    let add = Operation::KeyAdd { principal: principal.clone(), key, assurance: Assurance::Low };
    client.accepted(rogue, add).await?;
    let act = entry(client, register());
    client.accepted(&spare, act).await?;
    client.record.note("can give itself more keys".to_owned());
    let suspend =
        Operation::PrincipalStatus { principal, status: PrincipalStatus::Suspended, reason: "Gone rogue.".to_owned() };
    let ended = client.accepted(&administrator, suspend).await?;
    for member in [rogue, &spare] {
        let act = entry(client, register());
        let transaction = client.sign(member, vec![act]);
        match client.submit(transaction).await {
            Fate::Final(told) if told.outcome.is_accepted() => {
                client.complain(format!("suspended at log entry {}, and answered {told:?}", ended.index));
                return None;
            }
            _ => {}
        }
    }
    client.record.note("cannot act when it is suspended, by any key".to_owned());
    let entry = entry(client, register());
    under(client, &accomplice, rogue, entry, Some(Code::MandateNotInForce)).await?;
    client.record.note("cannot act by what it lent when it is suspended".to_owned());
    Some(())
}
