//! The fear: that what was erased is still there, or comes back. Four nodes of one organisation, each a holder, started and killed one by
//! one by this test.

use crate::{CLEAR, PATIENCE, files, signer};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tallystick_api::ErasureView;
use tallystick_client::{Client, Error, Passphrase, SealingSecret, Settled, Signer, keyfile};
use tallystick_protocol::{
    Assurance, Commitment, ErasureScope, ErasureStatus, NewEntry, Opening, Operation, Place, PrincipalKind, Reading,
    Roles, SealedSubmission, SealingKey, Secret, Subject,
};
use tallystick_tests::sandbox::{Desk, Sandbox, copy, free_base_port};

const CONTROLLER: &str = "companies-house";
const REGISTER: &str = "patient";
/// Orders whose time is measured, one after the other.
const MEASURED: usize = 5;
/// Seconds within which all holders must have destroyed and said so.
const BAR: Duration = Duration::from_secs(5);
/// How often a node is killed until one dies between destroying and its receipt.
const ATTEMPTS: usize = 20;
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node, which this test runs.
struct Node {
    folder: PathBuf,
    name: String,
    client: Client,
    child: Option<Child>,
}

/// Four nodes of one organisation.
struct Nodes {
    nodes: Vec<Node>,
    administrator: Signer,
    registrar: Signer,
    /// What must be found nowhere in the end.
    secrets: Vec<Vec<u8>>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.kill(node));
    }
}

impl Node {
    fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("node.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tally"));
        command.args(["node", "--config"]).arg(self.folder.join("node.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    fn await_ready(&self) {
        within(PATIENCE, &self.name, || self.client.get("/readyz", "*/*").ok());
    }

    fn storage(&self) -> PathBuf {
        self.folder.join("data/storage")
    }

    /// The files of the vault that hold somebody's values.
    fn kept(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        files(&self.storage(), &mut all);
        let is_folder = |name: &str| {
            let folder = name.rsplit_once("-vault-").map(|(_, folder)| folder);
            folder.is_some_and(|folder| folder.len() == 3 && u16::from_str_radix(folder, 16).is_ok())
        };
        all.retain(|path| path.parent().unwrap().file_name().is_some_and(|name| is_folder(name.to_str().unwrap())));
        all
    }

    /// The notes of transactions that are not settled.
    fn notes(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        files(&self.storage().join("tally-vault-pending"), &mut all);
        all
    }

    /// The folders of the vault, with what is noted beside.
    fn vault(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.storage()).unwrap().map(|entry| entry.unwrap().path());
        folders.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("tally-vault")).collect()
    }
}

/// What `look` finds, as soon as it does.
#[track_caller]
fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        thread::sleep(LOOK);
    }
}

impl Nodes {
    /// The files of a sandbox, in whose network all four validators are one organisation's; begun anew, from its genesis.
    fn of(desk: &Desk) -> Self {
        let folder = desk.path("sandbox");
        let genesis = folder.join("network.json");
        let mut network: serde_json::Value = serde_json::from_slice(&fs::read(&genesis).unwrap()).unwrap();
        let validators = network["validators"].as_array_mut().unwrap();
        validators.iter_mut().for_each(|validator| validator["organisation"] = CONTROLLER.into());
        validators.sort_by_key(|validator| validator["key"].as_str().unwrap().to_owned());
        fs::write(&genesis, serde_json::to_vec_pretty(&network).unwrap()).unwrap();
        let profile = tallystick_client::Profile::read(&folder).unwrap();
        let mut folders: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.join("node.toml").is_file());
        folders.sort();
        let mut nodes = Vec::new();
        for (number, folder) in folders.into_iter().enumerate() {
            let _ = fs::remove_dir_all(folder.join("data"));
            for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                if file.extension().is_some_and(|extension| extension == "voting") {
                    fs::remove_file(file).unwrap();
                }
            }
            let (place, name) = (folder.join("node.toml"), format!("vault-{number}"));
            let config = fs::read_to_string(&place).unwrap();
            let old = format!("\"{}/vault\"", folder.file_name().unwrap().to_str().unwrap());
            assert!(config.contains(&old), "{config}");
            fs::write(&place, config.replace(&old, &format!("\"{CONTROLLER}/{name}\""))).unwrap();
            let port = config.lines().find_map(|line| line.strip_prefix("http = ")).unwrap().trim_matches('"');
            let url = format!("http://{port}");
            assert!(profile.nodes.contains(&url), "{url}");
            let client = Client::new([&url]).unwrap();
            nodes.push(Node { folder, name, client, child: None });
        }
        assert_eq!(nodes.len(), 4);
        nodes.iter_mut().for_each(Node::start);
        nodes.iter().for_each(Node::await_ready);
        let [administrator, registrar] =
            ["administrator", "registrar"].map(|name| signer(desk, &format!("{CONTROLLER}/{name}")));
        let network = Self { nodes, administrator, registrar, secrets: Vec::new() };
        network.found(&Passphrase::read(&folder.join("passphrase")).unwrap());
        network
    }

    /// Registers each node as a holder, and has a register there.
    fn found(&self, passphrase: &Passphrase) {
        for Node { folder, name, .. } in &self.nodes {
            let key = |file: &str| keyfile::read(&folder.join(file), passphrase).unwrap().public();
            let sealing = SealingSecret::read(&folder.join("sealing.pem"), passphrase).unwrap().public();
            self.accepted(
                &self.administrator,
                vec![
                    Operation::PrincipalEnrol {
                        name: name.clone(),
                        kind: PrincipalKind::Device,
                        roles: Roles::default(),
                        key: key("holder.pem"),
                        assurance: Assurance::Substantial,
                    },
                    Operation::NodeRegister {
                        node: format!("{CONTROLLER}/{name}").parse().unwrap(),
                        peer: key("validator.pem").as_bytes().try_into().unwrap(),
                        sealing: SealingKey::from_bytes(sealing).unwrap(),
                        jurisdiction: "GB".parse().unwrap(),
                    },
                ],
            );
        }
        let field = |name: &str| tallystick_protocol::Field::new(name, tallystick_protocol::Datatype::String);
        let protection = Some(format!("personal:{REGISTER}").parse().unwrap());
        let name = tallystick_protocol::Field { protection, ..field("name") };
        let fields = vec![field(REGISTER), name, field("note")];
        let create = Operation::RegisterCreate { register: REGISTER.to_owned(), text: "Patients".to_owned(), fields };
        self.accepted(&self.administrator, vec![create]);
    }

    /// Has something done by way of the first node that runs.
    #[track_caller]
    fn accepted(&self, who: &Signer, operations: Vec<Operation>) -> Settled {
        let transaction = who.sign("erase", operations).unwrap();
        let settled = self.running().submit(&transaction, PATIENCE).unwrap();
        assert!(settled.outcome.is_accepted(), "{:?}", settled.outcome);
        settled
    }

    fn running(&self) -> &Client {
        &self.nodes.iter().find(|node| node.child.is_some()).unwrap().client
    }

    fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Writes a value about somebody, which every node keeps.
    fn write(&mut self, key: &str, value: &str) -> SealedSubmission {
        let submission = self.sealed(key, value);
        for node in &self.nodes {
            let settled = node.client.submit_sealed(&submission, PATIENCE).unwrap();
            assert!(settled.outcome.is_accepted(), "{:?}", settled.outcome);
        }
        submission
    }

    /// A transaction that writes a value about somebody, with what opens it.
    fn sealed(&mut self, key: &str, value: &str) -> SealedSubmission {
        let place = Place::new(REGISTER, key, "name", subject(key)).unwrap();
        let opening = Opening::seal(place, Secret::new(value), &mut tallystick_client::randomness()).unwrap();
        for bytes in [value.as_bytes(), opening.blinding().reveal()] {
            self.secrets.extend([bytes.to_vec(), hex::encode(bytes).into_bytes()]);
        }
        let item = format!(r#"{{"name":"{}","note":"{CLEAR}","patient":"{key}"}}"#, opening.commitment());
        let entries = vec![NewEntry { key: key.to_owned(), items: vec![item] }];
        let append = Operation::EntryAppend { register: REGISTER.to_owned(), entries };
        let transaction = self.registrar.sign("write", vec![append]).unwrap().bytes().clone();
        SealedSubmission { transaction, openings: vec![opening] }
    }

    fn read(&self, node: usize, key: &str) -> Result<Reading, Error> {
        let node = &self.nodes[node];
        let read = Operation::RecordRead {
            register: REGISTER.to_owned(),
            key: key.to_owned(),
            fields: vec!["name".to_owned()],
            subjects: vec![subject(key)],
            purpose: "Look".to_owned(),
            legal_basis: "Law 5".to_owned(),
            recipient: None,
            node: format!("{CONTROLLER}/{}", node.name).parse().unwrap(),
        };
        node.client.read_sealed(&self.registrar.sign("read", vec![read]).unwrap(), PATIENCE)
    }

    /// Orders what is known of somebody to be destroyed: all of it, or one value.
    fn order(&self, order: &str, key: &str, value: Option<Commitment>) -> Settled {
        self.order_within(86_400, order, key, value)
    }

    /// An order that must be complete within so many seconds.
    fn order_within(&self, deadline: u64, order: &str, key: &str, value: Option<Commitment>) -> Settled {
        self.accepted(
            &self.administrator,
            vec![Operation::ErasureOrder {
                order: order.to_owned(),
                controller: CONTROLLER.to_owned(),
                subject: subject(key),
                scope: value.map_or(ErasureScope::All, |value| ErasureScope::Values(vec![value])),
                authority: "The patient".to_owned(),
                legal_basis: "UK GDPR Article 17".to_owned(),
                reason: "Consent withdrawn".to_owned(),
                deadline,
            }],
        )
    }

    /// How many orders a node that runs counts as overdue: of its own organisation, and of all.
    fn overdue(&self) -> Vec<String> {
        let metrics = String::from_utf8(self.running().get("/metrics", "*/*").unwrap().body).unwrap();
        let lines = metrics.lines().filter(|line| !line.starts_with('#') && line.contains("erasures_overdue"));
        lines.filter_map(|line| line.split_whitespace().next_back().map(str::to_owned)).collect()
    }

    fn erasure(&self, order: &str) -> ErasureView {
        self.running().erasure(order).unwrap().unwrap().value
    }

    /// How many values the node said that it destroyed for an order; none if it has not said so.
    fn said(&self, order: &str, node: usize) -> Option<u32> {
        let name = format!("{CONTROLLER}/{}", self.nodes[node].name);
        let view = self.erasure(order);
        let holder = view.holders.into_iter().find(|holder| holder.node == name).unwrap();
        holder.receipt.map(|receipt| receipt.values)
    }

    #[track_caller]
    fn complete(&self, order: &str, values: u32) {
        within(PATIENCE, order, || (self.erasure(order).status == ErasureStatus::Complete).then_some(()));
        for node in 0..self.nodes.len() {
            assert_eq!(self.said(order, node), Some(values), "{order}: node {node}");
        }
    }

    /// Nothing about anybody is kept by anybody.
    #[track_caller]
    fn nothing_is_kept(&self) {
        for node in &self.nodes {
            assert_eq!(node.kept(), Vec::<PathBuf>::new(), "{}", node.name);
        }
    }
}

fn subject(key: &str) -> Subject {
    Subject::new(REGISTER, key).unwrap()
}

fn commitment(submission: &SealedSubmission) -> Commitment {
    submission.openings[0].commitment()
}

#[test]
fn what_is_erased_is_nowhere_and_does_not_come_back() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let port = free_base_port().to_string();
    Sandbox::start(&desk, &["--base-port", &port]).stop();
    let mut nodes = Nodes::of(&desk);
    four_holders_are_done_in_time(&mut nodes);
    nothing_comes_late(&mut nodes);
    a_hold_keeps_it_readable(&mut nodes);
    a_node_dies_between_destroying_and_its_receipt(&mut nodes);
    a_node_that_was_off_destroys_before_it_serves(&mut nodes);
    an_old_backup_does_not_bring_it_back(&mut nodes);
    a_damaged_file_holds_up_nothing_else(&mut nodes);
    nodes.nothing_is_kept();
    nothing_is_found(&desk, &nodes);
}

fn four_holders_are_done_in_time(nodes: &mut Nodes) {
    let mut times = Vec::new();
    for number in 0..MEASURED {
        let (key, order) = (format!("timed-{number}"), format!("timed-{number}"));
        nodes.write(&key, &format!("Wilhelmina Zschokke the {number}th"));
        assert!(nodes.nodes.iter().all(|node| node.kept().len() == 1), "each keeps it");
        let begun = Instant::now();
        nodes.order(&order, &key, None);
        within(PATIENCE, &order, || (nodes.erasure(&order).status == ErasureStatus::Complete).then_some(()));
        times.push(begun.elapsed());
        nodes.complete(&order, 1);
        nodes.nothing_is_kept();
    }
    times.sort_unstable();
    let (median, largest) = (times[MEASURED / 2], times[MEASURED - 1]);
    println!(
        "from an order's signature to the receipts of four holders on four nodes: {median:.2?}, at most {largest:.2?} of {MEASURED}"
    );
    assert!(median <= BAR, "{times:?}");
}

/// What opens an erased value is not taken in, whether it was there before or not, and a read gives nothing.
fn nothing_comes_late(nodes: &mut Nodes) {
    let first = nodes.write("late", "Leopoldine Zwack");
    let second = nodes.write("late", "Leopoldine Zwack-Ybbs");
    nodes.order("late-value", "late", Some(commitment(&second)));
    nodes.complete("late-value", 1);
    for node in 0..nodes.nodes.len() {
        let late = nodes.nodes[node].client.submit_sealed(&second, PATIENCE).unwrap_err();
        assert_eq!(late.code(), Some("value-erased"), "{late}");
        let read = nodes.read(node, "late").unwrap_err();
        assert_eq!(read.code(), Some("value-erased"), "{read}");
        assert!(read.to_string().contains("the read is on record"), "{read}");
    }
    // The other value is kept still, and read once more when the latest entry has it.
    assert!(nodes.nodes.iter().all(|node| node.kept().len() == 1));
    nodes.order("late-all", "late", None);
    nodes.complete("late-all", 1);
    let third = nodes.sealed("late", "Leopoldine of Ybbs");
    for node in 0..nodes.nodes.len() {
        for late in [&first, &second, &third] {
            let late = nodes.nodes[node].client.submit_sealed(late, PATIENCE).unwrap_err();
            assert_eq!(late.code(), Some("value-erased"), "{late}");
        }
        let read = nodes.read(node, "late").unwrap_err();
        assert_eq!(read.code(), Some("read-refused"), "{read}");
    }
    nodes.nothing_is_kept();
}

fn a_hold_keeps_it_readable(nodes: &mut Nodes) {
    nodes.write("held", "Melchior Quaglia");
    let hold = Operation::HoldPlace {
        hold: "claim-7".to_owned(),
        controller: CONTROLLER.to_owned(),
        subject: subject("held"),
        authority: "High Court".to_owned(),
        reason: "Evidence".to_owned(),
        until: None,
    };
    nodes.accepted(&nodes.administrator, vec![hold]);
    nodes.order("held", "held", None);
    let read = |node| nodes.read(node, "held").unwrap().openings[0].value().reveal().to_owned();
    assert!((0..nodes.nodes.len()).all(|node| read(node) == "Melchior Quaglia"));
    assert_eq!(nodes.erasure("held").status, ErasureStatus::OnHold);
    assert!((0..nodes.nodes.len()).all(|node| nodes.said("held", node).is_none()));
    let lift = Operation::HoldLift { hold: "claim-7".to_owned(), reason: "Settled".to_owned() };
    nodes.accepted(&nodes.administrator, vec![lift]);
    nodes.complete("held", 1);
    nodes.nothing_is_kept();
    assert!(nodes.read(0, "held").is_err());
}

/// The file is gone, and the node with it before it says so: it says so when it is back, and how many values there were.
fn a_node_dies_between_destroying_and_its_receipt(nodes: &mut Nodes) {
    let victim = 1;
    for attempt in 1..=ATTEMPTS {
        let name = format!("dies-{attempt}");
        nodes.write(&name, &format!("Balthasar Xylander {attempt}"));
        let file = nodes.nodes[victim].kept().pop().unwrap();
        let mut child = nodes.nodes[victim].child.take().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let begun = Instant::now();
                while file.exists() && begun.elapsed() < PATIENCE {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
                child.wait().unwrap();
            });
            nodes.order(&name, &name, None);
        });
        let others = [0, 2, 3];
        within(PATIENCE, &name, || others.iter().all(|node| nodes.said(&name, *node).is_some()).then_some(()));
        // Were its receipt on its way, it would be in the next blocks.
        let settled = nodes.erasure(&name).height;
        nodes.accepted(&nodes.administrator, vec![enrol(&format!("after-{attempt}"))]);
        thread::sleep(Duration::from_secs(2));
        let is_between = nodes.said(&name, victim).is_none();
        nodes.nodes[victim].start();
        nodes.nodes[victim].await_ready();
        nodes.complete(&name, 1);
        nodes.nothing_is_kept();
        if is_between {
            println!("killed between destroying and the receipt at attempt {attempt}, order of height {settled}");
            return;
        }
    }
    panic!("of {ATTEMPTS} kills none came in between");
}

fn enrol(name: &str) -> Operation {
    let key = keyfile::generate(tallystick_protocol::Algorithm::EdDsa).unwrap().public();
    Operation::enrol(name.to_owned(), Roles::default(), key)
}

fn a_node_that_was_off_destroys_before_it_serves(nodes: &mut Nodes) {
    let off = 3;
    let written = nodes.write("off", "Kunigunde Ypsilanti");
    nodes.kill(off);
    nodes.order_within(1, "off", "off", Some(commitment(&written)));
    within(PATIENCE, "off", || (0..off).all(|node| nodes.said("off", node) == Some(1)).then_some(()));
    assert_eq!((nodes.said("off", off), nodes.nodes[off].kept().len()), (None, 1), "it knows of nothing yet");
    within(PATIENCE, "overdue", || (nodes.overdue() == ["1", "1"]).then_some(()));
    assert_eq!(nodes.erasure("off").status, ErasureStatus::Overdue);
    nodes.nodes[off].start();
    serves_nothing(nodes, off, "off");
    nodes.complete("off", 1);
    within(PATIENCE, "no longer overdue", || (nodes.overdue() == ["0", "0"]).then_some(()));
}

/// From its first answer on the node gives nothing of somebody, and has destroyed it by then.
fn serves_nothing(nodes: &Nodes, node: usize, key: &str) {
    within(PATIENCE, key, || match nodes.read(node, key) {
        Ok(_) => panic!("node {node} gave what was erased"),
        Err(error) if error.code() == Some("value-erased") => Some(()),
        Err(_) => None,
    });
    assert_eq!(nodes.nodes[node].kept(), Vec::<PathBuf>::new(), "destroyed before the first answer");
}

/// A vault of before the order in the place of the present one, and laid over it.
fn an_old_backup_does_not_bring_it_back(nodes: &mut Nodes) {
    let node = 2;
    for (name, is_laid_over) in [("replaced", false), ("laid-over", true)] {
        let written = nodes.write(name, &format!("Ottokar Ziegelmueller {name}"));
        let backup = tempfile::tempdir().unwrap();
        // A note of what is not settled would have it go by another way.
        within(PATIENCE, name, || nodes.nodes[node].notes().is_empty().then_some(()));
        nodes.kill(node);
        for folder in nodes.nodes[node].vault() {
            copy(&folder, &backup.path().join(folder.file_name().unwrap()));
        }
        nodes.nodes[node].start();
        nodes.nodes[node].await_ready();
        nodes.order(name, name, Some(commitment(&written)));
        nodes.complete(name, 1);
        nodes.nothing_is_kept();
        nodes.kill(node);
        if !is_laid_over {
            nodes.nodes[node].vault().iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
        }
        copy(backup.path(), &nodes.nodes[node].storage());
        assert_eq!(nodes.nodes[node].kept().len(), 1, "the backup has it");
        nodes.nodes[node].start();
        serves_nothing(nodes, node, name);
    }
}

/// A file of one node's vault cannot be read: what is ordered of others is done, and they are read; all of it can be destroyed.
fn a_damaged_file_holds_up_nothing_else(nodes: &mut Nodes) {
    let node = 2;
    let written = nodes.write("damaged", "Adalbert Wurzelsepp");
    let file = nodes.nodes[node].kept().pop().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    nodes.order("damaged-value", "damaged", Some(commitment(&written)));
    within(PATIENCE, "others", || [0, 1, 3].iter().all(|n| nodes.said("damaged-value", *n) == Some(1)).then_some(()));
    nodes.write("whole", "Crescentia Muxeneder");
    assert_eq!(nodes.read(node, "whole").unwrap().openings.len(), 1);
    nodes.order("whole", "whole", None);
    nodes.complete("whole", 1);
    assert_eq!(nodes.said("damaged-value", node), None, "nobody knows what was in it");
    assert!(nodes.read(node, "damaged").is_err());
    nodes.order("damaged-all", "damaged", None);
    nodes.complete("damaged-all", 0);
    within(PATIENCE, "the value", || (nodes.said("damaged-value", node) == Some(0)).then_some(()));
}

/// No file of any node holds a value or a blinding; and the search finds what is there.
fn nothing_is_found(desk: &Desk, nodes: &Nodes) {
    let control = desk.path("sandbox").join(CONTROLLER).join("data/control");
    for secret in &nodes.secrets {
        fs::write(&control, [b"before ".as_slice(), secret, b" after"].concat()).unwrap();
        assert_eq!(crate::holding(desk, secret), [control.as_path()], "{}", String::from_utf8_lossy(secret));
    }
    fs::remove_file(&control).unwrap();
    assert!(crate::holding(desk, CLEAR.as_bytes()).len() >= 4, "what is in the clear is on every node");
    println!("{} values and blindings, raw and in hexadecimal, are in no file of four nodes", nodes.secrets.len());
}
