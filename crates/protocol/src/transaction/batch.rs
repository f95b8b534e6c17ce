//! Many signatures at once: those of transactions, and of their co-signers.

use super::{SignedTransaction, VerifiedTransaction, VerifyError};
use crate::key::{KeyError, PublicKey};
use ed25519_zebra::{VerificationKeyBytes, batch};
use rand_core::CryptoRng;

/// Checks many signatures at once; results stand in the order of `transactions`.
///
/// Ed25519 signatures, those of co-signers too, share one equation (cheaper still where keys repeat). When it fails, parts
/// of the batch are asked, and in those that fail each signature alone. By ZIP-215 the answer for each transaction is that
/// of [`SignedTransaction::verify`], whatever `rng` gives and whatever else is in the batch.
pub fn verify_batch(
    transactions: Vec<SignedTransaction>,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedTransaction, VerifyError>> {
    let mut errors: Vec<Option<(usize, KeyError)>> = vec![None; transactions.len()];
    let mut items = Vec::with_capacity(transactions.len());
    for ((index, transaction), error) in transactions.iter().enumerate().zip(&mut errors) {
        for (signer, (key, message, signature)) in transaction.0.signatures().enumerate() {
            match key {
                PublicKey::Ed25519(key) => {
                    let signature = ed25519_zebra::Signature::from_bytes(signature);
                    let item = batch::Item::from((VerificationKeyBytes::from(*key), signature, &message));
                    items.push(((index, signer), item));
                }
                PublicKey::P256(_) => note(error, signer, key.verify(&message, signature)),
            }
        }
    }
    let mut bad = Vec::new();
    find_bad(&items, rng, &mut bad);
    for (index, signer) in bad {
        if let Some(error) = errors.get_mut(index) {
            note(error, signer, Err(KeyError::Signature));
        }
    }
    let judge = |(transaction, error): (SignedTransaction, Option<(usize, KeyError)>)| match error {
        None => Ok(VerifiedTransaction(transaction)),
        Some((signer, error)) => Err(transaction.0.verify_error(signer, error)),
    };
    transactions.into_iter().zip(errors).map(judge).collect()
}

/// Keeps the first error of a transaction's signatures, in the order of its signers.
fn note(first: &mut Option<(usize, KeyError)>, signer: usize, result: Result<(), KeyError>) {
    if let Err(error) = result
        && first.as_ref().is_none_or(|(before, _)| signer < *before)
    {
        *first = Some((signer, error));
    }
}

/// The place of a transaction in the batch, and of a signer in the transaction.
type Place = (usize, usize);

/// Parts that a batch which fails is cut into: those that fail too are judged one by one.
const PARTS: usize = 8;

/// Collects the places of the items that fail. One bad item costs two batches and the items of a part; many cost no more
/// than two batches and each item alone, so that who sends nothing but forgeries does not multiply the work.
fn find_bad(items: &[(Place, batch::Item)], rng: &mut impl CryptoRng, bad: &mut Vec<Place>) {
    if items.is_empty() || holds(items, rng) {
        return;
    }
    for part in items.chunks(items.len().div_ceil(PARTS)) {
        if part.len() > 1 && holds(part, rng) {
            continue;
        }
        let failing = part.iter().filter(|(_, item)| item.clone().verify_single().is_err());
        bad.extend(failing.map(|(place, _)| *place));
    }
}

fn holds(items: &[(Place, batch::Item)], rng: &mut impl CryptoRng) -> bool {
    let mut verifier = batch::Verifier::new();
    items.iter().for_each(|(_, item)| verifier.queue(item.clone()));
    verifier.verify(rng).is_ok()
}
