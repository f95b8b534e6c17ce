//! Erase: an organisation with two holders writes what is personal, and has it erased: while somebody reads it, while somebody else has it
//! held, and by its register's own period. Whatever happens to the nodes meanwhile, nothing of it is left in the end.

use crate::{
    checkers::durability::Told,
    client::{Client, Fate},
    errands::hold,
    machine::SECRET,
};
use bytes::Bytes;
use futures::join;
use std::time::Duration;
use tallystick_node::{rejection::RejectionCode, service::sealed::SealedError};
use tallystick_protocol::{
    Assurance, Code, Commitment, ControllerRow, Datatype, ErasureRow, ErasureScope, Field, NewEntry, Opening,
    Operation, Outcome, Place, PrincipalKind, Protection, Reading, Recipient, SealedSubmission, SealingKey, Secret,
    StateKey, Subject,
};

/// The nodes of the first organisation: both hold.
pub const HOLDERS: [usize; 2] = [0, 4];
/// What its registers are called: one that keeps for ever, and one that does not.
const REGISTERS: [(&str, Option<u32>); 2] = [("person", None), ("visit", Some(DAYS))];
/// For how many days that one keeps.
const DAYS: u32 = 30;
/// Orders that race a read, orders that race a hold, and values whose time ends.
const EACH: usize = 3;
/// How long a node is given for a read.
const PATIENCE: Duration = Duration::from_secs(3);
/// Reads that race an order.
const READS: usize = 6;

/// Of whom nothing is left.
pub fn erased() -> impl Iterator<Item = Subject> {
    let of =
        |register: &'static str, what: &'static str| (0..EACH).map(move |n| subject(register, &format!("{what}-{n}")));
    of("person", "read")
        .chain(of("person", "held"))
        .chain(of("visit", "old"))
        .chain(super::away::erased())
        .chain(super::sever::erased())
}

/// The registers that are written to.
pub fn registers() -> impl Iterator<Item = String> {
    REGISTERS.iter().map(|(register, _)| (*register).to_owned())
}

/// Of whom what was written is kept.
pub fn kept() -> Subject {
    subject("person", "kept")
}

pub(super) fn subject(register: &str, key: &str) -> Subject {
    Subject::new(register, key).expect("slugs")
}

pub(super) async fn erase(client: &mut Client, outlives: bool) -> Option<()> {
    begin(client).await?;
    for number in 0..EACH {
        race_reads(client, number).await?;
        race_a_hold(client, number).await?;
    }
    if outlives { outlive(client).await } else { Some(()) }
}

/// Registers the holders and creates the registers, and writes what is kept.
pub(super) async fn begin(client: &mut Client) -> Option<()> {
    for node in HOLDERS {
        enrol(client, node).await?;
    }
    let administrator = client.administrator(0);
    for (register, days) in REGISTERS {
        let protection = Protection::Personal { subject: register.to_owned(), days };
        let name = Field { protection: Some(protection), ..Field::new("name", Datatype::String) };
        let fields = vec![Field::new(register, Datatype::String), name];
        let create = Operation::RegisterCreate { register: register.to_owned(), text: "People".to_owned(), fields };
        client.accepted(&administrator, create).await?;
    }
    write(client, "person", "kept").await.map(drop)
}

async fn enrol(client: &mut Client, node: usize) -> Option<()> {
    let administrator = client.administrator(0);
    let holder = client.members.vault(node)?;
    let enrol = Operation::PrincipalEnrol {
        name: holder.principal.name().to_owned(),
        kind: PrincipalKind::Program,
        roles: "retention".parse().expect("a role"),
        key: holder.key.public(),
        assurance: Assurance::Substantial,
    };
    client.accepted(&administrator, enrol).await?;
    let register = Operation::NodeRegister {
        node: holder.principal,
        peer: client.members.validator(node).key,
        sealing: SealingKey::from_bytes(holder.sealing.public()).expect("a key"),
        jurisdiction: "GB".parse().expect("a jurisdiction"),
    };
    client.accepted(&administrator, register).await.map(drop)
}

/// Writes a value about somebody, which both nodes keep.
pub(super) async fn write(client: &mut Client, register: &str, key: &str) -> Option<Commitment> {
    let registrar = client.registrar(0);
    loop {
        let place = Place::new(register, key, "name", subject(register, key)).expect("a place");
        let value = Secret::new(format!("{SECRET}: {key}"));
        let opening = Opening::seal(place, value, &mut client.world).expect("a value");
        client.record.blindings().look_for_last(&opening.to_bytes());
        let commitment = opening.commitment();
        let items = vec![format!(r#"{{"name":"{commitment}","{register}":"{key}"}}"#)];
        let entries = vec![NewEntry { key: key.to_owned(), items }];
        let append = Operation::EntryAppend { register: register.to_owned(), entries };
        let transaction = client.sign(&registrar, vec![append]);
        let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings: vec![opening] };
        let mut is_taken = true;
        for node in HOLDERS {
            is_taken = is_taken && hand_in(client, node, &submission, transaction.not_after()).await?;
        }
        match client.submit(transaction).await {
            Fate::Final(told) if told.outcome.is_accepted() && is_taken => return Some(commitment),
            Fate::Rejected(node, rejection) if rejection.code != RejectionCode::ExpiredKey => {
                client.record.note(format!("node {node} does not take what is written: {rejection}"));
            }
            _ => {}
        }
        client.pause().await?;
    }
}

/// Hands in until the node keeps it; false when its time has passed.
async fn hand_in(client: &Client, node: usize, submission: &SealedSubmission, not_after: u64) -> Option<bool> {
    loop {
        let given = submission.clone();
        let asked = client.door(node).ask(move |service| async move { service.submit_sealed(given).await });
        match asked.await {
            Some(Ok(_)) => return Some(true),
            Some(Err(error)) => client.record.note(format!("node {node}: {error}")),
            None => {}
        }
        if client.now_s() > not_after + 2 {
            return Some(false);
        }
        client.pause().await?;
    }
}

pub(super) async fn order(client: &mut Client, id: &str, key: &str) -> Option<Told> {
    let administrator = client.administrator(0);
    let order = Operation::ErasureOrder {
        order: id.to_owned(),
        controller: administrator.id.organisation().to_owned(),
        subject: subject("person", key),
        scope: ErasureScope::All,
        authority: "Themselves".to_owned(),
        legal_basis: "UK GDPR Article 17".to_owned(),
        reason: "Consent withdrawn".to_owned(),
        deadline: 86_400,
    };
    client.accepted(&administrator, order).await
}

/// A read at a node: what it gave, or why not; none while it is down.
pub(super) async fn read(
    client: &mut Client,
    node: usize,
    key: &str,
    recipient: Option<&str>,
) -> Option<Result<Reading, SealedError>> {
    let registrar = client.registrar(0);
    let read = Operation::RecordRead {
        register: "person".to_owned(),
        key: key.to_owned(),
        fields: vec!["name".to_owned()],
        subjects: vec![subject("person", key)],
        purpose: "Look".to_owned(),
        legal_basis: "A law".to_owned(),
        recipient: recipient.map(|name| Recipient { name: name.to_owned(), jurisdiction: None }),
        node: client.members.vault(node)?.principal,
    };
    let bytes: Bytes = client.sign(&registrar, vec![read]).bytes().clone();
    client.door(node).ask(move |service| async move { service.read_sealed(bytes, PATIENCE).await }).await
}

/// An order races reads: none that the log has after it is given anything.
async fn race_reads(client: &mut Client, number: usize) -> Option<()> {
    let name = format!("read-{number}");
    write(client, "person", &name).await?;
    let mut reader = client.fork(number);
    let key = name.clone();
    let reads = async move {
        let (mut leaves, mut disclosed, mut refused) = (Vec::new(), 0, 0);
        for attempt in 0..READS {
            // Each holder is asked by turns, to read and to disclose; every other order is raced by disclosures first.
            let recipient = ((attempt / HOLDERS.len() + number) % 2 == 1).then_some("A court");
            match read(&mut reader, HOLDERS[attempt % HOLDERS.len()], &key, recipient).await {
                Some(Ok(reading)) => {
                    leaves.push(reading.leaf);
                    disclosed += usize::from(recipient.is_some());
                }
                Some(Err(SealedError::Refused(_) | SealedError::ReadErased(_))) => refused += 1,
                Some(Err(_)) | None => {}
            }
            reader.wait(Duration::from_millis(60)).await;
        }
        (leaves, disclosed, refused)
    };
    let ordered = async {
        // Now and then some reads come first.
        let pause = Duration::from_millis(client.chance.between(0, 500));
        client.wait(pause).await;
        order(client, &name, &name).await
    };
    let (told, (leaves, disclosed, refused)) = join!(ordered, reads);
    let told = told?;
    client.record.note(format!("{disclosed} values were disclosed before they were erased"));
    client.record.note(format!("{refused} reads came too late"));
    client.record.note(format!("order at leaf {}, reads given at {leaves:?}", told.index));
    if let Some(leaf) = leaves.iter().find(|leaf| **leaf > told.index) {
        client.complain(format!("a read at leaf {leaf} was given what the order at leaf {} erased", told.index));
        return None;
    }
    complete(client, &name).await.map(drop)
}

/// A hold races an order: whoever comes first in the log, no receipt comes after the hold, and all do after it is lifted.
async fn race_a_hold(client: &mut Client, number: usize) -> Option<()> {
    let name = format!("held-{number}");
    write(client, "person", &name).await?;
    let mut court = client.fork(10 + number);
    let administrator = client.administrator(0);
    let place = hold(&name, &administrator, subject("person", &name));
    let (ordered, held) = join!(order(client, &name, &name), court.step(&administrator, vec![place]));
    let (ordered, held) = (ordered?, held?);
    match held {
        Ok(held) if held.outcome.is_accepted() => {
            client.wait(Duration::from_secs(2)).await;
            let row = erasure(client, &name).await?;
            let late = row.holders.iter().filter_map(|holder| holder.receipt).find(|receipt| receipt.leaf > held.index);
            if let Some(late) = late {
                client.complain(format!("a receipt at leaf {} came after the hold at {}", late.leaf, held.index));
                return None;
            }
            let is_first = held.index < ordered.index;
            client.record.note(format!("{} holds came before the order", usize::from(is_first)));
            if is_first {
                is_readable(client, &name).await?;
            }
            let lift = Operation::HoldLift { hold: name.clone(), reason: "Settled".to_owned() };
            client.accepted(&administrator, lift).await?;
        }
        // Nothing was left to hold.
        Ok(Told { outcome: Outcome::Refused(refusal), .. }) if refusal.code == Code::SubjectErased => {}
        other => {
            client.complain(format!("expected to place a hold: {other:?}"));
            return None;
        }
    }
    complete(client, &name).await.map(drop)
}

/// While a hold lasts each node gives what it keeps for it.
async fn is_readable(client: &mut Client, key: &str) -> Option<()> {
    for node in HOLDERS {
        loop {
            match read(client, node, key, None).await {
                Some(Ok(reading)) if reading.openings.len() == 1 => break,
                Some(Ok(_) | Err(SealedError::Refused(_) | SealedError::ReadErased(_) | SealedError::Absent(_))) => {
                    client.complain(format!("node {node} does not give what a hold keeps of {key}"));
                    return None;
                }
                Some(Err(_)) | None => client.pause().await?,
            }
        }
    }
    Some(())
}

/// Time passes, and nobody orders anything.
async fn outlive(client: &mut Client) -> Option<()> {
    let mut values = Vec::new();
    for number in 0..EACH {
        let key = format!("old-{number}");
        values.push((subject("visit", &key), write(client, "visit", &key).await?));
    }
    let organisation = client.administrator(0).id.organisation().to_owned();
    let before = controller(client, &organisation).await.orders;
    client.leap.pass(Duration::from_secs(u64::from(DAYS - 1) * 86_400));
    client.wait(Duration::from_secs(3)).await;
    if controller(client, &organisation).await.orders > before {
        client.complain("something was erased before its time".to_owned());
        return None;
    }
    client.leap.pass(Duration::from_secs(2 * 86_400));
    for (subject, value) in values {
        while client.row(StateKey::erased_value(&organisation, &subject, &value)).await.is_none() {
            client.pause().await?;
        }
    }
    loop {
        let row = controller(client, &organisation).await;
        if row.orders >= before + EACH as u64 && row.open.is_empty() {
            client.record.note(format!("{} orders were raised by themselves", row.orders - before));
            return Some(());
        }
        client.pause().await?;
    }
}

async fn controller(client: &mut Client, organisation: &str) -> ControllerRow {
    let row = client.row(StateKey::controller(organisation)).await;
    row.and_then(|row| ControllerRow::decode(&row).ok()).unwrap_or_default()
}

async fn erasure(client: &mut Client, id: &str) -> Option<ErasureRow> {
    loop {
        let row = client.row(StateKey::erasure(id)).await;
        if let Some(row) = row.and_then(|row| ErasureRow::decode(&row).ok()) {
            return Some(row);
        }
        client.pause().await?;
    }
}

/// Waits until every holder has said that it destroyed.
pub(super) async fn complete(client: &mut Client, id: &str) -> Option<ErasureRow> {
    loop {
        let row = erasure(client, id).await?;
        if row.is_complete() {
            client.record.note(format!("erasure {id} is complete"));
            return Some(row);
        }
        client.pause().await?;
    }
}
