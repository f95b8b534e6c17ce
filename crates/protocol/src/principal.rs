//! What a principal is: its kind, its roles, how sure its organisation is of it, and whether it may act.

use crate::{
    cbor,
    identifier::{NameError, validate_name},
    limits::ROLES_MAX,
    names::names,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// The role that manages an organisation's principals and registers in the starter policies.
pub const ADMINISTRATOR: &str = "administrator";
/// The role that writes an organisation's registers in the starter policies.
pub const REGISTRAR: &str = "registrar";
/// The role that oversees the partitions whose agreements name its organisation as a regulator: it sees who read what, and no record.
pub const REGULATOR: &str = "regulator";

names! {
    /// What a principal is.
    pub enum PrincipalKind, "kind of principal" {
        /// A human being.
        Person = "person",
        /// The organisation itself.
        Organisation = "organisation",
        /// An office, whoever holds it.
        Role = "role",
        /// A machine.
        Device = "device",
        /// Software.
        Program = "program",
    }
}

names! {
    /// How sure an organisation is that a key is in the hands of the principal, from the least.
    pub enum Assurance, "level of assurance" {
        /// Some confidence.
        Low = "low",
        /// Substantial confidence: the most that a bare key can have.
        Substantial = "substantial",
        /// High confidence: only by a certificate.
        High = "high",
    }
}

names! {
    /// Whether a principal may act.
    pub enum PrincipalStatus, "status" {
        /// It may.
        Active = "active",
        /// It may not for now.
        Suspended = "suspended",
        /// It never will again.
        Retired = "retired",
    }
}

/// What a principal is to its organisation: at most [`ROLES_MAX`] slugs, sorted. As text they are joined by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Roles(BTreeSet<String>);

/// Why these are no roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolesError {
    /// Not a slug.
    #[error("role: {0}")]
    Name(#[from] NameError),
    /// Too many.
    #[error("{0} roles, more than {ROLES_MAX}: give fewer")]
    Count(usize),
}

impl Roles {
    /// These roles.
    ///
    /// # Errors
    /// When one is not a slug, or there are too many.
    pub fn new<S: Into<String>>(roles: impl IntoIterator<Item = S>) -> Result<Self, RolesError> {
        let roles: BTreeSet<String> = roles.into_iter().map(Into::into).collect();
        if roles.len() > ROLES_MAX {
            return Err(RolesError::Count(roles.len()));
        }
        roles.iter().try_for_each(|role| validate_name(role))?;
        Ok(Self(roles))
    }

    /// Just [`ADMINISTRATOR`].
    pub fn administrator() -> Self {
        Self(BTreeSet::from([ADMINISTRATOR.to_owned()]))
    }

    /// Just [`REGISTRAR`].
    pub fn registrar() -> Self {
        Self(BTreeSet::from([REGISTRAR.to_owned()]))
    }

    /// Whether the role is one of them.
    pub fn contains(&self, role: &str) -> bool {
        self.0.contains(role)
    }

    /// Whether [`ADMINISTRATOR`] is one of them.
    pub fn is_administrator(&self) -> bool {
        self.contains(ADMINISTRATOR)
    }

    /// The roles, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.iter().collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Roles {
    type Err = RolesError;

    fn from_str(text: &str) -> Result<Self, RolesError> {
        Self::new(text.split(',').filter(|role| !role.is_empty()))
    }
}

impl<C> Encode<C> for Roles {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for role in &self.0 {
            e.str(role)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Roles {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let n = cbor::list(d, 0..=ROLES_MAX, "the roles")?;
        let roles = (0..n).map(|_| d.str()).collect::<Result<Vec<_>, _>>()?;
        // Another order, or a repetition, is found by encoding again.
        Self::new(roles).map_err(|error| decode::Error::message(error).at(at))
    }
}

impl serde::Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(<Vec<String> as serde::Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn roles_are_a_sorted_set_of_few_slugs() {
        let roles: Roles = "registrar,administrator,registrar".parse().unwrap();
        assert_eq!(roles.to_string(), "administrator,registrar");
        assert!(roles.is_administrator() && roles.contains(REGISTRAR) && !roles.contains("auditor"));
        let bytes = cbor::encode(&roles);
        assert_eq!(cbor::decode::<Roles>(&bytes, 64), Ok(roles));
        assert!(matches!("Boss".parse::<Roles>(), Err(RolesError::Name(_))));
        let many: Vec<String> = (0..=ROLES_MAX).map(|n| format!("r{n}")).collect();
        assert_eq!(Roles::new(many), Err(RolesError::Count(ROLES_MAX + 1)));
        // Unsorted, and repeated.
        for bytes in [[0x82, 0x61, b'b', 0x61, b'a'], [0x82, 0x61, b'a', 0x61, b'a']] {
            assert_eq!(cbor::decode::<Roles>(&bytes, 64), Err(cbor::CborError::NotCanonical));
        }
    }

    #[test]
    fn assurance_grows() {
        assert!(Assurance::Low < Assurance::Substantial && Assurance::Substantial < Assurance::High);
    }
}
