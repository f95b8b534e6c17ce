//! Entrust: mandates taken back while acts under them are on their way. What is ordered before counts, what is ordered after does
//! not, whichever node heard of it first; and what was passed on ends with what it was passed on from.

use crate::{
    checkers::durability::Told,
    client::{Client, Fate},
    members::Member,
};
use tallystick_protocol::{
    Code, MandateId, MandateTerms, NewEntry, Operation, Outcome, PrincipalStatus, SignedTransaction,
};

/// Whose register it is.
const GRANTOR: usize = 3;
/// To whom its registrar entrusts it, and to whom that one passes it on.
const AGENTS: [usize; 2] = [2, 1];
/// Acts on their way at once.
const ACTS: usize = 6;

pub(super) async fn entrust(client: &mut Client) -> Option<()> {
    let (grantor, keeper) = (client.registrar(GRANTOR), client.administrator(GRANTOR));
    let [agent, helper] = AGENTS.map(|organisation| client.registrar(organisation));
    client.has_register(GRANTOR).await?;
    // Taken back by who granted it, while others act under it and under what was passed on.
    let cover = grant(client, &grantor, "cover", &agent, None).await?;
    let passed_on = grant(client, &agent, "passed-on", &helper, Some(&cover)).await?;
    let acts = [(&agent, &cover), (&helper, &passed_on)];
    race(client, &acts, &grantor, Operation::MandateRevoke { mandate: cover.clone() }, Code::MandateRevoked).await?;
    let again = terms(client, &helper, register(), Some(&cover));
    let again = Operation::MandateGrant { name: "passed-on-again".to_owned(), terms: again };
    client.refused(&agent, again, Code::MandateRevoked).await?;
    // Ended by a suspension of who granted it, and back with it.
    let leave = grant(client, &grantor, "leave", &agent, None).await?;
    let status =
        |status| Operation::PrincipalStatus { principal: grantor.id.clone(), status, reason: "On leave.".to_owned() };
    let acts = [(&agent, &leave)];
    race(client, &acts, &keeper, status(PrincipalStatus::Suspended), Code::MandateNotInForce).await?;
    client.accepted(&keeper, status(PrincipalStatus::Active)).await?;
    let back = act(client, &agent, &leave);
    match client.submit(back).await {
        Fate::Final(told) if told.outcome.is_accepted() => {}
        Fate::Void => {}
        Fate::Final(told) => client.complain(format!("{leave} is in force again, and is answered {told:?}")),
        Fate::Rejected(_, rejection) => client.complain(format!("{leave} is in force again: {rejection}")),
    }
    client.record.note("took back what was entrusted".to_owned());
    Some(())
}

/// The grantor's register.
fn register() -> String {
    format!("register:register-{GRANTOR}")
}

/// What an agent may do in these registers, for hours; passed on, for fewer.
pub(super) fn terms(client: &Client, agent: &Member, resource: String, parent: Option<&MandateId>) -> MandateTerms {
    let now = client.now_s();
    MandateTerms {
        agents: vec![agent.id.clone()],
        actions: vec!["entry-append".to_owned()],
        resources: vec![resource],
        purpose: "Holidays.".to_owned(),
        // The ledger's time may be behind the clock.
        from: if parent.is_some() { now - 1_800 } else { now - 3_600 },
        until: if parent.is_some() { now + 40_000 } else { now + 50_000 },
        depth: u32::from(parent.is_none()),
        concur: 1,
        parent: parent.cloned(),
    }
}

async fn grant(
    client: &mut Client,
    grantor: &Member,
    name: &str,
    agent: &Member,
    parent: Option<&MandateId>,
) -> Option<MandateId> {
    let terms = terms(client, agent, register(), parent);
    client.accepted(grantor, Operation::MandateGrant { name: name.to_owned(), terms }).await?;
    Some(MandateId::new(&grantor.id, name).expect("a slug"))
}

/// An entry under a mandate.
fn act(client: &mut Client, member: &Member, mandate: &MandateId) -> SignedTransaction {
    let register = format!("register-{GRANTOR}");
    let item = format!(r#"{{"name":"{}","{register}":"entrusted"}}"#, client.chance.number());
    let entries = vec![NewEntry { key: "entrusted".to_owned(), items: vec![item] }];
    client.sign_under(member, mandate, vec![Operation::EntryAppend { register, entries }])
}

/// Acts under mandates and what ends them, all at once: whatever is ordered before the end is accepted, and nothing after it.
async fn race(
    client: &mut Client,
    acts: &[(&Member, &MandateId)],
    who: &Member,
    end: Operation,
    code: Code,
) -> Option<()> {
    let mut racers = Vec::new();
    for number in 0..ACTS {
        let (member, mandate) = acts[number % acts.len()];
        let transaction = act(client, member, mandate);
        let mut racer = client.fork(number);
        let delay = std::time::Duration::from_millis(client.chance.below(400));
        racers.push(async move {
            racer.wait(delay).await;
            racer.submit(transaction).await
        });
    }
    let mut ender = client.fork(ACTS);
    let (fates, ended) = futures::join!(futures::future::join_all(racers), ender.accepted(who, end));
    let ended = ended?;
    for fate in fates {
        let Fate::Final(told) = fate else { continue };
        if !is_in_order(&told, &ended, code) {
            client.complain(format!("{told:?}, where the mandate ended at log entry {}", ended.index));
            return None;
        }
    }
    // And one more by each, when everybody knows.
    for (member, mandate) in acts {
        let late = act(client, member, mandate);
        match client.submit(late).await {
            Fate::Final(told) if !is_in_order(&told, &ended, code) => {
                client.complain(format!("{mandate} has ended, and {} is answered {told:?}", member.id));
                return None;
            }
            _ => {}
        }
    }
    Some(())
}

fn is_in_order(told: &Told, ended: &Told, code: Code) -> bool {
    match &told.outcome {
        Outcome::Accepted { .. } => told.index < ended.index,
        Outcome::Refused(refusal) => told.index > ended.index && refusal.code == code,
    }
}
