//! The key a node is known and votes by, and the scheme of votes: the engine's own Ed25519, with the signing elsewhere.
//!
//! The engine's scheme takes a private key into memory. This one takes whatever signs, a key in an HSM included, and leaves
//! everything that judges votes and certificates to the engine's.
//!
//! INVARIANT: what is signed, and every byte on the wire and in certificates, is that of `simplex::scheme::ed25519`.

use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::simplex::{scheme::Namespace, types::Subject};
use commonware_cryptography::{
    Digest, Signer,
    certificate::{self, AssemblyError, Attestation, Membership, Subject as _, Verification, verify_then_assemble},
    ed25519::{
        PrivateKey, PublicKey, Signature,
        certificate::{Certificate, Generic},
    },
};
use commonware_math::algebra::Random;
use commonware_parallel::Strategy;
use commonware_utils::{
    N3f1, Participant,
    iter::NonEmpty,
    ordered::{Quorum as _, Set},
    union_unique,
};
use rand_core::CryptoRng;
use std::{fmt, sync::Arc};
use tallystick_protocol::SigningKey;

/// The Ed25519 key of a node, in memory or elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct NodeKey {
    public: PublicKey,
    key: Arc<SigningKey>,
}

impl NodeKey {
    /// The node's key; `None` when it is not an Ed25519 key.
    pub fn new(key: SigningKey) -> Option<Self> {
        let tallystick_protocol::PublicKey::Ed25519(bytes) = key.public() else { return None };
        Some(Self { public: PublicKey::decode(Bytes::copy_from_slice(&bytes)).ok()?, key: Arc::new(key) })
    }

    /// The signature; `None` when what holds the key does not sign, which it tells on its own.
    fn try_sign(&self, namespace: &[u8], message: &[u8]) -> Option<Signature> {
        let signature = self.key.sign(&union_unique(namespace, message)).ok()?;
        Signature::decode(Bytes::copy_from_slice(&signature)).ok()
    }
}

impl Random for NodeKey {
    fn random(rng: impl CryptoRng) -> Self {
        PrivateKey::random(rng).into()
    }
}

impl From<PrivateKey> for NodeKey {
    fn from(key: PrivateKey) -> Self {
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip(key.encode().as_ref()) {
            *to = *from;
        }
        Self { public: key.public_key(), key: Arc::new(SigningKey::from_ed25519_seed(&seed)) }
    }
}

/// For the handshake with peers, which the engine signs without asking whether it can be done.
impl Signer for NodeKey {
    type Signature = Signature;
    type PublicKey = PublicKey;

    fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    fn sign(&self, namespace: &[u8], message: &[u8]) -> Signature {
        // Another key's signature: the peer refuses the handshake, and the node tries again.
        self.try_sign(namespace, message).unwrap_or_else(|| PrivateKey::from_seed(0).sign(namespace, message))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey(secret of {})", self.public)
    }
}

/// The signature scheme of votes and certificates: Ed25519, one signature a validator.
#[derive(Clone, Debug)]
pub struct Scheme {
    engine: Generic<Namespace>,
    signer: Option<(Participant, NodeKey)>,
}

impl Scheme {
    /// A scheme that votes with `key`; `None` when it is not one of the validators'.
    pub fn signer(namespace: &[u8], validators: Set<PublicKey>, key: impl Into<NodeKey>) -> Option<Self> {
        let key = key.into();
        let index = validators.index(&key.public)?;
        Some(Self { signer: Some((index, key)), ..Self::verifier(namespace, validators) })
    }

    /// The same, casting no votes.
    pub fn observer(&self) -> Self {
        Self { signer: None, ..self.clone() }
    }

    /// A scheme that checks votes and casts none.
    pub fn verifier(namespace: &[u8], validators: Set<PublicKey>) -> Self {
        Self { engine: Generic::verifier(namespace, validators), signer: None }
    }
}

impl certificate::Verifier for Scheme {
    type Subject<'a, D: Digest> = Subject<'a, D>;
    type Faults = N3f1;
    type PublicKey = PublicKey;
    type Certificate = Certificate;

    fn verify_certificate<R: CryptoRng, D: Digest>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        certificate: &Certificate,
        strategy: &impl Strategy,
    ) -> bool {
        self.engine.verify_certificate::<Self, _>(rng, subject, certificate, strategy)
    }

    fn verify_certificates<'a, R, D, I>(&self, rng: &mut R, certificates: NonEmpty<I>, strategy: &impl Strategy) -> bool
    where
        R: CryptoRng,
        D: Digest,
        I: Iterator<Item = (Subject<'a, D>, &'a Certificate)>,
    {
        self.engine.verify_certificates::<Self, _, _, _>(rng, certificates, strategy)
    }

    fn is_batchable() -> bool {
        Generic::<Namespace>::is_batchable()
    }

    fn max_certificate_size(participants: u32) -> usize {
        Generic::<Namespace>::max_certificate_size(participants)
    }

    fn certificate_codec_config(&self) -> usize {
        self.engine.certificate_codec_config()
    }

    fn certificate_codec_config_unbounded() -> usize {
        Generic::<Namespace>::certificate_codec_config_unbounded()
    }
}

impl certificate::Scheme for Scheme {
    type Signature = Signature;

    fn me(&self) -> Option<Membership> {
        self.signer.as_ref().map(|(index, _)| Membership::Signer(*index))
    }

    fn participants(&self) -> &Set<PublicKey> {
        &self.engine.participants
    }

    /// No vote when what holds the key does not sign: the engine goes on as if this validator were silent in that view.
    fn sign<D: Digest>(&self, subject: Subject<'_, D>) -> Option<Attestation<Self>> {
        let (index, key) = self.signer.as_ref()?;
        let signature = key.try_sign(subject.namespace(&self.engine.namespace), &subject.message())?;
        Some(Attestation { signer: *index, signature: signature.into() })
    }

    fn verify_attestation<R: CryptoRng, D: Digest>(
        &self,
        _: &mut R,
        subject: Subject<'_, D>,
        attestation: &Attestation<Self>,
        _: &impl Strategy,
    ) -> bool {
        self.engine.verify_attestation(subject, attestation)
    }

    fn verify_attestations<R, D, I>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        attestations: I,
        strategy: &impl Strategy,
    ) -> Verification<Self>
    where
        R: CryptoRng,
        D: Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: Send,
    {
        self.engine.verify_attestations(rng, subject, attestations, strategy)
    }

    fn optimistic_assemble<'a, R, D, I, J>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        pending: I,
        verified: J,
        strategy: &impl Strategy,
    ) -> Result<Certificate, Verification<Self>>
    where
        R: CryptoRng,
        D: Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: ExactSizeIterator + Send,
        J: IntoIterator<Item = &'a Attestation<Self>>,
        J::IntoIter: Send,
    {
        verify_then_assemble::<Self, _, D, _, _>(self, rng, subject, pending, verified, strategy)
    }

    fn assemble<I>(&self, attestations: NonEmpty<I>, _: &impl Strategy) -> Result<Certificate, AssemblyError>
    where
        I: Iterator<Item = Attestation<Self>> + Send,
    {
        self.engine.assemble::<Self, _>(attestations)
    }

    fn is_attributable() -> bool {
        Generic::<Namespace>::is_attributable()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use commonware_consensus::{
        simplex::{
            scheme::ed25519 as engine,
            types::{Finalization, Finalize, Nullify, Proposal},
        },
        types::{Epoch, Round, View},
    };
    use commonware_cryptography::{Verifier as _, certificate::Scheme as _, sha256};
    use commonware_parallel::Sequential;
    use commonware_utils::{TryCollect as _, non_empty};

    const NAMESPACE: &[u8] = b"network";

    fn keys() -> (Vec<PrivateKey>, Set<PublicKey>) {
        let keys: Vec<PrivateKey> = (1..5).map(PrivateKey::from_seed).collect();
        let validators = keys.iter().map(Signer::public_key).try_collect().unwrap();
        (keys, validators)
    }

    fn proposal() -> Proposal<sha256::Digest> {
        Proposal::new(Round::new(Epoch::new(3), View::new(7)), View::new(6), sha256::Digest([9; 32]))
    }

    /// What signs elsewhere, as an HSM does.
    fn elsewhere(key: &PrivateKey) -> NodeKey {
        let held = NodeKey::from(key.clone()).key;
        NodeKey::new(SigningKey::elsewhere(held.public(), move |message| Ok(held.sign(message).unwrap()))).unwrap()
    }

    #[test]
    fn votes_and_certificates_are_those_of_the_engine() {
        let (keys, validators) = keys();
        let votes: Vec<_> = keys
            .iter()
            .map(|key| {
                let ours = Scheme::signer(NAMESPACE, validators.clone(), elsewhere(key)).unwrap();
                let theirs = engine::Scheme::signer(NAMESPACE, validators.clone(), key.clone()).unwrap();
                assert_eq!(ours.me(), theirs.me());
                let vote = Finalize::sign(&ours, proposal()).unwrap();
                let expected = Finalize::sign(&theirs, proposal()).unwrap();
                assert_eq!(vote.attestation.signature, expected.attestation.signature);
                vote
            })
            .collect();
        let ours = Scheme::verifier(NAMESPACE, validators.clone());
        let made = Finalization::<Scheme, _>::from_finalizes(&ours, non_empty![@votes.iter()], &Sequential).unwrap();
        let theirs = engine::Scheme::verifier(NAMESPACE, validators);
        let certificate: Finalization<engine::Scheme, sha256::Digest> =
            Finalization { proposal: made.proposal.clone(), certificate: made.certificate.clone() };
        let mut rng = commonware_utils::test_rng();
        assert!(certificate.verify(&mut rng, &theirs, &Sequential) && made.verify(&mut rng, &ours, &Sequential));
    }

    #[test]
    fn a_key_that_does_not_sign_casts_no_vote_and_shakes_no_hand() {
        let (keys, validators) = keys();
        let key = keys.first().unwrap();
        let held = NodeKey::from(key.clone()).key;
        let absent = NodeKey::new(SigningKey::elsewhere(held.public(), |_| Err("removed".into()))).unwrap();
        let scheme = Scheme::signer(NAMESPACE, validators.clone(), absent.clone()).unwrap();
        assert!(scheme.me().is_some());
        assert!(Finalize::sign(&scheme, proposal()).is_none());
        assert!(Nullify::sign::<sha256::Digest>(&scheme, Round::new(Epoch::zero(), View::new(1))).is_none());
        assert!(!absent.public_key().verify(b"hello", b"peer", &absent.sign(b"hello", b"peer")));
        let there = elsewhere(key);
        assert!(there.public_key().verify(b"hello", b"peer", &there.sign(b"hello", b"peer")));
        assert!(Scheme::signer(NAMESPACE, validators, PrivateKey::from_seed(99)).is_none(), "no validator's key");
        let p256 = SigningKey::from_p256_scalar(&[7; 32]).unwrap();
        assert!(NodeKey::new(p256).is_none());
    }
}
