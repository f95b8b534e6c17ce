//! Wycheproof: signatures that must hold, and forgeries that must not.

use serde_json::Value;
use tallystick_protocol::{KeyError, PublicKey};

fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn cases(file: &str) -> Vec<(Value, Value)> {
    let Some(folder) = tallystick_tests::absent::data("wycheproof") else { return Vec::new() };
    let suite: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    let groups = suite["testGroups"].as_array().unwrap();
    let cases: Vec<_> = groups
        .iter()
        .flat_map(|group| {
            group["tests"].as_array().unwrap().iter().map(|case| (group["publicKey"].clone(), case.clone()))
        })
        .collect();
    assert!(cases.len() > 100);
    cases
}

/// Where ZIP-215 takes what RFC 8032 refuses: R encoded as y = 1 with the sign bit set. Only the key's holder can make
/// such a signature, and batch and single verification agree on it, which RFC 8032 does not give.
const ZIP_215_TAKES: &[u64] = &[151];

#[test]
fn ed25519() {
    for (key, case) in cases("ed25519_test.json") {
        let public = PublicKey::from_bytes(&hex(&key["pk"])).unwrap();
        let holds = <[u8; 64]>::try_from(hex(&case["sig"]))
            .is_ok_and(|signature| public.verify(&hex(&case["msg"]), &signature).is_ok());
        let expected = case["result"] == "valid" || ZIP_215_TAKES.contains(&case["tcId"].as_u64().unwrap());
        assert_eq!(holds, expected, "{}: {}", case["tcId"], case["comment"]);
    }
}

/// The suite calls both halves of `s` valid; we take the low one only, and say so.
#[test]
fn p256() {
    for (key, case) in cases("ecdsa_secp256r1_sha256_p1363_test.json") {
        let point = hex(&key["uncompressed"]);
        let mut compressed = vec![2 | (point[64] & 1)];
        compressed.extend_from_slice(&point[1..33]);
        let public = PublicKey::from_bytes(&compressed).unwrap();
        assert_eq!(public.validate(), Ok(()));
        let valid = case["result"] == "valid";
        match <[u8; 64]>::try_from(hex(&case["sig"])) {
            Err(_) => assert!(!valid),
            Ok(signature) => match public.verify(&hex(&case["msg"]), &signature) {
                Ok(()) => assert!(valid, "{}: {}", case["tcId"], case["comment"]),
                Err(KeyError::HighS) => assert!(signature[32] >= 0x7f, "{}", case["tcId"]),
                Err(_) => assert!(!valid, "{}: {}", case["tcId"], case["comment"]),
            },
        }
    }
}
