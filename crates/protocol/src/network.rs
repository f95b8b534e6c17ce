//! The network: its genesis, its id, and who must sign a block. `network.json` is the trust anchor of every receipt.

use crate::{
    cbor,
    hash::{Hash, HexError, from_hex},
    key::{KeyError, PublicKey},
    limits::{
        ADDRESS_BYTES_MAX, EPOCH_BLOCKS_MAX, EPOCH_BLOCKS_MIN, GENESIS_PRINCIPALS_MAX, ORGANISATIONS_MAX,
        TEXT_BYTES_MAX, VALIDATORS_MAX,
    },
    names::serde_as_text,
    operation::{NameError, validate_name},
    organisation::{Particulars, ParticularsError},
    principal::{PrincipalKind, Roles},
    rulebook::{Rulebook, RulebookError},
    validators::{ValidatorSet, is_address},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// First 16 bytes of the SHA-256 of the genesis' deterministic CBOR. As text: 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NetworkId(pub [u8; 16]);

impl NetworkId {
    /// What separates this network's consensus signatures from those of every other.
    pub fn consensus_namespace(&self) -> Vec<u8> {
        [b"tallystick-consensus-".as_slice(), &self.0].concat()
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        // Two digits a byte: the buffer fits.
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkId({self})")
    }
}

impl FromStr for NetworkId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

serde_as_text!(NetworkId);

impl<C> Encode<C> for NetworkId {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for NetworkId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::fixed(d, "a network id").map(Self)
    }
}

/// Who starts a network, and who orders it: the content of `network.json`.
///
/// INVARIANT (of a valid one): organisations are sorted by id, principals by name, validators by key, so that the same
/// members make the same network. [`Genesis::sort`] brings that about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// What people call the network.
    pub name: String,
    /// When it was made, in Unix milliseconds: no block is earlier.
    pub created_ms: u64,
    /// Randomness, so that equal members can make another network.
    #[serde(with = "hex_bytes")]
    pub nonce: [u8; 16],
    /// The member organisations.
    pub organisations: Vec<GenesisOrganisation>,
    /// The validators of the first epochs.
    pub validators: Vec<GenesisValidator>,
    /// Blocks of an epoch: the validators change at its end and not before.
    pub epoch_blocks: u64,
    /// How the network's order changes; the default rulebook when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rulebook: Option<Rulebook>,
}

/// A member organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an organisation: `id`, `name` and `principals`")]
pub struct GenesisOrganisation {
    /// Its id: a slug.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Who it is in law, and how it is reached.
    #[serde(default, skip_serializing_if = "Particulars::is_empty")]
    pub particulars: Particulars,
    /// Its first principals; at least one administrator.
    pub principals: Vec<GenesisPrincipal>,
}

/// A principal of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a principal: `name`, `roles` and `key`")]
pub struct GenesisPrincipal {
    /// Its name within the organisation: a slug.
    pub name: String,
    /// What it is; a person when the file does not say.
    #[serde(default = "person")]
    pub kind: PrincipalKind,
    /// What it is to its organisation.
    pub roles: Roles,
    /// Its first key.
    pub key: PublicKey,
}

const fn person() -> PrincipalKind {
    PrincipalKind::Person
}

impl GenesisPrincipal {
    /// A person with its first key.
    pub fn person(name: impl Into<String>, roles: Roles, key: PublicKey) -> Self {
        Self { name: name.into(), kind: PrincipalKind::Person, roles, key }
    }
}

/// A validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a validator: `organisation` and `key`")]
pub struct GenesisValidator {
    /// The organisation that runs it.
    pub organisation: String,
    /// Its Ed25519 key.
    #[serde(with = "ed25519_key")]
    pub key: [u8; 32],
    /// Where others dial it (`node.example.org:9000`); empty when each of them is told by its own configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// Why a genesis cannot start a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// A display name is empty or too long.
    #[error("the name of {0} is empty or longer than {TEXT_BYTES_MAX} bytes: give it a short one")]
    Title(String),
    /// An id or name breaks the grammar.
    #[error("{what}: {error}")]
    Name {
        /// Whose name.
        what: String,
        /// What is wrong.
        error: NameError,
    },
    /// Particulars that cannot be.
    #[error("organisation {organisation}: {error}")]
    Particulars {
        /// Whose.
        organisation: String,
        /// What is wrong.
        error: ParticularsError,
    },
    /// Too few or too many of something.
    #[error("{what}: {count}, must be {min} to {max}: add or remove some")]
    Count {
        /// Of what.
        what: String,
        /// How many there are.
        count: usize,
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// A list is not sorted, or holds the same thing twice.
    #[error("{0} are not sorted, or one occurs twice: remove the repetition and assemble the genesis again")]
    Order(String),
    /// An organisation nobody could administer.
    #[error("organisation {0} has no administrator: give one of its principals that role")]
    NoAdministrator(String),
    /// A validator of nobody.
    #[error("validator {key} belongs to organisation `{organisation}`, which is not listed: list it")]
    NoOrganisation {
        /// The validator's key.
        key: String,
        /// The organisation it names.
        organisation: String,
    },
    /// An address that nobody can dial.
    #[error("`{address}` is no address of validator {key}: write `192.0.2.1:9000` or `node.example.org:9000`")]
    Address {
        /// The validator's key.
        key: String,
        /// The address.
        address: String,
    },
    /// A key that cannot be used.
    #[error("key of {who}: {error}")]
    Key {
        /// Whose key.
        who: String,
        /// What is wrong.
        error: KeyError,
    },
    /// One key in two places.
    #[error("key {key} of {who} is used elsewhere too: make a new key")]
    KeyTwice {
        /// The key.
        key: String,
        /// One of its places.
        who: String,
    },
    /// A rulebook that cannot be used.
    #[error("the rulebook: {0}")]
    Rulebook(RulebookError),
    /// Not JSON of this shape.
    #[error("not a network file: {0}: use the `network.json` that the network was made with")]
    Json(String),
}

impl Genesis {
    /// Reads and validates `network.json`.
    ///
    /// # Errors
    /// When it is not JSON of this shape, or [`Genesis::validate`] refuses it; the first problem is given.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = serde_json::from_slice(json).map_err(|error| GenesisError::Json(error.to_string()))?;
        match genesis.validate() {
            Ok(()) => Ok(genesis),
            Err(problems) => Err(problems.into_iter().next().unwrap_or(GenesisError::Json("no content".into()))),
        }
    }

    /// `network.json`: indented, with a newline at the end.
    pub fn to_json(&self) -> String {
        match serde_json::to_string_pretty(self) {
            Ok(json) => json + "\n",
            Err(error) => unreachable!("a genesis is plain data: {error}"),
        }
    }

    /// The network's id.
    pub fn id(&self) -> NetworkId {
        let Hash(hash) = Hash::of(&[&cbor::encode(self)]);
        NetworkId(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The validators of the first epochs; none when there are none, too many, or one twice, which
    /// [`Genesis::validate`] rules out.
    pub fn validator_set(&self) -> Option<ValidatorSet> {
        ValidatorSet::new(self.validators.iter().map(|validator| validator.key).collect())
    }

    /// Signatures that certify a block of the first epochs.
    pub fn quorum(&self) -> usize {
        self.validator_set().map_or(0, |validators| validators.quorum())
    }

    /// Sorts what must be sorted.
    pub fn sort(&mut self) {
        self.organisations.sort_by(|a, b| a.id.cmp(&b.id));
        for organisation in &mut self.organisations {
            organisation.principals.sort_by(|a, b| a.name.cmp(&b.name));
        }
        self.validators.sort_by_key(|validator| validator.key);
    }

    /// Checks everything a network relies on.
    ///
    /// # Errors
    /// Every problem found, each with its remedy.
    pub fn validate(&self) -> Result<(), Vec<GenesisError>> {
        let mut problems = Vec::new();
        check_title(&mut problems, "the network", &self.name);
        check_count(&mut problems, "organisations", self.organisations.len(), ORGANISATIONS_MAX);
        check_count(&mut problems, "validators", self.validators.len(), VALIDATORS_MAX);
        let epoch_blocks = usize::try_from(self.epoch_blocks).unwrap_or(usize::MAX);
        let (fewest, most) = (EPOCH_BLOCKS_MIN as usize, EPOCH_BLOCKS_MAX as usize);
        if !(fewest..=most).contains(&epoch_blocks) {
            let what = "blocks of an epoch".to_owned();
            problems.push(GenesisError::Count { what, count: epoch_blocks, min: fewest, max: most });
        }
        check_order(&mut problems, "organisations", self.organisations.iter().map(|o| &o.id));
        check_order(&mut problems, "validators", self.validators.iter().map(|v| v.key));
        for organisation in &self.organisations {
            organisation.check(&mut problems);
        }
        for validator in &self.validators {
            self.check_validator(&mut problems, validator);
        }
        self.check_keys_distinct(&mut problems);
        match self.rulebook.as_ref().map(|rulebook| (rulebook, rulebook.validate())) {
            Some((_, Err(error))) => problems.push(GenesisError::Rulebook(error)),
            Some((rulebook, Ok(()))) if !rulebook.can_change_by(self.organisations.iter().map(|o| o.id.as_str())) => {
                problems.push(GenesisError::Rulebook(RulebookError::Electorate));
            }
            _ => {}
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn check_validator(&self, problems: &mut Vec<GenesisError>, validator: &GenesisValidator) {
        let key = PublicKey::Ed25519(validator.key);
        if !self.organisations.iter().any(|o| o.id == validator.organisation) {
            let organisation = validator.organisation.clone();
            problems.push(GenesisError::NoOrganisation { key: key.to_string(), organisation });
        }
        if !validator.address.is_empty() && !is_address(&validator.address) {
            let address = validator.address.clone();
            problems.push(GenesisError::Address { key: key.to_string(), address });
        }
        if let Err(error) = key.validate() {
            problems.push(GenesisError::Key { who: format!("a validator of {}", validator.organisation), error });
        }
    }

    fn check_keys_distinct(&self, problems: &mut Vec<GenesisError>) {
        let validators =
            self.validators.iter().map(|v| (PublicKey::Ed25519(v.key), format!("a validator of {}", v.organisation)));
        let principals = self
            .organisations
            .iter()
            .flat_map(|o| o.principals.iter().map(move |p| (p.key, format!("{}/{}", o.id, p.name))));
        let mut keys: Vec<(PublicKey, String)> = validators.chain(principals).collect();
        keys.sort();
        for (one, next) in keys.iter().zip(keys.iter().skip(1)) {
            if one.0 == next.0 {
                problems.push(GenesisError::KeyTwice { key: one.0.to_string(), who: next.1.clone() });
            }
        }
    }
}

impl GenesisOrganisation {
    fn check(&self, problems: &mut Vec<GenesisError>) {
        let what = format!("organisation {}", self.id);
        if let Err(error) = validate_name(&self.id) {
            problems.push(GenesisError::Name { what: "organisation".into(), error });
        }
        check_title(problems, &what, &self.name);
        if let Err(error) = self.particulars.validate() {
            problems.push(GenesisError::Particulars { organisation: self.id.clone(), error });
        }
        check_count(problems, &format!("principals of {what}"), self.principals.len(), GENESIS_PRINCIPALS_MAX);
        check_order(problems, &format!("principals of {what}"), self.principals.iter().map(|p| &p.name));
        if !self.principals.iter().any(|p| p.roles.is_administrator()) {
            problems.push(GenesisError::NoAdministrator(self.id.clone()));
        }
        for principal in &self.principals {
            if let Err(error) = validate_name(&principal.name) {
                problems.push(GenesisError::Name { what: format!("principal of {what}"), error });
            }
            if let Err(error) = principal.key.validate() {
                problems.push(GenesisError::Key { who: format!("{}/{}", self.id, principal.name), error });
            }
        }
    }
}

fn check_title(problems: &mut Vec<GenesisError>, what: &str, title: &str) {
    if title.is_empty() || title.len() > TEXT_BYTES_MAX {
        problems.push(GenesisError::Title(what.to_owned()));
    }
}

fn check_count(problems: &mut Vec<GenesisError>, what: &str, count: usize, max: usize) {
    if !(1..=max).contains(&count) {
        problems.push(GenesisError::Count { what: what.to_owned(), count, min: 1, max });
    }
}

fn check_order<T: Ord>(problems: &mut Vec<GenesisError>, what: &str, items: impl Iterator<Item = T>) {
    if !items.is_sorted_by(|a, b| a < b) {
        problems.push(GenesisError::Order(what.to_owned()));
    }
}

impl<C> Encode<C> for Genesis {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(6 + u64::from(self.rulebook.is_some()))?.str(&self.name)?.u64(self.created_ms)?.bytes(&self.nonce)?;
        cbor::write_values(e, &self.organisations)?;
        cbor::write_values(e, &self.validators)?;
        e.u64(self.epoch_blocks)?;
        // Left out rather than null: a network without one keeps the id that it would have had.
        self.rulebook.as_ref().map_or(Ok(()), |rulebook| e.encode(rulebook)?.ok())
    }
}

impl<C> Encode<C> for GenesisOrganisation {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let is_known = !self.particulars.is_empty();
        e.array(3 + u64::from(is_known))?.str(&self.id)?.str(&self.name)?;
        cbor::write_values(e, &self.principals)?;
        // Left out rather than null: a network without them keeps the id that it would have had.
        if is_known { e.encode(&self.particulars)?.ok() } else { Ok(()) }
    }
}

impl<'b, C> Decode<'b, C> for GenesisOrganisation {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let parts = cbor::list(d, 3..=4, "an organisation")?;
        Ok(Self {
            id: slug(d)?,
            name: cbor::text(d, 1..=TEXT_BYTES_MAX, "the name of an organisation")?.to_owned(),
            principals: cbor::values(d, 1..=GENESIS_PRINCIPALS_MAX, "the principals of an organisation")?,
            particulars: if parts > 3 { d.decode()? } else { Particulars::default() },
        })
    }
}

impl<C> Encode<C> for GenesisPrincipal {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.str(&self.name)?.encode(self.kind)?.encode(&self.roles)?.encode(self.key)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for GenesisPrincipal {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a principal")?;
        Ok(Self { name: slug(d)?, kind: d.decode()?, roles: d.decode()?, key: d.decode()? })
    }
}

impl<C> Encode<C> for GenesisValidator {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.str(&self.organisation)?.bytes(&self.key)?.str(&self.address)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for GenesisValidator {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a validator")?;
        let (organisation, key) = (slug(d)?, cbor::fixed(d, "a validator's key")?);
        let at = d.position();
        let address = cbor::text(d, 0..=ADDRESS_BYTES_MAX, "an address")?;
        if !address.is_empty() && !is_address(address) {
            return Err(decode::Error::message("an address must be `host:port`").at(at));
        }
        Ok(Self { organisation, key, address: address.to_owned() })
    }
}

fn slug(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

/// 16 bytes as 32 lower-case hexadecimal digits.
mod hex_bytes {
    use super::from_hex;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        from_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An Ed25519 key in the text form of public keys.
mod ed25519_key {
    use super::PublicKey;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(key: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        PublicKey::Ed25519(*key).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        match PublicKey::deserialize(deserializer)? {
            PublicKey::Ed25519(key) => Ok(key),
            PublicKey::P256(_) => Err(D::Error::custom("a validator's key must be an Ed25519 key: make one")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::{
        key::SigningKey,
        rulebook::{VoteWeight, Weight},
    };

    fn genesis() -> Genesis {
        let key = |n: u8| SigningKey::from_ed25519_seed(&[n; 32]).public();
        let mut genesis = Genesis {
            name: "Four".into(),
            created_ms: 1_790_000_000_000,
            nonce: [1; 16],
            organisations: ["a", "b", "c", "d"]
                .iter()
                .zip(1..)
                .map(|(id, n)| GenesisOrganisation {
                    id: (*id).into(),
                    name: id.to_uppercase(),
                    particulars: Particulars::default(),
                    principals: vec![
                        GenesisPrincipal::person("admin", Roles::administrator(), key(n)),
                        GenesisPrincipal::person("clerk", Roles::registrar(), key(n + 100)),
                    ],
                })
                .collect(),
            validators: ["a", "b", "c", "d"]
                .iter()
                .zip(201..)
                .map(|(id, n)| {
                    let PublicKey::Ed25519(key) = key(n) else { unreachable!() };
                    GenesisValidator { organisation: (*id).into(), key, address: String::new() }
                })
                .collect(),
            epoch_blocks: 100,
            rulebook: None,
        };
        genesis.sort();
        genesis
    }

    #[test]
    fn the_file_is_read_back_and_keeps_its_id() {
        let genesis = genesis();
        assert_eq!(genesis.validate(), Ok(()));
        let json = genesis.to_json();
        assert!(json.contains("\"ed25519:") && json.contains("\"administrator\""), "{json}");
        assert_eq!(Genesis::from_json(json.as_bytes()), Ok(genesis.clone()));
        let other = Genesis { nonce: [2; 16], ..genesis.clone() };
        assert_ne!(other.id(), genesis.id());
        let text = genesis.id().to_string();
        assert_eq!((text.len(), text.parse()), (32, Ok(genesis.id())));
        for broken in [&json[1..], &json.replace("nonce", "nonces"), &json.replace("administrator", "Boss")] {
            assert!(matches!(Genesis::from_json(broken.as_bytes()), Err(GenesisError::Json(_))));
        }
    }

    /// One row an error, with what it must name.
    #[test]
    fn every_problem_is_named_with_its_remedy() {
        type Spoil = fn(&mut Genesis);
        let rows: &[(Spoil, &str)] = &[
            (|g| g.name.clear(), "the name of the network is empty"),
            (|g| g.organisations.clear(), "organisations: 0, must be 1 to 1000"),
            (|g| g.validators.clear(), "validators: 0, must be 1 to 100"),
            (|g| g.organisations.swap(0, 1), "organisations are not sorted"),
            (|g| g.validators.swap(0, 1), "validators are not sorted"),
            (|g| g.organisations[1].principals.swap(0, 1), "principals of organisation b are not sorted"),
            (|g| g.organisations[2].id = "C".into(), "`C` is not a name"),
            (|g| g.organisations[0].principals[0].name = "a b".into(), "`a b` is not a name"),
            (|g| g.organisations[3].principals[0].roles = Roles::registrar(), "organisation d has no administrator"),
            (|g| g.validators[0].organisation = "x".into(), "organisation `x`, which is not listed"),
            (|g| g.validators[0].key = [0; 32], "small order"),
            (|g| g.validators[0].address = "nowhere".into(), "`nowhere` is no address"),
            (|g| g.rulebook = Some(Rulebook { rules: Vec::new(), ..Rulebook::default() }), "one rule for each kind"),
            (
                |g| {
                    let mut rulebook = Rulebook::default();
                    rulebook.rules.iter_mut().for_each(|rule| rule.weight = Weight::Listed);
                    let weight = |o: &GenesisOrganisation| VoteWeight { organisation: o.id.clone(), votes: 0 };
                    rulebook.weights = g.organisations.iter().map(weight).collect();
                    g.rulebook = Some(rulebook);
                },
                "no member has a vote on the rulebook",
            ),
            (|g| g.epoch_blocks = 1, "blocks of an epoch: 1, must be 20 to 1000000"),
            (|g| g.organisations[0].principals[0].key = PublicKey::P256([9; 33]), "not a point"),
            (|g| g.organisations[0].principals[0].key = g.organisations[1].principals[0].key, "is used elsewhere too"),
        ];
        for (spoil, expected) in rows {
            let mut genesis = genesis();
            spoil(&mut genesis);
            let problems = genesis.validate().unwrap_err();
            let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(shown.iter().any(|problem| problem.contains(expected)), "{expected}: {shown:?}");
            assert!(shown.iter().all(|problem| problem.contains(": ")), "a remedy follows: {shown:?}");
        }
    }
}
