//! Share: two of the organisations open a partition and keep a register in it, and nobody else comes to know what is in it. Both come
//! to the same state, whatever happens to their nodes; the rest of the network sees that something was ordered.

mod consent;
mod correct;
mod entrust;
pub mod erase;
mod leave;
mod lie;
mod part;
pub(super) mod permit;
mod read;
pub(super) mod reshape;
pub mod retain;
pub mod sealed;
pub mod sever;

use crate::{
    client::Client,
    machine::{Machine, SECRET},
    members::Member,
};
use bytes::Bytes;
use futures::future::join_all;
use std::time::Duration;
use tallystick_node::{
    parcels::{Executed, PrivateError},
    service::Service,
};
use tallystick_protocol::{
    AgreementTerms, Assurance, Change, Code, Datatype, Field, Intent, MandateId, NewEntry, Operation, OperationName,
    Outcome, PartitionRootsRow, PrincipalId, PrincipalKind, Protection, SignedTransaction, SigningKey, StateKey,
};
use tallystick_storage::history::ActQuery;

/// The partition.
pub const PARTITION: &str = "charts";
/// The organisations that share; their nodes have the same numbers.
pub const MEMBERS: [usize; 2] = [0, 1];
/// One whose node holds too, and is no member, unless it joins late.
const OUTSIDER: usize = 2;
/// Where members come and go: those who are in the end.
pub const REMAINING: [usize; 2] = [MEMBERS[0], OUTSIDER];
/// Where members come and go: those who ever were.
pub const EVER: [usize; 3] = [MEMBERS[0], MEMBERS[1], OUTSIDER];
/// The register in the partition.
const REGISTER: &str = "chart";
/// Entries appended to it.
const ENTRIES: usize = 10;
/// Entries handed in at once.
const AT_ONCE: usize = 160;
/// How long a node is given for one private transaction.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) async fn share(client: &mut Client) -> Option<()> {
    let writer = begin(client, &MEMBERS).await?;
    erase::erase(client, &writer).await?;
    lie::lie(client).await?;
    sealed::lie(client, &writer).await?;
    many(client, &writer).await?;
    // The network's policies hold here too: the register is another's.
    let guest = client.registrar(MEMBERS[1]);
    executed(client, MEMBERS[1], &guest, append(ENTRIES), Some(Code::NotPermitted)).await?;
    // And who is no member has nowhere to hand anything in.
    let stranger = client.registrar(OUTSIDER);
    let refused = sign(client, &stranger, append(0));
    match hand_in(client, OUTSIDER, &refused).await {
        Some(Err(PrivateError::NotHeld(_))) | None => {}
        other => {
            client.complain(format!("a node that is no member's took a private transaction: {other:?}"));
            return None;
        }
    }
    read::read(client, &writer, &guest).await?;
    entrust::entrust(client, &writer, &guest).await?;
    sealed::read(client, &writer).await?;
    refused_on_record(client).await?;
    leave::leave(client).await?;
    correct::correct(client, &writer, &guest).await?;
    consent::consent(client, &writer).await?;
    erase::race_reads(client, &writer).await?;
    certified(client).await
}

/// Opens the partition, and writes to a register in it. Says who does.
async fn begin(client: &mut Client, members: &[usize]) -> Option<Member> {
    let abroad = client.members.principals.len()..client.members.nodes.len();
    for node in MEMBERS.into_iter().chain([OUTSIDER]).chain(abroad) {
        enrol_node(client, node).await?;
    }
    let voters: Vec<Member> = members.iter().map(|organisation| client.administrator(*organisation)).collect();
    client.decide(&voters, "share", vec![Change::PartitionOpen { agreement: agreement(client, members) }]).await?;
    let (keeper, writer) = (client.administrator(MEMBERS[0]), client.registrar(MEMBERS[0]));
    // Its own description is in the state of those who may see it: so the search for it is known to find.
    let pilot = Field { protection: Some(own()), ..Field::new(sealed::FIELD, Datatype::String) };
    let fields = vec![Field::new(REGISTER, Datatype::String), Field::new("note", Datatype::String), pilot];
    let create = Operation::RegisterCreate { register: REGISTER.to_owned(), text: SECRET.to_owned(), fields };
    executed(client, MEMBERS[0], &keeper, create, None).await?;
    for number in 0..ENTRIES {
        executed(client, MEMBERS[0], &writer, append(number), None).await?;
    }
    sealed::write(client, &writer).await?;
    Some(writer)
}

/// Of a value about the record that it stands in.
fn own() -> Protection {
    Protection::Personal { subject: REGISTER.to_owned(), days: None }
}

/// Has more ordered at once than fits into one message between nodes, however short the transactions are for themselves.
async fn many(client: &mut Client, writer: &Member) -> Option<()> {
    let mut left: Vec<(usize, SignedTransaction)> =
        (0..AT_ONCE).map(|number| (number, sign(client, writer, append(1_000 + number)))).collect();
    while !left.is_empty() {
        let all: Vec<Bytes> = left.iter().map(|(_, transaction)| transaction.bytes().clone()).collect();
        let asked = client.door(MEMBERS[0]).ask(move |service| async move {
            join_all(all.into_iter().map(|bytes| service.submit_private(bytes, PATIENCE))).await
        });
        let answers = asked.await.unwrap_or_default();
        let mut answers = answers.into_iter();
        let mut again = Vec::new();
        for (number, transaction) in left {
            match answers.next() {
                Some(Ok(done)) if done.outcome.is_accepted() => {}
                Some(Err(PrivateError::Repeated { refused: None, .. })) => {}
                Some(Err(PrivateError::Unfit(_))) => {
                    again.push((number, sign(client, writer, append(1_000 + number))));
                }
                Some(Err(_)) | None => again.push((number, transaction)),
                Some(Ok(done)) => {
                    client.complain(format!("one of many was not taken: {done:?}"));
                    return None;
                }
            }
        }
        left = again;
        client.record.note(format!("{} of {AT_ONCE} at once are still to come", left.len()));
        client.pause().await?;
    }
    Some(())
}

/// Waits until the members' roots are certified, of the last block that ordered something.
async fn certified(client: &mut Client) -> Option<()> {
    loop {
        let row = roots(client).await;
        if let Some(alarm) = row.alarm {
            client.complain(format!("members that keep to the rules have different roots: {alarm:?}"));
            return None;
        }
        if row.certified.is_some_and(|certified| certified.height == row.ordered_height) {
            client.record.note(format!("{} payloads are ordered, and their root is certified", row.ordered));
            return Some(());
        }
        client.pause().await?;
    }
}

/// Where a member has a node that stands where nothing of the partition may be held, it is on record that it was given nothing.
async fn refused_on_record(client: &mut Client) -> Option<()> {
    for node in client.members.principals.len()..client.members.nodes.len() {
        let refused = client.members.holder(node)?.principal;
        if !MEMBERS.contains(&client.members.organisation_of(node)) {
            continue;
        }
        let seen = refused.clone();
        let found = client.door(MEMBERS[0]).ask(move |service| async move { refusals(&service, &seen).await }).await;
        match found {
            Some(0) => client.complain(format!("nothing on record says that {refused} was given nothing")),
            Some(found) => client.record.note(format!("{found} refused transfers to {refused} are on record")),
            None => {}
        }
    }
    Some(())
}

async fn refusals(service: &Service<Machine>, node: &PrincipalId) -> usize {
    let asked = ActQuery { action: Some(OperationName::TransferRefuse), ..ActQuery::default() };
    let leaves = service.history().acts(&asked, u64::MAX, AT_ONCE);
    let Ok((acts, _)) = service.acts(&asked, &leaves).await else { return 0 };
    let operations =
        acts.iter().filter(|act| act.entry.outcome.is_accepted()).flat_map(|act| act.transaction.operations());
    operations.filter(|operation| matches!(operation, Operation::TransferRefuse { node: of, .. } if of == node)).count()
}

/// What members' nodes say of their states.
async fn roots(client: &mut Client) -> PartitionRootsRow {
    let row = client.row(StateKey::partition_roots(PARTITION)).await;
    row.and_then(|row| PartitionRootsRow::decode(&row).ok()).unwrap_or_default()
}

async fn enrol_node(client: &mut Client, node: usize) -> Option<()> {
    let administrator = client.administrator(client.members.organisation_of(node));
    let holder = client.members.holder(node)?;
    let enrol = Operation::PrincipalEnrol {
        name: holder.principal.name().to_owned(),
        kind: PrincipalKind::Program,
        roles: "retention".parse().expect("a role"),
        key: holder.key.public(),
        assurance: Assurance::Substantial,
    };
    client.accepted(&administrator, enrol).await?;
    register(client, node).await
}

/// Registers a node, which is enrolled. The second ones of an organisation stand where nothing of the partition may be held.
async fn register(client: &mut Client, node: usize) -> Option<()> {
    let administrator = client.administrator(client.members.organisation_of(node));
    let holder = client.members.holder(node)?;
    let place = if node < client.members.principals.len() { "GB" } else { "FR" };
    let peer = client.members.validator(node).key;
    let (node, sealing) = (holder.principal, holder.sealing.public().ok()?);
    let jurisdiction = place.parse().expect("a jurisdiction");
    client.accepted(&administrator, Operation::NodeRegister { node, peer, sealing, jurisdiction }).await?;
    Some(())
}

fn agreement(client: &Client, members: &[usize]) -> AgreementTerms {
    let id = |organisation: &usize| client.members.principals[*organisation][0].id.organisation().to_owned();
    AgreementTerms {
        partition: PARTITION.to_owned(),
        members: members.iter().map(id).collect(),
        // So long that what a transaction relies on, which holds it, is longer by far than the transaction.
        purpose: "Safe passage. ".repeat(70).trim_end().to_owned(),
        legal_basis: "The Pilotage Act".to_owned(),
        categories: (10..42).map(|number| format!("{}{number}", "depths-".repeat(8))).collect(),
        from_ms: 0,
        until_ms: Some(u64::MAX),
        review_ms: None,
        jurisdictions: vec!["GB".parse().expect("a jurisdiction")],
        retention_days: 30,
        acknowledgements: 2,
        managers: Vec::new(),
        regulators: Vec::new(),
    }
}

fn append(number: usize) -> Operation {
    let key = format!("c-{number}");
    let items = vec![format!(r#"{{"{REGISTER}":"{key}","note":"{SECRET} {number}"}}"#)];
    Operation::EntryAppend { register: REGISTER.to_owned(), entries: vec![NewEntry { key, items }] }
}

fn sign(client: &mut Client, member: &Member, operation: Operation) -> SignedTransaction {
    sign_under(client, (member, None), operation)
}

fn sign_under(
    client: &mut Client,
    (member, mandate): (&Member, Option<&MandateId>),
    operation: Operation,
) -> SignedTransaction {
    let intent = intent(client, member, operation);
    Intent { mandate: mandate.cloned(), ..intent }.sign(&member.key).expect("the simulated intent is valid")
}

fn sign_with(client: &mut Client, member: &Member, key: &SigningKey, operation: Operation) -> SignedTransaction {
    intent(client, member, operation).sign(key).expect("the simulated intent is valid")
}

fn intent(client: &mut Client, member: &Member, operation: Operation) -> Intent {
    Intent {
        not_after: client.now_s() + 300,
        idempotency_key: client.chance.bytes(16),
        partition: Some(PARTITION.to_owned()),
        ..Intent::new(client.members.genesis.id(), member.id.clone(), "simulation", vec![operation])
    }
}

/// Hands a private transaction to a node; none when the node is down, or dies over it.
async fn hand_in(
    client: &Client,
    node: usize,
    transaction: &SignedTransaction,
) -> Option<Result<Executed, PrivateError>> {
    let (_, door) = client.doors.iter().find(|(number, _)| *number == node)?;
    let bytes = transaction.bytes().clone();
    door.ask(move |service| async move { service.submit_private(bytes, PATIENCE).await }).await
}

/// Has an operation executed in the partition, however often it must be handed in; it must be refused so, or accepted.
async fn executed(
    client: &mut Client,
    node: usize,
    member: &Member,
    operation: Operation,
    refused: Option<Code>,
) -> Option<()> {
    executed_under(client, node, (member, None), operation, refused).await
}

/// The same, under a mandate.
async fn executed_under(
    client: &mut Client,
    node: usize,
    (member, mandate): (&Member, Option<&MandateId>),
    operation: Operation,
    refused: Option<Code>,
) -> Option<()> {
    let mut transaction = sign_under(client, (member, mandate), operation.clone());
    loop {
        match hand_in(client, node, &transaction).await {
            Some(Ok(Executed { outcome, height, number, .. })) => {
                let code = match &outcome {
                    Outcome::Accepted { .. } => None,
                    Outcome::Refused(refusal) => Some(refusal.code),
                };
                client.record.note(format!("{} in {PARTITION} at height {height}: {code:?}", operation.name()));
                let is_read = matches!(operation, Operation::RecordRead { .. });
                if code == Some(Code::NotPermitted) && !is_read {
                    client.complain(format!("{} had ordered what policies do not permit: {operation:?}", member.id));
                    return None;
                }
                if code == refused {
                    return repeated(client, node, &transaction, (number, height, refused)).await;
                }
                client.complain(format!("{} expected {refused:?} of {operation:?}: {outcome:?}", member.id));
                return None;
            }
            Some(Err(PrivateError::Repeated { refused: was, .. })) if was == refused => return Some(()),
            // What policies do not permit is not ordered.
            Some(Err(PrivateError::NotPermitted { refusal, height })) if Some(refusal.code) == refused => {
                client.record.note(format!("{} in {PARTITION}, as of height {height}: not ordered", operation.name()));
                return Some(());
            }
            Some(Err(PrivateError::Unfit(why))) => {
                client.record.note(format!("signed anew: {why}"));
                transaction = sign_under(client, (member, mandate), operation.clone());
            }
            Some(Err(error)) => client.record.note(format!("node {node}: {error}")),
            None => {}
        }
        client.pause().await?;
    }
}

/// Hands it in once more: it counts once, and what became of it is told again.
async fn repeated(
    client: &mut Client,
    node: usize,
    transaction: &SignedTransaction,
    (number, height, refused): (u64, u64, Option<Code>),
) -> Option<()> {
    let expected = PrivateError::Repeated { number, height, refused };
    loop {
        match hand_in(client, node, transaction).await {
            Some(Err(error)) if error == expected => return Some(()),
            Some(Err(error @ PrivateError::Repeated { .. })) => {
                client.complain(format!("what was executed was told otherwise: {error}, and not {expected}"));
                return None;
            }
            Some(Ok(Executed { outcome, .. })) if outcome.is_accepted() => {
                client.complain(format!("what was executed was executed again: {expected}"));
                return None;
            }
            // It died over it, or has lost its disk and does not know of it yet.
            _ => client.pause().await?,
        }
    }
}
