//! Who is in the network: organisations, their principals' keys, the validators' keys and the genesis of it all.

use crate::{chance::Chance, machine::Machine};
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use std::sync::Arc;
use tallystick_client::SealingSecret;
use tallystick_node::{
    holder::{Holder, HolderKeys},
    parcels::ParcelKeys,
};
use tallystick_protocol::{
    Genesis, GenesisOrganisation, GenesisPrincipal, GenesisValidator, Hash, Intent, MandateId, Operation, ParcelSecret,
    Particulars, PrincipalId, Roles, SignedTransaction, SigningKey, limits::EPOCH_BLOCKS_MIN,
};
use zeroize::Zeroizing;

/// Principals of an organisation: one administrator, and registrars.
pub const PRINCIPALS: usize = 2;

/// A principal with its key.
#[derive(Clone)]
pub struct Member {
    /// Who it is.
    pub id: PrincipalId,
    /// What it signs with.
    pub key: Arc<SigningKey>,
}

/// As whom a node takes part in partitions, and with what.
pub struct SharingKeys {
    /// Its principal.
    pub principal: PrincipalId,
    /// That principal's key.
    pub key: SigningKey,
    /// What others encrypt to.
    pub sealing: ParcelSecret,
}

impl SharingKeys {
    /// The same with the node's vault.
    pub fn with(self, vault: Arc<Holder<Machine>>) -> ParcelKeys<Machine> {
        let Self { principal, key, sealing } = self;
        ParcelKeys { principal, key, sealing, vault }
    }
}

/// Everybody.
#[derive(Clone)]
pub struct Members {
    /// The genesis.
    pub genesis: Arc<Genesis>,
    /// Keys of the nodes, those of the first validators before those that follow.
    pub nodes: Vec<PrivateKey>,
    /// Principals, by organisation; the first of each is its administrator.
    pub principals: Vec<Vec<Member>>,
    /// Whether nodes hold what is in partitions.
    pub shares: bool,
    /// Whether nodes hold what is sealed.
    pub seals: bool,
}

impl Members {
    /// The members of a network of `validators`, one organisation each, begun at `created_ms` (Unix milliseconds); and
    /// `followers`, further nodes of the first of them.
    pub fn new(seed: u64, validators: usize, followers: usize, created_ms: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let keys: Vec<PrivateKey> = (0..validators).map(|_| PrivateKey::from_seed(chance.number())).collect();
        let principals: Vec<Vec<Member>> = (0..validators)
            .map(|organisation| (0..PRINCIPALS).map(|index| member(&mut chance, organisation, index)).collect())
            .collect();
        let mut genesis = Genesis {
            name: format!("simulated network {seed}"),
            created_ms,
            nonce: *chance.bytes(16).first_chunk().unwrap_or(&[0; 16]),
            organisations: principals.iter().enumerate().map(|(index, members)| organisation(index, members)).collect(),
            validators: keys
                .iter()
                .enumerate()
                .map(|(index, key)| GenesisValidator {
                    organisation: slug(index),
                    key: bytes_of(&key.public_key()),
                    address: String::new(),
                })
                .collect(),
            epoch_blocks: EPOCH_BLOCKS_MIN,
            rulebook: None,
        };
        genesis.sort();
        genesis.validate().expect("the simulated members make a genesis");
        let more = (0..followers).map(|_| PrivateKey::from_seed(chance.number()));
        Self {
            genesis: Arc::new(genesis),
            nodes: keys.into_iter().chain(more).collect(),
            principals,
            shares: false,
            seals: false,
        }
    }

    /// A node as the ledger lists validators.
    pub fn validator(&self, node: usize) -> GenesisValidator {
        let organisation = slug(self.organisation_of(node));
        GenesisValidator { organisation, key: bytes_of(&self.nodes[node].public_key()), address: String::new() }
    }

    /// The organisation of a node, by its number.
    pub fn organisation_of(&self, node: usize) -> usize {
        node % self.principals.len()
    }

    /// The keys with which a node holds what only some may see, where nodes do; the first one of an organisation has its number.
    pub fn holder(&self, node: usize) -> Option<SharingKeys> {
        self.shares.then(|| SharingKeys {
            principal: self.node_principal(node),
            key: SigningKey::from_ed25519_seed(&self.of_node(node, b"key")),
            sealing: ParcelSecret::from_bytes(&Zeroizing::new(self.of_node(node, b"sealing"))).expect("32 bytes"),
        })
    }

    /// The keys with which a node holds what is sealed, where nodes do.
    pub fn vault(&self, node: usize) -> Option<HolderKeys> {
        (self.seals || self.shares).then(|| HolderKeys {
            principal: self.node_principal(node),
            key: SigningKey::from_ed25519_seed(&self.of_node(node, b"key")),
            sealing: SealingSecret::from_bytes(Zeroizing::new(self.of_node(node, b"sealing"))),
        })
    }

    /// As whom a node signs.
    fn node_principal(&self, node: usize) -> PrincipalId {
        let name = if node < self.principals.len() { "node".to_owned() } else { format!("node-{node}") };
        PrincipalId::new(&slug(self.organisation_of(node)), &name).expect("slugs")
    }

    /// Bytes that a node has for this purpose.
    fn of_node(&self, node: usize, what: &[u8]) -> [u8; 32] {
        Hash::of(&[what, self.genesis.nonce.as_slice(), &[u8::try_from(node).unwrap_or_default()]]).0
    }

    /// Whether the node is a validator from the beginning.
    pub fn is_founder(&self, node: usize) -> bool {
        node < self.genesis.validators.len()
    }

    /// The public keys of the nodes, by node.
    pub fn keys(&self) -> Vec<PublicKey> {
        self.nodes.iter().map(|key| key.public_key()).collect()
    }

    /// A transaction of a principal.
    pub fn sign(&self, member: &Member, not_after: u64, key: Vec<u8>, operations: Vec<Operation>) -> SignedTransaction {
        self.sign_under(member, None, (not_after, key), operations)
    }

    /// As [`Members::sign`], under a mandate if there is one.
    pub fn sign_under(
        &self,
        member: &Member,
        mandate: Option<&MandateId>,
        (not_after, key): (u64, Vec<u8>),
        operations: Vec<Operation>,
    ) -> SignedTransaction {
        let intent = Intent {
            not_after,
            idempotency_key: key,
            mandate: mandate.cloned(),
            ..Intent::new(self.genesis.id(), member.id.clone(), "simulation", operations)
        };
        intent.sign(&member.key).expect("the simulated intent is valid")
    }
}

fn slug(organisation: usize) -> String {
    format!("organisation-{organisation}")
}

fn member(chance: &mut Chance, organisation: usize, index: usize) -> Member {
    let name = if index == 0 { "administrator".to_owned() } else { format!("registrar-{index}") };
    let seed: [u8; 32] = *chance.bytes(32).first_chunk().unwrap_or(&[0; 32]);
    // Ed25519 throughout: a P-256 signature holds randomness of the machine's, so that no two runs would be the same.
    let key = SigningKey::from_ed25519_seed(&seed);
    Member { id: PrincipalId::new(&slug(organisation), &name).expect("slugs"), key: Arc::new(key) }
}

fn organisation(index: usize, members: &[Member]) -> GenesisOrganisation {
    let principal = |(place, member): (usize, &Member)| {
        let roles = if place == 0 { Roles::administrator() } else { Roles::registrar() };
        GenesisPrincipal::person(member.id.name(), roles, member.key.public())
    };
    GenesisOrganisation {
        id: slug(index),
        name: format!("Organisation {index}"),
        particulars: Particulars::default(),
        principals: members.iter().enumerate().map(principal).collect(),
    }
}

fn bytes_of(key: &PublicKey) -> [u8; 32] {
    key.as_ref().try_into().expect("an Ed25519 key has 32 bytes")
}
