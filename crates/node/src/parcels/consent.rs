//! Say what somebody has consented to in a partition, and on which consents a read there stood, to those of this node's own organisation.

use super::{Parcels, Room, error::PrivateError, read::Told};
use crate::engine::Runtime;
use std::collections::BTreeMap;
use tallystick_protocol::{
    ConsentRow, Operation, Query, SignedTransaction, Subject, is_consent, limits::CONSENTS_PAGE_MAX,
};
use tallystick_storage::partition::Partition;

/// The controller of what a read reads, and what those whom it names have consented to; nothing of a read that does not rest on consent.
pub type Consented = (String, Vec<ConsentRow>);

/// What subjects have consented to, by controller and subject, as far as it was looked up.
#[derive(Default)]
pub(super) struct Consents(BTreeMap<(String, Subject), Vec<ConsentRow>>);

impl Consents {
    /// All that a subject has ever consented to, to this controller.
    async fn of<E: Runtime>(
        &mut self,
        partition: &Partition<E>,
        controller: &str,
        subject: &Subject,
    ) -> Vec<ConsentRow> {
        let key = (controller.to_owned(), subject.clone());
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let (mut before, mut rows) = (u64::MAX, Vec::new());
        while before > 0 {
            let page = (before, usize::try_from(CONSENTS_PAGE_MAX).unwrap_or(usize::MAX));
            let (first, more) = partition.consents(controller, subject, page).await;
            rows.extend(more);
            before = first;
        }
        self.0.insert(key, rows.clone());
        rows
    }
}

impl<E: Runtime> Parcels<E> {
    /// What somebody has consented to in a partition, the newest first, ended ones too: at most `count` of those before number `before`.
    /// With the number before which to go on, 0 when there are no more. None if no controller is named, and there is no such register.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn consents(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        (subject, controller): (&Subject, Option<String>),
        page: (u64, usize),
    ) -> Result<Told<Option<(u64, Vec<ConsentRow>)>>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let held = room.partition.lock().await;
        let controller = match controller {
            Some(controller) => Some(controller),
            None => held.register(subject.register()).await.map(|kept| kept.row.custodian),
        };
        let value = match controller {
            Some(controller) => Some(held.consents(&controller, subject, page).await),
            None => None,
        };
        Ok(Told { height: held.position().height, value })
    }
}

impl<E: Runtime> Room<E> {
    /// Of each read of a transaction, what it may have stood on.
    pub(super) async fn consented(&self, transaction: &SignedTransaction, known: &mut Consents) -> Vec<Consented> {
        let (partition, mut all) = (self.partition.lock().await, Vec::new());
        for operation in transaction.operations() {
            let Operation::RecordRead { register, subjects, legal_basis, .. } = operation else { continue };
            let kept = if is_consent(legal_basis) { partition.register(register).await } else { None };
            let (controller, mut rows) = (kept.map(|kept| kept.row.custodian), Vec::new());
            for subject in controller.iter().flat_map(|_| subjects) {
                rows.extend(known.of(&partition, controller.as_deref().unwrap_or_default(), subject).await);
            }
            all.push((controller.unwrap_or_default(), rows));
        }
        all
    }
}
