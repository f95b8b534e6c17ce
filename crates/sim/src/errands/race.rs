//! Race: proposals that cannot both be, proposals whose rules change under them, and the ballot of a member that is being suspended,
//! all at once and through different nodes.

use crate::{client::Client, members::Member};
use futures::join;
use tallystick_ledger::OrganisationRow;
use tallystick_protocol::{
    Change, ChangeKind, Choice, Code, GenesisOrganisation, GenesisPrincipal, LimitName, Operation, Outcome,
    Particulars, ProposalRow, ProposalStatus, PublicKey, Roles, RuleText, Rulebook, RulebookChange, SigningKey,
    StateKey, VoteWeight, Weight,
};

/// Who is suspended.
const SUSPENDED: usize = 2;

pub(super) async fn race(client: &mut Client) -> Option<()> {
    let all: Vec<Member> = (0..client.members.principals.len()).map(|number| client.administrator(number)).collect();
    a_suspended_voter(client, &all).await?;
    one_name(client, &all).await?;
    one_organisation(client, &all).await?;
    one_key(client, &all).await?;
    other_rules(client, &all).await?;
    client.record.note("raced every proposal".to_owned());
    Some(())
}

fn submission(proposal: &str, changes: Vec<Change>) -> Operation {
    let (proposal, title) = (proposal.to_owned(), "A change".to_owned());
    let text = RuleText::Whole("As decided.".to_owned());
    Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None }
}

fn limit(value: u64) -> Vec<Change> {
    vec![Change::Limit { limit: LimitName::Registers, value }]
}

fn organisation(id: &str, name: &str, key: PublicKey) -> Vec<Change> {
    let organisation = GenesisOrganisation {
        id: id.to_owned(),
        name: name.to_owned(),
        particulars: Particulars::default(),
        principals: vec![GenesisPrincipal::person("administrator", Roles::administrator(), key)],
    };
    vec![Change::OrganisationAdmit { organisation }]
}

fn new_key(client: &mut Client) -> PublicKey {
    SigningKey::from_ed25519_seed(client.chance.bytes(32).first_chunk().expect("32 bytes")).public()
}

/// Two submit at once what excludes the other: one is taken, the other refused so. Says which was taken.
async fn exclude(client: &mut Client, racers: [(&Member, Operation); 2], code: Code) -> Option<usize> {
    let mut forks = [client.fork(0), client.fork(1)];
    let [one, other] = &mut forks;
    let [(first, a), (second, b)] = racers;
    let (a, b) = join!(one.step(first, vec![a]), other.step(second, vec![b]));
    let outcomes = [a?, b?].map(|answer| answer.map(|told| told.outcome));
    let taken = outcomes.iter().position(|answer| answer.as_ref().is_ok_and(Outcome::is_accepted));
    let excluded =
        |answer: &Result<Outcome, _>| matches!(answer, Ok(Outcome::Refused(refusal)) if refusal.code == code);
    match taken {
        Some(taken) if excluded(&outcomes[1 - taken]) => Some(taken),
        _ => {
            client.complain(format!("one of two is taken, the other {code}, and not {outcomes:?}"));
            None
        }
    }
}

/// Two proposals by one name: the ballots are for the one that was taken, and nobody can say that they were for the other.
async fn one_name(client: &mut Client, all: &[Member]) -> Option<()> {
    let racers = [(&all[0], submission("one-name", limit(1_001))), (&all[3], submission("one-name", limit(1_003)))];
    exclude(client, racers, Code::ProposalExists).await?;
    client.agree(all, "one-name").await?;
    let ended = client.ended("one-name").await?;
    expect(client, "one-name", ended, ProposalStatus::Effective)
}

/// Two proposals that admit one organisation: both find their votes, and one of them its effect.
async fn one_organisation(client: &mut Client, all: &[Member]) -> Option<()> {
    let names = ["this-one", "that-one"];
    let keys = [new_key(client), new_key(client)];
    let changes = |place: usize| organisation("newcomer", names[place], keys[place]);
    let mut forks = [client.fork(0), client.fork(1)];
    let [one, other] = &mut forks;
    let (a, b) = join!(one.propose(&all[0], names[0], changes(0)), other.propose(&all[1], names[1], changes(1)));
    a.and(b)?;
    let (a, b) = join!(one.agree(all, names[0]), other.agree(all, names[1]));
    a.and(b)?;
    let ended = [client.ended(names[0]).await?, client.ended(names[1]).await?];
    let admitted = match ended {
        [ProposalStatus::Effective, ProposalStatus::Failed] => names[0],
        [ProposalStatus::Failed, ProposalStatus::Effective] => names[1],
        _ => {
            client.complain(format!("two proposals admit one organisation, and are {ended:?}"));
            return None;
        }
    };
    let row = client.row(StateKey::organisation("newcomer")).await;
    // The node that is asked may be behind.
    let named = row.and_then(|row| OrganisationRow::decode(&row).ok()).map(|row| row.name);
    if named.as_ref().is_some_and(|named| named != admitted) {
        client.complain(format!("{admitted} took effect, and the newcomer is {named:?}"));
    }
    Some(())
}

/// Two proposals that name one key for different holders: it is kept for the first, and free again when that is taken back.
async fn one_key(client: &mut Client, all: &[Member]) -> Option<()> {
    let key = new_key(client);
    let proposals = ["keeps-a-key", "wants-that-key"];
    let submission = |place: usize| submission(proposals[place], organisation(proposals[place], "Newcomer", key));
    let taken = exclude(client, [(&all[0], submission(0)), (&all[1], submission(1))], Code::KeyInUse).await?;
    let enrol = Operation::enrol(format!("impatient-{}", client.chance.number()), Roles::registrar(), key);
    client.refused(&all[3], enrol.clone(), Code::KeyInUse).await?;
    let withdrawal = Operation::ProposalWithdraw { proposal: proposals[taken].to_owned() };
    client.accepted(&all[taken], withdrawal).await?;
    client.accepted(&all[3], enrol).await.map(drop)
}

/// The rule for a kind of change is changed while one of that kind is open: it goes on by the rule that it began with, and the next
/// one by the new one, under which one member decides alone.
async fn other_rules(client: &mut Client, all: &[Member]) -> Option<()> {
    client.propose(&all[1], "by-the-old-rule", limit(2_001)).await?;
    let mut rule = *Rulebook::default().rule(ChangeKind::Limit).expect("a rule for each kind");
    rule.weight = Weight::Listed;
    // A newcomer is a member too.
    let votes = 2 * u32::try_from(all.len()).expect("few members");
    let weights = Some(vec![VoteWeight { organisation: all[0].id.organisation().to_owned(), votes }]);
    let rulebook = RulebookChange { rules: vec![rule], weights, register_policies_max: None };
    client.decide(all, "other-rules", vec![Change::Rulebook { rulebook }]).await?;
    client.propose(&all[1], "by-the-new-rule", limit(2_002)).await?;
    for (proposal, wanted) in [("by-the-new-rule", 1), ("by-the-old-rule", all.len().div_ceil(2) + 1)] {
        for (member, cast) in all.iter().zip(1..=wanted) {
            let ballot = Operation::BallotCast { proposal: proposal.to_owned(), choice: Choice::Yes };
            client.accepted(member, ballot).await?;
            let status = client.standing(proposal, cast as u64).await?;
            let is_decided = status != ProposalStatus::Open;
            if is_decided != (cast == wanted) {
                client.complain(format!("{proposal} is {status} after {cast} ballots"));
                return None;
            }
        }
    }
    Some(())
}

/// A member is suspended while its ballot is on its way: the ballot counts if it was ordered before, and nothing of it after, until
/// the members let it act again. On what was proposed before that it has no vote any more.
async fn a_suspended_voter(client: &mut Client, all: &[Member]) -> Option<()> {
    let organisation = all[SUSPENDED].id.organisation().to_owned();
    let others: Vec<Member> = all.iter().filter(|member| member.id != all[SUSPENDED].id).cloned().collect();
    client.propose(&others[0], "open-meanwhile", limit(3_001)).await?;
    let (mut voter, mut judge) = (client.fork(0), client.fork(1));
    let ballot = Operation::BallotCast { proposal: "open-meanwhile".to_owned(), choice: Choice::No };
    let suspension =
        Change::OrganisationSuspend { organisation: organisation.clone(), reason: "In arrears.".to_owned() };
    let pause = std::time::Duration::from_millis(client.chance.below(4_000));
    let late = async {
        voter.wait(pause).await;
        voter.step(&all[SUSPENDED], vec![ballot.clone()]).await
    };
    let (cast, decided) = join!(late, judge.decide(&others, "suspend", vec![suspension]));
    decided?;
    let has_voted = match cast?.map(|told| told.outcome) {
        Ok(Outcome::Accepted { .. }) => true,
        Ok(Outcome::Refused(refusal)) if refusal.code == Code::OrganisationSuspended => false,
        other => {
            client.complain(format!("the ballot of a member that is being suspended is answered {other:?}"));
            return None;
        }
    };
    client.record.note(format!("the suspended member has voted: {has_voted}"));
    client.refused(&all[SUSPENDED], ballot.clone(), Code::OrganisationSuspended).await?;
    client.decide(&others, "resume", vec![Change::OrganisationResume { organisation }]).await?;
    client.refused(&all[SUSPENDED], ballot, Code::NotElector).await?;
    let contact = Operation::OrganisationContact { contact: Some("Back in business.".to_owned()) };
    client.accepted(&all[SUSPENDED], contact).await.map(drop)
}

fn expect(client: &Client, proposal: &str, ended: ProposalStatus, wanted: ProposalStatus) -> Option<()> {
    if ended != wanted {
        client.complain(format!("{proposal} is {ended}, and should be {wanted}"));
        return None;
    }
    Some(())
}

impl Client {
    /// Where a proposal stands, on a node that knows of so many votes for it.
    async fn standing(&mut self, proposal: &str, votes: u64) -> Option<ProposalStatus> {
        loop {
            let row = self.row(StateKey::proposal(proposal)).await.and_then(|row| ProposalRow::decode(&row).ok());
            let counted = |row: &ProposalRow| row.polls.iter().any(|poll| poll.yes >= votes);
            if let Some(row) = row.filter(counted) {
                return Some(row.status);
            }
            self.pause().await?;
        }
    }
}
