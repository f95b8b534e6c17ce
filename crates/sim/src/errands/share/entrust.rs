//! Entrust: one member lets the other act for it within the partition, which passes that on; nobody else comes to know who acts for whom.
//! It ends at once, for all.

use super::{super::entrust::terms, ENTRIES, MEMBERS, PARTITION, append, executed, executed_under};
use crate::{client::Client, machine::SECRET, members::Member};
use tallystick_node::{parcels::PrivateError, service::mandate::MandateQuery};
use tallystick_protocol::{Code, MandateId, Operation, Query};

/// An entry of none before.
const FIRST: usize = 10 * ENTRIES;
/// The path of a question.
const PATH: &str = "/mandates";

pub(super) async fn entrust(client: &mut Client, writer: &Member, guest: &Member) -> Option<()> {
    let [one, other] = MEMBERS;
    let helper = client.administrator(other);
    let cover = grant(client, one, (writer, guest), None).await?;
    executed_under(client, other, (guest, Some(&cover)), append(FIRST), None).await?;
    let passed_on = grant(client, other, (guest, &helper), Some(&cover)).await?;
    executed_under(client, other, (&helper, Some(&passed_on)), append(FIRST + 1), None).await?;
    // Of the same grantor and name as everybody sees them there is none; and outside it gives nothing.
    let public = MandateId::new(&writer.id, "cover").expect("a slug");
    executed_under(client, other, (guest, Some(&public)), append(FIRST + 2), Some(Code::MandateUnknown)).await?;
    told(client, guest, &[&passed_on, &cover]).await?;
    executed(client, one, writer, Operation::MandateRevoke { mandate: cover.clone() }, None).await?;
    for (member, mandate) in [(guest, &cover), (&helper, &passed_on)] {
        executed_under(client, other, (member, Some(mandate)), append(FIRST + 2), Some(Code::MandateRevoked)).await?;
    }
    client.record.note("2 mandates within a partition were used and have ended".to_owned());
    Some(())
}

/// Their names are what the search for [`SECRET`] finds on a member's disk, and nowhere else.
async fn grant(
    client: &mut Client,
    node: usize,
    (grantor, agent): (&Member, &Member),
    parent: Option<&MandateId>,
) -> Option<MandateId> {
    let terms = terms(client, agent, "register:*".to_owned(), parent);
    executed(client, node, grantor, Operation::MandateGrant { name: SECRET.to_owned(), terms }, None).await?;
    Some(MandateId::within(Some(PARTITION), &grantor.id, SECRET).expect("slugs"))
}

/// Asks which mandates there are: the member's own are told, and nobody of another organisation is.
async fn told(client: &mut Client, guest: &Member, expected: &[&MandateId]) -> Option<()> {
    let stranger = client.registrar(MEMBERS[0]);
    loop {
        let (own, other) = (ask(client, guest).await, ask(client, &stranger).await);
        match (own, other) {
            (_, Some(Ok(ids))) => {
                client.complain(format!("a node told one of another organisation of {ids:?}"));
                return None;
            }
            (Some(Ok(ids)), Some(Err(PrivateError::Unasked(_)))) if ids.iter().eq(expected.iter().copied()) => {
                return Some(());
            }
            (Some(Ok(ids)), _) if ids.len() >= expected.len() && !ids.iter().eq(expected.iter().copied()) => {
                client.complain(format!("asked for the mandates of the partition, a node told {ids:?}"));
                return None;
            }
            // It has just started, or is behind.
            _ => {}
        }
        client.pause().await?;
    }
}

async fn ask(client: &Client, who: &Member) -> Option<Result<Vec<MandateId>, PrivateError>> {
    let network = client.members.genesis.id();
    let query = Query::sign(&network, PATH, who.id.clone(), client.now_s() + 100, &who.key).expect("a question");
    let asked = client.door(MEMBERS[1]).ask(move |service| async move {
        let all = MandateQuery::default();
        let found = service.parcels()?.mandates(PARTITION, (&query, PATH), &all, (u64::MAX, 10)).await;
        Ok(found?.value.0.into_iter().map(|row| row.id).collect())
    });
    asked.await
}
