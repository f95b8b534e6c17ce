//! Retain: a register in a partition keeps what is sealed in it for a day. That passes, and nobody orders anything: every member's node has
//! destroyed it in the end, but for what is held, until it is not. Another register says nothing, and a third keeps for two days: when these have
//! passed the members agree to keep nothing longer, and what was passed over by then is erased too.

use super::{MEMBERS, PARTITION, agreement, begin, certified, executed, sealed::write_in};
use crate::{
    client::Client,
    errands::{hold, share::sealed},
    members::Member,
};
use std::time::Duration;
use tallystick_node::parcels::PrivateError;
use tallystick_protocol::{
    AgreementTerms, Change, Datatype, ErasureRow, ErasureScope, Field, Operation, Protection, Query, Subject,
    limits::ERASURES_PER_PAGE,
};
use tallystick_storage::vault::Drawer;

/// The register.
const LOG: &str = "log";
/// For how many days it keeps.
const DAYS: u32 = 1;
/// Whose values are as old as they may be.
const OLD: [&str; 3] = ["l-old-0", "l-old-1", "l-old-2"];
/// Whose are, and are held meanwhile. It is written first: nobody's after it waits for that.
const HELD: &str = "l-held";
/// The hold.
const HOLD: &str = "inquiry";
/// The register that says nothing, and whose values are in it.
const DIARY: &str = "diary";
const AGREED: &str = "d-agreed";
/// The register that keeps for as long as the members agree to in the end, and whose values are in it.
const NOTES: &str = "notes";
const TWO: &str = "n-two";
/// For how many days the members agree to keep what they share, in the end.
const AGREED_DAYS: u32 = 2;
/// An hour.
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than the pause between two passes of a node.
const WHILE: Duration = Duration::from_secs(3);
/// The path of a question.
const PATH: &str = "/erasures";

/// Where nothing is left on any member's node.
pub fn erased() -> impl Iterator<Item = Drawer> {
    let of_log = OLD.into_iter().chain([HELD]).map(|key| Drawer::private(PARTITION, LOG, subject(key)));
    of_log.chain([Drawer::private(PARTITION, DIARY, agreed()), Drawer::private(PARTITION, NOTES, two())])
}

fn subject(key: &str) -> Subject {
    Subject::new(LOG, key).expect("slugs")
}

fn agreed() -> Subject {
    Subject::new(DIARY, AGREED).expect("slugs")
}

fn two() -> Subject {
    Subject::new(NOTES, TWO).expect("slugs")
}

/// Has a register that keeps what is sealed in it for so many days.
async fn create(client: &mut Client, register: &str, days: Option<u32>) -> Option<()> {
    let protection = Protection::Personal { subject: register.to_owned(), days };
    let pilot = Field { protection: Some(protection), ..Field::new(sealed::FIELD, Datatype::String) };
    let fields = vec![Field::new(register, Datatype::String), pilot];
    let text = "What pilots say".to_owned();
    let create = Operation::RegisterCreate { register: register.to_owned(), text, fields };
    executed(client, MEMBERS[0], &client.administrator(MEMBERS[0]), create, None).await.map(drop)
}

pub(in crate::errands) async fn retain(client: &mut Client) -> Option<()> {
    let writer = begin(client, &MEMBERS).await?;
    let keeper = client.administrator(MEMBERS[0]);
    create(client, LOG, Some(DAYS)).await?;
    create(client, DIARY, None).await?;
    create(client, NOTES, Some(AGREED_DAYS)).await?;
    write_in(client, &writer, DIARY, AGREED).await?;
    write_in(client, &writer, NOTES, TWO).await?;
    for key in [HELD].into_iter().chain(OLD) {
        write_in(client, &writer, LOG, key).await?;
    }
    let place = hold(HOLD, &keeper, subject(HELD));
    executed(client, MEMBERS[0], &keeper, place, None).await?;
    pass(client, HOUR * 23).await?;
    if let Some(early) = orders(client).await?.first() {
        client.complain(format!("order {} was raised before its time", early.order));
        return None;
    }
    pass(client, HOUR * 2).await?;
    raised(client, &OLD.map(subject)).await?;
    if orders(client).await?.iter().any(|row| row.subject == subject(HELD)) {
        client.complain("an order was raised about somebody who is held".to_owned());
        return None;
    }
    let lift = Operation::HoldLift { hold: HOLD.to_owned(), reason: "Settled".to_owned() };
    executed(client, MEMBERS[0], &keeper, lift, None).await?;
    raised(client, &[subject(HELD)]).await?;
    // What was written when the partition began is kept for the checkers.
    executed(client, MEMBERS[0], &keeper, hold("archive", &keeper, sealed::subject(sealed::KEPT)), None).await?;
    pass(client, HOUR * 25).await?;
    raised(client, &[two()]).await?;
    if orders(client).await?.iter().any(|row| row.subject == agreed()) {
        client.complain("an order was raised for what nobody had agreed to".to_owned());
        return None;
    }
    let shorter = AgreementTerms { retention_days: AGREED_DAYS, ..agreement(client, &MEMBERS) };
    let voters: Vec<Member> = MEMBERS.iter().map(|organisation| client.administrator(*organisation)).collect();
    client.decide(&voters, "shorter", vec![Change::PartitionAmend { agreement: shorter }]).await?;
    raised(client, &[agreed()]).await?;
    let rows = orders(client).await?;
    client.record.note(format!("{} orders were raised by themselves in a partition", rows.len()));
    certified(client).await
}

/// Lets so much time pass, by the time of blocks too; and the nodes look at what has come of it.
async fn pass(client: &mut Client, time: Duration) -> Option<()> {
    client.leap.pass(time);
    let now_s = client.now_s();
    loop {
        let tip_ms = client.door(MEMBERS[0]).ask(async |service| service.tip().header.time_ms).await;
        if tip_ms.is_some_and(|tip_ms| tip_ms / 1_000 >= now_s) {
            break;
        }
        client.pause().await?;
    }
    client.wait(WHILE).await;
    Some(())
}

/// Waits until it is ordered by themselves what these have had kept, and every member's node has said that it destroyed.
async fn raised(client: &mut Client, subjects: &[Subject]) -> Option<()> {
    loop {
        let rows = orders(client).await?;
        let of = |subject: &Subject| rows.iter().any(|row| row.subject == *subject && row.is_complete());
        if subjects.iter().all(of) && rows.iter().all(ErasureRow::is_complete) {
            return rows.iter().try_for_each(|row| is_right(client, row));
        }
        client.pause().await?;
    }
}

/// Whether an order says by whom and why it was raised. How much each member's node destroyed at least is noted: one that has lost its disk has
/// nothing to destroy.
fn is_right(client: &Client, row: &ErasureRow) -> Option<()> {
    let says = match row.subject.register() {
        LOG => (format!("The definition of register {LOG}"), "Kept for 1 day"),
        NOTES => (format!("The definition of register {NOTES}"), "Kept for 2 days"),
        _ => (format!("The agreement of partition {PARTITION}"), "Kept for 2 days"),
    };
    let is_right = row.principal == client.members.holder(MEMBERS[0])?.principal
        && row.controller == client.administrator(MEMBERS[0]).id.organisation()
        && matches!(row.scope, ErasureScope::Values(_))
        && (row.authority.as_str(), row.legal_basis.as_str()) == (&*says.0, says.1)
        && row.holders.len() == MEMBERS.len();
    if is_right {
        let destroyed = row.holders.iter().filter_map(|holder| holder.receipt).map(|receipt| receipt.values);
        let least = destroyed.min().unwrap_or_default();
        client.record.note(format!("{least} values at least were destroyed on each member's node"));
        return Some(());
    }
    client.complain(format!("an order raised by itself is not as it should be: {row:?}"));
    None
}

/// All orders of the first member's, as its node has them.
async fn orders(client: &mut Client) -> Option<Vec<ErasureRow>> {
    let (network, asker) = (client.members.genesis.id(), client.administrator(MEMBERS[0]));
    loop {
        let query = Query::sign(&network, PATH, asker.id.clone(), client.now_s() + 100, &asker.key);
        let (query, own) = (query.expect("a question"), asker.id.organisation().to_owned());
        let asked = client.door(MEMBERS[0]).ask(move |service| async move {
            let page = (u64::MAX, ERASURES_PER_PAGE as usize);
            let found = service.parcels()?.erasures(PARTITION, (&query, PATH), (&own, false), page).await?;
            Ok::<_, PrivateError>(found.value)
        });
        match asked.await {
            Some(Ok((found, None))) => return Some(found.into_iter().map(|one| one.row).collect()),
            Some(Ok((_, Some(_)))) => {
                client.complain("more was ordered than there is to erase".to_owned());
                return None;
            }
            Some(Err(_)) | None => client.pause().await?,
        }
    }
}
