//! The principals of an organisation, as the state lists them.

use super::{Runtime, Service, proposal::listed};
use crate::certify::{self, CertifyError};
use tallystick_ledger::{OrganisationRow, PrincipalRow};
use tallystick_protocol::{
    PrincipalId, PrincipalKind, PrincipalReceipt, PrincipalStatus, StateKey,
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
    /// At most `limit` of the rows, the last of which stands before the place `end` in the list, from the last one on; and the
    /// place before which there may be more.
    fn choose(&self, end: u64, rows: Vec<Option<PrincipalRow>>, limit: usize) -> (Vec<PrincipalRow>, Option<u64>) {
        let (mut next, mut chosen) = (end, Vec::new());
        for (place, row) in (0..end).rev().zip(rows.into_iter().rev()) {
            if chosen.len() >= limit {
                break;
            }
            next = place;
            chosen.extend(row.filter(|row| self.matches(row)));
        }
        (chosen, (next > 0).then_some(next))
    }

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
    /// The receipt of a principal: which keys are its own at the newest applied block.
    ///
    /// # Errors
    /// When there is no such principal, or no certificate has reached this node yet.
    pub async fn principal_receipt(&self, id: &PrincipalId) -> Result<PrincipalReceipt, CertifyError> {
        let inner = &self.0;
        certify::principal_receipt(&inner.runtime, &inner.shared.chain, &inner.marshal, &inner.reader, id).await
    }

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
            Ok(Some(asked.choose(end, rows, limit)))
        });
        let (height, page) = found.await?;
        Ok(page.map(|(rows, next)| PrincipalPage { height, rows, next }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::Roles;

    /// The principals at the places 3 to 9 of a list, every third of them suspended.
    fn rows() -> Vec<Option<PrincipalRow>> {
        let row = |place: u64| PrincipalRow {
            id: PrincipalId::new("alpha", &format!("p{place}")).unwrap(),
            kind: PrincipalKind::Person,
            roles: Roles::registrar(),
            status: if place.is_multiple_of(3) { PrincipalStatus::Suspended } else { PrincipalStatus::Active },
            reason: String::new(),
            keys: Vec::new(),
        };
        (3..10).map(|place| Some(row(place))).collect()
    }

    fn chosen(asked: &PrincipalQuery, limit: usize) -> (Vec<String>, Option<u64>) {
        let (rows, next) = asked.choose(10, rows(), limit);
        (rows.iter().map(|row| row.id.name().to_owned()).collect(), next)
    }

    #[test]
    fn a_page_ends_when_it_is_full_or_enough_was_looked_at() {
        let all = PrincipalQuery::default();
        assert_eq!(chosen(&all, 2), (vec!["p9".into(), "p8".into()], Some(8)));
        assert_eq!(chosen(&all, 99).1, Some(3), "what stands before was not looked at");
        let suspended = PrincipalQuery { status: Some(PrincipalStatus::Suspended), ..PrincipalQuery::default() };
        assert_eq!(chosen(&suspended, 2), (vec!["p9".into(), "p6".into()], Some(6)));
        assert_eq!(chosen(&suspended, 9), (vec!["p9".into(), "p6".into(), "p3".into()], Some(3)));
        let device = PrincipalQuery { kind: Some(PrincipalKind::Device), ..PrincipalQuery::default() };
        assert_eq!(chosen(&device, 9), (Vec::new(), Some(3)));
        let role = |role: &str| PrincipalQuery { role: Some(role.into()), ..PrincipalQuery::default() };
        assert_eq!((chosen(&role("registrar"), 99).0.len(), chosen(&role("auditor"), 99).0.len()), (7, 0));
    }
}
