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
use tallystick_protocol::{EntryKind, Hash, Operation, OperationName, PrincipalId, Resource, limits::NOTICE_ACTS_MAX};
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
    /// The act that corrects it.
    pub act: Mark,
    /// Those who read the wrong entry, or were given it, the latest first.
    pub notices: Vec<Notice>,
    /// Whether all reads of it were looked at: the latest are, when there are very many.
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

impl<E: Runtime> Service<E> {
    /// The corrections among these leaves, newest first, each with who must know; of one organisation's readers where it is named. With
    /// how many leaves were looked at.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn notices(
        &self,
        asked: &ActQuery,
        leaves: &[u64],
        organisation: Option<&str>,
    ) -> Result<(Vec<Correction>, usize), ReadError> {
        let (acts, read) = self.acts(asked, leaves).await?;
        let mut found = Vec::new();
        for act in &acts {
            for operation in act.transaction.operations() {
                let Operation::RecordCorrect { register, corrects, entry, reason, .. } = operation else { continue };
                let is_asked =
                    asked.resources.is_empty() || asked.resources.contains(&Resource::of_record(register, &entry.key));
                if !is_asked {
                    continue;
                }
                let mut correction = Correction {
                    register: register.clone(),
                    key: entry.key.clone(),
                    corrects: *corrects,
                    reason: reason.clone(),
                    act: Mark::of(act),
                    notices: Vec::new(),
                    is_whole: true,
                };
                self.find_readers(&mut correction).await?;
                correction.notices.retain(|notice| {
                    organisation.is_none_or(|organisation| notice.reader.organisation() == organisation)
                });
                found.push(correction);
            }
        }
        Ok((found, read))
    }

    async fn find_readers(&self, correction: &mut Correction) -> Result<(), ReadError> {
        let wrong = self.entry(&correction.register, EntryKind::User, correction.corrects).await?;
        let since = wrong.map_or(0, |entry| entry.leaf);
        let told = self.told(correction).await?;
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
                let reader = (act.transaction.principal().clone(), recipient.clone());
                if !is_it || seen.insert(reader.clone(), ()).is_some() {
                    continue;
                }
                let acknowledged = told.get(&reader).cloned();
                let (reader, recipient) = reader;
                correction.notices.push(Notice { reader, recipient, read: Mark::of(act), acknowledged });
            }
        }
        Ok(())
    }

    /// Who said that they know of a correction.
    async fn told(&self, correction: &Correction) -> Result<Told, ReadError> {
        let asked = about(correction, OperationName::NoticeAcknowledge);
        let mut leaves = self.history().acts(&asked, u64::MAX, NOTICE_ACTS_MAX);
        leaves.retain(|leaf| *leaf > correction.act.leaf);
        let (acts, _) = self.acts(&asked, &leaves).await?;
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
        Ok(told)
    }
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
