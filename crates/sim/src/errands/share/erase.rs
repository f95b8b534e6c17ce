//! Erase: what is sealed in a partition is destroyed on every member's node, while somebody else has it held; and nothing of it comes back,
//! whoever hands it in or on.

use super::{
    MEMBERS, PARTITION, executed, hand_in,
    lie::{Heard, expect_beside},
    sealed::{FIELD, append, disclosure_of, drawer, hand_in as hand_in_sealed, read_of, short, subject, write_of},
    sign,
};
use crate::{client::Client, errands::hold, members::Member};
use futures::join;
use std::time::Duration;
use tallystick_node::parcels::{Executed, Given, PrivateError, Proof};
use tallystick_protocol::{Code, ErasureRow, ErasureScope, Opening, Operation, Outcome, Query};
use tallystick_storage::vault::Drawer;

/// Whose values are erased.
const ERASED: [&str; 3] = ["s-erased-0", "s-erased-1", "s-erased-2"];
/// Whose are, and are held meanwhile.
const HELD: &str = "s-held";
/// Whose are, while somebody reads them.
const RACED: [&str; 2] = ["s-raced-0", "s-raced-1"];
/// Reads that race an order.
const READS: usize = 6;
/// Between the last that is written and the first that is ordered.
const REST: Duration = Duration::from_secs(2);
/// The path of a question.
const PATH: &str = "/erasures";

/// Where nothing is left on any member's node.
pub fn erased() -> impl Iterator<Item = Drawer> {
    ERASED.into_iter().chain([HELD]).chain(RACED).map(drawer).chain(super::part::erased())
}

pub(super) async fn erase(client: &mut Client, writer: &Member) -> Option<()> {
    let mut openings = Vec::new();
    for key in ERASED {
        openings.push(write_of(client, writer, key).await?);
    }
    write_of(client, writer, HELD).await?;
    client.wait(REST).await;
    let [first, second, third] = ERASED;
    let keeper = client.administrator(MEMBERS[0]);
    let named = ErasureScope::Values(vec![openings.get(1)?.commitment()]);
    for (key, scope) in [(first, ErasureScope::All), (second, named), (third, ErasureScope::All)] {
        let order = order(client, key, scope);
        executed(client, MEMBERS[0], &keeper, order, None).await?;
    }
    race_a_hold(client, writer).await?;
    for key in ERASED {
        complete(client, key, MEMBERS.len()).await?;
    }
    come_to_nothing(client, writer, (first, openings.first()?), Code::ValueErased).await?;
    is_not_taken(client, writer, (second, openings.get(1)?)).await?;
    client.record.note(format!("{} people were erased in a partition", ERASED.len()));
    Some(())
}

/// An order of the subject's own name.
pub(super) fn order(client: &Client, key: &str, scope: ErasureScope) -> Operation {
    Operation::ErasureOrder {
        order: key.to_owned(),
        controller: client.administrator(MEMBERS[0]).id.organisation().to_owned(),
        subject: subject(key),
        scope,
        authority: "Themselves".to_owned(),
        legal_basis: "UK GDPR Article 17".to_owned(),
        reason: "Ashore for good".to_owned(),
        deadline: 86_400,
    }
}

/// Orders race reads, and disclosures to a court: none that is executed after the order is given anything.
pub(super) async fn race_reads(client: &mut Client, writer: &Member) -> Option<()> {
    let (keeper, node) = (client.administrator(MEMBERS[0]), client.members.holder(MEMBERS[0])?.principal);
    for (turn, key) in (0..).zip(RACED) {
        write_of(client, writer, key).await?;
        let mut reader = client.fork(61 + turn);
        let reads = async {
            let (mut given, mut refused) = (Vec::new(), 0);
            for attempt in 0..READS {
                let (is_disclosed, is_alone) = (attempt % 2 == 1, attempt % 4 == 3);
                let read = if is_disclosed { disclosure_of(key, &node, is_alone) } else { read_of(key, &node) };
                let transaction = sign(&mut reader, writer, read);
                match hand_in(&reader, MEMBERS[0], &transaction).await {
                    Some(Ok(done)) if done.given.iter().any(|one| !one.openings.is_empty()) => {
                        if is_disclosed && !done.given.iter().all(|one| shows(one, is_alone)) {
                            reader.complain(format!("a disclosure shows too much, or too little: {key}"));
                        }
                        given.push((done.number, is_disclosed));
                    }
                    Some(Ok(Executed { outcome: Outcome::Refused(_), .. })) => refused += 1,
                    _ => {}
                }
                reader.wait(Duration::from_millis(60)).await;
            }
            (given, refused)
        };
        let ordering = order(client, key, ErasureScope::All);
        let ordered = async {
            // Now and then some reads come first.
            let pause = Duration::from_millis(client.chance.between(0, 900));
            client.wait(pause).await;
            outcome(client, &keeper, ordering).await
        };
        let (ordered, (given, refused)) = join!(ordered, reads);
        let (ordered, None) = ordered? else {
            client.complain(format!("an order in a partition was refused: {key}"));
            return None;
        };
        let before = given.iter().filter(|(number, _)| *number < ordered).count();
        let disclosed = given.iter().filter(|(_, is_disclosed)| *is_disclosed).count();
        client.record.note(format!(
            "{before} reads in a partition came before the order, {disclosed} of them disclosures, and {refused} too late"
        ));
        if let Some((number, _)) = given.iter().find(|(number, _)| *number > ordered) {
            client.complain(format!("a read of number {number} was given what the order of number {ordered} erased"));
            return None;
        }
        complete(client, key, MEMBERS.len()).await?;
    }
    Some(())
}

/// Whether what is disclosed is the sealed field alone, or all of the record, and that field besides.
fn shows(given: &Given, is_alone: bool) -> bool {
    given.proof.as_ref().is_some_and(|Proof { whole, fields, .. }| {
        let shown = fields.iter().flat_map(|(_, shown)| shown).map(|field| field.leaf.field.as_str());
        whole.is_none() == is_alone && (!is_alone || shown.eq([FIELD]))
    })
}

/// A hold races an order: whoever comes first, no receipt comes after the hold, and all do after it is lifted.
async fn race_a_hold(client: &mut Client, writer: &Member) -> Option<()> {
    let (keeper, mut court) = (client.administrator(MEMBERS[0]), client.fork(60));
    let place = hold(HELD, &keeper, subject(HELD));
    let ordering = order(client, HELD, ErasureScope::All);
    let (ordered, held) = join!(outcome(client, &keeper, ordering), outcome(&mut court, &keeper, place));
    let (ordered, held) = (ordered?, held?);
    if let Some(code) = ordered.1 {
        client.complain(format!("an order in a partition was refused: {code}"));
        return None;
    }
    match held {
        // Nothing was left to hold.
        (_, Some(Code::SubjectErased)) => {}
        (_, Some(code)) => {
            client.complain(format!("a hold in a partition was refused: {code}"));
            return None;
        }
        (number, None) => {
            client.wait(REST).await;
            let row = row(client, HELD).await?;
            let late = row.holders.iter().filter_map(|holder| holder.receipt).find(|receipt| receipt.leaf > number);
            if let Some(late) = late {
                client.complain(format!("a receipt of number {} came after the hold of {number}", late.leaf));
                return None;
            }
            if number < ordered.0 {
                client.record.note("1 hold in a partition came before the order".to_owned());
                is_readable(client, writer).await?;
            }
            let lift = Operation::HoldLift { hold: HELD.to_owned(), reason: "Settled".to_owned() };
            executed(client, MEMBERS[0], &keeper, lift, None).await?;
        }
    }
    complete(client, HELD, MEMBERS.len()).await
}

/// While a hold lasts, a node gives what it keeps for it.
async fn is_readable(client: &mut Client, reader: &Member) -> Option<()> {
    let node = client.members.holder(MEMBERS[0])?.principal;
    loop {
        let transaction = sign(client, reader, read_of(HELD, &node));
        match hand_in(client, MEMBERS[0], &transaction).await {
            Some(Ok(Executed { given, outcome, .. })) => {
                // One that lost its disk meanwhile is not given it again.
                if !outcome.is_accepted() || given.iter().all(|one| one.openings.is_empty() && one.absent.is_empty()) {
                    client.complain(format!("what a hold keeps is not given: {outcome:?}"));
                    return None;
                }
                return Some(());
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        client.pause().await?;
    }
}

/// A read of what is erased, and another entry with the same value, are refused.
async fn come_to_nothing(
    client: &mut Client,
    writer: &Member,
    (key, opening): (&str, &Opening),
    expected: Code,
) -> Option<()> {
    let node = client.members.holder(MEMBERS[0])?.principal;
    let (_, code) = outcome(client, writer, read_of(key, &node)).await?;
    if code != Some(expected) {
        client.complain(format!("a read of what is erased came to {code:?}"));
        return None;
    }
    is_not_taken(client, writer, (key, opening)).await
}

/// What was erased is not taken in again; and a member's node that is handed it by another says that it has it, and keeps nothing.
async fn is_not_taken(client: &mut Client, writer: &Member, (key, opening): (&str, &Opening)) -> Option<()> {
    let again = |client: &mut Client| short(client, writer, append(key, &opening.commitment().to_string()));
    loop {
        let transaction = again(client);
        match hand_in_sealed(client, MEMBERS[0], &transaction, vec![opening.clone()]).await {
            Some(Err(PrivateError::Erased(_))) => break,
            // It has lost its disk, and does not know of it yet, or is down.
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
            Some(Ok(done)) => {
                client.complain(format!("what was erased was taken in again: {done:?}"));
                return None;
            }
        }
        client.pause().await?;
    }
    expect_beside(client, (&again, std::slice::from_ref(opening)), Heard::Acknowledged).await
}

/// What became of an operation in the partition, however often it must be handed in: its number, and why it was refused.
pub(super) async fn outcome(client: &mut Client, member: &Member, operation: Operation) -> Option<(u64, Option<Code>)> {
    let mut transaction = sign(client, member, operation.clone());
    loop {
        match hand_in(client, MEMBERS[0], &transaction).await {
            Some(Ok(Executed { outcome: Outcome::Accepted { .. }, number, .. })) => return Some((number, None)),
            Some(Ok(Executed { outcome: Outcome::Refused(refusal), number, .. })) => {
                return Some((number, Some(refusal.code)));
            }
            Some(Err(
                PrivateError::Repeated { number, refused, .. } | PrivateError::ReadRepeated { number, refused, .. },
            )) => return Some((number, refused)),
            Some(Err(PrivateError::Unfit(why))) => {
                client.record.note(format!("signed anew: {why}"));
                transaction = sign(client, member, operation.clone());
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        client.pause().await?;
    }
}

/// An order, as the first member's node has it.
pub(super) async fn row(client: &mut Client, order: &str) -> Option<ErasureRow> {
    let (network, asker) = (client.members.genesis.id(), client.administrator(MEMBERS[0]));
    loop {
        let query = Query::sign(&network, PATH, asker.id.clone(), client.now_s() + 100, &asker.key);
        let (query, order) = (query.expect("a question"), order.to_owned());
        let asked = client.door(MEMBERS[0]).ask(move |service| async move {
            let found = service.parcels()?.erasure(PARTITION, (&query, PATH), &order).await?;
            Ok::<_, PrivateError>(found.value)
        });
        match asked.await {
            Some(Ok(Some(found))) => return Some(found.row),
            // It is down, or has lost its disk and not executed it again.
            Some(Ok(None) | Err(_)) | None => client.pause().await?,
        }
    }
}

/// Waits until every member's node that stands where it may, so many of them, has said that it destroyed.
pub(super) async fn complete(client: &mut Client, order: &str, holders: usize) -> Option<()> {
    loop {
        let row = row(client, order).await?;
        if row.holders.len() != holders {
            client.complain(format!("order {order} has {} holders", row.holders.len()));
            return None;
        }
        if row.is_complete() {
            let destroyed = row.holders.iter().filter_map(|holder| holder.receipt).map(|receipt| receipt.values);
            client.record.note(format!("{} values of a partition were destroyed", destroyed.sum::<u32>()));
            return Some(());
        }
        client.pause().await?;
    }
}
