//! No change without the ballots that the rulebook demands, whoever does what and when: against a model that keeps who was a
//! member when, who had which votes and who cast them by itself, and shares no code with the ledger.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, organisations};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::{LimitsRow, OrganisationRow};
use tallystick_protocol::{
    ChangeKind, Circle, LimitName, OrganisationStatus, ProposalStatus, Rulebook, StateKey, VoteWeight, Weight,
};

const FOUNDERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// What is proposed: each a proposal that may be made more than once, under another name.
const PROPOSALS: [&str; 7] = [
    "suspend:e",
    "resume:e",
    "suspend:e suspend:f",
    "suspend:f limit:registers:6",
    "limit:registers:5",
    "admit:g",
    "resume:f resume:e limit:registers:7",
];
const SHARES: [(u32, u32, bool); 5] = [(2, 3, false), (1, 2, true), (1, 4, false), (1, 1, false), (1, 2, false)];

/// A rule as the model has it.
#[derive(Clone, Copy, Debug)]
struct ModelRule {
    others_vote: bool,
    is_weighted: bool,
    share: (u32, u32, bool),
}

/// One thing that must be carried: who has how many votes, and what was cast.
struct Question {
    votes: BTreeMap<String, u32>,
    share: (u32, u32, bool),
    cast: BTreeMap<String, &'static str>,
}

impl Question {
    fn sum(&self, choice: &str) -> u32 {
        self.cast.iter().filter(|(_, cast)| **cast == choice).map(|(who, _)| self.votes[who]).sum()
    }

    /// Whether so many votes for it are enough.
    fn would_carry(&self, yes: u32) -> bool {
        let base = self.votes.values().sum::<u32>() - self.sum("abstain");
        let (numerator, denominator, more) = self.share;
        yes > 0 && if more { yes * denominator > base * numerator } else { yes * denominator >= base * numerator }
    }

    fn verdict(&self) -> Option<bool> {
        let yes = self.sum("yes");
        let outstanding: u32 =
            self.votes.iter().filter(|(who, _)| !self.cast.contains_key(*who)).map(|(_, votes)| votes).sum();
        if self.would_carry(yes) { Some(true) } else { (!self.would_carry(yes + outstanding)).then_some(false) }
    }
}

struct Proposed {
    text: &'static str,
    questions: Vec<Question>,
    /// Who was a member then, in which of its stints.
    members: BTreeMap<String, u32>,
}

/// What the model knows.
struct Model {
    rules: BTreeMap<&'static str, ModelRule>,
    weights: BTreeMap<String, u32>,
    /// Members that act now, and how often each has come.
    active: BTreeMap<String, u32>,
    suspended: BTreeMap<String, u32>,
    proposed: BTreeMap<String, Proposed>,
    registers_max: Option<u64>,
}

impl Model {
    fn question(&self, kind: &str, about: Option<&str>) -> Question {
        let rule = self.rules[kind];
        let votes = |who: &String| if rule.is_weighted { self.weights.get(who).copied().unwrap_or(1) } else { 1 };
        let electors = self.active.keys().filter(|who| about != Some(who.as_str()));
        Question {
            votes: electors.map(|who| (who.clone(), votes(who))).collect(),
            share: rule.share,
            cast: BTreeMap::new(),
        }
    }

    fn propose(&mut self, id: &str, text: &'static str) {
        let mut asked = BTreeSet::new();
        for change in text.split(' ') {
            let (kind, about) = change.split_once(':').unwrap();
            asked.insert((kind, self.rules[kind].others_vote.then_some(about)));
        }
        let questions = asked.into_iter().map(|(kind, about)| self.question(kind, about)).collect();
        self.proposed.insert(id.to_owned(), Proposed { text, questions, members: self.active.clone() });
    }

    fn cast(&mut self, id: &str, who: &str, choice: &'static str) {
        let is_same_stint = self.active.get(who).is_some_and(|stint| self.proposed[id].members.get(who) == Some(stint));
        assert!(is_same_stint, "{who} voted on {id}, and was no member when it was proposed");
        let questions = &mut self.proposed.get_mut(id).unwrap().questions;
        let of_it = questions.iter_mut().filter(|question| question.votes.contains_key(who));
        let counted = of_it.map(|question| assert_eq!(question.cast.insert(who.to_owned(), choice), None)).count();
        assert!(counted > 0, "{who} voted on {id} and has no vote on it");
    }

    /// What the ballots have come to.
    fn status(&self, id: &str) -> ProposalStatus {
        let verdicts: Vec<_> = self.proposed[id].questions.iter().map(Question::verdict).collect();
        if verdicts.contains(&Some(false)) {
            ProposalStatus::Rejected
        } else if verdicts.iter().all(|verdict| *verdict == Some(true)) {
            ProposalStatus::Accepted
        } else {
            ProposalStatus::Open
        }
    }

    fn take_effect(&mut self, id: &str) {
        assert_eq!(self.status(id), ProposalStatus::Accepted, "{id} took effect without the ballots");
        for change in self.proposed[id].text.split(' ') {
            match change.split_once(':').unwrap() {
                ("suspend", who) => {
                    let stint = self.active.remove(who).unwrap();
                    self.suspended.insert(who.to_owned(), stint);
                }
                ("resume", who) => {
                    let stint = self.suspended.remove(who).unwrap();
                    self.active.insert(who.to_owned(), stint + 1);
                }
                ("admit", who) => assert_eq!(self.active.insert(who.to_owned(), 0), None),
                (_, limit) => self.registers_max = limit.rsplit(':').next().map(|value| value.parse().unwrap()),
            }
        }
    }
}

/// A ledger and a model of it that begin with the same rules and weights.
fn begin(rules: &[(bool, bool, usize)], weights: &[u32]) -> (Ledger, Model) {
    let kinds = [
        ("suspend", ChangeKind::OrganisationSuspend),
        ("resume", ChangeKind::OrganisationResume),
        ("admit", ChangeKind::OrganisationAdmit),
        ("limit", ChangeKind::Limit),
    ];
    let mut model = Model {
        rules: BTreeMap::new(),
        weights: FOUNDERS.iter().zip(weights).map(|(who, votes)| ((*who).to_owned(), *votes)).collect(),
        active: FOUNDERS.iter().map(|who| ((*who).to_owned(), 0)).collect(),
        suspended: BTreeMap::new(),
        proposed: BTreeMap::new(),
        registers_max: None,
    };
    let mut rulebook = Rulebook::default();
    for ((name, kind), (others_vote, is_weighted, share)) in kinds.into_iter().zip(rules) {
        let others_vote = *others_vote && name != "limit";
        let share = SHARES[*share];
        model.rules.insert(name, ModelRule { others_vote, is_weighted: *is_weighted, share });
        let rule = rulebook.rules.iter_mut().find(|rule| rule.kind == kind).unwrap();
        rule.vote = if others_vote { Circle::Others } else { Circle::Members };
        rule.weight = if *is_weighted { Weight::Listed } else { Weight::Equal };
        (rule.threshold.numerator, rule.threshold.denominator, rule.threshold.exceeded) = share;
        rule.notice_blocks = 3;
    }
    let listed = model.weights.iter();
    rulebook.weights = listed.map(|(who, votes)| VoteWeight { organisation: who.clone(), votes: *votes }).collect();
    let mut genesis = organisations(&FOUNDERS);
    genesis.rulebook = Some(rulebook);
    (Ledger::of(genesis), model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_changes_without_the_ballots(
        rules in prop::collection::vec((any::<bool>(), any::<bool>(), 0..SHARES.len()), 4),
        weights in prop::collection::vec(0..4u32, FOUNDERS.len()),
        acts in prop::collection::vec((0..7usize, 0..9usize, 0..PROPOSALS.len(), 0..2u8, 0..5u64), 1..80),
    ) {
        let (mut ledger, mut model) = begin(&rules, &weights);
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        for (who, what, which, again, step) in acts {
            let (who, id) = (names[who], format!("p{which}-{again}"));
            let (verb, choice) = match what {
                0 | 1 => ("propose", ""),
                2 => ("vote", "no"),
                3 => ("vote", "abstain"),
                4 => ("object", "why"),
                _ => ("vote", "yes"),
            };
            let detail = if verb == "propose" { PROPOSALS[which] } else { choice };
            let operation = harness::operation(&format!("{verb} {id} {detail}"));
            let outcome = ledger.act(&format!("{who}/admin"), vec![operation]);
            // What was due came before the act.
            follow(&mut ledger, &mut model);
            if outcome.is_accepted() {
                match verb {
                    "propose" => {
                        prop_assert!(model.active.contains_key(who));
                        model.propose(&id, PROPOSALS[which]);
                        let all: Vec<u64> = ledger.proposal(&id).polls.iter().map(|poll| poll.votes).collect();
                        let mut own: Vec<u64> = model.proposed[&id]
                            .questions
                            .iter()
                            .map(|question| u64::from(question.votes.values().sum::<u32>()))
                            .collect();
                        prop_assert!(own.iter().all(|votes| *votes > 0));
                        let mut all = all;
                        all.sort_unstable();
                        own.sort_unstable();
                        prop_assert_eq!(all, own, "{}", ledger.standing(&id));
                    }
                    "vote" => {
                        model.cast(&id, who, choice);
                        prop_assert_eq!(ledger.proposal(&id).status, model.status(&id), "{}", ledger.standing(&id));
                    }
                    _ => {
                        let asked = &model.proposed[&id].questions;
                        prop_assert!(asked.iter().any(|question| question.votes.contains_key(who)));
                    }
                }
            }
            ledger.time_ms += step * 20_000_000;
            (0..step).for_each(|_| drop(ledger.empty_block()));
            follow(&mut ledger, &mut model);
        }
        ledger.time_ms += 40 * 86_400_000;
        (0..30).for_each(|_| drop(ledger.empty_block()));
        follow(&mut ledger, &mut model);
        // The state is what the proposals that took effect made of the beginning.
        for who in names {
            let row = ledger.rows.get(&StateKey::organisation(who)).map(|row| OrganisationRow::decode(row).unwrap());
            let is_active = row.is_some_and(|row| row.status == OrganisationStatus::Active);
            prop_assert_eq!(is_active, model.active.contains_key(who), "{}", who);
        }
        let limits = ledger.rows.get(&StateKey::limits()).map(|row| LimitsRow::decode(row).unwrap());
        prop_assert_eq!(limits.map(|row| row.value(LimitName::Registers)), model.registers_max);
    }
}

/// Tells the model what has taken effect since, in the order in which it did.
fn follow(ledger: &mut Ledger, model: &mut Model) {
    for turn in std::mem::take(&mut ledger.turns) {
        if turn.status == ProposalStatus::Effective {
            model.take_effect(&turn.proposal);
        }
    }
}
