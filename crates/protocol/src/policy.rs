//! Policies as transactions carry them: their ids, and changes to which are in force.

use crate::{
    cbor,
    identifier::{NameError, validate_name},
    limits::{POLICIES_PER_CHANGE_MAX, POLICY_BYTES_MAX},
    names::serde_as_text,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Which policy: `<name>`, one of the partition's, or `<register>/<name>`, one that a register's custodian made for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(String);

impl PolicyId {
    /// The whole identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The register that it is for; none for one of the partition's.
    pub fn register(&self) -> Option<&str> {
        self.0.split_once('/').map(|(register, _)| register)
    }

    /// The name within the partition or the register.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }
}

impl FromStr for PolicyId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (register, name) = text.split_once('/').map_or((None, text), |(register, name)| (Some(register), name));
        let judged = register.map_or(Ok(()), validate_name).and_then(|()| validate_name(name));
        judged.map_err(|_| NameError::Policy(text.chars().take(80).collect()))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyId({})", self.0)
    }
}

serde_as_text!(PolicyId);

impl<C> Encode<C> for PolicyId {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PolicyId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        d.str()?.parse().map_err(|error: NameError| decode::Error::message(error).at(at))
    }
}

/// A policy to put in force. In CBOR: `[id, text]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy: `id` and `text`")]
pub struct PolicyText {
    /// Its id; one that is in force under it is replaced.
    pub id: PolicyId,
    /// One Cedar policy.
    pub text: String,
}

/// A change to which policies are in force. In CBOR: `[[* policy], [* id]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// Those that begin, or replace one of the same id.
    pub put: Vec<PolicyText>,
    /// Those that end; they end before others begin.
    pub remove: Vec<PolicyId>,
}

impl<C> Encode<C> for PolicyText {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.encode(&self.id)?.str(&self.text)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PolicyText {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a policy")?;
        Ok(Self { id: d.decode()?, text: cbor::text(d, 1..=POLICY_BYTES_MAX, "a policy's text")?.to_owned() })
    }
}

impl<C> Encode<C> for PolicyChange {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?;
        cbor::write_values(e, &self.put)?;
        cbor::write_values(e, &self.remove)
    }
}

impl<'b, C> Decode<'b, C> for PolicyChange {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a change of policies")?;
        Ok(Self {
            put: cbor::values(d, 0..=POLICIES_PER_CHANGE_MAX, "the policies of a change")?,
            remove: cbor::values(d, 0..=POLICIES_PER_CHANGE_MAX, "the policies that a change ends")?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_id_says_whose_it_is() {
        let parsed =
            |text: &str| text.parse::<PolicyId>().map(|id| (id.register().map(str::to_owned), id.name().to_owned()));
        assert_eq!(parsed("custodian-writes").unwrap(), (None, "custodian-writes".into()));
        assert_eq!(parsed("country/partners").unwrap(), (Some("country".into()), "partners".into()));
        for wrong in ["", "/", "a/", "/a", "a/b/c", "A", "a b", "a//b"] {
            assert!(parsed(wrong).unwrap_err().to_string().contains("is not a policy"), "{wrong}");
        }
    }
}
