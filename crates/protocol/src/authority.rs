//! What the trust list says of a certificate authority beside its certificate.

use crate::{
    cbor,
    limits::{AUTHORITY_NAMES_MAX, AUTHORITY_POLICIES_MAX, NAME_BYTES_MAX, OBJECT_IDENTIFIER_BYTES_MAX},
    principal::Assurance,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};

/// What a certificate policy means on this network. In CBOR: `[policy, assurance]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "what a certificate policy means: `policy` and `assurance`")]
pub struct PolicyMeaning {
    /// The policy's object identifier, in dots and digits.
    pub policy: String,
    /// The level of assurance of a key that is certified under it.
    pub assurance: Assurance,
}

/// What an authority may say here. In CBOR: `[[* meaning], [* name]]`, both sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "terms of an authority: `policies` and `names`")]
pub struct AuthorityTerms {
    /// What the policies mean under which it certifies; others say nothing here.
    pub policies: Vec<PolicyMeaning>,
    /// How the names of the principals begin that it may certify; any when there are none.
    pub names: Vec<String>,
}

impl AuthorityTerms {
    /// The highest level that these policies mean.
    pub fn assurance<'a>(&self, policies: impl IntoIterator<Item = &'a str> + Clone) -> Option<Assurance> {
        let said = |meaning: &&PolicyMeaning| policies.clone().into_iter().any(|policy| policy == meaning.policy);
        self.policies.iter().filter(said).map(|meaning| meaning.assurance).max()
    }

    /// Whether the authority may certify the principal of this name.
    pub fn covers(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|prefix| name.starts_with(prefix))
    }
}

impl<C> Encode<C> for PolicyMeaning {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.policy)?.encode(self.assurance)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PolicyMeaning {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "the meaning of a policy")?;
        let at = d.position();
        let policy = cbor::text(d, 3..=OBJECT_IDENTIFIER_BYTES_MAX, "an object identifier")?;
        if !policy.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|digit| digit.is_ascii_digit())) {
            return Err(decode::Error::message("an object identifier must be digits and dots").at(at));
        }
        Ok(Self { policy: policy.to_owned(), assurance: d.decode()? })
    }
}

impl<C> Encode<C> for AuthorityTerms {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?;
        cbor::write_values(e, &self.policies)?;
        cbor::write_values(e, &self.names)
    }
}

impl<'b, C> Decode<'b, C> for AuthorityTerms {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "the terms of an authority")?;
        let at = d.position();
        let policies: Vec<PolicyMeaning> = cbor::values(d, 0..=AUTHORITY_POLICIES_MAX, "the policies of an authority")?;
        let n = cbor::list(d, 0..=AUTHORITY_NAMES_MAX, "the names of an authority")?;
        let mut names = Vec::with_capacity(n);
        for _ in 0..n {
            names.push(cbor::text(d, 1..=NAME_BYTES_MAX, "the beginning of a name")?.to_owned());
        }
        let sorted = policies.is_sorted_by(|a, b| a.policy < b.policy) && names.is_sorted_by(|a, b| a < b);
        if !sorted {
            return Err(decode::Error::message("policies and names must be sorted, each once").at(at));
        }
        Ok(Self { policies, names })
    }
}
