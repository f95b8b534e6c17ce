//! What is shared is read: on record, by those whom the custodian lets, from a node of their own.

use super::{MEMBERS, REGISTER, hand_in, sign};
use crate::{client::Client, machine::SECRET, members::Member};
use tallystick_node::parcels::{Executed, PrivateError};
use tallystick_protocol::{Code, Operation, Outcome, PrincipalId, Subject};

/// The key of the record.
const KEY: &str = "c-3";

pub(super) async fn read(client: &mut Client, reader: &Member, guest: &Member) -> Option<()> {
    let own = client.members.holder(MEMBERS[0])?.principal;
    let other = client.members.holder(MEMBERS[1])?.principal;
    given(client, MEMBERS[0], reader, &own, None).await?;
    given(client, MEMBERS[1], guest, &other, Some(Code::NotPermitted)).await?;
    // Asked at a node that it does not name, a read gives nothing.
    loop {
        let asked = sign(client, reader, operation(&other));
        match hand_in(client, MEMBERS[0], &asked).await {
            Some(Err(PrivateError::Unfit(why))) if why.contains("ask that one") => return Some(()),
            // It has just started.
            Some(Err(PrivateError::NotHeld(_) | PrivateError::Behind { .. } | PrivateError::Shut(_))) | None => {
                client.pause().await?
            }
            answer => {
                client.complain(format!("a node answered a read of another: {answer:?}"));
                return None;
            }
        }
    }
}

fn operation(node: &PrincipalId) -> Operation {
    Operation::RecordRead {
        register: REGISTER.to_owned(),
        key: KEY.to_owned(),
        fields: vec!["note".to_owned()],
        subjects: vec![Subject::new(REGISTER, KEY).expect("a subject")],
        purpose: "Safe passage".to_owned(),
        legal_basis: "The Pilotage Act".to_owned(),
        recipient: None,
        node: node.clone(),
    }
}

/// Signs reads until one is answered, for an answer may be lost on the way: then it is refused so, or gives the record's note.
async fn given(
    client: &mut Client,
    node: usize,
    reader: &Member,
    holder: &PrincipalId,
    refused: Option<Code>,
) -> Option<()> {
    loop {
        let transaction = sign(client, reader, operation(holder));
        match hand_in(client, node, &transaction).await {
            Some(Ok(Executed { outcome, given, .. })) => {
                let code = match &outcome {
                    Outcome::Accepted { .. } => None,
                    Outcome::Refused(refusal) => Some(refusal.code),
                };
                let items: Vec<&str> =
                    given.iter().flat_map(|one| &one.record.items).map(|(_, item)| item.as_str()).collect();
                let note = format!(r#"{{"note":"{SECRET} 3"}}"#);
                let expected = if refused.is_none() { vec![note.as_str()] } else { Vec::new() };
                if (code, &items) == (refused, &expected) {
                    client.record.note(format!("{} read in a partition: {code:?}", reader.id));
                    return Some(());
                }
                client.complain(format!("a read came to {code:?} and {} items", items.len()));
                return None;
            }
            Some(Err(error)) => client.record.note(format!("node {node}: {error}")),
            None => {}
        }
        client.pause().await?;
    }
}
