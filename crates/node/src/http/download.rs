//! A whole register as RSF (Register Serialisation Format), written while it is read.
//!
//! The order is openregister's: the empty root, the items of the system entries, those of the user entries, the system
//! entries, the user entries, the root. What is appended meanwhile is left out. The last line is the root: a file without
//! it broke off.

use super::{
    App, PathOf, Service, Wanted,
    negotiate::Form,
    problem::Answer,
    registers::{Register, no_register},
    room::Place,
    snapshot::{At, snapshot},
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use http::header;
use std::{collections::HashSet, io, time::Duration};
use tallystick_api::{Problem, media, routes};
use tallystick_ledger::{definition::Definition, item::item_hash, rsf::RsfWriter};
use tallystick_protocol::{EntryKind, Hash, limits::DOWNLOAD_PIECES_MAX, merkle::empty_root};
use tokio::sync::mpsc;

/// Entries read at once.
const BATCH: u64 = 500;
/// How long a reader may leave a piece waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// The whole register, system entries included.
#[utoipa::path(get, path = routes::DOWNLOAD, tag = "openregister",
    params(("name" = String, Path, description = "The register's name")),
    responses(
        (status = 200, description = "The register, ending with its root", body = String, content_type = "application/uk-gov-rsf"),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "RSF only", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many downloads as the node serves", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn download(State(app): State<App>, PathOf(name): PathOf<String>, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Rsf])?;
    let place = app.downloads.enter()?;
    let found = snapshot(&app.service, |history, tip| {
        let register = history.register(&name)?;
        let user = register.count(EntryKind::User);
        let root = register.tree().root_at(user)?;
        Some((tip.header.height, Extent { user, system: register.count(EntryKind::System), root }))
    });
    let (height, extent) = found.await?.ok_or_else(|| no_register(&name))?;
    let described = if extent.system == 0 { description(&app.service, &name).await? } else { Vec::new() };
    let disposition = format!("attachment; filename=\"{name}.rsf\"");
    let headers = [(header::CONTENT_TYPE, media::RSF.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    let body = body(Download::new(app.service, name, extent, described), place);
    Ok(At(height, (headers, body)).into_response())
}

/// How much of a register is downloaded.
#[derive(Debug, Clone, Copy)]
struct Extent {
    user: u64,
    system: u64,
    root: Hash,
}

/// A system entry that describes a register: key, timestamp, item.
type Description = (String, u64, String);

/// The system entries that say what the register's definition says, for a register that was created without any, so that
/// the file describes itself.
async fn description(service: &Service, name: &str) -> Answer<Vec<Description>> {
    let row = Register::find(service, name).await?.row;
    let created = service.log_entry(row.created).await?.map_or(0, |entry| entry.time_ms / 1_000);
    let definition = Definition {
        register: Some(row.register),
        title: None,
        custodian: Some(row.custodian),
        text: row.text,
        fields: row.fields,
    };
    Ok(definition.to_system_entries().into_iter().map(|(key, item)| (key, created, item)).collect())
}

/// Writes in a task of its own, so that reading the disk and sending overlap.
fn body(download: Download, place: Place) -> Body {
    let (sender, receiver) = mpsc::channel(DOWNLOAD_PIECES_MAX);
    tokio::spawn(async move {
        let _place = place;
        if let Err(error) = download.write(&sender).await {
            // The reader sees the body break off; one that left sees nothing.
            let _ = tokio::time::timeout(PATIENCE, sender.send(Err(error))).await;
        }
    });
    Body::from_stream(stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))))
}

type Pieces = mpsc::Sender<io::Result<Bytes>>;

struct Download {
    service: Service,
    name: String,
    extent: Extent,
    described: Vec<Description>,
    writer: RsfWriter,
    /// The items written, by the first half of their hash, which nobody can make collide.
    written: HashSet<[u8; 16]>,
}

/// What is written of each entry.
#[derive(Clone, Copy)]
enum Part {
    Items,
    Entries,
}

impl Download {
    fn new(service: Service, name: String, extent: Extent, described: Vec<Description>) -> Self {
        Self { service, name, extent, described, writer: RsfWriter::new(), written: HashSet::new() }
    }

    async fn write(mut self, pieces: &Pieces) -> io::Result<()> {
        self.writer.assert_root(&empty_root());
        for part in [Part::Items, Part::Entries] {
            self.describe(part);
            self.entries(EntryKind::System, self.extent.system, part, pieces).await?;
            self.entries(EntryKind::User, self.extent.user, part, pieces).await?;
        }
        self.writer.assert_root(&self.extent.root);
        self.send(pieces).await
    }

    fn describe(&mut self, part: Part) {
        for (key, timestamp, item) in std::mem::take(&mut self.described) {
            let hash = item_hash(&item);
            match part {
                Part::Items => self.item(&hash, &item),
                Part::Entries => self.writer.append_entry(EntryKind::System, &key, timestamp, &[hash]),
            }
            if matches!(part, Part::Items) {
                self.described.push((key, timestamp, item));
            }
        }
    }

    async fn entries(&mut self, kind: EntryKind, count: u64, part: Part, pieces: &Pieces) -> io::Result<()> {
        let mut first = 1;
        while first <= count {
            let last = count.min(first + BATCH - 1);
            let entries = self.service.entries(&self.name, kind, first..=last).await.map_err(io::Error::other)?;
            if entries.len() as u64 != last - first + 1 {
                return Err(io::Error::other(format!("{kind} entries {first} to {last} are not all here")));
            }
            for entry in entries {
                match part {
                    Part::Items => entry.items.iter().for_each(|(hash, item)| self.item(hash, item)),
                    Part::Entries => {
                        let hashes: Vec<Hash> = entry.items.iter().map(|(hash, _)| *hash).collect();
                        self.writer.append_entry(kind, &entry.key, entry.timestamp, &hashes);
                    }
                }
            }
            self.send(pieces).await?;
            first = last + 1;
        }
        Ok(())
    }

    fn item(&mut self, hash: &Hash, item: &str) {
        let half = hash.0.first_chunk().copied().unwrap_or_default();
        if self.written.insert(half) {
            self.writer.add_item(item);
        }
    }

    async fn send(&mut self, pieces: &Pieces) -> io::Result<()> {
        let piece = Bytes::from(self.writer.take());
        match tokio::time::timeout(PATIENCE, pieces.send(Ok(piece))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
