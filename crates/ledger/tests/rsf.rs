//! RSF as governments publish it: every real register reproduces its root, every bad file is refused where it is bad.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use tallystick_ledger::rsf::{ImportLimits, Rsf, RsfWriter};
use tallystick_protocol::{
    Hash,
    operation::{Datatype, EntryKind, Operation},
};
use tallystick_tests::absent::data;

/// The real registers with their file names.
fn registers() -> Vec<(String, Vec<u8>)> {
    let Some(folder) = data("registers") else { return Vec::new() };
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rsf"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn every_real_register_reproduces_its_root() {
    let Some(roots) = data("registers/roots.json") else { return };
    let roots: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&fs::read(roots).unwrap()).unwrap();
    let registers = registers();
    assert_eq!(registers.len(), roots.len());
    for (name, bytes) in registers {
        let rsf = Rsf::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = &roots[&name];
        assert_eq!(format!("sha-256:{}", rsf.root()), expected["final_root"].as_str().unwrap(), "{name}");
        assert_eq!(rsf.count(EntryKind::User), expected["user_entries"].as_u64().unwrap(), "{name}");
        let user = rsf.entries().iter().filter(|entry| entry.kind == EntryKind::User);
        let keys: std::collections::BTreeSet<&str> = user.map(|entry| entry.key).collect();
        assert_eq!(keys.len() as u64, expected["records"].as_u64().unwrap(), "{name}");
        // Every file asserts the empty root first, and another further down, not always on the last line.
        assert_eq!(rsf.asserted().iter().map(|asserted| asserted.user_entries > 0).collect::<Vec<_>>(), [false, true]);
    }
}

#[test]
fn what_is_written_is_byte_for_byte_what_was_read() {
    for (name, bytes) in registers() {
        let rsf = Rsf::parse(&bytes).unwrap();
        let mut lines: BTreeMap<u64, String> = BTreeMap::new();
        let mut writer = RsfWriter::new();
        for assertion in rsf.asserted() {
            writer.assert_root(&assertion.root);
            lines.insert(assertion.line, writer.take());
        }
        for item in rsf.items() {
            writer.add_item(item.text);
            lines.insert(item.line, writer.take());
        }
        for entry in rsf.entries() {
            let items: Vec<Hash> = rsf.items_of(entry).map(|item| item.hash).collect();
            writer.append_entry(entry.kind, entry.key, entry.timestamp, &items);
            lines.insert(entry.line, writer.take());
        }
        let written: String = lines.into_values().collect();
        // Some files give an item twice; nothing is lost by writing it once.
        let mut seen = std::collections::BTreeSet::new();
        let original = String::from_utf8(bytes).unwrap();
        let once = original.lines().filter(|line| !line.starts_with("add-item") || seen.insert(*line));
        let once: String = once.flat_map(|line| [line, "\n"]).collect();
        assert_eq!(written.trim_end(), once.trim_end(), "{name}");
    }
}

#[test]
fn every_real_register_describes_itself() {
    for (name, bytes) in registers() {
        let rsf = Rsf::parse(&bytes).unwrap();
        let definition = rsf.definition();
        let register = definition.register.clone().unwrap();
        assert_eq!(format!("{register}.rsf"), name);
        // The oracle: the last list of fields in the file.
        let key = format!("register:{register}");
        let last = rsf.entries().iter().rfind(|entry| entry.key == key).unwrap();
        let item: serde_json::Value = serde_json::from_str(rsf.items_of(last).next().unwrap().text).unwrap();
        let names: Vec<&str> = definition.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(serde_json::json!(names), item["fields"], "{name}");
        assert_eq!(definition.text, item["text"].as_str().unwrap(), "{name}");
        assert!(definition.title.is_some() && definition.custodian.is_some(), "{name}");
        let primary = definition.fields.iter().find(|field| field.name == register).unwrap();
        assert_eq!(primary.datatype, Datatype::String, "{name}");
    }
}

#[test]
fn imports_are_chunks_in_order_with_the_root_after_each() {
    for (name, bytes) in registers() {
        let rsf = Rsf::parse(&bytes).unwrap();
        let (root, total) = (rsf.root(), rsf.entries().len());
        for entries_max in [1, 7, 1_024] {
            let limits = ImportLimits { entries_max, ..ImportLimits::default() };
            let (mut user, mut system, mut last) = (0, 0, None);
            for operation in rsf.clone().into_imports("r", limits).unwrap() {
                let Operation::RegisterImport { user_first, system_first, entries, root, .. } = operation else {
                    panic!("not an import")
                };
                assert_eq!((user_first, system_first), (user + 1, system + 1), "{name}");
                assert!(entries.len() <= entries_max);
                user += entries.iter().filter(|entry| entry.kind == EntryKind::User).count() as u64;
                system += entries.iter().filter(|entry| entry.kind == EntryKind::System).count() as u64;
                last = Some(root);
            }
            assert_eq!((usize::try_from(user + system).unwrap(), last), (total, Some(root)), "{name}");
        }
    }
}

#[test]
fn an_entry_too_large_for_a_transaction_is_named() {
    let Some((_, bytes)) = registers().into_iter().next() else { return };
    let rsf = Rsf::parse(&bytes).unwrap();
    let limits = ImportLimits { bytes_max: 150, ..ImportLimits::default() };
    let error = rsf.into_imports("r", limits).unwrap_err().to_string();
    assert!(error.contains("more than the 150 of one transaction: shorten its items"), "{error}");
}

/// openregister's own cases, and what is said of each. The file with `invalid-entry-ordering` is refused there because the
/// register's definition changes back; here because that entry is older than the one it replaces.
#[test]
fn the_published_cases() {
    let Some(folder) = data("registers/serialisation-cases") else { return };
    let table: &[(&str, Option<&str>)] = &[
        (
            "register-register-invalid-entry-ordering.rsf",
            Some(
                "line 14, column 39: entry older than the one before it for `register:register`, of \
                 2017-11-02T14:45:54Z: order each key's entries by time",
            ),
        ),
        (
            "register-register-non-canonical-item.tsv",
            Some("line 1, column 11: item: not canonical JSON: white space between tokens"),
        ),
        (
            "register-register-orphan-rsf.tsv",
            Some(
                "line 2, column 10: orphan item sha-256:d00d4b610e9b5af160a7e5e836eec9e12626cac61823eda1c3ec9a59a78eefaa: \
                 remove it, or append the entry that it belongs to",
            ),
        ),
        (
            "register-register-rsf-invalid-root-hash.tsv",
            Some(
                "line 1, column 18: asserted root is not that of the 0 user entries so far, \
                 sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855: \
                 check that the file is complete and unchanged",
            ),
        ),
        ("register-register-rsf.tsv", None),
        ("register-register-valid-entry-ordering.rsf", None),
        ("valid-register-escaped.tsv", None),
    ];
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, table.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    for (name, expected) in table {
        let bytes = fs::read(folder.join(name)).unwrap();
        let said = Rsf::parse(&bytes).err().map(|error| error.to_string());
        assert_eq!(said.as_deref(), *expected, "{name}");
    }
}
