//! Who made an answer: a signature over all of it, with the receipt of the principal whose key it is. So what no proof in the file shows is the
//! word of somebody who is named.
//!
//! INVARIANTS:
//! - A file without a signature is no answer. What is signed is the file as it was read, with every member that is in it, whether this program
//!   knows it or not; a name that stands twice in an object is refused.
//! - The signer had the key when the newest proof in the file was made.

use super::Export;
use crate::{
    output::{Done, Failure, line, time},
    signature::signer_receipt,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};
use tallystick_client::Client;
use tallystick_protocol::{
    Genesis, Hash, PrincipalId, PublicKey, Receipt, Signed, SignedBy, SigningKey, Statement, change::words::Shown,
};

/// The member that the rest is signed with.
const MADE_BY: &str = "made_by";

/// An answer, and who signed it.
#[derive(Debug)]
pub struct Answer {
    /// What it says.
    pub export: Export,
    /// SHA-256 of all but the signature, as JSON by RFC 8785: members sorted by name, no white space.
    digest: Hash,
    made_by: Maker,
}

/// A signature over the rest of the file, and whose it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maker {
    /// The receipt of the principal, in base64.
    principal: String,
    key: PublicKey,
    /// In hexadecimal.
    signature: String,
}

impl Answer {
    /// Signs an answer as whoever makes it: the file.
    ///
    /// # Errors
    /// When what is proven in it is not so, the nodes do not show that the key is the signer's, or it does not sign.
    pub fn sign(
        client: &Client,
        (principal, key): (&PrincipalId, &SigningKey),
        genesis: &Genesis,
        export: &Export,
    ) -> Result<(Vec<u8>, SignedBy), Failure> {
        let since = export.check(genesis)?;
        let signer = signer_receipt(client, (principal, key.public()), since, genesis)?;
        let Value::Object(mut members) = serde_json::to_value(export).map_err(Failure::error)? else {
            return Err(Failure::error("an answer is a JSON object"));
        };
        let digest = digest(&members)?;
        let signed = Signed::sign(Statement::SubjectAccess, digest, signer, key).map_err(Failure::error)?;
        let by = signed.check(Statement::SubjectAccess, digest, since, genesis).map_err(Failure::error)?;
        let Signed { signer, key, signature } = signed;
        let principal = BASE64_STANDARD.encode(Receipt::Principal(signer).to_bytes());
        let made_by = Maker { principal, key, signature: hex::encode(signature) };
        members.insert(MADE_BY.to_owned(), serde_json::to_value(made_by).map_err(Failure::error)?);
        Ok((serde_json::to_vec_pretty(&members).map_err(Failure::error)?, by))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is no whole answer with a signature.
    pub fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let no_answer = |why: &dyn fmt::Display| {
            Failure::no(format!("does not hold: this is no whole answer to a request for access: {why}"))
        };
        let Once(whole) = serde_json::from_slice(bytes).map_err(|error| no_answer(&error))?;
        let Value::Object(mut members) = whole else { return Err(no_answer(&"it is no object")) };
        let made_by = members.remove(MADE_BY).ok_or_else(|| {
            no_answer(
                &"nobody signed it, or the signature was taken out. Ask whoever answered for the file as they made it",
            )
        })?;
        let made_by = serde_json::from_value(made_by).map_err(|error| no_answer(&error))?;
        let digest = digest(&members)?;
        let export = serde_json::from_value(Value::Object(members)).map_err(|error| no_answer(&error))?;
        Ok(Self { export, digest, made_by })
    }

    /// Who signed this, if all of it is as the proofs in it say.
    ///
    /// # Errors
    /// Names what is not.
    pub fn check(&self, genesis: &Genesis) -> Result<SignedBy, Failure> {
        let since = self.export.check(genesis)?;
        self.maker(since, genesis).map_err(|why| {
            Failure::no(format!(
                "does not hold: the signature of who made it: {why}; or ask {} for the answer anew",
                Shown(&self.export.organisation)
            ))
        })
    }

    fn maker(&self, since: u64, genesis: &Genesis) -> Result<SignedBy, String> {
        let Maker { principal, key, signature } = &self.made_by;
        let bytes = BASE64_STANDARD.decode(principal).map_err(|error| format!("whose it is: {error}"))?;
        let Ok(Receipt::Principal(signer)) = Receipt::decode(&bytes) else {
            return Err("whose it is: that is no receipt of a principal".to_owned());
        };
        let signature = hex::decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or("a signature has 64 bytes, in hexadecimal")?;
        let signed = Signed { signer, key: *key, signature };
        let by = signed.check(Statement::SubjectAccess, self.digest, since, genesis);
        let by = by.map_err(|reason| reason.to_string())?;
        if by.principal.organisation() != self.export.organisation {
            return Err(format!("{} signed it, who is of another organisation", by.principal));
        }
        Ok(by)
    }
}

/// SHA-256 of these members. Numbers are whole ones here.
fn digest(members: &Map<String, Value>) -> Result<Hash, Failure> {
    let members: BTreeMap<&String, Sorted<'_>> = members.iter().map(|(name, value)| (name, Sorted(value))).collect();
    Ok(Hash::of(&[&serde_json::to_vec(&members).map_err(Failure::error)?]))
}

/// JSON with its members sorted by name, whatever order they stand in.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let members: BTreeMap<&String, Self> =
                    members.iter().map(|(name, value)| (name, Self(value))).collect();
                serializer.collect_map(members)
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(Self)),
            other => other.serialize(serializer),
        }
    }
}

/// Says who signed.
///
/// # Errors
/// When nobody reads any more.
pub fn tell(by: &SignedBy) -> Done {
    let SignedBy { principal, key, height, time_ms } = by;
    line(format_args!("made by    {principal}, who signed it with key {key}"))?;
    line(format_args!("           which was theirs in block {height} of {}", time(*time_ms)))
}

/// JSON in which no name stands twice in an object: of two, one reader takes the first and another the last.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        Err(E::custom(format!("{number} is no whole number below 2^64: no answer has one")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Once(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Once(value))) = access.next_entry::<String, Once>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format!("`{}` stands there twice", Shown(&name))));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_hashed_is_the_whole_text_and_does_not_hang_on_order_or_space() {
        let read = |text: &str| {
            let Once(whole) = serde_json::from_str(text).unwrap();
            digest(whole.as_object().unwrap()).unwrap()
        };
        let canonical = r#"{"a":[1,{"b":"é","c":null}],"z":-2}"#;
        assert_eq!(read(canonical), Hash::of(&[canonical.as_bytes()]));
        assert_eq!(read(r#"{ "z": -2, "a": [1, {"c": null, "b": "\u00e9"}] }"#), read(canonical));
        assert_ne!(read(r#"{"a":[1,{"b":"é","c":null,"d":true}],"z":-2}"#), read(canonical));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"z":[{"a":{"b":"x","c":1,"b":"y"}}]}"#] {
            let refused = serde_json::from_str::<Once>(text).map(|Once(value)| value).unwrap_err();
            assert!(refused.to_string().contains("stands there twice"), "{refused}");
        }
        assert!(serde_json::from_str::<Once>(&"[".repeat(100_000)).is_err(), "nesting is bounded");
        assert!(serde_json::from_str::<Once>("[18446744073709551615, -1]").is_ok());
        for number in ["1.5", "18446744073709551616"] {
            assert!(serde_json::from_str::<Once>(number).is_err(), "{number}");
        }
    }
}
