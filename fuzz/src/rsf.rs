//! RSF against a reader that knows nothing but tabs and the openregister v1 leaf.

use std::collections::BTreeSet;

use tallystick_ledger::rsf::{Rsf, RsfWriter};
use tallystick_protocol::{EntryKind, Hash};

use super::{choices::Choices, oracle};

/// A small register of our own: see `tests/data`.
const LIGHTHOUSE: &str = include_str!("../../tests/data/lighthouse.rsf");

/// Whatever is accepted has the root that the oracle computes, every assertion in it is true, and writing it again gives
/// the same lines.
pub fn rsf_parse(data: &[u8]) {
    let mut choices = Choices::new(data);
    let bytes = match choices.byte() % 3 {
        0 => choices.rest().to_vec(),
        1 => {
            let mut bytes = LIGHTHOUSE.as_bytes().to_vec();
            choices.damage(&mut bytes);
            bytes
        }
        _ => shuffled(&mut choices),
    };
    let Ok(rsf) = Rsf::parse(&bytes) else { return };
    let text = std::str::from_utf8(&bytes).expect("RSF is UTF-8");
    let user = leaves(text);
    assert_eq!(rsf.count(EntryKind::User), user.len() as u64);
    assert_eq!(rsf.root(), Hash(oracle::root(&user)), "the register's root");
    for assertion in rsf.asserted() {
        assert_eq!(
            assertion.root,
            Hash(oracle::root(&user[..assertion.user_entries as usize])),
            "line {}",
            assertion.line
        );
    }
    assert_eq!(written(&rsf).lines().collect::<Vec<_>>(), said(text), "one history, one text");
    let _ = rsf.definition();
}

/// The lines of the sample, some left out, repeated or moved.
fn shuffled(choices: &mut Choices) -> Vec<u8> {
    let mut lines: Vec<_> = LIGHTHOUSE.lines().collect();
    for _ in 0..choices.below(6) {
        let (at, other) = (choices.below(lines.len()), choices.below(lines.len()));
        match choices.below(4) {
            0 if lines.len() > 1 => {
                lines.remove(at);
            }
            1 => lines.insert(at, lines[other]),
            2 => lines.swap(at, other),
            _ => lines.truncate(at.max(1)),
        }
    }
    lines.join("\n").into_bytes()
}

/// The lines that say something: an item given again says nothing.
fn said(text: &str) -> Vec<&str> {
    let mut items = BTreeSet::new();
    text.lines().filter(|line| !line.starts_with("add-item") || items.insert(*line)).collect()
}

/// The leaves of the user entries, by the text of the openregister v1 rule.
fn leaves(text: &str) -> Vec<Vec<u8>> {
    let user = text.lines().filter_map(|line| line.strip_prefix("append-entry\tuser\t"));
    let numbered = user.enumerate().map(|(index, line)| {
        let fields: Vec<_> = line.split('\t').collect();
        let [key, time, hashes] = fields[..] else { panic!("a user entry of other fields: {line}") };
        let items: Vec<_> = hashes.split(';').map(|hash| format!("\"{hash}\"")).collect();
        let (number, items) = (index + 1, items.join(","));
        format!(r#"{{"index-entry-number":"{number}","entry-number":"{number}","entry-timestamp":"{time}","key":"{key}","item-hash":[{items}]}}"#)
    });
    numbered.map(String::into_bytes).collect()
}

/// The history written again, line by line.
fn written(rsf: &Rsf) -> String {
    let mut lines = Vec::new();
    let mut writer = RsfWriter::new();
    for item in rsf.items() {
        writer.add_item(item.text);
        lines.push((item.line, writer.take()));
    }
    for entry in rsf.entries() {
        let items: Vec<_> = rsf.items_of(entry).map(|item| item.hash).collect();
        writer.append_entry(entry.kind, entry.key, entry.timestamp, &items);
        lines.push((entry.line, writer.take()));
    }
    for assertion in rsf.asserted() {
        writer.assert_root(&assertion.root);
        lines.push((assertion.line, writer.take()));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}
