//! Legislate: policies put in force and taken away while acts that they permit or forbid are on their way. Each act is judged by what
//! is in force in its block, on every node.

use crate::{
    checkers::{
        authority::policies::{GUESTS_WRITE, TWO_HANDS},
        durability::Told,
    },
    client::{Client, Fate},
    members::Member,
};
use tallystick_protocol::{
    Change, Code, NewEntry, Operation, Outcome, PolicyChange, PolicyId, PolicyText, SignedTransaction,
};

/// Whose register it is, and who is a guest in it.
const CUSTODIAN: usize = 3;
const GUEST: usize = 0;
/// Acts on their way at once.
const ACTS: usize = 6;

pub(super) async fn legislate(client: &mut Client) -> Option<()> {
    let (custodian, guest) = (client.administrator(CUSTODIAN), client.registrar(GUEST));
    let all: Vec<Member> = (0..client.members.principals.len()).map(|number| client.administrator(number)).collect();
    client.has_register(CUSTODIAN).await?;
    // By the custodian alone, for its own register.
    let id: PolicyId = format!("register-{CUSTODIAN}/guests").parse().expect("an id");
    let put = PolicyText { id: id.clone(), text: GUESTS_WRITE.to_owned() };
    let change = |change| Operation::RegisterPolicy { register: format!("register-{CUSTODIAN}"), change };
    let open = change(PolicyChange { put: vec![put], remove: Vec::new() });
    let shut = change(PolicyChange { put: Vec::new(), remove: vec![id] });
    let opened = race(client, &guest, &custodian, open).await?;
    let shut = race(client, &guest, &custodian, shut).await?;
    for (told, change, is_open) in
        opened.1.iter().map(|told| (told, &opened.0, true)).chain(shut.1.iter().map(|told| (told, &shut.0, false)))
    {
        let may = (told.index > change.index) == is_open;
        let is_as_told = match &told.outcome {
            Outcome::Accepted { .. } => may,
            Outcome::Refused(refusal) => !may && refusal.code == Code::NotPermitted,
        };
        if !is_as_told {
            client.complain(format!(
                "guests were let in or out at log entry {}, and one is answered {told:?}",
                change.index
            ));
            return None;
        }
    }
    // By the members, for all: what forbids wins over what permits.
    let id: PolicyId = "two-hands".parse().expect("an id");
    let put = vec![PolicyText { id: id.clone(), text: TWO_HANDS.to_owned() }];
    let contact = Operation::OrganisationContact { contact: Some("By one hand.".to_owned()) };
    client.accepted(&custodian, contact.clone()).await?;
    client.decide(&all, "two-hands", vec![Change::Policies { put, remove: Vec::new() }]).await?;
    client.refused(&custodian, contact.clone(), Code::NotPermitted).await?;
    client.decide(&all, "one-hand", vec![Change::Policies { put: Vec::new(), remove: vec![id] }]).await?;
    client.accepted(&custodian, contact).await?;
    client.record.note("changed every policy".to_owned());
    Some(())
}

fn act(client: &mut Client, member: &Member) -> SignedTransaction {
    let register = format!("register-{CUSTODIAN}");
    let item = format!(r#"{{"name":"{}","{register}":"guest"}}"#, client.chance.number());
    let entries = vec![NewEntry { key: "guest".to_owned(), items: vec![item] }];
    client.sign(member, vec![Operation::EntryAppend { register, entries }])
}

/// Acts, and a change of policies, all at once.
async fn race(client: &mut Client, who: &Member, custodian: &Member, change: Operation) -> Option<(Told, Vec<Told>)> {
    let mut racers = Vec::new();
    for number in 0..ACTS {
        let transaction = act(client, who);
        let mut racer = client.fork(number);
        let delay = std::time::Duration::from_millis(client.chance.below(500));
        racers.push(async move {
            racer.wait(delay).await;
            racer.submit(transaction).await
        });
    }
    let mut legislator = client.fork(ACTS);
    let (fates, changed) = futures::join!(futures::future::join_all(racers), legislator.accepted(custodian, change));
    let told = fates.into_iter().filter_map(|fate| match fate {
        Fate::Final(told) => Some(told),
        Fate::Rejected(..) | Fate::Void => None,
    });
    Some((changed?, told.collect()))
}
