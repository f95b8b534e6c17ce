//! Authorisation: whether the signer may do an operation to the thing that it is about.
//!
//! Every arm asks once, as soon as it knows the thing, and before it judges anything else: what a stranger may not do, it is
//! told nothing more about.

use tallystick_protocol::{Code, RegisterRow, operation::OperationName};

use crate::{
    apply::{Act, Stop},
    state::{Draft, PrincipalRow},
};

/// What an operation is done to.
#[derive(Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// An organisation: what is added to it, and what is its own.
    Organisation(&'a str),
    /// A principal: its keys.
    Principal(&'a PrincipalRow),
    /// A register: its entries and its life.
    Register(&'a RegisterRow),
}

impl Resource<'_> {
    /// The organisation that answers for it.
    fn organisation(&self) -> &str {
        match self {
            Self::Organisation(id) => id,
            Self::Principal(row) => row.id.organisation(),
            Self::Register(row) => &row.custodian,
        }
    }
}

impl Act<'_> {
    /// Goes on only if the signer may do this operation to this resource.
    pub fn permit(&self, _draft: &mut Draft<'_>, resource: Resource<'_>) -> Result<(), Stop> {
        let administers = self.signer.roles.is_administrator();
        let allowed = match (self.action, resource) {
            (
                OperationName::KeyCertify | OperationName::MandateGrant | OperationName::MandateRevoke,
                Resource::Principal(subject),
            ) if subject.id == self.signer.id => true,
            (OperationName::EntryAppend, _) => self.organisation() == resource.organisation(),
            _ => administers && self.organisation() == resource.organisation(),
        };
        if allowed { Ok(()) } else { Err(Code::NotPermitted.into()) }
    }
}
