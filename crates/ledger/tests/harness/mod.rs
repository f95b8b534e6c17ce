//! A network in miniature for tests: a store of rows, transactions written as a clerk would, one block each.
//!
//! ```text
//! # who signs     what (operations separated by `;`)               outcome
//! alpha/admin  |  create country country name:string               | ok
//! alpha/clerk  |  append country GB {"country":"GB"}               | ok country user 1+1
//! beta/admin   |  append country FR {"country":"FR"}               | 0 not-permitted
//! ```
//!
//! `time TIMESTAMP` sets the clock, `blocks N` makes blocks without transactions, `* PROPOSAL | STANDING` looks at a proposal.
//! A signer may name a key: `alpha/admin@key7`. Keys are made from their names; a principal's first key has its id.
//! Co-signers follow after ` + `, a mandate after ` under `, a partition after ` in `: `alpha/clerk + beta/admin@key7 under
//! gamma/admin/errands in health`.
#![allow(dead_code)]

use std::{collections::BTreeMap, sync::LazyLock};

use tallystick_ledger::{
    BlockContext, Failure, Missing, PolicyCache, ProposalRow, Turn, View, apply, begin_block, moment::parse_timestamp,
    wanted, wanted_first,
};
use tallystick_protocol::{
    AgreementTerms, Appended, Assurance, Change, ConsentTerms, Cosigner, ErasureScope, Field, Genesis,
    GenesisOrganisation, GenesisPrincipal, GenesisValidator, Hash, ImportedEntry, Intent, MandateTerms, NewEntry,
    Operation, Outcome, Particulars, PolicyChange, PolicyId, PolicyText, PrincipalId, PublicKey, Recipient, Roles,
    Rule, RuleText, Rulebook, RulebookChange, SealingKey, SigningKey, StateKey, VerifiedTransaction, VoteWeight,
};

/// How often what is due, or a dry run, may ask for rows.
pub const ROUNDS_MAX: usize = 5;

/// The state between blocks, and the clock.
pub struct Ledger {
    pub genesis: Genesis,
    pub rows: BTreeMap<StateKey, Vec<u8>>,
    pub time_ms: u64,
    pub leaf: u64,
    /// Of the next block.
    pub height: u64,
    /// What became of proposals at the beginnings of blocks, until somebody takes it.
    pub turns: Vec<Turn>,
}

/// A view that finds policies compiled, as a node's does.
pub fn warm_view() -> View {
    static POLICIES: LazyLock<PolicyCache> = LazyLock::new(PolicyCache::default);
    View::with_policies(&POLICIES)
}

/// The key made from a name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_ed25519_seed(&Hash::of(&[name.as_bytes()]).0)
}

/// Three organisations: alpha and beta with an administrator and a clerk each, gamma with an administrator.
pub fn three_organisations() -> Genesis {
    organisations(&["alpha", "beta", "gamma"])
}

/// Organisations with an administrator and a clerk each; the last one without a clerk.
pub fn organisations(ids: &[&str]) -> Genesis {
    let principal = |organisation: &str, name: &str, role: &str| {
        GenesisPrincipal::person(name, Roles::new([role]).unwrap(), key(&format!("{organisation}/{name}")).public())
    };
    let organisation = |id: &str, principals: &[(&str, &str)]| GenesisOrganisation {
        id: id.into(),
        name: format!("Organisation {id}"),
        particulars: Particulars::default(),
        principals: principals.iter().map(|(name, role)| principal(id, name, role)).collect(),
    };
    let validator = |id: &str| {
        let PublicKey::Ed25519(key) = key(&format!("validator-{id}")).public() else { panic!("not Ed25519") };
        GenesisValidator { organisation: id.into(), key, address: String::new() }
    };
    let both = [("admin", "administrator"), ("clerk", "registrar")];
    let mut genesis = Genesis {
        name: "Test".into(),
        created_ms: 1_577_836_800_000,
        nonce: [7; 16],
        organisations: ids
            .iter()
            .map(|id| organisation(id, if Some(id) == ids.last() { &both[..1] } else { &both }))
            .collect(),
        validators: ids.iter().map(|id| validator(id)).collect(),
        epoch_blocks: 600,
        rulebook: None,
    };
    genesis.sort();
    genesis.validate().unwrap();
    genesis
}

impl Ledger {
    /// Three organisations after genesis; the clock stands at 2020-01-01.
    pub fn new() -> Self {
        Self::of(three_organisations())
    }

    /// After this genesis.
    pub fn of(genesis: Genesis) -> Self {
        let mut view = warm_view();
        tallystick_ledger::genesis(&mut view, &genesis);
        let rows = view.changes().into_iter().map(|(key, row)| (key, row.unwrap())).collect();
        Self { time_ms: genesis.created_ms, genesis, rows, leaf: 0, height: 1, turns: Vec::new() }
    }

    pub fn context(&self) -> BlockContext {
        BlockContext { network: self.genesis.id(), height: self.height, time_ms: self.time_ms, log_size: self.leaf }
    }

    /// Signs operations; `who` is a principal, perhaps with `@key`, and as the file's head says with co-signers and a mandate.
    pub fn sign(&self, who: &str, operations: Vec<Operation>) -> VerifiedTransaction {
        let (who, partition) = who.split_once(" in ").map_or((who, None), |(who, partition)| (who, Some(partition)));
        let (who, mandate) = who.split_once(" under ").map_or((who, None), |(who, mandate)| (who, Some(mandate)));
        let mut signers = who.split(" + ").map(|who| who.split_once('@').unwrap_or((who, who)));
        let (principal, key_name) = signers.next().unwrap();
        let cosigners: Vec<_> = signers.map(|(who, key_name)| (who.parse().unwrap(), key(key_name))).collect();
        let named =
            |(principal, key): &(PrincipalId, SigningKey)| Cosigner { principal: principal.clone(), key: key.public() };
        let intent = Intent {
            not_after: self.time_ms / 1_000 + 60,
            idempotency_key: Hash::of(&[&self.leaf.to_be_bytes()]).0.to_vec(),
            mandate: mandate.map(|mandate| mandate.parse().unwrap()),
            partition: partition.map(str::to_owned),
            cosigners: cosigners.iter().map(named).collect(),
            ..Intent::new(self.genesis.id(), principal.parse().unwrap(), "test", operations)
        };
        let begun = intent.begin(&key(key_name)).unwrap();
        let signed = cosigners.iter().fold(begun, |begun, (_, key)| begun.cosign(key).unwrap());
        signed.complete().unwrap().verify().unwrap()
    }

    /// Fetches rows into a view.
    pub fn fetch(&self, view: &mut View, keys: impl IntoIterator<Item = StateKey>) {
        for key in keys {
            view.insert(key, self.rows.get(&key).cloned());
        }
    }

    /// Applies a transaction in a view, fetching what is missing, however often.
    pub fn apply_in(&self, view: &mut View, transaction: &VerifiedTransaction, leaf: u64) -> Outcome {
        for _ in 0..10 {
            match apply(view, &self.context(), transaction, leaf) {
                Ok(outcome) => return outcome,
                Err(Missing(keys)) => {
                    assert!(!keys.is_empty() && keys.iter().all(|key| !view.contains(key)));
                    self.fetch(view, keys);
                }
            }
        }
        panic!("still missing rows after ten rounds");
    }

    /// Does in a view what is due at the beginning of the block.
    pub fn begin_in(&self, view: &mut View) -> Vec<Turn> {
        self.fetch(view, wanted_first());
        // However much takes effect at once: the proposals, their changes, the rows of these, the rows that those lead to, and
        // the rows that one change makes another one read.
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS_MAX {
            match begin_block(view, &self.context()) {
                Ok(turns) => return turns,
                Err(Missing(keys)) => {
                    assert!(!keys.is_empty() && keys.iter().all(|key| !view.contains(key)));
                    // The first byte of a key is its noun.
                    rounds.push(keys.iter().map(|key| key.0[0]).collect::<Vec<_>>());
                    self.fetch(view, keys);
                }
            }
        }
        panic!("still missing rows after {ROUNDS_MAX} rounds, of the nouns {rounds:?}");
    }

    /// A proposal's row.
    pub fn proposal(&self, id: &str) -> ProposalRow {
        ProposalRow::decode(&self.rows[&StateKey::proposal(id)]).unwrap()
    }

    /// Where a proposal stands, as the tables write it: `STATUS YES-NO-ABSTAIN/VOTES … @EFFECT paused (CHANGE CODE)`.
    pub fn standing(&self, id: &str) -> String {
        let row = self.proposal(id);
        let mut text = row.status.to_string();
        for poll in &row.polls {
            text += &format!(" {}-{}-{}/{}", poll.yes, poll.no, poll.abstain, poll.votes);
        }
        text += &row.effect_height.map(|height| format!(" @{height}")).unwrap_or_default();
        text += if row.paused_until_ms.is_some() { " paused" } else { "" };
        text += &row.failure.as_ref().map(failure).unwrap_or_default();
        text
    }

    /// Makes a block without transactions and keeps what was due.
    pub fn empty_block(&mut self) -> Vec<Turn> {
        let mut view = warm_view();
        let turns = self.begin_in(&mut view);
        self.turns.extend(turns.iter().cloned());
        self.keep(view.changes());
        self.height += 1;
        turns
    }

    /// Makes a block of one transaction and keeps its changes.
    pub fn block(&mut self, transaction: &VerifiedTransaction) -> Outcome {
        let mut view = warm_view();
        let turns = self.begin_in(&mut view);
        self.turns.extend(turns);
        let begun = view.changes();
        self.keep(begun);
        let mut view = warm_view();
        self.fetch(&mut view, wanted(transaction));
        let outcome = self.apply_in(&mut view, transaction, self.leaf);
        let changes = view.changes();
        assert!(outcome.is_accepted() || changes.is_empty(), "a refused transaction changed {changes:?}");
        self.keep(changes);
        self.leaf += 1;
        self.height += 1;
        outcome
    }

    pub fn keep(&mut self, changes: BTreeMap<StateKey, Option<Vec<u8>>>) {
        for (key, row) in changes {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
    }

    pub fn act(&mut self, who: &str, operations: Vec<Operation>) -> Outcome {
        let transaction = self.sign(who, operations);
        self.block(&transaction)
    }

    /// Runs a table (see the file's head); panics at the first line whose outcome differs.
    pub fn run(&mut self, table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(time) = line.strip_prefix("time ") {
                self.time_ms = parse_timestamp(time.trim()).unwrap() * 1_000;
                continue;
            }
            if let Some(count) = line.strip_prefix("blocks ") {
                (0..count.trim().parse().unwrap()).for_each(|_: u32| drop(self.empty_block()));
                continue;
            }
            if let Some((id, expected)) = line.strip_prefix("* ").and_then(|line| line.split_once('|')) {
                assert_eq!(self.standing(id.trim()), expected.trim(), "{line}");
                continue;
            }
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [who, what, expected] = columns[..] else { panic!("three columns: {line}") };
            let operations = what.split(';').map(|text| operation(text.trim())).collect();
            let outcome = self.act(who, operations);
            assert_eq!(describe(&outcome), expected, "{line}");
        }
    }
}

fn recipient(name: &str) -> Recipient {
    Recipient { name: name.to_owned(), jurisdiction: None }
}

/// Why a proposal failed, as the tables write it: ` (CHANGE CODE: ENTRY FIELD RULE, …)`.
fn failure(failure: &Failure) -> String {
    let told: Vec<String> = failure.violations.iter().map(|v| format!("{} {} {}", v.entry, v.field, v.rule)).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    format!(" ({} {}{told})", failure.change, failure.code)
}

/// An operation as the tables write it.
pub fn operation(text: &str) -> Operation {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    match name {
        "create" => Operation::RegisterCreate {
            register: words[0].into(),
            text: "A register".into(),
            fields: words[1..].iter().map(|word| field(word)).collect(),
        },
        "phase" => Operation::RegisterPhase {
            register: words[0].into(),
            phase: words[1].parse().unwrap(),
            successor: words.get(2).map(|word| (*word).into()),
        },
        "append" => {
            let (register, entries) = rest.split_once(' ').unwrap();
            Operation::EntryAppend { register: register.into(), entries: entries.split(" & ").map(new_entry).collect() }
        }
        "import" => import(rest),
        "enrol" => Operation::enrol(words[0], words[1].parse().unwrap(), key(words[2]).public()),
        "status" => Operation::PrincipalStatus {
            principal: words[0].parse().unwrap(),
            status: words[1].parse().unwrap(),
            reason: words[2..].join(" "),
        },
        "recover" => Operation::PrincipalRecover {
            principal: words[0].parse().unwrap(),
            key: key(words[1]).public(),
            assurance: Assurance::Substantial,
        },
        "quorum" => Operation::RecoverySet { administrators: words[0].parse().unwrap() },
        "amend" => Operation::PrincipalAmend {
            principal: words[0].parse().unwrap(),
            roles: words[1].strip_prefix("roles:").map(|roles| roles.parse().unwrap()),
            assurance: words[1].strip_prefix("key:").map(|name| (key(name).public(), words[2].parse().unwrap())),
        },
        "contact" => Operation::OrganisationContact { contact: (!rest.is_empty()).then(|| rest.into()) },
        "add" => Operation::KeyAdd {
            principal: words[0].parse().unwrap(),
            key: key(words[1]).public(),
            assurance: words.get(2).map_or(Assurance::Substantial, |level| level.parse().unwrap()),
        },
        "rotate" => Operation::KeyRotate {
            principal: words[0].parse().unwrap(),
            old: key(words[1]).public(),
            new: key(words[2]).public(),
            overlap: words.get(3).map_or(0, |seconds| seconds.parse().unwrap()),
        },
        "propose" => propose(&words),
        "withdraw" => Operation::ProposalWithdraw { proposal: words[0].into() },
        "vote" => Operation::BallotCast { proposal: words[0].into(), choice: words[1].parse().unwrap() },
        "object" => Operation::ProposalObject { proposal: words[0].into(), reason: words[1..].join(" ") },
        "grant" => Operation::MandateGrant { name: words[0].into(), terms: terms(&words[1..]) },
        "revoke" => Operation::MandateRevoke { mandate: words[0].parse().unwrap() },
        "retire" => Operation::KeyRetire { principal: words[0].parse().unwrap(), key: key(words[1]).public() },
        "policy" => policy(rest),
        "node" => Operation::NodeRegister {
            node: words[0].parse().unwrap(),
            peer: key(words[1]).public().as_bytes().try_into().unwrap(),
            sealing: SealingKey::from_bytes([words[2].parse().unwrap(); 32]).unwrap(),
            jurisdiction: words[3].parse().unwrap(),
        },
        // read REGISTER KEY FIELD,… PURPOSE [RECIPIENT]
        "read" => Operation::RecordRead {
            register: words[0].into(),
            key: words[1].into(),
            fields: words[2].split(',').map(str::to_owned).collect(),
            subjects: vec![format!("{}:{}", words[0], words[1]).parse().unwrap()],
            purpose: words[3].into(),
            legal_basis: "law".into(),
            recipient: words.get(4).map(|word| recipient(word)),
            node: "alpha/node-1".parse().unwrap(),
        },
        // read-by CONSENT-BASIS REGISTER KEY SUBJECT,… FIELD PURPOSE [RECIPIENT]; `_` is a space
        "read-by" => Operation::RecordRead {
            register: words[1].into(),
            key: words[2].into(),
            fields: vec![words[4].into()],
            subjects: words[3].split(',').map(|subject| subject.parse().unwrap()).collect(),
            purpose: words[5].replace('_', " "),
            legal_basis: words[0].replace('_', " "),
            recipient: words.get(6).map(|word| recipient(word)),
            node: "alpha/node-1".parse().unwrap(),
        },
        // consent ID CONTROLLER SUBJECT PURPOSE,… RECIPIENT,…|- UNTIL
        "consent" => Operation::ConsentGive {
            consent: words[0].into(),
            controller: words[1].into(),
            subject: words[2].parse().unwrap(),
            terms: ConsentTerms {
                purposes: words[3].split(',').map(str::to_owned).collect(),
                recipients: words[4].split(',').filter(|word| *word != "-").map(str::to_owned).collect(),
                until_ms: parse_timestamp(words[5]).unwrap() * 1_000,
            },
            evidence: "Form 7.".into(),
        },
        "unconsent" => Operation::ConsentWithdraw { consent: words[0].into(), reason: "Said so.".into() },
        "node-retire" => {
            let destroyed = words.get(1) == Some(&"destroyed");
            Operation::NodeRetire { node: words[0].parse().unwrap(), destroyed }
        }
        "enrol-as" => Operation::PrincipalEnrol {
            kind: words[0].parse().unwrap(),
            name: words[1].into(),
            roles: words[2].parse().unwrap(),
            key: key(words[3]).public(),
            assurance: Assurance::Substantial,
        },
        "correct" => correct(rest),
        "erase" => erase(&words),
        "destroyed" => Operation::ErasureReceipt { order: words[0].into(), destroyed: words[1].parse().unwrap() },
        "hold" => Operation::HoldPlace {
            hold: words[0].into(),
            controller: words[1].into(),
            subject: words[2].parse().unwrap(),
            authority: "High Court".into(),
            reason: "Evidence.".into(),
            until: words.get(3).map(|time| parse_timestamp(time).unwrap() * 1_000),
        },
        // told REGISTER KEY CORRECTS READER [RECIPIENT]
        "told" => Operation::NoticeAcknowledge {
            register: words[0].into(),
            key: words[1].into(),
            corrects: words[2].parse().unwrap(),
            reader: words[3].parse().unwrap(),
            recipient: words.get(4).map(|word| (*word).to_owned()),
        },
        "lift" => Operation::HoldLift { hold: words[0].into(), reason: "It is over.".into() },
        other => panic!("unknown operation {other}"),
    }
}

/// `ID CHANGE… @HEIGHT`, the height optional.
fn propose(words: &[&str]) -> Operation {
    let (height, changes) = match words.last().and_then(|word| word.strip_prefix('@')) {
        Some(height) => (Some(height.parse().unwrap()), &words[1..words.len() - 1]),
        None => (None, &words[1..]),
    };
    Operation::ProposalSubmit {
        proposal: words[0].into(),
        title: format!("Proposal {}", words[0]),
        text: RuleText::Whole("The rule.".into()),
        changes: changes.iter().map(|word| change(word)).collect(),
        effect_height: height,
    }
}

/// A change as the tables write it: `admit:ID`, `amend:ID:FIELD=VALUE,…`, `suspend:ID`, `resume:ID`, `expel:ID`, `validator:+ID`, `validator:-ID`, `create:REGISTER:CUSTODIAN`,
/// `entrust:REGISTER:CUSTODIAN`, `close:REGISTER`, `open:PARTITION:ID,…`, `reopen:PARTITION:ID,…`, `end:PARTITION`, `unpolicy:ID`, `limit:NAME:VALUE`, `version:N`, `rule:KIND:FIELD=VALUE,…`, `weights:ID=VOTES,…`.
pub fn change(text: &str) -> Change {
    let parts: Vec<&str> = text.split(':').collect();
    let reason = || "A reason.".to_owned();
    let organisation = || parts[1].to_owned();
    match parts[0] {
        "admit" => {
            let mut organisation = organisations(&[parts[1]]).organisations.remove(0);
            organisation.name = format!("New {}", parts[1]);
            Change::OrganisationAdmit { organisation }
        }
        "amend" => {
            let told = |field: &str| {
                let mut told = parts[2].split(',').filter_map(|each| each.split_once('='));
                told.find(|(name, _)| *name == field).map(|(_, value)| value)
            };
            Change::OrganisationAmend {
                organisation: organisation(),
                name: told("name").map(Into::into),
                legal_name: told("legal").map(Into::into),
                registration: told("registration").map(|text| text.parse().unwrap()),
                jurisdiction: told("jurisdiction").map(|text| text.parse().unwrap()),
            }
        }
        "suspend" => Change::OrganisationSuspend { organisation: organisation(), reason: reason() },
        "resume" => Change::OrganisationResume { organisation: organisation() },
        "expel" => Change::OrganisationExpel { organisation: organisation(), reason: reason() },
        "create" => Change::RegisterCreate {
            register: parts[1].into(),
            custodian: parts[2].into(),
            text: "A register".into(),
            fields: vec![field(parts[1])],
        },
        "entrust" => Change::RegisterEntrust { register: parts[1].into(), custodian: parts[2].into() },
        "close" => Change::RegisterClose { register: parts[1].into(), successor: None },
        "validator" => {
            let (sign, organisation) = parts[1].split_at(1);
            let name =
                if sign == "+" { format!("new-validator-{organisation}") } else { format!("validator-{organisation}") };
            let PublicKey::Ed25519(key) = key(&name).public() else { panic!("not Ed25519") };
            let validator = GenesisValidator { organisation: organisation.into(), key, address: String::new() };
            let (add, remove) = if sign == "+" { (vec![validator], vec![]) } else { (vec![], vec![validator]) };
            Change::Validators { add, remove }
        }
        "open" => Change::PartitionOpen { agreement: agreement(parts[1], parts[2]) },
        "reopen" => Change::PartitionAmend { agreement: agreement(parts[1], parts[2]) },
        "end" => Change::PartitionClose { partition: parts[1].into(), reason: reason() },
        "unpolicy" => Change::Policies { put: Vec::new(), remove: vec![parts[1].parse().unwrap()] },
        "limit" => Change::Limit { limit: parts[1].parse().unwrap(), value: parts[2].parse().unwrap() },
        "version" => Change::ProtocolVersion { version: parts[1].parse().unwrap() },
        "rule" => {
            let mut rule = *Rulebook::default().rule(parts[1].parse().unwrap()).unwrap();
            parts[2].split(',').for_each(|setting| set_rule(&mut rule, setting));
            Change::Rulebook { rulebook: RulebookChange { rules: vec![rule], ..RulebookChange::default() } }
        }
        "weights" => {
            let weights = parts[1].split(',').map(|weight| {
                let (organisation, votes) = weight.split_once('=').unwrap();
                VoteWeight { organisation: organisation.into(), votes: votes.parse().unwrap() }
            });
            let weights = Some(weights.collect());
            Change::Rulebook { rulebook: RulebookChange { weights, ..RulebookChange::default() } }
        }
        other => panic!("unknown change {other}"),
    }
}

/// An agreement of these members, separated by commas, the managers with a `*`: half of them and one more acknowledge, or two where there are
/// managers; in Great Britain and France.
pub fn agreement(partition: &str, members: &str) -> AgreementTerms {
    let managers: Vec<String> =
        members.split(',').filter_map(|member| member.strip_suffix('*')).map(Into::into).collect();
    let members: Vec<String> = members.split(',').map(|member| member.trim_end_matches('*').into()).collect();
    let acknowledgements = if managers.is_empty() { members.len() / 2 + 1 } else { 2 };
    AgreementTerms {
        partition: partition.into(),
        acknowledgements: u32::try_from(acknowledgements).unwrap(),
        members,
        purpose: "A purpose".into(),
        legal_basis: "A law".into(),
        categories: vec!["health".into()],
        from_ms: 1_577_836_800_000,
        until_ms: Some(1_893_456_000_000),
        review_ms: None,
        jurisdictions: vec!["FR".parse().unwrap(), "GB".parse().unwrap()],
        retention_days: 30,
        managers,
        regulators: Vec::new(),
    }
}

fn set_rule(rule: &mut Rule, setting: &str) {
    let (field, value) = setting.split_once('=').unwrap();
    match field {
        "propose" => rule.propose = value.parse().unwrap(),
        "vote" => rule.vote = value.parse().unwrap(),
        "weight" => rule.weight = value.parse().unwrap(),
        "share" => rule.threshold = value.parse().unwrap(),
        "open" => rule.open_seconds = value.parse().unwrap(),
        "notice" => rule.notice_blocks = value.parse().unwrap(),
        "pause" => rule.pause_seconds = value.parse().unwrap(),
        "direct" => rule.direct = value.parse().unwrap(),
        other => panic!("unknown setting {other}"),
    }
}

/// `AGENT,… ACTION,… RESOURCE,… FROM UNTIL DEPTH CONCUR [PARENT]`, the times as dates.
fn terms(words: &[&str]) -> MandateTerms {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let date = |text: &str| parse_timestamp(&format!("{text}T00:00:00Z")).unwrap();
    MandateTerms {
        agents: list(words[0]).iter().map(|agent| agent.parse().unwrap()).collect(),
        actions: list(words[1]),
        resources: list(words[2]),
        purpose: "test".into(),
        from: date(words[3]),
        until: date(words[4]),
        depth: words[5].parse().unwrap(),
        concur: words[6].parse().unwrap(),
        parent: words.get(7).map(|parent| parent.parse().unwrap()),
    }
}

/// `REGISTER NUMBER KEY ITEM…`
fn correct(text: &str) -> Operation {
    let (register, rest) = text.split_once(' ').unwrap();
    let (corrects, entry) = rest.split_once(' ').unwrap();
    Operation::RecordCorrect {
        register: register.into(),
        corrects: corrects.parse().unwrap(),
        entry: new_entry(entry),
        reason: "It was misspelt.".into(),
        authority: "The person".into(),
        legal_basis: "UK GDPR Article 16".into(),
    }
}

/// `ID CONTROLLER SUBJECT all|COMMITMENT,… SECONDS`
fn erase(words: &[&str]) -> Operation {
    let scope = match words[3] {
        "all" => ErasureScope::All,
        values => ErasureScope::Values(values.split(',').map(|value| value.parse().unwrap()).collect()),
    };
    Operation::ErasureOrder {
        order: words[0].into(),
        controller: words[1].into(),
        subject: words[2].parse().unwrap(),
        scope,
        authority: "The person".into(),
        legal_basis: "UK GDPR Article 17".into(),
        reason: "No longer needed.".into(),
        deadline: words.get(4).map_or(3_600, |seconds| seconds.parse().unwrap()),
    }
}

/// `REGISTER put ID TEXT` or `REGISTER remove ID`; the text without the semicolon that ends a policy.
fn policy(text: &str) -> Operation {
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next().unwrap_or_default();
    let (register, verb, id, text) = (next(), next(), next(), next());
    let id: PolicyId = id.parse().unwrap();
    let change = match verb {
        "put" => PolicyChange { put: vec![PolicyText { id, text: format!("{text};") }], remove: Vec::new() },
        _ => PolicyChange { put: Vec::new(), remove: vec![id] },
    };
    Operation::RegisterPolicy { register: register.into(), change }
}

/// `name:datatype:cardinality:register!protection`, all but the name optional.
pub fn field(text: &str) -> Field {
    let (text, protection) = text.split_once('!').map_or((text, None), |(text, said)| (text, Some(said)));
    let parts: Vec<&str> = text.split(':').collect();
    Field {
        name: parts[0].into(),
        datatype: parts.get(1).unwrap_or(&"string").parse().unwrap(),
        cardinality: parts.get(2).unwrap_or(&"1").parse().unwrap(),
        register: parts.get(3).map(|register| (*register).into()),
        text: String::new(),
        protection: protection.map(|protection| protection.parse().unwrap()),
    }
}

/// `KEY ITEM ITEM…`
fn new_entry(text: &str) -> NewEntry {
    let (key, items) = text.trim().split_once(' ').unwrap();
    NewEntry { key: key.into(), items: split_items(items) }
}

/// Items are JSON objects; the tables put a space between two of them.
fn split_items(text: &str) -> Vec<String> {
    let text = text.trim().replace("} {", "}\u{0}{");
    text.split('\u{0}').map(str::to_owned).collect()
}

/// `REGISTER USER-FIRST SYSTEM-FIRST ROOT KIND KEY TIMESTAMP ITEM… & …`; the root `-` is wrong, others stand for the SHA-256
/// tree of the leaves as the oracle of the caller computed it.
fn import(text: &str) -> Operation {
    let mut head = text.splitn(5, ' ');
    let mut next = || head.next().unwrap();
    let (register, user_first, system_first, root, entries) = (next(), next(), next(), next(), next());
    let entries = entries.split(" & ").map(|entry| {
        let mut parts = entry.trim().splitn(4, ' ');
        let mut next = || parts.next().unwrap();
        ImportedEntry {
            kind: next().parse().unwrap(),
            key: next().into(),
            timestamp: parse_timestamp(next()).unwrap(),
            items: split_items(next()),
        }
    });
    Operation::RegisterImport {
        register: register.into(),
        user_first: user_first.parse().unwrap(),
        system_first: system_first.parse().unwrap(),
        entries: entries.collect(),
        root: root.parse().unwrap_or_default(),
    }
}

/// An outcome in the last column: `ok REGISTER KIND FIRST+COUNT, …` or `OPERATION CODE (ENTRY FIELD RULE, …)`.
pub fn describe(outcome: &Outcome) -> String {
    let join = |texts: Vec<String>| texts.join(", ");
    match outcome {
        Outcome::Accepted { appended, .. } => {
            let told = |a: &Appended| format!("{} {} {}+{}", a.register, a.kind, a.first, a.count);
            format!("ok {}", join(appended.iter().map(told).collect())).trim().to_owned()
        }
        Outcome::Refused(refusal) => {
            let told =
                refusal.violations.iter().map(|v| format!("{} {} {}", v.entry, v.field, v.rule).replace("  ", " "));
            let violations = join(told.collect());
            let all = format!("{} {} ({violations})", refusal.operation, refusal.code);
            all.trim_end_matches(" ()").to_owned()
        }
    }
}

/// A principal's id.
pub fn principal(id: &str) -> PrincipalId {
    id.parse().unwrap()
}
