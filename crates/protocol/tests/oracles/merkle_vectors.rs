//! The vectors of transparency-dev/merkle: what must hold holds, and what must not is refused.

use crate::data;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tallystick_protocol::{Hash, merkle};

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

fn hash(value: &Value) -> Option<Hash> {
    bytes(value).try_into().ok().map(Hash)
}

/// The proof, or `None` when an element is no hash: our types refuse that one room earlier.
fn proof(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(hash).collect())
}

fn check(folder: &str, holds: impl Fn(&Value) -> Option<bool>) {
    let Some(folder) = tallystick_tests::absent::data(folder) else { return };
    let files = data::json_files(&folder);
    assert!(!files.is_empty());
    for (path, case) in files {
        let refused = holds(&case) != Some(true);
        assert_eq!(Value::Bool(refused), case["wantErr"], "{}: {}", path.display(), case["desc"]);
    }
}

#[test]
fn inclusion() {
    check("merkle/inclusion", |case| {
        let (index, size) = (case["leafIdx"].as_u64()?, case["treeSize"].as_u64()?);
        let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
        Some(merkle::verify_inclusion(&leaf, index, size, &proof(&case["proof"])?, &root).is_ok())
    });
}

#[test]
fn consistency() {
    check("merkle/consistency", |case| {
        let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
        let (old_root, new_root) = (hash(&case["root1"])?, hash(&case["root2"])?);
        Some(merkle::verify_consistency(old, new, &old_root, &new_root, &proof(&case["proof"])?).is_ok())
    });
}
