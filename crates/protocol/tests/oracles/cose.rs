//! Our transactions as `coset`, an independent COSE library, reads and makes them.

use crate::{data, fixtures};
use coset::{
    CborSerializable as _, CoseSign1, TaggedCborSerializable as _,
    cbor::value::Value,
    cwt::{ClaimName, ClaimsSet},
    iana,
};
use tallystick_protocol::{PublicKey, SignedTransaction, SigningKey};

fn keys() -> [SigningKey; 2] {
    [fixtures::administrator(0), SigningKey::from_p256_scalar(&[5; 32]).unwrap()]
}

#[test]
fn coset_reads_what_we_sign() {
    for key in keys() {
        let intent = fixtures::intent(vec![fixtures::append()]);
        let transaction = intent.sign(&key).unwrap();
        let sign1 = CoseSign1::from_tagged_slice(transaction.bytes()).unwrap();
        let header = &sign1.protected.header;
        let algorithm = match key.public() {
            PublicKey::Ed25519(_) => iana::Algorithm::EdDSA,
            PublicKey::P256(_) => iana::Algorithm::ES256,
        };
        assert_eq!(header.alg, Some(coset::RegisteredLabelWithPrivate::Assigned(algorithm)));
        assert_eq!(header.key_id, key.public().as_bytes());
        assert!(sign1.unprotected.is_empty());
        let (_, claims) = header.rest.iter().find(|(label, _)| *label == coset::Label::Int(15)).unwrap();
        let claims = ClaimsSet::from_slice(&claims.clone().to_vec().unwrap()).unwrap();
        assert_eq!(claims.issuer.as_deref(), Some("cabinet-office/administrator"));
        assert_eq!(claims.subject.as_deref(), Some("country:GB"));
        assert_eq!(claims.audience, Some(intent.network.to_string()));
        assert_eq!(claims.expiration_time, Some(coset::cwt::Timestamp::WholeSeconds(intent.not_after as i64)));
        assert_eq!(claims.cwt_id.as_deref(), Some(intent.idempotency_key.as_slice()));
        sign1
            .verify_signature(b"", |signature, message| {
                assert_eq!(message, transaction.to_be_signed());
                key.public().verify(message, signature.try_into().unwrap())
            })
            .unwrap();
    }
}

#[test]
fn we_read_what_coset_signs() {
    for key in keys() {
        let intent = fixtures::intent(vec![fixtures::append()]);
        let ours = intent.sign(&key).unwrap();
        let payload = CoseSign1::from_tagged_slice(ours.bytes()).unwrap().payload.unwrap();
        let claims = Value::Map(vec![
            (1.into(), Value::Text("cabinet-office/administrator".into())),
            (2.into(), Value::Text("country:GB".into())),
            (3.into(), Value::Text(intent.network.to_string())),
            (4.into(), intent.not_after.into()),
            (7.into(), Value::Bytes(intent.idempotency_key.clone())),
        ]);
        let algorithm = match key.public() {
            PublicKey::Ed25519(_) => iana::Algorithm::EdDSA,
            PublicKey::P256(_) => iana::Algorithm::ES256,
        };
        let header = coset::HeaderBuilder::new()
            .algorithm(algorithm)
            .key_id(key.public().as_bytes().to_vec())
            .value(15, claims)
            .build();
        let theirs = coset::CoseSign1Builder::new()
            .protected(header)
            .payload(payload)
            .create_signature(b"", |message| key.sign(message).unwrap().to_vec())
            .build()
            .to_tagged_vec()
            .unwrap();
        let theirs = SignedTransaction::decode(theirs).unwrap();
        assert_eq!(theirs.intent(), &intent);
        assert_eq!(theirs.to_be_signed(), ours.to_be_signed());
        theirs.verify().unwrap();
    }
    let _ = ClaimName::Assigned(iana::CwtClaimName::Iss);
}

/// The COSE working group's own examples of EdDSA over Ed25519: their bytes to be signed verify under our keys.
#[test]
fn examples_of_the_working_group_verify() {
    let Some(folder) = tallystick_tests::absent::data("cose") else { return };
    let mut verified = 0;
    for (path, case) in data::json_files(&folder) {
        let key = &case["input"]["sign0"]["key"];
        if key["crv"] != "Ed25519" {
            continue;
        }
        let hex = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let sign1 = CoseSign1::from_tagged_slice(&hex(&case["output"]["cbor"])).unwrap();
        let public = PublicKey::from_bytes(&hex(&key["x_hex"])).unwrap();
        let secret = SigningKey::from_ed25519_seed(&hex(&key["d_hex"]).try_into().unwrap());
        let message = hex(&case["intermediates"]["ToBeSign_hex"]);
        let signature = sign1.signature.as_slice().try_into().unwrap();
        assert_eq!(public.verify(&message, signature), Ok(()), "{}", path.display());
        assert_eq!(secret.sign(&message).unwrap(), *signature, "{}", path.display());
        verified += 1;
    }
    assert!(verified > 0);
}
