//! What the members vote on: who has how many votes on what, by the rulebook at the time of the proposal; what the ballots have come to;
//! and what takes effect.
//!
//! What becomes of proposals at the beginning of blocks no transaction tells, so the state lists it as turns: each is judged here.

use super::Network;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::Turn;
use tallystick_protocol::{
    AgreementTerms, Change, ChangeKind, Choice, Circle, Hash, OrganisationStatus, Phase, PrincipalId, ProposalStatus,
    PublicKey, Rule, StateKey, limits::ORGANISATIONS_PER_PAGE, limits::PARTITIONS_PER_PAGE, limits::PROPOSALS_PER_PAGE,
    limits::TURNS_PER_PAGE,
};

/// A proposal.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub status: ProposalStatus,
    pub polls: Vec<Poll>,
    pub ballots: BTreeMap<String, Choice>,
    proposer: String,
    changes: Vec<Change>,
    submitted_height: u64,
    closes_ms: u64,
    paused_until_ms: Option<u64>,
    stated_height: u64,
    /// The first height at which it may take effect.
    effect_height: Option<u64>,
    objected: BTreeSet<String>,
}

/// One thing that must be carried.
#[derive(Clone, Debug)]
pub struct Poll {
    pub rule: Rule,
    pub about: Option<String>,
    /// Who had how many votes when it was submitted.
    pub electors: BTreeMap<String, u64>,
}

impl Poll {
    /// Votes cast so.
    pub fn sum(&self, ballots: &BTreeMap<String, Choice>, choice: Choice) -> u64 {
        let cast = self.electors.iter().filter(|(who, _)| ballots.get(*who) == Some(&choice));
        cast.map(|(_, votes)| votes).sum()
    }

    pub fn votes(&self) -> u64 {
        self.electors.values().sum()
    }

    /// Carried, lost, or open still.
    fn verdict(&self, ballots: &BTreeMap<String, Choice>) -> Option<bool> {
        let [yes, no, abstain] = [Choice::Yes, Choice::No, Choice::Abstain].map(|choice| self.sum(ballots, choice));
        let base = self.votes() - abstain;
        let (numerator, denominator) =
            (u64::from(self.rule.threshold.numerator), u64::from(self.rule.threshold.denominator));
        let carries = |yes: u64| {
            let (have, need) = (yes * denominator, base * numerator);
            yes > 0 && (have > need || (have == need && !self.rule.threshold.exceeded))
        };
        let out = base - yes - no;
        if carries(yes) { Some(true) } else { (!carries(yes + out)).then_some(false) }
    }
}

impl Proposal {
    pub fn is_pending(&self) -> bool {
        matches!(self.status, ProposalStatus::Open | ProposalStatus::Accepted)
    }

    fn longest(&self, of: impl Fn(&Rule) -> u64) -> u64 {
        self.polls.iter().map(|poll| of(&poll.rule)).max().unwrap_or_default()
    }

    /// From when on it may take effect, if it is accepted at this height.
    fn noticed(&self, height: u64) -> u64 {
        self.stated_height.max(height + self.longest(|rule| rule.notice_blocks))
    }

    fn has_elector(&self, who: &str) -> bool {
        self.polls.iter().any(|poll| poll.electors.contains_key(who))
    }
}

impl Network {
    fn rule(&self, kind: ChangeKind) -> Rule {
        *self.rulebook.rules.iter().find(|rule| rule.kind == kind).expect("a rule for each kind")
    }

    /// Whether an organisation may do this by an operation of its own.
    pub fn may_directly(&self, kind: ChangeKind) -> Result<(), String> {
        if self.rule(kind).direct { Ok(()) } else { Err(format!("{kind} was done without a vote")) }
    }

    /// The organisations that a change is about.
    fn concerned(&self, change: &Change) -> BTreeSet<String> {
        let custodian = |register: &String| self.registers.get(register).map(|known| known.custodian.clone());
        match change {
            Change::OrganisationAdmit { organisation } => [organisation.id.clone()].into(),
            Change::OrganisationAmend { organisation, .. }
            | Change::OrganisationSuspend { organisation, .. }
            | Change::OrganisationResume { organisation }
            | Change::OrganisationExpel { organisation, .. }
            | Change::AuthorityAdmit { organisation, .. }
            | Change::AuthorityRetire { organisation, .. } => [organisation.clone()].into(),
            Change::Validators { add, remove } => {
                add.iter().chain(remove).map(|one| one.organisation.clone()).collect()
            }
            Change::RegisterCreate { custodian, .. } => [custodian.clone()].into(),
            Change::RegisterEntrust { register, custodian: new } => {
                custodian(register).into_iter().chain([new.clone()]).collect()
            }
            Change::RegisterClose { register, .. } => custodian(register).into_iter().collect(),
            Change::PartitionOpen { agreement } => agreement.members.iter().cloned().collect(),
            Change::PartitionAmend { agreement } => {
                let before = self.partitions.get(&agreement.partition).into_iter().flat_map(|(members, _)| members);
                before.chain(&agreement.members).cloned().collect()
            }
            Change::PartitionClose { partition, .. } => {
                self.partitions.get(partition).map(|(members, _)| members.clone()).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        }
    }

    pub fn propose(
        &mut self,
        (id, changes, stated): (&str, &[Change], Option<u64>),
        proposer: &str,
        (height, time_ms): (u64, u64),
    ) -> Result<(), String> {
        let mut asked = BTreeSet::new();
        for change in changes {
            let (rule, concerned) = (self.rule(change.kind()), self.concerned(change));
            let may = match rule.propose {
                Circle::Members => true,
                Circle::Others => !concerned.contains(proposer),
                Circle::Concerned => concerned == [proposer.to_owned()].into(),
            };
            if !may || self.proposals.contains_key(id) {
                return Err(format!("{proposer} proposed {id}, and may not"));
            }
            match rule.vote {
                Circle::Members => drop(asked.insert((rule.kind, None))),
                _ => asked.extend(concerned.into_iter().map(|about| (rule.kind, Some(about)))),
            }
        }
        let polls: Vec<Poll> = asked.into_iter().map(|(kind, about)| self.poll(kind, about)).collect();
        let open_s = polls.iter().map(|poll| poll.rule.open_seconds).max().unwrap_or_default();
        self.keep_keys(id, changes)?;
        let page = u32::try_from(self.proposals.len()).expect("few proposals") / PROPOSALS_PER_PAGE;
        self.explained.extend([StateKey::proposal(id), StateKey::rule_text(id), StateKey::proposals(page)]);
        self.explained.extend((0..).zip(changes).map(|(index, _)| StateKey::change(id, index)));
        let proposal = Proposal {
            status: ProposalStatus::Open,
            polls,
            ballots: BTreeMap::new(),
            proposer: proposer.to_owned(),
            changes: changes.to_vec(),
            submitted_height: height,
            closes_ms: time_ms + open_s * 1_000,
            paused_until_ms: None,
            stated_height: stated.unwrap_or_default(),
            effect_height: None,
            objected: BTreeSet::new(),
        };
        self.proposals.insert(id.to_owned(), proposal);
        Ok(())
    }

    fn poll(&self, kind: ChangeKind, about: Option<String>) -> Poll {
        let rule = self.rule(kind);
        let votes = |who: &String| match rule.weight {
            tallystick_protocol::Weight::Equal => 1,
            tallystick_protocol::Weight::Listed => {
                let listed = self.rulebook.weights.iter().find(|weight| weight.organisation == *who);
                listed.map_or(1, |weight| u64::from(weight.votes))
            }
        };
        let is_of_it = |who: &String| match rule.vote {
            Circle::Members => true,
            Circle::Others => about.as_ref() != Some(who),
            Circle::Concerned => about.as_ref() == Some(who),
        };
        let active = self.organisations.iter().filter(|(_, known)| known.status == OrganisationStatus::Active);
        let electors = active.map(|(who, _)| who).filter(|who| is_of_it(who));
        let electors = electors.map(|who| (who.clone(), votes(who))).collect();
        Poll { rule, about, electors }
    }

    /// Keeps the keys that changes name for those who are to hold them.
    fn keep_keys(&mut self, id: &str, changes: &[Change]) -> Result<(), String> {
        let named = changes.iter().flat_map(|change| match change {
            Change::OrganisationAdmit { organisation } => {
                let holders = organisation.principals.iter();
                holders.map(|one| (format!("{}/{}", organisation.id, one.name), one.key)).collect()
            }
            Change::Validators { add, .. } => {
                add.iter().map(|one| (one.organisation.clone(), PublicKey::Ed25519(one.key))).collect()
            }
            _ => Vec::new(),
        });
        for (holder, key) in named.collect::<Vec<_>>() {
            let keepers = match self.holder(&key) {
                Some(known) if known != holder => {
                    return Err(format!("{id} names a key for {holder} that is {known}'s"));
                }
                Some(_) => self.holders.get(&StateKey::key(&key)).map(|(_, keepers)| keepers.clone()),
                None => None,
            };
            // One that the holder has is not kept.
            if keepers.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let mut keepers = keepers.unwrap_or_default();
            keepers.retain(|keeper| keeper != id && self.is_pending(keeper));
            keepers.push(id.to_owned());
            self.holders.insert(StateKey::key(&key), (holder, keepers));
        }
        Ok(())
    }

    /// Whose a key is, or for whom it is kept.
    fn holder(&self, key: &PublicKey) -> Option<String> {
        let (holder, keepers) = self.holders.get(&StateKey::key(key))?;
        let holds = keepers.is_empty() || keepers.iter().any(|keeper| self.is_pending(keeper));
        holds.then(|| holder.clone())
    }

    fn is_pending(&self, id: &str) -> bool {
        self.proposals.get(id).is_some_and(Proposal::is_pending)
    }

    /// A key gets its holder, for ever.
    pub fn take_key(&mut self, holder: &str, key: &PublicKey) -> Result<(), String> {
        let kept = self.holders.get(&StateKey::key(key)).is_some_and(|(_, keepers)| !keepers.is_empty());
        match self.holder(key) {
            Some(known) if known != holder || !kept => Err(format!("{holder} got a key that is {known}'s")),
            _ => {
                self.holders.insert(StateKey::key(key), (holder.to_owned(), Vec::new()));
                Ok(())
            }
        }
    }

    pub fn cast(&mut self, id: &str, who: &str, choice: Choice, (height, time_ms): (u64, u64)) -> Result<(), String> {
        let since = self.organisations.get(who).map(|known| known.since_height);
        let proposal = self.proposals.get_mut(id).ok_or_else(|| format!("{who} voted on {id}, which is not there"))?;
        let is_open = proposal.status == ProposalStatus::Open
            && proposal.paused_until_ms.is_none()
            && time_ms < proposal.closes_ms;
        let is_elector = proposal.has_elector(who) && since.is_some_and(|since| since <= proposal.submitted_height);
        if !is_open || !is_elector || proposal.ballots.insert(who.to_owned(), choice).is_some() {
            return Err(format!("{who} voted on {id}, and has no vote on it now"));
        }
        let verdicts: Vec<_> = proposal.polls.iter().map(|poll| poll.verdict(&proposal.ballots)).collect();
        if verdicts.contains(&Some(false)) {
            proposal.status = ProposalStatus::Rejected;
        } else if verdicts.iter().all(|verdict| *verdict == Some(true)) {
            proposal.status = ProposalStatus::Accepted;
            proposal.effect_height = Some(proposal.noticed(height));
        }
        self.explained.insert(StateKey::ballot(id, who));
        Ok(())
    }

    pub fn withdraw(&mut self, id: &str, who: &str) -> Result<(), String> {
        match self.proposals.get_mut(id) {
            Some(proposal) if proposal.is_pending() && proposal.proposer == who => {
                proposal.status = ProposalStatus::Withdrawn;
                Ok(())
            }
            _ => Err(format!("{who} took {id} back, and may not")),
        }
    }

    pub fn object(&mut self, id: &str, who: &str, time_ms: u64) -> Result<(), String> {
        let since = self.organisations.get(who).map(|known| known.since_height);
        let proposal =
            self.proposals.get_mut(id).ok_or_else(|| format!("{who} objected to {id}, which is not there"))?;
        let is_elector = proposal.has_elector(who) && since.is_some_and(|since| since <= proposal.submitted_height);
        let pause_ms = proposal.longest(|rule| rule.pause_seconds) * 1_000;
        if !proposal.is_pending() || !is_elector || pause_ms == 0 || !proposal.objected.insert(who.to_owned()) {
            return Err(format!("{who} objected to {id}, and may not"));
        }
        let paused = proposal.paused_until_ms.unwrap_or(time_ms).max(time_ms);
        let until = paused.max(time_ms + pause_ms);
        proposal.closes_ms += until - paused;
        proposal.paused_until_ms = Some(until);
        proposal.effect_height = None;
        self.explained.insert(StateKey::objection(id, who));
        Ok(())
    }

    /// What became of a proposal at the beginning of a block.
    pub fn turn(&mut self, turn: &Turn) -> Result<(), String> {
        let id = &turn.proposal;
        let bad = || Err(format!("{turn:?}, which the ballots and the clock do not say"));
        self.turns += 1;
        let Some(proposal) = self.proposals.get(id).cloned() else { return bad() };
        let is_over = |until: Option<u64>| until.is_some_and(|until| until <= turn.time_ms);
        let (mut effect_height, mut changes) = (proposal.effect_height, &[][..]);
        match (proposal.status, turn.status) {
            (ProposalStatus::Open, ProposalStatus::Lapsed)
                if proposal.paused_until_ms.is_none() && turn.time_ms >= proposal.closes_ms => {}
            (ProposalStatus::Open, ProposalStatus::Open) if is_over(proposal.paused_until_ms) => {}
            (ProposalStatus::Accepted, ProposalStatus::Accepted) if is_over(proposal.paused_until_ms) => {
                effect_height = Some(proposal.noticed(turn.height));
            }
            (ProposalStatus::Accepted, ProposalStatus::Effective | ProposalStatus::Failed)
                if effect_height.is_some_and(|height| turn.height >= height) =>
            {
                // What failed changes nothing, whatever the reason.
                changes = if turn.status == ProposalStatus::Effective { &proposal.changes } else { &[] };
            }
            _ => return bad(),
        }
        for change in changes {
            let has_agreed = |member: &String| proposal.ballots.get(member) == Some(&Choice::Yes);
            if change.kind().as_str().starts_with("partition-") && !self.concerned(change).iter().all(has_agreed) {
                return Err(format!("{id} took effect, and not every member of the partition voted for it"));
            }
            self.take_effect(change, turn.height).map_err(|why| format!("{id} took effect: {why}"))?;
        }
        let known = self.proposals.get_mut(id).expect("it is there");
        (known.status, known.paused_until_ms, known.effect_height) = (turn.status, None, effect_height);
        let page = u32::try_from((self.turns - 1) / TURNS_PER_PAGE).expect("few turns");
        self.explained.insert(StateKey::turns(page));
        Ok(())
    }

    fn take_effect(&mut self, change: &Change, height: u64) -> Result<(), String> {
        use OrganisationStatus::{Active, Expelled, Suspended};
        match change {
            Change::OrganisationAdmit { organisation } => {
                let page = u32::try_from(self.organisations.len()).expect("few organisations") / ORGANISATIONS_PER_PAGE;
                self.explained.insert(StateKey::organisations(page));
                self.admit(organisation, height)?;
            }
            Change::OrganisationAmend { organisation, name, .. } => {
                let known = self.organisations.get_mut(organisation).ok_or("an organisation that is not there")?;
                known.name = name.clone().unwrap_or_else(|| known.name.clone());
            }
            Change::OrganisationSuspend { organisation, .. } => {
                self.turn_to(organisation, &[Active], Suspended, height)?
            }
            Change::OrganisationResume { organisation } => self.turn_to(organisation, &[Suspended], Active, height)?,
            Change::OrganisationExpel { organisation, .. } => {
                self.turn_to(organisation, &[Active, Suspended], Expelled, height)?;
            }
            Change::AuthorityAdmit { organisation, certificate, .. } => self.trust(organisation, certificate),
            Change::AuthorityRetire { organisation, authority } => self.distrust(organisation, authority)?,
            Change::Validators { add, remove } => {
                for validator in remove {
                    if self.validators.remove(&validator.key) != Some(validator.organisation.clone()) {
                        return Err(format!("a validator left that {} does not have", validator.organisation));
                    }
                }
                for validator in add {
                    let row = StateKey::validator(&validator.key);
                    if !self.explained.contains(&row) {
                        self.take_key(&validator.organisation, &PublicKey::Ed25519(validator.key))?;
                    }
                    self.explained.insert(row);
                    self.validators.insert(validator.key, validator.organisation.clone());
                }
            }
            Change::RegisterCreate { register, custodian, .. } => self.create(register, custodian, None)?,
            Change::Policies { put, remove } => self.policies.change(put, remove),
            Change::RegisterEntrust { register, custodian } => {
                let known = self.registers.get_mut(register).ok_or("a register that is not there")?;
                known.custodian.clone_from(custodian);
            }
            Change::RegisterClose { register, successor } => {
                let known = self.registers.get_mut(register).ok_or("a register that is not there")?;
                known.phase = if successor.is_some() { Phase::Superseded } else { Phase::Closed };
            }
            Change::Limit { limit, value } => drop(self.limits.insert(limit.to_string(), *value)),
            Change::ProtocolVersion { version } => self.version = *version,
            Change::Rulebook { rulebook } => {
                for new in &rulebook.rules {
                    let old = self.rulebook.rules.iter_mut().find(|rule| rule.kind == new.kind);
                    *old.expect("a rule for each kind") = *new;
                }
                self.rulebook.weights = rulebook.weights.clone().unwrap_or_else(|| self.rulebook.weights.clone());
                let most = rulebook.register_policies_max;
                self.rulebook.register_policies_max = most.unwrap_or(self.rulebook.register_policies_max);
            }
            Change::PartitionOpen { agreement } => self.agree(agreement, true)?,
            Change::PartitionAmend { agreement } => self.agree(agreement, false)?,
            Change::PartitionClose { partition, .. } => {
                self.partitions.get_mut(partition).ok_or("a partition that is not there")?.1 = true;
            }
        }
        Ok(())
    }

    /// A partition has this agreement.
    fn agree(&mut self, agreement: &AgreementTerms, is_new: bool) -> Result<(), String> {
        let name = &agreement.partition;
        let page = u32::try_from(self.partitions.len() / PARTITIONS_PER_PAGE).expect("few partitions");
        if is_new {
            self.explained.extend([StateKey::partition(name), StateKey::partitions(page)]);
        }
        let partition = (agreement.members.iter().cloned().collect(), false);
        let before = self.partitions.insert(name.clone(), partition);
        let goes_on = before.map_or(is_new, |(_, is_closed)| !is_new && !is_closed);
        if goes_on { Ok(()) } else { Err(format!("partition {name} was opened again, or amended and is not open")) }
    }

    fn turn_to(
        &mut self,
        organisation: &str,
        from: &[OrganisationStatus],
        to: OrganisationStatus,
        height: u64,
    ) -> Result<(), String> {
        let known = self.organisations.get_mut(organisation).filter(|known| from.contains(&known.status));
        let known = known.ok_or_else(|| format!("{organisation} became {to}, from what it was not"))?;
        (known.status, known.since_height) = (to, height);
        Ok(())
    }

    /// An authority is on the trust list.
    pub fn trust(&mut self, organisation: &str, certificate: &[u8]) {
        let id = Hash::of(&[certificate]);
        self.explained.insert(StateKey::authority(organisation, &id));
        self.authorities.insert((organisation.to_owned(), id), (certificate.to_vec(), true));
    }

    /// It is on it no longer.
    pub fn distrust(&mut self, organisation: &str, authority: &Hash) -> Result<(), String> {
        let known = self.authorities.get_mut(&(organisation.to_owned(), *authority));
        known.ok_or_else(|| format!("{organisation} lost an authority that it did not have"))?.1 = false;
        Ok(())
    }
}

/// Who a principal of a new organisation is.
pub fn principal_of(organisation: &str, name: &str) -> PrincipalId {
    PrincipalId::new(organisation, name).expect("an accepted name is a slug")
}
