//! Genesis: the rows with which a network begins.

use std::sync::Arc;

use tallystick_protocol::{
    Genesis, GenesisOrganisation, StateKey,
    limits::{ORGANISATIONS_PER_PAGE, PRINCIPALS_PER_PAGE},
    operation::PrincipalId,
};

use crate::{
    agenda::AgendaRow,
    policy,
    proposal::row::PageRow,
    state::{CountersRow, KeyRow, OrganisationRow, PrincipalRow, Row, View},
    validators,
};

/// Writes the organisations, their principals, the validators, whose every key is, the rulebook and the first policies: the
/// first changes of block 1.
///
/// The genesis must be valid ([`Genesis::validate`]).
pub fn genesis(view: &mut View, genesis: &Genesis) {
    for organisation in &genesis.organisations {
        write_organisation(view, organisation, genesis.created_ms);
    }
    let ids: Vec<String> = genesis.organisations.iter().map(|organisation| organisation.id.clone()).collect();
    for (page, ids) in (0..).zip(ids.chunks(ORGANISATIONS_PER_PAGE as usize)) {
        view.write(StateKey::organisations(page), Row::Page(PageRow { ids: ids.to_vec() }));
    }
    let organisations = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let counters =
        CountersRow { registers: 0, organisations, active: organisations, policies: policy::write_starter(view) };
    view.write(StateKey::counters(), Row::Counters(counters));
    let rulebook = genesis.rulebook.clone().unwrap_or_default();
    view.write(StateKey::rulebook(), Row::Rulebook(Arc::new(rulebook)));
    view.write(StateKey::agenda(), Row::Agenda(AgendaRow::default()));
    validators::genesis(view, genesis);
}

fn write_organisation(view: &mut View, organisation: &GenesisOrganisation, created_ms: u64) {
    let mut administrator_keys = 0;
    let mut principals = 0;
    for principal in &organisation.principals {
        let Ok(id) = PrincipalId::new(&organisation.id, &principal.name) else {
            unreachable!("a valid genesis names principals by slugs, not `{}/{}`", organisation.id, principal.name)
        };
        principals += 1;
        administrator_keys += u32::from(principal.roles.is_administrator());
        view.write(
            StateKey::key(&principal.key),
            Row::Key(KeyRow { holder: id.as_str().to_owned(), proposals: Vec::new() }),
        );
        let row = PrincipalRow::first(id, principal, created_ms);
        view.write(StateKey::principal(&row.id), Row::Principal(Arc::new(row)));
    }
    let names: Vec<String> = organisation.principals.iter().map(|principal| principal.name.clone()).collect();
    for (page, names) in (0..).zip(names.chunks(PRINCIPALS_PER_PAGE as usize)) {
        view.write(StateKey::principals(&organisation.id, page), Row::Page(PageRow { ids: names.to_vec() }));
    }
    let row = OrganisationRow {
        administrator_keys,
        principals,
        administrators: administrator_keys,
        ..OrganisationRow::new(organisation, 0)
    };
    view.write(StateKey::organisation(&organisation.id), Row::Organisation(row));
}
