//! The fear: that a sealed value lies somewhere in the clear, or is read and nobody knows. With the real binary and four real nodes.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is. It prints what it measured, and the build decides how much
//! that is worth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod erased;
mod shared;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tallystick_api::PrivateAnswer;
use tallystick_client::{Client, Passphrase, Profile, Signer, read_network};
use tallystick_protocol::{
    Hash, NewEntry, Opening, Operation, Place, Query, Receipt, SealedSubmission, Secret, Subject,
};
use tallystick_tests::sandbox::{Desk, Sandbox, free_base_port};

/// What is sealed, and found nowhere; and what is not, and found everywhere.
const SEALED: &str = "Xanthippe Quillfeather-Zzyzx";
const CLEAR: &str = "clear-marker-4b1d77";
/// The custodian, whose node comes second.
const CUSTODIAN: &str = "companies-house";
/// As whom that node holds.
const VAULT: &str = "companies-house/vault";
/// Records that are read, as many to a transaction.
const RECORDS: usize = 64;
/// Requests at once.
const READERS: usize = 12;
/// How long is read before the node is killed.
const READING: Duration = Duration::from_secs(6);
/// How long a transaction, or a node, may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files of the sandbox, logs and all, that hold these bytes anywhere.
fn holding(desk: &Desk, bytes: &[u8]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(&desk.path("sandbox"), &mut all);
    assert!(all.len() > 100, "only {} files", all.len());
    // A file may go while it is looked for.
    let holds =
        |path: &PathBuf| fs::read(path).is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes));
    all.into_iter().filter(holds).collect()
}

fn signer(desk: &Desk, name: &str) -> Signer {
    let profile = Profile::read(&desk.path("sandbox")).unwrap();
    let place = &profile.principals[name];
    let secret = |_: &str| Passphrase::read(place.passphrase_file.as_ref().unwrap());
    let key = place.key.open::<tallystick_client::Error>(Duration::ZERO, |prompt| Ok(secret(prompt)?)).unwrap();
    Signer::new(read_network(&profile.network).unwrap().id(), name.parse().unwrap(), key)
}

fn client(desk: &Desk) -> Client {
    Client::new(Profile::read(&desk.path("sandbox")).unwrap().nodes).unwrap()
}

/// The custodian's node alone.
fn holder(desk: &Desk) -> Client {
    Client::new([&Profile::read(&desk.path("sandbox")).unwrap().nodes[1]]).unwrap()
}

#[test]
fn what_is_sealed_is_nowhere_and_nobody_reads_it_unseen() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let port = free_base_port().to_string();
    let sandbox = Sandbox::start(&desk, &["--base-port", &port]);
    desk.line(
        "register create patient --as companies-house/administrator --field patient:string --field name:string \
         --field note:string --field nickname:string --personal name --personal nickname",
    )
    .expect(0, &[]);
    let write = |who: &str, code| {
        desk.line(&format!("register append patient p-1 name=\"{SEALED}\" note={CLEAR} --as {who}")).expect(code, &[]);
    };
    write("companies-house/registrar", 0);
    // One that is refused leaves what it would have said in the log, and nothing of what is sealed.
    write("hm-revenue-and-customs/registrar", 1);
    the_value_is_nowhere(&desk);
    desk.line("datamap --organisation companies-house")
        .expect(0, &["register patient", "name (personal:patient)", "companies-house/vault in GB"]);
    a_period_is_kept_in_the_schema(&desk);
    a_reader_is_seen(&desk);
    a_copied_commitment_opens_nothing(&desk);
    a_read_asks_one_node(&desk);
    openings_of_a_refused_transaction_go_again(&desk);
    a_court_is_shown_one_field(&desk);
    the_subject_is_told(&desk);
    who_read_what_was_wrong_is_told(&desk);
    no_read_is_lost_when_the_node_is_killed(&desk, &sandbox);
    the_value_is_nowhere(&desk);
    sandbox.stop();
}

fn the_value_is_nowhere(desk: &Desk) {
    the_value_is_nowhere_of(desk, &[SEALED.as_bytes(), &SEALED.as_bytes()[..9], hex::encode(SEALED).as_bytes()]);
}

/// None of these is in any file, and what is in the clear is.
fn the_value_is_nowhere_of(desk: &Desk, hidden: &[&[u8]]) {
    let begun = Instant::now();
    // Found on every node, so that the search can fail.
    while holding(desk, CLEAR.as_bytes()).len() < 4 {
        assert!(begun.elapsed() < PATIENCE, "the clear value is not on every node: the search finds nothing");
        thread::sleep(Duration::from_millis(200));
    }
    for hidden in hidden {
        assert_eq!(holding(desk, hidden), Vec::<PathBuf>::new(), "{}", String::from_utf8_lossy(hidden));
    }
}

/// What comes of a period when it is over is seen in a simulated month (`crates/sim/tests/erasures.rs`): the shortest is a day, and real
/// clocks do not jump.
fn a_period_is_kept_in_the_schema(desk: &Desk) {
    let create =
        "register create visitor --as companies-house/administrator --field visitor:string --field name:string";
    desk.line(&format!("{create} --keep-days 30")).expect(2, &["--personal"]);
    desk.line(&format!("{create} --personal name --keep-days 0")).expect(2, &["no number of days from 1"]);
    desk.line(&format!("{create} --personal name --keep-days 30")).expect(0, &[]);
    desk.line("datamap --organisation companies-house")
        .expect(0, &["register visitor", "name (personal:visitor:30)", "kept for     30 days"]);
    // The node that is to order it may.
    desk.line("principal list companies-house --role retention").expect(0, &[VAULT]);
}

fn a_reader_is_seen(desk: &Desk) {
    let read = |who: &str| {
        desk.line(&format!(
            "record patient p-1 --open --as {who} --purpose \"Answer a complaint\" --legal-basis \"Law 1\""
        ))
    };
    read("companies-house/registrar").expect(0, &[SEALED, "the read is on record"]);
    let refused = read("hm-revenue-and-customs/registrar").expect(1, &["not-permitted"]);
    assert!(!refused.text().contains(SEALED));
    let seen = desk.soon("access-log --subject patient:p-1", &["2 reads, complete to block"]);
    for told in ["companies-house/registrar", "hm-revenue-and-customs/registrar", "custodian-reads", "Law 1"] {
        assert!(seen.text().contains(told), "{}", seen.text());
    }
    // What everybody can see on the ledger, handed in once more, opens nothing.
    // The oldest is the one that was answered.
    let mut ids =
        seen.stdout.lines().filter_map(|line| Some(line.split_once("tally transaction ")?.1[..64].to_owned()));
    let id = ids.next_back().unwrap();
    desk.line(&format!("transaction {id} --receipt read.receipt")).expect(0, &[]);
    let Receipt::Transaction(receipt) = Receipt::decode(&fs::read(desk.path("read.receipt")).unwrap()).unwrap() else {
        panic!("another receipt")
    };
    let again = holder(desk).post("/v1/reads", "application/cose", &receipt.transaction).unwrap_err();
    assert_eq!(again.code(), Some("read-known"), "{again}");
}

/// Who may write one field and not read another puts the other's commitment into the one, and reads that.
fn a_copied_commitment_opens_nothing(desk: &Desk) {
    let commitment = |key: &str| {
        let shown = desk.line(&format!("record patient {key}")).expect(0, &["sealed:"]).text();
        shown.split_whitespace().find(|word| word.starts_with("sealed:")).unwrap().to_owned()
    };
    let name = commitment("p-1");
    desk.line(&format!("register append patient p-1 nickname={name} note=x --as companies-house/registrar"))
        .expect(0, &["entry"]);
    let read =
        "record patient p-1 --open --field nickname --as companies-house/registrar --purpose Look --legal-basis Law";
    let answer = desk.line(read).expect(1, &["value-absent"]);
    assert!(!answer.text().contains(SEALED), "{}", answer.text());
    write_name(desk);
}

fn write_name(desk: &Desk) {
    desk.line(&format!("register append patient p-1 name=\"{SEALED}\" note={CLEAR} --as companies-house/registrar"))
        .expect(0, &[]);
}

fn read_of(key: &str, node: &str) -> Operation {
    Operation::RecordRead {
        register: "patient".to_owned(),
        key: key.to_owned(),
        fields: vec!["name".to_owned()],
        subjects: vec![Subject::new("patient", key).unwrap()],
        purpose: "Look".to_owned(),
        legal_basis: "Law 4".to_owned(),
        recipient: None,
        node: node.parse().unwrap(),
    }
}

fn a_read_asks_one_node(desk: &Desk) {
    let clerk = signer(desk, "companies-house/registrar");
    let elsewhere = clerk.sign("elsewhere", vec![read_of("p-1", "companies-house/second")]).unwrap();
    let refused = holder(desk).read_sealed(&elsewhere, PATIENCE).unwrap_err();
    assert_eq!(refused.code(), Some("not-holder"), "{refused}");
    let status = client(desk).get(&format!("/v1/transactions/{}", elsewhere.id()), "*/*");
    assert!(status.is_err(), "a read that this node does not answer was put on record");
    // What is in the clear is offered to nobody but a node that holds for the custodian.
    let (_, me) = client(desk).holder("companies-house").unwrap();
    assert_eq!(me.as_str(), VAULT);
    let none = client(desk).holder("nobody").map(drop).unwrap_err();
    assert!(none.to_string().contains("`nobody`"), "{none}");
}

/// Who may not write hands in a value with its opening: the ledger refuses, and the node keeps nothing of it.
fn openings_of_a_refused_transaction_go_again(desk: &Desk) {
    let stranger = signer(desk, "hm-revenue-and-customs/registrar");
    let place = Place::new("patient", "s-1", "name", Subject::new("patient", "s-1").unwrap()).unwrap();
    let opening = Opening::seal(place, Secret::new("Somebody"), &mut tallystick_client::randomness()).unwrap();
    let item = format!(r#"{{"name":"{}","patient":"s-1"}}"#, opening.commitment());
    let append = |entry| Operation::EntryAppend {
        register: "patient".to_owned(),
        entries: vec![NewEntry { key: "s-1".into(), items: vec![entry] }],
    };
    let hand_in = |signer: &Signer, openings: Vec<Opening>| {
        let transaction = signer.sign("append", vec![append(item.clone())]).unwrap().bytes().clone();
        holder(desk).submit_sealed(&SealedSubmission { transaction, openings }, PATIENCE)
    };
    assert!(!hand_in(&stranger, vec![opening.clone()]).unwrap().outcome.is_accepted());
    // Without its opening the value is not taken: nothing is kept that would open it.
    thread::sleep(Duration::from_secs(2));
    let missing = hand_in(&signer(desk, "companies-house/registrar"), Vec::new()).map(|_| "the opening is still kept");
    assert_eq!(missing.unwrap_err().code(), Some("opening-missing"));
}

fn a_court_is_shown_one_field(desk: &Desk) {
    desk.line(
        "disclose patient p-1 --field name --to Court --purpose Summons --legal-basis \"Law 2\" --output p-1.disclosure \
         --as companies-house/registrar",
    )
    .expect(0, &["the disclosure to Court is on record"]);
    desk.line("verify p-1.disclosure --network sandbox/network.json").expect(0, &[SEALED]);
    desk.line("access-log --subject patient:p-1").expect(0, &["disclosed to Court"]);
    let bytes = fs::read(desk.path("p-1.disclosure")).unwrap();
    let genesis = read_network(&desk.path("sandbox/network.json")).unwrap();
    let (begun, checks) = (Instant::now(), 200);
    for _ in 0..checks {
        Receipt::decode(&bytes).unwrap().check(&genesis).unwrap();
    }
    let ms = begun.elapsed().as_secs_f64() * 1_000.0 / f64::from(checks);
    println!("a disclosure of one field has {} bytes and is checked in {ms:.2} ms", bytes.len());
    assert!(bytes.len() <= 8 * 1_024, "{} bytes", bytes.len());
}

/// What is held about the subject is in one file, and nothing about anybody else: whoever alters what it says of a record or of a read is
/// found out.
fn the_subject_is_told(desk: &Desk) {
    let (administrator, who) = ("--as companies-house/administrator", "--as companies-house/registrar");
    // A visit says something about the patient, and something about the nurse.
    desk.line(&format!("register create nurse --field nurse:string {administrator}")).expect(0, &[]);
    desk.line(&format!("register append nurse n-1 {who}")).expect(0, &[]);
    desk.line(&format!(
        "register create visit --field visit:string --field patient:string:1:patient --field nurse:string:1:nurse \
         --field finding:string --field mood:string --personal finding:patient --personal mood:nurse {administrator}"
    ))
    .expect(0, &[]);
    for finding in ["Measles", "Mumps"] {
        let visit = format!("register append visit v-1 patient=p-1 nurse=n-1 finding={finding} mood=Grumpy {who}");
        desk.line(&visit).expect(0, &[]);
    }
    desk.line(&format!(
        "hold place inquest patient:p-1 --authority Coroner --reason Evidence --until 2100-01-01T00:00:00Z {administrator}"
    ))
    .expect(0, &[]);
    desk.line(&format!(
        "erasure order forget-all patient:p-9 --authority Self --legal-basis \"Article 17\" --reason Asked {administrator}"
    ))
    .expect(0, &[]);
    desk.line(&format!("subject-access patient:p-1 --output p-1.json {who}")).expect(
        0,
        &[
            "about patient:p-1, as held by companies-house",
            "record     patient/p-1: name, note, patient",
            "record     visit/v-1: finding, mood, nurse, patient, visit",
            "earlier    visit/v-1: finding, replaced since",
            "1 legal hold",
            "personal data in the clear",
        ],
    );
    let text = fs::read_to_string(desk.path("p-1.json")).unwrap();
    for held in [SEALED, "Summons", "Mumps", "\"hold\": \"inquest\""] {
        assert!(text.contains(held), "{held} is in it");
    }
    for another in ["Measles", "Grumpy", "forget-all"] {
        assert!(!text.contains(another), "{another} is in it");
    }
    desk.line("verify p-1.json").expect(0, &["holds:", "every record and every read in it is proven"]);
    the_file_cannot_be_altered(desk, &text);
    // Another's node keeps nothing of it. And no file is written over.
    desk.line("subject-access patient:p-1 --output other.json --as hm-revenue-and-customs/registrar")
        .expect(0, &["record     none"]);
    assert!(!fs::read_to_string(desk.path("other.json")).unwrap().contains(SEALED));
    desk.line(&format!("subject-access patient:p-1 --output p-1.json {who}")).expect(2, &["exists already"]);
}

fn the_file_cannot_be_altered(desk: &Desk, text: &str) {
    let altered = |text: String| {
        fs::write(desk.path("altered.json"), text).unwrap();
        desk.line("verify altered.json").expect(1, &["does not hold"]);
    };
    for (what, other) in [(SEALED, "Somebody else"), ("Summons", "Curiosity"), ("the data subject", "nobody")] {
        altered(text.replace(what, other));
    }
    // When it was read, for whom, by which policy, and what became of it.
    let whole: serde_json::Value = serde_json::from_str(text).unwrap();
    let read = whole["reads"].as_array().unwrap().iter().position(|read| read["outcome"] == "accepted").unwrap();
    let changes = [
        ("time_ms", serde_json::json!(7)),
        ("height", serde_json::json!(7)),
        ("on_behalf_of", serde_json::json!("companies-house/administrator")),
        ("outcome", serde_json::json!("refused")),
        ("decision", serde_json::json!({"version": 77, "determining": ["own-keys"], "skipped": [], "mandates": []})),
    ];
    for (name, value) in changes {
        let mut other = whole.clone();
        other["reads"][read][name] = value;
        altered(other.to_string());
    }
    altered(text[..text.len() / 2].to_owned());
}

/// Whoever read an entry, or was given it, is owed a notice once it is corrected, and says on record that they know.
fn who_read_what_was_wrong_is_told(desk: &Desk) {
    let shown = desk.line("record patient p-1").expect(0, &["entry "]).text();
    let number =
        shown.lines().find_map(|line| line.strip_prefix("entry ")?.split_whitespace().next()).unwrap().to_owned();
    let why = "--authority \"The person\" --legal-basis \"UK GDPR Article 16\" --reason Misspelt --as companies-house/registrar";
    desk.line(&format!("register correct patient {number} p-1 name=Joan note={CLEAR} {why}"))
        .expect(0, &["must know: tally notice list --record patient:p-1"]);
    let list = "notice list --record patient:p-1 --open";
    desk.line(list)
        .expect(0, &["disclosed it to Court: has not said", "disclosed it to the data subject: has not said"]);
    let said = |who: &str, rest: &str, code| {
        let line =
            format!("notice acknowledge patient {number} p-1 --reader companies-house/registrar {rest} --as {who}");
        desk.line(&line).expect(code, &[]);
    };
    // They read it to give it away, and never for themselves.
    said("companies-house/registrar", "", 1);
    said("companies-house/administrator", "--recipient Court", 0);
    desk.line(&format!("notice acknowledge patient {number} p-1 --recipient Court --as companies-house/registrar"))
        .expect(1, &["nothing was put on record, for it is there: companies-house/administrator said so"]);
    desk.line(&format!("notice acknowledge patient {number} p-1 --recipient Nobody --as companies-house/registrar"))
        .expect(
            1,
            &["companies-house/registrar did not give entry", "to Nobody, but read it", "for --recipient \"Court\""],
        );
    desk.line(&format!("notice acknowledge patient {number} p-1 --as companies-house/administrator"))
        .expect(1, &["companies-house/administrator has not read entry", "while it was wrong: tally notice list"]);
    said("hm-revenue-and-customs/administrator", "--recipient \"the data subject\"", 1);
    let open = desk.line(list).expect(0, &["disclosed it to the data subject: has not said"]).text();
    assert!(!open.contains("Court"), "{open}");
    desk.line("notice list --organisation companies-house").expect(0, &["knows, says companies-house/administrator"]);
    desk.line("notice list --organisation hm-revenue-and-customs").expect(0, &["0 corrections"]);
}

/// Keys of the records that are read many times.
fn key(number: usize) -> String {
    format!("r-{number}")
}

fn fill(desk: &Desk) {
    let clerk = signer(desk, "companies-house/registrar");
    let (mut entries, mut openings) = (Vec::new(), Vec::new());
    for key in (0..RECORDS).map(key) {
        let place = Place::new("patient", &key, "name", Subject::new("patient", &key).unwrap()).unwrap();
        let opening =
            Opening::seal(place, Secret::new(format!("Name of {key}")), &mut tallystick_client::randomness()).unwrap();
        let item = format!(r#"{{"name":"{}","patient":"{key}"}}"#, opening.commitment());
        entries.push(NewEntry { key, items: vec![item] });
        openings.push(opening);
    }
    let operation = Operation::EntryAppend { register: "patient".to_owned(), entries };
    let transaction = clerk.sign("fill", vec![operation]).unwrap().bytes().clone();
    let settled = holder(desk).submit_sealed(&SealedSubmission { transaction, openings }, PATIENCE).unwrap();
    assert!(settled.outcome.is_accepted(), "{:?}", settled.outcome);
}

/// As many reads as a node answers; then it is killed, and every one that it answered is on record.
fn no_read_is_lost_when_the_node_is_killed(desk: &Desk, sandbox: &Sandbox) {
    fill(desk);
    let reads = || {
        let read = |number: usize| Operation::RecordRead {
            register: "patient".to_owned(),
            key: key(number),
            fields: vec!["name".to_owned()],
            subjects: vec![Subject::new("patient", key(number)).unwrap()],
            purpose: "Measure".to_owned(),
            legal_basis: "Law 3".to_owned(),
            recipient: None,
            node: VAULT.parse().unwrap(),
        };
        (0..RECORDS).map(read).collect::<Vec<_>>()
    };
    let (answered, stop): (Mutex<Vec<(Hash, f64)>>, AtomicBool) = (Mutex::default(), AtomicBool::new(false));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let (clerk, node) = (signer(desk, "companies-house/registrar"), holder(desk));
                while !stop.load(Ordering::Relaxed) {
                    let transaction = clerk.sign("measure", reads()).unwrap();
                    // The node is killed while some wait: those have nothing.
                    let Ok(reading) = node.read_sealed(&transaction, Duration::from_secs(1)) else { continue };
                    assert_eq!(reading.openings.len(), RECORDS);
                    assert!(reading.openings.iter().all(|opening| opening.value().reveal().starts_with("Name of r-")));
                    answered.lock().unwrap().push((reading.transaction, begun.elapsed().as_secs_f64()));
                }
            });
        }
        thread::sleep(READING);
        sandbox.kill_node(CUSTODIAN);
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
    });
    let answered = answered.into_inner().unwrap();
    let within = answered.iter().filter(|(_, at)| *at <= READING.as_secs_f64()).count();
    let per_second = (within * RECORDS) as f64 / READING.as_secs_f64();
    println!(
        "{per_second:.0} recorded reads a second of one node of four, {RECORDS} to a transaction, all on this machine"
    );
    assert!(within > 0, "nothing was read");
    let others = client(desk);
    for (id, _) in &answered {
        let status: serde_json::Value = others.get(&format!("/v1/transactions/{id}"), "*/*").unwrap().json().unwrap();
        assert_eq!(status["outcome"]["result"], "accepted", "an answered read is not on record: {status}");
    }
    println!("all {} answered transactions are on record after kill -9", answered.len());
    let back = Instant::now();
    while holder(desk).get("/readyz", "*/*").is_err() {
        assert!(back.elapsed() < PATIENCE, "the killed node does not come back");
        thread::sleep(Duration::from_millis(200));
    }
    // What it kept is there.
    desk.line("record patient r-7 --open --as companies-house/registrar --purpose Look --legal-basis Law")
        .expect(0, &["Name of r-7"]);
}

/// What two members share.
const SHARED: &str = "Quizzaciously-Shared-8841";
/// Private transactions whose time is measured, one after the other.
const LONE: usize = 40;

/// A transaction for the partition, from a clerk of the first member, handed in at that one's node.
fn share(desk: &Desk, who: &str, operation: Operation) -> Result<serde_json::Value, tallystick_client::Error> {
    let clerk = signer(desk, who);
    let intent = tallystick_protocol::Intent {
        partition: Some("school-health".to_owned()),
        ..clerk.intent("share", vec![operation])
    };
    let transaction = clerk.begin(&intent)?.complete().unwrap();
    holder(desk).post("/v1/private", "application/cose", transaction.bytes())?.json()
}

fn visit(number: usize) -> Operation {
    let item = format!(r#"{{"note":"{SHARED}","visit":"v-{number}"}}"#);
    let entry = NewEntry { key: format!("v-{number}"), items: vec![item] };
    Operation::EntryAppend { register: "visit".to_owned(), entries: vec![entry] }
}

/// Opens a partition of Companies House and HM Revenue & Customs by their votes.
fn open_partition(desk: &Desk) {
    desk.line("proposal draft --kind partition-open form.toml").expect(0, &[]);
    let form = fs::read_to_string(desk.path("form.toml")).unwrap();
    let from = form.lines().find(|line| line.starts_with("from_ms")).unwrap();
    let form = form.replace(r#"["council", "harbour"]"#, r#"["companies-house", "hm-revenue-and-customs"]"#);
    let form = form.replace(r#"# regulators = ["commissioner"]"#, r#"regulators = ["department-of-health"]"#);
    fs::write(desk.path("form.toml"), form.replace(from, "from_ms = 1")).unwrap();
    desk.line("proposal submit form.toml --as companies-house/administrator").expect(0, &["is open"]);
    for member in ["companies-house", "hm-revenue-and-customs"] {
        desk.line(&format!("proposal vote my-proposal yes --as {member}/administrator")).expect(0, &[]);
    }
    let begun = Instant::now();
    while !desk.line("partition list").text().contains("school-health") {
        assert!(begun.elapsed() < PATIENCE, "{}", desk.line("proposal show my-proposal").text());
        thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until the node of the second member has executed what was ordered up to this height. How many transactions, it tells no stranger.
fn await_executed(desk: &Desk, height: u64) {
    let other = Client::new([&Profile::read(&desk.path("sandbox")).unwrap().nodes[3]]).unwrap();
    let begun = Instant::now();
    loop {
        let view: serde_json::Value = other.get("/v1/partitions/school-health", "*/*").unwrap().json().unwrap();
        assert!(view["here"].get("executed").is_none() && begun.elapsed() < PATIENCE, "{view}");
        if view["here"]["height"].as_u64().is_some_and(|here| here >= height) {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Private transactions that are handed in at the same time.
const TOGETHER: usize = 48;

/// Several in one request have an answer each: the same ones again, a stranger's, and what cannot be answered among others.
fn one_request_of_many(desk: &Desk, clerk: &Signer) {
    let some: Vec<_> = (0..20).map(|number| clerk.sign("share", vec![visit(20_000 + number)]).unwrap()).collect();
    let answers = holder(desk).submit_private_all(&some, PATIENCE).unwrap();
    for (transaction, answer) in some.iter().zip(&answers) {
        let PrivateAnswer::Executed(done) = answer else { panic!("{answer:?}") };
        assert!(done.id == transaction.id() && done.outcome.is_accepted(), "{done:?}");
    }
    let stranger = signer(desk, "food-standards-agency/registrar").within(Some("school-health".to_owned()));
    let mut read = read_of("v-20000", VAULT);
    if let Operation::RecordRead { register, subjects, fields, .. } = &mut read {
        *register = "visit".to_owned();
        *subjects = vec![Subject::new("visit", "v-20000").unwrap()];
        *fields = vec!["note".to_owned()];
    }
    let others = [
        (some[0].clone(), "intent-repeated"),
        (stranger.sign("share", vec![visit(1)]).unwrap(), "bad-request"),
        (clerk.sign("read", vec![read]).unwrap(), "bad-request"),
        (clerk.sign("share", vec![visit(20_020)]).unwrap(), "executed"),
    ];
    let all: Vec<_> = others.iter().map(|(transaction, _)| transaction.clone()).collect();
    let answers = holder(desk).submit_private_all(&all, PATIENCE).unwrap();
    for ((_, expected), answer) in others.iter().zip(answers) {
        let code = match answer {
            PrivateAnswer::Executed(_) => "executed".to_owned(),
            PrivateAnswer::Problem(problem) => problem.code,
        };
        assert_eq!(code, *expected);
    }
}

/// What many hand in at the same time is ordered together, in few payloads, and each is told what became of its own.
fn many_at_once(desk: &Desk) {
    // Once: a passphrase is slow to try, on purpose.
    let clerk = signer(desk, "companies-house/registrar").within(Some("school-health".to_owned()));
    let numbers = Mutex::new(std::collections::BTreeMap::new());
    thread::scope(|scope| {
        for number in 0..TOGETHER {
            let (clerk, numbers) = (&clerk, &numbers);
            scope.spawn(move || {
                let transaction = clerk.sign("share", vec![visit(10_000 + number)]).unwrap();
                let done = holder(desk).submit_private(&transaction, PATIENCE).unwrap();
                assert!(done.outcome.is_accepted(), "{:?}", done.outcome);
                assert_eq!(done.id, transaction.id());
                numbers.lock().unwrap().insert(done.number, done.height);
            });
        }
    });
    let numbers = numbers.into_inner().unwrap();
    assert_eq!(numbers.len(), TOGETHER, "two have one number: {numbers:?}");
    let blocks: std::collections::BTreeSet<u64> = numbers.values().copied().collect();
    println!("{TOGETHER} private transactions at once are ordered in {} blocks", blocks.len());
    await_executed(desk, *blocks.last().unwrap());
    one_request_of_many(desk, &clerk);
    let read = "record visit v-10007 --partition school-health --as companies-house/registrar --purpose Look --legal-basis Law";
    desk.line(read).expect(0, &[SHARED]);
}

/// What a member holds about somebody in a partition is in its answer to them: their own record, and those that name them.
fn the_subject_is_told_of_partitions(desk: &Desk) {
    let line = |text: &str| desk.line(&format!("{text} --partition school-health")).expect(0, &[]);
    let (first, second) = ("--as companies-house", "--as hm-revenue-and-customs");
    line(&format!("register create child --field child --field nickname {first}/administrator"));
    line(&format!(
        "register create meeting --field meeting --field child:string:1:child --field said {first}/administrator"
    ));
    line(&format!("register create debt --field debt --field child:string:1:child {second}/administrator"));
    for entry in ["child c-1 nickname=Ada", "child c-2 nickname=Robert"] {
        line(&format!("register append {entry} {first}/registrar"));
    }
    // What stands in the clear is on every member's disk for ever: that is said before it is written, and not what.
    let warned = desk.line(&format!(
        "register append child c-3 nickname='ada@example.org' --partition school-health {first}/registrar"
    ));
    let warned = warned
        .expect(0, &["entry c-3: field `nickname`", "an e-mail address, and every node of partition school-health"]);
    assert!(!warned.text().contains("ada@"), "{}", warned.text());
    let meetings = [
        "m-1 child=c-1 said=Early",
        "m-1 child=c-1 said=Later",
        "m-2 child=c-2 said=Other",
        "m-3 child=c-1 said=Wrong",
    ];
    for meeting in meetings.into_iter().chain(["m-3 child=c-2 said=Right"]) {
        line(&format!("register append meeting {meeting} {first}/registrar"));
    }
    line(&format!("register append debt d-1 child=c-1 {second}/registrar"));
    line(&format!("hold place h-1 child:c-1 --authority Court --reason Claim {first}/administrator"));
    line(&format!("hold place h-2 child:c-2 --authority Court --reason Claim {first}/administrator"));
    desk.line(&format!("subject-access child:c-1 --output c-1.json {first}/registrar")).expect(
        0,
        &[
            "partition  school-health, which companies-house, hm-revenue-and-customs share: What it is shared for.",
            "  record     child/c-1: child, nickname",
            "  record     meeting/m-1: child, meeting, said; names them in child",
            "  not given  debt/d-1; names them in child: the read was refused, on record: not-permitted",
            "  entries    5 entries, 2 of them replaced since",
            "  reads      3 reads",
            "  orders     0 orders of erasure, 1 legal hold",
        ],
    );
    let text = fs::read_to_string(desk.path("c-1.json")).unwrap();
    for held in ["Ada", "Later"] {
        assert!(text.contains(held), "{held} is in it");
    }
    for another in ["Early", "Robert", "Other", "Wrong", "Right", "m-2"] {
        assert!(!text.contains(another), "{another} is in it");
    }
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(text.contains("\"hold\": \"h-1\"") && !text.contains("h-2"), "the holds of this person alone");
    // It is a member of the sandbox's own partition too, which has nothing of them.
    assert_eq!(partitions(&whole), ["food-safety", "school-health"]);
    desk.line("verify c-1.json").expect(
        0,
        &[
            "holds:",
            "but for reads in partitions",
            "  record     child/c-1",
            "made by    companies-house/registrar, who signed it",
        ],
    );
    no_part_of_it_can_be_altered(desk, &whole);

    desk.line(&format!("subject-access child:c-1 --output less.json --withhold meeting:m-1 {first}/registrar"))
        .expect(0, &["not given  meeting/m-1; names them in child: withheld", "record     child/c-1"]);
    assert!(!fs::read_to_string(desk.path("less.json")).unwrap().contains("Later"));
    desk.line(&format!("subject-access child:c-1 --output none.json --withhold meeting:m-2 {first}/registrar"))
        .expect(2, &["no partition has a record `meeting:m-2` about child:c-1"]);
    assert!(!desk.path("none.json").exists());
    // Who is no member has nothing of it, and nobody is asked about it: who is asked, and who cannot be, is named.
    let stranger = "subject-access child:c-1 --output strange.json --as food-standards-agency/registrar";
    desk.line(stranger).expect(0, &["partition  food-safety", "record     none"]);
    let strange = fs::read_to_string(desk.path("strange.json")).unwrap();
    assert_eq!(partitions(&serde_json::from_str(&strange).unwrap()), ["food-safety"]);
    assert!(!strange.contains("school-health"));
    a_question_is_one_s_own_and_for_its_body(desk);
}

/// The partitions that an answer is about.
fn partitions(answer: &serde_json::Value) -> Vec<&str> {
    answer["partitions"].as_array().unwrap().iter().map(|part| part["partition"].as_str().unwrap()).collect()
}

fn no_part_of_it_can_be_altered(desk: &Desk, whole: &serde_json::Value) {
    let at = partitions(whole).iter().position(|name| *name == "school-health").unwrap();
    let part = &whole["partitions"][at];
    let [own, meeting] = [0, 1].map(|at| part["records"][at].clone());
    let other = |record: &serde_json::Value, name: &str, value: serde_json::Value| {
        let mut record = record.clone();
        record[name] = value;
        record
    };
    let half = own["proof"].as_str().unwrap();
    // A proof has zeros at many places.
    let (before, after) = (&half[..half.len() / 2], &half[half.len() / 2 + 4..]);
    let other_bytes = if half == format!("{before}AAAA{after}") { "BBBB" } else { "AAAA" };
    let broken = format!("{before}{other_bytes}{after}");
    let rows = [
        ("says something else", other(&own, "items", serde_json::json!([{"child": "c-1", "nickname": "Eve"}]))),
        ("of another record", other(&own, "proof", meeting["proof"].clone())),
        ("proof", other(&own, "proof", broken.into())),
        ("of another record", other(&own, "key", "c-2".into())),
        ("about somebody else", other(&meeting, "named_in", serde_json::json!([]))),
        ("about somebody else", other(&meeting, "named_in", serde_json::json!(["said"]))),
        ("not among the reads", other(&own, "read", meeting["read"].clone())),
    ];
    for (why, record) in rows {
        let mut altered = whole.clone();
        altered["partitions"][at]["records"][0] = record;
        fs::write(desk.path("altered.json"), altered.to_string()).unwrap();
        desk.line("verify altered.json").expect(1, &["does not hold: partition school-health: record", why]);
    }
    // What no proof shows is signed by who made it, and so is what this program does not know.
    let verify = |altered: &str| {
        fs::write(desk.path("altered.json"), altered).unwrap();
        desk.line("verify altered.json")
    };
    verify(&serde_json::to_string_pretty(whole).unwrap())
        .expect(0, &["holds:", "made by    companies-house/registrar"]);
    let unsigned = "does not hold: the signature of who made it: `companies-house/registrar` did not sign this";
    let changes: [fn(&mut serde_json::Value, usize); 4] = [
        |whole, at| whole["partitions"][at]["purpose"] = "Something else".into(),
        |whole, _| whole["note"] = "the person agreed".into(),
        |whole, at| whole["partitions"][at]["records"][0]["erased"] = true.into(),
        |whole, _| whole["asked"] = serde_json::json!([]),
    ];
    for change in changes {
        let mut altered = whole.clone();
        change(&mut altered, at);
        verify(&altered.to_string()).expect(1, &[unsigned]);
    }
    let mut altered = whole.clone();
    altered["made_by"]["note"] = "and the commissioner".into();
    verify(&altered.to_string()).expect(1, &["unknown field `note`"]);
    altered.as_object_mut().unwrap().remove("made_by");
    verify(&altered.to_string()).expect(1, &["does not hold: ", "nobody signed it, or the signature was taken out"]);
    verify(&whole.to_string().replacen('{', r#"{"organisation":"hm-revenue-and-customs","#, 1))
        .expect(1, &["`organisation` stands there twice"]);
    let mut altered = whole.clone();
    altered["partitions"][at]["partition"] = "food-safety".into();
    fs::write(desk.path("altered.json"), altered.to_string()).unwrap();
    desk.line("verify altered.json").expect(1, &["does not hold: partition food-safety", "of another record"]);
}

/// One row a question that is not answered: of a stranger, or for another body than it was signed for.
fn a_question_is_one_s_own_and_for_its_body(desk: &Desk) {
    let path = "/v1/partitions/school-health/held";
    let [own, other] = [r#"{"subject":"child:c-1"}"#, r#"{"subject":"child:c-2"}"#];
    let ask = |who: &str, signed: &str, sent: &str| {
        let signer = signer(desk, who);
        let signed = Query::path_with(path, signed.as_bytes());
        let not_after = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 60;
        let query =
            Query::sign(&signer.network(), &signed, signer.principal().clone(), not_after, signer.key()).unwrap();
        let answer = holder(desk).post_as(path, "application/json", sent.as_bytes(), &query.to_header());
        answer.map(drop).map_err(|error| error.code().unwrap().to_owned())
    };
    assert_eq!(ask("companies-house/registrar", own, own), Ok(()));
    let unsigned = Err("question-unsigned".to_owned());
    assert_eq!(ask("companies-house/registrar", own, other), unsigned);
    assert_eq!(ask("hm-revenue-and-customs/registrar", own, own), unsigned);
    assert_eq!(ask("companies-house/registrar", "{}", "{}"), Err("bad-request".to_owned()));
}

#[test]
fn what_two_members_share_is_executed_by_both_and_nowhere_in_the_clear() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let port = free_base_port().to_string();
    let sandbox = Sandbox::start(&desk, &["--base-port", &port]);
    open_partition(&desk);
    desk.line("datamap --csv").expect(
        0,
        &[
            "hm-revenue-and-customs,",
            ",partition,school-health,What it is shared for.,\"Children Act 2004, section 11\",\"attendance, health\",",
            "\"companies-house/vault in GB, hm-revenue-and-customs/vault in GB\"",
        ],
    );
    let field = |name: &str| tallystick_protocol::Field::new(name, tallystick_protocol::Datatype::String);
    let fields = vec![field("visit"), field("note")];
    let create = Operation::RegisterCreate { register: "visit".to_owned(), text: "Visits".to_owned(), fields };
    let created = share(&desk, "companies-house/administrator", create).unwrap();
    assert_eq!(created["outcome"]["result"], "accepted", "{created}");
    let live = Operation::RegisterPhase {
        register: "visit".to_owned(),
        phase: tallystick_protocol::Phase::Live,
        successor: None,
    };
    assert_eq!(share(&desk, "companies-house/administrator", live).unwrap()["outcome"]["result"], "accepted");

    let mut height = 0;
    let mut times: Vec<f64> = (0..LONE)
        .map(|number| {
            let begun = Instant::now();
            let done = share(&desk, "companies-house/registrar", visit(number)).unwrap();
            assert_eq!(done["outcome"]["result"], "accepted", "{done}");
            height = done["height"].as_u64().unwrap();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "a lone private transaction is executed after {:.0} ms (p50), {:.0} ms (largest of {LONE})",
        times[LONE / 2],
        times[LONE - 1]
    );
    await_executed(&desk, height);
    many_at_once(&desk);
    // Nobody of another organisation hands anything in, and what is shared is on no disk in the clear.
    let stranger = share(&desk, "food-standards-agency/registrar", visit(900)).unwrap_err();
    assert_eq!(stranger.code(), Some("bad-request"), "{stranger}");
    desk.line("register create clear --field clear --as companies-house/administrator").expect(0, &[]);
    desk.line(&format!("register append clear {CLEAR} --as companies-house/registrar")).expect(0, &[]);
    the_value_is_nowhere_of(&desk, &[SHARED.as_bytes()]);
    the_subject_is_told_of_partitions(&desk);
    shared::what_is_sealed_there_is_erased_by_both(&desk);

    // With one of two away nothing is ordered; once it is back, it goes on.
    shared::no_read_is_lost_when_a_members_node_is_killed(&desk, &sandbox);
    let (begun, mut number) = (Instant::now(), LONE);
    while share(&desk, "companies-house/registrar", visit(number)).is_err() {
        number += 1;
        assert!(begun.elapsed() < PATIENCE, "it does not go on");
        thread::sleep(Duration::from_millis(500));
    }
    println!("after a member's kill -9 it went on within {:.1} s", begun.elapsed().as_secs_f64());
    shared::a_member_that_was_off_destroys_before_it_gives(&desk, &sandbox);
    shared::members_that_disagree_are_named(&desk);
    sandbox.stop();
}
