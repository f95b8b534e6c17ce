//! Outlive: every certificate of an organisation ends at once, its authority's included. Nodes go on, the others' acts are taken,
//! its own people are told what mends it, and mend it.

use super::names_the_renewal;
use crate::{client::Client, members::Member};
use tallystick_ledger::x509::{Certificate, Wording, issue, issue_authority};
use tallystick_protocol::{
    Assurance, AuthorityTerms, Change, Code, Hash, NewEntry, Operation, PolicyMeaning, ProposalStatus, Roles,
    SigningKey,
};

/// Whose certificates end.
const ORGANISATION: usize = 1;
/// Under which policy its authorities certify.
const POLICY: &str = "1.2.826.0.1.2";
const DAY_S: u64 = 86_400;

/// A certificate authority.
struct Authority {
    key: SigningKey,
    certificate: Certificate,
}

impl Authority {
    /// One that is good for so many days.
    fn new(client: &mut Client, days: u64) -> Self {
        let key = SigningKey::from_ed25519_seed(client.chance.bytes(32).first_chunk().expect("32 bytes"));
        let serial = *client.chance.bytes(16).first_chunk().expect("16 bytes");
        let (from, until) = times(client, days);
        let certificate =
            issue_authority(&key, &Wording { serial, subject: "CN=Root,O=Organisation 1,C=GB", from, until });
        Self { key, certificate: certificate.expect("an authority's certificate") }
    }

    fn admission(&self) -> Change {
        let meaning = PolicyMeaning { policy: POLICY.to_owned(), assurance: Assurance::High };
        Change::AuthorityAdmit {
            organisation: format!("organisation-{ORGANISATION}"),
            certificate: self.certificate.der().to_vec(),
            terms: AuthorityTerms { policies: vec![meaning], names: Vec::new() },
        }
    }

    /// Certifies a member's key for a day.
    fn certify(&self, client: &mut Client, member: &Member) -> Operation {
        let serial = *client.chance.bytes(16).first_chunk().expect("16 bytes");
        let (from, until) = times(client, 1);
        let (subject, key) = (format!("CN={}", member.id.name()), member.key.public());
        let wording = Wording { serial, subject: &subject, from, until };
        let certificate = issue((&self.certificate, &self.key), &key, POLICY, &wording).expect("a certificate");
        let authority = Hash::of(&[self.certificate.der()]);
        Operation::KeyCertify { principal: member.id.clone(), key, authority, chain: vec![certificate.der().to_vec()] }
    }
}

/// The first and last second of something that is good from now on: the ledger's time may lie behind the clock.
fn times(client: &Client, days: u64) -> (u64, u64) {
    (client.now_s() - 3_600, client.now_s() + days * DAY_S)
}

pub(super) async fn outlive(client: &mut Client) -> Option<()> {
    let people = [client.administrator(ORGANISATION), client.registrar(ORGANISATION)];
    let others: Vec<Member> = (0..client.members.principals.len())
        .filter(|organisation| *organisation != ORGANISATION)
        .map(|organisation| client.administrator(organisation))
        .collect();
    let first = Authority::new(client, 3);
    if !prepare(client, &first, &people, &others).await? {
        client.record.note("the time has passed before everything was certified".to_owned());
        return Some(());
    }
    while client.leap.passed().is_zero() {
        client.pause().await?;
    }
    turned_away(client, &people).await?;
    told_by_its_node(client).await?;
    // Its authority has ended too: what it issues now is worth nothing, and nobody can say else but the members.
    let late = first.certify(client, &people[0]);
    client.refused(&people[0], late, Code::CertificateInvalid).await?;
    let second = Authority::new(client, 20);
    client.decide(&others, "trust-again", vec![second.admission()]).await?;
    for member in &people {
        let renewal = second.certify(client, member);
        client.accepted(member, renewal).await?;
    }
    for operation in acts(client) {
        client.accepted(&people[0], operation).await?;
    }
    client.record.note("outlived every certificate".to_owned());
    Some(())
}

/// Has the authority trusted and certifies the people; says whether all of that was done before the time passed.
async fn prepare(client: &mut Client, first: &Authority, people: &[Member], others: &[Member]) -> Option<bool> {
    client.propose(others.first()?, "trust", vec![first.admission()]).await?;
    client.agree(others, "trust").await?;
    let mut is_done = client.ended("trust").await? == ProposalStatus::Effective;
    for member in people {
        let certify = first.certify(client, member);
        is_done = is_done && client.step(member, vec![certify]).await?.is_ok_and(|told| told.outcome.is_accepted());
    }
    let is_in_time = client.leap.passed().is_zero();
    if !is_done && is_in_time {
        client.complain("an authority that was voted for certifies nobody".to_owned());
        return None;
    }
    Some(is_done && is_in_time)
}

/// An enrolment, and an entry.
fn acts(client: &mut Client) -> [Operation; 2] {
    let (register, seed) = (format!("register-{ORGANISATION}"), client.chance.bytes(32));
    let key = SigningKey::from_ed25519_seed(seed.first_chunk().expect("32 bytes")).public();
    let item = format!(r#"{{"name":"{}","{register}":"outlived"}}"#, client.chance.number());
    let entries = vec![NewEntry { key: "outlived".to_owned(), items: vec![item] }];
    [
        Operation::enrol(format!("late-{}", client.chance.number()), Roles::registrar(), key),
        Operation::EntryAppend { register, entries },
    ]
}

/// Whose certificate has ended is refused, and told what to do.
async fn turned_away(client: &mut Client, people: &[Member]) -> Option<()> {
    for member in people {
        for operation in acts(client) {
            let answer = client.step(member, vec![operation.clone()]).await?;
            if !names_the_renewal(&answer) {
                let who = &member.id;
                client.complain(format!("{who} has expired, and {} is answered {answer:?}", operation.name()));
                return None;
            }
        }
    }
    Some(())
}

/// The node of the organisation says what has ended and what mends it, and that it is ready nevertheless.
async fn told_by_its_node(client: &mut Client) -> Option<()> {
    let Some((_, door)) = client.doors.iter().find(|(node, _)| *node == ORGANISATION).cloned() else {
        return Some(());
    };
    loop {
        let health = door.ask(|service| async move { service.health() }).await;
        let ended = |health: &tallystick_node::service::Health| {
            let remedied = health.expiries.iter().filter(|expiry| expiry.within_days == 0 && !expiry.remedy.is_empty());
            health.ready && remedied.count() >= 3
        };
        if health.is_some_and(|health| ended(&health)) {
            return Some(());
        }
        client.pause().await?;
    }
}
