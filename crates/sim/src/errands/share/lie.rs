//! Lie: what clients hand in that is forged, and what a member's node asks another to acknowledge that it must not. Nothing of it is
//! ordered, so that nothing of it is in the log for ever.

use super::{MEMBERS, PARTITION, append, hand_in, sign, sign_with};
use crate::client::Client;
use commonware_cryptography::ed25519::PublicKey;
use tallystick_ledger::PolicySetRow;
use tallystick_node::{
    parcels::{
        PrivateError,
        message::{Delivered, Message, Reason},
    },
    rejection::RejectionCode,
};
use tallystick_protocol::{
    Beside, Cosigner, Evidence, Hash, Intent, Opening, Operation, PartlySignedTransaction, Payload, SignedTransaction,
    StateKey,
};

/// Times that a node is asked until it is heard.
const TIMES: usize = 5;

/// What becomes of what is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Acknowledged,
    Refused(Reason),
}

pub(super) async fn lie(client: &mut Client) -> Option<()> {
    let (writer, other) = (client.registrar(MEMBERS[0]), client.registrar(MEMBERS[1]));
    // A key that is not the writer's: its signature holds, and it is nobody's.
    let forged = sign_with(client, &writer, &other.key, append(0));
    loop {
        match hand_in(client, MEMBERS[0], &forged).await {
            Some(Err(PrivateError::Rejected(rejection))) if rejection.code == RejectionCode::UnknownKey => break,
            None => client.pause().await?,
            other => {
                client.complain(format!("a forged private transaction came to this: {other:?}"));
                return None;
            }
        }
    }
    let honest = sign(client, &writer, append(0));
    expect(client, &honest, Heard::Acknowledged).await?;
    expect(client, &forged, Heard::Refused(Reason::Invalid)).await?;
    // What policies do not let its signer do: there is no record of it, for it is not ordered.
    let beyond = sign(client, &writer, beyond());
    expect(client, &beyond, Heard::Refused(Reason::Policy)).await?;
    // Another member's transaction, which only nodes of its own have ordered.
    let others = sign(client, &other, append(0));
    expect(client, &others, Heard::Refused(Reason::Invalid)).await
}

/// What no registrar may do.
fn beyond() -> Operation {
    Operation::RegisterCreate { register: "beyond".to_owned(), text: String::new(), fields: Vec::new() }
}

/// Has the first member's node ask the second's to acknowledge a transaction, whatever its software would say of it.
async fn expect(client: &mut Client, transaction: &SignedTransaction, expected: Heard) -> Option<()> {
    expect_beside(client, (&|_: &mut Client| transaction.clone(), &[]), expected).await
}

/// The same of one that is signed whenever it is asked for, with openings beside it.
pub(super) async fn expect_beside(
    client: &mut Client,
    (sign, openings): (&impl Fn(&mut Client) -> SignedTransaction, &[Opening]),
    expected: Heard,
) -> Option<()> {
    loop {
        let transaction = &sign(client);
        match ask(client, transaction, openings).await? {
            heard if heard == expected => return Some(()),
            // Its state went on meanwhile, or it has just started.
            Heard::Refused(Reason::Evidence | Reason::Busy | Reason::Excluded) => client.pause().await?,
            heard => {
                client.complain(format!("a node was to have {expected:?} of it, and has {heard:?}: {transaction:?}"));
                return None;
            }
        }
    }
}

/// Hands a transaction that is signed whenever it is asked for to a member's node which is not asked to acknowledge it, with openings
/// beside it, as often as it takes to be sure that it was heard.
pub(super) async fn hand_on(
    client: &mut Client,
    (sign, openings): (&impl Fn(&mut Client) -> SignedTransaction, &[Opening]),
) -> Option<()> {
    let to = client.members.keys()[MEMBERS[1]].clone();
    let transaction = sign(client);
    let (_, message) = delivery(client, &transaction, openings).await?;
    let Message::Deliver { partition, parcels, openings, .. } = message else { return None };
    let message = Message::Deliver { partition, order: None, parcels, openings };
    for _ in 0..TIMES {
        client.door(MEMBERS[0]).say(to.clone(), &message);
        client.pause().await?;
    }
    Some(())
}

async fn ask(client: &mut Client, transaction: &SignedTransaction, openings: &[Opening]) -> Option<Heard> {
    let keys: [PublicKey; 2] = MEMBERS.map(|node| client.members.keys()[node].clone());
    loop {
        let (order, message) = delivery(client, transaction, openings).await?;
        let answer = |said: &[(PublicKey, Message)]| {
            said.iter().filter(|(to, _)| *to == keys[0]).find_map(|(_, message)| match message {
                Message::Acknowledged { order: of, .. } if *of == order => Some(Heard::Acknowledged),
                Message::Refused { order: of, reason } if *of == order => Some(Heard::Refused(*reason)),
                _ => None,
            })
        };
        for _ in 0..TIMES {
            client.door(MEMBERS[0]).say(keys[1].clone(), &message);
            client.pause().await?;
            if let Some(heard) = client.door(MEMBERS[1]).said(answer).flatten() {
                return Some(heard);
            }
        }
    }
}

/// The message that has a transaction acknowledged; and the order's hash.
async fn delivery(
    client: &mut Client,
    transaction: &SignedTransaction,
    openings: &[Opening],
) -> Option<(Hash, Message)> {
    let payload = wrap(client, transaction).await?;
    let (order, parcel) = (order(client, &payload)?.bytes().clone(), seal(client, &payload, MEMBERS[1])?);
    let hash = Hash::of(&[&order]);
    let beside = Beside::of(&client.members.genesis.id(), PARTITION, [&parcel.0.id].into_iter());
    let to = client.members.holder(MEMBERS[1])?.sealing.public().ok()?;
    let openings = if openings.is_empty() { None } else { beside.seal(openings, &to, &mut client.world).ok() };
    let (partition, parcels) = (PARTITION.to_owned(), vec![parcel]);
    Some((hash, Message::Deliver { partition, order: Some(order), parcels, openings }))
}

/// A payload with evidence that is true, and says who its signer is and what the policies are.
pub(super) async fn wrap(client: &mut Client, transaction: &SignedTransaction) -> Option<Payload> {
    let mut keys = vec![StateKey::partition(PARTITION), StateKey::policy_set("")];
    for (signer, _) in transaction.signers() {
        keys.extend([StateKey::principal(signer), StateKey::organisation(signer.organisation())]);
    }
    loop {
        let asked = keys.clone();
        let asked = client.door(MEMBERS[0]).read(move |_, reader, _| async move {
            let set = reader.rows(&[StateKey::policy_set("")]).await.ok()?.rows.pop()??;
            let policies = PolicySetRow::decode(&set).ok()?.policies;
            let texts = policies.iter().map(|policy| StateKey::policy(&policy.id, policy.version));
            let keys: Vec<StateKey> = asked.into_iter().chain(texts).collect();
            Some((keys.clone(), reader.rows(&keys).await.ok()?))
        });
        if let Some((keys, read)) = asked.await.flatten() {
            let rows = read.rows.into_iter().map(|row| row.map(|row| row.to_vec()));
            let evidence = Evidence { height: read.height, rows: keys.into_iter().zip(rows).collect() };
            let payload = Payload::new(vec![transaction.bytes().clone()], evidence, &mut client.world).ok()?;
            client.record.blindings().look_for_last(&payload.to_bytes());
            return Some(payload);
        }
        client.pause().await?;
    }
}

/// An order of it by the first member's node, which the second's is to sign too.
pub(super) fn order(client: &mut Client, payload: &Payload) -> Option<PartlySignedTransaction> {
    let (sender, asked) = (client.members.holder(MEMBERS[0])?, client.members.holder(MEMBERS[1])?);
    let parcels = vec![payload.ordered(&client.members.genesis.id(), PARTITION).ok()?];
    let height = payload.evidence().height;
    let operation = Operation::PrivateOrder { partition: PARTITION.to_owned(), height, parcels };
    let intent = Intent {
        not_after: client.now_s() + 60,
        idempotency_key: client.chance.bytes(16),
        cosigners: vec![Cosigner { principal: asked.principal, key: asked.key.public() }],
        ..Intent::new(client.members.genesis.id(), sender.principal, "simulation", vec![operation])
    };
    intent.begin(&sender.key).ok()
}

/// The parcel of it for a member's node.
pub(super) fn seal(client: &mut Client, payload: &Payload, to: usize) -> Option<Delivered> {
    let network = client.members.genesis.id();
    let to = client.members.holder(to)?.sealing.public().ok()?;
    let ordered = payload.ordered(&network, PARTITION).ok()?;
    Some((ordered, payload.seal(&network, PARTITION, &to, &mut client.world).ok()?))
}
