//! Who must be told that what they read was wrong, and who has been.
//!
//! Nobody keeps a list: reads, corrections and acknowledgements are acts in the log, and who is owed a notice follows from them. So none
//! can be forgotten, and each is proven by the receipts of the acts that it follows from.
//!
//! ```text
//! entry N ──── reads of the record ────► correction of N ──── acknowledgements
//!               each a notice owed                             each a notice delivered
//! ```

use super::{Runtime, Service, audit::Act};
use std::collections::BTreeMap;
use tallystick_protocol::{
    EntryKind, Hash, Operation, OperationName, PrincipalId, Resource,
    limits::{NOTICE_ACTS_MAX, NOTICES_ACTS_MAX, OPERATIONS_MAX},
};
use tallystick_storage::{
    history::{ActQuery, Outcomes},
    read::ReadError,
};

/// A correction, and who must know of it.
pub struct Correction {
    /// The register.
    pub register: String,
    /// The key.
    pub key: String,
    /// The number of the entry that was wrong.
    pub corrects: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
    /// The act that corrects it.
    pub act: Mark,
    /// Those who read the wrong entry, or were given it, the latest first.
    pub notices: Vec<Notice>,
    /// Whether all reads of it, and all that readers said, were looked at: the latest are, when there are very many.
    pub is_whole: bool,
}

/// One who must know.
pub struct Notice {
    /// Who read.
    pub reader: PrincipalId,
    /// To whom the reader disclosed it.
    pub recipient: Option<String>,
    /// The latest read.
    pub read: Mark,
    /// That they know.
    pub acknowledged: Option<(PrincipalId, Mark)>,
}

/// Where an act is.
#[derive(Clone, Copy)]
pub struct Mark {
    /// Its transaction.
    pub id: Hash,
    /// Its leaf.
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    pub time_ms: u64,
}

impl Mark {
    fn of(act: &Act) -> Self {
        Self { id: act.transaction.id(), leaf: act.leaf, time_ms: act.entry.time_ms }
    }
}

/// Who must know, and who said so: the notices of one record by reader and recipient.
type Told = BTreeMap<(PrincipalId, Option<String>), (PrincipalId, Mark)>;

/// What was said of knowing of a correction.
struct Said {
    told: Told,
    /// Whether all of it was looked at.
    is_whole: bool,
    /// How many acts were looked at.
    looked_at: usize,
}

/// Where an operation is in the log: places rise with leaves, and within a transaction.
pub const fn place_of(leaf: u64, operation: usize) -> u64 {
    leaf.saturating_mul(OPERATIONS_MAX as u64).saturating_add(operation as u64)
}

/// The first leaf all of whose operations are at this place or behind it.
pub const fn leaf_from(place: u64) -> u64 {
    place.div_ceil(OPERATIONS_MAX as u64)
}

impl<E: Runtime> Service<E> {
    /// The corrections among these leaves and before this place, the latest first, each with who must know; of one organisation's readers
    /// where it is named. At most `limit` are looked at, and fewer when they take many acts. With the place from which on all were, and
    /// none once there are no leaves left.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn notices(
        &self,
        asked: &ActQuery,
        leaves: &[u64],
        (before, limit): (u64, usize),
        organisation: Option<&str>,
    ) -> Result<(Vec<Correction>, Option<u64>), ReadError> {
        let (acts, read) = self.acts(asked, leaves).await?;
        let (mut found, mut from, mut looked_at, mut acts_looked_at) = (Vec::new(), u64::MAX, 0, 0);
        for act in &acts {
            for (number, operation) in act.transaction.operations().iter().enumerate().rev() {
                let Some(mut correction) = correction(asked, act, operation) else { continue };
                let place = place_of(act.leaf, number);
                if place >= before {
                    continue;
                }
                if looked_at >= limit || acts_looked_at >= NOTICES_ACTS_MAX {
                    return Ok((found, Some(from)));
                }
                acts_looked_at += self.find_readers(&mut correction).await?;
                (looked_at, from) = (looked_at + 1, place);
                correction.notices.retain(|notice| {
                    organisation.is_none_or(|organisation| notice.reader.organisation() == organisation)
                });
                found.push(correction);
            }
        }
        let last = leaves.get(..read).and_then(<[u64]>::last).filter(|_| read < leaves.len());
        Ok((found, last.map(|leaf| place_of(*leaf, 0))))
    }

    /// Finds who must know of a correction; says how many acts were looked at.
    async fn find_readers(&self, correction: &mut Correction) -> Result<usize, ReadError> {
        let wrong = self.entry(&correction.register, EntryKind::User, correction.corrects).await?;
        let since = wrong.map_or(0, |entry| entry.leaf);
        let said = self.said(correction, None).await?;
        let asked = about(correction, OperationName::RecordRead);
        let leaves = self.history().acts(&asked, correction.act.leaf, NOTICE_ACTS_MAX);
        correction.is_whole = leaves.len() < NOTICE_ACTS_MAX || leaves.last().is_some_and(|leaf| *leaf <= since);
        let leaves: Vec<u64> = leaves.into_iter().filter(|leaf| *leaf > since).collect();
        let (acts, read) = self.acts(&asked, &leaves).await?;
        correction.is_whole &= read == leaves.len();
        let mut seen: BTreeMap<(PrincipalId, Option<String>), ()> = BTreeMap::new();
        for act in &acts {
            for operation in act.transaction.operations() {
                let Operation::RecordRead { register, key, recipient, .. } = operation else { continue };
                let is_it = (register, key) == (&correction.register, &correction.key);
                let reader = (act.transaction.principal().clone(), recipient.as_ref().map(|to| to.name.clone()));
                if !is_it || seen.insert(reader.clone(), ()).is_some() {
                    continue;
                }
                let acknowledged = said.told.get(&reader).cloned();
                let (reader, recipient) = reader;
                correction.notices.push(Notice { reader, recipient, read: Mark::of(act), acknowledged });
            }
        }
        let looked_at = said.looked_at + read;
        if said.is_whole { Ok(looked_at) } else { Ok(looked_at + self.find_told(correction).await?) }
    }

    /// Asks of each reader alone, where so much is said of the record that it was not all looked at: nobody's word is lost among others'.
    async fn find_told(&self, correction: &mut Correction) -> Result<usize, ReadError> {
        let (mut notices, mut looked_at) = (std::mem::take(&mut correction.notices), 0);
        for notice in notices.iter_mut().filter(|notice| notice.acknowledged.is_none()) {
            if looked_at >= NOTICES_ACTS_MAX {
                correction.is_whole = false;
                break;
            }
            let said = self.said(correction, Some(&notice.reader)).await?;
            notice.acknowledged = said.told.get(&(notice.reader.clone(), notice.recipient.clone())).cloned();
            correction.is_whole &= said.is_whole || notice.acknowledged.is_some();
            looked_at += said.looked_at.max(1);
        }
        correction.notices = notices;
        Ok(looked_at)
    }

    /// Who said that they know of a correction: of all who read, or of one.
    async fn said(&self, correction: &Correction, reader: Option<&PrincipalId>) -> Result<Said, ReadError> {
        let mut asked = about(correction, OperationName::NoticeAcknowledge);
        asked.resources.extend(reader.map(Resource::principal));
        let found = self.history().acts(&asked, u64::MAX, NOTICE_ACTS_MAX);
        let leaves: Vec<u64> = found.iter().copied().filter(|leaf| *leaf > correction.act.leaf).collect();
        let (acts, read) = self.acts(&asked, &leaves).await?;
        let is_cut = read < leaves.len() || leaves.len() == NOTICE_ACTS_MAX;
        let mut told = Told::new();
        for act in &acts {
            for operation in act.transaction.operations() {
                let Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } = operation else {
                    continue;
                };
                if (register, key, *corrects) == (&correction.register, &correction.key, correction.corrects) {
                    let by = (act.transaction.principal().clone(), Mark::of(act));
                    told.insert((reader.clone(), recipient.clone()), by);
                }
            }
        }
        Ok(Said { told, is_whole: !is_cut, looked_at: read })
    }
}

/// The correction that an operation is, if it is one of those asked for; whom it concerns is not known yet.
fn correction(asked: &ActQuery, act: &Act, operation: &Operation) -> Option<Correction> {
    let Operation::RecordCorrect { register, corrects, entry, reason, authority, legal_basis } = operation else {
        return None;
    };
    let is_asked = asked.resources.is_empty() || asked.resources.contains(&Resource::of_record(register, &entry.key));
    is_asked.then(|| Correction {
        register: register.clone(),
        key: entry.key.clone(),
        corrects: *corrects,
        reason: reason.clone(),
        authority: authority.clone(),
        legal_basis: legal_basis.clone(),
        act: Mark::of(act),
        notices: Vec::new(),
        is_whole: true,
    })
}

/// Accepted acts of this name about the record.
fn about(correction: &Correction, action: OperationName) -> ActQuery {
    ActQuery {
        action: Some(action),
        resources: vec![Resource::of_record(&correction.register, &correction.key)],
        outcome: Some(Outcomes::Accepted),
        ..ActQuery::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is before a place is in the leaves before that place's leaf, and, if the place is within a transaction, in that one.
    #[test]
    fn a_page_may_end_within_a_transaction() {
        for (leaf, operation, from) in [(0, 0, 0), (0, 1, 1), (7, 0, 7), (7, 1, 8), (7, OPERATIONS_MAX - 1, 8)] {
            assert_eq!(leaf_from(place_of(leaf, operation)), from, "{leaf} {operation}");
        }
        assert!(place_of(7, OPERATIONS_MAX - 1) < place_of(8, 0));
        assert!(leaf_from(u64::MAX) > u64::from(u32::MAX), "at first, all are before it");
    }
}
