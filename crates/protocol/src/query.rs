//! Questions that a node answers to its own organisation alone: signed, answered at once, never ordered and never on record.
//!
//! ```text
//! signed   CBOR ["tallystick query 1", network, path and query, principal, key, not-after]
//!          of a question with a body, `#` and the SHA-256 of the body follow the path
//! token    CBOR [principal, key, not-after, signature], in hexadecimal: `Authorization: Tallystick <token>`
//! ```
//!
//! INVARIANT: a token is good for one path of one network, and not for long; it asks, and cannot be made into an act.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    identifier::PrincipalId,
    key::{KeyError, PublicKey, Signature, SigningKey},
    limits::QUERY_BYTES_MAX,
    network::NetworkId,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What separates these messages from all others.
const DOMAIN: &str = "tallystick query 1";
/// The scheme of the header, before the token.
const SCHEME: &str = "Tallystick ";

/// Who asks, and until when it may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Who.
    pub principal: PrincipalId,
    /// With which key.
    pub key: PublicKey,
    /// Until when: Unix seconds.
    pub not_after: u64,
    signature: Signature,
}

/// Why a header holds no question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is of another scheme, or no hexadecimal.
    #[error("it must be `Tallystick ` and a token in hexadecimal")]
    Header,
    /// The token is none.
    #[error(transparent)]
    Token(#[from] CborError),
}

impl Query {
    /// Signs a question for `path`, which begins with `/` and holds the query as it is sent.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        network: &NetworkId,
        path: &str,
        principal: PrincipalId,
        not_after: u64,
        key: &SigningKey,
    ) -> Result<Self, KeyError> {
        let query = Self { principal, key: key.public(), not_after, signature: [0; 64] };
        let signature = key.sign(&query.message(network, path))?;
        Ok(Self { signature, ..query })
    }

    /// Checks that its key signed it for this path of this network. Whose key it is, and whether it is in time, is asked elsewhere.
    ///
    /// # Errors
    /// When it did not.
    pub fn verify(&self, network: &NetworkId, path: &str) -> Result<(), KeyError> {
        self.key.verify(&self.message(network, path), &self.signature)
    }

    /// What is signed in place of the path of a question that has a body: names of people stand there, and in no address.
    pub fn path_with(path: &str, body: &[u8]) -> String {
        format!("{path}#{}", Hash::of(&[body]))
    }

    fn message(&self, network: &NetworkId, path: &str) -> Vec<u8> {
        cbor::encode(&Message { network, path, query: self })
    }

    /// The value of the header that it goes in.
    pub fn to_header(&self) -> String {
        format!("{SCHEME}{}", hex::encode(cbor::encode(self)))
    }

    /// Reads the value of that header.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_header(header: &str) -> Result<Self, QueryError> {
        let token = header.strip_prefix(SCHEME).filter(|token| token.len() <= 2 * QUERY_BYTES_MAX);
        let token = token.and_then(|token| hex::decode(token).ok()).ok_or(QueryError::Header)?;
        Ok(cbor::decode(&token, QUERY_BYTES_MAX)?)
    }
}

struct Message<'a> {
    network: &'a NetworkId,
    path: &'a str,
    query: &'a Query,
}

impl<C> Encode<C> for Message<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(6)?.str(DOMAIN)?.bytes(&self.network.0)?.str(self.path)?;
        e.encode(&self.query.principal)?.encode(self.query.key)?.u64(self.query.not_after)?.ok()
    }
}

impl<C> Encode<C> for Query {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(&self.principal)?.encode(self.key)?.u64(self.not_after)?.bytes(&self.signature)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Query {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a question")?;
        Ok(Self {
            principal: d.decode()?,
            key: d.decode()?,
            not_after: d.u64()?,
            signature: cbor::fixed(d, "a signature")?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// One row a question that was signed for something else.
    #[test]
    fn a_question_is_good_for_what_was_asked_alone() {
        let (network, path) = (NetworkId([7; 16]), "/v1/partitions/health/registers");
        let key = SigningKey::from_ed25519_seed(&[1; 32]);
        let query = Query::sign(&network, path, "a/clerk".parse().unwrap(), 1_000, &key).unwrap();
        let read = Query::from_header(&query.to_header()).unwrap();
        assert_eq!((&read, read.verify(&network, path)), (&query, Ok(())));
        assert!(query.verify(&NetworkId([8; 16]), path).is_err());
        let asked = Query::path_with(path, b"whom");
        let query_of_body = Query::sign(&network, &asked, "a/clerk".parse().unwrap(), 1_000, &key).unwrap();
        assert_eq!(query_of_body.verify(&network, &Query::path_with(path, b"whom")), Ok(()));
        for other in [path.to_owned(), Query::path_with(path, b"another"), Query::path_with("/", b"whom")] {
            assert!(query_of_body.verify(&network, &other).is_err(), "{other}");
        }
        assert!(query.verify(&network, "/v1/partitions/tax/registers").is_err());
        for other in [
            Query { principal: "a/chief".parse().unwrap(), ..query.clone() },
            Query { not_after: 1_001, ..query.clone() },
            Query { key: SigningKey::from_ed25519_seed(&[2; 32]).public(), ..query.clone() },
        ] {
            assert!(other.verify(&network, path).is_err());
        }
        let header = query.to_header();
        for spoilt in ["", "Tallystick", "Basic 00", "Tallystick zz", "Tallystick 00", &format!("{header}00")] {
            assert!(Query::from_header(spoilt).is_err(), "{spoilt}");
        }
        let long = format!("Tallystick {}", "0".repeat(2 * QUERY_BYTES_MAX + 2));
        assert_eq!(Query::from_header(&long), Err(QueryError::Header));
    }
}
