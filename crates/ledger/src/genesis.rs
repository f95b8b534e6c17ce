//! Genesis: the rows with which a network begins.

use std::sync::Arc;

use tallystick_protocol::{
    Genesis, GenesisOrganisation, PublicKey, StateKey,
    operation::{PrincipalId, Role},
};

use crate::state::{HeldKey, KeyRow, OrganisationRow, PrincipalRow, Row, View};

/// Writes the organisations, their principals, and whose every key is: the first changes of block 1.
///
/// The genesis must be valid ([`Genesis::validate`]). Validators' keys get their rows too, so that no principal can take one.
pub fn genesis(view: &mut View, genesis: &Genesis) {
    for organisation in &genesis.organisations {
        write_organisation(view, organisation, genesis.created_ms);
    }
    for validator in &genesis.validators {
        let key = PublicKey::Ed25519(validator.key);
        view.write(StateKey::key(&key), Row::Key(KeyRow { holder: validator.organisation.clone() }));
    }
}

fn write_organisation(view: &mut View, organisation: &GenesisOrganisation, created_ms: u64) {
    let mut administrator_keys = 0;
    let mut principals = 0;
    for principal in &organisation.principals {
        let Ok(id) = PrincipalId::new(&organisation.id, &principal.name) else {
            unreachable!("a valid genesis names principals by slugs, not `{}/{}`", organisation.id, principal.name)
        };
        principals += 1;
        administrator_keys += u32::from(principal.role == Role::Administrator);
        view.write(StateKey::key(&principal.key), Row::Key(KeyRow { holder: id.as_str().to_owned() }));
        let keys = vec![HeldKey::new(principal.key, created_ms)];
        let row = PrincipalRow { id, role: principal.role, keys };
        view.write(StateKey::principal(&row.id), Row::Principal(Arc::new(row)));
    }
    let row = OrganisationRow {
        id: organisation.id.clone(),
        name: organisation.name.clone(),
        administrator_keys,
        principals,
    };
    view.write(StateKey::organisation(&organisation.id), Row::Organisation(row));
}
