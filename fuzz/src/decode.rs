//! Decoders: whatever is accepted has exactly one spelling, and its fields lie within the limits.

use std::sync::OnceLock;

use tallystick_ledger as ledger;
use tallystick_protocol::{
    BlockHeader, ConsentRow, ControllerRow, CorrectionRow, CountersRow, ErasureRow, FieldsRow, FinalityCertificate,
    HandOver, Hash, HoldRow, Link, LogEntry, NodesRow, Operation, OrganisationRow, PartitionRootsRow, PartitionRow,
    PartlySignedTransaction, PrincipalRow, ProposalRow, RecordRow, Recovery, RecoveryFile, RecoveryGround, RegisterRow,
    SignedTransaction, SubjectConsentsRow, SubjectRow, cbor,
    limits::{
        COSIGNERS_MAX, HEADER_BYTES_MAX, LOG_ENTRY_BYTES_MAX, OPERATIONS_MAX, RECOVERY_FILE_BYTES_MAX,
        STATE_VALUE_BYTES_MAX, TRANSACTION_BYTES_MAX,
    },
};

use super::{any_receipt::HONEST, choices::Choices, graft::Part, oracle::sha256, sample};

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

/// A transaction that not all have signed who must: each co-signature that is taken is taken in one place, and once all are there it is the
/// whole one.
pub fn partly_signed_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let begun = sample::begun();
        begun[choices.below(begun.len())].bytes().to_vec()
    });
    let Ok(decoded) = PartlySignedTransaction::decode(bytes.clone()) else { return };
    assert!(bytes.len() <= TRANSACTION_BYTES_MAX);
    assert_eq!(decoded.bytes(), &bytes);
    let missing = decoded.missing().count();
    assert!(missing <= decoded.cosigners().count() && decoded.cosigners().count() <= COSIGNERS_MAX);
    let whole = SignedTransaction::decode(bytes.clone());
    assert_eq!(whole.is_ok(), missing == 0, "a transaction is whole once nobody is missing");
    let signs = decoded.verify().is_ok();
    if let Ok(whole) = whole {
        assert_eq!(signs, whole.verify().is_ok(), "it verifies as the whole one does");
    }
}

/// What makes a header final, or others its judges: certificates, hand-overs, recoveries and the files that these are made in.
pub fn finality_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let honest = sample::finality();
        honest[choices.below(honest.len())].clone()
    });
    let spelled = |again: Vec<u8>| {
        assert!(bytes.len() <= RECOVERY_FILE_BYTES_MAX);
        assert_eq!(again, bytes, "one meaning, one spelling");
    };
    let _ = FinalityCertificate::decode(&bytes).map(|decoded| spelled(decoded.to_bytes()));
    let _ = HandOver::decode(&bytes).map(|decoded| spelled(decoded.to_bytes()));
    let _ = Link::decode(&bytes).map(|decoded| spelled(decoded.to_bytes()));
    let _ = RecoveryGround::decode(&bytes).map(|decoded| spelled(decoded.to_bytes()));
    if let Ok(decoded) = Recovery::decode(&bytes) {
        spelled(decoded.to_bytes());
        let _ = decoded.check();
    }
    if let Ok(decoded) = RecoveryFile::decode(&bytes) {
        spelled(decoded.to_bytes());
        let _ = decoded.recovery.check();
    }
}

/// Rows of the state, as a receipt or a payload's evidence brings them.
pub fn row_decode(data: &[u8]) {
    let bytes = material(data, |choices| {
        let rows = honest_rows();
        rows[choices.below(rows.len())].clone()
    });
    let mut read = 0;
    macro_rules! rows {
        ($($row:ty),+ $(,)?) => {$(
            if let Ok(row) = <$row>::decode(&bytes) {
                assert_eq!(row.to_bytes(), bytes, concat!("one meaning, one spelling: ", stringify!($row)));
                read += 1;
            }
        )+};
    }
    rows!(
        ConsentRow,
        ControllerRow,
        CorrectionRow,
        CountersRow,
        ErasureRow,
        FieldsRow,
        HoldRow,
        NodesRow,
        OrganisationRow,
        PartitionRootsRow,
        PartitionRow,
        PrincipalRow,
        ProposalRow,
        RecordRow,
        RegisterRow,
        SubjectConsentsRow,
        SubjectRow,
        ledger::AgendaRow,
        ledger::AuthorityRow,
        ledger::BallotRow,
        ledger::KeyRow,
        ledger::LimitsRow,
        ledger::MandateRow,
        ledger::ObjectionRow,
        ledger::PageRow,
        ledger::PolicyRow,
        ledger::PolicySetRow,
        ledger::RecoveryRow,
        ledger::RevocationRow,
        ledger::RevokedRow,
        ledger::ScheduleRow,
        ledger::TreeRow,
        ledger::TurnsRow,
        ledger::ValidatorRow,
    );
    assert!(read == 0 || bytes.len() <= STATE_VALUE_BYTES_MAX);
}

/// The rows that the honest receipts hold.
fn honest_rows() -> &'static [Vec<u8>] {
    static ROWS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let parts = HONEST.parts.iter().flat_map(Part::all);
        let rows = parts.filter_map(|part| match part {
            Part::Within(row) if matches!(**row, Part::Array(_)) => Some(row.write()),
            _ => None,
        });
        rows.collect()
    })
}
