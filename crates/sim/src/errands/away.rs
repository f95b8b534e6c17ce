//! Away: a holder is down while it is ordered that somebody be erased, and then that it be kept. When it is back it comes to the order first, and
//! destroys nothing before it has come to the hold.

use super::erase::{HOLDERS, begin, complete, order, read, subject, write};
use crate::{client::Client, errands::hold};
use std::time::Duration;
use tallystick_node::service::sealed::SealedError;
use tallystick_protocol::{Operation, Subject};

/// How often.
const ROUNDS: usize = 3;
/// By when whoever is back has executed what it missed.
const REST: Duration = Duration::from_secs(6);

/// Of whom nothing is left.
pub fn erased() -> impl Iterator<Item = Subject> {
    (0..ROUNDS).map(|number| subject("person", &name(number)))
}

fn name(number: usize) -> String {
    format!("away-{number}")
}

pub(super) async fn away(client: &mut Client) -> Option<()> {
    begin(client).await?;
    let administrator = client.administrator(0);
    for number in 0..ROUNDS {
        let key = name(number);
        write(client, "person", &key).await?;
        while is_up(client).await {
            client.pause().await?;
        }
        order(client, &key, &key).await?;
        client.accepted(&administrator, hold(&key, &administrator, subject("person", &key))).await?;
        let is_late = is_up(client).await;
        while !is_up(client).await {
            client.pause().await?;
        }
        client.wait(REST).await;
        if !is_late {
            is_kept(client, &key).await?;
        }
        client.record.note(format!("{} values were held before their holder was back", u8::from(!is_late)));
        let lift = Operation::HoldLift { hold: key.clone(), reason: "Settled".to_owned() };
        client.accepted(&administrator, lift).await?;
        complete(client, &key).await?;
    }
    Some(())
}

/// Whether the holder that goes away is there.
async fn is_up(client: &Client) -> bool {
    client.door(HOLDERS[1]).ask(|_| async {}).await.is_some()
}

/// It gives what the hold keeps, which the other one had destroyed by then.
pub(super) async fn is_kept(client: &mut Client, key: &str) -> Option<()> {
    loop {
        match read(client, HOLDERS[1], key, None).await {
            Some(Ok(reading)) if reading.openings.len() == 1 => return Some(()),
            Some(Ok(_) | Err(SealedError::Refused(_) | SealedError::ReadErased(_) | SealedError::Absent(_))) => {
                client.complain(format!("who was away destroyed what a hold keeps of {key}"));
                return None;
            }
            Some(Err(_)) | None => client.pause().await?,
        }
    }
}
