//! Rotate: a principal's keys are replaced while the network may be split. Who does not know yet takes the old key, and the ledger
//! does not; the new one counts everywhere from the block of the rotation on.

use crate::{
    client::{Client, Fate},
    members::Member,
};
use std::{sync::Arc, time::Duration};
use tallystick_protocol::{
    Assurance, Code, NewEntry, Operation, Outcome, PrincipalId, Roles, SignedTransaction, SigningKey,
};

/// Whose principal it is.
const ORGANISATION: usize = 3;
/// Seconds for which the old key signs beside the new one.
const OVERLAP_S: u64 = 3;

pub(super) async fn rotate(client: &mut Client) -> Option<()> {
    let administrator = client.administrator(ORGANISATION);
    client.has_register(ORGANISATION).await?;
    let first = holder(client);
    let key = first.key.public();
    client.accepted(&administrator, Operation::enrol(first.id.name(), Roles::registrar(), key)).await?;
    let entry = entry(client);
    client.accepted(&first, entry).await?;
    // Whatever is to go wrong has time to.
    client.wait(Duration::from_secs(3)).await;
    // At once, by its holder.
    let second = holder(client);
    let rotation = rotation(&first, &second, 0);
    client.accepted(&first, rotation).await?;
    is_worthless(client, &first, Code::KeyRetired).await?;
    let entry = self::entry(client);
    client.accepted(&second, entry).await?;
    // With an overlap: both sign, and then the new one alone.
    let third = holder(client);
    let rotation = self::rotation(&second, &third, OVERLAP_S);
    let begun = client.accepted(&second, rotation).await?;
    let end_ms = client.time_ms(begun.height).await? + OVERLAP_S * 1_000;
    for _ in 0..6 {
        for member in [&second, &third] {
            let entry = self::entry(client);
            let transaction = client.sign(member, vec![entry]);
            let is_new = member.key.public() == third.key.public();
            // Whoever knows that a key has ended does not take it, for as long as one asks.
            if !is_new && !is_taken(client, &transaction).await {
                continue;
            }
            let Fate::Final(told) = client.submit(transaction).await else { continue };
            let is_good = is_new || client.time_ms(told.height).await? < end_ms;
            let is_as_told = match &told.outcome {
                Outcome::Accepted { .. } => is_good,
                Outcome::Refused(refusal) => !is_good && refusal.code == Code::KeyRetired,
            };
            if !is_as_told {
                client.complain(format!("an overlap ends at {end_ms} ms, and a key is answered {told:?}"));
                return None;
            }
        }
        client.wait(Duration::from_millis(500)).await;
    }
    // By the administrator, when every key is lost.
    let fourth = holder(client);
    let recovery = Operation::PrincipalRecover {
        principal: third.id.clone(),
        key: fourth.key.public(),
        assurance: Assurance::Substantial,
    };
    client.accepted(&administrator, recovery).await?;
    is_worthless(client, &third, Code::KeyRetired).await?;
    let entry = self::entry(client);
    client.accepted(&fourth, entry).await?;
    client.record.note("rotated every key".to_owned());
    Some(())
}

/// The principal with another key.
fn holder(client: &mut Client) -> Member {
    let id = PrincipalId::new(&format!("organisation-{ORGANISATION}"), "rotating").expect("slugs");
    let key = SigningKey::from_ed25519_seed(client.chance.bytes(32).first_chunk().expect("32 bytes"));
    Member { id, key: Arc::new(key) }
}

fn entry(client: &mut Client) -> Operation {
    let register = format!("register-{ORGANISATION}");
    let item = format!(r#"{{"name":"{}","{register}":"rotated"}}"#, client.chance.number());
    Operation::EntryAppend { register, entries: vec![NewEntry { key: "rotated".to_owned(), items: vec![item] }] }
}

fn rotation(old: &Member, new: &Member, overlap: u64) -> Operation {
    let principal = old.id.clone();
    Operation::KeyRotate { principal, old: old.key.public(), new: new.key.public(), overlap }
}

/// Whether some node takes it.
async fn is_taken(client: &mut Client, transaction: &SignedTransaction) -> bool {
    let (_, door) = client.chance.pick(&client.doors).clone();
    let bytes = transaction.bytes().clone();
    let answers = door.ask(move |service| async move { service.submit(vec![bytes]).await }).await;
    answers.is_some_and(|answers| answers.iter().all(Result::is_ok))
}

/// Knocks at every door with a key that has ended: where it is taken, nothing comes of it but a refusal.
async fn is_worthless(client: &mut Client, member: &Member, code: Code) -> Option<()> {
    for (node, door) in client.doors.clone() {
        let entry = entry(client);
        let transaction = client.sign(member, vec![entry]);
        let bytes = transaction.bytes().clone();
        let answers = door.ask(move |service| async move { service.submit(vec![bytes]).await }).await;
        if !answers.is_some_and(|answers| answers.iter().all(Result::is_ok)) {
            continue;
        }
        client.record.note(format!("node {node} takes a key that has ended: it does not know yet"));
        let mut patient = client.fork(node);
        let (record, id) = (client.record.clone(), member.id.clone());
        // It may take as long as the split: the errand goes on meanwhile.
        client.spawn(async move {
            match patient.submit(transaction).await {
                Fate::Final(told) => match &told.outcome {
                    Outcome::Refused(refusal) if refusal.code == code => {
                        record.note(format!("a key of {id} that has ended is refused at height {}", told.height));
                    }
                    other => patient.complain(format!("a key of {id} has ended, and is answered {other:?}")),
                },
                Fate::Rejected(..) | Fate::Void => {}
            }
        });
    }
    Some(())
}
