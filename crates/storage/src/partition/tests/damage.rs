//! Whatever bit of a partition's state turns over, the node comes to the same state again, of the payloads; and a payload whose file does not
//! open is as good as none.

use super::{super::damage::is_damage, *};
use commonware_runtime::tokio;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Runs on a real disk in this folder.
fn on_disk<T>(folder: &Path, run: impl AsyncFnOnce(tokio::Context) -> T) -> T {
    let config = tokio::Config::new().with_storage_directory(folder);
    tokio::Runner::new(config).start(|context| run(context))
}

async fn open_in(context: &tokio::Context) -> Partition<tokio::Context> {
    Partition::open(context.child("partition"), "node", genesis().id(), "health", TIP).await
}

/// The files of the state, each with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_of_state = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("node-partition-health"))
    };
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_of_state);
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Executes what is not executed yet, and says what the root is then; every record is read.
async fn go_on(partition: &mut Partition<tokio::Context>, blocks: &[PrivateBlock]) -> Hash {
    for block in blocks {
        if block.height > partition.position().height {
            partition.execute(block).await;
        }
    }
    assert!(partition.prove_record("child", "c-1").await.is_some());
    assert!(partition.numbered(2).await.is_some());
    partition.root()
}

/// A state of three blocks, its root, and the blocks.
async fn made(context: &tokio::Context) -> (Hash, Vec<PrivateBlock>) {
    let (mut partition, mut blocks) = (open_in(context).await, Vec::new());
    let steps = [create(), append("first"), append("second")];
    for (number, operations) in (1..).zip(steps) {
        let transaction = sign("a", Some("health"), number, operations);
        let evidence = evidence(&partition, &transaction).await;
        let height = 6 + u64::from(number);
        let block = block(height, vec![placed(transaction.bytes().clone(), evidence, height)]);
        assert_eq!(code(&partition.execute(&block).await[0]), "ok");
        blocks.push(block);
    }
    (partition.root(), blocks)
}

#[test]
fn a_state_that_is_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (root, blocks) = on_disk(folder, async |context| made(&context).await);
    let whole = files(folder);
    let known = database::state_folders("node-partition-health");
    let named = |path: &Path| known.iter().any(|name| path.parent().is_some_and(|parent| parent.ends_with(name)));
    assert!(whole.iter().all(|(path, _)| named(path)), "all that there is is removed: {whole:?}");
    for (path, bytes) in &whole {
        let every = (bytes.len() / 12).max(1);
        for at in (0..bytes.len()).step_by(every) {
            whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            let mut turned = bytes.clone();
            turned[at] ^= 4;
            fs::write(path, turned).unwrap();
            let run = || on_disk(folder, async |context| go_on(&mut open_in(&context).await, &blocks).await);
            // It stops where it finds it late, and does not when it is started again.
            let came_to = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| run());
            assert_eq!(came_to, root, "byte {at} of {}", path.display());
            // What was made anew may lie in other files.
            for (path, _) in files(folder) {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// Found by whoever asks: also where panics are caught.
#[test]
fn a_state_that_was_found_to_be_damaged_is_made_anew_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (root, blocks) = on_disk(folder, async |context| made(&context).await);
    let found = |error: fn() -> qmdb::Error<mmr::Family>| {
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            on_disk(folder, async |context| {
                let partition = open_in(&context).await;
                assert_eq!((partition.root(), partition.position().executed), (root, 3));
                partition.whole::<()>(Err(error())).await;
            });
        }));
        assert!(stopped.is_err(), "it stops");
    };
    found(|| qmdb::Error::Runtime(std::io::Error::other("no space left").into()));
    found(|| qmdb::Error::DataCorrupted("a commit"));
    on_disk(folder, async |context| {
        let mut partition = open_in(&context).await;
        assert_eq!(partition.position(), Position::default());
        assert_eq!(go_on(&mut partition, &blocks).await, root);
    });
    on_disk(folder, async |context| assert_eq!(open_in(&context).await.root(), root, "and once is enough"));
}

#[test]
fn a_disk_that_does_not_write_is_no_damage() {
    use commonware_runtime::Error as Disk;
    use commonware_storage::{journal, merkle, metadata};
    let ways: [fn(Disk) -> qmdb::Error<mmr::Family>; 5] = [
        qmdb::Error::Runtime,
        |disk| qmdb::Error::Journal(journal::Error::Runtime(disk)),
        |disk| qmdb::Error::Metadata(metadata::Error::Runtime(disk)),
        |disk| qmdb::Error::Merkle(merkle::Error::Journal(journal::Error::Runtime(disk))),
        |disk| qmdb::Error::Journal(journal::Error::Metadata(metadata::Error::Runtime(disk))),
    ];
    for way in ways {
        assert!(!is_damage(&way(std::io::Error::other("no space left").into())));
        assert!(!is_damage(&way(Disk::ReadFailed)));
        assert!(is_damage(&way(Disk::InvalidChecksum)));
    }
    assert!(!is_damage(&qmdb::Error::StaleBatch) && is_damage(&qmdb::Error::DataCorrupted("a commit")));
}

/// Leaves a state as a program of before would have.
async fn leave_older(partition: &mut Partition<tokio::Context>) {
    let position = Position { height: 7, location: 70, executed: 3, time_ms: TIME_MS };
    let older = Value(Bytes::from(position.to_bytes()[..32].to_vec()));
    let db = partition.db.take().unwrap();
    let batch = db.new_batch().merkleize(&db, Some(older), &mut Proportional).await.unwrap();
    db.apply_batch(batch).await.unwrap().commit().await.unwrap();
}

/// A state that another version wrote is not read as if it were of this one: it is made anew.
#[test]
fn a_state_of_another_form_is_none_of_this_one() {
    let position = Position { height: 7, location: 70, executed: 3, time_ms: TIME_MS };
    let bytes = [position.to_bytes(), vec![9; 32]].concat();
    assert_eq!(Position::from_bytes(&bytes), Some(position));
    let mut other = bytes.clone();
    other[39] ^= 1;
    for bytes in [&bytes[..32], &other, &[], &bytes[..40]] {
        assert_eq!(Position::from_bytes(bytes), None, "{bytes:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (root, blocks) = on_disk(folder, async |context| made(&context).await);
    on_disk(folder, async |context| leave_older(&mut open_in(&context).await).await);
    on_disk(folder, async |context| {
        let mut partition = open_in(&context).await;
        assert_eq!((partition.anew(), partition.position()), (Some(&Anew::Form), Position::default()));
        assert_eq!(go_on(&mut partition, &blocks).await, root);
    });
    on_disk(folder, async |context| assert_eq!(open_in(&context).await.anew(), None));
}

/// Whatever ends the process after a state of another form was found, or one that is damaged and may have been of another form, and however
/// often: up to the newest block of then nothing is posted of what is executed anew.
#[test]
fn after_which_height_roots_are_posted_is_known_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let open_at = async |context: &tokio::Context, tip| {
        Partition::open(context.child("partition"), "node", genesis().id(), "health", tip).await
    };
    on_disk(folder, async |context| made(&context).await);
    on_disk(folder, async |context| assert_eq!(open_at(&context, 20).await.posts_after(), 0, "of this form"));
    on_disk(folder, async |context| leave_older(&mut open_at(&context, 20).await).await);
    on_disk(folder, async |context| {
        let partition = open_at(&context, 0x2a).await;
        assert_eq!((partition.anew(), partition.posts_after()), (Some(&Anew::Form), 0x2a));
    });
    on_disk(folder, async |context| {
        // Nothing was executed.
        let partition = open_at(&context, 50).await;
        assert_eq!((partition.anew(), partition.position().executed, partition.posts_after()), (None, 0, 0x2a));
        partition.mark().await.unwrap();
    });
    on_disk(folder, async |context| {
        // The mark of damage goes, and the height stays.
        let partition = open_at(&context, 60).await;
        assert!(matches!(partition.anew(), Some(Anew::Damaged(_))));
        assert_eq!(partition.posts_after(), 60);
    });
    on_disk(folder, async |context| {
        let mut partition = open_at(&context, 65).await;
        assert_eq!((partition.anew(), partition.posts_after()), (None, 60));
        leave_older(&mut partition).await;
    });
    on_disk(folder, async |context| assert_eq!(open_at(&context, 70).await.posts_after(), 70, "and once more"));
    on_disk(folder, async |context| assert_eq!(open_at(&context, 80).await.posts_after(), 70));
}

async fn store_in(context: &tokio::Context) -> ParcelStore<tokio::Context> {
    ParcelStore::open(context.child("store"), "node", "health", 1_000).await.unwrap()
}

/// The files of parcels.
fn files_of_parcels(folder: &Path) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(folder.join("node-parcels-health")).into_iter().flatten();
    files.map(|entry| entry.unwrap().path()).collect()
}

/// Keeps parcels, each in a file of its own, and says which of the files is whose.
async fn put_each(
    folder: &Path,
    store: &mut ParcelStore<tokio::Context>,
    parcels: &[(OrderedParcel, Bytes)],
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for one in parcels {
        let before = files_of_parcels(folder);
        store.put(std::slice::from_ref(one), BY_A).await.unwrap();
        files.extend(files_of_parcels(folder).difference(&before).cloned());
    }
    assert_eq!(files.len(), parcels.len());
    files
}

/// Turns a bit of what the runtime writes before a file's own bytes.
fn turn(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Found at the start, where it is to be marked, or where it is read: the others are there, and it is once it is given again.
#[test]
fn parcels_whose_file_does_not_open_are_not_there_until_they_are_given_again() {
    for at in [0, 5, 12, 2_000] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let all = [1, 2, 3].map(parcel);
        let files = on_disk(folder, async |context| put_each(folder, &mut store_in(&context).await, &all).await);
        turn(&files[0], at);
        on_disk(folder, async |context| {
            let mut store = store_in(&context).await;
            let has = |store: &ParcelStore<_>| all.each_ref().map(|one| store.has(&one.0.id));
            assert_eq!((has(&store), store.damaged()), ([false, true, true], 1), "byte {at}");
            assert!(!files[0].exists(), "byte {at}");
            turn(&files[1], at);
            store.ordered(all.iter().map(|one| one.0.id)).await.unwrap();
            assert_eq!(has(&store), [false, false, true], "byte {at}");
            turn(&files[2], at);
            assert!(store.get(&all[2].0.id).await.is_err(), "byte {at}");
            for one in &all {
                store.put(std::slice::from_ref(one), Kept::Ordered).await.unwrap();
                assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(one), "byte {at}");
            }
        });
        on_disk(folder, async |context| {
            let store = store_in(&context).await;
            assert_eq!(store.damaged(), 0, "said once");
            for one in &all {
                assert!(store.is_ordered(&one.0.id));
                assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(one), "byte {at}");
            }
        });
    }
}

/// What was replaced and could not be removed, or was there before files had numbers, is not taken for what replaced it.
#[test]
fn of_parcels_that_lie_in_two_files_the_newer_counts() {
    for n in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (one, again) = (parcel(n), (parcel(n).0, Bytes::from(vec![7; parcel(n).1.len()])));
        let older = on_disk(folder, async |context| {
            let mut store = store_in(&context).await;
            let older = put_each(folder, &mut store, std::slice::from_ref(&one)).await.remove(0);
            let bytes = fs::read(&older).unwrap();
            store.put(std::slice::from_ref(&again), Kept::Ordered).await.unwrap();
            assert!(!older.exists());
            fs::write(&older, &bytes).unwrap();
            let name = older.file_name().unwrap().to_str().unwrap();
            let unnumbered = older.with_file_name(&name[..64]);
            fs::write(&unnumbered, bytes).unwrap();
            [older, unnumbered]
        });
        on_disk(folder, async |context| {
            let store = store_in(&context).await;
            assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(&again), "{n}");
            assert!(store.is_ordered(&one.0.id), "{n}");
        });
        assert!(!older.iter().any(|file| file.exists()), "{n}");
    }
}

/// What a version of before kept is there.
#[test]
fn a_file_without_a_number_is_one_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let one = parcel(1);
    on_disk(folder, async |context| {
        let file = put_each(folder, &mut store_in(&context).await, std::slice::from_ref(&one)).await.remove(0);
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::rename(&file, file.with_file_name(&name[..64])).unwrap();
    });
    on_disk(folder, async |context| {
        let mut store = store_in(&context).await;
        assert_eq!(store.get(&one.0.id).await.unwrap().as_ref(), Some(&one));
        store.ordered([one.0.id]).await.unwrap();
        assert!(store.is_ordered(&one.0.id));
    });
}
