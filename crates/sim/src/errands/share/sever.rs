//! Sever: three share, and one of their nodes is cut off between an order to erase, which it knows, and the hold that follows it.

use super::{
    EVER, MEMBERS, PARTITION, begin, certified,
    erase::{complete, order, outcome},
    executed, hand_in,
    sealed::{drawer, read_of, subject, write_of},
    sign_under,
};
use crate::{
    client::Client,
    errands::{
        entrust::terms,
        hold,
        sever::{REST, SIGHT},
    },
    members::Member,
};
use std::time::Duration;
use tallystick_node::parcels::Executed;
use tallystick_protocol::{ErasureScope, MandateId, MandateTerms, Operation, Outcome};
use tallystick_storage::vault::Drawer;

/// For how long it is cut off before somebody sets out to hold: the others come to know only then that it does not answer.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(1_500), Duration::from_secs(5)];

/// Where nothing is left on any member's node.
pub fn erased() -> impl Iterator<Item = Drawer> {
    (0..PAUSES.len()).map(|number| drawer(&name(number)))
}

fn name(number: usize) -> String {
    format!("s-severed-{number}")
}

pub(in crate::errands) async fn sever(client: &mut Client) -> Option<()> {
    let writer = begin(client, &EVER).await?;
    let (keeper, guest, severed) = (client.administrator(MEMBERS[0]), client.registrar(MEMBERS[1]), MEMBERS[1]);
    let reading = let_read(client, &writer, &guest).await?;
    for (number, pause) in PAUSES.into_iter().enumerate() {
        let key = name(number);
        write_of(client, &writer, &key).await?;
        client.wait(Duration::from_secs(1)).await;
        let ordering = order(client, &key, ErasureScope::All);
        executed(client, MEMBERS[0], &keeper, ordering, None).await?;
        is_level(client, severed).await?;
        client.wait(SIGHT).await;
        client.wires.cut(severed).await;
        client.wait(pause).await;
        let placing = hold(&key, &keeper, subject(&key));
        let (_, refused) = outcome(client, &keeper, placing).await?;
        client.wires.mend().await;
        if let Some(code) = refused {
            client.complain(format!("a hold in a partition was refused: {code}"));
            return None;
        }
        client.wait(REST).await;
        is_kept(client, (&guest, &reading), &key).await?;
        client.record.note("1 value in a partition was held while its holder was cut off".to_owned());
        let lift = Operation::HoldLift { hold: key.clone(), reason: "Settled".to_owned() };
        executed(client, MEMBERS[0], &keeper, lift, None).await?;
        complete(client, &key, EVER.len()).await?;
    }
    certified(client).await
}

/// Waits until a node has executed what the first one has.
pub(super) async fn is_level(client: &Client, node: usize) -> Option<()> {
    let at = async |node| {
        let standing = client.door(node).ask(|service| async move { service.partition_here(PARTITION) }).await;
        standing.flatten().map_or(0, |standing| standing.executed)
    };
    let executed = at(MEMBERS[0]).await;
    while at(node).await < executed {
        client.wait(Duration::from_millis(20)).await;
        if client.record.is_stopping() {
            return None;
        }
    }
    Some(())
}

/// Lets somebody of another member read what this one keeps.
async fn let_read(client: &mut Client, writer: &Member, guest: &Member) -> Option<MandateId> {
    let terms =
        MandateTerms { actions: vec!["record-read".to_owned()], ..terms(client, guest, "register:*".to_owned(), None) };
    executed(client, MEMBERS[0], writer, Operation::MandateGrant { name: "look".to_owned(), terms }, None).await?;
    Some(MandateId::within(Some(PARTITION), &writer.id, "look").expect("slugs"))
}

/// The node that was cut off gives what the hold keeps, which the others had destroyed by then.
async fn is_kept(client: &mut Client, (reader, mandate): (&Member, &MandateId), key: &str) -> Option<()> {
    let node = client.members.holder(MEMBERS[1])?.principal;
    loop {
        let transaction = sign_under(client, (reader, Some(mandate)), read_of(key, &node));
        match hand_in(client, MEMBERS[1], &transaction).await {
            Some(Ok(Executed { given, outcome: Outcome::Accepted { .. }, .. }))
                if given.iter().all(|one| one.openings.len() == 1) =>
            {
                return Some(());
            }
            Some(Ok(Executed { outcome, given, .. })) => {
                client.complain(format!(
                    "who was cut off does not give what a hold keeps of {key}: {outcome:?}, {given:?}"
                ));
                return None;
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[1])),
            None => {}
        }
        client.pause().await?;
    }
}
