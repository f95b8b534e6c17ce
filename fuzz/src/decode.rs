//! Decoders: whatever is accepted has exactly one spelling, and its fields lie within the limits.

use tallystick_protocol::{
    BlockHeader, Hash, LogEntry, Operation, SignedTransaction, cbor,
    limits::{COSIGNERS_MAX, HEADER_BYTES_MAX, LOG_ENTRY_BYTES_MAX, OPERATIONS_MAX, TRANSACTION_BYTES_MAX},
};

use super::{choices::Choices, oracle::sha256, sample};

/// The adversary's own bytes, or honest ones damaged as the first byte chooses.
pub fn material(data: &[u8], honest: impl Fn(&mut Choices) -> Vec<u8>) -> Vec<u8> {
    let mut choices = Choices::new(data);
    if choices.byte() & 1 == 0 {
        return choices.rest().to_vec();
    }
    let mut bytes = honest(&mut choices);
    choices.damage(&mut bytes);
    bytes
}

/// A transaction.
pub fn transaction_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let signed = sample::transactions();
        signed[choices.below(signed.len())].bytes().to_vec()
    });
    let Ok(decoded) = SignedTransaction::decode(bytes.clone()) else { return };
    assert!(bytes.len() <= TRANSACTION_BYTES_MAX);
    assert_eq!(decoded.bytes(), &bytes);
    assert_eq!(decoded.id(), Hash(sha256(&bytes)));
    let tag = sha256(&[decoded.principal().as_str().as_bytes(), &[0], decoded.idempotency_key()].concat());
    assert_eq!(decoded.replay_tag(), tag[..16]);
    assert!((1..=OPERATIONS_MAX).contains(&decoded.operations().len()));
    let mut again = decoded.intent().begin_with(decoded.key(), decoded.signature()).expect("what was decoded encodes");
    assert!(decoded.cosigners().len() <= COSIGNERS_MAX);
    for (cosigner, signature) in decoded.cosigners().iter().zip(decoded.cosignatures()) {
        again = again.with_cosignature(&cosigner.key, signature).expect("a co-signer");
    }
    assert_eq!(again.bytes(), &bytes, "one meaning, one spelling");
    let _ = decoded.verify();
}

/// One operation.
pub fn operations_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let operations = sample::operations();
        cbor::encode(&operations[choices.below(operations.len())])
    });
    let Ok(decoded) = cbor::decode::<Operation>(&bytes, TRANSACTION_BYTES_MAX) else { return };
    assert_eq!(cbor::encode(&decoded), bytes, "one meaning, one spelling");
    let _ = (decoded.name(), decoded.register(), decoded.entry_count());
}

/// An entry of the log.
pub fn log_entry_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let entries = sample::log_entries();
        entries[choices.below(entries.len())].to_bytes()
    });
    let Ok(decoded) = LogEntry::decode(&bytes) else { return };
    assert!(bytes.len() <= LOG_ENTRY_BYTES_MAX);
    assert_eq!(decoded.to_bytes(), bytes, "one meaning, one spelling");
    let leaf = decoded.leaf();
    assert_eq!(leaf.transaction, Hash(sha256(&decoded.transaction)));
    assert_eq!(leaf.hash(), Hash(sha256(&[&[0], &leaf.to_bytes()[..]].concat())));
}

/// A block's header.
pub fn header_decode(data: &[u8]) {
    let bytes = material(data, |_| sample::header().to_bytes());
    let Ok(decoded) = BlockHeader::decode(&bytes) else { return };
    assert!(bytes.len() <= HEADER_BYTES_MAX);
    assert_eq!(decoded.to_bytes(), bytes, "one meaning, one spelling");
    assert_eq!(decoded.hash(), Hash(sha256(&bytes)));
}
