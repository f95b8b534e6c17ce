//! Permit: one member lets the other write to its register while that one does, at its own node: what comes before what permits it waits for
//! that on the node that is to order it.

use super::{MEMBERS, REGISTER, append, begin, certified, executed, hand_in, sever::is_level, sign};
use crate::client::Client;
use futures::join;
use tallystick_node::parcels::{Executed, PrivateError};
use tallystick_protocol::{Operation, PolicyChange, PolicyId, PolicyText};

/// How often.
const ROUNDS: usize = 4;
/// An entry of none before.
const FIRST: usize = 500;
/// What permits it.
const GUESTS_WRITE: &str =
    r#"permit (principal in Role::"registrar", action == Action::"entry-append", resource == Register::"chart");"#;

pub(in crate::errands) async fn permit(client: &mut Client) -> Option<()> {
    begin(client, &MEMBERS).await?;
    let (keeper, guest) = (client.administrator(MEMBERS[0]), client.registrar(MEMBERS[1]));
    let id: PolicyId = format!("{REGISTER}/guests").parse().expect("an id");
    let put = PolicyText { id: id.clone(), text: GUESTS_WRITE.to_owned() };
    let change = |put, remove| {
        let change = PolicyChange { put, remove };
        Operation::RegisterPolicy { register: REGISTER.to_owned(), change }
    };
    for round in 0..ROUNDS {
        let opening = sign(client, &keeper, change(vec![put.clone()], Vec::new()));
        let writing = sign(client, &guest, append(FIRST + round));
        let (opened, written) = join!(hand_in(client, MEMBERS[0], &opening), hand_in(client, MEMBERS[1], &writing));
        let is_accepted = |done: &Option<Result<Executed, PrivateError>>| {
            done.as_ref().is_some_and(|done| done.as_ref().is_ok_and(|done| done.outcome.is_accepted()))
        };
        if !is_accepted(&opened) || !is_accepted(&written) {
            client.complain(format!("what is permitted meanwhile was not waited for: {opened:?}, {written:?}"));
            return None;
        }
        client.record.note("1 act waited for what permits it".to_owned());
        executed(client, MEMBERS[0], &keeper, change(Vec::new(), vec![id.clone()]), None).await?;
        // Else the next one is permitted still.
        is_level(client, MEMBERS[1]).await?;
    }
    certified(client).await
}
