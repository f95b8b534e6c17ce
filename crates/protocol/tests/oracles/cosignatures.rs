//! Co-signatures and mandates: what an independent COSE library makes of them, and what is refused.

use crate::fixtures;
use coset::{CoseSign1, TaggedCborSerializable as _, cbor::value::Value};
use rand::{SeedableRng as _, rngs::StdRng};
use tallystick_protocol::{
    Cosigner, DecodeError, Intent, KeyError, MandateId, Operation, PartlySignedTransaction, PublicKey, SignError,
    SignedTransaction, SigningKey, limits::COSIGNERS_MAX, verify_batch,
};

fn device() -> SigningKey {
    SigningKey::from_p256_scalar(&[9; 32]).unwrap()
}

fn keys() -> [SigningKey; 3] {
    [fixtures::administrator(0), device(), fixtures::administrator(2)]
}

/// Under a mandate, with a device and an officer of another organisation beside the signer.
fn intent() -> Intent {
    fixtures::cosigned_intent()
}

fn begun() -> PartlySignedTransaction {
    intent().begin(&keys()[0]).unwrap()
}

fn complete() -> SignedTransaction {
    begun().cosign(&keys()[1]).unwrap().cosign(&keys()[2]).unwrap().complete().unwrap()
}

fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::ser::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// The transaction with its co-signatures as `change` leaves them.
fn altered(change: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    let mut sign1 = CoseSign1::from_tagged_slice(complete().bytes()).unwrap();
    let Some((_, Value::Array(list))) = sign1.unprotected.rest.first_mut() else { panic!("co-signatures") };
    change(list);
    sign1.to_tagged_vec().unwrap()
}

fn parts(cosignature: &mut Value) -> &mut Vec<Value> {
    cosignature.as_array_mut().unwrap()
}

/// RFC 9338 section 3.3, put together by another library from what it read.
#[test]
fn another_library_finds_the_cosignatures_it_expects() {
    let transaction = complete();
    let sign1 = CoseSign1::from_tagged_slice(transaction.bytes()).unwrap();
    let [(label, Value::Array(list))] = sign1.unprotected.rest.as_slice() else { panic!("one header") };
    assert_eq!(*label, coset::Label::Int(11));
    assert_eq!(list.len(), 2);
    for (cosignature, key) in list.iter().zip(&keys()[1..]) {
        let [Value::Bytes(protected), Value::Map(unprotected), Value::Bytes(signature)] =
            cosignature.as_array().unwrap().as_slice()
        else {
            panic!("a COSE_Countersignature")
        };
        assert!(unprotected.is_empty());
        let header = coset::ProtectedHeader::from_cbor_bstr(Value::Bytes(protected.clone())).unwrap().header;
        assert_eq!(header.key_id, key.public().as_bytes());
        let structure = Value::Array(vec![
            Value::Text("CounterSignatureV2".into()),
            Value::Bytes(sign1.protected.original_data.clone().unwrap()),
            Value::Bytes(protected.clone()),
            Value::Bytes(Vec::new()),
            Value::Bytes(sign1.payload.clone().unwrap()),
            Value::Array(vec![Value::Bytes(sign1.signature.clone())]),
        ]);
        let signature = signature.as_slice().try_into().unwrap();
        assert_eq!(key.public().verify(&to_bytes(&structure), signature), Ok(()));
    }
    let (_, claims) = sign1.protected.header.rest.iter().find(|(label, _)| *label == coset::Label::Int(15)).unwrap();
    let claims = claims.as_map().unwrap();
    let claim = |key: i64| &claims.iter().find(|(k, _)| *k == Value::from(key)).unwrap().1;
    assert_eq!(*claim(-65_537), Value::Text("hmrc/administrator/filing".into()));
    let cosigner = |principal: &str, key: &SigningKey| {
        Value::Array(vec![Value::Text(principal.into()), Value::Bytes(key.public().as_bytes().to_vec())])
    };
    let [_, device, officer] = keys();
    let expected = vec![cosigner("cabinet-office/laptop", &device), cosigner("hmrc/administrator", &officer)];
    assert_eq!(*claim(-65_538), Value::Array(expected));
}

#[test]
fn it_is_passed_on_in_any_order_and_ends_as_the_same_transaction() {
    let [_, device, officer] = keys();
    let passed = |tx: PartlySignedTransaction| PartlySignedTransaction::decode(tx.bytes().clone()).unwrap();
    let first = passed(begun());
    assert_eq!(
        first.missing().map(ToString::to_string).collect::<Vec<_>>(),
        ["cabinet-office/laptop", "hmrc/administrator"]
    );
    first.verify().unwrap();
    // The device's ES256 signature differs each time: it is made once and used in both orders.
    let made = device.sign(&first.to_be_cosigned(&device.public())).unwrap();
    let by_device = |tx: &PartlySignedTransaction| passed(tx.with_cosignature(&device.public(), &made).unwrap());
    let one = by_device(&first).cosign(&officer).unwrap();
    let other = by_device(&passed(first.cosign(&officer).unwrap()));
    assert_eq!(one.bytes(), other.bytes());
    let complete = one.complete().unwrap();
    assert_eq!(complete.intent(), &intent());
    let signers: Vec<String> = complete.signers().map(|(principal, _)| principal.to_string()).collect();
    assert_eq!(signers, ["cabinet-office/administrator", "cabinet-office/laptop", "hmrc/administrator"]);
    SignedTransaction::decode(complete.bytes().clone()).unwrap().verify().unwrap();
}

#[test]
fn what_is_not_signed_by_everybody_is_no_transaction() {
    let [signer, device, officer] = keys();
    assert!(
        matches!(intent().sign(&signer), Err(SignError::Intent(DecodeError::CosignaturesMissing(who))) if who.len() == 2)
    );
    let error = SignedTransaction::decode(begun().cosign(&officer).unwrap().bytes().clone()).unwrap_err();
    let expected = "transaction: not co-signed by `cabinet-office/laptop`: have each sign it, then send it";
    assert_eq!(error.to_string(), expected);
    let stranger = SigningKey::from_ed25519_seed(&[200; 32]);
    assert_eq!(begun().cosign(&stranger), Err(SignError::NotCosigner(stranger.public())));
    assert_eq!(begun().cosign(&signer), Err(SignError::NotCosigner(signer.public())));
    let _ = device;
}

/// One row a transaction: the partition that it is for, and the mandate that it names in one of the three places; whether it is one.
#[test]
fn no_transaction_names_a_mandate_of_another_partition() {
    let parent = |id: &str| {
        let terms = fixtures::terms(Some(id.parse().unwrap()));
        Operation::MandateGrant { name: "filing".into(), terms }
    };
    for (partition, id, is_one) in [
        (None, "hmrc/alice/filing", true),
        (None, "charts/hmrc/alice/filing", false),
        (Some("charts"), "hmrc/alice/filing", true),
        (Some("charts"), "charts/hmrc/alice/filing", true),
        (Some("charts"), "chart/hmrc/alice/filing", false),
    ] {
        let mandate: MandateId = id.parse().unwrap();
        let revoke = Operation::MandateRevoke { mandate: mandate.clone() };
        let intents = [
            Intent { mandate: Some(mandate.clone()), ..fixtures::intent(vec![fixtures::append()]) },
            fixtures::intent(vec![fixtures::append(), parent(id)]),
            fixtures::intent(vec![fixtures::append(), revoke]),
        ];
        for intent in intents {
            let signed = Intent { partition: partition.map(str::to_owned), ..intent }.sign(&keys()[0]);
            let expected = if is_one { Ok(()) } else { Err(SignError::Intent(DecodeError::Mandate(mandate.clone()))) };
            assert_eq!(signed.map(drop), expected, "{id} in {partition:?}");
        }
    }
}

/// One row a mischief, with what the refusal must say.
#[test]
fn cosignatures_are_as_asked_for_or_refused() {
    type Change = fn(&mut Vec<Value>);
    let rows: [(&str, Change, &str); 9] = [
        ("stripped", |list| drop(list.pop()), "not co-signed by `hmrc/administrator`"),
        ("all stripped, the label left", Vec::clear, "an array of 1 to 2 elements"),
        ("reordered", |list| list.reverse(), "in their order"),
        ("duplicated", |list| list[1] = list[0].clone(), "each once"),
        ("one too many", |list| list.push(list[0].clone()), "an array of 1 to 2 elements"),
        (
            "of a stranger",
            |list| {
                let header =
                    to_bytes(&Value::Map(vec![(1.into(), (-8).into()), (4.into(), Value::Bytes(vec![1; 32]))]));
                parts(&mut list[1])[0] = Value::Bytes(header);
            },
            "name by alg and kid one co-signer",
        ),
        (
            "of another algorithm",
            |list| {
                let key = Value::Bytes(device().public().as_bytes().to_vec());
                parts(&mut list[0])[0] =
                    Value::Bytes(to_bytes(&Value::Map(vec![(1.into(), (-8).into()), (4.into(), key)])));
            },
            "name by alg and kid one co-signer",
        ),
        (
            "with an unprotected header",
            |list| parts(&mut list[0])[1] = Value::Map(vec![(4.into(), Value::Bytes(vec![1]))]),
            "must be a map of 0 pairs",
        ),
        ("with a short signature", |list| parts(&mut list[0])[2] = Value::Bytes(vec![0; 63]), "must be 64 bytes"),
    ];
    for (what, change, expected) in rows {
        let said = SignedTransaction::decode(altered(change)).unwrap_err().to_string();
        assert!(said.contains(expected), "{what}: {said}");
    }
    // Nobody asked for any.
    let alone = fixtures::intent(vec![fixtures::append()]).sign(&keys()[0]).unwrap();
    let mut sign1 = CoseSign1::from_tagged_slice(alone.bytes()).unwrap();
    sign1.unprotected = CoseSign1::from_tagged_slice(complete().bytes()).unwrap().unprotected;
    let said = SignedTransaction::decode(sign1.to_tagged_vec().unwrap()).unwrap_err().to_string();
    assert!(said.contains("must be a map of 0 pairs"), "{said}");
}

/// Altered signatures are found alone and in a batch, whoever made them, and the others hold.
#[test]
fn altered_signatures_are_found_alone_and_in_a_batch() {
    let flip = |bytes: &mut Value| bytes.as_bytes_mut().unwrap()[10] ^= 1;
    let main = {
        let mut sign1 = CoseSign1::from_tagged_slice(complete().bytes()).unwrap();
        sign1.signature[10] ^= 1;
        sign1.to_tagged_vec().unwrap()
    };
    let swapped = altered(|list| {
        let other = parts(&mut list[1])[2].clone();
        parts(&mut list[0])[2] = other;
    });
    let rows = [
        ("whole", complete().bytes().to_vec(), None),
        // The co-signatures cover the signer's signature: the signer's is named first.
        ("signer", main, Some("cabinet-office/administrator")),
        ("device", altered(|list| flip(&mut parts(&mut list[0])[2])), Some("cabinet-office/laptop")),
        ("officer", altered(|list| flip(&mut parts(&mut list[1])[2])), Some("hmrc/administrator")),
        ("swapped", swapped, Some("cabinet-office/laptop")),
        ("whole again", complete().bytes().to_vec(), None),
    ];
    let decoded: Vec<_> = rows.iter().map(|(_, bytes, _)| SignedTransaction::decode(bytes.clone()).unwrap()).collect();
    let batch = verify_batch(decoded.clone(), &mut StdRng::seed_from_u64(4));
    for (((what, _, expected), alone), in_batch) in rows.iter().zip(decoded).zip(batch) {
        let alone = alone.verify();
        let culprit = alone.as_ref().err().map(|error| error.signer.to_string());
        assert_eq!(culprit.as_deref(), *expected, "{what}");
        assert_eq!(alone, in_batch, "{what}");
    }
}

/// A co-signature over the payload alone, as RFC 8152 made them, does not count: it would not bind the signer's.
#[test]
fn a_cosignature_binds_the_signers() {
    let officer = fixtures::administrator(2);
    let mut other = intent();
    other.idempotency_key = vec![7; 16];
    let from_another = officer.sign(&other.begin(&keys()[0]).unwrap().to_be_cosigned(&officer.public())).unwrap();
    let as_signer = officer.sign(&intent().to_be_signed(&keys()[0].public())).unwrap();
    for signature in [from_another, as_signer] {
        let transaction = begun().with_cosignature(&officer.public(), &signature).unwrap();
        let error = transaction.verify().unwrap_err();
        assert_eq!((error.signer.as_str(), error.error), ("hmrc/administrator", KeyError::Signature));
    }
}

#[test]
fn cosigners_are_few_and_distinct() {
    let cosigner = |name: &str, seed: u8| Cosigner {
        principal: format!("council/{name}").parse().unwrap(),
        key: SigningKey::from_ed25519_seed(&[seed; 32]).public(),
    };
    let many = |n: usize| (0..n).map(|i| cosigner(&format!("clerk-{i}"), 50 + i as u8)).collect::<Vec<_>>();
    let signer = Cosigner { principal: intent().principal, key: PublicKey::Ed25519([3; 32]) };
    let rows = [
        (many(COSIGNERS_MAX), None),
        (many(COSIGNERS_MAX + 1), Some("an array of 1 to 8 elements")),
        (vec![cosigner("a", 50), cosigner("a", 51)], Some("must be different principals")),
        (vec![cosigner("a", 50), cosigner("b", 50)], Some("must be different principals")),
        (vec![signer], Some("must be different principals")),
        (vec![cosigner("a", 1)], Some("must be different principals")),
    ];
    for (place, (cosigners, expected)) in rows.into_iter().enumerate() {
        let result = Intent { cosigners, ..intent() }.begin(&keys()[0]);
        match (result, expected) {
            (Ok(begun), None) => assert_eq!(begun.missing().count(), COSIGNERS_MAX),
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "row {place}: {error}"),
            (result, _) => panic!("row {place}: {result:?}"),
        }
    }
}
