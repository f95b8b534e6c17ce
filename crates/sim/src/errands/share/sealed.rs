//! What is sealed in the partition: written with what opens it, kept by every member's node, and given to who reads it on record. What is
//! handed on without it, or never ordered, is kept by nobody.

use super::{
    MEMBERS, PARTITION, PATIENCE, REGISTER, intent,
    lie::{Heard, expect_beside, hand_on},
    sign,
};
use crate::{client::Client, machine::SECRET, members::Member};
use tallystick_node::{
    parcels::{Executed, PrivateError, message::Reason},
    rejection::RejectionCode,
};
use tallystick_protocol::{
    Intent, NewEntry, Opening, Operation, Outcome, Place, PrincipalId, Recipient, SealedSubmission, Secret,
    SignedTransaction, Subject,
};
use tallystick_storage::vault::Drawer;

/// The field whose values are sealed.
pub const FIELD: &str = "pilot";
/// Whose value is written.
pub(super) const KEPT: &str = "s-kept";
/// Whose value is acknowledged, and never ordered.
const NEVER: &str = "s-never";
/// For how long that may be, in seconds.
const SECONDS: u64 = 6;

/// Where what is written is kept, on every member's node.
pub fn kept() -> Drawer {
    drawer(KEPT)
}

/// Where what was never ordered is kept by nobody in the end.
pub fn never() -> Drawer {
    drawer(NEVER)
}

pub(super) fn drawer(key: &str) -> Drawer {
    Drawer::private(PARTITION, REGISTER, subject(key))
}

pub(super) fn subject(key: &str) -> Subject {
    Subject::new(REGISTER, key).expect("slugs")
}

/// Writes a sealed value.
pub(super) async fn write(client: &mut Client, writer: &Member) -> Option<()> {
    write_of(client, writer, KEPT).await.map(drop)
}

/// Writes a sealed value about somebody.
pub(super) async fn write_of(client: &mut Client, writer: &Member, key: &str) -> Option<Opening> {
    write_in(client, writer, REGISTER, key).await
}

/// The same, in a register.
pub(super) async fn write_in(client: &mut Client, writer: &Member, register: &str, key: &str) -> Option<Opening> {
    loop {
        let opening = seal_in(client, register, key, value_of(key), Some(PARTITION));
        let transaction = sign(client, writer, append_in(register, key, &opening.commitment().to_string()));
        match hand_in(client, MEMBERS[0], &transaction, vec![opening.clone()]).await {
            Some(Ok(Executed { outcome: Outcome::Accepted { .. }, .. })) => return Some(opening),
            Some(Ok(Executed { outcome, .. })) => {
                client.complain(format!("a sealed value was not taken: {outcome:?}"));
                return None;
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        // What came of it is not known: another is written in its place.
        client.pause().await?;
    }
}

/// What is handed in, or on, as it must not be.
pub(super) async fn lie(client: &mut Client, writer: &Member) -> Option<()> {
    let opening = seal(client, NEVER, Some(PARTITION));
    let public = seal(client, NEVER, None);
    type Is = fn(&PrivateError) -> bool;
    let rows: [(String, Vec<Opening>, Is); 4] = [
        (opening.commitment().to_string(), Vec::new(), |error| matches!(error, PrivateError::OpeningMissing(_))),
        (opening.commitment().to_string(), vec![public.clone()], |error| matches!(error, PrivateError::Misfit(0))),
        (public.commitment().to_string(), vec![public], |error| matches!(error, PrivateError::Misfit(0))),
        (
            "in the clear".to_owned(),
            Vec::new(),
            |error| matches!(error, PrivateError::Rejected(rejection) if rejection.code == RejectionCode::Exposed),
        ),
    ];
    for (value, openings, is_expected) in rows {
        loop {
            let transaction = sign(client, writer, append(NEVER, &value));
            match hand_in(client, MEMBERS[0], &transaction, openings.clone()).await {
                Some(Err(error)) if is_expected(&error) => break,
                // One that stands still does not know the register: the other one does, and does not acknowledge it.
                Some(Err(PrivateError::Acknowledgements { .. })) => client.pause().await?,
                Some(Err(PrivateError::NotHeld(_) | PrivateError::Behind { .. } | PrivateError::Shut(_))) | None => {
                    client.pause().await?
                }
                other => {
                    client.complain(format!("a value that is not sealed as it should be came to this: {other:?}"));
                    return None;
                }
            }
        }
    }
    let sealed = |client: &mut Client| short(client, writer, append(NEVER, &opening.commitment().to_string()));
    expect_beside(client, (&sealed, &[]), Heard::Refused(Reason::Openings)).await?;
    expect_beside(client, (&sealed, std::slice::from_ref(&opening)), Heard::Acknowledged).await?;
    // What is never over, or whose signer may not sign, waits nowhere: nobody would ever take it away.
    let endless =
        |client: &mut Client| until(client, writer, append(NEVER, &opening.commitment().to_string()), u64::MAX);
    hand_on(client, (&endless, std::slice::from_ref(&opening))).await
}

/// Reads what is sealed, at a node of the reader's own.
pub(super) async fn read(client: &mut Client, reader: &Member) -> Option<()> {
    let (_, value) = given(client, reader, KEPT).await?;
    if value != value_of(KEPT) {
        client.complain("a read of what is sealed gave another value".to_owned());
        return None;
    }
    client.record.note(format!("{} read what is sealed in a partition", reader.id));
    Some(())
}

/// Reads what is sealed about somebody until it is given: the number of the entry, and the value.
pub(super) async fn given(client: &mut Client, reader: &Member, key: &str) -> Option<(u64, String)> {
    let node = client.members.holder(MEMBERS[0])?.principal;
    loop {
        let transaction = sign(client, reader, read_of(key, &node));
        match hand_in(client, MEMBERS[0], &transaction, Vec::new()).await {
            Some(Ok(Executed { given, outcome, .. })) => {
                let values = given.iter().flat_map(|one| &one.openings).map(|opening| opening.value().reveal());
                let values: Vec<String> = values.map(str::to_owned).collect();
                if let ([one], [value]) = (given.as_slice(), values.as_slice()) {
                    return Some((one.record.number, value.clone()));
                }
                if given.iter().all(|one| one.absent.is_empty()) {
                    client.complain(format!("a read of what is sealed gave {} values: {outcome:?}", values.len()));
                    return None;
                }
                // It lost its disk, and has not come to hold it again.
                client.record.note(format!("node {} does not hold it yet", MEMBERS[0]));
            }
            Some(Err(error)) => client.record.note(format!("node {}: {error}", MEMBERS[0])),
            None => {}
        }
        client.pause().await?;
    }
}

/// A read of what is sealed about somebody, at a node.
pub(super) fn read_of(key: &str, node: &PrincipalId) -> Operation {
    Operation::RecordRead {
        register: REGISTER.to_owned(),
        key: key.to_owned(),
        fields: vec![FIELD.to_owned()],
        subjects: vec![subject(key)],
        purpose: "Safe passage".to_owned(),
        legal_basis: "The Pilotage Act".to_owned(),
        recipient: None,
        node: node.clone(),
    }
}

/// The same for a court: alone, or with all that is not sealed.
pub(super) fn disclosure_of(key: &str, node: &PrincipalId, is_alone: bool) -> Operation {
    let mut operation = read_of(key, node);
    if let Operation::RecordRead { fields, recipient, .. } = &mut operation {
        if !is_alone {
            fields.extend([REGISTER, "note"].map(str::to_owned));
            fields.sort_unstable();
        }
        let jurisdiction = Some("GB".parse().expect("a jurisdiction"));
        *recipient = Some(Recipient { name: "A court".to_owned(), jurisdiction });
    }
    operation
}

fn value_of(key: &str) -> String {
    format!("{SECRET}: {key}")
}

fn seal(client: &mut Client, key: &str, partition: Option<&str>) -> Opening {
    seal_in(client, REGISTER, key, value_of(key), partition)
}

/// Seals this value about somebody.
pub(super) fn seal_value(client: &mut Client, key: &str, value: String, partition: Option<&str>) -> Opening {
    seal_in(client, REGISTER, key, value, partition)
}

fn seal_in(client: &mut Client, register: &str, key: &str, value: String, partition: Option<&str>) -> Opening {
    let about = Subject::new(register, key).expect("slugs");
    let place = Place::new(register, key, FIELD, about).and_then(|place| place.within(partition));
    let opening = Opening::seal(place.expect("a place"), Secret::new(value), &mut client.world);
    let opening = opening.expect("a value");
    client.record.blindings().look_for_last(&opening.to_bytes());
    opening
}

pub(super) fn append(key: &str, value: &str) -> Operation {
    append_in(REGISTER, key, value)
}

fn append_in(register: &str, key: &str, value: &str) -> Operation {
    Operation::EntryAppend { register: register.to_owned(), entries: vec![entry_in(register, key, value)] }
}

/// An entry about somebody with this in the sealed field.
pub(super) fn entry(key: &str, value: &str) -> NewEntry {
    entry_in(REGISTER, key, value)
}

fn entry_in(register: &str, key: &str, value: &str) -> NewEntry {
    // In the order of their names.
    let mut members = [(register, key), (FIELD, value)];
    members.sort_unstable();
    let [first, then] = members.map(|(name, value)| format!(r#""{name}":"{value}""#));
    NewEntry { key: key.to_owned(), items: vec![format!("{{{first},{then}}}")] }
}

/// A private transaction that is good for a short while.
pub(super) fn short(client: &mut Client, member: &Member, operation: Operation) -> SignedTransaction {
    let not_after = client.now_s() + SECONDS;
    until(client, member, operation, not_after)
}

fn until(client: &mut Client, member: &Member, operation: Operation, not_after: u64) -> SignedTransaction {
    let intent = Intent { not_after, ..intent(client, member, operation) };
    intent.sign(&member.key).expect("the simulated intent is valid")
}

pub(super) async fn hand_in(
    client: &Client,
    node: usize,
    transaction: &SignedTransaction,
    openings: Vec<Opening>,
) -> Option<Result<Executed, PrivateError>> {
    let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings };
    let asked =
        client.door(node).ask(move |service| async move { service.submit_private_sealed(submission, PATIENCE).await });
    asked.await
}
