//! What a transaction asks for, and the grammar of the names it uses.
//!
//! In CBOR an operation is an array: its name, then its fields in the order of the type.

use crate::{
    cbor,
    hash::Hash,
    key::PublicKey,
    limits::{
        ENTRIES_MAX, FIELDS_MAX, ITEM_BYTES_MAX, ITEMS_PER_ENTRY_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX,
        X509_BYTES_MAX, X509_LIST_BYTES_MAX, X509_PATH_MAX,
    },
    names::{names, serde_as_text},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::{fmt, str::FromStr};

names! {
    /// What a principal may do for its organisation.
    pub enum Role, "role" {
        /// Enrols principals, rotates and retires keys, creates registers and moves their phase; may append too.
        Administrator = "administrator",
        /// Appends entries to the registers of its organisation.
        Registrar = "registrar",
    }
}

names! {
    /// Where a register stands in its life.
    pub enum Phase, "phase" {
        /// Being prepared: its entries may still be imported.
        Draft = "draft",
        /// In use.
        Live = "live",
        /// Replaced by its successor; read only.
        Superseded = "superseded",
        /// Ended; read only.
        Closed = "closed",
    }
}

names! {
    /// Whose an entry is: the register's description of itself, or its content.
    pub enum EntryKind, "kind of entry" {
        /// Describes the register: its name, custodian, fields.
        System = "system",
        /// Content; only these are leaves of the register's tree.
        User = "user",
    }
}

names! {
    /// The form of a field's values (openregister's datatype register, and those its specification adds).
    pub enum Datatype, "datatype" {
        /// Any text.
        String = "string",
        /// Decimal digits with an optional minus sign.
        Integer = "integer",
        /// Markdown.
        Text = "text",
        /// The name of a register or field.
        Name = "name",
        /// An absolute URL.
        Url = "url",
        /// A link: `register:key`, or a bare key of the register that the field names.
        Curie = "curie",
        /// ISO 8601, truncated to any precision; UTC.
        Datetime = "datetime",
        /// ISO 8601 interval.
        Period = "period",
        /// RFC 3339 with seconds, UTC.
        Timestamp = "timestamp",
        /// An algorithm, a colon, a hexadecimal digest.
        Hash = "hash",
        /// GeoJSON point.
        Point = "point",
        /// Well-known text polygon.
        Polygon = "polygon",
    }
}

names! {
    /// How many values a field holds.
    pub enum Cardinality, "cardinality" {
        /// A single value.
        One = "1",
        /// A list of distinct values.
        Many = "n",
    }
}

/// A name, key or identifier does not follow its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a slug.
    #[error(
        "`{0}` is not a name: use 1 to {NAME_BYTES_MAX} lower-case letters and digits, with single `-` between them"
    )]
    Slug(String),
    /// Not the key of a user entry.
    #[error(
        "`{0}` is not a key: use 1 to {KEY_BYTES_MAX} letters and digits, with `-`, `_`, `.`, `/` after the first, \
         never two of those in a row"
    )]
    Key(String),
    /// Not the key of a system entry.
    #[error("`{0}` is not the key of a system entry: write a key, or a name, `:` and a key such as `field:country`")]
    SystemKey(String),
    /// Not a principal.
    #[error("`{0}` is not a principal: write organisation/name, both of lower-case letters, digits and `-`")]
    Principal(String),
}

/// Input as an error may show it.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Checks the name of an organisation, principal, register or field: `[a-z0-9]+(-[a-z0-9]+)*`, at most 64 bytes.
///
/// # Errors
/// When it is anything else.
pub fn validate_name(name: &str) -> Result<(), NameError> {
    if is_separated(name, NAME_BYTES_MAX, |b| b.is_ascii_lowercase() || b.is_ascii_digit(), b"-")
        && !name.ends_with('-')
    {
        return Ok(());
    }
    Err(NameError::Slug(shown(name)))
}

/// Checks the key of an entry. A user entry's begins with a letter or digit and goes on with those and `-_./`, never
/// two of the latter in a row (openregister v1); a system entry's may be two such keys joined by `:`.
///
/// # Errors
/// When it is anything else, or longer than 128 bytes.
pub fn validate_key(kind: EntryKind, key: &str) -> Result<(), NameError> {
    let is_key = |key: &str| is_separated(key, KEY_BYTES_MAX, |b| b.is_ascii_alphanumeric(), b"-_./");
    match kind {
        EntryKind::User if is_key(key) => Ok(()),
        EntryKind::User => Err(NameError::Key(shown(key))),
        EntryKind::System if key.len() <= KEY_BYTES_MAX && key.splitn(2, ':').all(is_key) => Ok(()),
        EntryKind::System => Err(NameError::SystemKey(shown(key))),
    }
}

/// Whether `text` is 1 to `max` bytes of `letter`s, with single `separators` after the first.
fn is_separated(text: &str, max: usize, letter: impl Fn(u8) -> bool, separators: &[u8]) -> bool {
    let mut after_letter = false;
    for byte in text.bytes() {
        let is_letter = letter(byte);
        let allowed = is_letter || (after_letter && separators.contains(&byte));
        if !allowed {
            return false;
        }
        after_letter = is_letter;
    }
    !text.is_empty() && text.len() <= max
}

/// Who acts: `<organisation>/<name>`, both slugs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(String);

impl PrincipalId {
    /// The principal `name` of `organisation`.
    ///
    /// # Errors
    /// When one of them is not a slug.
    pub fn new(organisation: &str, name: &str) -> Result<Self, NameError> {
        validate_name(organisation)?;
        validate_name(name)?;
        Ok(Self(format!("{organisation}/{name}")))
    }

    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The organisation's id.
    pub fn organisation(&self) -> &str {
        self.0.split_once('/').map_or("", |(organisation, _)| organisation)
    }

    /// The name within the organisation.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrincipalId({})", self.0)
    }
}

impl FromStr for PrincipalId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Principal(shown(text));
        let (organisation, name) = text.split_once('/').ok_or_else(refused)?;
        validate_name(organisation).and_then(|()| validate_name(name)).map_err(|_| refused())?;
        Ok(Self(text.to_owned()))
    }
}

serde_as_text!(PrincipalId);

impl<C> Encode<C> for PrincipalId {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PrincipalId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        d.str()?.parse().map_err(|error: NameError| decode::Error::message(error).at(at))
    }
}

/// One field of a register's schema. In CBOR: `[name, datatype, cardinality, register or null, text]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name: the key in an item.
    pub name: String,
    /// The form of its values.
    pub datatype: Datatype,
    /// How many values it holds.
    pub cardinality: Cardinality,
    /// The register that its values are keys of.
    pub register: Option<String>,
    /// What it means.
    pub text: String,
}

/// An entry to append. In CBOR: `[key, [item…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What the entry is about.
    pub key: String,
    /// Its items as canonical JSON texts, one or more.
    pub items: Vec<String>,
}

/// An entry with the timestamp it had elsewhere. In CBOR: `[kind, key, timestamp, [item…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedEntry {
    /// Whose it is.
    pub kind: EntryKind,
    /// What it is about.
    pub key: String,
    /// When it was first appended, in Unix seconds.
    pub timestamp: u64,
    /// Its items as canonical JSON texts, one or more.
    pub items: Vec<String>,
}

/// One request to change the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Creates a register whose custodian is the signer's organisation. Refused unless the signer is an administrator.
    RegisterCreate {
        /// Its name.
        register: String,
        /// What it lists.
        text: String,
        /// Its schema.
        fields: Vec<Field>,
    },
    /// Moves a register to another phase of its life.
    RegisterPhase {
        /// The register.
        register: String,
        /// Where it goes.
        phase: Phase,
        /// The register that replaces it, when it goes to `superseded`.
        successor: Option<String>,
    },
    /// Appends entries, timed by the block.
    EntryAppend {
        /// The register.
        register: String,
        /// The entries, in order.
        entries: Vec<NewEntry>,
    },
    /// Appends entries with the numbers and timestamps that they had elsewhere.
    RegisterImport {
        /// The register.
        register: String,
        /// The number that the first user entry here gets, from 1.
        user_first: u64,
        /// The number that the first system entry here gets, from 1.
        system_first: u64,
        /// The entries, in order.
        entries: Vec<ImportedEntry>,
        /// The root of the register's tree after them.
        root: Hash,
    },
    /// Adds a principal with its first key to the signer's organisation.
    PrincipalEnrol {
        /// Its name within the organisation.
        name: String,
        /// What it may do.
        role: Role,
        /// Its first key.
        key: PublicKey,
    },
    /// Replaces a key.
    KeyRotate {
        /// Whose key.
        principal: PrincipalId,
        /// The key that ends.
        old: PublicKey,
        /// The key that begins.
        new: PublicKey,
    },
    /// Ends a key without replacement.
    KeyRetire {
        /// Whose key.
        principal: PrincipalId,
        /// The key that ends.
        key: PublicKey,
    },
    /// Admits a certificate authority of the signer's organisation.
    AuthorityAdmit {
        /// Its X.509 certificate in DER.
        certificate: Vec<u8>,
    },
    /// Ends an authority: no key is certified under it any more.
    AuthorityRetire {
        /// SHA-256 of its certificate.
        authority: Hash,
    },
    /// Gives a key a certificate, with which it ends; the principal itself may sign this, even when the key has expired.
    KeyCertify {
        /// Whose key.
        principal: PrincipalId,
        /// The key, which the certificate is about.
        key: PublicKey,
        /// SHA-256 of the certificate of the authority under which it was issued.
        authority: Hash,
        /// The key's certificate and those between it and the authority's, in DER, each issued by the next one.
        chain: Vec<Vec<u8>>,
    },
    /// Posts what an authority, or one that it issued, has revoked.
    RevocationPost {
        /// The revocation list in DER.
        list: Vec<u8>,
        /// SHA-256 of the certificate of the admitted authority.
        authority: Hash,
        /// The certificate of the list's issuer and those between it and the authority's; none when it is the authority.
        chain: Vec<Vec<u8>>,
    },
}

names! {
    /// The name of an operation: its first element in CBOR.
    pub enum OperationName, "operation" {
        /// [`Operation::RegisterCreate`].
        RegisterCreate = "register-create",
        /// [`Operation::RegisterPhase`].
        RegisterPhase = "register-phase",
        /// [`Operation::EntryAppend`].
        EntryAppend = "entry-append",
        /// [`Operation::RegisterImport`].
        RegisterImport = "register-import",
        /// [`Operation::PrincipalEnrol`].
        PrincipalEnrol = "principal-enrol",
        /// [`Operation::KeyRotate`].
        KeyRotate = "key-rotate",
        /// [`Operation::KeyRetire`].
        KeyRetire = "key-retire",
        /// [`Operation::AuthorityAdmit`].
        AuthorityAdmit = "authority-admit",
        /// [`Operation::AuthorityRetire`].
        AuthorityRetire = "authority-retire",
        /// [`Operation::KeyCertify`].
        KeyCertify = "key-certify",
        /// [`Operation::RevocationPost`].
        RevocationPost = "revocation-post",
    }
}

impl OperationName {
    /// Elements of the operation's array, the name included.
    const fn arity(self) -> u64 {
        match self {
            Self::AuthorityAdmit | Self::AuthorityRetire => 2,
            Self::EntryAppend | Self::KeyRetire => 3,
            Self::KeyCertify => 5,
            Self::RegisterCreate
            | Self::RegisterPhase
            | Self::PrincipalEnrol
            | Self::KeyRotate
            | Self::RevocationPost => 4,
            Self::RegisterImport => 6,
        }
    }
}

impl Operation {
    /// Its name.
    pub const fn name(&self) -> OperationName {
        match self {
            Self::RegisterCreate { .. } => OperationName::RegisterCreate,
            Self::RegisterPhase { .. } => OperationName::RegisterPhase,
            Self::EntryAppend { .. } => OperationName::EntryAppend,
            Self::RegisterImport { .. } => OperationName::RegisterImport,
            Self::PrincipalEnrol { .. } => OperationName::PrincipalEnrol,
            Self::KeyRotate { .. } => OperationName::KeyRotate,
            Self::KeyRetire { .. } => OperationName::KeyRetire,
            Self::AuthorityAdmit { .. } => OperationName::AuthorityAdmit,
            Self::AuthorityRetire { .. } => OperationName::AuthorityRetire,
            Self::KeyCertify { .. } => OperationName::KeyCertify,
            Self::RevocationPost { .. } => OperationName::RevocationPost,
        }
    }

    /// The register it is about, if any.
    pub fn register(&self) -> Option<&str> {
        match self {
            Self::RegisterCreate { register, .. }
            | Self::RegisterPhase { register, .. }
            | Self::EntryAppend { register, .. }
            | Self::RegisterImport { register, .. } => Some(register),
            Self::PrincipalEnrol { .. }
            | Self::KeyRotate { .. }
            | Self::KeyRetire { .. }
            | Self::AuthorityAdmit { .. }
            | Self::AuthorityRetire { .. }
            | Self::KeyCertify { .. }
            | Self::RevocationPost { .. } => None,
        }
    }

    /// Entries that it appends or imports.
    pub fn entry_count(&self) -> usize {
        match self {
            Self::EntryAppend { entries, .. } => entries.len(),
            Self::RegisterImport { entries, .. } => entries.len(),
            _ => 0,
        }
    }
}

fn named(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

fn keyed(d: &mut Decoder<'_>, kind: EntryKind) -> Result<String, decode::Error> {
    let at = d.position();
    let key = d.str()?;
    validate_key(kind, key).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(key.to_owned())
}

fn described(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::text(d, 0..=TEXT_BYTES_MAX, "a description").map(str::to_owned)
}

fn certificate(d: &mut Decoder<'_>) -> Result<Vec<u8>, decode::Error> {
    cbor::bytes(d, 1..=X509_BYTES_MAX, "a certificate").map(<[u8]>::to_vec)
}

fn chain(d: &mut Decoder<'_>, least: usize) -> Result<Vec<Vec<u8>>, decode::Error> {
    // The authority's own certificate is on the ledger.
    let n = cbor::list(d, least..=X509_PATH_MAX - 1, "the certificates of a chain")?;
    (0..n).map(|_| certificate(d)).collect()
}

fn write_chain<W: encode::Write>(e: &mut Encoder<W>, chain: &[Vec<u8>]) -> Result<(), encode::Error<W::Error>> {
    e.array(chain.len() as u64)?;
    for certificate in chain {
        e.bytes(certificate)?;
    }
    Ok(())
}

fn items(d: &mut Decoder<'_>) -> Result<Vec<String>, decode::Error> {
    let n = cbor::list(d, 1..=ITEMS_PER_ENTRY_MAX, "the items of an entry")?;
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        items.push(cbor::text(d, 2..=ITEM_BYTES_MAX, "an item")?.to_owned());
    }
    Ok(items)
}

impl<C> Encode<C> for Field {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.str(&self.name)?.encode(self.datatype)?.encode(self.cardinality)?;
        e.encode(self.register.as_deref())?.str(&self.text)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Field {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 5, "a field")?;
        Ok(Self {
            name: named(d)?,
            datatype: d.decode()?,
            cardinality: d.decode()?,
            register: cbor::optional(d, named)?,
            text: described(d)?,
        })
    }
}

impl<C> Encode<C> for NewEntry {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.key)?;
        cbor::write_values(e, &self.items)
    }
}

impl<'b, C> Decode<'b, C> for NewEntry {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "an entry")?;
        Ok(Self { key: keyed(d, EntryKind::User)?, items: items(d)? })
    }
}

impl<C> Encode<C> for ImportedEntry {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(self.kind)?.str(&self.key)?.u64(self.timestamp)?;
        cbor::write_values(e, &self.items)
    }
}

impl<'b, C> Decode<'b, C> for ImportedEntry {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "an imported entry")?;
        let kind = d.decode()?;
        Ok(Self { kind, key: keyed(d, kind)?, timestamp: d.u64()?, items: items(d)? })
    }
}

impl<C> Encode<C> for Operation {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.name().arity())?.encode(self.name())?;
        match self {
            Self::RegisterCreate { register, text, fields } => {
                e.str(register)?.str(text)?;
                cbor::write_values(e, fields)
            }
            Self::RegisterPhase { register, phase, successor } => {
                e.str(register)?.encode(phase)?.encode(successor.as_deref())?.ok()
            }
            Self::EntryAppend { register, entries } => {
                e.str(register)?;
                cbor::write_values(e, entries)
            }
            Self::RegisterImport { register, user_first, system_first, entries, root } => {
                e.str(register)?.u64(*user_first)?.u64(*system_first)?;
                cbor::write_values(e, entries)?;
                e.encode(root)?.ok()
            }
            Self::PrincipalEnrol { name, role, key } => e.str(name)?.encode(role)?.encode(key)?.ok(),
            Self::KeyRotate { principal, old, new } => e.encode(principal)?.encode(old)?.encode(new)?.ok(),
            Self::KeyRetire { principal, key } => e.encode(principal)?.encode(key)?.ok(),
            Self::AuthorityAdmit { certificate } => e.bytes(certificate)?.ok(),
            Self::AuthorityRetire { authority } => e.encode(authority)?.ok(),
            Self::KeyCertify { principal, key, authority, chain } => {
                e.encode(principal)?.encode(key)?.encode(authority)?;
                write_chain(e, chain)
            }
            Self::RevocationPost { list, authority, chain } => {
                e.bytes(list)?.encode(authority)?;
                write_chain(e, chain)
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Operation {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let arity = d.array()?;
        let name: OperationName = d.decode()?;
        if arity != Some(name.arity()) {
            let message = format!("operation {name} must be an array of {} elements", name.arity());
            return Err(decode::Error::message(message).at(at));
        }
        Ok(match name {
            OperationName::RegisterCreate => Self::RegisterCreate {
                register: named(d)?,
                text: described(d)?,
                fields: cbor::values(d, 0..=FIELDS_MAX, "the fields of a register")?,
            },
            OperationName::RegisterPhase => {
                Self::RegisterPhase { register: named(d)?, phase: d.decode()?, successor: cbor::optional(d, named)? }
            }
            OperationName::EntryAppend => Self::EntryAppend {
                register: named(d)?,
                entries: cbor::values(d, 1..=ENTRIES_MAX, "the entries of a transaction")?,
            },
            OperationName::RegisterImport => Self::RegisterImport {
                register: named(d)?,
                user_first: d.u64()?,
                system_first: d.u64()?,
                entries: cbor::values(d, 1..=ENTRIES_MAX, "the entries of a transaction")?,
                root: d.decode()?,
            },
            OperationName::PrincipalEnrol => {
                Self::PrincipalEnrol { name: named(d)?, role: d.decode()?, key: d.decode()? }
            }
            OperationName::KeyRotate => Self::KeyRotate { principal: d.decode()?, old: d.decode()?, new: d.decode()? },
            OperationName::KeyRetire => Self::KeyRetire { principal: d.decode()?, key: d.decode()? },
            OperationName::AuthorityAdmit => Self::AuthorityAdmit { certificate: certificate(d)? },
            OperationName::AuthorityRetire => Self::AuthorityRetire { authority: d.decode()? },
            OperationName::KeyCertify => Self::KeyCertify {
                principal: d.decode()?,
                key: d.decode()?,
                authority: d.decode()?,
                chain: chain(d, 1)?,
            },
            OperationName::RevocationPost => Self::RevocationPost {
                list: cbor::bytes(d, 1..=X509_LIST_BYTES_MAX, "a revocation list")?.to_vec(),
                authority: d.decode()?,
                chain: chain(d, 0)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn names_and_keys_follow_their_grammar() {
        let long = "a".repeat(64);
        let too_long = "a".repeat(65);
        for (name, good) in [
            ("country", true),
            ("local-authority-eng", true),
            ("0001", true),
            (long.as_str(), true),
            ("", false),
            ("Country", false),
            ("a--b", false),
            ("-a", false),
            ("a-", false),
            ("a b", false),
            ("a/b", false),
            ("ä", false),
            (too_long.as_str(), false),
        ] {
            assert_eq!(validate_name(name).is_ok(), good, "{name}");
        }
        for (key, user, system) in [
            ("GB", true, true),
            ("7", true, true),
            ("a-b_c.d/e", true, true),
            ("a-", true, true),
            ("field:country", false, true),
            ("field:", false, false),
            (":a", false, false),
            ("a:b:c", false, false),
            ("a--b", false, false),
            ("a-_b", false, false),
            ("-a", false, false),
            ("a b", false, false),
            ("é", false, false),
            ("", false, false),
            (&"k".repeat(129), false, false),
        ] {
            assert_eq!(validate_key(EntryKind::User, key).is_ok(), user, "user {key}");
            assert_eq!(validate_key(EntryKind::System, key).is_ok(), system, "system {key}");
        }
    }

    #[test]
    fn a_principal_is_two_names() {
        let principal: PrincipalId = "home-office/alice".parse().unwrap();
        assert_eq!((principal.organisation(), principal.name()), ("home-office", "alice"));
        assert_eq!(PrincipalId::new("home-office", "alice"), Ok(principal));
        for text in ["", "a", "a/", "/a", "a/b/c", "A/b", "a /b"] {
            assert!(text.parse::<PrincipalId>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_values_are_read_back() {
        for name in OperationName::ALL {
            assert_eq!(name.as_str().parse(), Ok(*name));
        }
        assert_eq!("x".parse::<Phase>().unwrap_err(), "unknown phase: use one of draft, live, superseded, closed");
    }
}
