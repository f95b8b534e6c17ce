//! What an organisation is to the network: where its membership stands, and its particulars, by which it is found outside.

use crate::{
    cbor,
    identifier::shown,
    limits::{CONTACT_BYTES_MAX, LEGAL_NAME_BYTES_MAX, REGISTRATION_NUMBER_BYTES_MAX, REGISTRATION_SCHEME_BYTES_MAX},
    names::{names, serde_as_text},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

names! {
    /// Where an organisation's membership stands.
    pub enum OrganisationStatus, "status of an organisation" {
        /// A member that acts and votes.
        Active = "active",
        /// A member whose principals' acts are refused.
        Suspended = "suspended",
        /// No member any more, for good.
        Expelled = "expelled",
    }
}

/// Who an organisation is in law, and how it is reached; what is not known is left out. In CBOR: an array of the fields in
/// this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Particulars {
    /// Its name in law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_name: Option<String>,
    /// Where it is registered, and as what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// Whose law it is under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<Jurisdiction>,
    /// How it is reached: an address of an office, never of a person, for every node keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// Why these are no particulars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParticularsError {
    /// Empty, too long, or not in one line.
    #[error("{what} must be a line of 1 to {bytes_max} bytes that begins and ends with a visible character")]
    Line {
        /// Of what.
        what: &'static str,
        /// Most bytes.
        bytes_max: usize,
    },
    /// Not a registration.
    #[error(
        "`{0}` is not a registration: write a code of org-id.guide, `-` and the number in that register, such as \
         GB-COH-00445790"
    )]
    Registration(String),
    /// Not a jurisdiction.
    #[error(
        "`{0}` is not a jurisdiction: write the ISO 3166 code of a country, or of a part of one, such as GB or GB-SCT"
    )]
    Jurisdiction(String),
}

impl Particulars {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what its parts do not check themselves.
    ///
    /// # Errors
    /// The first problem, with its remedy.
    pub fn validate(&self) -> Result<(), ParticularsError> {
        self.legal_name.as_deref().map_or(Ok(()), validate_legal_name)?;
        self.contact.as_deref().map_or(Ok(()), validate_contact)
    }
}

/// Checks the name in law of an organisation.
///
/// # Errors
/// When it is empty, too long, or not in one line.
pub fn validate_legal_name(name: &str) -> Result<(), ParticularsError> {
    line(name, "a legal name", LEGAL_NAME_BYTES_MAX)
}

/// Checks how an organisation is reached.
///
/// # Errors
/// When it is empty, too long, or not in one line.
pub fn validate_contact(contact: &str) -> Result<(), ParticularsError> {
    line(contact, "a contact", CONTACT_BYTES_MAX)
}

/// Whether a letter makes a text look like another: it controls a terminal, begins a line, or turns the direction of writing.
pub(crate) fn hides(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn line(text: &str, what: &'static str, bytes_max: usize) -> Result<(), ParticularsError> {
    let is_line = (1..=bytes_max).contains(&text.len()) && text.trim() == text && !text.contains(hides);
    if is_line { Ok(()) } else { Err(ParticularsError::Line { what, bytes_max }) }
}

/// Where an organisation is registered, and as what: `GB-COH-00445790`, the register's code of org-id.guide, and the number
/// in that register.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registration(String);

impl Registration {
    /// The register's code: `GB-COH`.
    pub fn scheme(&self) -> &str {
        split_registration(&self.0).map_or("", |(scheme, _)| scheme)
    }

    /// The number in that register: `00445790`.
    pub fn number(&self) -> &str {
        split_registration(&self.0).map_or("", |(_, number)| number)
    }

    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts before and after the second `-`.
fn split_registration(text: &str) -> Option<(&str, &str)> {
    let (second, _) = text.match_indices('-').nth(1)?;
    Some((text.get(..second)?, text.get(second + 1..)?))
}

impl FromStr for Registration {
    type Err = ParticularsError;

    fn from_str(text: &str) -> Result<Self, ParticularsError> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        let is_registration = split_registration(text).is_some_and(|(scheme, number)| {
            scheme.len() <= REGISTRATION_SCHEME_BYTES_MAX
                && scheme.split('-').all(is_part)
                && line(number, "", REGISTRATION_NUMBER_BYTES_MAX).is_ok()
        });
        if is_registration { Ok(Self(text.to_owned())) } else { Err(ParticularsError::Registration(shown(text))) }
    }
}

/// Whose law an organisation is under: an ISO 3166-1 code of two letters, or an ISO 3166-2 code. That one is assigned is not
/// checked: codes come and go.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction(String);

impl Jurisdiction {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the other one is this one, or a part of it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl FromStr for Jurisdiction {
    type Err = ParticularsError;

    fn from_str(text: &str) -> Result<Self, ParticularsError> {
        let (country, part) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let is_part = |part: &str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        if is_country && part.is_none_or(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParticularsError::Jurisdiction(shown(text)))
        }
    }
}

/// What a text with a grammar needs to be shown, and written and read in CBOR and JSON.
macro_rules! as_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.0)
            }
        }

        impl<C> Encode<C> for $type {
            fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $type {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let at = d.position();
                d.str()?.parse().map_err(|error: ParticularsError| decode::Error::message(error).at(at))
            }
        }

        serde_as_text!($type);
    };
}

as_text!(Registration);
as_text!(Jurisdiction);

/// Reads a text that `check` accepts.
fn checked(d: &mut Decoder<'_>, check: fn(&str) -> Result<(), ParticularsError>) -> Result<String, decode::Error> {
    let at = d.position();
    let text = d.str()?;
    check(text).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(text.to_owned())
}

/// Reads a name in law.
pub(crate) fn legal_name(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    checked(d, validate_legal_name)
}

/// Reads how an organisation is reached.
pub(crate) fn contact(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    checked(d, validate_contact)
}

impl<C> Encode<C> for Particulars {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Self { legal_name, registration, jurisdiction, contact } = self;
        e.array(4)?.encode(legal_name.as_deref())?.encode(registration)?.encode(jurisdiction)?;
        e.encode(contact.as_deref())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Particulars {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "the particulars of an organisation")?;
        Ok(Self {
            legal_name: cbor::optional(d, legal_name)?,
            registration: cbor::optional(d, |d| d.decode())?,
            jurisdiction: cbor::optional(d, |d| d.decode())?,
            contact: cbor::optional(d, contact)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_registration_is_a_register_and_a_number() {
        let registration: Registration = "GB-COH-SC-123 456".parse().unwrap();
        assert_eq!((registration.scheme(), registration.number()), ("GB-COH", "SC-123 456"));
        for text in ["XI-LEI-213800D1EI4B9WTWWD28", "CA-CRA_ACR-1", "CA_BC-BCR-7"] {
            assert_eq!(text.parse::<Registration>().unwrap().as_str(), text);
        }
        let long = format!("GB-COH-{}", "1".repeat(REGISTRATION_NUMBER_BYTES_MAX + 1));
        for text in ["", "GB", "GB-COH", "GB-COH-", "GB--1", "gb-coh-1", "GB-COH- 1", "GB-COH-1\n", "-COH-1", &long] {
            assert!(text.parse::<Registration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_jurisdiction_is_a_country_or_a_part_of_one() {
        for text in ["GB", "GB-SCT", "US-CA", "FR-75"] {
            assert_eq!(text.parse::<Jurisdiction>().unwrap().as_str(), text);
        }
        for text in ["", "G", "gb", "GBR", "GB-", "GB-scot", "GB-SCOT", "826"] {
            assert!(text.parse::<Jurisdiction>().is_err(), "{text}");
        }
    }

    #[test]
    fn particulars_are_lines_that_look_like_what_they_are() {
        let named = |name: &str| Particulars { legal_name: Some(name.to_owned()), ..Particulars::default() };
        assert!(named("Société générale d’édition, S.A.").validate().is_ok());
        for name in ["", " A", "A ", "A\nB", "A\u{202e}B", "A\u{2028}B", &"x".repeat(LEGAL_NAME_BYTES_MAX + 1)] {
            assert!(named(name).validate().is_err(), "{name:?}");
            let bytes = cbor::encode(&named(name));
            assert!(cbor::decode::<Particulars>(&bytes, bytes.len()).is_err(), "{name:?}");
        }
        let contact = Particulars { contact: Some("A\tB".to_owned()), ..Particulars::default() };
        assert_eq!(
            contact.validate().unwrap_err().to_string(),
            "a contact must be a line of 1 to 256 bytes that begins and ends with a visible character"
        );
    }
}
