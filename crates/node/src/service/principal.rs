//! The principals of an organisation, as the state lists them.

use super::{Runtime, Service, proposal::listed};
use tallystick_ledger::{OrganisationRow, PrincipalRow};
use tallystick_protocol::{
    PrincipalId, PrincipalKind, PrincipalStatus, StateKey,
    limits::{PRINCIPALS_LOOKED_AT_MAX, PRINCIPALS_PER_PAGE},
};
use tallystick_storage::read::ReadError;

/// Which principals are asked for; what is none is not asked.
#[derive(Debug, Default)]
pub struct PrincipalQuery {
    /// What they are.
    pub kind: Option<PrincipalKind>,
    /// Whether they may act.
    pub status: Option<PrincipalStatus>,
    /// A role that they have.
    pub role: Option<String>,
}

impl PrincipalQuery {
    fn matches(&self, row: &PrincipalRow) -> bool {
        self.kind.is_none_or(|kind| row.kind == kind)
            && self.status.is_none_or(|status| row.status == status)
            && self.role.as_ref().is_none_or(|role| row.roles.contains(role))
    }
}

/// A page of principals.
#[derive(Debug)]
pub struct PrincipalPage {
    /// The height at which it stands.
    pub height: u64,
    /// Them, the latest enrolled first.
    pub rows: Vec<PrincipalRow>,
    /// The place before which the next page begins, if there is one.
    pub next: Option<u64>,
}

impl<E: Runtime> Service<E> {
    /// Principals of an organisation that are asked for, the latest enrolled first: at most `limit` of those before the
    /// place `before` in the list. A page may hold fewer and not be the last, for only so many are looked at. None when there
    /// is no such organisation.
    pub async fn principals(
        &self,
        organisation: &str,
        asked: &PrincipalQuery,
        before: u64,
        limit: usize,
    ) -> Result<Option<PrincipalPage>, ReadError> {
        let key = StateKey::organisation(organisation);
        let found = self.read([key], |sheet| {
            let Some(row) = sheet.row(key, OrganisationRow::decode)? else { return Ok(None) };
            let end = before.min(u64::from(row.principals));
            let first = end.saturating_sub(PRINCIPALS_LOOKED_AT_MAX);
            let page = |page| StateKey::principals(organisation, page);
            let names = listed(sheet, page, PRINCIPALS_PER_PAGE, first..end)?;
            let ids: Vec<PrincipalId> =
                names.iter().filter_map(|name| PrincipalId::new(organisation, name).ok()).collect();
            let rows = sheet.rows(ids.iter().map(StateKey::principal), PrincipalRow::decode)?;
            let (mut next, mut chosen) = (end, Vec::new());
            for (place, row) in (first..end).zip(rows).rev() {
                if chosen.len() >= limit {
                    break;
                }
                next = place;
                chosen.extend(row.filter(|row| asked.matches(row)));
            }
            Ok(Some((chosen, (next > 0).then_some(next))))
        });
        let (height, page) = found.await?;
        Ok(page.map(|(rows, next)| PrincipalPage { height, rows, next }))
    }
}
