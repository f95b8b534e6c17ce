//! Part: a member leaves before it has said that it destroyed what was ordered. Nobody waits for it, the order names it, and so does one that is given
//! later; when it is back it destroys, says so, and the first order is complete.

use super::{
    EVER, MEMBERS, REMAINING,
    erase::{order, row},
    executed,
    reshape::amend,
    sealed::{drawer, write_of},
};
use crate::{client::Client, members::Member};
use tallystick_protocol::{ErasureRow, ErasureScope, ErasureStatus, Operation, PrincipalId, PrincipalStatus};
use tallystick_storage::vault::Drawer;

/// Of whom all is erased before the member leaves, and after.
const ERASED: [&str; 2] = ["s-parted-before", "s-parted-after"];

/// Where nothing is left on any member's node.
pub fn erased() -> impl Iterator<Item = Drawer> {
    ERASED.into_iter().map(drawer)
}

pub(super) async fn part(client: &mut Client, writer: &Member) -> Option<()> {
    let [before, after] = ERASED;
    write_of(client, writer, before).await?;
    write_of(client, writer, after).await?;
    let keeper = client.administrator(MEMBERS[0]);
    let leaving = client.members.holder(MEMBERS[1])?.principal;
    // So that its node cannot say what it has done.
    status(client, &leaving, PrincipalStatus::Suspended).await?;
    let ordered = order(client, before, ErasureScope::All);
    executed(client, MEMBERS[0], &keeper, ordered, None).await?;
    until(client, before, |row| row.outstanding().eq([&leaving])).await?;
    if row(client, before).await?.is_over() {
        client.complain(format!("an order was over while it waited for {leaving}, a member still"));
        return None;
    }
    amend(client, "part", &REMAINING).await?;
    let over = until(client, before, ErasureRow::is_over).await?;
    is_so(client, &over, (ErasureStatus::Incomplete, &[&leaving], &[]))?;
    let ordered = order(client, after, ErasureScope::All);
    executed(client, MEMBERS[0], &keeper, ordered, None).await?;
    let over = until(client, after, ErasureRow::is_over).await?;
    is_so(client, &over, (ErasureStatus::Complete, &[], &[leaving.organisation()]))?;
    status(client, &leaving, PrincipalStatus::Active).await?;
    amend(client, "back", &EVER).await?;
    let over = until(client, before, ErasureRow::is_complete).await?;
    is_so(client, &over, (ErasureStatus::Complete, &[], &[]))?;
    client.record.note("1 order was over without one who had left, and complete when it was back".to_owned());
    Some(())
}

async fn status(client: &mut Client, principal: &PrincipalId, status: PrincipalStatus) -> Option<()> {
    let administrator = client.administrator(MEMBERS[1]);
    let (principal, reason) = (principal.clone(), "As it leaves".to_owned());
    client.accepted(&administrator, Operation::PrincipalStatus { principal, status, reason }).await.map(drop)
}

/// Waits until an order stands so.
async fn until(client: &mut Client, order: &str, is_so: impl Fn(&ErasureRow) -> bool) -> Option<ErasureRow> {
    loop {
        let row = row(client, order).await?;
        if is_so(&row) {
            return Some(row);
        }
        client.pause().await?;
    }
}

/// Goes on if an order stands there, with these who have said nothing, and these who had left before.
fn is_so(
    client: &Client,
    row: &ErasureRow,
    (status, silent, former): (ErasureStatus, &[&PrincipalId], &[&str]),
) -> Option<()> {
    let stands = row.status(false, 0);
    if stands == status && row.outstanding().eq(silent.iter().copied()) && row.unasked == former {
        return Some(());
    }
    client.complain(format!(
        "order {} is {stands}, and not {status} without {silent:?} and {former:?}: {row:?}",
        row.order
    ));
    None
}
