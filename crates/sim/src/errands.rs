//! Errands: what somebody sets out to do, step by step, whatever goes wrong meanwhile, and what must come of each step.
//!
//! A step whose time passed before anybody took it is taken anew. What must come of it does not depend on when it is taken: an
//! errand that is told otherwise has found a broken promise.

mod away;
mod entrust;
pub mod erase;
mod legislate;
mod outlive;
mod race;
mod rogue;
mod rotate;
mod sever;
pub mod share;

use crate::{
    chance::Chance,
    checkers::{Broken, durability::Told},
    client::{Client, Fate, register_of},
    members::Member,
    node::Door,
    plan::Errand,
};
use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _};
use std::time::Duration;
use tallystick_node::rejection::{Rejection, RejectionCode};
use tallystick_protocol::{
    Change, Choice, Code, Operation, Outcome, ProposalRow, ProposalStatus, RuleText, StateKey, Subject,
};

/// How often somebody looks whether what it waits for has come.
const LOOK: Duration = Duration::from_millis(200);

impl Client {
    /// Does an errand. It ends early when a promise is broken, or the world stops.
    pub async fn go(mut self, errand: Errand) {
        let done = match errand {
            Errand::Outlive => outlive::outlive(&mut self).await,
            Errand::Rotate => rotate::rotate(&mut self).await,
            Errand::Race => race::race(&mut self).await,
            Errand::Entrust => entrust::entrust(&mut self).await,
            Errand::Legislate => legislate::legislate(&mut self).await,
            Errand::Rogue => rogue::rogue(&mut self).await,
            Errand::Share => share::share(&mut self).await,
            Errand::Reshape => share::reshape::reshape(&mut self).await,
            Errand::Retain => share::retain::retain(&mut self).await,
            Errand::Erase => erase::erase(&mut self, true).await,
            Errand::Order => erase::erase(&mut self, false).await,
            Errand::Away => away::away(&mut self).await,
            Errand::Sever => sever::sever(&mut self).await,
            Errand::Permit => share::permit::permit(&mut self).await,
            Errand::SeverShared => share::sever::sever(&mut self).await,
        };
        if done.is_some() {
            self.record.is_back(errand);
        }
    }

    fn complain(&self, what: String) {
        self.record.broken(Broken::new("errand", what));
    }

    fn administrator(&self, organisation: usize) -> Member {
        self.members.principals[organisation][0].clone()
    }

    fn registrar(&self, organisation: usize) -> Member {
        self.members.principals[organisation][1].clone()
    }

    /// Has a step taken, and says what came of it; none when the world stops.
    async fn step(&mut self, member: &Member, operations: Vec<Operation>) -> Option<Result<Told, Rejection>> {
        while !self.record.is_stopping() {
            let transaction = self.sign(member, operations.clone());
            let names: Vec<&str> = operations.iter().map(|operation| operation.name().as_str()).collect();
            match self.submit(transaction).await {
                Fate::Final(told) => {
                    self.record.note(format!("{} {names:?}: {:?}", member.id, told.outcome));
                    return Some(Ok(told));
                }
                Fate::Rejected(node, rejection) => {
                    self.record.note(format!("{} {names:?}: rejected by node {node}: {rejection}", member.id));
                    return Some(Err(rejection));
                }
                Fate::Void => {}
            }
        }
        None
    }

    /// A step that must be accepted.
    async fn accepted(&mut self, member: &Member, operation: Operation) -> Option<Told> {
        match self.step(member, vec![operation.clone()]).await? {
            Ok(told) if told.outcome.is_accepted() => Some(told),
            other => {
                self.complain(format!("{} expected {} to be accepted: {other:?}", member.id, operation.name()));
                None
            }
        }
    }

    /// A step that the ledger must refuse so.
    async fn refused(&mut self, member: &Member, operation: Operation, code: Code) -> Option<Told> {
        match self.step(member, vec![operation.clone()]).await? {
            Ok(told) if matches!(&told.outcome, Outcome::Refused(refusal) if refusal.code == code) => Some(told),
            other => {
                self.complain(format!("{} expected {}: {code}, and not {other:?}", member.id, operation.name()));
                None
            }
        }
    }

    /// Puts changes to the vote.
    async fn propose(&mut self, proposer: &Member, proposal: &str, changes: Vec<Change>) -> Option<Told> {
        let text = RuleText::Whole("As decided.".to_owned());
        let (proposal, title) = (proposal.to_owned(), "A change".to_owned());
        self.accepted(proposer, Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None }).await
    }

    /// Casts ballots for it, until it is decided.
    async fn agree(&mut self, voters: &[Member], proposal: &str) -> Option<()> {
        for voter in voters {
            let ballot = Operation::BallotCast { proposal: proposal.to_owned(), choice: Choice::Yes };
            match self.step(voter, vec![ballot]).await? {
                Ok(Told { outcome: Outcome::Accepted { .. }, .. }) => {}
                Ok(Told { outcome: Outcome::Refused(refusal), .. }) if refusal.code == Code::ProposalStatus => break,
                other => {
                    self.complain(format!("{} expected to vote on {proposal}: {other:?}", voter.id));
                    return None;
                }
            }
        }
        Some(())
    }

    /// Has changes proposed by the first of these, voted for by all, and waits until they are in effect.
    async fn decide(&mut self, voters: &[Member], proposal: &str, changes: Vec<Change>) -> Option<()> {
        self.propose(voters.first()?, proposal, changes).await?;
        self.agree(voters, proposal).await?;
        match self.ended(proposal).await? {
            ProposalStatus::Effective => Some(()),
            status => {
                self.complain(format!("{proposal} was voted for and is {status}"));
                None
            }
        }
    }

    /// Waits until nothing is to come of a proposal any more, and says how it ended.
    async fn ended(&mut self, proposal: &str) -> Option<ProposalStatus> {
        loop {
            let row = self.row(StateKey::proposal(proposal)).await.and_then(|row| ProposalRow::decode(&row).ok());
            if let Some(row) = row.filter(|row| !row.is_pending()) {
                self.record.note(format!("{proposal} is {}", row.status));
                return Some(row.status);
            }
            self.pause().await?;
        }
    }

    /// A row of the state, as one of the nodes has it.
    async fn row(&mut self, key: StateKey) -> Option<Vec<u8>> {
        let (_, door) = self.chance.pick(&self.doors).clone();
        let asked = door.read(move |_, reader, _| async move { reader.rows(&[key]).await.ok()?.rows.pop()? });
        asked.await.flatten().map(|row| row.to_vec())
    }

    /// Somebody else on the same errand, by number.
    fn fork(&mut self, number: usize) -> Self {
        Self {
            world: self.world.child("racer"),
            leap: self.leap.clone(),
            doors: self.doors.clone(),
            members: self.members.clone(),
            record: self.record.clone(),
            wires: self.wires.clone(),
            organisation: self.organisation * 100 + number,
            chance: Chance::new(self.chance.number(), 3),
        }
    }

    /// Lets something go on beside the errand.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.world.child("beside").spawn(move |_| work);
    }

    /// Has the register of an organisation there, whoever created it.
    async fn has_register(&mut self, organisation: usize) -> Option<()> {
        let administrator = self.administrator(organisation);
        let create = register_of(&format!("register-{organisation}"));
        match self.step(&administrator, vec![create]).await? {
            Ok(told) if told.outcome.is_accepted() => Some(()),
            Ok(Told { outcome: Outcome::Refused(refusal), .. }) if refusal.code == Code::RegisterExists => Some(()),
            other => {
                self.complain(format!("{} expected to have a register: {other:?}", administrator.id));
                None
            }
        }
    }

    /// The time of a block, in Unix milliseconds.
    async fn time_ms(&self, height: u64) -> Option<u64> {
        loop {
            if let Some(time_ms) = self.record.time_ms(height) {
                return Some(time_ms);
            }
            self.pause().await?;
        }
    }

    /// Where a node is found: an honest one.
    fn door(&self, node: usize) -> &Door {
        let found = self.doors.iter().find(|(number, _)| *number == node);
        found.map(|(_, door)| door).expect("an errand asks honest nodes")
    }

    async fn wait(&self, pause: Duration) {
        self.world.sleep(pause).await;
    }

    /// Waits a little; none when the world stops.
    async fn pause(&self) -> Option<()> {
        self.world.sleep(LOOK).await;
        (!self.record.is_stopping()).then_some(())
    }
}

/// A court has what is held of somebody kept, by its keeper's word, until it is lifted.
fn hold(hold: &str, keeper: &Member, subject: Subject) -> Operation {
    Operation::HoldPlace {
        hold: hold.to_owned(),
        controller: keeper.id.organisation().to_owned(),
        subject,
        authority: "A court".to_owned(),
        reason: "Evidence".to_owned(),
        until: None,
    }
}

/// Whether the answer says that the key's certificate has ended, and what to do about it.
fn names_the_renewal(answer: &Result<Told, Rejection>) -> bool {
    let (is_expired, advice) = match answer {
        Ok(Told { outcome: Outcome::Refused(refusal), .. }) => {
            (refusal.code == Code::KeyExpired, refusal.code.advice().to_owned())
        }
        Ok(_) => return false,
        Err(rejection) => (rejection.code == RejectionCode::ExpiredKey, rejection.detail.clone()),
    };
    is_expired && advice.contains("tally key certify")
}
