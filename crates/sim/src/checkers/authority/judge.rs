//! Compares a state with what was permitted.

use super::{Network, Rows};
use std::collections::BTreeSet;
use tallystick_ledger::{
    AgendaRow, AuthorityRow, BallotRow, CountersRow, KeyRow, LimitsRow, MandateRow, OrganisationRow, PolicyRow,
    PolicySetRow, PrincipalRow, ScheduleRow,
};
use tallystick_protocol::{
    CborError, Choice, OrganisationStatus, PartitionRow, ProposalRow, RecordRow, RegisterRow, Rulebook, StateKey, cbor,
    limits::STATE_VALUE_BYTES_MAX,
};

/// Reads a row that must be there.
fn read<R>(
    rows: &Rows,
    key: StateKey,
    what: &str,
    decode: impl FnOnce(&[u8]) -> Result<R, CborError>,
) -> Result<R, String> {
    let bytes = rows.get(&key).ok_or_else(|| format!("the row of {what} is gone"))?;
    decode(bytes).map_err(|error| format!("the row of {what}: {error}"))
}

/// A finding, unless it is so.
fn expect(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}

impl Network {
    /// Says what in the state is not as permitted.
    pub fn judge(&self, rows: &Rows) -> Result<(), String> {
        let explained: BTreeSet<StateKey> = self.policies.rows().chain(self.holders.keys().copied()).collect();
        for key in rows.keys().filter(|key| !self.explained.contains(*key) && !explained.contains(*key)) {
            // Revocation, Revoked: see `is_revoked_from`.
            if !(self.is_revoked_from && matches!(key.0[0], 11 | 12)) {
                return Err(format!("row {key} was written, and no accepted act explains it"));
            }
        }
        self.judge_people(rows)?;
        self.judge_erasures(rows)?;
        for (name, (members, is_closed)) in &self.partitions {
            let row = read(rows, StateKey::partition(name), name, PartitionRow::decode)?;
            let held: BTreeSet<String> = row.terms.members.iter().cloned().collect();
            expect(held == *members && row.closed.is_some() == *is_closed, || {
                format!("{row:?}, its members agreed to {members:?}, closed: {is_closed}")
            })?;
        }
        self.judge_registers(rows)?;
        self.judge_policies(rows)?;
        self.judge_votes(rows)?;
        self.judge_rules(rows)
    }

    fn judge_people(&self, rows: &Rows) -> Result<(), String> {
        for (id, known) in &self.organisations {
            let row = read(rows, StateKey::organisation(id), id, OrganisationRow::decode)?;
            let is_as_permitted = row.status == known.status
                && row.since_height == known.since_height
                && row.name == known.name
                && row.recovery == known.recovery;
            expect(is_as_permitted, || format!("{row:?}, permitted was {}", known.status))?;
        }
        for (id, known) in &self.principals {
            let row = read(rows, StateKey::principal(id), id.as_str(), PrincipalRow::decode)?;
            let held = row.keys.iter().filter(|held| held.is_kept()).map(|held| (held.key.to_string(), held.until_ms));
            let kept = known.keys.iter().filter(|held| held.end_ms.is_none());
            let permitted: BTreeSet<_> = kept.map(|held| (held.key.to_string(), held.until_ms)).collect();
            let is_as_permitted =
                (&row.roles, row.status) == (&known.roles, known.status) && held.collect::<BTreeSet<_>>() == permitted;
            expect(is_as_permitted, || {
                format!("{id} is {row:?}, permitted were {}, {} and {permitted:?}", known.roles, known.status)
            })?;
        }
        for (key, (holder, keepers)) in &self.holders {
            let row = read(rows, *key, "a key", KeyRow::decode)?;
            expect((&row.holder, &row.proposals) == (holder, keepers), || {
                format!("a key is {row:?}, permitted was {holder}, {keepers:?}")
            })?;
        }
        for (id, (terms, is_revoked)) in &self.mandates {
            let row = read(rows, StateKey::mandate(id), id.as_str(), MandateRow::decode)?;
            let is_as_granted = row.terms == *terms && row.revoked_ms.is_some() == *is_revoked;
            expect(is_as_granted, || format!("{row:?}, granted was {terms:?}, revoked: {is_revoked}"))?;
        }
        for ((organisation, id), (_, is_trusted)) in &self.authorities {
            let row = read(rows, StateKey::authority(organisation, id), "an authority", AuthorityRow::decode)?;
            expect(row.retired_ms.is_none() == *is_trusted, || {
                format!("an authority of {organisation} is trusted or not, and nobody said so")
            })?;
        }
        Ok(())
    }

    fn judge_registers(&self, rows: &Rows) -> Result<(), String> {
        for (name, known) in &self.registers {
            let row = read(rows, StateKey::register(name), name, RegisterRow::decode)?;
            let is_as_permitted = row.custodian == known.custodian
                && row.phase == known.phase
                && known.created.is_none_or(|created| row.created == created);
            let (custodian, phase) = (&known.custodian, known.phase);
            expect(is_as_permitted, || format!("register {name} is {row:?}, permitted were {custodian} and {phase}"))?;
        }
        for (key, leaf) in &self.records {
            let row = read(rows, *key, "a record", RecordRow::decode)?;
            expect(row.leaf == *leaf, || format!("record {row:?} is not what log entry {leaf} made it"))?;
        }
        Ok(())
    }

    fn judge_policies(&self, rows: &Rows) -> Result<(), String> {
        for (scope, set) in &self.policies.in_force {
            let row = read(rows, StateKey::policy_set(scope), "the policies", PolicySetRow::decode)?;
            let in_force: Vec<_> = row.policies.iter().map(|policy| (&policy.id, &policy.version)).collect();
            expect(in_force == set.iter().collect::<Vec<_>>(), || {
                format!("the policies of `{scope}` are {in_force:?}, put were {set:?}")
            })?;
        }
        for (id, version) in self.policies.texts.keys() {
            let row = read(rows, StateKey::policy(id, *version), id.as_str(), PolicyRow::decode)?;
            let is_as_put = row.id == *id && self.policies.has_text(id, *version, &row.text);
            expect(is_as_put, || format!("policy {id} of version {version} is not as it was put: {}", row.text))?;
        }
        Ok(())
    }

    fn judge_votes(&self, rows: &Rows) -> Result<(), String> {
        for (id, known) in &self.proposals {
            let row = read(rows, StateKey::proposal(id), id, ProposalRow::decode)?;
            let mut polls: Vec<_> = row
                .polls
                .iter()
                .map(|poll| (poll.rule.kind, poll.about.clone(), [poll.votes, poll.yes, poll.no, poll.abstain]))
                .collect();
            polls.sort();
            let sum = |poll: &super::votes::Poll, choice| poll.sum(&known.ballots, choice);
            let cast: Vec<_> = known
                .polls
                .iter()
                .map(|poll| {
                    let [yes, no, abstain] = [Choice::Yes, Choice::No, Choice::Abstain].map(|choice| sum(poll, choice));
                    (poll.rule.kind, poll.about.clone(), [poll.votes(), yes, no, abstain])
                })
                .collect();
            expect(row.status == known.status && polls == cast, || {
                format!("{id} is {} by {polls:?}, by its ballots it is {} by {cast:?}", row.status, known.status)
            })?;
            for (who, choice) in &known.ballots {
                let row = read(rows, StateKey::ballot(id, who), "a ballot", BallotRow::decode)?;
                let is_its = row.choice == *choice && row.principal.organisation() == who;
                expect(is_its, || format!("the ballot of {who} on {id} is {row:?}, cast was {choice}"))?;
            }
        }
        let agenda = read(rows, StateKey::agenda(), "the agenda", AgendaRow::decode)?;
        let due: BTreeSet<&String> = agenda.due.iter().map(|due| &due.proposal).collect();
        let pending = self.proposals.iter().filter(|(_, known)| known.is_pending()).map(|(id, _)| id);
        let is_as_decided = due == pending.collect() && agenda.version == self.version && agenda.turns == self.turns;
        expect(is_as_decided, || format!("the agenda is not what is pending: {agenda:?}"))
    }

    fn judge_rules(&self, rows: &Rows) -> Result<(), String> {
        let rulebook: Rulebook =
            read(rows, StateKey::rulebook(), "the rulebook", |row| cbor::decode(row, STATE_VALUE_BYTES_MAX))?;
        expect(rulebook == self.rulebook, || format!("the rulebook is {rulebook:?}, decided was {:?}", self.rulebook))?;
        let limits = rows.get(&StateKey::limits()).map(|row| LimitsRow::decode(row).map_err(|error| error.to_string()));
        let limits = limits.transpose()?.unwrap_or_default();
        let set: Vec<(String, u64)> = limits.set.iter().map(|one| (one.limit.to_string(), one.value)).collect();
        let is_as_decided =
            set.len() == self.limits.len() && set.iter().all(|(limit, value)| self.limits.get(limit) == Some(value));
        expect(is_as_decided, || format!("the limits are {set:?}, decided were {:?}", self.limits))?;
        let schedule = read(rows, StateKey::schedule(), "the validators", ScheduleRow::decode)?;
        let decided: Vec<[u8; 32]> = self.validators.keys().copied().collect();
        expect(schedule.later.keys() == decided, || "the validators are not those that were decided".to_owned())?;
        let counters = read(rows, StateKey::counters(), "the counters", CountersRow::decode)?;
        let active = self.organisations.values().filter(|known| known.status == OrganisationStatus::Active).count();
        let counted = [counters.registers, counters.organisations, counters.active].map(|count| count as usize);
        let is_right = counted == [self.registers.len(), self.organisations.len(), active]
            && counters.policies == self.policies.version;
        expect(is_right, || format!("{counters:?}, where {active} members act"))
    }
}
