//! Receipts against a forger who holds an honest one and knows its whole structure.

use std::sync::OnceLock;

use tallystick_protocol::{
    Code, Decision, Genesis, Hash, Outcome, Refusal, SigningKey,
    limits::RECEIPT_BYTES_MAX,
    receipt::{Claim, Receipt, TransactionReceipt},
};

use super::{any_receipt::HONEST, choices::Choices, decode::material, sample};

/// A receipt of any kind, from anybody's bytes.
pub fn receipt_decode(data: &[u8]) {
    let bytes = material(data, |choices| HONEST.receipts[choices.below(HONEST.receipts.len())].clone());
    let Ok(decoded) = Receipt::decode(&bytes) else { return };
    assert!(bytes.len() <= RECEIPT_BYTES_MAX);
    assert_eq!(decoded.to_bytes(), bytes, "one meaning, one spelling");
    let _ = decoded.check(&HONEST.network);
}

/// The honest receipt holds; a changed one does not, whether its bytes or its parts were changed.
///
/// It bears exactly a quorum's signatures, so that not even one of them can be left out.
pub fn receipt_forge(data: &[u8]) {
    let mut choices = Choices::new(data);
    let honest = Receipt::Transaction(sample::receipt().clone());
    let bytes = honest.to_bytes();
    let mut forged = bytes.clone();
    if choices.byte() & 1 == 0 {
        choices.damage(&mut forged);
    } else {
        let mut parts = sample::receipt().clone();
        for _ in 0..choices.below(3) {
            change(&mut choices, &mut parts);
        }
        forged = Receipt::Transaction(parts).to_bytes();
    }
    let accepted = Receipt::decode(&forged).ok().and_then(|receipt| receipt.check(sample::genesis()).ok());
    assert_eq!(accepted.is_some(), forged == bytes, "a forged receipt holds, or the honest one does not");
    if let Some(proven) = accepted {
        let Claim::Transaction { id, index, .. } = proven.claim else { panic!("it proves something else") };
        assert_eq!((id, index), (sample::transactions()[0].id(), sample::receipt().index));
        assert_eq!((proven.signers.len(), proven.validators), (3, 4));
    }
}

/// Receipts that a network of four organisations gave, and that network: a record, none, and no such register.
const RECORDS: [&[u8]; 3] = [
    include_bytes!("../../tests/data/receipts/current.receipt"),
    include_bytes!("../../tests/data/receipts/absent.receipt"),
    include_bytes!("../../tests/data/receipts/no-register.receipt"),
];
const RECORDS_NETWORK: &[u8] = include_bytes!("../../tests/data/receipts/network.json");

/// A record's receipt holds, and with any of its bytes changed it does not: its state proof has one spelling too.
pub fn record_receipt_forge(data: &[u8]) {
    static NETWORK: OnceLock<Genesis> = OnceLock::new();
    let network = NETWORK.get_or_init(|| Genesis::from_json(RECORDS_NETWORK).expect("a valid network"));
    let mut choices = Choices::new(data);
    let honest = RECORDS[choices.below(RECORDS.len())];
    let mut forged = honest.to_vec();
    choices.damage(&mut forged);
    let accepted = Receipt::decode(&forged).ok().and_then(|receipt| receipt.check(network).ok());
    assert_eq!(
        accepted.is_some(),
        forged == honest,
        "a forged receipt holds, or the honest one does not: {accepted:?}"
    );
}

/// Changes one part as somebody would who wants to be believed.
fn change(choices: &mut Choices, parts: &mut TransactionReceipt) {
    let hash = Hash(choices.hash());
    let number = u64::from(choices.byte());
    match choices.below(12) {
        0 => {
            parts.outcome = Outcome::Refused(Refusal {
                code: Code::ALL[0],
                operation: 0,
                violations: Vec::new(),
                decision: Decision::default(),
            })
        }
        1 => parts.index = number,
        2 => parts.height = number,
        3 => parts.time_ms = number,
        4 => parts.path.push(hash),
        5 => parts.path.clear(),
        6 => {
            let others = sample::transactions();
            parts.transaction = others[choices.below(others.len())].bytes().clone();
        }
        7 => recertify(choices, parts, |header| header.log.root = hash),
        8 => recertify(choices, parts, |header| header.validators = hash),
        9 => {
            let header = parts.finality.headers[0].clone();
            parts.finality.headers.push(header);
        }
        10 => drop(parts.finality.certificate.signatures.pop()),
        _ => {
            let signatures = &mut parts.finality.certificate.signatures;
            let at = choices.below(signatures.len().max(1));
            if let Some(signature) = signatures.get_mut(at) {
                signature.0 = choices.below(5) as u32;
            }
        }
    }
}

/// Changes the certified header and has the forger sign it: with keys of his own, and one validator's that he stole.
fn recertify(
    choices: &mut Choices,
    parts: &mut TransactionReceipt,
    change: impl Fn(&mut tallystick_protocol::BlockHeader),
) {
    let Some(header) = parts.finality.headers.last_mut() else { return };
    change(header);
    parts.finality.certificate.block = header.hash();
    let message = parts.finality.certificate.signed_bytes(&parts.network);
    for (place, (_, signature)) in parts.finality.certificate.signatures.iter_mut().enumerate() {
        let stolen = place == 0 && choices.byte() & 1 == 0;
        let key = if stolen { sample::validator(0) } else { SigningKey::from_ed25519_seed(&[99; 32]) };
        *signature = key.sign(&message).expect("Ed25519 signs");
    }
}
