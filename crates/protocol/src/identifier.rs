//! The grammar of names: slugs, the keys of entries, and who acts.

use crate::{
    limits::{KEY_BYTES_MAX, NAME_BYTES_MAX},
    names::serde_as_text,
    operation::EntryKind,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::{fmt, str::FromStr};

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
    /// Not a mandate.
    #[error(
        "`{0}` is not a mandate: write organisation/name/mandate, or partition/organisation/name/mandate for one of a partition, \
         each of lower-case letters, digits and `-`"
    )]
    Mandate(String),
    /// Not a subject.
    #[error("`{0}` is not a subject: write register:key, the record that it is about")]
    Subject(String),
    /// Not a policy.
    #[error("`{0}` is not a policy: write a name, or register/name, of lower-case letters, digits and `-`")]
    Policy(String),
}

/// Input as an error may show it.
pub(crate) fn shown(text: &str) -> String {
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

/// A mandate: `<organisation>/<name>/<slug>`, the principal that grants it and what it calls it; of a partition, with `<partition>/` before
/// that, so that none of one is ever taken for one of another, or for one that everybody sees.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MandateId(String);

impl MandateId {
    /// The mandate that `grantor` calls `name`, which everybody sees.
    ///
    /// # Errors
    /// When the name is not a slug.
    pub fn new(grantor: &PrincipalId, name: &str) -> Result<Self, NameError> {
        validate_name(name)?;
        Ok(Self(format!("{grantor}/{name}")))
    }

    /// The mandate that `grantor` calls `name` in a partition; for none, the one that everybody sees.
    ///
    /// # Errors
    /// When the partition or the name is not a slug.
    pub fn within(partition: Option<&str>, grantor: &PrincipalId, name: &str) -> Result<Self, NameError> {
        let Self(public) = Self::new(grantor, name)?;
        let Some(partition) = partition else { return Ok(Self(public)) };
        validate_name(partition)?;
        Ok(Self(format!("{partition}/{public}")))
    }

    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that it is of; none when everybody sees it.
    pub fn partition(&self) -> Option<&str> {
        self.split().0
    }

    /// Who granted it.
    pub fn grantor(&self) -> PrincipalId {
        PrincipalId(self.split().1.rsplit_once('/').map_or_else(String::new, |(grantor, _)| grantor.to_owned()))
    }

    /// The partition, and the rest.
    fn split(&self) -> (Option<&str>, &str) {
        match self.0.split_once('/') {
            Some((partition, rest)) if rest.bytes().filter(|byte| *byte == b'/').count() == 2 => {
                (Some(partition), rest)
            }
            _ => (None, &self.0),
        }
    }

    /// The name that the grantor gave it.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }
}

impl fmt::Display for MandateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MandateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MandateId({})", self.0)
    }
}

impl FromStr for MandateId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Mandate(shown(text));
        let (mut grantor, name) = text.rsplit_once('/').ok_or_else(refused)?;
        let mut partition = None;
        if let Some((first, rest)) = grantor.split_once('/').filter(|(_, rest)| rest.contains('/')) {
            (partition, grantor) = (Some(first), rest);
        }
        let grantor: PrincipalId = grantor.parse().map_err(|_| refused())?;
        Self::within(partition, &grantor, name).map_err(|_| refused())
    }
}

serde_as_text!(MandateId);

impl<C> Encode<C> for MandateId {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MandateId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        d.str()?.parse().map_err(|error: NameError| decode::Error::message(error).at(at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::{Noun, StateKey};

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
    fn a_mandate_is_a_principal_and_a_name() {
        let mandate: MandateId = "home-office/alice/renewals".parse().unwrap();
        assert_eq!((mandate.grantor().as_str(), mandate.name()), ("home-office/alice", "renewals"));
        assert_eq!(MandateId::new(&mandate.grantor(), "renewals"), Ok(mandate));
        for text in
            ["", "a", "a/b", "a/b/", "/a/b", "a//b", "/a/b/c", "a/b/c/", "p/a/b/c/d", "P/a/b/c", "A/b/c", "a/b/c "]
        {
            assert!(text.parse::<MandateId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mandate_of_a_partition_says_which() {
        let public: MandateId = "home-office/alice/renewals".parse().unwrap();
        let private: MandateId = "charts/home-office/alice/renewals".parse().unwrap();
        assert_eq!((public.partition(), private.partition()), (None, Some("charts")));
        assert_eq!((private.grantor(), private.name()), (public.grantor(), "renewals"));
        assert_eq!(MandateId::within(Some("charts"), &public.grantor(), "renewals"), Ok(private.clone()));
        assert_eq!(MandateId::within(None, &public.grantor(), "renewals"), Ok(public.clone()));
        assert!(MandateId::within(Some("a/b"), &public.grantor(), "renewals").is_err());
        let (public, private) = (StateKey::mandate(&public), StateKey::mandate(&private));
        assert_eq!((public.0[0], private.0[0]), (Noun::Mandate as u8, Noun::PrivateMandate as u8));
    }
}
