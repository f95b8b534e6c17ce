//! Entries, records and items in the forms that openregister v1 gives them.
//!
//! ```text
//! entry   {"index-entry-number":"1","entry-number":"1","entry-timestamp":"…","key":"GB","item-hash":["sha-256:…"]}
//! record  {"GB":{"index-entry-number":"1","entry-number":"1","entry-timestamp":"…","key":"GB","item":[{…}]}}
//! ```
//!
//! An entry's JSON is byte for byte the leaf of the register's tree, an item's is its canonical text: what is served can
//! be hashed as it stands.

use super::csv;
use std::fmt::Write as _;
use tallystick_ledger::{
    entry_leaf::{entry_leaf, format_v1_hash},
    item::Item,
    moment::format_timestamp,
};
use tallystick_protocol::Hash;
use tallystick_storage::history::Entry;

/// Columns that every row about an entry begins with.
const ENTRY_COLUMNS: [&str; 4] = ["index-entry-number", "entry-number", "entry-timestamp", "key"];

/// Entries as a JSON list.
pub fn entries_json(entries: &[Entry]) -> String {
    let mut out = String::with_capacity(2 + entries.len() * 192);
    list(&mut out, '[', ']', entries, |out, entry| {
        let hashes: Vec<Hash> = entry.items.iter().map(|(hash, _)| *hash).collect();
        let leaf = entry_leaf(entry.number, entry.timestamp, &entry.key, &hashes);
        out.push_str(&String::from_utf8_lossy(&leaf));
    });
    out
}

/// Entries as CSV.
pub fn entries_csv(entries: &[Entry]) -> String {
    let mut out = String::with_capacity(64 + entries.len() * 128);
    csv::line(&mut out, ENTRY_COLUMNS.into_iter().chain(["item-hash"]));
    for entry in entries {
        let hashes: Vec<String> = entry.items.iter().map(|(hash, _)| format_v1_hash(hash)).collect();
        let (number, timestamp) = (entry.number.to_string(), format_timestamp(entry.timestamp));
        csv::line(&mut out, [&number, &number, &timestamp, entry.key.as_str(), &hashes.join(";")]);
    }
    out
}

/// Records as a JSON object from key to record, in the order given. A record is its latest entry with its items.
pub fn records_json(records: &[Entry]) -> String {
    let mut out = String::with_capacity(2 + records.len() * 512);
    list(&mut out, '{', '}', records, |out, record| {
        let key = json_string(&record.key);
        let (number, timestamp) = (record.number, format_timestamp(record.timestamp));
        // Writing to a string does not fail.
        let _ = write!(
            out,
            r#"{key}:{{"index-entry-number":"{number}","entry-number":"{number}","entry-timestamp":"{timestamp}","key":{key},"item":"#
        );
        list(out, '[', ']', &record.items, |out, (_, item)| out.push_str(item));
        out.push('}');
    });
    out
}

/// Records as CSV: a row for each item, with the register's fields as columns.
pub fn records_csv(records: &[Entry], fields: &[String]) -> String {
    let mut out = String::with_capacity(128 + records.len() * 256);
    csv::line(&mut out, ENTRY_COLUMNS.into_iter().chain(fields.iter().map(String::as_str)));
    for record in records {
        let (number, timestamp) = (record.number.to_string(), format_timestamp(record.timestamp));
        for (_, item) in &record.items {
            let values = item_values(item, fields);
            let entry = [&number, &number, &timestamp, &record.key].map(String::as_str);
            csv::line(&mut out, entry.into_iter().chain(values.iter().map(String::as_str)));
        }
    }
    out
}

/// One item as CSV, with the register's fields as columns.
pub fn item_csv(item: &str, fields: &[String]) -> String {
    let mut out = String::new();
    csv::line(&mut out, fields.iter().map(String::as_str));
    csv::line(&mut out, item_values(item, fields).iter().map(String::as_str));
    out
}

/// Whether the item's `field` is `value`, or a list that has it.
pub fn item_has(item: &str, field: &str, value: &str) -> bool {
    // Most items do not even contain the text; that is told without parsing. An escaped value is compared in full.
    let plain = value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain && !item.contains(value) {
        return false;
    }
    Item::parse(item).is_ok_and(|item| item.get(field).is_some_and(|held| held.strings().any(|held| held == value)))
}

/// A JSON string.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The item's value of each field: a list joined by `;`, nothing where it has none.
fn item_values(item: &str, fields: &[String]) -> Vec<String> {
    let item = Item::parse(item).ok();
    fields
        .iter()
        .map(|field| {
            let value = item.as_ref().and_then(|item| item.get(field));
            value.map(|value| value.strings().collect::<Vec<_>>().join(";")).unwrap_or_default()
        })
        .collect()
}

fn list<T>(out: &mut String, open: char, close: char, values: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push(open);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, value);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_ledger::item::item_hash;
    use tallystick_protocol::EntryKind;

    /// The two entries that openregister's own tests of its representations serve.
    fn specimen() -> Vec<Entry> {
        let entry = |number, key: &str, timestamp, item: &str| Entry {
            number,
            kind: EntryKind::User,
            key: key.to_owned(),
            timestamp,
            items: vec![(item_hash(item), item.to_owned())],
            leaf: 0,
        };
        vec![
            entry(1, "value1", 1_456_794_123, r#"{"fields":["field1"],"register":"value1","text":"The Entry 1"}"#),
            entry(
                2,
                "value2",
                1_456_884_184,
                r#"{"fields":["field1","field2"],"register":"value2","text":"The Entry 2"}"#,
            ),
        ]
    }

    fn fields() -> Vec<String> {
        ["register", "text", "registry", "phase", "copyright", "fields"].map(str::to_owned).to_vec()
    }

    #[test]
    fn entries_have_openregisters_members_in_its_order() {
        assert_eq!(
            entries_json(&specimen()),
            r#"[{"index-entry-number":"1","entry-number":"1","entry-timestamp":"2016-03-01T01:02:03Z","key":"value1","item-hash":["sha-256:877d8bd1ab71dc6e48f64b4ca83c6d7bf645a1eb56b34d50fa8a833e1101eb18"]},{"index-entry-number":"2","entry-number":"2","entry-timestamp":"2016-03-02T02:03:04Z","key":"value2","item-hash":["sha-256:63e5a0453b088e39265ca9f20fd03e2b206422e32989649adaca84426b531cd7"]}]"#
        );
        assert_eq!(
            entries_csv(&specimen()),
            "index-entry-number,entry-number,entry-timestamp,key,item-hash\r\n\
             1,1,2016-03-01T01:02:03Z,value1,\"sha-256:877d8bd1ab71dc6e48f64b4ca83c6d7bf645a1eb56b34d50fa8a833e1101eb18\"\r\n\
             2,2,2016-03-02T02:03:04Z,value2,\"sha-256:63e5a0453b088e39265ca9f20fd03e2b206422e32989649adaca84426b531cd7\"\r\n"
        );
        assert_eq!(entries_json(&[]), "[]");
    }

    #[test]
    fn records_are_keyed_and_hold_their_items() {
        let mut newest_first = specimen();
        newest_first.reverse();
        assert_eq!(
            records_json(&newest_first),
            r#"{"value2":{"index-entry-number":"2","entry-number":"2","entry-timestamp":"2016-03-02T02:03:04Z","key":"value2","item":[{"fields":["field1","field2"],"register":"value2","text":"The Entry 2"}]},"value1":{"index-entry-number":"1","entry-number":"1","entry-timestamp":"2016-03-01T01:02:03Z","key":"value1","item":[{"fields":["field1"],"register":"value1","text":"The Entry 1"}]}}"#
        );
        assert_eq!(
            records_csv(&newest_first, &fields()),
            "index-entry-number,entry-number,entry-timestamp,key,register,text,registry,phase,copyright,fields\r\n\
             2,2,2016-03-02T02:03:04Z,value2,value2,\"The Entry 2\",,,,field1;field2\r\n\
             1,1,2016-03-01T01:02:03Z,value1,value1,\"The Entry 1\",,,,field1\r\n"
        );
        assert_eq!(records_json(&[]), "{}");
    }

    #[test]
    fn an_item_is_one_row() {
        let item = &specimen()[0].items[0].1;
        assert_eq!(
            item_csv(item, &fields()),
            "register,text,registry,phase,copyright,fields\r\nvalue1,\"The Entry 1\",,,,field1\r\n"
        );
    }

    #[test]
    fn a_record_with_several_items_has_a_row_for_each() {
        let mut record = specimen().remove(0);
        record.items.push((item_hash("{}"), "{}".to_owned()));
        assert_eq!(records_csv(&[record.clone()], &fields()).lines().count(), 3);
        assert!(
            records_json(&[record])
                .contains(r#""item":[{"fields":["field1"],"register":"value1","text":"The Entry 1"},{}]"#)
        );
    }

    #[test]
    fn a_field_is_searched_by_value_not_by_text() {
        let item = r#"{"fields":["a","b"],"name":"Say \"no\"","phase":"beta","text":"beta"}"#;
        for (field, value, found) in [
            ("phase", "beta", true),
            ("text", "beta", true),
            ("name", "beta", false),
            ("phase", "bet", false),
            ("fields", "b", true),
            ("fields", "a;b", false),
            ("name", "Say \"no\"", true),
            ("absent", "beta", false),
        ] {
            assert_eq!(item_has(item, field, value), found, "{field} = {value}");
        }
    }
}
