//! `tally disclose`: sealed values of one record, in a file for somebody outside that is checked without the network.

use crate::{
    connection::{Connection, Signing},
    output::{Doing, Done, Failure, json, line},
    reading::{self, Reason, Wanted},
};
use clap::Args;
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tallystick_protocol::{Disclosure, EntryKind, Receipt, operation::validate_key};

/// Give somebody outside sealed values of one record, in a file that proves them
#[derive(Debug, Args)]
#[command(
    after_help = "The disclosure is put on record first: who, to whom, which fields, what for, by which power. The file holds the record's \
    receipt and what opens the values that are named; what is not named stays sealed. Whoever has it checks it with `tally verify` and \
    network.json alone, and can show it to others: it is not reached by erasure.\n\n\
    Example:\n  \
    tally disclose patient p-17 --field name --to \"Crown Court at Leeds\" --purpose \"Witness summons\" \\\n      \
    --legal-basis \"Criminal Procedure Act 1965, s. 2\" --out p-17.disclosure"
)]
pub struct Disclose {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The record's key
    #[arg(value_name = "KEY")]
    key: String,
    /// A field to show; may be repeated
    #[arg(long = "field", value_name = "FIELD", required = true)]
    fields: Vec<String>,
    /// To whom
    #[arg(long = "to", value_name = "RECIPIENT")]
    recipient: String,
    #[command(flatten)]
    reason: Reason,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

impl Disclose {
    /// Runs the command.
    pub fn run(self) -> Done {
        validate_key(EntryKind::User, &self.key).map_err(Failure::error)?;
        self.signing.require_public("records are disclosed")?;
        let (register, key) = (self.register.as_str(), self.key.as_str());
        if self.out.exists() {
            return Err(exists(&self.out));
        }
        let genesis = self.connection.genesis()?;
        let wanted = Wanted { register, key, fields: &self.fields, recipient: Some(&self.recipient) };
        let reading = reading::read(&self.connection, &self.signing, &wanted, &self.reason)?;
        let bytes = self.connection.client()?.record_receipt(register, key)?;
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
        write_private(&self.out, &bytes)?;
        let (id, leaf, out) = (reading.transaction, reading.leaf, self.out.display());
        if self.signing.json {
            return json(&serde_json::json!({"id": id, "index": leaf, "file": self.out, "bytes": bytes.len()}));
        }
        line(format_args!(
            "the disclosure to {} is on record: transaction {id}, leaf {leaf} of the log",
            self.recipient
        ))?;
        line(format_args!(
            "wrote {out} ({} bytes); whoever has network.json checks it with: tally verify {out}",
            bytes.len()
        ))
    }
}

fn exists(path: &Path) -> Failure {
    Failure::error(format!("`{}` exists already: choose another name, or move it away first", path.display()))
}

/// Writes a new file that only its owner may read.
///
/// # Errors
/// When it is there already, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Done {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(path)),
        file => file.and_then(|mut file| file.write_all(bytes)).doing(|| format!("cannot write `{}`", path.display())),
    }
}
