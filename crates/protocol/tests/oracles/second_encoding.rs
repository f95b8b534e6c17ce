//! One meaning, one byte string: every other spelling of a transaction is refused, and no input panics.

use crate::fixtures;
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use tallystick_protocol::{
    CborError, DecodeError, Intent, NewEntry, Operation, SignedTransaction, SigningKey, limits, verify_batch,
};

/// What decoding bytes that were altered by hand says.
fn refusal(bytes: Vec<u8>) -> String {
    SignedTransaction::decode(bytes).unwrap_err().to_string()
}

fn transaction() -> SignedTransaction {
    fixtures::intent(vec![fixtures::append()]).sign(&fixtures::administrator(0)).unwrap()
}

/// `bytes` with the only occurrence of `from` replaced by `to`.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<_> = bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).collect();
    assert_eq!(places.len(), 1, "exactly one place to change");
    let place = places[0].0;
    [&bytes[..place], to, &bytes[place + from.len()..]].concat()
}

#[test]
fn decoding_gives_back_what_was_signed() {
    for (what, operation) in fixtures::operations() {
        let intent = fixtures::intent(vec![operation]);
        let signed = intent.sign(&fixtures::administrator(0)).unwrap();
        let decoded = SignedTransaction::decode(signed.bytes().clone()).unwrap();
        assert_eq!(decoded.intent(), &intent, "{what}");
        assert_eq!(decoded, signed, "{what}");
        decoded.verify().unwrap();
    }
}

/// One row a spelling, with what the refusal must say.
#[test]
fn every_other_spelling_is_refused() {
    let good = transaction().bytes().to_vec();
    let mut tail = good.clone();
    tail.push(0);
    let key = [&[0x04, 0x58, 0x20], fixtures::administrator(0).public().as_bytes()].concat();
    let rows = [
        (tail, "1 bytes follow"),
        (good[1..].to_vec(), "malformed"),
        ([&[0xd8, 0x12], &good[1..]].concat(), "not deterministic"),
        ([&[0xd2, 0x98, 0x04], &good[2..]].concat(), "not deterministic"),
        ([&[0xd2, 0x9f], &good[2..], &[0xff]].concat(), "array of 4 elements"),
        ([&[0xd1], &good[1..]].concat(), "tag 18"),
        (replaced(&good, &[0xa3, 0x01, 0x27], &[0xa3, 0x01, 0x26]), "of the header's algorithm"),
        (replaced(&good, &[0xa3, 0x01, 0x27], &[0xa3, 0x01, 0x28]), "EdDSA (-8) or ES256 (-7)"),
        (replaced(&good, &[0xa3, 0x01, 0x27], &[0xa3, 0x02, 0x27]), "the algorithm under key 1"),
        (replaced(&good, &key, &[&[0x05, 0x58, 0x20], &key[3..]].concat()), "the key under key 4"),
        (replaced(&good, b"cabinet-office/", b"Cabinet-office/"), "is not a principal"),
        (replaced(&good, b"cabinet-office/", b"cabinet-office-"), "is not a principal"),
        (replaced(&good, b"entry-append", b"entry-amends"), "unknown operation"),
        (replaced(&good, b"\x62GB\x81", b"\x62-B\x81"), "is not a key"),
        (replaced(&good, b"\x67country\x81", b"\x67coun ry\x81"), "is not a name"),
    ];
    for (place, (bytes, expected)) in rows.into_iter().enumerate() {
        let said = refusal(bytes);
        assert!(said.contains(expected), "row {place}: {said}");
    }
}

#[test]
fn limits_are_named_in_the_refusal() {
    let long = vec![0; limits::TRANSACTION_BYTES_MAX + 1];
    assert!(matches!(SignedTransaction::decode(long), Err(DecodeError::Cbor(CborError::TooLong { .. }))));
    let entry = NewEntry { key: "k".into(), items: vec!["{}".into()] };
    let append = |n| Operation::EntryAppend { register: "r".into(), entries: vec![entry.clone(); n] };
    type Spoil = Box<dyn Fn(&mut Intent)>;
    let rows: Vec<(Spoil, &str)> = vec![
        (Box::new(|i| i.subject.clear()), "the subject must be a text of 1 to 256 bytes"),
        (Box::new(|i| i.idempotency_key.truncate(7)), "the idempotency key must be 8 to 32 bytes"),
        (Box::new(|i| i.idempotency_key = vec![0; 33]), "the idempotency key must be 8 to 32 bytes"),
        (Box::new(|i| i.operations.clear()), "the payload must be an array of 1 to 256"),
        (
            Box::new({
                let one = append(1);
                move |i| i.operations = vec![one.clone(); 257]
            }),
            "1 to 256",
        ),
        (
            Box::new({
                let all = append(1025);
                move |i| i.operations = vec![all.clone()]
            }),
            "1 to 1024",
        ),
        (
            Box::new({
                let some = append(600);
                move |i| i.operations = vec![some.clone(); 2]
            }),
            "1200 entries, more than 1024",
        ),
        (
            Box::new({
                let none = append(0);
                move |i| i.operations = vec![none.clone()]
            }),
            "1 to 1024",
        ),
        (
            Box::new(|i| {
                let entries = vec![NewEntry { key: "k".into(), items: vec!["x".repeat(16_385)] }];
                i.operations = vec![Operation::EntryAppend { register: "r".into(), entries }];
            }),
            "an item must be a text of 2 to 16384 bytes",
        ),
        (
            Box::new(|i| {
                let entries = vec![NewEntry { key: "k".into(), items: vec!["{}".into(); 17] }];
                i.operations = vec![Operation::EntryAppend { register: "r".into(), entries }];
            }),
            "the items of an entry must be an array of 1 to 16",
        ),
    ];
    for (spoil, expected) in rows {
        let mut intent = fixtures::intent(vec![fixtures::append()]);
        spoil(&mut intent);
        let said = intent.sign(&fixtures::administrator(0)).unwrap_err().to_string();
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_batch_fails_only_what_is_bad() {
    let mut rng = StdRng::seed_from_u64(5);
    let p256 = SigningKey::from_p256_scalar(&[5; 32]).unwrap();
    let good: Vec<_> = (0..100u8)
        .map(|n| {
            let mut intent = fixtures::intent(vec![fixtures::append()]);
            intent.idempotency_key[0] = n;
            if n % 10 == 9 { intent.sign(&p256) } else { intent.sign(&fixtures::administrator(n % 7)) }.unwrap()
        })
        .collect();
    for bad in [&[][..], &[0], &[99], &[3, 4, 59], &[0, 1, 2, 3, 4, 5, 6, 7]] {
        let mut transactions = good.clone();
        for place in bad {
            let mut bytes = transactions[*place].bytes().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            transactions[*place] = SignedTransaction::decode(bytes).unwrap();
        }
        let results = verify_batch(transactions.clone(), &mut rng);
        for (place, (result, transaction)) in results.into_iter().zip(transactions).enumerate() {
            assert_eq!(result.is_err(), bad.contains(&place), "{place}");
            match result {
                Ok(verified) => assert_eq!(verified.id(), transaction.id()),
                Err(error) => assert_eq!(error.id, transaction.id()),
            }
        }
    }
    assert!(verify_batch(Vec::new(), &mut rng).is_empty());
}

/// Encodings with components of small order or non-canonical points are where batch verifiers and single ones part.
#[test]
fn a_batch_agrees_with_single_verification_on_odd_points() {
    let mut rng = StdRng::seed_from_u64(6);
    let identity = {
        let mut p = [0; 32];
        p[0] = 1;
        p
    };
    let order_two = {
        let mut p = [0xff; 32];
        p[0] = 0xec;
        p[31] = 0x7f;
        p
    };
    let non_canonical = {
        let mut p = [0xff; 32];
        p[0] = 0xee;
        p[31] = 0x7f;
        p
    };
    let points = [identity, order_two, non_canonical, [0; 32]];
    let intent = fixtures::intent(vec![fixtures::append()]);
    let mut transactions = vec![transaction()];
    for key in points {
        for r in points {
            let key = tallystick_protocol::PublicKey::Ed25519(key);
            let signature = [r, [0; 32]].concat().try_into().unwrap();
            transactions.push(intent.with_signature(&key, &signature).unwrap());
        }
    }
    let single: Vec<_> = transactions.iter().map(|t| t.clone().verify().is_ok()).collect();
    let batch: Vec<_> = verify_batch(transactions, &mut rng).iter().map(Result::is_ok).collect();
    assert_eq!(batch, single);
    assert!(single.iter().filter(|ok| **ok).count() > 1, "ZIP-215 takes some of them");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_altered_byte_is_refused_or_unverified(place in any::<prop::sample::Index>(), to in any::<u8>()) {
        let good = transaction();
        let mut bytes = good.bytes().to_vec();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != to);
        bytes[place] = to;
        if let Ok(decoded) = SignedTransaction::decode(bytes.clone()) {
            prop_assert_eq!(decoded.bytes(), &bytes);
            prop_assert_ne!(decoded.id(), good.id());
            prop_assert!(decoded.verify().is_err());
        }
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = SignedTransaction::decode(bytes.clone());
        let _ = tallystick_protocol::Receipt::decode(&bytes);
        let _ = tallystick_protocol::BlockHeader::decode(&bytes);
        let _ = tallystick_protocol::LogEntry::decode(&bytes);
        let _ = tallystick_protocol::RegisterRow::decode(&bytes);
    }

    #[test]
    fn what_is_cut_is_refused(cut in any::<prop::sample::Index>()) {
        let bytes = transaction().bytes().clone();
        prop_assert!(SignedTransaction::decode(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}
