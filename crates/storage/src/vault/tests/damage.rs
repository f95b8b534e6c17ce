//! Files whose first bytes are not as the runtime wrote them: it does not open them.

use super::*;

async fn open_in(folder: &Path, context: tokio::Context) -> Result<Vault<tokio::Context>, VaultError> {
    Vault::open_on_disk(context, ("node", folder.to_owned()), &key(1)).await
}

/// Flips a bit of what the runtime writes before a file's own bytes.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[12] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Flips a bit of the first of the file's own bytes, which says whether it is whole.
fn turn(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    assert_eq!(bytes[OWN], WHOLE);
    bytes[OWN] ^= 2;
    fs::write(file, bytes).unwrap();
}

/// Where a file's own bytes begin.
const OWN: usize = 4_096;

/// The files of which the names of their folders end so.
fn files_of(folder: &Path, end: &str) -> Vec<PathBuf> {
    let is_there = |path: &PathBuf| path.parent().unwrap().to_str().unwrap().ends_with(end);
    files(folder).into_iter().filter(is_there).collect()
}

/// Two openings of alice, kept one after the other, with the file of the first beside that of both, as if a crash had left it.
fn with_one_left(folder: &Path) -> ([Opening; 2], [PathBuf; 2]) {
    let mut rng = StdRng::seed_from_u64(1);
    let kept = [("name", "Alice"), ("born", "1970")].map(|(field, value)| sealed("alice", field, value, &mut rng));
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        vault.put(&kept[..1], &mut rng).await.unwrap();
    });
    let older = file_of(folder, "alice");
    let bytes = fs::read(&older).unwrap();
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        vault.put(&kept[1..], &mut rng).await.unwrap();
        vault.put(&[sealed("bob", "name", "Bob", &mut rng)], &mut rng).await.unwrap();
    });
    let newer = file_of(folder, "alice");
    fs::write(&older, bytes).unwrap();
    (kept, [older, newer])
}

/// The runtime does not open it: it is overwritten all the same.
#[test]
fn a_file_whose_header_is_damaged_is_destroyed_too() {
    let aside = tempfile::tempdir().unwrap();
    for (place, at) in [0, 12, 2_000].into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, link) = (folder.path(), aside.path().join(place.to_string()));
        let mut rng = StdRng::seed_from_u64(1);
        on_disk(folder, async |context| {
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            vault.put(&[sealed("alice", "name", "Alice", &mut rng)], &mut rng).await.unwrap();
        });
        let file = file_of(folder, "alice");
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        fs::hard_link(&file, &link).unwrap();
        on_disk(folder, async |context| {
            let vault = open_in(folder, context).await.unwrap();
            let read = vault.all(&drawer("alice")).await;
            assert!(matches!(read, Err(VaultError::Damaged(_))), "byte {at}: {read:?}");
            assert!(vault.destroy(&drawer("alice")).await.unwrap(), "byte {at}");
            assert!(vault.all(&drawer("alice")).await.unwrap().is_empty(), "byte {at}");
        });
        assert!(!file.exists() && fs::read(&link).unwrap() == vec![0; bytes.len()], "byte {at}");
    }
}

/// What a crash left is overwritten when the vault is opened, also if the runtime does not open it.
#[test]
fn what_a_crash_left_and_is_damaged_is_overwritten() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, link) = (folder.path(), aside.path().join("link"));
    let (kept, [older, newer]) = with_one_left(folder);
    damage(&older);
    fs::hard_link(&older, &link).unwrap();
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert_eq!(vault.all(&drawer("alice")).await.unwrap(), kept);
    });
    assert!(!older.exists() && newer.exists());
    assert!(fs::read(&link).unwrap().iter().all(|byte| *byte == 0));
}

/// Of a subject's files the newest counts, damaged as it is: an older one is not taken for it, and everybody else is read.
#[test]
fn a_damaged_file_does_not_keep_the_vault_closed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_, [older, newer]) = with_one_left(folder);
    for by in [damage, turn] {
        let whole = fs::read(&newer).unwrap();
        by(&newer);
        on_disk(folder, async |context| {
            let vault = open_in(folder, context).await.unwrap();
            assert!(matches!(vault.all(&drawer("alice")).await, Err(VaultError::Damaged(_))));
        });
        fs::write(&newer, whole).unwrap();
    }
    damage(&newer);
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert!(matches!(vault.all(&drawer("alice")).await, Err(VaultError::Damaged(_))));
        assert_eq!(vault.all(&drawer("bob")).await.unwrap().len(), 1);
        assert!(older.exists() && newer.exists());
        assert!(vault.destroy(&drawer("alice")).await.unwrap());
    });
    assert!(!older.exists() && !newer.exists());
}

/// Of what says which key the vault has: what the key opens says so too.
#[test]
fn a_bit_of_the_check_keeps_nothing_closed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    with_one_left(folder);
    let check = files(folder).into_iter().find(|file| file.ends_with(hex::encode(CHECK_NAME))).unwrap();
    for at in [0, 12, OWN, OWN + 24] {
        let mut bytes = fs::read(&check).unwrap();
        bytes[at] ^= 0x10;
        fs::write(&check, bytes).unwrap();
        on_disk(folder, async |context| {
            let another = Vault::open_on_disk(context, ("node", folder.to_owned()), &key(2)).await;
            assert!(another.is_err(), "another key at {at}");
        });
        on_disk(folder, async |context| {
            let vault = open_in(folder, context).await.unwrap();
            assert_eq!(vault.all(&drawer("alice")).await.unwrap().len(), 2, "at {at}");
        });
        on_disk(folder, async |context| drop(open_in(folder, context).await.unwrap()));
    }
}

/// All that was ordered is carried out again, as where the file is not there; also where another says that it is done.
#[test]
fn damaged_progress_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let at = |applied| ErasureProgress { applied, ..ErasureProgress::default() };
    on_disk(folder, async |context| {
        open_in(folder, context).await.unwrap().set_progress(None, &at(3)).await.unwrap();
    });
    let files = files_of(folder, "-erasures");
    assert_eq!(files.len(), 1);
    damage(&files[0]);
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        let (progress, damaged) = vault.progress(None).await.unwrap();
        assert_eq!((progress, damaged.len()), (at(0), 1));
        vault.set_progress(None, &at(4)).await.unwrap();
        assert_eq!(vault.progress(None).await.unwrap().0, at(4));
    });
    assert!(!files[0].exists());
    // A bit of what it says, which stays readable: five for four.
    let file = &files_of(folder, "-erasures")[0];
    let whole = fs::read(file).unwrap();
    let said = whole.windows(3).rposition(|window| window == [0x82, 4, 0x80]).unwrap();
    let mut turned = whole.clone();
    turned[said + 1] ^= 1;
    fs::write(file, turned).unwrap();
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert_eq!(vault.progress(None).await.unwrap().0, at(0));
    });
    fs::write(file, whole).unwrap();
    // An older one, of a copy that was laid over the vault.
    let newer = files_of(folder, "-erasures");
    fs::copy(&newer[0], &files[0]).unwrap();
    damage(&files[0]);
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert_eq!(vault.progress_files(None).await.unwrap().len(), 2);
        assert_eq!(vault.progress(None).await.unwrap().0, at(0));
    });
}

#[test]
fn a_damaged_note_is_named_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut rng = StdRng::seed_from_u64(1);
    let noted = |n: u8| Pending { transaction: Hash([n; 32]), not_after: 7, within: None, openings: Vec::new() };
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        vault.note(&noted(1), &mut rng).await.unwrap();
        vault.note(&noted(2), &mut rng).await.unwrap();
    });
    let name = hex::encode([1; 32]);
    let files = files_of(folder, "-pending");
    let file = files.iter().find(|file| file.ends_with(&name)).unwrap();
    let whole = fs::read(file).unwrap();
    turn(file);
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert_eq!(vault.pending().await.unwrap(), (vec![noted(2)], vec![name.clone()]), "it is kept");
    });
    fs::write(file, whole).unwrap();
    damage(file);
    on_disk(folder, async |context| {
        let vault = open_in(folder, context).await.unwrap();
        assert_eq!(vault.pending().await.unwrap(), (vec![noted(2)], vec![name]));
        // What is handed in again is noted again.
        vault.note(&noted(1), &mut rng).await.unwrap();
        assert_eq!(vault.pending().await.unwrap().0.len(), 2);
    });
}
