//! Correct: what is sealed in a partition was wrong, and another sealed value takes its place. Who had read what was wrong is told by the reads on
//! record, and says that it knows. In the clear nothing is corrected.

use super::{
    MEMBERS, PARTITION, REGISTER, executed,
    sealed::{entry, given, hand_in, seal_value, write_of},
    sign,
};
use crate::{client::Client, machine::SECRET, members::Member};
use std::collections::BTreeSet;
use tallystick_node::{
    parcels::{Corrected, Executed, PrivateError, ReadAct, ReadsPage, WaitingForAll},
    rejection::RejectionCode,
};
use tallystick_protocol::{Code, Commitment, CorrectionRow, Operation, Place, Query};

/// Whose value was wrong.
const KEY: &str = "s-wrong";
/// The path of a question.
const PATH: &str = "/reads";
/// More than is on record.
const MANY: usize = 10_000;

pub(super) async fn correct(client: &mut Client, writer: &Member, guest: &Member) -> Option<()> {
    write_of(client, writer, KEY).await?;
    let (wrong, _) = given(client, writer, KEY).await?;
    in_the_clear(client, writer, wrong).await?;
    let right = format!("{SECRET}: as it should be");
    let opening = seal_value(client, KEY, right.clone(), Some(PARTITION));
    let again = correction(wrong, &opening.commitment().to_string());
    let transaction = sign(client, writer, again.clone());
    loop {
        match hand_in(client, MEMBERS[0], &transaction, vec![opening.clone()]).await {
            Some(Ok(Executed { outcome, .. })) if outcome.is_accepted() => break,
            Some(Err(PrivateError::Repeated { refused: None, .. })) => break,
            Some(Ok(Executed { outcome, .. })) => {
                client.complain(format!("a sealed value was not corrected: {outcome:?}"));
                return None;
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        client.pause().await?;
    }
    let (number, value) = given(client, writer, KEY).await?;
    if number <= wrong || value != right {
        client.complain(format!("after entry {wrong} was corrected a read gave entry {number}, and another value"));
        return None;
    }
    // What is not the latest any more is not corrected.
    executed(client, MEMBERS[0], writer, again, Some(Code::CorrectionSuperseded)).await?;
    notified(client, writer, 1).await?;
    executed(client, MEMBERS[0], writer, knows(wrong, writer), None).await?;
    notified(client, writer, 0).await?;
    executed(client, MEMBERS[0], writer, knows(number, writer), Some(Code::CorrectionUnknown)).await?;
    executed(client, MEMBERS[1], guest, knows(wrong, writer), Some(Code::NotPermitted)).await?;
    let found = told(client, writer, (wrong, opening.commitment())).await?;
    client.record.note(format!("{found} reads of what was wrong are on record, and who read it knows"));
    Some(())
}

/// Waits until the reader's own node says that so many notices wait for them. Whatever is asked there is answered so, also after a restart.
async fn notified(client: &mut Client, reader: &Member, count: usize) -> Option<()> {
    loop {
        let id = reader.id.clone();
        let asked = client.door(MEMBERS[0]).ask(move |service| async move {
            let parcels = service.parcels()?;
            Ok::<_, PrivateError>((parcels.standing(PARTITION).is_some(), parcels.waiting_for(PARTITION, &id)))
        });
        match asked.await {
            Some(Ok((true, waiting))) if waiting.as_ref().map_or(0, |waiting| waiting.count) == count => {
                return Some(());
            }
            // It is down, or has not looked yet.
            _ => client.pause().await?,
        }
    }
}

/// Waits until a member's node says that as many notices wait for its people as the log of reads leaves open.
async fn as_on_record(client: &mut Client, node: usize, all: &[ReadAct]) -> Option<()> {
    let (network, asker) = (client.members.genesis.id(), client.administrator(node));
    let mut open = BTreeSet::new();
    for correction in all.iter().filter(|act| is_accepted(act)).flat_map(|act| &act.corrections) {
        let Corrected { mark: CorrectionRow { register, key, corrects, leaf, .. }, since, .. } = correction;
        let until = all.iter().find(|act| act.number == *leaf)?.row.height;
        for act in all.iter().filter(|act| is_accepted(act) && (*since..until).contains(&act.row.height)) {
            let reader = act.transaction.principal();
            for operation in act.transaction.operations() {
                if let Operation::RecordRead { register: of, key: read, recipient, .. } = operation
                    && (of, read) == (register, key)
                    && reader.organisation() == asker.id.organisation()
                {
                    let recipient = recipient.as_ref().map(|to| to.name.clone());
                    open.insert((reader.clone(), register.clone(), key.clone(), *corrects, recipient));
                }
            }
        }
    }
    for operation in all.iter().filter(|act| is_accepted(act)).flat_map(|act| act.transaction.operations()) {
        if let Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } = operation {
            open.remove(&(reader.clone(), register.clone(), key.clone(), *corrects, recipient.clone()));
        }
    }
    loop {
        let query = Query::sign(&network, PATH, asker.id.clone(), client.now_s() + 100, &asker.key);
        let query = query.expect("a question");
        let asked = client.door(node).ask(move |service| async move {
            Ok::<_, PrivateError>(service.parcels()?.waiting_for_all(PARTITION, (&query, PATH)).await?.value)
        });
        match asked.await {
            Some(Ok(WaitingForAll { organisation, is_whole: true, .. })) if organisation == open.len() => {
                client.record.note(format!("{organisation} notices wait at node {node}"));
                return Some(());
            }
            Some(Ok(WaitingForAll { organisation, is_whole: true, .. })) => {
                client.complain(format!("{organisation} notices wait at node {node}, and by the log {}", open.len()));
                return None;
            }
            // It is down, or looks through what was executed.
            _ => client.pause().await?,
        }
    }
}

fn is_accepted(act: &ReadAct) -> bool {
    act.row.told.as_ref().is_some_and(|told| told.outcome.is_accepted())
}

fn correction(corrects: u64, value: &str) -> Operation {
    Operation::RecordCorrect {
        register: REGISTER.to_owned(),
        corrects,
        entry: entry(KEY, value),
        reason: "Another pilot".to_owned(),
        authority: "The harbour master".to_owned(),
        legal_basis: "The Pilotage Act".to_owned(),
    }
}

fn knows(corrects: u64, reader: &Member) -> Operation {
    let (register, key) = (REGISTER.to_owned(), KEY.to_owned());
    Operation::NoticeAcknowledge { register, key, corrects, reader: reader.id.clone(), recipient: None }
}

/// A correction that says the value itself is ordered by nobody: it would be kept for ever.
async fn in_the_clear(client: &mut Client, writer: &Member, wrong: u64) -> Option<()> {
    loop {
        let transaction = sign(client, writer, correction(wrong, "in the clear"));
        match hand_in(client, MEMBERS[0], &transaction, Vec::new()).await {
            Some(Err(PrivateError::Rejected(rejection))) if rejection.code == RejectionCode::Exposed => return Some(()),
            // One that stands still does not know the register: the other one does, and does not acknowledge it.
            Some(Err(PrivateError::Acknowledgements { .. })) => client.pause().await?,
            Some(Err(PrivateError::NotHeld(_) | PrivateError::Behind { .. } | PrivateError::Shut(_))) | None => {
                client.pause().await?
            }
            other => {
                client.complain(format!("a correction in the clear came to this: {other:?}"));
                return None;
            }
        }
    }
}

/// What every member's own are told: the correction, the value that is in the wrong entry alone, who read before it what was wrong, and that they
/// know. How many such reads there are; each member's node must say the same.
async fn told(client: &mut Client, reader: &Member, (wrong, right): (u64, Commitment)) -> Option<usize> {
    let mut counts = Vec::new();
    for node in MEMBERS {
        let all = acts(client, node, (wrong, reader)).await?;
        let correction = all
            .iter()
            .flat_map(|act| &act.corrections)
            .find(|correction| (correction.mark.corrects, correction.mark.key.as_str()) == (wrong, KEY));
        let Some(Corrected { mark, values, untold, .. }) = correction else {
            client.complain(format!("node {node} does not say that entry {wrong} was corrected"));
            return None;
        };
        let is_wrong = |(place, value): &(Place, Commitment)| place.key() == KEY && *value != right;
        let is_told = !untold && values.len() == 1 && values.iter().all(is_wrong);
        if !is_told {
            client.complain(format!("node {node} says that {values:?} were in entry {wrong} alone"));
            return None;
        }
        let is_of_it = |act: &&ReadAct| mark.since < act.number && act.number < mark.leaf;
        let reads = |operation: &Operation| matches!(operation, Operation::RecordRead { key, .. } if key == KEY);
        let found = all.iter().filter(is_of_it).filter(|act| act.transaction.operations().iter().any(reads)).count();
        if found == 0 {
            client.complain(format!("node {node} tells of no read of what was wrong"));
            return None;
        }
        counts.push(found);
        as_on_record(client, node, &all).await?;
    }
    if counts.windows(2).any(|pair| pair[0] != pair[1]) {
        client.complain(format!("members' nodes tell of different reads: {counts:?}"));
        return None;
    }
    counts.pop()
}

/// The latest reads and corrections on record, once a member's node has executed that the reader knows.
async fn acts(client: &mut Client, node: usize, (wrong, reader): (u64, &Member)) -> Option<Vec<ReadAct>> {
    let (network, asker) = (client.members.genesis.id(), client.administrator(node));
    loop {
        let query = Query::sign(&network, PATH, asker.id.clone(), client.now_s() + 100, &asker.key);
        let query = query.expect("a question");
        let asked = client.door(node).ask(move |service| async move {
            let found =
                service.parcels()?.log_of_reads(PARTITION, (&query, PATH), (u64::MAX, MANY), (None, true)).await?;
            Ok::<_, PrivateError>(found.value)
        });
        if let Some(Ok(ReadsPage { acts, .. })) = asked.await
            && acts.iter().any(|act| {
                act.transaction.principal() == &reader.id
                    && act.transaction.operations().contains(&knows(wrong, reader))
            })
        {
            return Some(acts);
        }
        // It is down, or behind.
        client.pause().await?;
    }
}
