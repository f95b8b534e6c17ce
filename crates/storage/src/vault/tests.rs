#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! The vault on a real disk, whose every byte is searched, and on one that fails and crashes.

mod copies;
mod damage;

use super::*;
use commonware_runtime::{
    Runner as _, Supervisor as _,
    deterministic::{self, FaultConfig, PartialWriteMode, WriteConfig},
    tokio,
};
use commonware_utils::probability;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tallystick_protocol::{Hash, Place, Secret, Subject};

fn key(n: u8) -> VaultKey {
    VaultKey::from_bytes([n; 32].into())
}

fn drawer(name: &str) -> Drawer {
    Drawer::public(subject(name))
}

fn subject(name: &str) -> Subject {
    Subject::new("patient", name).unwrap()
}

fn sealed(who: &str, field: &str, value: &str, rng: &mut StdRng) -> Opening {
    let place = Place::new("patient", who, field, subject(who)).unwrap();
    Opening::seal(place, Secret::new(value), rng).unwrap()
}

/// The same in a register of a partition.
fn within(partition: &str, opening: &Opening) -> Opening {
    let place = opening.place().clone().within(Some(partition)).unwrap();
    Opening::new(place, opening.value().clone(), opening.blinding().clone()).unwrap()
}

/// Of one who is known under one name in two partitions, in the public one, and in two registers of a partition, each is by itself.
#[test]
fn what_is_in_one_partition_is_not_found_or_destroyed_in_another() {
    deterministic::Runner::default().start(|context| async move {
        let mut rng = StdRng::seed_from_u64(1);
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        let public = sealed("alice", "name", "Alice", &mut rng);
        let visit = Place::new("visit", "v-1", "note", subject("alice")).unwrap().within(Some("health")).unwrap();
        let visit = Opening::seal(visit, Secret::new("tired"), &mut rng).unwrap();
        let all = [within("health", &public), within("tax", &public), visit, public];
        vault.put(&all, &mut rng).await.unwrap();
        let drawers = all.iter().map(|opening| Drawer::of(opening.place())).collect::<Vec<_>>();
        assert_eq!(drawers[0], Drawer::private("health", "patient", subject("alice")));
        for (at, drawer) in drawers.iter().enumerate() {
            for (opening, other) in all.iter().zip(&drawers) {
                let expected: &[Opening] =
                    if drawers[..at].contains(other) { &[] } else { std::slice::from_ref(opening) };
                assert_eq!(vault.all(other).await.unwrap(), expected, "{other:?}");
            }
            assert!(vault.destroy(drawer).await.unwrap());
        }
    });
}

/// What is noted of transactions, public and private, is there after a restart.
#[test]
fn what_waits_is_noted() {
    deterministic::Runner::default().start(|context| async move {
        let mut rng = StdRng::seed_from_u64(1);
        let vault = Vault::open(context.child("one"), "node", &key(1)).await.unwrap();
        let public = sealed("alice", "name", "Alice", &mut rng);
        let note = |n: u8, within: Option<PendingIn>, opening: &Opening| {
            let openings = vec![(opening.place().clone(), opening.commitment())];
            Pending { transaction: Hash([n; 32]), not_after: 7, within, openings }
        };
        let sent = PendingIn { partition: "health".into(), replay_tag: [3; 16], sender: "council".into(), bytes: 700 };
        let mut noted = vec![note(1, None, &public), note(2, Some(sent), &within("health", &public))];
        for one in &noted {
            vault.note(one, &mut rng).await.unwrap();
        }
        let vault = Vault::open(context.child("again"), "node", &key(1)).await.unwrap();
        let (mut found, _) = vault.pending().await.unwrap();
        found.sort_by_key(|one| one.transaction);
        assert_eq!(found, noted);
        vault.forget(&Hash([1; 32])).await.unwrap();
        noted.remove(0);
        assert_eq!(vault.pending().await.unwrap(), (noted, Vec::new()));
    });
}

/// Noted anew while the disk fails and the machine crashes: the note of before counts or the new one, and never none.
#[test]
fn a_note_is_there_while_it_is_written_anew() {
    let noted = |opened: u8| {
        let mut rng = StdRng::seed_from_u64(1);
        let opening = |n| sealed("alice", &format!("field-{n}"), "Alice", &mut rng);
        let openings = (0..opened).map(opening).map(|one| (one.place().clone(), one.commitment())).collect();
        Pending { transaction: Hash([1; 32]), not_after: 7, within: None, openings }
    };
    let mut counts = BTreeMap::new();
    for seed in 0..60 {
        let write = WriteConfig {
            failure_rate: probability!(0.3),
            retention_rate: probability!(0.5),
            mode: PartialWriteMode::Subset,
        };
        let faults = FaultConfig::default().open(probability!(0.1)).write(write);
        let faults = faults.sync(probability!(0.3)).remove(probability!(0.3));
        let config = deterministic::Config::default().with_seed(seed);
        let (done, crashed) = deterministic::Runner::new(config).start_and_recover(move |context| async move {
            let config = context.storage_fault_config();
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            let mut rng = StdRng::seed_from_u64(seed);
            vault.note(&noted(1), &mut rng).await.unwrap();
            *config.write() = faults;
            vault.note(&noted(2), &mut rng).await.is_ok()
        });
        let found = deterministic::Runner::from(crashed).start(|context| async move {
            *context.storage_fault_config().write() = FaultConfig::default();
            let vault = Vault::open(context.child("again"), "node", &key(1)).await.unwrap();
            let (found, damaged) = vault.pending().await.unwrap();
            assert!(damaged.is_empty(), "seed {seed}: {damaged:?}");
            assert_eq!(Storage::scan(&context, "node-vault-pending").await.unwrap().len(), 1, "seed {seed}");
            vault.note(&noted(3), &mut StdRng::seed_from_u64(seed)).await.unwrap();
            assert_eq!(vault.pending().await.unwrap().0, [noted(3)], "seed {seed}");
            vault.forget(&Hash([1; 32])).await.unwrap();
            assert_eq!(Storage::scan(&context, "node-vault-pending").await.unwrap().len(), 0, "seed {seed}");
            found
        });
        let [one] = found.as_slice() else { panic!("seed {seed}: {found:?}") };
        assert!(*one == noted(2) || *one == noted(1) && !done, "seed {seed}");
        *counts.entry(one.openings.len()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2, "either is left by some crash: {counts:?}");
}

/// Runs on a real disk in this folder.
fn on_disk<T>(folder: &Path, run: impl AsyncFnOnce(tokio::Context) -> T) -> T {
    let config = tokio::Config::new().with_storage_directory(folder);
    tokio::Runner::new(config).start(|context| run(context))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// How many files of the folder hold these bytes anywhere.
fn holding(folder: &Path, bytes: &[u8]) -> usize {
    let holds = |path: &PathBuf| fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes);
    files(folder).iter().filter(|path| holds(path)).count()
}

/// The one file of a subject.
fn file_of(folder: &Path, who: &str) -> PathBuf {
    let name: Name = Ciphers::new(&key(1)).name(&drawer(who));
    let own = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&hex::encode(name));
    let found: Vec<PathBuf> = files(folder).into_iter().filter(own).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// The end of a subject's file in pieces: what stands behind the runtime's header and the zeros that fill its block.
fn pieces(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap();
    let zeros = bytes.windows(64).rposition(|window| window == [0; 64]).unwrap_or_default() + 64;
    let own = &bytes[zeros..];
    own[own.len() % 16..].chunks(16).map(<[u8]>::to_vec).collect()
}

/// Whether the bytes of all these pieces are zero in the file.
fn is_overwritten(file: &Path, pieces: &[Vec<u8>]) -> bool {
    fs::read(file).unwrap().ends_with(&vec![0; pieces.len() * 16])
}

#[test]
fn of_a_destroyed_subject_no_byte_is_left() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, link) = (folder.path(), aside.path().join("link"));
    let mut rng = StdRng::seed_from_u64(1);
    let alice = [sealed("alice", "name", "Alice Pleasance", &mut rng), sealed("alice", "town", "Guildford", &mut rng)];
    let bob = sealed("bob", "name", "Bob", &mut rng);
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        vault.put(&[alice[0].clone(), bob.clone(), alice[1].clone()], &mut rng).await.unwrap();
        assert_eq!(vault.all(&drawer("alice")).await.unwrap(), alice);
        let got = vault.get(&drawer("alice"), &alice[1].commitment()).await.unwrap().unwrap();
        assert_eq!((got.value().reveal(), got.commitment()), ("Guildford", alice[1].commitment()));
        assert_eq!(vault.get(&drawer("bob"), &alice[1].commitment()).await.unwrap(), None);
        assert!(vault.all(&drawer("carol")).await.unwrap().is_empty());
    });
    let secrets: Vec<Vec<u8>> = alice
        .iter()
        .flat_map(|opening| [opening.value().reveal().as_bytes().to_vec(), opening.blinding().reveal().to_vec()])
        .chain([b"patient".to_vec(), b"alice".to_vec()])
        .collect();
    assert!(secrets.iter().all(|secret| holding(folder, secret) == 0), "nothing is ever in the clear, names neither");
    let file = file_of(folder, "alice");
    fs::hard_link(&file, &link).unwrap();
    let pieces = pieces(&file);
    assert!(
        pieces.len() > 10 && pieces.iter().all(|piece| holding(folder, piece) == 1),
        "the search finds what is there"
    );
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert!(vault.destroy(&drawer("alice")).await.unwrap());
        assert!(!vault.destroy(&drawer("alice")).await.unwrap());
        assert!(vault.all(&drawer("alice")).await.unwrap().is_empty());
        assert_eq!(vault.all(&drawer("bob")).await.unwrap(), std::slice::from_ref(&bob));
    });
    let nowhere = || pieces.iter().chain(&secrets).all(|bytes| holding(folder, bytes) == 0);
    assert!(!file.exists() && nowhere());
    assert!(is_overwritten(&link, &pieces), "it was overwritten before it was removed");
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert!(vault.all(&drawer("alice")).await.unwrap().is_empty());
        assert_eq!(vault.all(&drawer("bob")).await.unwrap(), [bob]);
    });
    assert!(nowhere());
}

#[test]
fn of_a_removed_value_neither_it_nor_its_key_is_left() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, link) = (folder.path(), aside.path().join("link"));
    let mut rng = StdRng::seed_from_u64(1);
    let openings: Vec<Opening> = (0..3).map(|n| sealed("alice", "name", &format!("Alice {n}"), &mut rng)).collect();
    let commitments: Vec<Commitment> = openings.iter().map(Opening::commitment).collect();
    let mut old = Vec::new();
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        vault.put(&openings, &mut rng).await.unwrap();
        fs::hard_link(file_of(folder, "alice"), &link).unwrap();
        old = pieces(&link);
        assert_eq!(vault.remove(&drawer("alice"), &commitments[1..2], &mut rng).await.unwrap(), 1);
        assert_eq!(vault.remove(&drawer("alice"), &commitments[1..2], &mut rng).await.unwrap(), 0);
        assert_eq!(vault.all(&drawer("alice")).await.unwrap(), [openings[0].clone(), openings[2].clone()]);
    });
    assert!(old.iter().all(|piece| holding(folder, piece) == 0), "what stays is under another key");
    assert!(is_overwritten(&link, &old));
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert_eq!(vault.remove(&drawer("alice"), &commitments, &mut rng).await.unwrap(), 2);
        assert!(vault.all(&drawer("alice")).await.unwrap().is_empty());
    });
    let name: Name = Ciphers::new(&key(1)).name(&drawer("alice"));
    let named = |path: &PathBuf| path.to_str().unwrap().contains(&hex::encode(name));
    assert!(!files(folder).iter().any(named), "of a subject without values no file is left");
}

#[test]
fn another_key_and_damage_are_no_absence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut rng = StdRng::seed_from_u64(1);
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        let both = [sealed("alice", "name", "Alice", &mut rng), sealed("bobby", "name", "Bobby", &mut rng)];
        vault.put(&both, &mut rng).await.unwrap();
    });
    on_disk(folder, async |context| {
        assert!(matches!(Vault::open(context, "node", &key(2)).await, Err(VaultError::Key)));
    });
    let (alice, bob) = (file_of(folder, "alice"), file_of(folder, "bobby"));
    let honest = fs::read(&alice).unwrap();
    let mut changed = honest.clone();
    *changed.last_mut().unwrap() ^= 1;
    // A changed byte, a file cut short, another subject's file in its place.
    for damaged in [changed, honest[..honest.len() - 1].to_vec(), fs::read(&bob).unwrap()] {
        fs::write(&alice, damaged).unwrap();
        on_disk(folder, async |context| {
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            assert!(matches!(vault.all(&drawer("alice")).await, Err(VaultError::Damaged(_))));
            assert!(vault.put(&[sealed("alice", "town", "York", &mut rng)], &mut rng).await.is_err());
            assert_eq!(vault.all(&drawer("bobby")).await.unwrap().len(), 1);
        });
    }
    on_disk(folder, async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert!(vault.destroy(&drawer("alice")).await.unwrap(), "what is damaged can be destroyed");
        assert!(vault.all(&drawer("alice")).await.unwrap().is_empty());
    });
}

#[test]
fn what_a_subject_can_have_is_bounded() {
    deterministic::Runner::default().start(|context| async move {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let large = "x".repeat(16_000);
        let many: Vec<Opening> = (0..263).map(|_| sealed("alice", "note", &large, &mut rng)).collect();
        assert!(matches!(vault.put(&many, &mut rng).await, Err(VaultError::Full)));
        vault.put(&many[..250], &mut rng).await.unwrap();
        vault.put(&many[..250], &mut rng).await.unwrap();
        assert_eq!(vault.all(&drawer("alice")).await.unwrap().len(), 250, "what is kept is not kept twice");
    });
}

/// What may be true of a subject after a change that failed: as before it, or as after it.
type Possible = Vec<Vec<Opening>>;

/// A disk that fails now and then, tears what was not synced, and crashes: what was acknowledged holds.
#[test]
fn what_was_acknowledged_survives_a_crash() {
    for seed in 0..60 {
        let write = WriteConfig {
            failure_rate: probability!(0.05),
            retention_rate: probability!(0.5),
            mode: PartialWriteMode::Subset,
        };
        let faults = FaultConfig::default().open(probability!(0.02)).write(write);
        let faults = faults.sync(probability!(0.05)).remove(probability!(0.05));
        let config = deterministic::Config::default().with_seed(seed);
        let (expected, crashed) = deterministic::Runner::new(config).start_and_recover(move |context| async move {
            let config = context.storage_fault_config();
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            *config.write() = faults;
            ill_fated(&vault, &mut StdRng::seed_from_u64(seed)).await
        });
        deterministic::Runner::from(crashed).start(|context| async move {
            *context.storage_fault_config().write() = FaultConfig::default();
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            for (who, possible) in expected.iter().enumerate() {
                let who = format!("s{who}");
                let found = vault.all(&drawer(&who)).await.unwrap();
                assert!(possible.contains(&found), "seed {seed}, subject {who}: {} openings", found.len());
                let name = vault.ciphers.name(&drawer(&who));
                let files = vault.generations(&name).await.unwrap().len();
                assert!(files <= 1, "seed {seed}, subject {who}: {files} files");
                // Asked again, a destruction is whole.
                vault.destroy(&drawer(&who)).await.unwrap();
                assert!(vault.generations(&name).await.unwrap().is_empty());
            }
        });
    }
}

/// Changes until the first that fails; what each of four subjects may have after it.
async fn ill_fated(vault: &Vault<deterministic::Context>, rng: &mut StdRng) -> Vec<Possible> {
    let mut expected: Vec<Possible> = vec![vec![Vec::new()]; 4];
    for step in 0..40 {
        let who = rng.random_range(0..4);
        let name = format!("s{who}");
        let before = expected[who][0].clone();
        let (after, done) = match rng.random_range(0..5) {
            0 => (Vec::new(), vault.destroy(&drawer(&name)).await.is_ok()),
            1 if !before.is_empty() => {
                let gone = before[0].commitment();
                (before[1..].to_vec(), vault.remove(&drawer(&name), &[gone], rng).await.is_ok())
            }
            _ => {
                let new = sealed(&name, "note", &format!("value {step}"), rng);
                let after = [before.as_slice(), std::slice::from_ref(&new)].concat();
                (after, vault.put(&[new], rng).await.is_ok())
            }
        };
        if !done {
            expected[who] = vec![before, after];
            break;
        }
        expected[who] = vec![after];
    }
    expected
}

/// How far erasure has come is in the vault's own folder, and of what a crash tore the last that was whole counts.
#[test]
fn progress_is_kept_and_torn_progress_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let owed = [("case-42".to_owned(), 7)].into_iter().collect();
    let progress = ErasureProgress { applied: 3, owed };
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert_eq!(vault.progress(None).await.unwrap().0, ErasureProgress::default());
        vault.set_progress(None, &ErasureProgress { applied: 2, ..ErasureProgress::default() }).await.unwrap();
        vault.set_progress(None, &progress).await.unwrap();
        // A later one that was never said to be whole.
        let (blob, _) = vault.storage.open("node-vault-erasures", &9u64.to_be_bytes()).await.unwrap();
        blob.write_at(0, vec![0, 0x82, 0x18], WriteOptions::SYNC).await.unwrap();
        blob.sync().await.unwrap();
    });
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert_eq!(vault.progress(None).await.unwrap().0, progress);
        let later = ErasureProgress { applied: 4, ..ErasureProgress::default() };
        vault.set_progress(None, &later).await.unwrap();
        assert_eq!(vault.progress(None).await.unwrap().0, later);
        assert_eq!(vault.progress_files(None).await.unwrap(), [10], "what came before is removed");
        // In each partition orders are counted by themselves.
        let inside = ErasureProgress { applied: 1, owed: [("case-42".to_owned(), 2)].into_iter().collect() };
        assert_eq!(vault.progress(Some("health")).await.unwrap().0, ErasureProgress::default());
        vault.set_progress(Some("health"), &inside).await.unwrap();
        assert_eq!(vault.progress(Some("health")).await.unwrap().0, inside);
        assert_eq!(vault.progress(Some("tax")).await.unwrap().0, ErasureProgress::default());
        assert_eq!(vault.progress(None).await.unwrap().0, later);
    });
}

/// A backup that is laid over the vault brings what was erased since, and its own older word of how far erasure had come; that of the
/// vault lies beside it.
#[test]
fn of_a_backup_laid_over_the_vault_the_older_progress_counts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |applied| ErasureProgress { applied, owed: [(format!("case-{applied}"), 1)].into_iter().collect() };
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        vault.set_progress(None, &at(2)).await.unwrap();
        let backup: Vec<(PathBuf, Vec<u8>)> = files(folder.path())
            .into_iter()
            .filter(|file| file.to_str().unwrap().contains("-erasures"))
            .map(|file| (file.clone(), fs::read(file).unwrap()))
            .collect();
        assert_eq!(backup.len(), 1);
        vault.set_progress(None, &at(7)).await.unwrap();
        backup.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    });
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert_eq!(vault.progress_files(None).await.unwrap(), [1, 2]);
        let expected = ErasureProgress { applied: 2, ..at(7) };
        assert_eq!(vault.progress(None).await.unwrap().0, expected, "done again from the backup on, owed as of now");
    });
}

/// One that brings no word of its own, as a node makes them, has the vault forget how far erasure had come, of all partitions, and once.
#[test]
fn a_backup_laid_over_the_vault_has_it_forget_what_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let done = ErasureProgress { applied: 7, owed: BTreeMap::new() };
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        for partition in [None, Some("health")] {
            vault.set_progress(partition, &done).await.unwrap();
        }
        vault.set_retained(Walked::Register("visit"), 30, 3).await.unwrap();
        let mark = vault.mark_of_backup();
        assert!(!vault.is_restored() && !vault.has_values(&mark.folder));
        fs::create_dir(folder.path().join(&mark.folder)).unwrap();
        fs::write(folder.path().join(&mark.folder).join(&mark.file), &mark.bytes).unwrap();
    });
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert!(vault.is_restored());
        for partition in [None, Some("health")] {
            assert_eq!(vault.progress(partition).await.unwrap(), (ErasureProgress::default(), Vec::new()));
        }
        assert_eq!(vault.retained(Walked::Register("visit"), 30).await.unwrap(), 0);
        vault.set_progress(None, &done).await.unwrap();
    });
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert!(!vault.is_restored());
        assert_eq!(vault.progress(None).await.unwrap().0, done);
    });
}

#[test]
fn what_is_passed_over_is_kept_by_register_and_days() {
    let folder = tempfile::tempdir().unwrap();
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        assert_eq!(vault.retained(Walked::Register("visit"), 30).await.unwrap(), 0);
        for passed in [3, 700, 700] {
            vault.set_retained(Walked::Register("visit"), 30, passed).await.unwrap();
        }
        vault.set_retained(Walked::Register("visit"), 90, 2).await.unwrap();
        vault.set_retained(Walked::Partition("visit"), 30, 5).await.unwrap();
    });
    on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        let mut found = Vec::new();
        for (register, days) in [("visit", 30), ("visit", 90), ("visit", 3), ("person", 30)] {
            found.push(vault.retained(Walked::Register(register), days).await.unwrap());
        }
        assert_eq!(found, [700, 2, 0, 0]);
        for (days, expected) in [(30, 5), (90, 0)] {
            assert_eq!(vault.retained(Walked::Partition("visit"), days).await.unwrap(), expected);
        }
        assert_eq!(vault.storage.scan("node-vault-retained").await.unwrap().len(), 3, "what came before is removed");
    });
}
