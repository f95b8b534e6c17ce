//! Receipts of every kind against a forger who holds one of each, all of one state: proofs of other rows under the same roots, signatures of
//! the same validators.

use std::sync::LazyLock;

use serde_json::Value;
use tallystick_protocol::{Attestation, BlockHeader, Finality, Genesis, Hash, NetworkId, Opening, Receipt, SigningKey};

use super::{choices::Choices, graft::Part};

/// What the vectors make the key of one of the four validators of.
const STOLEN: [u8; 32] = [101; 32];

/// The receipts of `tests/vectors/receipts.json`, and the network that they are of.
pub struct Honest {
    pub network: Genesis,
    pub receipts: Vec<Vec<u8>>,
    pub parts: Vec<Part>,
}

pub static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/receipts.json")).expect("JSON");
    let network = Genesis::from_json(vectors["genesis"].to_string().as_bytes()).expect("a valid network");
    let texts = vectors["receipts"].as_array().expect("a list").iter().map(|one| one["cbor"].as_str().expect("a text"));
    let receipts: Vec<_> = texts.map(bytes).collect();
    let parts = receipts.iter().map(|receipt| Part::read(receipt).expect("a receipt is CBOR")).collect();
    Honest { network, receipts, parts }
});

/// The bytes that a text in hexadecimal stands for.
pub fn bytes(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// An honest receipt holds. One of which bytes were damaged, parts put elsewhere, or signatures made anew does not: what holds is an
/// honest one, or shows less of one that need not be shown whole.
pub fn any_receipt_forge(data: &[u8]) {
    let Honest { network, receipts, parts } = &*HONEST;
    let mut choices = Choices::new(data);
    let which = choices.below(receipts.len());
    let honest = &receipts[which];
    let mut forged = honest.clone();
    match choices.below(4) {
        0 => choices.damage(&mut forged),
        1 => forged = signed_anew(&mut choices, honest, network),
        _ => {
            let others: Vec<_> = parts.iter().flat_map(Part::all).collect();
            let mut tree = parts[which].clone();
            for _ in 0..=choices.below(3) {
                tree.change(&mut choices, &others);
            }
            forged = tree.write();
        }
    }
    let Some((receipt, proven)) =
        Receipt::decode(&forged).ok().and_then(|receipt| receipt.check(network).ok().map(|proven| (receipt, proven)))
    else {
        assert!(forged != *honest, "the honest receipt {which} does not hold");
        return;
    };
    assert_eq!((proven.signers.len(), proven.validators), (3, 4));
    let shows_less = |bytes: &Vec<u8>| {
        let whole = Receipt::decode(bytes).expect("an honest receipt");
        whole_of(receipt.clone(), &whole).is_some_and(|whole| whole.to_bytes() == *bytes)
    };
    assert!(receipts.iter().any(shows_less), "a receipt forged of {which} holds: {receipt:?}");
}

/// The receipt with all that the honest one shows, if it shows some of that and nothing else.
fn whole_of(receipt: Receipt, honest: &Receipt) -> Option<Receipt> {
    match (receipt, honest) {
        (Receipt::Disclosure(mut receipt), Receipt::Disclosure(honest)) => {
            show(&mut receipt.openings, &honest.openings)?;
            Some(Receipt::Disclosure(receipt))
        }
        (Receipt::Partition(mut receipt), Receipt::Partition(honest)) => {
            show(&mut receipt.openings, &honest.openings)?;
            Some(Receipt::Partition(receipt))
        }
        (Receipt::Fields(mut receipt), Receipt::Fields(honest)) => {
            let of = |opening: &Opening| receipt.fields.iter().any(|field| field.leaf.field == opening.place().field());
            receipt.openings.iter().all(of).then_some(())?;
            show(&mut receipt.openings, &honest.openings)?;
            show(&mut receipt.fields, &honest.fields)?;
            Some(Receipt::Fields(receipt))
        }
        (receipt, _) => Some(receipt),
    }
}

/// Shows all, if what is shown is of it, and nothing twice.
fn show<T: Clone + PartialEq>(shown: &mut Vec<T>, all: &[T]) -> Option<()> {
    let is_once = |one: &T| all.contains(one) && shown.iter().filter(|other| *other == one).count() == 1;
    shown.iter().all(is_once).then_some(())?;
    *shown = all.to_vec();
    Some(())
}

/// The receipt with a header of the forger's, or an answer in the forger's name, signed with keys of their own and one that they stole.
fn signed_anew(choices: &mut Choices, honest: &[u8], network: &Genesis) -> Vec<u8> {
    let mut receipt = Receipt::decode(honest).expect("an honest receipt");
    let hash = Hash(choices.hash());
    match receipt {
        Receipt::Attestation(attestation) if choices.byte() & 1 == 0 => {
            let Attestation { mut disclosure, signed } = *attestation;
            disclosure.number ^= u32::from(choices.byte() & 1);
            let again = Attestation::sign(disclosure, signed.signer, &own()).expect("Ed25519 signs");
            receipt = Receipt::Attestation(Box::new(again));
        }
        _ => match choices.below(3) {
            0 => recertify(choices, (&mut receipt, network.id()), |header| header.state.root = hash),
            1 => recertify(choices, (&mut receipt, network.id()), |header| header.log.root = hash),
            _ => recertify(choices, (&mut receipt, network.id()), |header| header.validators = hash),
        },
    }
    receipt.to_bytes()
}

fn recertify(choices: &mut Choices, (receipt, network): (&mut Receipt, NetworkId), change: impl Fn(&mut BlockHeader)) {
    let Finality { headers, certificate, .. } = finality(receipt);
    // All but one are left out, or all are kept and no longer fit.
    headers.truncate(1 + choices.below(2));
    let Some(header) = headers.last_mut() else { return };
    change(header);
    certificate.block = header.hash();
    let message = certificate.signed_bytes(&network);
    for (place, (_, signature)) in certificate.signatures.iter_mut().enumerate() {
        let is_stolen = place == 0 && choices.byte() & 1 == 0;
        let key = if is_stolen { SigningKey::from_ed25519_seed(&STOLEN) } else { own() };
        *signature = key.sign(&message).expect("Ed25519 signs");
    }
}

/// A key of the forger's own.
fn own() -> SigningKey {
    SigningKey::from_ed25519_seed(&[99; 32])
}

/// A new kind of receipt does not compile until it has its place here; the vectors have one of every kind.
fn finality(receipt: &mut Receipt) -> &mut Finality {
    match receipt {
        Receipt::Transaction(receipt) => &mut receipt.finality,
        Receipt::Record(receipt) => &mut receipt.finality,
        Receipt::Proposal(receipt) => &mut receipt.finality,
        Receipt::Disclosure(disclosure) => &mut disclosure.record.finality,
        Receipt::Erasure(certificate) => &mut certificate.finality,
        Receipt::Partition(disclosure) => &mut disclosure.finality,
        Receipt::Fields(disclosure) => &mut disclosure.finality,
        Receipt::PartitionErasure(certificate) => &mut certificate.finality,
        Receipt::Principal(receipt) => &mut receipt.finality,
        Receipt::Attestation(attestation) => &mut attestation.disclosure.finality,
    }
}
