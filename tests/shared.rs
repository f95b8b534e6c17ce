//! The fear: that what two members share sealed is erased by one of them only, or that nobody can tell.

use crate::{PATIENCE, SEALED, VAULT, files, holder, holding, share, signer};
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tallystick_client::{Client, KeyName, Passphrase, Profile, Signer, read_network};
use tallystick_protocol::{ErasureScope, Hash, NewEntry, Operation, Query, Subject};
use tallystick_tests::sandbox::{Desk, Sandbox};

/// Who shares, and which nodes theirs are.
const MEMBERS: [(&str, usize); 2] = [("companies-house", 1), ("hm-revenue-and-customs", 3)];

/// What the log of a member's node says of alarms.
fn alarms(desk: &Desk, member: &str) -> Vec<String> {
    let log = fs::read_to_string(desk.path(&format!("sandbox/{member}/node.log"))).unwrap();
    log.lines().filter(|line| line.contains("alarm: partition school-health")).map(str::to_owned).collect()
}

/// As a node whose program is wrong would: each member's node posts another root of one height. `tally status` tells it with the remedy, and
/// the log of each, once.
pub fn members_that_disagree_are_named(desk: &Desk) {
    let client = Client::new(Profile::read(&desk.path("sandbox")).unwrap().nodes).unwrap();
    let network = read_network(&desk.path("sandbox/network.json")).unwrap().id();
    let post = |(member, node): (&str, usize), height: u64| {
        let name: KeyName = desk.path(&format!("sandbox/{member}/holder.pem")).to_string_lossy().parse().unwrap();
        let secret = |_: &str| Passphrase::read(&desk.path("sandbox/passphrase"));
        let key = name.open::<tallystick_client::Error>(Duration::ZERO, |prompt| Ok(secret(prompt)?)).unwrap();
        let root = Hash([u8::try_from(node).unwrap(); 32]);
        let operation = Operation::PartitionRoot { partition: "school-health".to_owned(), height, root };
        let vault = format!("{member}/vault").parse().unwrap();
        Signer::new(network, vault, key).sign("a wrong root", vec![operation]).unwrap()
    };
    let begun = Instant::now();
    loop {
        // The node that is asked may be a block behind the one whose root was certified meanwhile.
        let height = client.status().unwrap().height - 1;
        let settled = client.submit_all(&MEMBERS.map(|member| post(member, height)), PATIENCE).unwrap();
        if settled.iter().all(|one| one.outcome.is_accepted()) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{settled:?}");
    }
    let told = loop {
        let told = desk.line("status");
        let is_logged = MEMBERS.iter().all(|(member, _)| !alarms(desk, member).is_empty());
        if told.text().contains("alarm: partition school-health") && is_logged {
            break told.expect(1, &["tally proposal draft FILE --kind partition-amend"]).text();
        }
        assert!(begun.elapsed() < PATIENCE, "{}", told.text());
        thread::sleep(Duration::from_millis(500));
    };
    assert_eq!(told.matches("alarm:").count(), 1, "both members' nodes tell it:\n{told}");
    for (member, node) in MEMBERS {
        let root = hex::encode([u8::try_from(node).unwrap(); 32]);
        assert!(told.contains(&format!("{member}/vault has {root}")), "{told}");
        let lines = alarms(desk, member);
        assert!(matches!(lines.as_slice(), [line] if line.contains("ERROR")), "{member}: {lines:?}");
    }
    // Nothing is certified now: no disclosure is put on record that nobody could check.
    let clerk = "--partition school-health --as companies-house/registrar";
    let why = "--to 'Another court' --to-jurisdiction GB --purpose Look --legal-basis Law";
    desk.line(&format!("disclose pupil p-2 {why} --field nickname --output late.disclosure {clerk}"))
        .expect(2, &["the members' nodes have different roots: `tally partition show school-health` names them"]);
    let log = desk.line(&format!("access-log --subject pupil:p-2 --all {clerk}")).expect(0, &["A court"]).text();
    assert!(!log.contains("Another court") && !desk.path("late.disclosure").exists(), "{log}");
    let certificate = desk.line(&format!("erasure certificate gone-1 --output late.erasure {clerk}"));
    assert!(certificate.code != Some(0) && !desk.path("late.erasure").exists(), "{}", certificate.text());
}

/// The files of each member's vault that hold somebody's values.
fn vaulted(desk: &Desk) -> [BTreeSet<PathBuf>; 2] {
    MEMBERS.map(|(member, _)| {
        let mut all = Vec::new();
        files(&desk.path(&format!("sandbox/{member}/data/storage")), &mut all);
        let is_of_vault = |path: &PathBuf| {
            let folder = path.parent().and_then(|folder| folder.file_name()).map(|name| name.to_string_lossy());
            folder.is_some_and(|name| name.strip_prefix("tally-vault-").is_some_and(|rest| rest.len() == 3))
        };
        all.into_iter().filter(is_of_vault).collect()
    })
}

/// Written, held, ordered, lifted, destroyed by both, and proven to anybody; what is not sealed stays.
pub fn what_is_sealed_there_is_erased_by_both(desk: &Desk) {
    let line = |text: &str| desk.line(&format!("{text} --partition school-health"));
    let (keeper, other) = ("--as companies-house/administrator", "--as hm-revenue-and-customs/registrar");
    line(&format!(
        "register create pupil --field pupil --field name --field nickname --field form --personal name \
         --personal nickname --keep-days 30 {keeper}"
    ))
    .expect(0, &["register pupil is there"]);
    let before = vaulted(desk);
    line(&format!("register append pupil p-1 form=3B name='{SEALED}' --as companies-house/registrar")).expect(0, &[]);
    let sealed: Vec<Vec<u8>> = vaulted(desk)
        .iter()
        .zip(&before)
        .map(|(after, before)| {
            let new: Vec<&PathBuf> = after.difference(before).collect();
            assert_eq!(new.len(), 1, "{new:?}");
            fs::read(new[0]).unwrap()
        })
        .collect();

    line(&format!("hold place look-1 pupil:p-1 --authority 'A court' --reason Evidence {keeper}"))
        .expect(0, &["the nodes of all members of school-health keep"]);
    let order = "erasure order gone-1 pupil:p-1 --authority 'The parents' --legal-basis Law --reason 'Left the school'";
    line(&format!("{order} {keeper}")).expect(0, &["the nodes of all members of school-health destroy"]);
    line(&format!("erasure status gone-1 {other}"))
        .expect(1, &["erasure gone-1 is on-hold", "not yet    companies-house/vault", "waits      for hold look-1"]);
    for (member, node) in MEMBERS {
        let node = Client::new([&Profile::read(&desk.path("sandbox")).unwrap().nodes[node]]).unwrap();
        let metrics = String::from_utf8(node.get("/metrics", "*/*").unwrap().body).unwrap();
        assert!(!metrics.contains("partition=\""), "{member} tells everybody of single partitions: {metrics}");
        assert!([SEALED, "pupil", "p-1"].iter().all(|hidden| !metrics.contains(hidden)), "{member}: {metrics}");
        let told = metrics.lines().find(|line| !line.starts_with('#') && line.contains("erasures_on_hold"));
        assert!(told.is_some_and(|line| line.ends_with(" 0")), "{member} tells everybody of a hold: {told:?}");
    }
    assert_ne!(vaulted(desk), before, "a hold keeps it");

    line(&format!("hold lift look-1 --reason Settled {keeper}")).expect(0, &[]);
    let begun = Instant::now();
    while !line(&format!("erasure status gone-1 {other}")).text().contains("erasure gone-1 is complete") {
        assert!(begun.elapsed() < PATIENCE, "it is not erased");
        thread::sleep(Duration::from_millis(200));
    }
    println!("both members destroyed within {:.1} s after the hold was lifted", begun.elapsed().as_secs_f64());
    assert_eq!(vaulted(desk), before);
    for bytes in &sealed {
        // The end of what was encrypted; all files of the engine begin alike.
        let end = &bytes[bytes.len() - 32..];
        assert!(end.iter().any(|byte| *byte != 0) && holding(desk, end).is_empty(), "it is still there");
    }

    line(&format!("erasure list {other}")).expect(0, &["gone-1", "2 of 2"]);
    line(&format!("hold list {other}")).expect(0, &["look-1", "lifted"]);
    line("erasure status gone-1 --as food-standards-agency/registrar")
        .expect(1, &["this node holds nothing of partition `school-health`"]);
    assert!(!desk.line("erasure list").expect(0, &[]).text().contains("gone-1"), "everybody is told");
    line(&format!("erasure certificate gone-1 --output gone-1.erasure {other}")).expect(0, &[]);
    desk.line("verify gone-1.erasure").expect(
        0,
        &[
            "erasure order gone-1 of partition school-health is complete: all of pupil:p-1 under companies-house",
            "companies-house/vault destroyed 1 value",
            "hm-revenue-and-customs/vault destroyed 1 value",
        ],
    );
    desk.line("subject-access pupil:p-1 --output p-1.json --as companies-house/registrar")
        .expect(0, &["  record     pupil/p-1: form, name, pupil"]);
    let text = fs::read_to_string(desk.path("p-1.json")).unwrap();
    assert!(text.contains("3B") && !text.contains(SEALED), "{text}");
    everybody_proves_that_something_was_ordered(desk);
    what_the_schema_refuses_is_not_ordered(desk);
    line("record pupil p-1 --as companies-house/registrar --legal-basis Law").expect(2, &["--purpose"]);
    line("record pupil p-1 --as companies-house/registrar --purpose Look").expect(2, &["--legal-basis"]);
    one_value_of_two_is_erased(desk);
    one_field_goes_out_alone(desk);
    a_persons_file_names_nobody_elses_consent(desk);
    who_oversees_it_sees_who_read_and_no_record(desk);
    who_read_what_was_wrong_is_told_and_nobody_else(desk);
}

/// Whoever read what was wrong hears of it with the answers that their signature is given, and nobody who only names them.
fn who_read_what_was_wrong_is_told_and_nobody_else(desk: &Desk) {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let clerk = "--partition school-health --as companies-house/registrar";
    desk.line(&format!("register append pupil p-5 form=1A {clerk}")).expect(0, &[]);
    let read = format!("record pupil p-5 --purpose Look --legal-basis Law {clerk}");
    let told = desk.line(&read).expect(0, &["1A"]).text();
    let (_, entry) = told.split_once("entry      ").unwrap_or_else(|| panic!("{told}"));
    let entry = entry.split_whitespace().next().unwrap();
    let why = "--authority 'The parents' --legal-basis Law --reason 'Another form'";
    desk.line(&format!("register correct pupil {entry} p-5 form=1B {why} {clerk}")).expect(0, &[]);
    let [own, public] = ["/v1/partitions/school-health/registers", "/v1/partitions/school-health"];
    let ask = |named: &str, by: &str, path: &str| {
        let key = signer(desk, by);
        let not_after = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 60;
        let query = Query::sign(&key.network(), path, named.parse().unwrap(), not_after, key.key()).unwrap();
        let client = holder(desk).hearing(|waiting| HEARD.lock().unwrap().push(waiting.to_owned()));
        let is_answered = client.get_as(path, "application/json", &query.to_header()).is_ok();
        (is_answered, std::mem::take(&mut *HEARD.lock().unwrap()))
    };
    let (reader, another) = ("companies-house/registrar", "companies-house/administrator");
    let begun = Instant::now();
    while ask(reader, reader, own) != (true, vec!["school-health=1".to_owned()]) {
        assert!(begun.elapsed() < PATIENCE, "the reader is not told");
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ask(another, another, own), (true, Vec::new()));
    assert_eq!(ask(reader, another, own), (false, Vec::new()), "another's key");
    for by in [reader, another] {
        assert_eq!(ask(reader, by, public), (true, Vec::new()), "what everybody is answered");
    }
    let told = "what you read there, or gave to somebody, was wrong (1 notice)";
    let left_out = "sealed fields were left out, if the record has them: `name`, `nickname`: --open reads them too";
    desk.line(&read).expect(0, &["1B", told, left_out, "corrects entry", "for The parents, by Law: Another form"]);
    desk.line(&format!("{read} --entries")).expect(0, &["wrong: entry", "corrected it"]);
    desk.line(&format!("{read} --entries --json")).expect(2, &["leave out --entries"]);
    desk.line(&format!("notice acknowledge pupil {entry} p-5 {clerk}")).expect(0, &["knows that entry"]);
    assert_eq!(ask(reader, reader, own), (true, Vec::new()), "they know");
}

fn what_the_schema_refuses_is_not_ordered(desk: &Desk) {
    let item = r#"{"colour":"red","visit":"v-red"}"#.to_owned();
    let entries = vec![NewEntry { key: "v-red".to_owned(), items: vec![item] }];
    let append = Operation::EntryAppend { register: "visit".to_owned(), entries };
    let before = ordered(desk);
    let refused = share(desk, "companies-house/registrar", append).unwrap_err();
    assert!(refused.code() == Some("schema") && refused.to_string().contains("`colour`"), "{refused}");
    assert_eq!(ordered(desk), before);
}

/// How many payloads were ordered in the partition.
fn ordered(desk: &Desk) -> u64 {
    let node = Client::new([&Profile::read(&desk.path("sandbox")).unwrap().nodes[1]]).unwrap();
    node.partition("school-health").unwrap().unwrap().value.ordered.unwrap()
}

/// The node of an organisation that is no member has the receipt, and it is of nothing that the members say among themselves.
fn everybody_proves_that_something_was_ordered(desk: &Desk) {
    let other = &Profile::read(&desk.path("sandbox")).unwrap().nodes[2];
    let query = format!("audit query --action private-order --limit 1 --json --node {other}");
    let told: serde_json::Value = serde_json::from_str(&desk.line(&query).expect(0, &[]).stdout).unwrap();
    let id = told["acts"][0]["id"].as_str().unwrap_or_else(|| panic!("{told}"));
    desk.line(&format!("transaction {id} --receipt private.receipt --node {other}")).expect(0, &["school-health"]);
    let proven = desk.line("verify private.receipt").expect(0, &["holds:", "order in partition school-health"]).text();
    let receipt = fs::read(desk.path("private.receipt")).unwrap();
    for hidden in [SEALED, "pupil"] {
        let is_in_it = receipt.windows(hidden.len()).any(|window| window == hidden.as_bytes());
        assert!(!is_in_it && !proven.contains(hidden), "{proven}");
    }
}

/// Readers of the first member's, at its node.
const READERS: usize = 8;

/// As many reads as it answers; then it is killed, and the other member's node tells of every one that it answered.
pub fn no_read_is_lost_when_a_members_node_is_killed(desk: &Desk, sandbox: &Sandbox) {
    let read = || Operation::RecordRead {
        register: "pupil".to_owned(),
        key: "p-2".to_owned(),
        fields: vec!["nickname".to_owned()],
        subjects: vec![Subject::new("pupil", "p-2").unwrap()],
        purpose: "Measure".to_owned(),
        legal_basis: "Law 3".to_owned(),
        recipient: None,
        node: VAULT.parse().unwrap(),
    };
    let (answered, stop): (Mutex<Vec<String>>, AtomicBool) = (Mutex::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // The node is killed while some wait: those have nothing.
                    let Ok(done) = share(desk, "companies-house/registrar", read()) else {
                        thread::sleep(Duration::from_millis(50));
                        continue;
                    };
                    assert!(done["given"][0]["openings"][0].is_string(), "{done}");
                    answered.lock().unwrap().push(done["id"].as_str().unwrap().to_owned());
                }
            });
        }
        let begun = Instant::now();
        while answered.lock().unwrap().len() <= READERS && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
        }
        sandbox.kill_node("companies-house");
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
    });
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() > READERS, "{} reads were answered", answered.len());
    let begun = Instant::now();
    loop {
        let log = "access-log --partition school-health --all --json --as hm-revenue-and-customs/registrar";
        let told = desk.line(log).expect(0, &[]).text();
        let lost = answered.iter().filter(|id| !told.contains(id.as_str())).count();
        if lost == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{lost} of {} answered reads are not on record", answered.len());
        thread::sleep(Duration::from_millis(500));
    }
    println!("all {} answered reads of a partition are on record after kill -9", answered.len());
}

/// Opens a partition of three, and makes a profile of somebody who oversees it.
fn open_trio(desk: &Desk) {
    let names = ["companies-house", "department-of-health", "hm-revenue-and-customs"];
    desk.line("proposal draft --kind partition-open trio.toml").expect(0, &[]);
    let form = fs::read_to_string(desk.path("trio.toml")).unwrap();
    let from = form.lines().find(|line| line.starts_with("from_ms")).unwrap();
    let form = form.replace(r#"["council", "harbour"]"#, &format!("{names:?}")).replace(from, "from_ms = 1");
    let form = form.replace("my-proposal", "share-trio").replace("school-health", "trio");
    let form = form.replace(r#"# regulators = ["commissioner"]"#, r#"regulators = ["food-standards-agency"]"#);
    fs::write(desk.path("trio.toml"), form).unwrap();
    desk.line("proposal submit trio.toml --as companies-house/administrator").expect(0, &["is open"]);
    for one in names {
        desk.line(&format!("proposal vote share-trio yes --as {one}/administrator")).expect(0, &[]);
    }
    desk.line("proposal show share-trio --wait").expect(0, &[]);
    desk.line("key new watcher.pem --passphrase-file sandbox/passphrase").expect(0, &[]);
    let enrol = "principal enrol overseer --role regulator --public watcher.pem.pub";
    desk.line(&format!("{enrol} --as food-standards-agency/administrator")).expect(0, &[]);
    let mut profile = Profile::read(&desk.path("sandbox")).unwrap();
    let mut place = profile.principals["companies-house/registrar"].clone();
    place.key = desk.path("watcher.pem").to_string_lossy().parse().unwrap();
    let watcher = profile.principal.insert("food-standards-agency/overseer".to_owned()).clone();
    profile.principals = [(watcher, place)].into();
    profile.write(&desk.path("watcher.toml")).unwrap();
}

/// Of three members' nodes one stands still while somebody is erased, and the regulator is told that this is overdue. Asked as soon as it goes
/// on, it opens nothing to a reader before it has destroyed what was ordered meanwhile.
pub fn a_member_that_was_off_destroys_before_it_gives(desk: &Desk, sandbox: &Sandbox) {
    let (keeper, clerk) = ("companies-house/administrator", "companies-house/registrar");
    let off = MEMBERS[1].0;
    open_trio(desk);
    let line = |text: &str, who: &str| desk.line(&format!("{text} --partition trio --as {who}"));
    line("register create ward --field ward --field name --personal name", keeper).expect(0, &[]);
    let readers = r#"permit (principal, action == Action::"record-read", resource == Register::"ward");"#;
    fs::write(desk.path("readers.cedar"), readers).unwrap();
    line("policy put ward/readers readers.cedar", keeper).expect(0, &[]);
    line("register append ward w-1 name='Kept There'", clerk).expect(0, &[]);
    let before = vaulted(desk)[1].clone();
    line("register append ward w-2 name='Gone From'", clerk).expect(0, &[]);
    let new = || vaulted(desk)[1].difference(&before).next().cloned();
    let begun = Instant::now();
    let gone = loop {
        if let Some(new) = new() {
            break new;
        }
        assert!(begun.elapsed() < PATIENCE, "it was not given to {off}");
    };
    let signal = |name: &str| {
        let node = sandbox.node(off).unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &node]).status().unwrap().success());
    };
    signal("-STOP");
    let stopped = Instant::now();
    let order = Operation::ErasureOrder {
        order: "gone-2".to_owned(),
        controller: "companies-house".to_owned(),
        subject: Subject::new("ward", "w-2").unwrap(),
        scope: ErasureScope::All,
        authority: "The person".to_owned(),
        legal_basis: "Law".to_owned(),
        reason: "No use any more".to_owned(),
        // Seconds: the command takes days.
        deadline: 1,
    };
    let order = signer(desk, keeper).within(Some("trio".to_owned())).sign("gone", vec![order]).unwrap();
    assert!(holder(desk).submit_private(&order, PATIENCE).unwrap().outcome.is_accepted());
    let begun = Instant::now();
    while line("erasure status gone-2", clerk).text().matches("destroyed  ").count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "the others do not destroy it");
        thread::sleep(Duration::from_millis(200));
    }
    // For longer than one may be that is still taken to be there all the time.
    thread::sleep(Duration::from_secs(6).saturating_sub(stopped.elapsed()));
    assert!(gone.exists(), "it knows of nothing yet");
    desk.line("status --dir watcher.toml")
        .expect(1, &["partition trio, which food-standards-agency oversees: 1 order of erasure is overdue"]);
    signal("-CONT");
    let begun = Instant::now();
    let read = "record ward w-1 --open --purpose Look --legal-basis Law";
    while !line(read, &format!("{off}/registrar")).text().contains("Kept There") {
        assert!(begun.elapsed() < PATIENCE, "it gives nothing");
    }
    assert!(!gone.exists(), "it gave something before it destroyed what was ordered to be");
    println!("a member that was off gave something again after {:.1} s", begun.elapsed().as_secs_f64());
}

/// Whoever has the role for it in an organisation that the agreement names asks a member's node; nobody else of that one does.
fn who_oversees_it_sees_who_read_and_no_record(desk: &Desk) {
    desk.line("partition show school-health").expect(0, &["overseen by   department-of-health"]);
    desk.line("key new overseer.pem --passphrase-file sandbox/passphrase").expect(0, &[]);
    let enrol = "principal enrol overseer --role regulator --public overseer.pem.pub";
    desk.line(&format!("{enrol} --as department-of-health/administrator")).expect(0, &[]);
    let key = "--as department-of-health/overseer --key overseer.pem --passphrase-file sandbox/passphrase";
    let asked = |text: &str, who: &str| desk.line(&format!("{text} --partition school-health {who}"));
    let told = [
        ("access-log --subject pupil:p-2", "companies-house/registrar"),
        ("erasure list", "gone-1"),
        ("erasure status gone-1", "erasure gone-1 is complete"),
        ("hold list", "look-1"),
        ("notice list", "corrections"),
    ];
    for (question, answer) in told {
        asked(question, key).expect(0, &[answer]);
        asked(question, "--as department-of-health/registrar")
            .expect(1, &["A regulator whom the agreement names asks with the role"]);
        asked(question, "--as food-standards-agency/registrar").expect(1, &[]);
    }
    for question in ["record pupil p-2 --purpose Look --legal-basis Law", "register list"] {
        let refused = asked(question, key).expect(1, &[]).text();
        assert!(!refused.contains("Still There") && !refused.contains("nickname"), "{refused}");
    }
}

/// A read of a record about two stands on the consents of both: each is told of their own.
fn a_persons_file_names_nobody_elses_consent(desk: &Desk) {
    let line = |text: &str| desk.line(&format!("{text} --partition school-health --as companies-house/registrar"));
    desk.line(
        "register create pair --field pair --field one:string:1:pupil --field two:string:1:pupil --field note --field memo \
         --personal note:one --personal memo:two --partition school-health --as companies-house/administrator",
    )
    .expect(0, &["register pair is there"]);
    for pupil in ["p-3", "p-4"] {
        line(&format!("register append pupil {pupil} form=5D")).expect(0, &[]);
    }
    line("register append pair q-1 one=p-3 two=p-4 note='Sits in front' memo='Sits behind'").expect(0, &[]);
    let consents = [("of-one", "pupil:p-3"), ("of-two", "pupil:p-4"), ("of-record", "pair:q-1")];
    for (id, subject) in consents {
        line(&format!("consent give {id} {subject} --purpose research --until 2099-01-01T00:00:00Z --evidence Form"))
            .expect(0, &[]);
    }
    line("record pair q-1 --open --purpose research --legal-basis consent")
        .expect(0, &["Sits in front", "Sits behind"]);
    let read = line("access-log --subject pair:q-1 --limit 1").expect(0, &[]).text();
    let told = |text: &str, ids: [bool; 2]| {
        assert_eq!(["of-one", "of-two"].map(|id| text.contains(id)), ids, "{text}");
    };
    told(&line("access-log --subject pupil:p-3 --limit 1").expect(0, &["pair/q-1"]).text(), [true, false]);
    told(&line("access-log --subject pupil:p-4 --limit 1").expect(0, &["pair/q-1"]).text(), [false, true]);
    told(&line("access-log --limit 1").expect(0, &["pair/q-1"]).text(), [true, true]);
    desk.line("subject-access pupil:p-3 --output p-3.json --as companies-house/registrar").expect(0, &["pair/q-1"]);
    told(&fs::read_to_string(desk.path("p-3.json")).unwrap(), [true, false]);
    assert!(read.contains("of-record"), "{read}");
}

/// One field goes out without the others, sealed or not: no byte of them, nor a hash that they could be guessed by, is in the file.
fn one_field_goes_out_alone(desk: &Desk) {
    let clerk = "--partition school-health --as companies-house/registrar";
    let why = "--to 'A court' --to-jurisdiction GB --purpose Look --legal-basis Law";
    let name = "Somebody To Be Found";
    desk.line(&format!(
        "register append pupil p-3 form='Form 5D of Ash' name='{name}' nickname='Not For Court' {clerk}"
    ))
    .expect(0, &[]);
    let disclose = format!("disclose pupil p-3 {why} {clerk} --only");
    desk.line(&format!("{disclose} --output none.disclosure")).expect(2, &["--field"]);
    desk.line(&format!("{disclose} --field shoe --output shoe.disclosure"))
        .expect(1, &["register `pupil` has no field `shoe`: name fields that it has: pupil, name, nickname, form"]);
    what_cannot_come_of_it_is_found_before_it_is_on_record(desk);
    desk.line(&format!(
        "disclose pupil p-3 {why} --field name --only --output public.disclosure --as companies-house/registrar"
    ))
    .expect(2, &["--only is for a record in a partition"]);
    desk.line(&format!("{disclose} --field form --output form.disclosure")).expect(0, &["on record"]);
    let opened = "the values shown are those that the record holds sealed";
    let verified = desk.line("verify form.disclosure").expect(
        0,
        &[
            "register pupil of partition school-health holds a record under the key p-3",
            "form  Form 5D of Ash",
            "3 other fields of the record: not in this file",
        ],
    );
    assert!(!verified.text().contains(opened), "nothing sealed is shown:\n{}", verified.text());
    fs::write(desk.path("other.json"), r#"{"name":"Form 5D of Ash"}"#).unwrap();
    desk.line("verify other.json").expect(1, &["`other.json` is no file that `tally verify` knows"]);
    desk.line(&format!("{disclose} --field name --output name.disclosure")).expect(0, &["on record"]);
    desk.line("verify name.disclosure").expect(0, &[name, "about      pupil:p-3", opened]);
    let json = desk.line("verify name.disclosure --json").expect(0, &[]).text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let claim = &json["claim"];
    assert_eq!((&claim["kind"], &claim["fields_of_record"]), (&"field-disclosure".into(), &4.into()), "{json}");
    assert_eq!((claim["fields"].as_array().unwrap().len(), &claim["opened"][0]["value"]), (1, &name.into()), "{json}");
    for (file, shown) in [("form", "Form 5D of Ash"), ("name", name)] {
        let bytes = fs::read(desk.path(&format!("{file}.disclosure"))).unwrap();
        println!("a disclosure of the field {file} alone is {} bytes", bytes.len());
        assert!(bytes.len() <= 8 * 1_024, "{} bytes", bytes.len());
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds(shown));
        for other in ["Form 5D of Ash", name, "Not For Court", "nickname"].into_iter().filter(|other| *other != shown) {
            assert!(!holds(other), "{file}.disclosure holds `{other}`");
        }
        // Nor is there the commitment of another field.
        let sealed = usize::from(file == "name");
        assert_eq!(bytes.windows(7).filter(|window| *window == b"sealed:").count(), sealed, "{file}.disclosure");
    }
    let mut bytes = fs::read(desk.path("form.disclosure")).unwrap();
    let at = bytes.windows(7).position(|window| window == b"Form 5D").unwrap();
    bytes[at] = b'N';
    fs::write(desk.path("forged.disclosure"), bytes).unwrap();
    desk.line("verify forged.disclosure").expect(1, &["fields: FAILED: field 0 is not one of the record's"]);
}

/// What is misspelt, left out or not there yet is said before anything is signed: what is on record stays there.
fn what_cannot_come_of_it_is_found_before_it_is_on_record(desk: &Desk) {
    let clerk = "--partition school-health --as companies-house/registrar";
    let why = "--purpose 'In vain' --legal-basis Law";
    let attest = "attest pupil p-3 --where form=5D --question 'Is it?' --output p-3.attestation";
    let register = "tally register create attestation --partition school-health --field attestation:string";
    for (what, code, told) in [
        ("record pupil p-3 --field shoe", 1, "register `pupil` has no field `shoe`"),
        ("disclose pupil p-3 --to Court --output p-3.disclosure", 2, "--to-jurisdiction CODE"),
        (&format!("{attest} --to Court"), 2, "--to-jurisdiction CODE"),
        (&format!("{attest} --to Court --to-jurisdiction GB"), 1, register),
    ] {
        desk.line(&format!("{what} {why} {clerk}")).expect(code, &[told]);
    }
    let log = desk.line(&format!("access-log --subject pupil:p-3 --all {clerk}")).expect(0, &[]).text();
    assert!(!log.contains("In vain"), "{log}");
    assert!(!desk.path("p-3.disclosure").exists() && !desk.path("p-3.attestation").exists());
    let draft = "proposal draft --kind partition-open unknown.toml";
    desk.line(draft).expect(0, &[]);
    desk.line(draft).expect(2, &["`unknown.toml` exists already: choose another name, or remove it first"]);
    let form = fs::read_to_string(desk.path("unknown.toml")).unwrap();
    fs::write(desk.path("unknown.toml"), form.replace("school-health", "elsewhere")).unwrap();
    desk.line("proposal submit unknown.toml --as companies-house/administrator")
        .expect(1, &["the agreement names `council`, and there is no such organisation", "nothing was submitted"]);
}

/// Who reads a record of which one value is erased is told so, and given the other; a disclosure of both is not put on record.
fn one_value_of_two_is_erased(desk: &Desk) {
    let keeper = "--partition school-health --as companies-house/administrator";
    let clerk = "--partition school-health --as companies-house/registrar";
    let why = "--purpose Look --legal-basis Law";
    desk.line(&format!("register append pupil p-2 form=4C name='Nobody Now' nickname='Still There' {clerk}"))
        .expect(0, &[]);
    let read = desk.line(&format!("record pupil p-2 --field name {why} {clerk}")).expect(0, &["Nobody Now"]).text();
    let (_, name) = read.split_once("field `name` is sealed as ").unwrap_or_else(|| panic!("{read}"));
    let name = name.split_whitespace().next().unwrap();
    let order = "--authority 'The parents' --legal-basis Law --reason 'Written wrongly' --wait";
    desk.line(&format!("erasure order one-1 pupil:p-2 --value {name} {order} {keeper}")).expect(0, &[]);

    let told = "field `name` stays sealed: what was in it is erased";
    desk.line(&format!("record pupil p-2 --open {why} {clerk}")).expect(0, &[told, name, "Still There"]);
    let disclose = format!("disclose pupil p-2 --to 'A court' --to-jurisdiction GB {why} {clerk}");
    desk.line(&format!("{disclose} --field name --field nickname --output both.disclosure"))
        .expect(1, &["record `pupil/p-2`: erased is what was sealed in `name`: leave that out"]);
    desk.line(&format!("{disclose} --field nickname --output one.disclosure")).expect(0, &["on record"]);
    desk.line("verify one.disclosure").expect(0, &["Still There"]);
    desk.line("subject-access pupil:p-2 --output p-2.json --as companies-house/registrar").expect(0, &["pupil/p-2"]);
    let text = fs::read_to_string(desk.path("p-2.json")).unwrap();
    assert!(text.contains("Still There") && !text.contains("Nobody Now"), "{text}");
}
