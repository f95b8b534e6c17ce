//! Clients: those who use the network as it is meant, again and again until they are answered, and one who does not.

use crate::{
    chance::Chance,
    checkers::{Broken, durability::Told, receipts::About},
    machine::Leap,
    members::{Member, Members},
    node::Door,
    wires::Wires,
    world::Record,
};
use bytes::Bytes;
use commonware_runtime::{Clock as _, deterministic};
use std::time::{Duration, UNIX_EPOCH};
use tallystick_node::{
    rejection::{Rejection, RejectionCode},
    service::WaitError,
};
use tallystick_protocol::{
    Change, Choice, Datatype, Field, Hash, MandateId, NewEntry, Operation, Outcome, Phase, Receipt, Roles, RuleText,
    SignedTransaction, SigningKey,
};

/// How long a client waits for a node's answer before it asks another.
const PATIENCE: Duration = Duration::from_secs(4);

/// Someone who uses the network.
pub struct Client {
    /// The world's clock.
    pub world: deterministic::Context,
    /// Time that passed beside it.
    pub leap: Leap,
    /// The doors it may knock at: honest nodes.
    pub doors: Vec<(usize, Door)>,
    /// Who is who.
    pub members: Members,
    /// What is seen.
    pub record: Record,
    /// The links that it can cut.
    pub wires: Wires,
    /// Its organisation.
    pub organisation: usize,
    /// Its luck.
    pub chance: Chance,
}

/// What became of a transaction.
pub enum Fate {
    /// It is final.
    Final(Told),
    /// A node does not take it, and would not later.
    Rejected(usize, Rejection),
    /// Its time has passed and no block holds it; or the world stopped.
    Void,
}

/// What a node said.
enum Answer {
    Rejected(Rejection),
    Waited(WaitError),
    Final(Told, Option<Vec<u8>>),
}

impl Client {
    /// Creates its organisation's register and appends to it until the world says stop.
    pub async fn work(mut self) {
        if let Some(unanswered) = self.record.unanswered(self.organisation) {
            // From before the power was lost: once is still once.
            self.drive(unanswered).await;
        }
        let created = format!("create-{}", self.organisation);
        if !self.record.is_done(&created) {
            let administrator = self.members.principals[self.organisation][0].clone();
            let create = self.sign(&administrator, vec![self.create()]);
            if let Some(outcome) = self.drive(create).await {
                self.record.done(&created);
                self.expect(matches!(outcome, Outcome::Accepted { .. } | Outcome::Refused(_)), "an outcome");
            }
        }
        while !self.record.is_stopping() {
            let pause = self.chance.between(20, 500);
            self.world.sleep(Duration::from_millis(pause)).await;
            let transaction = self.next();
            self.drive(transaction).await;
        }
    }

    /// Submits one transaction that must become final; true when it is.
    pub async fn probe(mut self) -> bool {
        while !self.record.is_stopping() {
            let administrator = self.members.principals[self.organisation][0].clone();
            let (key, name) = (self.chance.bytes(32), format!("probe-{}", self.chance.number()));
            let seed: [u8; 32] = *key.first_chunk().expect("32 bytes");
            let key = SigningKey::from_ed25519_seed(&seed).public();
            let enrol = Operation::enrol(name, Roles::registrar(), key);
            let probe = self.sign(&administrator, vec![enrol]);
            if let Some(outcome) = self.drive(probe).await {
                self.expect(outcome.is_accepted(), "an accepted probe");
                return true;
            }
        }
        false
    }

    /// Proposes a change of the validators, and has every organisation vote for it until it is decided.
    pub async fn reform(mut self, add: Vec<usize>, remove: Vec<usize>) {
        let of = |nodes: Vec<usize>| nodes.into_iter().map(|node| self.members.validator(node)).collect();
        let changes = vec![Change::Validators { add: of(add), remove: of(remove) }];
        let administrators: Vec<Member> = self.members.principals.iter().map(|members| members[0].clone()).collect();
        let proposal = "reform".to_owned();
        let text = RuleText::Whole("As decided.".to_owned());
        let title = "Other validators".to_owned();
        let submit =
            Operation::ProposalSubmit { proposal: proposal.clone(), title, text, changes, effect_height: None };
        let mut steps = vec![(administrators[0].clone(), submit)];
        for member in administrators {
            steps.push((member, Operation::BallotCast { proposal: proposal.clone(), choice: Choice::Yes }));
        }
        for (member, operation) in steps {
            // One that is void is signed anew; one that is refused is decided already, or was cast before the power was lost.
            while !self.record.is_stopping() {
                let step = self.sign(&member, vec![operation.clone()]);
                if let Some(outcome) = self.drive(step).await {
                    self.record.note(format!("{}: {outcome:?}", operation.name()));
                    break;
                }
            }
        }
    }

    fn expect(&self, holds: bool, what: &str) {
        if !holds {
            self.record.broken(Broken::new("outcome", format!("a client expected {what}")));
        }
    }

    fn register(&self) -> String {
        format!("register-{}", self.organisation)
    }

    fn create(&self) -> Operation {
        register_of(&self.register())
    }

    fn next(&mut self) -> SignedTransaction {
        let registrar = self.members.principals[self.organisation][1].clone();
        // One in twelve is of a registrar gone rogue.
        if self.chance.below(12) == 0 {
            let operation = self.overreach();
            return self.sign(&registrar, vec![operation]);
        }
        // One in six goes to another's register, which is refused, or breaks the schema.
        let (register, name) = match self.chance.below(12) {
            0 => (format!("register-{}", self.organisation + 1), "name"),
            1 => (self.register(), "no-such-field"),
            _ => (self.register(), "name"),
        };
        let entries = (0..self.chance.between(1, 3))
            .map(|_| {
                let key = format!("key-{}", self.chance.below(30));
                let item = format!(r#"{{"{name}":"{}","{register}":"{key}"}}"#, self.chance.number());
                NewEntry { key, items: vec![item] }
            })
            .collect();
        self.sign(&registrar, vec![Operation::EntryAppend { register, entries }])
    }

    /// What only an administrator may, asked for by a registrar: to enrol a friend, to have a register, to close the one
    /// there is, to put a key of its own in the place of the administrator's, and to end keys.
    fn overreach(&mut self) -> Operation {
        let seed = self.chance.bytes(32);
        let new = SigningKey::from_ed25519_seed(seed.first_chunk().expect("32 bytes")).public();
        let administrator = &self.members.principals[self.organisation][0];
        match self.chance.below(5) {
            0 => Operation::enrol("friend", Roles::administrator(), new),
            1 => self.create(),
            2 => Operation::RegisterPhase { register: self.register(), phase: Phase::Closed, successor: None },
            3 => {
                let (principal, old) = (administrator.id.clone(), administrator.key.public());
                Operation::KeyRotate { principal, old, new, overlap: 0 }
            }
            // Not its own, which it may end: then it would ask for nothing any more.
            _ => Operation::KeyRetire { principal: administrator.id.clone(), key: administrator.key.public() },
        }
    }

    /// Seconds since 1970, by the client's clock.
    pub fn now_s(&self) -> u64 {
        let world = self.world.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        (world + self.leap.passed()).as_secs()
    }

    /// A transaction that is good for a while.
    pub fn sign(&mut self, member: &Member, operations: Vec<Operation>) -> SignedTransaction {
        self.sign_as(member, None, operations)
    }

    /// As [`Client::sign`], under a mandate.
    pub fn sign_under(
        &mut self,
        member: &Member,
        mandate: &MandateId,
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        self.sign_as(member, Some(mandate), operations)
    }

    fn sign_as(
        &mut self,
        member: &Member,
        mandate: Option<&MandateId>,
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        let not_after = self.now_s() + self.chance.between(6, 120);
        let key = self.chance.bytes(16);
        let transaction = self.members.sign_under(member, mandate, (not_after, key), operations);
        self.record.signed_by_client(&transaction);
        transaction
    }

    /// Has a transaction taken that nodes must take. Says its outcome, if it has one.
    async fn drive(&mut self, transaction: SignedTransaction) -> Option<Outcome> {
        let id = transaction.id();
        match self.submit(transaction).await {
            Fate::Final(told) => Some(told.outcome),
            Fate::Void => None,
            Fate::Rejected(_, rejection) if self.is_out_of_time(rejection.code) => None,
            Fate::Rejected(node, rejection) => {
                let detail = format!("node {node} rejects an honest client's {id}: {rejection}");
                self.record.broken(Broken::new("admission", detail));
                None
            }
        }
    }

    /// Whether a rejection is because time has passed that nobody saw pass.
    fn is_out_of_time(&self, code: RejectionCode) -> bool {
        code == RejectionCode::ExpiredKey && !self.leap.passed().is_zero()
    }

    /// Asks one node after another until it is told what became of the transaction.
    pub async fn submit(&mut self, transaction: SignedTransaction) -> Fate {
        self.record.set_unanswered(self.organisation, Some(transaction.clone()));
        let id = transaction.id();
        let fate = loop {
            let (node, door) = self.chance.pick(&self.doors).clone();
            match ask(&door, &transaction).await {
                Some(Answer::Final(told, receipt)) => {
                    self.record.check(|seen| {
                        if let Some(file) = receipt {
                            seen.receipts.given(node, About::Transaction(id, told.outcome.clone()), file);
                        }
                        seen.durability.told(id, told.clone())
                    });
                    self.ask_record(node, &door, &transaction).await;
                    break Fate::Final(told);
                }
                Some(Answer::Waited(WaitError::Expired)) => {
                    self.record.told_expired(id);
                    break Fate::Void;
                }
                Some(Answer::Rejected(rejection)) if !may_pass(rejection.code) => {
                    break Fate::Rejected(node, rejection);
                }
                Some(Answer::Waited(WaitError::TimedOut | WaitError::Unknown) | Answer::Rejected(_)) | None => {}
            }
            let is_late = self.now_s() > transaction.not_after() + 60;
            if self.record.is_stopping() || (is_late && is_past(&door, &transaction).await) {
                break Fate::Void;
            }
            let pause = self.chance.between(50, 400);
            self.world.sleep(Duration::from_millis(pause)).await;
        };
        self.record.set_unanswered(self.organisation, None);
        fate
    }

    /// Now and then asks what a register says of a key, with proof.
    async fn ask_record(&mut self, node: usize, door: &Door, transaction: &SignedTransaction) {
        if !self.chance.percent(30) {
            return;
        }
        let (register, key) = match transaction.operations().first() {
            Some(Operation::EntryAppend { register, entries }) => {
                (register.clone(), entries.first().map_or("none".to_owned(), |entry| entry.key.clone()))
            }
            _ => ("no-such-register".to_owned(), "none".to_owned()),
        };
        let about = About::Record(register.clone(), key.clone());
        let receipt = door.ask(move |service| async move { service.record_receipt(&register, &key).await.ok() }).await;
        if let Some(receipt) = receipt.flatten() {
            let file = Receipt::Record(receipt).to_bytes();
            self.record.check(|seen| {
                seen.receipts.given(node, about, file);
                Ok(())
            });
        }
    }
}

/// Creates a register with two fields: a name, and its own key.
pub fn register_of(register: &str) -> Operation {
    let fields = ["name", register].map(|name| Field::new(name, Datatype::String)).to_vec();
    Operation::RegisterCreate { register: register.to_owned(), text: "A register".to_owned(), fields }
}

/// Rejections that an honest client may meet while nodes start, are full, or have a wrong clock.
fn may_pass(code: RejectionCode) -> bool {
    use RejectionCode::{Busy, Expired, NotAfterTooLate, Unavailable, UnknownKey};
    // A node that has not applied block 1 yet knows nobody.
    matches!(code, Busy | Unavailable | Expired | NotAfterTooLate | UnknownKey)
}

/// Whether the ledger's time has passed the transaction's end on a node whose log does not hold it: then none ever will.
async fn is_past(door: &Door, transaction: &SignedTransaction) -> bool {
    let (id, not_after) = (transaction.id(), transaction.not_after());
    let asked = door.ask(move |service| async move {
        // The time first: what comes into the log after it is later.
        let is_later = service.tip().header.time_ms / 1_000 > not_after;
        is_later && service.history().index_of(&id).is_none()
    });
    asked.await.unwrap_or(false)
}

/// Submits, waits, and fetches the receipt: as one conversation with one node.
async fn ask(door: &Door, transaction: &SignedTransaction) -> Option<Answer> {
    let (bytes, id): (Bytes, Hash) = (transaction.bytes().clone(), transaction.id());
    door.ask(move |service| async move {
        if let Some(Err(rejection)) = service.submit(vec![bytes]).await.pop() {
            return Answer::Rejected(rejection);
        }
        match service.finalised(&id, PATIENCE).await {
            Err(error) => Answer::Waited(error),
            Ok(finalised) => {
                let told = Told { index: finalised.index, height: finalised.height, outcome: finalised.outcome };
                let receipt = service.receipt(&id).await.ok();
                Answer::Final(told, receipt.map(|receipt| Receipt::Transaction(receipt).to_bytes()))
            }
        }
    })
    .await
}

/// Someone who floods, replays and sends garbage.
pub struct Hostile(pub Client);

impl Hostile {
    /// Does so until the world says stop.
    pub async fn work(mut self) {
        while !self.0.record.is_stopping() {
            let pause = self.0.chance.between(100, 1_500);
            self.0.world.sleep(Duration::from_millis(pause)).await;
            let (node, door) = self.0.chance.pick(&self.0.doors).clone();
            let (sent, must_fail) = self.nuisance();
            let answers = door.ask(move |service| async move { service.submit(sent).await }).await;
            let admitted = answers.is_some_and(|answers| answers.iter().any(Result::is_ok));
            if must_fail && admitted {
                self.0.record.broken(Broken::new("admission", format!("node {node} admits what must not be")));
            }
        }
    }

    /// Something to send, and whether none of it may be admitted.
    fn nuisance(&mut self) -> (Vec<Bytes>, bool) {
        let client = &mut self.0;
        let real = client.next();
        let damaged = |chance: &mut Chance, bytes: &Bytes| {
            let mut bytes = bytes.to_vec();
            let place = usize::try_from(chance.below(bytes.len() as u64)).unwrap_or(0);
            bytes[place] ^= 1 << chance.below(8);
            Bytes::from(bytes)
        };
        match client.chance.below(6) {
            0 => {
                let lengths = [0, 1, 60, 5_000, 70_000];
                (lengths.iter().map(|length| Bytes::from(client.chance.bytes(*length))).collect(), true)
            }
            1 => ((0..20).map(|_| damaged(&mut client.chance, real.bytes())).collect(), true),
            2 => {
                let mut intent = real.intent().clone();
                intent.network.0[0] ^= 1;
                let key = &client.members.principals[client.organisation][1].key;
                (vec![intent.sign(key).expect("valid elsewhere").bytes().clone()], true)
            }
            3 => {
                // Not after a time long gone, and one far away.
                let times = [1, client.now_s() + 1_000_000];
                let member = client.members.principals[client.organisation][1].clone();
                let sign = |time| client.members.sign(&member, time, vec![7; 16], real.operations().to_vec());
                (times.map(|time| sign(time).bytes().clone()).to_vec(), true)
            }
            // A flood of good ones, and the same one many times.
            4 => ((0..client.chance.between(20, 120)).map(|_| client.next().bytes().clone()).collect(), false),
            _ => {
                let old = client.record.any_signed(client.chance.number());
                (vec![old.unwrap_or_else(|| real.bytes().clone()); 30], false)
            }
        }
    }
}
