//! Authority: no state change without a recorded permission by a policy in force.
//!
//! Reads the whole log and the whole state of a node, and knows the rules, written down here a second time. It shares no code with the
//! ledger's authorisation, its mandates and its votes: only the names of rows and their form.
//!
//! * Every accepted act was signed with keys that their holders had then, by somebody who may act, or who acted for such a one under
//!   mandates in force; and it records the policies in force then, by their version, that permitted it: all of them, and no other.
//! * Where one hand is not enough, as many administrators signed as a recovery takes.
//! * What the members decide took effect with the votes that the rulebook demanded when it was proposed, and not before its height.
//! * Every row of the state is the genesis', or of an accepted act, or of such a decision, or of a recovery; and what says who is who, whose a key and a
//!   register is, what a record holds, which policies, rules and limits are in force and how each vote stands is what those made it.

mod acts;
mod erasures;
mod judge;
pub mod policies;
#[cfg(test)]
mod tests;
mod votes;

use super::Broken;
use erasures::Erasures;
use policies::Policies;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::TurnsRow;
use tallystick_protocol::{
    Genesis, GenesisOrganisation, Hash, LogEntry, MandateId, MandateTerms, OrganisationStatus, Phase, PrincipalId,
    PrincipalStatus, PublicKey, Recovery, Roles, Rulebook, StateKey, limits::PRINCIPALS_PER_PAGE,
};
use votes::{Proposal, principal_of};

const PROMISE: &str = "authority";

/// All rows of a state.
pub type Rows = BTreeMap<StateKey, Vec<u8>>;

/// Judges a node's whole log and the state after it, given what the organisations signed outside of it, in its order.
pub fn check(
    node: usize,
    (genesis, recoveries): (&Genesis, &[Recovery]),
    log: &[LogEntry],
    rows: &Rows,
) -> Result<(), Broken> {
    if rows.is_empty() && log.is_empty() {
        // No block yet, so no genesis either.
        return Ok(());
    }
    follow((genesis, recoveries), log, rows).map_err(|detail| Broken::new(PROMISE, format!("node {node}: {detail}")))
}

fn follow((genesis, recoveries): (&Genesis, &[Recovery]), log: &[LogEntry], rows: &Rows) -> Result<(), String> {
    let mut network = Network::new(genesis);
    let mut recoveries = recoveries.iter().peekable();
    let mut recover = |network: &mut Network, height: u64| {
        while let Some(recovery) = recoveries.next_if(|recovery| recovery.head.height < height) {
            network.recover(recovery);
        }
    };
    let mut turns = Vec::new();
    for page in 0.. {
        let Some(row) = rows.get(&StateKey::turns(page)) else { break };
        turns.extend(TurnsRow::decode(row).map_err(|error| error.to_string())?.turns);
    }
    let mut turns = turns.iter().peekable();
    let mut now = (0, 0);
    let mut go_on = |height, time_ms| {
        let goes_on = height >= now.0 && time_ms >= now.1;
        now = (height, time_ms);
        if goes_on { Ok(()) } else { Err(format!("time goes back, to height {height}")) }
    };
    for (leaf, entry) in (0..).zip(log) {
        // What is due comes before the transactions of its block.
        while let Some(turn) = turns.next_if(|turn| turn.log_size <= leaf) {
            go_on(turn.height, turn.time_ms)?;
            recover(&mut network, turn.height);
            network.turn(turn)?;
        }
        go_on(entry.height, entry.time_ms)?;
        recover(&mut network, entry.height);
        network.entry(leaf, entry).map_err(|detail| format!("log entry {leaf}: {detail}"))?;
    }
    for turn in turns {
        go_on(turn.height, turn.time_ms)?;
        recover(&mut network, turn.height);
        network.turn(turn)?;
    }
    recover(&mut network, u64::MAX);
    network.judge(rows)
}

/// What accepted acts and decisions amount to.
#[derive(Clone, Default)]
pub struct Network {
    organisations: BTreeMap<String, Organisation>,
    principals: BTreeMap<PrincipalId, Principal>,
    /// Whose each key is, by its row; and the proposals that keep it for them, if they do not have it yet.
    holders: BTreeMap<StateKey, (String, Vec<String>)>,
    registers: BTreeMap<String, Register>,
    /// The members of each, and whether it was closed.
    partitions: BTreeMap<String, (BTreeSet<String>, bool)>,
    /// Nodes that hold what only some may see.
    nodes: BTreeSet<PrincipalId>,
    /// The leaf that last appended to a record.
    records: BTreeMap<StateKey, u64>,
    /// Each with whether it was revoked.
    mandates: BTreeMap<MandateId, (MandateTerms, bool)>,
    policies: Policies,
    /// Certificates, and whether they are on the trust list still.
    authorities: BTreeMap<(String, Hash), (Vec<u8>, bool)>,
    rulebook: Rulebook,
    limits: BTreeMap<String, u64>,
    version: u32,
    proposals: BTreeMap<String, Proposal>,
    /// What became of proposals at the beginning of blocks so far.
    turns: u64,
    /// Who is to certify blocks, as far as was decided, and whose they are.
    validators: BTreeMap<[u8; 32], String>,
    /// Rows that somebody was permitted to write.
    explained: BTreeSet<StateKey>,
    /// Whether somebody was permitted to post a revocation list: which certificates it names is not looked into.
    is_revoked_from: bool,
    erasures: Erasures,
}

#[derive(Clone)]
struct Organisation {
    name: String,
    status: OrganisationStatus,
    since_height: u64,
    /// How many administrators it wants for a recovery, where it has said so.
    recovery: Option<u32>,
}

#[derive(Clone)]
struct Principal {
    roles: Roles,
    status: PrincipalStatus,
    keys: Vec<Held>,
}

/// A key, and when it ends, where that was said: Unix milliseconds.
#[derive(Clone)]
struct Held {
    key: PublicKey,
    /// By its retirement or replacement.
    end_ms: Option<u64>,
    /// By its certificate.
    until_ms: Option<u64>,
}

#[derive(Clone)]
struct Register {
    number: u32,
    custodian: String,
    phase: Phase,
    created: Option<u64>,
}

impl Network {
    fn new(genesis: &Genesis) -> Self {
        let mut network =
            Self { rulebook: genesis.rulebook.clone().unwrap_or_default(), version: 1, ..Self::default() };
        network.policies.change(&Policies::starters(), &[]);
        network.explained.extend([StateKey::counters(), StateKey::log(), StateKey::rulebook(), StateKey::agenda()]);
        network.explained.extend([StateKey::limits(), StateKey::schedule(), StateKey::organisations(0)]);
        for organisation in &genesis.organisations {
            network.admit(organisation, 0).expect("a genesis is valid");
        }
        for validator in &genesis.validators {
            let key = PublicKey::Ed25519(validator.key);
            network.take_key(&validator.organisation, &key).expect("a genesis is valid");
            network.explained.insert(StateKey::validator(&validator.key));
            network.validators.insert(validator.key, validator.organisation.clone());
        }
        network
    }

    fn admit(&mut self, new: &GenesisOrganisation, height: u64) -> Result<(), String> {
        let organisation = Organisation {
            name: new.name.clone(),
            status: OrganisationStatus::Active,
            since_height: height,
            recovery: None,
        };
        if self.organisations.insert(new.id.clone(), organisation).is_some() {
            return Err(format!("{} was admitted again", new.id));
        }
        self.explained.insert(StateKey::organisation(&new.id));
        for principal in &new.principals {
            self.enrol(&principal_of(&new.id, &principal.name), &principal.roles, &principal.key)?;
        }
        Ok(())
    }

    /// The organisations named others in the place of validators that were lost.
    fn recover(&mut self, recovery: &Recovery) {
        self.validators.clear();
        self.explained.insert(StateKey::recovery(recovery.head.height));
        for validator in &recovery.validators {
            let key = StateKey::key(&PublicKey::Ed25519(validator.key));
            self.holders.entry(key).or_insert_with(|| (validator.organisation.clone(), Vec::new()));
            self.explained.insert(StateKey::validator(&validator.key));
            self.validators.insert(validator.key, validator.organisation.clone());
        }
    }

    fn enrol(&mut self, id: &PrincipalId, roles: &Roles, key: &PublicKey) -> Result<(), String> {
        let before = self.principals.keys().filter(|known| known.organisation() == id.organisation()).count();
        let page = u32::try_from(before).expect("few principals") / PRINCIPALS_PER_PAGE;
        self.explained.extend([StateKey::principal(id), StateKey::principals(id.organisation(), page)]);
        let principal = Principal { roles: roles.clone(), status: PrincipalStatus::Active, keys: Vec::new() };
        if self.principals.insert(id.clone(), principal).is_some() {
            return Err(format!("{id} was enrolled again"));
        }
        self.add_key(id, key)
    }

    fn add_key(&mut self, id: &PrincipalId, key: &PublicKey) -> Result<(), String> {
        self.take_key(id.as_str(), key)?;
        let held = Held { key: *key, end_ms: None, until_ms: None };
        self.principals.get_mut(id).ok_or_else(|| format!("{id} got a key, and is nobody"))?.keys.push(held);
        Ok(())
    }

    fn create(&mut self, name: &str, custodian: &str, created: Option<u64>) -> Result<(), String> {
        let number = u32::try_from(self.registers.len() + 1).expect("few registers");
        let register = Register { number, custodian: custodian.to_owned(), phase: Phase::Draft, created };
        self.explained.extend([StateKey::register(name), StateKey::tree(number)]);
        match self.registers.insert(name.to_owned(), register) {
            None => Ok(()),
            Some(_) => Err(format!("register {name} was created again")),
        }
    }
}
