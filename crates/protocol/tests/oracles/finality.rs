//! Certificates that the engine itself makes, checked without it; and ones that were tampered with.

use crate::fixtures;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::{
    simplex::{
        scheme::ed25519::Scheme,
        types::{Finalization, Finalize, Proposal},
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{Signer as _, ed25519, sha256::Digest};
use commonware_parallel::Sequential;
use commonware_utils::{non_empty, ordered::Set};
use tallystick_protocol::{CertificateError, FinalityCertificate, Genesis, Hash, SigningKey};

/// What the engine makes of finalise votes by validators `signers`.
fn certified(genesis: &Genesis, namespace: &[u8], epoch: u64, view: u64, signers: &[usize]) -> FinalityCertificate {
    let keys: Vec<ed25519::PrivateKey> = (0..4).map(|n| private(&fixtures::validator(n))).collect();
    let members = Set::from_iter_dedup(keys.iter().map(|key| key.public_key()));
    for (ours, theirs) in genesis.validators.iter().zip(members.iter()) {
        assert_eq!(ours.key, *theirs.encode(), "the engine orders validators as the genesis does");
    }
    let schemes: Vec<Scheme> = members
        .iter()
        .map(|member| keys.iter().find(|key| key.public_key() == *member).unwrap().clone())
        .map(|key| Scheme::signer(namespace, members.clone(), key).unwrap())
        .collect();
    let round = Round::new(Epoch::new(epoch), View::new(view));
    let proposal = Proposal::new(round, View::new(view.saturating_sub(1)), Digest::from([7; 32]));
    let votes: Vec<_> = signers.iter().map(|n| Finalize::sign(&schemes[*n], proposal.clone()).unwrap()).collect();
    let finalization =
        Finalization::<Scheme, Digest>::from_finalizes(&schemes[0], non_empty![@votes.iter()], &Sequential).unwrap();
    let certificate = &finalization.certificate;
    FinalityCertificate {
        epoch,
        view,
        parent_view: finalization.proposal.parent.get(),
        block: Hash([7; 32]),
        signatures: certificate
            .signers
            .iter()
            .zip(&certificate.signatures)
            .map(|(signer, signature)| {
                let bytes = signature.get().unwrap().encode();
                (signer.get(), bytes.as_ref().try_into().unwrap())
            })
            .collect(),
    }
}

fn private(key: &SigningKey) -> ed25519::PrivateKey {
    ed25519::PrivateKey::decode(bytes::Bytes::copy_from_slice(key.ed25519_seed().unwrap().as_slice())).unwrap()
}

fn verify(certificate: &FinalityCertificate, genesis: &Genesis) -> Result<usize, CertificateError> {
    certificate.verify(&genesis.validator_set().unwrap(), genesis.id())
}

#[test]
fn certificates_of_the_engine_hold() {
    let genesis = fixtures::genesis();
    let namespace = genesis.id().consensus_namespace();
    for (epoch, view) in [(0, 1), (0, 127), (0, 128), (1, 300), (130, u64::from(u32::MAX)), (u64::MAX, u64::MAX)] {
        for signers in [&[0, 1, 2][..], &[1, 2, 3], &[3, 0, 2], &[0, 1, 2, 3]] {
            let certificate = certified(&genesis, &namespace, epoch, view, signers);
            assert_eq!(verify(&certificate, &genesis), Ok(signers.len()), "epoch {epoch} view {view}");
            assert_eq!(FinalityCertificate::decode(&certificate.to_bytes()), Ok(certificate));
        }
    }
}

#[test]
fn anything_less_is_refused() {
    let genesis = fixtures::genesis();
    let namespace = genesis.id().consensus_namespace();
    let good = certified(&genesis, &namespace, 3, 1000, &[0, 2, 3]);
    assert_eq!(verify(&good, &genesis), Ok(3));

    let other_network = Genesis { nonce: [0; 16], ..genesis.clone() };
    assert_eq!(verify(&good, &other_network), Err(CertificateError::Signature(0)));
    let other_namespace = certified(&genesis, b"tallystick-consensus", 3, 1000, &[0, 2, 3]);
    assert_eq!(verify(&other_namespace, &genesis), Err(CertificateError::Signature(0)));

    type Spoil = fn(&mut FinalityCertificate);
    let rows: &[(Spoil, CertificateError)] = &[
        (|c| c.epoch += 1, CertificateError::Signature(0)),
        (|c| c.view += 1, CertificateError::Signature(0)),
        (|c| c.parent_view += 1, CertificateError::Signature(0)),
        (|c| c.block.0[31] ^= 1, CertificateError::Signature(0)),
        (|c| c.signatures[1].0 = 1, CertificateError::Signature(1)),
        (|c| c.signatures[2].0 = 4, CertificateError::Unknown(4)),
        (|c| c.signatures[2].0 = u32::MAX, CertificateError::Unknown(u32::MAX)),
        (|c| c.signatures.swap(0, 1), CertificateError::Order(0)),
        (|c| c.signatures[1] = c.signatures[0], CertificateError::Order(0)),
        (|c| c.signatures.truncate(2), CertificateError::Quorum { signed: 2, quorum: 3, validators: 4 }),
        (|c| c.signatures.clear(), CertificateError::Quorum { signed: 0, quorum: 3, validators: 4 }),
    ];
    for (spoil, expected) in rows {
        let mut certificate = good.clone();
        spoil(&mut certificate);
        assert_eq!(verify(&certificate, &genesis).as_ref(), Err(expected));
    }
    for place in 0..64 {
        let mut certificate = good.clone();
        certificate.signatures[2].1[place] ^= 1;
        assert_eq!(verify(&certificate, &genesis), Err(CertificateError::Signature(3)), "byte {place}");
    }
}
