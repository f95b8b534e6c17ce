//! The fear: that a node stands there and nobody knows why. One that no peer knows yet, and one whose key is replaced while the network
//! runs: the real binary.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tallystick_client::{Client, Profile};
use tallystick_tests::sandbox::{Desk, Sandbox, free_base_port};

/// How long an answer may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long a debug build may take to open its port on two busy cores.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);

/// How long a vote, or an epoch of blocks that are asked for, may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// Whose node it is, and who runs the rest.
const OWNER: &str = "department-of-health";
const OTHERS: [&str; 3] = ["companies-house", "food-standards-agency", "hm-revenue-and-customs"];

/// A process that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < LISTENS_WITHIN, "{error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn ask(port: u16, path: &str) -> String {
    let mut stream = connect(port);
    stream.set_read_timeout(Some(ANSWERED_WITHIN)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{path}: {error}"));
    answer
}

#[test]
fn a_node_that_nobody_knows_says_so() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    fs::write(desk.path("secret"), "seven words that nobody else would choose\n").unwrap();
    desk.line("key new new.pem --passphrase-file secret").expect(0, &[]);
    let (listen, http) = (free_base_port(), free_base_port());
    desk.line(&format!(
        "node init --network tests/data/receipts/network.json --key new.pem --passphrase-file secret \
         --listen 127.0.0.1:{listen} --http 127.0.0.1:{http}"
    ))
    .expect(0, &["wrote node.toml"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tally"));
    command.args(["node", "--config", "node.toml"]).current_dir(place.path()).stdin(Stdio::null());
    let _node = Node(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    drop(connect(http));

    assert!(ask(http, "/healthz").ends_with("alive\n"));
    let begun = Instant::now();
    while !ask(http, "/readyz").contains("waits for peers") {
        assert!(begun.elapsed() < LISTENS_WITHIN, "{}", ask(http, "/readyz"));
        thread::sleep(Duration::from_millis(50));
    }
    let ready = ask(http, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("do not know this node's key"), "{ready}");
    let status = ask(http, "/v1/status").to_lowercase();
    assert!(status.starts_with("http/1.1 503") && status.contains("retry-after: "), "{status}");
    let registers = ask(http, "/v1/registers").to_lowercase();
    assert!(registers.starts_with("http/1.1 503") && registers.contains("retry-after: "), "{registers}");

    let begun = Instant::now();
    let node = format!("--node http://127.0.0.1:{http}");
    desk.line(&format!("status {node}")).expect(1, &["no answer", "waits for peers"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    desk.line(&format!("register list {node}")).expect(2, &["waits for peers"]);
}

/// The owner's node, and the command that replaces its key.
struct Rotation<'a> {
    desk: &'a Desk,
    client: Client,
    own: Client,
    config: String,
    command: String,
}

impl<'a> Rotation<'a> {
    fn new(desk: &'a Desk) -> Self {
        let nodes = Profile::read(&desk.path("sandbox")).unwrap().nodes;
        let config = config_of(OWNER);
        let own =
            Client::new([nodes.iter().find(|node| config_port(desk, &config) == port_of(node)).unwrap()]).unwrap();
        let command = format!("node rotate --config {config} --as {OWNER}/administrator");
        let client = Client::new(nodes.clone()).unwrap();
        desk.line("register create buoy --field buoy:string --field laid:string --as companies-house/administrator")
            .expect(0, &[]);
        Self { desk, client, own, config, command }
    }

    /// The public key in a file of the owner, as 64 digits.
    fn key(&self, file: &str) -> String {
        let text = fs::read_to_string(self.desk.path(&format!("sandbox/{OWNER}/{file}.pub"))).unwrap();
        text.trim().strip_prefix("ed25519:").unwrap().to_owned()
    }

    /// The others vote for the key, and it is decided when it votes.
    fn decide(&self, key: &str) {
        let id = format!("node-key-{}", &key[..8]);
        for organisation in OTHERS {
            self.desk.line(&format!("proposal vote {id} yes --as {organisation}/administrator")).expect(0, &[]);
        }
        self.desk.line(&format!("proposal show {id} --wait")).expect(0, &["is effective"]);
        self.desk.line(&self.command).expect(0, &["votes from block"]);
    }

    /// Asks for blocks until the key has proposed one, which it voted for.
    fn wait_for(&self, key: &str) {
        let begun = Instant::now();
        let proposed = |height| self.client.block(height).unwrap().is_some_and(|block| block.value.leader == key);
        let mut seen = self.client.validators().unwrap().value.later.from_height;
        loop {
            let tip = self.client.status().unwrap().height;
            if (seen..=tip).any(proposed) && self.votes() {
                return;
            }
            seen = seen.max(tip);
            let line = format!("register append buoy {key}-{tip} laid=2026-11 --as companies-house/registrar");
            self.desk.line(&line).expect(0, &[]);
            assert!(begun.elapsed() < PATIENCE, "the new key proposed no block up to {tip}");
        }
    }

    fn votes(&self) -> bool {
        self.own.status().is_ok_and(|status| status.voting && status.ready && status.validator)
    }
}

#[test]
fn a_node_goes_on_with_its_next_key() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let sandbox = Sandbox::start(&desk, &["--base-port", &free_base_port().to_string(), "--epoch-blocks", "20"]);
    let rotation = Rotation::new(&desk);
    let (config, rotate) = (&rotation.config, &rotation.command);
    let process = sandbox.node(OWNER).unwrap();
    let old = rotation.client.validators().unwrap().value.current;
    let old = old.validators.iter().find(|validator| validator.organisation == OWNER).unwrap().key.clone();

    desk.line(&format!("{rotate} --address nowhere")).expect(2, &["--address `nowhere`"]);
    assert!(!fs::read_to_string(desk.path(config)).unwrap().contains("next_key"), "nothing was written");
    desk.line(rotate).expect(0, &["is proposed in the place of", "3 more for it needed"]);
    let key = rotation.key("next.pem");
    assert!(fs::read_to_string(desk.path(config)).unwrap().contains("next_key = \"next.pem\""));
    desk.line(rotate).expect(0, &["is open", "3 more for it needed"]);
    desk.line(&format!("{rotate} --new another.pem")).expect(2, &["names `sandbox", "as next_key already"]);
    rotation.decide(&key);
    rotation.wait_for(&key);
    // Who had their keys replaced too must find each other: the ledger says where.
    let validators = rotation.client.validators().unwrap().value.current.validators;
    let address = validators.iter().find(|validator| validator.key == key).unwrap().address.clone();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert_eq!(sandbox.node(OWNER), Some(process), "the same process goes on with the new key");

    // Started again before the command has finished, it begins with the key that it went on with.
    assert!(sandbox.stop().success());
    let sandbox = Sandbox::start(&desk, &[]);
    let log = fs::read_to_string(desk.path(&format!("sandbox/{OWNER}/node.log"))).unwrap();
    assert_eq!(log.matches("`next_key` votes from now on").count(), 1, "{log}");
    assert!(rotation.votes());
    desk.line(rotate).expect(0, &["is reached by the new key", "names it as key: destroy the old one"]);
    let text = fs::read_to_string(desk.path(config)).unwrap();
    assert!(text.contains("key = \"next.pem\"") && !text.contains("next_key"), "{text}");
    desk.line(rotate).expect(2, &["`sandbox/department-of-health/next.pem` is there already"]);

    // Started again it votes with the new key; the old one is in no set.
    assert!(sandbox.stop().success());
    let sandbox = Sandbox::start(&desk, &[]);
    let validators = rotation.client.validators().unwrap().value;
    assert!(validators.current.contains(&key) && !validators.current.contains(&old));
    assert!(rotation.votes());
    assert!(sandbox.stop().success());
}

/// The name of a file may come to hold another key: what is marked beside it is of the old one.
#[test]
fn a_key_is_replaced_under_the_name_of_one_before() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let sandbox = Sandbox::start(&desk, &["--base-port", &free_base_port().to_string(), "--epoch-blocks", "20"]);
    let rotation = Rotation::new(&desk);
    // A follower's place, say, whose key was destroyed; the mark beside it stays.
    let own = |file: &str| desk.path(&format!("sandbox/{OWNER}/{file}"));
    let marks = || {
        let files = fs::read_dir(own("")).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|extension| extension == "voting")).count()
    };
    assert_eq!(marks(), 1);
    fs::rename(own("validator.pem"), own("first.pem")).unwrap();
    let named = fs::read_to_string(own("node.toml")).unwrap().replace("\"validator.pem\"", "\"first.pem\"");
    fs::write(own("node.toml"), named).unwrap();

    let again = format!("{} --new sandbox/{OWNER}/validator.pem", rotation.command);
    desk.line(&again).expect(0, &["is proposed in the place of"]);
    // Nobody has voted yet: a start is with the present key.
    assert!(sandbox.stop().success());
    let sandbox = Sandbox::start(&desk, &[]);
    assert!(rotation.votes(), "{:?}", rotation.own.status());
    let key = rotation.key("validator.pem");
    rotation.decide(&key);
    rotation.wait_for(&key);
    desk.line(&rotation.command).expect(0, &["names it as key: destroy the old one"]);
    fs::remove_file(own("first.pem")).unwrap();
    assert!(sandbox.stop().success());
    let sandbox = Sandbox::start(&desk, &[]);
    assert!(rotation.votes());
    assert_eq!(marks(), 3, "one for each key and name");

    // The others' configurations name a key that nobody has.
    let other = format!("node peers --config {}", config_of(OTHERS[0]));
    desk.line(&other).expect(0, &["- ", &format!("+ {key} at 127.0.0.1:"), "names 3 peers: start the node again"]);
    desk.line(&other).expect(0, &["names the validators as they are"]);
    let itself = format!("{other} --node http://127.0.0.1:{}", config_port(&desk, &config_of(OTHERS[0])));
    desk.line(&itself).expect(2, &["only this node itself is named"]);
    assert!(sandbox.stop().success());
}

fn config_of(organisation: &str) -> String {
    format!("sandbox/{organisation}/node.toml")
}

fn port_of(node: &str) -> String {
    node.rsplit(':').next().unwrap().to_owned()
}

fn config_port(desk: &Desk, config: &str) -> String {
    let text = fs::read_to_string(desk.path(config)).unwrap();
    let line = text.lines().find(|line| line.starts_with("http = ")).unwrap();
    port_of(line.trim_end_matches('"'))
}

#[test]
fn an_older_copy_of_the_data_is_followed_from_and_nothing_is_dumped() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    let sandbox = Sandbox::start(&desk, &["--base-port", &free_base_port().to_string(), "--epoch-blocks", "600"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", sandbox.node(OWNER).unwrap())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "1", "1"], "{core}");
    desk.line("register create tide --field tide --as companies-house/administrator").expect(0, &[]);
    assert!(sandbox.stop().success());

    // What a backup has, that was made while the node was stopped; then it votes on, in the same epoch.
    let (data, copy) = (format!("sandbox/{OWNER}/data"), place.path().join("copy"));
    let put =
        |from: &Path, to: &Path| assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    put(&desk.path(&data), &copy);
    let sandbox = Sandbox::start(&desk, &[]);
    for key in 0..5 {
        desk.line(&format!("register append tide t-{key} --as companies-house/registrar")).expect(0, &[]);
    }
    assert!(sandbox.stop().success());
    fs::remove_dir_all(desk.path(&data)).unwrap();
    put(&copy, &desk.path(&data));

    let sandbox = Sandbox::start(&desk, &[]);
    let process = sandbox.node(OWNER);
    let own = Client::new([&format!("http://127.0.0.1:{}", config_port(&desk, &config_of(OWNER)))]).unwrap();
    let begun = Instant::now();
    desk.line("register append tide t-5 --as companies-house/registrar").expect(0, &[]);
    while !own.record("tide", "t-5").is_ok_and(|record| record.is_some()) {
        assert!(begun.elapsed() < PATIENCE, "it does not follow");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(sandbox.node(OWNER), process, "it did not die of the votes in the older copy");
    let log = fs::read_to_string(desk.path(&format!("sandbox/{OWNER}/node.log"))).unwrap();
    assert!(log.contains("it casts no vote up to this epoch"), "{log}");
    // And it does not say that it votes.
    desk.line("status").expect(1, &["casts no vote in epoch 0", "it votes again by itself from epoch 1 on"]);
    let status = own.status().unwrap();
    assert!(status.validator && !status.voting && status.ready, "{status:?}");
    assert!(sandbox.stop().success());
}
