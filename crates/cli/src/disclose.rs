//! `tally disclose`: sealed values of one record, in a file for somebody outside that is checked without the network.

use crate::{
    connection::{Connection, Signing},
    output::{Doing, Done, Failure, json, line},
    reading::{self, Beside, Reader, Reason, To, Wanted},
    register::accepted,
};
use clap::Args;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tallystick_api::PrivateResult;
use tallystick_protocol::{
    Disclosure, EntryKind, FieldDisclosure, Genesis, Receipt, change::words::Shown, operation::validate_key,
};

/// Give somebody outside sealed values of one record, in a file that proves them
#[derive(Debug, Args)]
#[command(
    after_help = "The disclosure is put on record first: who, to whom, which fields, what for, by which power. The file holds the record's \
    receipt and what opens the values that are named; what is not named stays sealed. Whoever has it checks it with `tally verify` and \
    network.json alone, and can show it to others: it is not reached by erasure.\n\n\
    Example:\n  \
    tally disclose patient p-17 --field name --to \"Crown Court at Leeds\" --purpose \"Witness summons\" \\\n      \
    --legal-basis \"Criminal Procedure Act 1965, s. 2\" --output p-17.disclosure\n  \
    tally disclose child c-1 --partition school-health --to \"Family Court\" --to-jurisdiction GB --purpose Order --legal-basis \"Children Act 1989, s. 7\" \\\n      \
    --output c-1.disclosure\n  \
    tally disclose child c-1 --partition school-health --field since --only --to \"Family Court\" --to-jurisdiction GB --purpose Order \\\n      \
    --legal-basis \"Children Act 1989, s. 7\" --output since.disclosure"
)]
pub struct Disclose {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The record's key
    #[arg(value_name = "KEY")]
    key: String,
    /// A field to show; may be repeated. A record in a partition is shown whole, with what is sealed in the fields named here opened, unless --only
    /// is given
    #[arg(long = "field", value_name = "FIELD", required_unless_present = "partition")]
    fields: Vec<String>,
    /// Show nothing but the fields named: of a record in a partition, which otherwise is shown with all that is not sealed
    #[arg(long, requires = "fields")]
    only: bool,
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    reason: Reason,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

impl Disclose {
    /// Runs the command.
    pub fn run(self) -> Done {
        validate_key(EntryKind::User, &self.key).map_err(Failure::error)?;
        let (register, key) = (self.register.as_str(), self.key.as_str());
        if self.only && self.signing.partition.is_none() {
            return Err(Failure::error(
                "--only is for a record in a partition: of others everybody sees what is not sealed, and the file holds it. Leave it out, or say \
                 which partition with --partition",
            ));
        }
        if self.signing.partition.is_some() {
            self.to.require_place()?;
        }
        require_new(&self.output)?;
        let genesis = self.connection.genesis()?;
        let (client, signer) = (self.connection.client()?, self.connection.signer(&self.signing)?);
        let reader = Reader { client: &client, signer: &signer, signing: &self.signing };
        if self.signing.partition.is_some() {
            return self.out_of_partition(&reader, &genesis);
        }
        let to = self.to.recipient();
        let wanted =
            Wanted { register, key, fields: &self.fields, recipient: Some(&to), beside: Beside::Nothing, holder: None };
        let reading = reading::read(&reader, &wanted, &self.reason)?;
        let bytes = client.record_receipt(register, key)?;
        let Ok(Receipt::Record(record)) = Receipt::decode(&bytes) else {
            return Err(Failure::error("the node gave no receipt of the record: ask another one, with --node"));
        };
        let disclosure = Receipt::Disclosure(Disclosure { record, openings: reading.openings });
        disclosure.check(&genesis).map_err(|error| {
            Failure::no(format!(
                "the disclosure is on record, and what was read is not what the record holds by now ({error}): run this again"
            ))
        })?;
        let bytes = disclosure.to_bytes();
        let (id, leaf) = (reading.transaction, reading.leaf);
        write_private(&self.output, &bytes).map_err(|error| {
            Failure::no(format!(
                "the disclosure is on record (transaction {id}, leaf {leaf}), and {error}: run this again"
            ))
        })?;
        if self.signing.json {
            return json(&serde_json::json!({"id": id, "index": leaf, "file": self.output, "bytes": bytes.len()}));
        }
        line(format_args!(
            "the disclosure to {} is on record: transaction {id}, leaf {leaf} of the log",
            Shown(&to.name)
        ))?;
        tell_written(&self.output, bytes.len())
    }
}

impl Disclose {
    fn out_of_partition(&self, reader: &Reader<'_>, genesis: &Genesis) -> Done {
        let to = self.to.recipient();
        let wanted = Wanted {
            register: &self.register,
            key: &self.key,
            fields: &self.fields,
            recipient: Some(&to),
            beside: if self.only { Beside::Nothing } else { Beside::Clear },
            holder: None,
        };
        let (done, bytes) = out_of_partition(reader, genesis, &wanted, &self.reason)?;
        let (id, number) = (done.id, done.number);
        write_private(&self.output, &bytes).map_err(|error| {
            Failure::no(format!(
                "the disclosure is on record (private transaction {id}, number {number}), and {error}: run this again"
            ))
        })?;
        if self.signing.json {
            return json(&serde_json::json!({"id": id, "number": number, "file": self.output, "bytes": bytes.len()}));
        }
        line(format_args!(
            "the disclosure to {} is on record in the partition: private transaction {id}, number {number}",
            Shown(&to.name)
        ))?;
        if let (true, Ok(Receipt::Fields(shown))) = (self.only, Receipt::decode(&bytes)) {
            lacking(&self.fields, &shown).try_for_each(|field| {
                line(format_args!(
                    "the record has no `{field}`: it is on record as disclosed, and the file says nothing of it"
                ))
            })?;
        }
        tell_written(&self.output, bytes.len())
    }
}

/// Fields that were to be shown, and that the record has not.
fn lacking<'a>(fields: &'a [String], shown: &'a FieldDisclosure) -> impl Iterator<Item = &'a String> {
    let is_shown = |name: &str| shown.fields.iter().any(|field| field.leaf.field == name);
    fields.iter().filter(move |name| !is_shown(name))
}

/// Says what file was written, and how it is checked.
///
/// # Errors
/// When nobody reads the output.
pub fn tell_written(file: &Path, bytes: usize) -> Done {
    let file = file.display();
    line(format_args!("wrote {file} ({bytes} bytes); whoever has network.json checks it with: tally verify {file}"))
}

/// The file that came with a disclosure out of a partition, of the fields that were named alone or of the whole record; or what is wrong
/// with it. A node that gives another, or more, is not believed.
fn given_of(
    done: &PrivateResult,
    genesis: &Genesis,
    (partition, wanted): (&str, &Wanted<'_>),
) -> Result<Vec<u8>, String> {
    let (given, only) = (done.given.first(), wanted.beside == Beside::Nothing);
    let file = given.and_then(|given| if only { &given.field_disclosure } else { &given.disclosure }.as_deref());
    let bytes = hex::decode(file.unwrap_or_default()).unwrap_or_default();
    let receipt = Receipt::decode(&bytes).map_err(|_| "the node gave no file of it".to_owned())?;
    if !is_wanted(&receipt, partition, wanted) {
        return Err("the node gave a file of something else, which was not written".to_owned());
    }
    receipt.check(genesis).map_err(|error| format!("what the node gave does not hold ({error})"))?;
    Ok(bytes)
}

/// Whether a file is of what was wanted, and shows nothing else.
fn is_wanted(receipt: &Receipt, partition: &str, wanted: &Wanted<'_>) -> bool {
    let of = (partition, wanted.register, wanted.key);
    let is_named = |field: &str| wanted.fields.iter().any(|name| name == field);
    match receipt {
        Receipt::Partition(file) => {
            wanted.beside != Beside::Nothing
                && of == (file.partition.as_str(), file.register.as_str(), file.key.as_str())
                && file.openings.iter().all(|opening| is_named(opening.place().field()))
        }
        Receipt::Fields(file) => {
            wanted.beside == Beside::Nothing
                && of == (file.partition.as_str(), file.register.as_str(), file.key.as_str())
                && file.fields.iter().all(|shown| is_named(&shown.leaf.field))
        }
        _ => false,
    }
}

/// A disclosure that is executed is on record for ever, whether a file came of it or not.
fn unfinished(done: &PrivateResult, what: &str) -> Failure {
    let (id, number) = (done.id, done.number);
    Failure::no(format!(
        "the disclosure is on record (private transaction {id}, number {number}), and {what}: to have one, sign a new one at another \
         node, with --node"
    ))
}

/// Discloses a record of a partition, on record there: what became of it, and the file, which shows nothing beside the fields that are
/// wanted if nothing is to be read beside them. The members' nodes certify the root under which
/// the record is, so that the public chain alone proves it.
///
/// # Errors
/// When it cannot be put on record, or is refused, or what the node gives does not hold.
pub fn out_of_partition(
    reader: &Reader<'_>,
    genesis: &Genesis,
    wanted: &Wanted<'_>,
    reason: &Reason,
) -> Result<(PrivateResult, Vec<u8>), Failure> {
    let (done, _) = reading::read_in_partition(reader, wanted, reason)?;
    let done = accepted(done, reader.signing.json)?;
    let partition = reader.signing.partition.as_deref().unwrap_or_default();
    let bytes = given_of(&done, genesis, (partition, wanted)).map_err(|what| unfinished(&done, &what))?;
    Ok((done, bytes))
}

/// Goes on if a file can be made there: asked before what will be in it is put on record, where it stays.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn require_new(path: &Path) -> Done {
    write_private(path, &[])?;
    fs::remove_file(path).doing(|| format!("cannot write `{}`", path.display()))
}

/// Writes a new file that only its owner may read; nothing of it stays if not all of it can be written.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Done {
    let shown = path.display();
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::error(format!(
                "`{shown}` exists already: choose another name, or move it away first"
            )));
        }
        file => file.doing(|| format!("cannot write `{shown}`"))?,
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // What is told is why it could not be written.
        let _ = fs::remove_file(path);
    }
    written.doing(|| format!("cannot write `{shown}`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_api::{DecisionView, OutcomeView};
    use tallystick_protocol::{BlindRow, FieldLeaf, Finality, FinalityCertificate, Hash, NetworkId, ShownField};

    #[test]
    fn a_file_that_cannot_be_made_is_found_before_anything_is_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.disclosure");
        require_new(&path).unwrap();
        assert!(!path.exists());
        write_private(&path, b"all of it").unwrap();
        let there = require_new(&path).unwrap_err().to_string();
        let nowhere = require_new(&folder.path().join("no/record.disclosure")).unwrap_err().to_string();
        assert!(there.contains("exists already") && nowhere.contains("cannot write"), "{there} {nowhere}");
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
    }

    #[test]
    fn a_disclosure_without_a_file_is_said_to_be_on_record() {
        let outcome = OutcomeView::Accepted { appended: Vec::new(), decision: DecisionView::default() };
        let done = PrivateResult { id: Hash::of(&[b"read"]), height: 3, number: 7, outcome, given: Vec::new() };
        let text = unfinished(&done, "the node gave no file of it").to_string();
        for told in ["is on record", &done.id.to_string(), "number 7", "sign a new one at another node"] {
            assert!(text.contains(told), "{text}");
        }
    }

    /// What a node gives for it that the file must not hold, or that is of another record: nothing of it is written.
    #[test]
    fn a_file_is_of_what_was_wanted_and_shows_nothing_else() {
        let shown = |names: &[&str]| {
            let field = |name: &&str| ShownField {
                leaf: FieldLeaf { item: 0, field: (*name).to_owned(), value: "\"x\"".into(), salt: Hash::default() },
                index: 0,
                path: Vec::new(),
            };
            let certificate = FinalityCertificate {
                epoch: 0,
                view: 1,
                parent_view: 0,
                block: Hash::default(),
                signatures: Vec::new(),
            };
            FieldDisclosure {
                network: NetworkId::default(),
                partition: "health".into(),
                register: "child".into(),
                key: "c-1".into(),
                number: 1,
                row: BlindRow { row: Vec::new().into(), blind: Hash::default() },
                fields: names.iter().map(field).collect(),
                openings: Vec::new(),
                proof: Vec::new().into(),
                roots: Vec::new().into(),
                roots_proof: Vec::new().into(),
                finality: Finality { hand_overs: Vec::new(), headers: Vec::new(), certificate },
            }
        };
        let fields = ["since".to_owned(), "till".to_owned()];
        let wanted = Wanted {
            register: "child",
            key: "c-1",
            fields: &fields,
            recipient: None,
            beside: Beside::Nothing,
            holder: None,
        };
        let is_it =
            |file: FieldDisclosure, wanted: &Wanted<'_>| is_wanted(&Receipt::Fields(Box::new(file)), "health", wanted);
        assert!(is_it(shown(&["since"]), &wanted) && is_it(shown(&["since", "till"]), &wanted));
        assert!(!is_it(shown(&["since", "note"]), &wanted), "more than was asked");
        let others = [
            FieldDisclosure { partition: "police".into(), ..shown(&["since"]) },
            FieldDisclosure { register: "adult".into(), ..shown(&["since"]) },
            FieldDisclosure { key: "c-2".into(), ..shown(&["since"]) },
        ];
        assert!(others.into_iter().all(|other| !is_it(other, &wanted)), "of another record");
        assert!(!is_it(shown(&["since"]), &Wanted { beside: Beside::Clear, ..wanted }), "the whole was wanted");
        let since = shown(&["since"]);
        let lacks: Vec<&String> = lacking(&fields, &since).collect();
        assert_eq!(lacks, ["till"]);
    }
}
