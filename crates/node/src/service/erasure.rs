//! Orders of erasure, holds and corrections as the state has them.

use super::{
    Runtime, Service,
    proposal::listed,
    state::{Lack, Sheet},
};
use crate::certify::{self, CertifyError};
use std::collections::BTreeSet;
use tallystick_api::ErasuresView;
use tallystick_protocol::{
    ControllerRow, CorrectionRow, ErasureCertificate, ErasureRow, ErasureStatus, HoldRow, PrincipalId, RegisterRow,
    StateKey, SubjectRow,
    limits::{ERASURES_PER_PAGE, ROWS_READ_MAX},
};
use tallystick_storage::{read::ReadError, vault::Drawer};

/// An order, and the holds that suspend it at the time of the newest block.
#[derive(Debug)]
pub struct Erasure {
    /// Where it stands.
    pub row: ErasureRow,
    /// The holds.
    pub holds: Vec<String>,
    /// In a partition, where that is asked: the holders that have not given their receipt, and have left.
    pub left: Vec<PrincipalId>,
}

impl<E: Runtime> Service<E> {
    /// The newest orders of a controller, or of all for the empty name, whose numbers, from 0, are below `before`: at most `limit`, the
    /// newest first. With the height they stand at, and the number of the last one.
    pub async fn erasures(
        &self,
        controller: &str,
        before: u64,
        limit: usize,
    ) -> Result<(u64, u64, Vec<Erasure>), ReadError> {
        let now_ms = self.tip().header.time_ms;
        let found = self.read([StateKey::controller(controller)], |sheet| {
            let total = controller_row(sheet, controller)?.orders;
            let (first, ids) =
                page(sheet, total, (before, limit), ERASURES_PER_PAGE, |page| StateKey::erasures(controller, page))?;
            Ok((first, erasures(sheet, &ids, now_ms)?))
        });
        let (height, (first, rows)) = found.await?;
        Ok((height, first, rows))
    }

    /// The orders of these controllers that are not complete, and the height they stand at.
    pub async fn open_erasures(&self, controllers: &[String]) -> Result<(u64, Vec<Erasure>), ReadError> {
        let now_ms = self.tip().header.time_ms;
        let keys: Vec<StateKey> = controllers.iter().map(|controller| StateKey::controller(controller)).collect();
        self.read(keys.iter().copied(), |sheet| {
            let rows = sheet.rows(keys.iter().copied(), ControllerRow::decode)?;
            let open: Vec<String> =
                rows.into_iter().flatten().flat_map(|row| row.open).map(|open| open.order).collect();
            erasures(sheet, &open, now_ms)
        })
        .await
    }

    /// The orders that are not complete of organisations, in the order in which these joined: of as many after the first `skip` as have
    /// `limit` orders together, or of one. With the height they stand at, and how many organisations come before the next.
    pub async fn open_erasures_after(
        &self,
        skip: usize,
        limit: usize,
    ) -> Result<(u64, Option<usize>, Vec<Erasure>), ReadError> {
        let now_ms = self.tip().header.time_ms;
        let (_, total, organisations) = self.organisations(skip, limit).await?;
        let keys: Vec<StateKey> = organisations.iter().map(|row| StateKey::controller(&row.id)).collect();
        let found = self.read(keys.iter().copied(), |sheet| {
            let (mut open, mut looked_at) = (Vec::new(), 0);
            for row in sheet.rows(keys.iter().copied(), ControllerRow::decode)? {
                let own = row.unwrap_or_default().open;
                if looked_at > 0 && open.len() + own.len() > limit {
                    break;
                }
                open.extend(own.into_iter().map(|open| open.order));
                looked_at += 1;
            }
            Ok((looked_at, erasures(sheet, &open, now_ms)?))
        });
        let (height, (looked_at, open)) = found.await?;
        let next = skip.saturating_add(looked_at);
        Ok((height, (next < total && looked_at > 0).then_some(next), open))
    }

    /// What a holder of the controller must look at: the orders from this number on, as many as there are on a page of the list, and
    /// these. With the height they stand at, and how many orders there are.
    pub(super) async fn due_erasures(
        &self,
        controller: &str,
        from: u64,
        these: BTreeSet<String>,
    ) -> Result<(u64, u64, Vec<Erasure>), ReadError> {
        let now_ms = self.tip().header.time_ms;
        let found = self.read([StateKey::controller(controller)], |sheet| {
            let row = controller_row(sheet, controller)?;
            let end = row.orders.min(from.saturating_add(u64::from(ERASURES_PER_PAGE)));
            let place = |page| StateKey::erasures(controller, page);
            let listed = listed(sheet, place, ERASURES_PER_PAGE, from.min(end)..end)?;
            let ids: BTreeSet<String> = listed.into_iter().chain(these.iter().cloned()).collect();
            let mut found = erasures(sheet, &ids.into_iter().collect::<Vec<_>>(), now_ms)?;
            found.sort_by_key(|erasure| erasure.row.number);
            Ok((row.orders, found))
        });
        let (height, (total, found)) = found.await?;
        Ok((height, total, found))
    }

    /// The same of a partition, or of the public one, each with where the values lie that it is about. None of a partition that is not held.
    pub(super) async fn ordered(
        &self,
        controller: &str,
        partition: Option<&String>,
        (from, these): (u64, BTreeSet<String>),
    ) -> Result<(u64, Vec<(Erasure, Vec<Drawer>)>), ReadError> {
        match (partition, &self.0.parcels) {
            (Some(partition), Some(parcels)) => Ok(parcels.ordered(partition, from, these).await),
            (Some(_), None) => Ok((0, Vec::new())),
            (None, _) => {
                let (_, total, orders) = self.due_erasures(controller, from, these).await?;
                Ok((total, orders.into_iter().map(in_drawer).collect()))
            }
        }
    }

    /// The orders of the node's own organisation that are not complete, counted; none of those that cannot be read. Anybody is told: so of those
    /// in partitions, also of others that wait for a node of it, nothing is counted but that they are overdue.
    pub(super) async fn own_erasures(&self) -> ErasuresView {
        let open = match self.0.shared.chain.expiries().organisation() {
            Some(own) => self.open_erasures(&[own]).await.map(|(_, open)| open).unwrap_or_default(),
            None => Vec::new(),
        };
        let private = match &self.0.parcels {
            Some(parcels) => parcels.own_erasures().await,
            None => Vec::new(),
        };
        let now_ms = self.tip().header.time_ms;
        let count = |all: &[Erasure], status: ErasureStatus| {
            all.iter().filter(|one| one.row.status(!one.holds.is_empty(), now_ms) == status).count() as u64
        };
        let on_hold = count(&open, ErasureStatus::OnHold);
        let overdue = count(&open, ErasureStatus::Overdue) + count(&private, ErasureStatus::Overdue);
        let overdue_of_all = self.overdue_of_all().await.unwrap_or_default();
        ErasuresView { open: open.len() as u64, on_hold, overdue, overdue_of_all }
    }

    /// How many orders of all controllers in the public partition are past their deadline: every node sees it, also where the only one that must
    /// destroy is off.
    async fn overdue_of_all(&self) -> Result<u64, ReadError> {
        let (_, all) = self.read([StateKey::controller("")], |sheet| controller_row(sheet, "")).await?;
        let (now_ms, mut overdue) = (self.tip().header.time_ms, 0);
        let mut next = (all.orders > all.complete).then_some(0);
        while let Some(skip) = next {
            let (_, total, organisations) = self.organisations(skip, ROWS_READ_MAX).await?;
            let keys: Vec<StateKey> = organisations.iter().map(|row| StateKey::controller(&row.id)).collect();
            let found = self.read(keys.iter().copied(), |sheet| {
                let rows = sheet.rows(keys.iter().copied(), ControllerRow::decode)?;
                let open = rows.into_iter().flatten().flat_map(|row| row.open);
                let late: Vec<String> = open.filter(|open| open.deadline_ms < now_ms).map(|open| open.order).collect();
                erasures(sheet, &late, now_ms)
            });
            let is_overdue = |one: &&Erasure| one.row.status(!one.holds.is_empty(), now_ms) == ErasureStatus::Overdue;
            overdue += found.await?.1.iter().filter(is_overdue).count() as u64;
            let after = skip.saturating_add(organisations.len());
            next = (after < total && !organisations.is_empty()).then_some(after);
        }
        Ok(overdue)
    }

    /// An order, and the height it stands at.
    pub async fn erasure(&self, order: &str) -> Result<Option<(u64, Erasure)>, ReadError> {
        let now_ms = self.tip().header.time_ms;
        let ids = [order.to_owned()];
        let found = self.read([StateKey::erasure(order)], |sheet| erasures(sheet, &ids, now_ms)).await?;
        let (height, mut rows) = found;
        Ok(rows.pop().map(|erasure| (height, erasure)))
    }

    /// The certificate of an order: where it stands at the newest applied block.
    pub async fn erasure_certificate(&self, order: &str) -> Result<ErasureCertificate, CertifyError> {
        let inner = &self.0;
        certify::erasure_certificate(&inner.runtime, &inner.shared.chain, &inner.marshal, &inner.reader, order).await
    }

    /// The newest holds of a controller, or of all for the empty name, as [`Service::erasures`].
    pub async fn holds(
        &self,
        controller: &str,
        before: u64,
        limit: usize,
    ) -> Result<(u64, u64, Vec<HoldRow>), ReadError> {
        let found = self.read([StateKey::controller(controller)], |sheet| {
            let total = controller_row(sheet, controller)?.holds;
            let (first, ids) =
                page(sheet, total, (before, limit), ERASURES_PER_PAGE, |page| StateKey::holds(controller, page))?;
            let rows = sheet.rows(ids.iter().map(|id| StateKey::hold(id)), HoldRow::decode)?;
            Ok((first, rows.into_iter().flatten().collect()))
        });
        let (height, (first, rows)) = found.await?;
        Ok((height, first, rows))
    }

    /// A hold, and the height it stands at.
    pub async fn hold(&self, hold: &str) -> Result<Option<(u64, HoldRow)>, ReadError> {
        self.row(StateKey::hold(hold), HoldRow::decode).await
    }

    /// What is noted of those of a register's entries, by number, that were wrong; and the height that it stands at.
    pub async fn corrections(
        &self,
        register: &str,
        entries: &[u64],
    ) -> Result<Option<(u64, Vec<CorrectionRow>)>, ReadError> {
        let key = StateKey::register(register);
        let found = self.read([key], |sheet| {
            let Some(row) = sheet.row(key, RegisterRow::decode)? else { return Ok(None) };
            let marks = entries.iter().map(|entry| StateKey::correction(row.number, *entry));
            Ok(Some(sheet.rows(marks, CorrectionRow::decode)?.into_iter().flatten().collect()))
        });
        let (height, rows) = found.await?;
        Ok(rows.map(|rows| (height, rows)))
    }
}

fn controller_row(sheet: &Sheet, controller: &str) -> Result<ControllerRow, Lack> {
    Ok(sheet.row(StateKey::controller(controller), ControllerRow::decode)?.unwrap_or_default())
}

/// The ids before a number of a list in such pages, at most so many, the newest first; with the number of the last one.
pub(super) fn page(
    sheet: &Sheet,
    total: u64,
    (before, limit): (u64, usize),
    page_size: u32,
    place: impl Fn(u32) -> StateKey,
) -> Result<(u64, Vec<String>), Lack> {
    let end = total.min(before);
    let first = end.saturating_sub(limit as u64);
    let mut ids = listed(sheet, place, page_size, first..end)?;
    ids.reverse();
    Ok((first, ids))
}

/// An order of the public partition with where the values lie that it is about.
pub(super) fn in_drawer(erasure: Erasure) -> (Erasure, Vec<Drawer>) {
    let drawer = Drawer::public(erasure.row.subject.clone());
    (erasure, vec![drawer])
}

/// Those of these orders that there are.
fn erasures(sheet: &Sheet, orders: &[String], now_ms: u64) -> Result<Vec<Erasure>, Lack> {
    let rows = sheet.rows(orders.iter().map(|order| StateKey::erasure(order)), ErasureRow::decode)?;
    let rows: Vec<ErasureRow> = rows.into_iter().flatten().collect();
    // What is complete waits for nothing: nobody asks what holds its subject is under.
    let key = |row: &ErasureRow| StateKey::subject(&row.controller, &row.subject);
    sheet.require(rows.iter().filter(|row| !row.is_complete()).map(key))?;
    let with_holds = |row: ErasureRow| {
        let subject = if row.is_complete() { None } else { sheet.row(key(&row), SubjectRow::decode)? };
        let holds = subject.into_iter().flat_map(|subject| subject.holds).filter(|hold| hold.is_in_force(now_ms));
        Ok(Erasure { holds: holds.map(|hold| hold.hold).collect(), left: Vec::new(), row })
    };
    rows.into_iter().map(with_holds).collect()
}
