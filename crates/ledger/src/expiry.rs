//! What of an organisation ends by itself: keys with their certificates, authorities with theirs, revocation lists when a later
//! one is due.
//!
//! The rows say when; which rows to ask is told by the transactions that were accepted. Whoever follows the log notes
//! [`subjects`], and reads their rows whenever it wants to know.

use crate::{
    state::{AuthorityRow, PrincipalRow, RevocationRow},
    x509::Certificate,
};
use tallystick_protocol::{Change, Hash, Operation, PrincipalId, SignedTransaction, StateKey};

/// A row that may say when something ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A principal's keys.
    Principal(PrincipalId),
    /// An authority of this organisation, by the SHA-256 of its certificate.
    Authority(String, Hash),
    /// The revocation list of an issuer: its id, and its name for people.
    List(Hash, String),
}

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndingKind {
    /// A key, by its certificate.
    Key,
    /// The certificate of an authority.
    Authority,
    /// A revocation list: a later one is due.
    List,
}

/// Something and its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// When, in Unix milliseconds.
    pub until_ms: u64,
    /// What.
    pub kind: EndingKind,
    /// Whose: a principal, or the name in a certificate.
    pub of: String,
    /// Which: a key's text, or the SHA-256 of a certificate or an issuer.
    pub id: String,
}

/// What of `organisation` an accepted transaction speaks of.
pub fn subjects(transaction: &SignedTransaction, organisation: &str) -> Vec<Subject> {
    let mut found = Vec::new();
    let own = transaction.principal().organisation() == organisation;
    for operation in transaction.operations() {
        match operation {
            Operation::KeyCertify { principal, .. } if principal.organisation() == organisation => {
                found.push(Subject::Principal(principal.clone()));
            }
            Operation::AuthorityAdmit { certificate, .. } if own => found.extend(authority(organisation, certificate)),
            Operation::RevocationPost { chain, .. } if own => {
                found.extend(chain.first().and_then(|issuer| list(issuer)))
            }
            // Noted when it is proposed: until it takes effect there is no row.
            Operation::ProposalSubmit { changes, .. } => found.extend(changes.iter().flat_map(|change| match change {
                Change::AuthorityAdmit { organisation: whose, certificate, .. } if whose == organisation => {
                    authority(organisation, certificate)
                }
                _ => Vec::new(),
            })),
            _ => {}
        }
    }
    found
}

fn authority(organisation: &str, certificate: &[u8]) -> Vec<Subject> {
    let row = Subject::Authority(organisation.to_owned(), Hash::of(&[certificate]));
    [row].into_iter().chain(list(certificate)).collect()
}

fn list(issuer: &[u8]) -> Option<Subject> {
    let issuer = Certificate::parse(issuer).ok()?;
    Some(Subject::List(issuer.issuer_id(), issuer.subject().to_string()))
}

impl Subject {
    /// Where its row lies.
    pub fn row(&self) -> StateKey {
        match self {
            Self::Principal(id) => StateKey::principal(id),
            Self::Authority(organisation, id) => StateKey::authority(organisation, id),
            Self::List(issuer, _) => StateKey::revocation(issuer),
        }
    }

    /// What its row says of ends. What was retired has ended already, and nobody waits for it.
    pub fn endings(&self, row: &[u8]) -> Vec<Ending> {
        match self {
            Self::Principal(id) => {
                let keys = PrincipalRow::decode(row).map(|row| row.keys).unwrap_or_default();
                let ends = keys
                    .into_iter()
                    .filter(|key| key.retired_ms.is_none())
                    .filter_map(|key| Some((key.until_ms?, key.key)));
                ends.map(|(until_ms, key)| ending(until_ms, EndingKind::Key, id, key)).collect()
            }
            Self::Authority(_, id) => {
                let row = AuthorityRow::decode(row).ok().filter(|row| row.retired_ms.is_none());
                let certificate = row.and_then(|row| Certificate::parse(&row.certificate).ok());
                let end = |certificate: Certificate| {
                    // A certificate is valid through its last second.
                    let until_ms = certificate.not_after().saturating_add(1).saturating_mul(1_000);
                    ending(until_ms, EndingKind::Authority, certificate.subject(), id)
                };
                certificate.map(end).into_iter().collect()
            }
            Self::List(issuer, name) => {
                let due = RevocationRow::decode(row).ok().and_then(|row| row.next_update);
                let end = |due: u64| ending(due.saturating_mul(1_000), EndingKind::List, name, issuer);
                due.map(end).into_iter().collect()
            }
        }
    }
}

fn ending(until_ms: u64, kind: EndingKind, of: impl ToString, id: impl ToString) -> Ending {
    Ending { until_ms, kind, of: of.to_string(), id: id.to_string() }
}
