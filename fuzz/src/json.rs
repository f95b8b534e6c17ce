//! Items against another JSON parser.

use std::collections::BTreeMap;

use serde_json::Value;
use tallystick_ledger::item::{self, Item, canonicalise};

use super::{choices::Choices, oracle::sha256};

/// Texts that lie near the canonical form.
const NEAR: [&str; 5] = [
    r#"{"citizen-names":"Briton","country":"GB","name":"United Kingdom"}"#,
    r#"{"characters":["Fl W 20s","Racon"],"name":"Rubha \"Glas\" \\ \u001F"}"#,
    r#"{"a":[],"b":"","é":"\n\t\b\f\r"}"#,
    r#" { "b" : "\u00e9\ud83d\ude00\/" , "a" : [ "x" ] } "#,
    "{}",
];

/// What is accepted as canonical is one JSON object, means the same to another parser, and is its own canonical form.
pub fn item_parse(data: &[u8]) {
    let mut choices = Choices::new(data);
    let bytes = match choices.byte() & 1 {
        0 => choices.rest().to_vec(),
        _ => {
            let mut bytes = NEAR[choices.below(NEAR.len())].as_bytes().to_vec();
            choices.damage(&mut bytes);
            bytes
        }
    };
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    if let Ok(canonical) = canonicalise(text) {
        let item = Item::parse(&canonical).expect("what was made canonical is canonical");
        assert_eq!(meaning(&canonical), meaning(text), "making {text:?} canonical kept its meaning");
        assert_eq!(item.hash().0, sha256(canonical.as_bytes()));
    }
    let Ok(item) = Item::parse(text) else { return };
    assert_eq!(item.text(), text);
    assert_eq!(canonicalise(text).as_deref(), Ok(text), "a canonical text is its own canonical form");
    let read: BTreeMap<String, Vec<String>> =
        item.members().map(|(name, value)| (name.to_owned(), value.strings().map(str::to_owned).collect())).collect();
    assert_eq!(
        Some(read),
        meaning(text).map(|members| members.into_iter().map(|(name, (_, values))| (name, values)).collect())
    );
    for (name, (single, _)) in meaning(text).expect("an item is JSON") {
        let value = item.get(&name).expect("the member is there");
        assert_eq!(matches!(value, item::Value::One(_)), single, "`{name}` is one or many");
    }
}

/// What another parser reads: for each member, whether it is a single string, and its strings.
fn meaning(text: &str) -> Option<BTreeMap<String, (bool, Vec<String>)>> {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(text) else { return None };
    let members = members.into_iter().map(|(name, value)| match value {
        Value::String(one) => Some((name, (true, vec![one]))),
        Value::Array(many) => {
            let strings: Option<Vec<_>> = many.into_iter().map(|value| value.as_str().map(str::to_owned)).collect();
            strings.map(|strings| (name, (false, strings)))
        }
        _ => None,
    });
    members.collect()
}
