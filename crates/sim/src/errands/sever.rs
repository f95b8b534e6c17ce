//! Sever: a holder knows that somebody is to be erased, and is cut off before it has destroyed. Meanwhile it is ordered that it be kept. When the
//! holder is linked again, blocks come to it that are newer than the order and older than the hold: it destroys at none of them.

use super::{
    away::is_kept,
    erase::{HOLDERS, begin, complete, order, read, subject, write},
    hold,
};
use crate::client::Client;
use std::time::Duration;
use tallystick_protocol::{Operation, Subject};

/// For how long it is cut off before the hold comes, each time.
pub const PAUSES: [Duration; 4] =
    [Duration::from_millis(1_500), Duration::from_millis(2_500), Duration::from_secs(4), Duration::from_secs(8)];
/// By when it has looked at what a block orders, and is far from through.
pub const SIGHT: Duration = Duration::from_millis(100);
/// By when whoever is back has executed what it missed.
pub const REST: Duration = Duration::from_secs(5);

/// Of whom nothing is left.
pub fn erased() -> impl Iterator<Item = Subject> {
    (0..PAUSES.len()).map(|number| subject("person", &name(number)))
}

fn name(number: usize) -> String {
    format!("severed-{number}")
}

pub(super) async fn sever(client: &mut Client) -> Option<()> {
    begin(client).await?;
    let (administrator, severed) = (client.administrator(0), HOLDERS[1]);
    for (number, pause) in PAUSES.into_iter().enumerate() {
        let key = name(number);
        write(client, "person", &key).await?;
        if number == 0 {
            gives_nothing(client, severed, &key).await?;
        }
        let mut others = client.fork(number);
        others.doors.retain(|(node, _)| *node != severed);
        let ordered = order(&mut others, &key, &key).await?;
        client.knows(severed, ordered.height).await?;
        client.wait(SIGHT).await;
        client.wires.cut(severed).await;
        client.wait(pause).await;
        others.accepted(&administrator, hold(&key, &administrator, subject("person", &key))).await?;
        client.wires.mend().await;
        client.wait(REST).await;
        is_kept(client, &key).await?;
        client.record.note("1 value was held while its holder was cut off".to_owned());
        let lift = Operation::HoldLift { hold: key.clone(), reason: "Settled".to_owned() };
        client.accepted(&administrator, lift).await?;
        complete(client, &key).await?;
    }
    Some(())
}

/// Cut off, it puts no read on record, and so gives nothing.
async fn gives_nothing(client: &mut Client, severed: usize, key: &str) -> Option<()> {
    client.wires.cut(severed).await;
    let given = read(client, severed, key, None).await;
    client.wires.mend().await;
    match given {
        Some(Ok(_)) => {
            client.complain("a node that was cut off gave what it could put on no record".to_owned());
            return None;
        }
        Some(Err(error)) => client.record.note(format!("cut off, a node gave nothing: {error}")),
        None => client.record.note("cut off, a node was down too".to_owned()),
    }
    client.wait(REST).await;
    Some(())
}

impl Client {
    /// Waits until a node has the block of this height.
    pub(super) async fn knows(&self, node: usize, height: u64) -> Option<()> {
        loop {
            let tip = self.door(node).ask(|service| async move { service.tip().header.height }).await;
            if tip.is_some_and(|tip| tip >= height) {
                return Some(());
            }
            self.wait(Duration::from_millis(20)).await;
            if self.record.is_stopping() {
                return None;
            }
        }
    }
}
