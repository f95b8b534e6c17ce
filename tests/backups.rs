//! The fear: that what was erased lies in a backup still, or comes back from one; and that what may not lie there does. With the real binary, and
//! with nodes that back up by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tallystick_client::{Client, Profile};
use tallystick_tests::sandbox::{Desk, Sandbox, copy, free_base_port};

/// The members of the sandbox's own partition. The backup of the second lies where its agreement does not allow.
const AGENCY: &str = "food-standards-agency";
const HOUSE: &str = "companies-house";
/// How long a node may take: a failed turn is tried again after half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let all = entries.map(|entry| entry.unwrap().path());
    all.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The end of what was encrypted: all files of the engine begin alike.
fn end(file: &Path) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    bytes[bytes.len() - 32..].to_vec()
}

#[track_caller]
fn within<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A node of the sandbox, and where its backups lie.
struct Node<'d> {
    desk: &'d Desk,
    sandbox: &'d Sandbox,
    organisation: &'static str,
}

impl Node<'_> {
    fn storage(&self) -> PathBuf {
        self.desk.path(&format!("sandbox/{}/data/storage", self.organisation))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.desk.path(&format!("sandbox/{}/node.log", self.organisation))).unwrap()
    }

    fn client(&self) -> Client {
        let at = usize::from(self.organisation != AGENCY);
        Client::new([&Profile::read(&self.desk.path("sandbox")).unwrap().nodes[at]]).unwrap()
    }

    fn backups(&self) -> PathBuf {
        self.desk.path(&format!("backups-{}", self.organisation))
    }

    /// The files of somebody's values.
    fn kept(&self) -> Vec<PathBuf> {
        let is_folder = |name: &str| name.strip_prefix("tally-vault-").is_some_and(|rest| rest.len() == 3);
        let mut all = files(&self.storage());
        all.retain(|path| is_folder(&path.parent().unwrap().file_name().unwrap().to_string_lossy()));
        all
    }

    /// What a line of the command changes in the vault: the end of the one file that is new.
    fn writes(&self, line: &str) -> Vec<u8> {
        let before = self.kept();
        self.desk.line(line).expect(0, &[]);
        let new: Vec<PathBuf> = within("the value", || {
            let mut kept = self.kept();
            kept.retain(|path| !before.contains(path));
            (!kept.is_empty()).then_some(kept)
        });
        assert_eq!(new.len(), 1, "{new:?}");
        end(&new[0])
    }

    /// How many files in the backups hold these bytes.
    fn backed_up(&self, bytes: &[u8]) -> usize {
        let holds = |path: &PathBuf| fs::read(path).is_ok_and(|all| all.windows(bytes.len()).any(|part| part == bytes));
        files(&self.backups()).iter().filter(|path| holds(path)).count()
    }

    /// The backups that are complete.
    fn complete(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.backups()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| {
                path.is_dir() && path.extension().is_some_and(|rest| !rest.to_string_lossy().contains("incomplete"))
            })
            .collect()
    }

    /// Has backups made from the node's next start on, in a folder that stands there; and starts it anew.
    fn configure(&self, jurisdiction: &str) {
        let path = self.desk.path(&format!("sandbox/{}/node.toml", self.organisation));
        let text = fs::read_to_string(&path).unwrap();
        let before = text.split_once("\n[holder.backup]").map_or(text.as_str(), |(before, _)| before);
        let folder = self.backups();
        let table =
            format!("\n[holder.backup]\nfolder = \"{}\"\njurisdiction = \"{jurisdiction}\"\n", folder.display());
        fs::write(&path, format!("{before}{table}")).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tally-backups"), "").unwrap();
        self.sandbox.kill_node(self.organisation);
    }

    fn await_ready(&self) {
        within(self.organisation, || self.client().get("/readyz", "*/*").ok());
    }
}

#[test]
fn what_is_erased_is_in_no_backup_and_what_may_not_leave_is_in_none() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let port = free_base_port().to_string();
    let sandbox = Sandbox::start(&desk, &["--base-port", &port]);
    let [agency, house] = [AGENCY, HOUSE].map(|organisation| Node { desk: &desk, sandbox: &sandbox, organisation });
    let keeper = format!("--as {AGENCY}/administrator");
    desk.line(&format!("register create patient --field patient --field name --personal name {keeper}")).expect(0, &[]);
    desk.line(&format!(
        "register create pupil --field pupil --field name --personal name --partition food-safety {keeper}"
    ))
    .expect(0, &[]);
    let append = |register: &str, key: &str| {
        format!("register append {register} {key} name='Xanthippe Zzyzx' --as {AGENCY}/registrar")
    };
    let first = agency.writes(&append("patient", "p-1"));
    let second = agency.writes(&append("patient", "p-2"));
    let shared = agency.writes(&format!("{} --partition food-safety", append("pupil", "c-1")));
    let at_house = within("the other member's", || house.kept().pop());

    let house_end = end(&at_house);

    agency.configure("GB-SCT");
    house.configure("US");
    within("backups", || (agency.complete().len() == 1 && house.complete().len() == 1).then_some(()));
    for bytes in [&first, &second, &shared] {
        assert_eq!(agency.backed_up(bytes), 1);
    }
    [&agency, &house].into_iter().for_each(Node::await_ready);
    backups_are_for_the_node_alone(&agency);
    each_node_tells_of_its_own(&agency, &house);
    what_may_not_leave_is_refused_on_record(&house, &house_end);
    let tape = desk.path("tape");
    copy(&agency.complete()[0], &tape);

    erased_in_backups_too(&agency, (&first, &second));
    what_is_put_back_is_cleaned_too(&agency, &tape, &first);
    what_is_too_old_is_removed(&agency);
    what_is_not_allowed_any_more_is_removed(&house, &house_end);
    sandbox.stop();
    a_restored_backup_brings_nothing_back(&desk, &tape, &port);
}

fn backups_are_for_the_node_alone(agency: &Node<'_>) {
    let backup = agency.complete().pop().unwrap();
    for path in files(&backup) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let inner = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert!(inner.starts_with("tally-vault") && !inner.contains("erasures"), "{inner}");
    }
    let metrics = String::from_utf8(agency.client().get("/metrics", "*/*").unwrap().body).unwrap();
    let value = |name: &str| {
        let line = metrics.lines().find(|line| !line.starts_with('#') && line.contains(name));
        line.unwrap_or_else(|| panic!("{metrics}")).rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now - 600..=now).contains(&value("backup_complete_seconds")) && value("backup_failures") == 0);
}

/// Of another year; the newest stays.
fn what_is_too_old_is_removed(agency: &Node<'_>) {
    let newest = agency.complete().pop().unwrap();
    let name = newest.file_name().unwrap().to_string_lossy().into_owned();
    let (whose, _) = name.rsplit_once('-').unwrap();
    let old = newest.with_file_name(format!("{whose}-20200102T030405Z"));
    copy(&newest, &old);
    within("the old one's end", || (!old.exists()).then_some(()));
    assert!(newest.exists());
}

fn each_node_tells_of_its_own(agency: &Node<'_>, house: &Node<'_>) {
    let told = |node: &Node<'_>, of: &str| {
        let map = node.client().data_map(&[("organisation", of)]).unwrap().value;
        map.controllers[0]
            .backups
            .as_ref()
            .map(|one| (one.node.to_string(), one.jurisdiction.to_string(), one.keep_days))
    };
    assert_eq!(told(agency, AGENCY), Some((format!("{AGENCY}/vault"), "GB-SCT".to_owned(), 30)));
    assert_eq!(told(house, HOUSE), Some((format!("{HOUSE}/vault"), "US".to_owned(), 30)));
    assert_eq!(told(agency, HOUSE), None);
    let by =
        format!("by {AGENCY}/vault in GB-SCT, every 24 hours, each kept for 30 days and until there is a newer one");
    agency.desk.line(&format!("datamap --organisation {AGENCY}")).expect(0, &["backed up", &by]);
    agency
        .desk
        .line(&format!("datamap --organisation {AGENCY} --csv"))
        .expect(0, &["backups,food-standards-agency/vault"]);
}

fn what_may_not_leave_is_refused_on_record(house: &Node<'_>, shared: &[u8]) {
    assert_eq!(house.backed_up(shared), 0, "it is nowhere in the backup");
    let desk = house.desk;
    let told = within("the refusal", || {
        let told = desk.line("audit query --action transfer-refuse --json").expect(0, &[]).text();
        told.contains("\"id\"").then_some(told)
    });
    let acts: serde_json::Value = serde_json::from_str(&told).unwrap();
    let id = acts["acts"][0]["id"].as_str().unwrap_or_else(|| panic!("{told}"));
    let expected = "nothing of partition food-safety to the backup of companies-house/vault, which stands in US; stopped on backup";
    desk.line(&format!("transaction {id} --receipt refused.receipt")).expect(0, &[expected]);
    desk.line("verify refused.receipt").expect(0, &["stopped on backup", "accepted"]);
    assert_eq!(acts["acts"].as_array().unwrap().len(), 1, "once a day: {told}");
}

/// The receipt does not wait for the backups: they are cleaned while they can be reached, and when they can be again.
fn erased_in_backups_too(agency: &Node<'_>, (first, second): (&[u8], &[u8])) {
    let desk = agency.desk;
    let order = |order: &str, subject: &str| {
        let why = "--authority 'The patient' --legal-basis Law --reason 'Consent withdrawn'";
        desk.line(&format!("erasure order {order} {subject} {why} --as {AGENCY}/administrator")).expect(0, &[]);
    };
    let is_complete = |order: &str| desk.line(&format!("erasure status {order}")).text().contains("is complete");
    order("case-1", "patient:p-1");
    within("case-1", || is_complete("case-1").then_some(()));
    within("case-1 in the backups", || (agency.backed_up(first) == 0).then_some(()));
    assert_eq!(agency.backed_up(second), 1);

    let away = desk.path("away");
    fs::rename(agency.backups(), &away).unwrap();
    within("tally status", || desk.line("status").text().contains("the backup of its vault is amiss").then_some(()));
    // The first thing that fails may be another, and what is told is written a moment later.
    within("what to do, in the log", || agency.log().contains("mount it").then_some(()));
    order("case-2", "patient:p-2");
    within("case-2", || is_complete("case-2").then_some(()));
    fs::rename(&away, agency.backups()).unwrap();
    within("case-2 in the backups", || (agency.backed_up(second) == 0).then_some(()));
    within("tally status", || (!desk.line("status").text().contains("amiss")).then_some(()));
}

/// A copy that somebody made of a backup, and puts into the folder.
fn what_is_put_back_is_cleaned_too(agency: &Node<'_>, tape: &Path, first: &[u8]) {
    let name = agency.complete()[0].file_name().unwrap().to_string_lossy().into_owned();
    // Of the same minute: it is not so old that it is removed as a whole.
    let other = name.len() - "00Z".len();
    let second = if name.ends_with("00Z") { "01Z" } else { "00Z" };
    let put_back = agency.backups().join(format!("{}{second}", &name[..other]));
    copy(tape, &put_back);
    assert_eq!(agency.backed_up(first), 1, "it was copied before the order");
    within("what was put back", || (agency.backed_up(first) == 0).then_some(()));
    assert!(put_back.exists());
}

/// The members allow where the second one's backups are, and then do not any more.
fn what_is_not_allowed_any_more_is_removed(house: &Node<'_>, shared: &[u8]) {
    amend(house.desk, "allow-it", r#"["GB", "US"]"#);
    // The next is made as soon as there is none.
    fs::remove_dir_all(house.complete().pop().unwrap()).unwrap();
    within("what may leave now", || (house.backed_up(shared) == 1 && !house.complete().is_empty()).then_some(()));
    amend(house.desk, "forbid-it", r#"["GB"]"#);
    within("what may not lie there any more", || (house.backed_up(shared) == 0).then_some(()));
    assert_eq!(house.complete().len(), 1, "the rest of the backup is there");
}

/// Has the members say where what they share may be held.
fn amend(desk: &Desk, proposal: &str, jurisdictions: &str) {
    let _ = fs::remove_file(desk.path("form.toml"));
    desk.line("proposal draft --kind partition-amend form.toml").expect(0, &[]);
    let form = fs::read_to_string(desk.path("form.toml")).unwrap();
    let from = form.lines().find(|line| line.starts_with("from_ms")).unwrap();
    let form = form
        .replace(r#"["council", "harbour"]"#, &format!(r#"["{HOUSE}", "{AGENCY}"]"#))
        .replace("school-health", "food-safety")
        .replace("my-proposal", proposal)
        .replace(r#"jurisdictions = ["GB"]"#, &format!("jurisdictions = {jurisdictions}"));
    fs::write(desk.path("form.toml"), form.replace(from, "from_ms = 1")).unwrap();
    desk.line(&format!("proposal submit form.toml --as {AGENCY}/administrator")).expect(0, &["is open"]);
    for member in [HOUSE, AGENCY] {
        desk.line(&format!("proposal vote {proposal} yes --as {member}/administrator")).expect(0, &[]);
    }
    desk.line(&format!("proposal show {proposal} --wait --timeout 120")).expect(0, &[]);
}

/// A copy of a backup that nobody reached, put in the place of the vault, and then laid over it.
fn a_restored_backup_brings_nothing_back(desk: &Desk, tape: &Path, port: &str) {
    let storage = desk.path(&format!("sandbox/{AGENCY}/data/storage"));
    for folder in fs::read_dir(&storage).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.file_name().unwrap().to_string_lossy().starts_with("tally-vault") {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    for times in [2, 3] {
        copy(tape, &storage);
        what_was_restored_is_erased_again(desk, port, times);
    }
}

/// For so many times by now.
fn what_was_restored_is_erased_again(desk: &Desk, port: &str, times: usize) {
    let sandbox = Sandbox::start(desk, &["--base-port", port]);
    let agency = Node { desk, sandbox: &sandbox, organisation: AGENCY };
    let read = |record: &str| {
        desk.line(&format!("record {record} --open --purpose Look --legal-basis Law --as {AGENCY}/registrar"))
    };
    within("the orders", || (agency.log().matches("erased order=case-1").count() == times).then_some(()));
    within("the orders", || (agency.log().matches("erased order=case-2").count() == times).then_some(()));
    for record in ["patient p-1", "patient p-2"] {
        let told = read(record).expect(1, &[]).text();
        assert!(!told.contains("Xanthippe"), "{told}");
    }
    read("pupil c-1 --partition food-safety").expect(0, &["Xanthippe"]);
    println!("what was restored holds {} files, and nothing that was erased", agency.kept().len());
    sandbox.stop();
}
