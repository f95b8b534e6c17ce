//! Consents as the state has them.

use super::{Runtime, Service, audit::Act, erasure::page};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    ConsentRow, Operation, RegisterRow, StateKey, Subject, SubjectConsentsRow,
    consent::is_consent,
    limits::{CONSENTS_PAGE_MAX, CONSENTS_PER_PAGE},
};
use tallystick_storage::read::ReadError;

impl<E: Runtime> Service<E> {
    /// The newest consents of a subject to a controller whose numbers, from 0, are below `before`: at most `limit`, the newest first. With the
    /// height they stand at, and the number of the last one.
    pub async fn consents(
        &self,
        controller: &str,
        subject: &Subject,
        before: u64,
        limit: usize,
    ) -> Result<(u64, u64, Vec<ConsentRow>), ReadError> {
        let key = StateKey::subject_consents(controller, subject);
        let found = self.read([key], |sheet| {
            let total = sheet.row(key, SubjectConsentsRow::decode)?.unwrap_or_default().given;
            let place = |page| StateKey::consents(controller, subject, page);
            let (first, ids) = page(sheet, total, (before, limit), CONSENTS_PER_PAGE, place)?;
            let rows = sheet.rows(ids.iter().map(|id| StateKey::consent(id)), ConsentRow::decode)?;
            Ok((first, rows.into_iter().flatten().collect()))
        });
        let (height, (first, rows)) = found.await?;
        Ok((height, first, rows))
    }

    /// A consent, and the height it stands at.
    pub async fn consent(&self, consent: &str) -> Result<Option<(u64, ConsentRow)>, ReadError> {
        self.row(StateKey::consent(consent), ConsentRow::decode).await
    }

    /// The consents of a subject to the present custodians of the registers that these acts read by consent, by register: all there ever
    /// were. A register that was given another custodian shows those to the present one only.
    pub async fn consents_read_on(
        &self,
        subject: &Subject,
        acts: &[Act],
    ) -> Result<BTreeMap<String, (String, Vec<ConsentRow>)>, ReadError> {
        let by_consent = |operation: &Operation| match operation {
            Operation::RecordRead { register, legal_basis, .. } if is_consent(legal_basis) => Some(register.clone()),
            _ => None,
        };
        let operations = acts.iter().flat_map(|act| act.transaction.operations());
        let registers: BTreeSet<String> = operations.filter_map(by_consent).collect();
        let mut found = BTreeMap::new();
        for register in registers {
            let row = self.row(StateKey::register(&register), RegisterRow::decode).await?;
            let Some(custodian) = row.map(|(_, row)| row.custodian) else { continue };
            let (mut before, mut consents) = (u64::MAX, Vec::new());
            while before > 0 {
                let (_, first, rows) = self.consents(&custodian, subject, before, CONSENTS_PAGE_MAX as usize).await?;
                consents.extend(rows);
                before = first;
            }
            found.insert(register, (custodian, consents));
        }
        Ok(found)
    }
}
