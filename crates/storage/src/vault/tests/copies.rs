//! Copies of a vault that is written to, on a real disk, put back as an operator would.

use super::*;
use commonware_runtime::Spawner as _;
use std::sync::Arc;

/// Puts copies where a vault is looked for.
fn restore(folder: &Path, copies: &[FileCopy]) {
    for FileCopy { folder: inner, file, bytes, .. } in copies {
        fs::create_dir_all(folder.join(inner)).unwrap();
        fs::write(folder.join(inner).join(file), bytes).unwrap();
    }
}

/// Copies all of a vault whose files lie on this disk.
async fn copy_all<S: Storage>(vault: &Vault<S>, disk: &Path) -> Vec<FileCopy> {
    let mut copies = vec![vault.copy_check(disk).unwrap()];
    for inner in Vault::<S>::folders() {
        for name in vault.names(inner).await.unwrap() {
            copies.extend(vault.copy(&name, disk).await.unwrap());
        }
    }
    copies
}

/// While values of one subject are put, each copy has all that were there at some time, and nothing half.
#[test]
fn a_copy_is_whole_while_values_are_put() {
    const VALUES: usize = 40;
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rng = StdRng::seed_from_u64(1);
    let openings: Vec<Opening> =
        (0..VALUES).map(|n| sealed("alice", "name", &format!("Alice {n}"), &mut rng)).collect();
    let (put, disk) = (openings.clone(), folder.path().to_owned());
    let copies = on_disk(folder.path(), async |context| {
        let vault = Arc::new(Vault::open(context.child("vault"), "node", &key(1)).await.unwrap());
        let name = vault.place_of(&drawer("alice")).1;
        vault.put(&put[..1], &mut rng).await.unwrap();
        let writing = vault.clone();
        let writer = context.child("write").spawn(move |_| async move {
            for opening in put {
                writing.put(&[opening], &mut rng).await.unwrap();
            }
        });
        let mut copies = Vec::new();
        while copies.len() < 400 {
            let before = vault.all(&drawer("alice")).await.unwrap().len();
            copies.push((vault.copy(&name, &disk).await.unwrap().unwrap(), before));
            if before == VALUES {
                break;
            }
        }
        writer.await.unwrap();
        copies.push((vault.copy_check(&disk).unwrap(), 0));
        copies
    });
    let (check, copies) = copies.split_last().unwrap();
    assert!(copies.len() > 10, "{} copies", copies.len());
    for (number, (copy, before)) in copies.iter().enumerate() {
        let place = aside.path().join(number.to_string());
        restore(&place, &[check.0.clone(), copy.clone()]);
        on_disk(&place, async |context| {
            let vault = Vault::open(context, "node", &key(1)).await.unwrap();
            let found = vault.all(&drawer("alice")).await.unwrap();
            assert!(
                found.len() >= *before && openings.starts_with(&found),
                "copy {number}: {} of {before}",
                found.len()
            );
        });
    }
}

/// What is copied says of which partition it is, and is a vault where it is put back: with all values and notes, and no word of what was
/// carried out, so that all orders are carried out again.
#[test]
fn copies_are_a_vault_that_knows_of_no_order_carried_out() {
    let (folder, aside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rng = StdRng::seed_from_u64(1);
    let public = sealed("alice", "name", "Alice", &mut rng);
    let all = [within("health", &public), public];
    let openings = vec![(all[0].place().clone(), all[0].commitment())];
    let noted = Pending { transaction: Hash([1; 32]), not_after: 7, within: None, openings };
    let copies = on_disk(folder.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        vault.put(&all, &mut rng).await.unwrap();
        // Written anew, as where more comes with a transaction.
        vault.note(&Pending { openings: Vec::new(), ..noted.clone() }, &mut rng).await.unwrap();
        vault.note(&noted, &mut rng).await.unwrap();
        vault.set_progress(None, &ErasureProgress { applied: 3, ..ErasureProgress::default() }).await.unwrap();
        vault.set_retained(Walked::Register("visit"), 30, 7).await.unwrap();
        let mut copies = copy_all(&vault, folder.path()).await;
        copies.extend(vault.copy_note(&noted, folder.path()).unwrap());
        assert_eq!(
            vault.copy_note(&Pending { transaction: Hash([2; 32]), ..noted.clone() }, folder.path()).unwrap(),
            None
        );
        for copy in copies.iter().filter(|copy| vault.has_values(&copy.folder)) {
            let told = vault.partition_of(&copy.folder, &copy.file, &copy.bytes).unwrap();
            assert_eq!(told, copy.partition, "{}", copy.folder);
            if let Some(opening) = all.iter().find(|one| copy.folder == vault.place_of(&Drawer::of(one.place())).0) {
                let opens = |of: &Opening| vault.opens_any(&copy.file, &copy.bytes, &[of.commitment()]).unwrap();
                assert!(opens(opening) && !opens(&sealed("carol", "name", "Carol", &mut rng)));
            }
            let mut damaged = copy.bytes.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(vault.partition_of(&copy.folder, &copy.file, &damaged).is_err());
        }
        copies
    });
    let mut partitions: Vec<_> = copies[1..].iter().map(|copy| copy.partition.as_deref()).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [None, Some("health"), Some("health")]);
    assert!(copies.iter().all(|copy| !copy.folder.contains("erasures") && !copy.folder.contains("retained")));
    restore(aside.path(), &copies);
    on_disk(aside.path(), async |context| {
        let vault = Vault::open(context, "node", &key(1)).await.unwrap();
        for opening in &all {
            assert_eq!(vault.all(&Drawer::of(opening.place())).await.unwrap(), std::slice::from_ref(opening));
        }
        assert_eq!(vault.pending().await.unwrap(), (vec![noted], Vec::new()));
        assert_eq!(vault.progress(None).await.unwrap().0, ErasureProgress::default());
    });
}
