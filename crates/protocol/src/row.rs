//! The rows of the state that a receipt proves; the ledger writes them.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    key::PublicKey,
    limits::{
        FIELDS_MAX, ITEMS_PER_ENTRY_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, REGISTER_NUMBER_MAX, STATE_VALUE_BYTES_MAX,
        TEXT_BYTES_MAX,
    },
    network::{GenesisOrganisation, GenesisPrincipal},
    operation::{EntryKind, Field, Phase, PrincipalId},
    organisation::{OrganisationStatus, Particulars},
    principal::{Assurance, PrincipalKind, PrincipalStatus, Roles},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// A record: the latest entry for a key. In CBOR: an array of its fields in this order.
///
/// It names its register and key, so that a proof of the row needs no proof of the register's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The register.
    pub register: String,
    /// The key.
    pub key: String,
    /// Whose entry it is.
    pub kind: EntryKind,
    /// The entry's number, from 1.
    pub number: u64,
    /// The entry's timestamp, in Unix seconds.
    pub timestamp: u64,
    /// SHA-256 of each item.
    pub items: Vec<Hash>,
    /// The log leaf of the transaction that appended it.
    pub leaf: u64,
    /// The height of that transaction's block.
    pub height: u64,
}

/// A register's definition. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRow {
    /// Its name.
    pub register: String,
    /// Its number, which its rows' keys hold; below 2^24, from 1.
    pub number: u32,
    /// The organisation that alone writes it.
    pub custodian: String,
    /// Where it stands in its life.
    pub phase: Phase,
    /// What replaces it.
    pub successor: Option<String>,
    /// Its schema.
    pub fields: Vec<Field>,
    /// What it lists.
    pub text: String,
    /// The log leaf of the transaction that created it.
    pub created: u64,
}

/// Counters of the whole ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CountersRow {
    /// Registers so far: the number of the latest.
    #[n(0)]
    pub registers: u32,
    /// Organisations so far, those that left included.
    #[n(1)]
    pub organisations: u32,
    /// Organisations that act and vote now.
    #[n(2)]
    pub active: u32,
    /// Changes of policies so far: the number of the latest.
    #[n(3)]
    pub policies: u64,
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OrganisationRow {
    /// Its id: a slug.
    #[n(0)]
    pub id: String,
    /// What people call it.
    #[n(1)]
    pub name: String,
    /// Keys with which its active administrators can sign until something ends them; never none.
    #[n(2)]
    pub administrator_keys: u32,
    /// Principals enrolled so far.
    #[n(3)]
    pub principals: u32,
    /// Where its membership stands.
    #[n(4)]
    pub status: OrganisationStatus,
    /// Since which height it stands there.
    #[n(5)]
    pub since_height: u64,
    /// Why, when it was suspended or expelled.
    #[n(6)]
    pub reason: Option<String>,
    /// Administrators who are not retired: a suspended one still counts among those whom a recovery asks.
    #[n(7)]
    pub administrators: u32,
    /// Administrators who must sign to recover a principal; none until it says so.
    #[n(8)]
    pub recovery: Option<u32>,
    /// Who it is in law, and how it is reached.
    #[n(9)]
    pub particulars: Particulars,
}

/// A principal and its keys.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PrincipalRow {
    /// Who it is.
    #[n(0)]
    pub id: PrincipalId,
    /// What it is.
    #[n(1)]
    pub kind: PrincipalKind,
    /// What it is to its organisation.
    #[n(2)]
    pub roles: Roles,
    /// Whether it may act.
    #[n(3)]
    pub status: PrincipalStatus,
    /// Why it has that status; empty since its enrolment.
    #[n(4)]
    pub reason: String,
    /// Its keys, the latest last; of those that have ended only the latest few.
    #[n(5)]
    pub keys: Vec<HeldKey>,
}

/// A key of a principal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HeldKey {
    /// The key.
    #[n(0)]
    pub key: PublicKey,
    /// Since when it signs, in Unix milliseconds of ledger time.
    #[n(1)]
    pub from_ms: u64,
    /// Since when it no longer signs, in Unix milliseconds of ledger time; in the future while a rotation's overlap lasts.
    #[n(2)]
    pub retired_ms: Option<u64>,
    /// When its certificate ends, in Unix milliseconds of ledger time; none for a key without one.
    #[n(3)]
    pub until_ms: Option<u64>,
    /// How sure its organisation is that it is in the hands of the principal.
    #[n(4)]
    pub assurance: Assurance,
}

impl OrganisationRow {
    /// An active organisation without principals.
    pub fn new(organisation: &GenesisOrganisation, height: u64) -> Self {
        Self {
            id: organisation.id.clone(),
            name: organisation.name.clone(),
            administrator_keys: 0,
            principals: 0,
            status: OrganisationStatus::Active,
            since_height: height,
            reason: None,
            administrators: 0,
            recovery: None,
            particulars: organisation.particulars.clone(),
        }
    }
}

impl PrincipalRow {
    /// One of an organisation's first principals. Everybody who agreed to it vouches for the key; no certificate does.
    pub fn first(id: PrincipalId, principal: &GenesisPrincipal, now_ms: u64) -> Self {
        Self {
            id,
            kind: principal.kind,
            roles: principal.roles.clone(),
            status: PrincipalStatus::Active,
            reason: String::new(),
            keys: vec![HeldKey::new(principal.key, now_ms, Assurance::Substantial)],
        }
    }

    /// The key, if the principal holds or lately held it.
    pub fn key(&self, key: &PublicKey) -> Option<&HeldKey> {
        self.keys.iter().find(|held| held.key == *key)
    }

    /// Whether it is an administrator, and not retired.
    pub fn is_administrator(&self) -> bool {
        self.status != PrincipalStatus::Retired && self.roles.is_administrator()
    }

    /// Whether it is an administrator and may act.
    pub fn is_active_administrator(&self) -> bool {
        self.status == PrincipalStatus::Active && self.roles.is_administrator()
    }
}

impl HeldKey {
    /// A key without a certificate, from now on.
    pub const fn new(key: PublicKey, from_ms: u64, assurance: Assurance) -> Self {
        Self { key, from_ms, retired_ms: None, until_ms: None, assurance }
    }

    /// Whether it was retired or replaced before now.
    pub fn has_ended(&self, now_ms: u64) -> bool {
        self.retired_ms.is_some_and(|retired_ms| now_ms >= retired_ms)
    }

    /// Whether it signs at a time, by all that is known of it.
    pub fn signs_at(&self, now_ms: u64) -> bool {
        self.from_ms <= now_ms && !self.has_ended(now_ms) && !self.is_expired(now_ms)
    }

    /// Whether it was neither retired nor replaced, not even with an overlap that still lasts.
    pub const fn is_kept(&self) -> bool {
        self.retired_ms.is_none()
    }

    /// When it stops to sign, as far as is known: by its certificate, or its replacement.
    pub fn end_ms(&self) -> Option<u64> {
        [self.until_ms, self.retired_ms].into_iter().flatten().min()
    }

    /// Whether its certificate, if it has one, has ended.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.until_ms.is_some_and(|until_ms| now_ms >= until_ms)
    }
}

/// Gives a row its bytes, and reads them within the limit of a row.
macro_rules! row_bytes {
    ($($type:ty),+) => {$(
        impl $type {
            /// The row's bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                cbor::encode(self)
            }

            /// Decodes a row.
            ///
            /// # Errors
            /// When it is too long, malformed or not deterministic.
            pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
                cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
            }
        }
    )+};
}

row_bytes!(RecordRow, RegisterRow, CountersRow, OrganisationRow, PrincipalRow);

fn name(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::text(d, 1..=NAME_BYTES_MAX, "a name").map(str::to_owned)
}

impl<C> Encode<C> for RecordRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(8)?.str(&self.register)?.str(&self.key)?.encode(self.kind)?.u64(self.number)?.u64(self.timestamp)?;
        cbor::write_values(e, &self.items)?;
        e.u64(self.leaf)?.u64(self.height)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RecordRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 8, "a record row")?;
        Ok(Self {
            register: name(d)?,
            key: cbor::text(d, 1..=KEY_BYTES_MAX, "a key")?.to_owned(),
            kind: d.decode()?,
            number: d.u64()?,
            timestamp: d.u64()?,
            items: cbor::values(d, 1..=ITEMS_PER_ENTRY_MAX, "the items of a record")?,
            leaf: d.u64()?,
            height: d.u64()?,
        })
    }
}

impl<C> Encode<C> for RegisterRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(8)?.str(&self.register)?.u32(self.number)?.str(&self.custodian)?.encode(self.phase)?;
        e.encode(self.successor.as_deref())?;
        cbor::write_values(e, &self.fields)?;
        e.str(&self.text)?.u64(self.created)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RegisterRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 8, "a register row")?;
        let register = name(d)?;
        let at = d.position();
        let number = d.u32()?;
        if number > REGISTER_NUMBER_MAX {
            return Err(decode::Error::message("a register's number must be below 2^24").at(at));
        }
        Ok(Self {
            register,
            number,
            custodian: name(d)?,
            phase: d.decode()?,
            successor: cbor::optional(d, name)?,
            fields: cbor::values(d, 0..=FIELDS_MAX, "the fields of a register")?,
            text: cbor::text(d, 0..=TEXT_BYTES_MAX, "a description")?.to_owned(),
            created: d.u64()?,
        })
    }
}
