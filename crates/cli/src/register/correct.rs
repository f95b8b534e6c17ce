//! `tally register correct`: an entry that corrects the latest one under its key.

use super::{act, act_sealed, append, definition, exposure::warn_of_texts, seal::SealedEntry};
use crate::{
    connection::{Connection, Signing, ask_again},
    output::{Done, count, line},
};
use clap::Args;
use std::collections::BTreeSet;
use tallystick_api::NoticesView;
use tallystick_client::Client;
use tallystick_protocol::{Operation, PrincipalId};

/// How often a node is asked that does not know the correction yet.
const ASKED: usize = 30;

/// Correct a record: append the entry that is right, and mark the one that was wrong
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is rewritten: the wrong entry stays, with every proof of it, and is marked with what corrects it, why, and by \
    whose authority. A value that was sealed in it can be erased: `tally erasure order`.\n\n\
    Example:\n  \
    tally register correct school 12 100000 name=\"Sir John Cass's\" --authority \"The school\" --legal-basis \"UK GDPR Article 16\" \\\n      \
    --reason \"The name was misspelt\""
)]
pub struct Correct {
    /// The register
    #[arg(value_name = "REGISTER")]
    register: String,
    /// The number of the entry that is wrong: the latest of its key
    #[arg(value_name = "ENTRY")]
    corrects: u64,
    /// The record's key
    #[arg(value_name = "KEY")]
    record: String,
    /// All fields of the item that is right; a list field may be repeated. The field of the register's own name is filled in
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// The whole item as JSON instead
    #[arg(long, value_name = "JSON", conflicts_with = "fields")]
    item: Option<String>,
    /// Who demanded it, or found it
    #[arg(long, value_name = "TEXT")]
    authority: String,
    /// The law that it rests on
    #[arg(long, value_name = "TEXT")]
    legal_basis: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

impl Correct {
    /// Runs the command.
    pub fn run(self) -> Done {
        let Self { register, corrects, record, fields, item, authority, legal_basis, reason, signing, connection } =
            self;
        warn_of_texts([&authority, &legal_basis, &reason], signing.partition.as_deref());
        let client = connection.client()?;
        let asker = signing.partition.as_ref().map(|_| connection.signer(&signing)).transpose()?;
        let found = definition(&client, asker.as_ref(), &register)?;
        let entry = append::entry_of(record, item.as_deref(), &fields, &found.value)?;
        let key = entry.key.clone();
        let prepared = append::prepared(vec![(0, entry)], &found.value, asker.as_ref())?.pop();
        let Some(SealedEntry { entry, openings }) = prepared else { return Ok(()) };
        if signing.pass_on.is_some() && !openings.is_empty() {
            return Err(append::not_passed_on());
        }
        let signer = asker.map_or_else(|| connection.signer(&signing), Ok)?;
        append::say_sealed(openings.len(), signer.partition());
        let subject = format!("correct {} of {register}", entry.key);
        let operation =
            Operation::RecordCorrect { register: register.clone(), corrects, entry, reason, authority, legal_basis };
        let settled = if openings.is_empty() {
            act(&connection, &signer, &signing, subject, vec![operation])?
        } else {
            let (holder, _) = client.holder(append::keeper(&signer, &found.value))?;
            act_sealed(&holder, &signer, &signing, subject, vec![operation], openings)?
        };
        let Some(settled) = settled else { return Ok(()) };
        line(format_args!("{register}: {} corrects entry {corrects}", append::number(&settled)))?;
        let record = format!("{register}:{key}");
        match signer.partition() {
            Some(partition) => must_know(&format!("--partition {partition} --record {record}")),
            None => tell_who_read(&client, &record, settled.index),
        }
    }
}

fn must_know(asked: &str) -> Done {
    line(format_args!("who read what was wrong must know: tally notice list {asked}"))
}

/// Says how many must be told, so that it is done. Another node than the one that took the correction may answer, and be a block behind.
fn tell_who_read(client: &Client, record: &str, correction: u64) -> Done {
    let found = ask_again(ASKED, || {
        let page = client.notices(&[("record", record), ("limit", "1")])?;
        Ok(page.corrections.into_iter().next().filter(|found| found.leaf >= correction))
    });
    match found {
        Ok(Some(found)) => match readers(&found) {
            Some(who) => line(format_args!("{who} of what was wrong must know: tally notice list --record {record}")),
            None => Ok(()),
        },
        Ok(None) => must_know(&format!("--record {record}")),
        // The correction stands, whether or not the node can say this now.
        Err(_) => Ok(()),
    }
}

/// How many read it, each counted once, however often they did and to whomever they passed it on; none when nobody did.
fn readers(found: &NoticesView) -> Option<String> {
    let readers: BTreeSet<&PrincipalId> = found.notices.iter().map(|notice| &notice.reader).collect();
    let who = count(readers.len() as u64, "reader", "readers");
    match (found.is_whole, readers.is_empty()) {
        (true, true) => None,
        (true, false) => Some(who),
        (false, _) => Some(format!("at least {who}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tallystick_api::NoticeView;
    use tallystick_protocol::Hash;

    #[test]
    fn readers_are_counted_once_each_and_not_as_all_when_they_are_not() {
        let notice = |reader: &str, recipient: Option<&str>| NoticeView {
            reader: reader.parse().unwrap(),
            recipient: recipient.map(str::to_owned),
            read: Hash::of(&[b"read"]),
            read_ms: 1,
            acknowledged_by: None,
            acknowledged: None,
            acknowledged_ms: None,
        };
        let view = |notices, is_whole| NoticesView {
            register: "patient".to_owned(),
            key: "p-1".to_owned(),
            corrects: 1,
            reason: "Misspelt".to_owned(),
            authority: "The patient".to_owned(),
            legal_basis: "UK GDPR Article 16".to_owned(),
            values: Vec::new(),
            untold: false,
            id: Hash::of(&[b"correction"]),
            leaf: 1,
            time_ms: 1,
            notices,
            is_whole,
        };
        let two = vec![notice("hmrc/clerk", None), notice("hmrc/clerk", Some("A court")), notice("hmrc/other", None)];
        assert_eq!(readers(&view(two.clone(), true)).as_deref(), Some("2 readers"));
        assert_eq!(readers(&view(two, false)).as_deref(), Some("at least 2 readers"));
        assert_eq!(readers(&view(Vec::new(), true)), None);
    }
}
