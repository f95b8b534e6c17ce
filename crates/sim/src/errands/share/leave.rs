//! Leave: something is ordered that nobody has, so that the partition stands still, and one of the members has no node any more. That
//! node asks nobody for anything, until it is registered again; and when the payload comes, both go on.

use super::{
    MEMBERS, PARTITION, append,
    lie::{order, seal, wrap},
    register, sign,
};
use crate::client::{Client, Fate};
use std::time::Duration;
use tallystick_node::parcels::{Standing, message::Message};
use tallystick_protocol::{Operation, Payload};

/// In which a node that lacks something asks again and again.
const WHILE: Duration = Duration::from_secs(3);

pub(super) async fn leave(client: &mut Client) -> Option<()> {
    let [one, other] = MEMBERS;
    let (payload, ordered) = order_alone(client).await?;
    until(client, |standings| standings.iter().flatten().filter(|standing| standing.missing > 0).count() == 2).await?;
    client.record.note("2 nodes lack what was acknowledged and not stored".to_owned());
    let administrator = client.administrator(other);
    let node = client.members.holder(other)?.principal;
    let retired = client.accepted(&administrator, Operation::NodeRetire { node, destroyed: false }).await?;
    loop {
        let height = client.door(other).ask(|service| async move { service.tip().header.height }).await;
        if height.is_some_and(|height| height > retired.height) {
            break;
        }
        client.pause().await?;
    }
    client.wait(WHILE).await;
    if let [_, Some(standing)] = standings(client).await {
        client.complain(format!("a node that is no member's has not left its room: {standing:?}"));
        return None;
    }
    let before = asked(client).await?;
    client.wait(WHILE).await;
    if asked(client).await? > before {
        client.complain("a node that is no member's asks for payloads".to_owned());
        return None;
    }
    register(client, other).await?;
    let parcels = [(one, other), (other, one)].map(|(from, to)| (from, to, seal(client, &payload, to)));
    loop {
        for (from, to, parcel) in &parcels {
            let message =
                Message::Fetched { partition: PARTITION.to_owned(), parcels: vec![parcel.clone()?], openings: None };
            client.door(*from).say(client.members.keys()[*to].clone(), &message);
        }
        client.pause().await?;
        let executed = |standing: &Standing| standing.missing == 0 && standing.height >= ordered;
        if standings(client).await.iter().all(|standing| standing.as_ref().is_some_and(executed)) {
            return Some(());
        }
    }
}

/// Orders a payload that nobody has but the one who ordered it, with the word of both members' nodes that they have it; says at which
/// height.
pub(super) async fn order_alone(client: &mut Client) -> Option<(Payload, u64)> {
    let writer = client.registrar(MEMBERS[0]);
    loop {
        let transaction = sign(client, &writer, append(0));
        let payload = wrap(client, &transaction).await?;
        let accomplice = client.members.holder(MEMBERS[1])?.key;
        let order = order(client, &payload)?.cosign(&accomplice).ok()?.complete().ok()?;
        match client.submit(order).await {
            Fate::Final(told) if told.outcome.is_accepted() => return Some((payload, told.height)),
            Fate::Final(told) => {
                client.complain(format!("what both members' nodes sign was not ordered: {told:?}"));
                return None;
            }
            Fate::Rejected(node, rejection) => client.record.note(format!("not taken by node {node}: {rejection}")),
            Fate::Void => {}
        }
        client.pause().await?;
    }
}

async fn standings(client: &Client) -> [Option<Standing>; 2] {
    let here = async |node: usize| {
        let asked = client.door(node).ask(|service| async move { service.partition_here(PARTITION) });
        asked.await.flatten()
    };
    [here(MEMBERS[0]).await, here(MEMBERS[1]).await]
}

async fn until(client: &Client, is_so: impl Fn(&[Option<Standing>; 2]) -> bool) -> Option<()> {
    while !is_so(&standings(client).await) {
        client.pause().await?;
    }
    Some(())
}

/// How often the second member's node has asked for payloads, once it can be seen.
async fn asked(client: &Client) -> Option<usize> {
    let count = |said: &[crate::machine::Said]| {
        said.iter().filter(|(_, message)| matches!(message, Message::Fetch { .. })).count()
    };
    loop {
        match client.door(MEMBERS[1]).said(count) {
            Some(count) => return Some(count),
            None => client.pause().await?,
        }
    }
}
