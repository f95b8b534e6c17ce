//! Reshape: somebody joins a partition late, and executes all that was ordered before; a member leaves, and comes back; one says that it executed
//! otherwise, and all see who; and that one is put out while it asks for a payload, and is given nothing any more.

use super::{
    ENTRIES, EVER, MEMBERS, OUTSIDER, PARTITION, REMAINING, agreement, append, begin, certified, erase, executed,
    leave::order_alone, lie::seal, part, roots,
};
use crate::{client::Client, members::Member};
use std::{sync::Arc, time::Duration};
use tallystick_node::parcels::{Standing, message::Message};
use tallystick_protocol::{Change, Hash, Operation};

/// Longer than the quiet after which nodes post their roots.
const QUIET: Duration = Duration::from_secs(13);
/// Until what was on its way has come.
const WHILE: Duration = Duration::from_secs(2);
/// How often one who is no member asks.
const QUESTIONS: usize = 5;

pub(in crate::errands) async fn reshape(client: &mut Client) -> Option<()> {
    let writer = begin(client, &MEMBERS).await?;
    erase::erase(client, &writer).await?;
    if let Some(standing) = standing(client, OUTSIDER).await {
        client.complain(format!("a node that is no member's yet holds the partition: {standing:?}"));
        return None;
    }
    amend(client, "join", &EVER).await?;
    executed(client, MEMBERS[0], &writer, append(ENTRIES), None).await?;
    is_at_one(client).await?;
    certified(client).await?;
    part::part(client, &writer).await?;
    lie(client, &writer).await?;
    put_out(client, &writer).await?;
    certified(client).await
}

/// Has the members be these, with the yes of all who ever were.
pub(super) async fn amend(client: &mut Client, proposal: &str, members: &[usize]) -> Option<()> {
    let voters: Vec<Member> = EVER.iter().map(|organisation| client.administrator(*organisation)).collect();
    let agreement = agreement(client, members);
    client.decide(&voters, proposal, vec![Change::PartitionAmend { agreement }]).await
}

/// Waits until the one who joined late stands where the others do.
async fn is_at_one(client: &mut Client) -> Option<()> {
    loop {
        if let Some(alarm) = roots(client).await.alarm {
            client.complain(format!("one who joined late executes otherwise: {alarm:?}"));
            return None;
        }
        let all = [standing(client, EVER[0]).await, standing(client, EVER[1]).await, standing(client, OUTSIDER).await];
        if let [Some(one), Some(other), Some(late)] = &all
            && [one, other].iter().all(|standing| *standing == late)
            && late.executed > ENTRIES as u64
        {
            client.record.note(format!("{} payloads were executed by one who joined late", late.executed));
            return Some(());
        }
        client.pause().await?;
    }
}

/// A member's node says that it came to another root. Its name stands in an alarm, what is ordered goes on, and nothing is certified.
async fn lie(client: &mut Client, writer: &Member) -> Option<()> {
    let liar = client.members.holder(MEMBERS[1])?;
    let liar = Member { id: liar.principal, key: Arc::new(liar.key) };
    let height = roots(client).await.ordered_height;
    let root = Hash::of(&[b"executed otherwise"]);
    client.accepted(&liar, Operation::PartitionRoot { partition: PARTITION.to_owned(), height, root }).await?;
    let alarm = loop {
        match roots(client).await.alarm {
            Some(alarm) => break alarm,
            None => client.pause().await?,
        }
    };
    let said = alarm.roots.iter().find(|posted| posted.node == liar.id).map(|posted| posted.root);
    if alarm.height != height || said != Some(root) || alarm.roots.len() < 2 {
        client.complain(format!("the alarm does not say who executed otherwise at height {height}: {alarm:?}"));
        return None;
    }
    executed(client, MEMBERS[0], writer, append(ENTRIES + 1), None).await?;
    client.wait(QUIET).await;
    let row = roots(client).await;
    match &row.certified {
        Some(certified) if certified.height <= height && row.ordered_height > height && row.alarm.is_some() => {
            client.record.note("1 alarm names who executed otherwise, and nothing is certified".to_owned());
            Some(())
        }
        _ => {
            client.complain(format!("something is certified while members differ: {row:?}"));
            None
        }
    }
}

/// The one who lied is put out while it asks for what nobody has. What comes then comes to the others alone.
async fn put_out(client: &mut Client, writer: &Member) -> Option<()> {
    let (payload, ordered) = order_alone(client).await?;
    for node in EVER {
        while standing(client, node).await.is_none_or(|standing| standing.missing == 0) {
            client.pause().await?;
        }
    }
    let asked = said(client, MEMBERS[1], |message| matches!(message, Message::Fetch { .. }));
    client.record.note(format!("{asked} messages ask for payloads when one who asks is put out"));
    amend(client, "put-out", &REMAINING).await?;
    while standing(client, MEMBERS[1]).await.is_some() {
        client.pause().await?;
    }
    client.wait(WHILE).await;
    let given = given(client);
    let parcels = [(REMAINING[0], REMAINING[1]), (REMAINING[1], REMAINING[0])]
        .map(|(from, to)| (from, to, seal(client, &payload, to)));
    let id = payload.ordered(&client.members.genesis.id(), PARTITION).ok()?.id;
    let mut questions = 0;
    loop {
        for (from, to, parcel) in &parcels {
            let message =
                Message::Fetched { partition: PARTITION.to_owned(), parcels: vec![parcel.clone()?], openings: None };
            client.door(*from).say(client.members.keys()[*to].clone(), &message);
            let question = Message::Fetch { partition: PARTITION.to_owned(), ids: vec![id] };
            client.door(MEMBERS[1]).say(client.members.keys()[*to].clone(), &question);
        }
        questions += 1;
        client.pause().await?;
        let mut have = 0;
        for node in REMAINING {
            let is_there = |standing: Standing| standing.missing == 0 && standing.height >= ordered;
            have += usize::from(standing(client, node).await.is_some_and(is_there));
        }
        if have == REMAINING.len() && questions >= QUESTIONS {
            break;
        }
    }
    executed(client, MEMBERS[0], writer, append(ENTRIES + 2), None).await?;
    if given < self::given(client) || standing(client, MEMBERS[1]).await.is_some() {
        client.complain("one who was put out was given something".to_owned());
        return None;
    }
    client.record.note(format!("{questions} questions of one who was put out came to nothing"));
    Some(())
}

/// How often somebody gave payloads to the one who is put out.
fn given(client: &Client) -> usize {
    let to = &client.members.keys()[MEMBERS[1]];
    let gives = |message: &Message| matches!(message, Message::Deliver { .. } | Message::Fetched { .. });
    let of = |node: &usize| {
        let count = |said: &[crate::machine::Said]| said.iter().filter(|(who, what)| who == to && gives(what)).count();
        client.door(*node).said(count).unwrap_or_default()
    };
    REMAINING.iter().map(of).sum()
}

/// How many such messages a node has sent.
fn said(client: &Client, node: usize, is_one: impl Fn(&Message) -> bool) -> usize {
    let count = client.door(node).said(|said| said.iter().filter(|(_, message)| is_one(message)).count());
    count.unwrap_or_default()
}

async fn standing(client: &Client, node: usize) -> Option<Standing> {
    client.door(node).ask(|service| async move { service.partition_here(PARTITION) }).await.flatten()
}
