//! Orders of erasure and holds in a partition, as its own rows have them.

use super::Partition;
use commonware_runtime::Spawner;
use commonware_storage::Context;
use std::ops::Range;
use tallystick_ledger::PageRow;
use tallystick_protocol::{
    CborError, Commitment, ControllerRow, ErasureRow, HoldRow, RegisterRow, StateKey, Subject, SubjectRow,
    limits::ERASURES_PER_PAGE,
};

impl<E: Context + Spawner> Partition<E> {
    /// An order of erasure.
    pub async fn erasure(&self, order: &str) -> Option<ErasureRow> {
        self.decoded(&StateKey::erasure(order), ErasureRow::decode).await
    }

    /// A hold.
    pub async fn hold(&self, hold: &str) -> Option<HoldRow> {
        self.decoded(&StateKey::hold(hold), HoldRow::decode).await
    }

    /// What a controller has; for the empty name all of them together.
    pub async fn controller(&self, name: &str) -> ControllerRow {
        self.decoded(&StateKey::controller(name), ControllerRow::decode).await.unwrap_or_default()
    }

    /// What holds of a subject under a controller, if something was said of it.
    pub async fn subject(&self, controller: &str, subject: &Subject) -> Option<SubjectRow> {
        self.decoded(&StateKey::subject(controller, subject), SubjectRow::decode).await
    }

    /// Whether an order names this value of a subject under a controller.
    pub async fn is_value_erased(&self, controller: &str, subject: &Subject, value: &Commitment) -> bool {
        self.row(&StateKey::erased_value(controller, subject, value)).await.is_some()
    }

    /// The custodian of a register.
    pub async fn custodian(&self, register: &str) -> Option<String> {
        let row = self.decoded(&StateKey::register(register), RegisterRow::decode).await?;
        Some(row.custodian)
    }

    /// The registers of a custodian, in the order in which they were made.
    pub async fn registers_of(&self, custodian: &str) -> Vec<String> {
        let mut found = Vec::new();
        for number in 1..=self.registers().await {
            let kept = self.register_of(number).await.filter(|kept| kept.row.custodian == custodian);
            found.extend(kept.map(|kept| kept.row.register));
        }
        found
    }

    /// The ids of the orders of these numbers, from 0, of a controller, or of all for the empty name.
    pub async fn erasures(&self, controller: &str, numbers: Range<u64>) -> Vec<String> {
        self.listed(|page| StateKey::erasures(controller, page), numbers).await
    }

    /// The same of holds.
    pub async fn holds(&self, controller: &str, numbers: Range<u64>) -> Vec<String> {
        self.listed(|page| StateKey::holds(controller, page), numbers).await
    }

    async fn listed(&self, place: impl Fn(u32) -> StateKey, numbers: Range<u64>) -> Vec<String> {
        let size = u64::from(ERASURES_PER_PAGE);
        let (mut found, mut from) = (Vec::new(), numbers.start);
        while from < numbers.end {
            let page = from / size;
            let row = self.decoded(&place(u32::try_from(page).unwrap_or(u32::MAX)), PageRow::decode).await;
            let end = numbers.end.min((page + 1).saturating_mul(size));
            let place_of = |number: u64| usize::try_from(number - page * size).unwrap_or(usize::MAX);
            let ids = row.unwrap_or_default().ids;
            found.extend(ids.get(place_of(from)..place_of(end)).unwrap_or_default().iter().cloned());
            from = end;
        }
        found
    }

    async fn decoded<T>(&self, key: &StateKey, decode: impl Fn(&[u8]) -> Result<T, CborError>) -> Option<T> {
        decode(&self.row(key).await?).ok()
    }
}
