//! Reading RSF: one pass, line by line.

use std::collections::BTreeMap;

use tallystick_protocol::{
    Hash,
    limits::{ITEMS_PER_ENTRY_MAX, SHOWN_CHARS_MAX},
    operation::{EntryKind, validate_key},
};

use super::{Rsf, RsfAssertion, RsfEntry, RsfError, RsfErrorKind, RsfItem, RsfStart};
use crate::{
    entry_leaf::{entry_leaf_hash, parse_v1_hash},
    item::Item,
    moment::parse_timestamp,
};

pub(super) fn parse<'a>(bytes: &'a [u8], start: RsfStart) -> Result<Rsf<'a>, RsfError> {
    let mut reader = Reader {
        system: start.system,
        by_hash: BTreeMap::new(),
        used: Vec::new(),
        latest: BTreeMap::new(),
        rsf: Rsf { frontier: start.user.clone(), start, items: Vec::new(), entries: Vec::new(), asserted: Vec::new() },
    };
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if !bytes.is_empty() {
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let number = index as u64 + 1;
            reader.line(number, line).map_err(|(at, kind)| RsfError {
                line: number,
                column: column(line, at),
                kind,
            })?;
        }
    }
    reader.finish()
}

/// The character, from 1, at a byte of the line.
fn column(line: &[u8], at: usize) -> u64 {
    let before = line.get(..at).unwrap_or(line);
    String::from_utf8_lossy(before).chars().count() as u64 + 1
}

/// A byte within the line, and what is wrong there.
type LineError = (usize, RsfErrorKind);

struct Reader<'a> {
    rsf: Rsf<'a>,
    system: u64,
    /// Items by hash: indexes into the file's items.
    by_hash: BTreeMap<Hash, u32>,
    /// Whether an entry uses the item, by index.
    used: Vec<bool>,
    /// The timestamp of each key's latest entry.
    latest: BTreeMap<(EntryKind, &'a str), u64>,
}

/// A field of a line and the byte it begins at.
type FieldAt<'a> = (usize, &'a str);

impl<'a> Reader<'a> {
    fn line(&mut self, number: u64, line: &'a [u8]) -> Result<(), LineError> {
        let text = std::str::from_utf8(line).map_err(|error| (error.valid_up_to(), RsfErrorKind::NotUtf8))?;
        if let Some(text) = text.strip_suffix('\r') {
            return Err((text.len(), RsfErrorKind::CarriageReturn));
        }
        if text.is_empty() {
            return Err((0, RsfErrorKind::Blank));
        }
        let mut at = 0;
        let mut fields = text.split('\t').map(|field| {
            let start = at;
            at += field.len() + 1;
            (start, field)
        });
        let command = fields.next().map_or("", |(_, command)| command);
        match command {
            "add-item" => self.add_item(number, exactly("add-item", text, fields)?),
            "append-entry" => self.append_entry(number, exactly("append-entry", text, fields)?),
            "assert-root-hash" => self.assert_root(number, exactly("assert-root-hash", text, fields)?),
            other => Err((0, RsfErrorKind::Command(shown(other)))),
        }
    }

    fn add_item(&mut self, line: u64, [(at, text)]: [FieldAt<'a>; 1]) -> Result<(), LineError> {
        let item = Item::parse(text).map_err(|error| (at + error.offset, RsfErrorKind::Item(error.kind)))?;
        let hash = item.hash();
        let index = u32::try_from(self.rsf.items.len()).unwrap_or(u32::MAX);
        // Giving an item again is idle, not wrong: some registers do.
        self.by_hash.entry(hash).or_insert_with(|| {
            self.rsf.items.push(RsfItem { line, text, hash });
            self.used.push(false);
            index
        });
        Ok(())
    }

    fn append_entry(&mut self, line: u64, fields: [FieldAt<'a>; 4]) -> Result<(), LineError> {
        let [(kind_at, kind), (key_at, key), (timestamp_at, timestamp), (items_at, items)] = fields;
        let kind: EntryKind = kind.parse().map_err(|_| (kind_at, RsfErrorKind::Kind(shown(kind))))?;
        validate_key(kind, key).map_err(|error| (key_at, RsfErrorKind::Key(error)))?;
        let timestamp =
            parse_timestamp(timestamp).ok_or_else(|| (timestamp_at, RsfErrorKind::Timestamp(shown(timestamp))))?;
        let (items, hashes) = self.find_items(items_at, items)?;
        if let Some(previous) = self.latest.insert((kind, key), timestamp)
            && previous > timestamp
        {
            return Err((timestamp_at, RsfErrorKind::Order { key: key.to_owned(), previous }));
        }
        let number = match kind {
            EntryKind::System => {
                self.system += 1;
                self.system
            }
            EntryKind::User => {
                let number = self.rsf.frontier.size() + 1;
                self.rsf.frontier.append(entry_leaf_hash(number, timestamp, key, &hashes));
                number
            }
        };
        self.rsf.entries.push(RsfEntry { line, kind, number, key, timestamp, items });
        Ok(())
    }

    fn find_items(&mut self, at: usize, text: &str) -> Result<(Vec<u32>, Vec<Hash>), LineError> {
        let (mut indexes, mut hashes) = (Vec::with_capacity(1), Vec::with_capacity(1));
        let mut at = at;
        for part in text.split(';') {
            if hashes.len() >= ITEMS_PER_ENTRY_MAX {
                return Err((at, RsfErrorKind::TooManyItems));
            }
            let hash = parse_v1_hash(part).ok_or_else(|| (at, RsfErrorKind::Hash(shown(part))))?;
            let index = *self.by_hash.get(&hash).ok_or((at, RsfErrorKind::UnknownItem(hash)))?;
            if let Some(used) = usize::try_from(index).ok().and_then(|index| self.used.get_mut(index)) {
                *used = true;
            }
            indexes.push(index);
            hashes.push(hash);
            at += part.len() + 1;
        }
        Ok((indexes, hashes))
    }

    fn assert_root(&mut self, line: u64, [(at, text)]: [FieldAt<'a>; 1]) -> Result<(), LineError> {
        let root = parse_v1_hash(text).ok_or_else(|| (at, RsfErrorKind::Hash(shown(text))))?;
        let user_entries = self.rsf.frontier.size();
        let computed = self.rsf.frontier.root();
        if root != computed {
            return Err((at, RsfErrorKind::Root { user_entries, computed }));
        }
        self.rsf.asserted.push(RsfAssertion { line, user_entries, root });
        Ok(())
    }

    fn finish(self) -> Result<Rsf<'a>, RsfError> {
        let orphan = self.rsf.items.iter().zip(&self.used).find(|(_, used)| !**used);
        match orphan {
            Some((item, _)) => {
                let column = "add-item\t".len() as u64 + 1;
                Err(RsfError { line: item.line, column, kind: RsfErrorKind::OrphanItem(item.hash) })
            }
            None => Ok(self.rsf),
        }
    }
}

/// The fields after the command, if there are as many as it has.
fn exactly<'a, const N: usize>(
    command: &'static str,
    line: &str,
    fields: impl Iterator<Item = FieldAt<'a>>,
) -> Result<[FieldAt<'a>; N], LineError> {
    let fields: Vec<FieldAt<'a>> = fields.collect();
    let found = fields.len();
    // The first field too many, or the end of the line where one is missing.
    let at = fields.get(N).map_or(line.len(), |(at, _)| *at);
    fields.try_into().map_err(|_| (at, RsfErrorKind::FieldCount { command, expected: N, found }))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ITEM: &str = r#"{"a":"1"}"#;

    fn said(text: &[u8]) -> String {
        Rsf::parse(text).map_or_else(|error| error.to_string(), |rsf| format!("ok, {} entries", rsf.entries().len()))
    }

    /// The text, with `H` standing for the hash of the item `{"a":"1"}`, and what is said of it.
    const TABLE: &[(&str, &str)] = &[
        ("", "ok, 0 entries"),
        ("add-item\t{\"a\":\"1\"}\nappend-entry\tuser\tk\t2017-07-17T10:59:46Z\tH", "ok, 1 entries"),
        ("add-item\t{\"a\":\"1\"}\nappend-entry\tuser\tk\t2017-07-17T10:59:46Z\tH;H\n", "ok, 1 entries"),
        (
            "add-item\t{\"a\":\"1\"}\nadd-item\t{\"a\":\"1\"}\nappend-entry\tsystem\tregister:a\t2017-07-17T10:59:46Z\tH\n",
            "ok, 1 entries",
        ),
        ("\n", "line 1, column 1: no command on this line: remove it"),
        ("\n\n", "line 1, column 1: no command on this line: remove it"),
        (
            "add-item\t{\"a\":\"1\"}\r\n",
            "line 1, column 19: line ends with a carriage return: end lines with a line feed alone",
        ),
        (
            "\u{feff}add-item\t{}",
            "line 1, column 1: unknown command `\u{feff}add-item`: use add-item, append-entry or assert-root-hash",
        ),
        (
            "remove-item\tx",
            "line 1, column 1: unknown command `remove-item`: use add-item, append-entry or assert-root-hash",
        ),
        ("add-item", "line 1, column 9: add-item has 1 fields after it, separated by tabs: found 0"),
        ("add-item\t{}\t", "line 1, column 13: add-item has 1 fields after it, separated by tabs: found 2"),
        (
            "add-item\t{\"é\":1}",
            "line 1, column 15: item: a value must be a string or a list of strings: something else",
        ),
        ("add-item\t{\"a\":\"1\"", "line 1, column 18: item: expected `,` or `}`: something else"),
        (
            "append-entry\t2017-07-17T10:59:46Z\tH\tk",
            "line 1, column 109: append-entry has 4 fields after it, separated by tabs: found 3",
        ),
        (
            "append-entry\tUser\tk\t2017-07-17T10:59:46Z\tH",
            "line 1, column 14: unknown kind of entry `User`: use user or system",
        ),
        (
            "append-entry\tuser\ta--b\t2017-07-17T10:59:46Z\tH",
            "line 1, column 19: `a--b` is not a key: use 1 to 128 letters and digits, with `-`, `_`, `.`, `/` after the first, never two of those in a row",
        ),
        (
            "append-entry\tuser\tk\t2017-07-17\tH",
            "line 1, column 21: `2017-07-17` is not a timestamp: write whole seconds in UTC, such as 2017-07-17T10:59:46Z",
        ),
        (
            "append-entry\tuser\tk\t2017-07-17T10:59:46Z\tsha-256:K3rf",
            "line 1, column 42: `sha-256:K3rf` is not a hash: write sha-256: and 64 lower-case hexadecimal digits",
        ),
        (
            "append-entry\tuser\tk\t2017-07-17T10:59:46Z\t",
            "line 1, column 42: `` is not a hash: write sha-256: and 64 lower-case hexadecimal digits",
        ),
        (
            "append-entry\tuser\tk\t2017-07-17T10:59:46Z\tH",
            "line 1, column 42: entry of an unknown item H: add the item on an earlier line",
        ),
        (
            "add-item\t{\"a\":\"1\"}\n",
            "line 1, column 10: orphan item H: remove it, or append the entry that it belongs to",
        ),
        (
            "assert-root-hash\tH",
            "line 1, column 18: asserted root is not that of the 0 user entries so far, sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855: check that the file is complete and unchanged",
        ),
    ];

    #[test]
    fn every_error_names_line_and_column() {
        let hash = crate::entry_leaf::format_v1_hash(&Item::parse(ITEM).unwrap().hash());
        for (text, expected) in TABLE {
            // The letter alone, as a field or part of one: nothing else in the table is an upper-case H.
            let text = text.replace('H', &hash);
            assert_eq!(said(text.as_bytes()), expected.replace('H', &hash), "{text}");
        }
        assert_eq!(said(b"add-item\t{\"\xc3\xa9\xff\"}"), "line 1, column 13: not UTF-8: save the file as UTF-8");
        let many = format!(
            "add-item\t{ITEM}\nappend-entry\tuser\tk\t2017-07-17T10:59:46Z\t{}",
            vec![hash.as_str(); 17].join(";")
        );
        assert!(said(many.as_bytes()).ends_with("an entry has up to 16 items: split it"), "{}", said(many.as_bytes()));
    }

    #[test]
    fn a_continuation_begins_where_the_register_is() {
        let whole = "add-item\t{\"a\":\"1\"}\nappend-entry\tuser\tk\t2017-07-17T10:59:46Z\tH\n";
        let hash = crate::entry_leaf::format_v1_hash(&Item::parse(ITEM).unwrap().hash());
        let first = whole.replace('H', &hash);
        let first = Rsf::parse(first.as_bytes()).unwrap();
        let start = RsfStart { user: first.frontier.clone(), system: 3 };
        let next = format!(
            "assert-root-hash\tsha-256:{}\nadd-item\t{ITEM}\nappend-entry\tsystem\tname\t2018-01-01T00:00:00Z\t{hash}\n\
             append-entry\tuser\tk\t2018-01-01T00:00:00Z\t{hash}\n",
            first.root()
        );
        let rsf = Rsf::parse_onto(next.as_bytes(), start).unwrap();
        assert_eq!(rsf.entries().iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 2]);
        assert!(Rsf::parse(next.as_bytes()).is_err());
    }
}
