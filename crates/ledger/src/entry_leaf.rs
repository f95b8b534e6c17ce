//! The leaf of a register's tree: the bytes by which openregister v1 commits to an entry.
//!
//! ```text
//! {"index-entry-number":"1","entry-number":"1","entry-timestamp":"2016-04-05T13:23:05Z","key":"GB","item-hash":["sha-256:…"]}
//! ```
//!
//! Exactly this order of members, no white space; user entries only. The tree is that of RFC 6962 with SHA-256.

use std::fmt::Write;

use tallystick_protocol::{Hash, merkle::leaf_hash};

use crate::{item::write_string, moment::write_timestamp};

/// The leaf's data: entry `number` (from 1), timestamp in Unix seconds, the key, and the hash of each item.
pub fn entry_leaf(number: u64, timestamp: u64, key: &str, items: &[Hash]) -> Vec<u8> {
    let mut out = String::with_capacity(128 + key.len() + 76 * items.len());
    // Writing to a string does not fail.
    let _ = write!(out, "{{\"index-entry-number\":\"{number}\",\"entry-number\":\"{number}\",\"entry-timestamp\":\"");
    write_timestamp(&mut out, timestamp);
    out.push_str("\",\"key\":");
    write_string(&mut out, key);
    out.push_str(",\"item-hash\":[");
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\"" } else { ",\"" });
        write_v1_hash(&mut out, item);
        out.push('"');
    }
    out.push_str("]}");
    out.into_bytes()
}

/// The hash of [`entry_leaf`], as the tree takes it.
pub fn entry_leaf_hash(number: u64, timestamp: u64, key: &str, items: &[Hash]) -> Hash {
    leaf_hash(&entry_leaf(number, timestamp, key, items))
}

/// Writes a hash as openregister v1 does: `sha-256:` and 64 hexadecimal digits.
pub fn format_v1_hash(hash: &Hash) -> String {
    let mut out = String::with_capacity(72);
    write_v1_hash(&mut out, hash);
    out
}

/// Reads [`format_v1_hash`]. Says none for everything else.
pub fn parse_v1_hash(text: &str) -> Option<Hash> {
    text.strip_prefix("sha-256:")?.parse().ok()
}

pub(crate) fn write_v1_hash(out: &mut String, hash: &Hash) {
    let mut digits = [0; 64];
    // The buffer is twice as long as the hash, and its digits are ASCII: neither fails.
    let _ = hex::encode_to_slice(hash.0, &mut digits);
    out.push_str("sha-256:");
    out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_is_the_published_form() {
        let item = Hash([0xab; 32]);
        let leaf = String::from_utf8_lossy(&entry_leaf(7, 1_459_862_585, "GB", &[item, item])).into_owned();
        let hash = "sha-256:abababababababababababababababababababababababababababababababab";
        assert_eq!(
            leaf,
            format!(
                r#"{{"index-entry-number":"7","entry-number":"7","entry-timestamp":"2016-04-05T13:23:05Z","key":"GB","item-hash":["{hash}","{hash}"]}}"#
            )
        );
        assert_eq!(format_v1_hash(&item), hash);
        assert_eq!(parse_v1_hash(hash), Some(item));
        for wrong in ["", "sha-256:", "sha-256:ab", &hash.to_uppercase(), &hash.replace("sha-256", "sha256")] {
            assert_eq!(parse_v1_hash(wrong), None, "{wrong}");
        }
    }
}
