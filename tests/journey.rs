//! The first hour of somebody new, with the real `tally` binary: a network of four organisations, a register, a record, a
//! receipt that outlives the network, and everything that goes wrong on the way.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tallystick_tests::absent::{data, skipped};
use tallystick_tests::sandbox::{Answer, Desk, Sandbox, copy, free_base_port, runs, words};
use tallystick_tests::workspace::{files, read};

const LIGHTHOUSE: &str = "tests/data/lighthouse.rsf";
/// The root that the sample asserts, computed when it was made by a program that shares nothing with this one.
const LIGHTHOUSE_ROOT: &str = "a06c1a75ed72957c3a3c396c9810718e4b6b9f4ba1c76b7ed34edd155cdc4051";
/// The organisation whose node dies on the way.
const VICTIM: &str = "companies-house";
/// How long the network may take to be whole again.
const HEALED_WITHIN: Duration = Duration::from_secs(120);

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tally"))
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", answer.text()))
}

#[test]
fn the_first_hour() {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(binary(), place.path());
    let port = free_base_port();
    let mut sandbox = Sandbox::start(&desk, &["--base-port", &port.to_string()]);
    for node in 0..4 {
        let address = format!("http://127.0.0.1:{}", port + node);
        assert!(sandbox.heard().iter().any(|line| line.contains(&address)), "{address} is told");
    }
    assert_eq!(healthy_nodes(&desk), 4);

    things_to_try(&desk, &sandbox);
    founded(&desk);
    registers(&desk);
    refusals(&desk);
    protected(&desk);
    policies(&desk);
    keys(&desk);
    certificates(&desk);
    surroundings(&desk, port);
    let finished = receipts(&desk);
    a_node_dies(&desk, &mut sandbox);
    let size = log_size(&desk);

    let node = sandbox.node(VICTIM).unwrap();
    assert!(sandbox.stop().success());
    assert!(!runs(node), "no node outlives its supervisor");
    offline(&desk, &finished);
    audit(&desk);
    resume(&desk, port, size);
}

/// Exactly what the sandbox prints works when it is pasted.
fn things_to_try(desk: &Desk, sandbox: &Sandbox) {
    let commands = sandbox.things_to_try();
    assert_eq!(commands.len(), 5, "{commands:?}");
    let answers: Vec<_> = commands.iter().map(|line| desk.line(line.trim_start_matches("tally "))).collect();
    let said: Vec<_> = answers.into_iter().map(|answer| answer.expect(0, &[]).text()).collect();
    assert!(said[0].contains("Inspectors of every organisation"), "the policy is shown:\n{}", said[0]);
    assert!(said[2].contains("companies-house/registrar"), "who acted for another is shown:\n{}", said[2]);
    assert!(said[..3].iter().all(|said| said.contains("food-business")), "{said:?}");
    assert!(said[3].contains("Mould under the wrapping"), "what is shared is read:\n{}", said[3]);
    assert!(said[4].contains("erasure forget-p-1 is complete"), "who destroyed is shown:\n{}", said[4]);
    for member in ["food-standards-agency", "companies-house"] {
        assert!(said[4].contains(&format!("destroyed  {member}/vault: 1 value at")), "{}", said[4]);
    }
}

/// A sandbox begins with authorities, roles, policies and a mandate, and they hold.
fn founded(desk: &Desk) {
    assert!(!desk.path("sandbox/unfounded").exists(), "all of it is there");
    for organisation in ["food-standards-agency", "companies-house", "department-of-health", "hm-revenue-and-customs"] {
        let (ca, inspector) = (format!("sandbox/{organisation}/ca"), format!("{organisation}/inspector"));
        desk.line(&format!("ca check {ca}/inspector.pem --authority {ca}/root.pem")).expect(0, &["holds:"]);
        desk.line(&format!("principal show {inspector}")).expect(0, &["(person, inspector)", "high", "by certificate"]);
        desk.line(&format!("register append food-business {organisation} name=Visited --as {inspector}"))
            .expect(0, &[]);
    }
    desk.line("policy list").expect(0, &["inspectors-certified", "administrators-manage"]);
    desk.line("register append food-business FB-99 name=Never --as companies-house/registrar")
        .expect(1, &["refused: not-permitted"]);
    // A key that nothing certifies is not enough for an inspector.
    desk.line("key new bare.pem --passphrase-file sandbox/passphrase").expect(0, &[]);
    desk.line("principal enrol novice --role inspector --public bare.pem.pub").expect(0, &[]);
    desk.line(
        "register append food-business FB-99 name=Never --as food-standards-agency/novice --key bare.pem --passphrase-file sandbox/passphrase",
    )
    .expect(1, &["refused: not-permitted", "inspectors-certified"]);
}

/// A register comes in whole, is read, and goes out as it came.
fn registers(desk: &Desk) {
    let imported = desk.line(&format!("register import {LIGHTHOUSE}")).expect(0, &["lighthouse", "7"]);
    assert!(imported.text().contains(LIGHTHOUSE_ROOT), "the root is told:\n{}", imported.text());
    desk.line("register list").expect(0, &["lighthouse"]);
    desk.line("register show lighthouse").expect(0, &["lighthouse", "food-standards-agency", "focal-height"]);
    desk.line("record lighthouse L-0002").expect(0, &["Harbour Mole", "entry      4", "Iso WR 6s"]);
    desk.line("register export lighthouse -o out.rsf").expect(0, &[]);
    let (came, went) = (read(&desk.path(LIGHTHOUSE)).unwrap(), read(&desk.path("out.rsf")).unwrap());
    assert_eq!(went, came, "a register goes out as it came");
    desk.line(&format!("register import {LIGHTHOUSE}")).expect(0, &["lighthouse"]);
    assert_eq!(read(&desk.path("out.rsf")).unwrap(), came, "importing again changes nothing");

    desk.line("register create buoy --text 'Buoys' --field buoy:string --field light:curie:1:lighthouse --field laid:datetime")
        .expect(0, &["buoy"]);
    desk.line("register append buoy B-1 light=lighthouse:L-0001 laid=2026-05").expect(0, &["entry 1"]);
    desk.line("register append buoy B-1 light=lighthouse:L-0002 laid=2026-05").expect(0, &["entry 2"]);
    desk.line("record buoy B-1 --entries").expect(0, &["entry      1 of", "entry      2 of"]);
    desk.line("record buoy B-1").expect(0, &["lighthouse:L-0002"]);
}

/// Every "no" names the thing, has exit code 1, and says what to do.
fn refusals(desk: &Desk) {
    desk.line("register append lighthouse L-0009 name=Stray --as companies-house/registrar")
        .expect(1, &["refused", "not-permitted", "have somebody sign it who may"]);
    desk.line("register append buoy B-2 light=lighthouse:L-9999 laid=yesterday colour=red")
        .expect(1, &["refused", "schema", "`light`", "`laid`", "`colour`"]);
    desk.line("register create buoy --field buoy:string").expect(1, &["register-exists"]);
    desk.line("record lighthouse L-9999").expect(1, &["L-9999"]);
    desk.line("record nowhere X").expect(1, &["nowhere", "tally register list"]);
    desk.line(&format!("transaction {}", "0".repeat(64))).expect(1, &["no transaction"]);

    let text = read(&desk.path(LIGHTHOUSE)).unwrap();
    let lines = text.lines().count();
    let wrong = text.replace(LIGHTHOUSE_ROOT, &"0".repeat(64));
    for (name, bad, said) in [
        ("wrong-root.rsf", wrong, format!("line {lines}")),
        ("torn.rsf", text[..text.len() / 2].to_owned(), "line".to_owned()),
        ("not-canonical.rsf", text.replacen("{\"name\":", "{ \"name\":", 1), "line 2, column".to_owned()),
        ("other-fields.rsf", text.replacen("\tuser\t", "\tuser\t\t", 1), "line".to_owned()),
    ] {
        fs::write(desk.path(name), bad).unwrap();
        let answer = desk.line(&format!("register import {name}"));
        assert!(matches!(answer.code, Some(1 | 2)), "{name} is refused:\n{}", answer.text());
        assert!(answer.text().contains(name) && answer.text().contains(&said), "{name}:\n{}", answer.text());
    }
    desk.line("register import absent.rsf").expect(2, &["absent.rsf"]);
}

/// Personal data does not get in: not past `tally`, not past a node, and no refusal shows it.
fn protected(desk: &Desk) {
    const SEALED: &str =
        "sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e";
    desk.line("register create clinic --field clinic --field note --field contact --personal contact")
        .expect(0, &["register clinic is there"]);
    desk.line("register show clinic").expect(0, &["personal:clinic, sealed"]);
    let sealed = desk.line("register append clinic C-0 contact='Jane Doe'").expect(0, &["entry 1"]);
    let shown = desk.line("record clinic C-0").expect(0, &["sealed:pedersen-ristretto255:"]);
    let warned = desk.line("register append clinic C-1 note='ask jane@example.org'");
    let warned = warned.expect(0, &["warning: entry C-1: field `note`", "an e-mail address", "entry 2"]);
    desk.line(&format!("register append clinic C-2 contact={SEALED}")).expect(0, &["entry 3"]);
    desk.line("record clinic C-2").expect(0, &[SEALED]);

    // What was signed before its field was protected comes to the node without `tally` looking at it again.
    desk.line("register create surgery --field surgery --field note").expect(0, &["register surgery is there"]);
    desk.line(
        "register append surgery S-1 note='Jane Doe' --cosigner companies-house/registrar --pass-on note.transaction",
    )
    .expect(0, &[]);
    let field = r#"{"cardinality":"1","datatype":"string","field":"note","protection":"personal:surgery"}"#;
    let hash = tallystick_ledger::item::item_hash(field);
    let rsf = format!("add-item\t{field}\nappend-entry\tsystem\tfield:note\t2026-01-01T00:00:00Z\tsha-256:{hash}\n");
    fs::write(desk.path("protect.rsf"), rsf).unwrap();
    desk.line("register import protect.rsf --name surgery").expect(0, &["surgery"]);
    desk.line("transaction sign note.transaction --as companies-house/registrar").expect(0, &[]);
    let size = log_size(desk);
    let rejected =
        desk.line("transaction submit note.transaction").expect(1, &["value-unsealed", "field `note`: unsealed"]);
    assert_eq!(log_size(desk), size, "nothing of it was ordered");
    assert!([sealed, shown, warned, rejected].iter().all(|answer| !answer.text().to_lowercase().contains("jane")));
}

/// The custodian lets another organisation write to its register for a while, and everybody can ask why.
fn policies(desk: &Desk) {
    let policy = "// Companies House writes too.\npermit (\n  principal in Organisation::\"companies-house\",\n  \
                  action == Action::\"entry-append\",\n  resource == Register::\"buoy\"\n);\n";
    fs::write(desk.path("partners.cedar"), policy).unwrap();
    fs::write(desk.path("stray.cedar"), policy.replace("buoy", "lighthouse")).unwrap();
    let ask = "policy explain --principal companies-house/registrar --action entry-append --resource register:buoy";
    let append = "register append buoy B-2 laid=2026 --as companies-house/registrar";
    desk.line("policy check partners.cedar --id buoy/partners").expect(0, &["holds"]);
    desk.line("policy put buoy/partners stray.cedar").expect(1, &["stray.cedar", "Register::\"buoy\""]);
    desk.line("policy put custodian-writes partners.cedar").expect(1, &["tally proposal draft FILE --kind policies"]);
    desk.line("policy put buoy/partners partners.cedar --as companies-house/administrator")
        .expect(1, &["not-permitted"]);
    desk.line(ask).expect(1, &["not permitted: no policy permits it"]);
    desk.line("policy put buoy/partners partners.cedar").expect(0, &["buoy/partners is in force"]);
    desk.line("policy list --register buoy").expect(0, &["buoy/partners", "Companies House writes too."]);
    desk.line(ask).expect(0, &["permitted", "buoy/partners"]);
    desk.line(append).expect(0, &["entry 3"]);
    desk.line("policy remove buoy/partners").expect(0, &["no longer in force"]);
    desk.line(append).expect(1, &["not-permitted"]);
    desk.line("policy remove buoy/partners").expect(1, &["policy-unknown"]);
    desk.line("policy show buoy/partners").expect(0, &["Companies House writes too.", "not in force any more"]);
    desk.line("policy show buoy/partners --as-of 4").expect(0, &["put by change 4"]);
    desk.line("policy show buoy/partners --as-of 3").expect(1, &["was put until then"]);
    desk.line(&format!("{ask} --mandate companies-house/registrar/none")).expect(1, &["mandate-unknown"]);
}

/// A clerk is enrolled with a key of its own, writes, rotates the key, and the old one is refused.
fn keys(desk: &Desk) {
    fs::write(desk.path("secret"), "correct horse\n").unwrap();
    desk.line("key new clerk.pem --passphrase-file secret").expect(0, &["clerk.pem", "ed25519:"]);
    desk.line("key new clerk.pem --passphrase-file secret").expect(2, &["clerk.pem"]);
    desk.line("principal enrol clerk --role registrar --public clerk.pem.pub").expect(0, &[]);
    let sign = |key: &str| format!("--as food-standards-agency/clerk --key {key} --passphrase-file secret");
    let append = |number: u8, key: &str| desk.line(&format!("register append buoy B-{number} laid=2026 {}", sign(key)));
    append(5, "clerk.pem").expect(0, &["entry 4"]);
    desk.line("key new spare.pem --algorithm p256 --passphrase-file secret").expect(0, &["p256:"]);
    append(6, "spare.pem").expect(1, &["key-unknown"]);
    desk.line(
        "key rotate food-standards-agency/clerk --old clerk.pem.pub --new spare.pem.pub --as food-standards-agency/registrar",
    )
    .expect(1, &["not-permitted"]);
    desk.line(&format!("key rotate --new spare.pem --new-passphrase-file secret {}", sign("clerk.pem")))
        .expect(0, &["signs with"]);
    // Once it is on record; then it is turned away.
    append(6, "clerk.pem").expect(1, &["was refused", "refused: key-retired"]);
    append(6, "clerk.pem").expect(1, &["key-retired", "sign with a key in use"]);
    let tried = desk.line("audit query --principal food-standards-agency/clerk").expect(0, &["refused: key-retired"]);
    assert_eq!(tried.text().matches("key-retired").count(), 1, "{}", tried.text());
    assert_eq!(tried.text().matches("key-unknown").count(), 0, "anybody can make those: {}", tried.text());
    append(6, "spare.pem").expect(0, &["entry 5"]);
    fs::write(desk.path("wrong"), "battery staple\n").unwrap();
    desk.line(
        "register append buoy B-7 laid=2026 --as food-standards-agency/clerk --key spare.pem --passphrase-file wrong",
    )
    .expect(2, &["spare.pem", "passphrase"]);
}

/// The clerk's key gets a certificate under an authority of its organisation, made by OpenSSL as authorities make them.
fn certificates(desk: &Desk) {
    if Command::new("openssl").arg("version").output().is_err() {
        skipped("`openssl` is absent; a part makes certificates with it");
        return;
    }
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(words(line)).current_dir(&desk.directory).output().unwrap();
        assert!(output.status.success(), "openssl {line}:\n{}", String::from_utf8_lossy(&output.stderr));
    };
    let authority =
        "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
    let person = "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid:always\n";
    fs::write(desk.path("authority.ext"), authority).unwrap();
    fs::write(desk.path("person.ext"), person).unwrap();
    openssl("genpkey -algorithm ed25519 -out ca.key");
    openssl("req -new -key ca.key -subj '/O=Food Standards Agency/CN=Root' -out ca.csr");
    openssl("x509 -req -in ca.csr -signkey ca.key -set_serial 1 -days 3650 -extfile authority.ext -out ca.pem");
    openssl("req -new -key spare.pem -passin file:secret -subj '/O=Food Standards Agency/CN=Clerk' -out clerk.csr");
    openssl(
        "x509 -req -in clerk.csr -CA ca.pem -CAkey ca.key -set_serial 2 -days 90 -extfile person.ext -out clerk.crt",
    );

    let certify =
        "key certify food-standards-agency/clerk --public spare.pem.pub --certificate clerk.crt --authority ca.pem";
    desk.line(certify).expect(1, &["authority-unknown", "admit"]);
    desk.line("ca admit clerk.crt").expect(1, &["certificate-invalid"]);
    desk.line("ca admit ca.pem --proposal trust-root").expect(0, &["CN=Root", "is proposed", "3 more for it needed"]);
    for organisation in ["food-standards-agency", "companies-house", "department-of-health"] {
        desk.line(&format!("proposal vote trust-root yes --as {organisation}/administrator"))
            .expect(0, &["trust-root"]);
    }
    desk.line("proposal show trust-root --wait").expect(0, &["is effective", "3 yes"]);
    desk.line("ca admit ca.pem").expect(1, &["authority-exists"]);
    desk.line(certify).expect(0, &["is certified"]);
    desk.line("key show food-standards-agency/clerk").expect(0, &["by certificate"]);
    let itself = "--as food-standards-agency/clerk --key spare.pem --passphrase-file secret";
    desk.line(&format!("key certify --certificate clerk.crt --authority ca.pem {itself}")).expect(0, &["is certified"]);
    desk.line("key certify --certificate clerk.crt --authority ca.pem").expect(1, &["another key"]);
    fs::write(desk.path("ca.conf"), "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n")
        .unwrap();
    fs::write(desk.path("index"), "R\t491231235959Z\t260101000000Z\t02\tunknown\t/CN=Clerk\n").unwrap();
    fs::write(desk.path("number"), "01\n").unwrap();
    openssl("ca -config ca.conf -gencrl -crldays 30 -keyfile ca.key -cert ca.pem -out ca.crl");
    desk.line("ca revoke ca.crl --authority ca.pem").expect(0, &["1 certificate", "revoked"]);
    desk.line("ca revoke ca.crl --authority ca.pem").expect(1, &["revocation-old"]);
    desk.line(certify).expect(1, &["certificate-invalid", "certificate-revoked"]);
    desk.line(&format!("ca retire ca.pem {itself}")).expect(1, &["not-permitted"]);
    desk.line("ca retire ca.pem").expect(0, &["is retired"]);
    desk.line(certify).expect(1, &["authority-retired"]);
    desk.line(&format!("register append buoy B-21 laid=2026 {itself}")).expect(0, &["entry"]);
}

/// What is wrong around a command is named, with the remedy, and has exit code 2.
fn surroundings(desk: &Desk, port: u16) {
    desk.line(&format!("sandbox --dir other --base-port {port}")).expect(2, &[&port.to_string(), "--base-port"]);
    desk.line("sandbox").expect(2, &["running already"]);
    desk.line("node --config nowhere.toml").expect(2, &["nowhere.toml"]);
    desk.line("status --dir nowhere").expect(2, &["nowhere"]);
    desk.line("record lighthouse L-0002 --node http://127.0.0.1:1").expect(2, &["127.0.0.1:1"]);
    let config = read(&desk.path(&format!("sandbox/{VICTIM}/node.toml"))).unwrap();
    fs::write(desk.path("wrong.toml"), config.replace("network.json", "no-network.json")).unwrap();
    desk.line("node --config wrong.toml").expect(2, &["no-network.json"]);
}

/// Receipts of every kind, each with a phrase that it proves.
fn receipts(desk: &Desk) -> Vec<(PathBuf, &'static str)> {
    desk.line("record lighthouse L-0002 --receipt record.receipt").expect(0, &[]);
    desk.line("record lighthouse L-9999 --receipt absent.receipt").expect(1, &[]);
    desk.line("record nowhere X --receipt nowhere.receipt").expect(1, &[]);
    let appended = desk.line("register append buoy B-8 laid=2026-08-09").expect(0, &[]);
    desk.line(&format!("transaction {} --receipt accepted.receipt", transaction_id(&appended)))
        .expect(0, &["accepted"]);
    let refused = desk.line("register append buoy B-9 laid=never").expect(1, &[]);
    desk.line(&format!("transaction {} --receipt refused.receipt", transaction_id(&refused)))
        .expect(1, &["refused: schema"]);

    let proofs = [
        ("record.receipt", "Harbour Mole"),
        ("absent.receipt", "holds no record under the key L-9999"),
        ("accepted.receipt", "accepted"),
        ("refused.receipt", "refused: schema"),
    ];
    let proofs = proofs.map(|(name, phrase)| (desk.path(name), phrase));
    for (path, phrase) in &proofs {
        verify(desk, path).expect(0, &["holds:", phrase, "of 4 validators"]);
        let bytes = fs::metadata(path).unwrap().len();
        assert!(bytes <= 4_096, "{} has {bytes} bytes", path.display());
    }
    proofs.to_vec()
}

fn verify(desk: &Desk, path: &Path) -> Answer {
    desk.tally(&["verify", &path.to_string_lossy(), "--network", "sandbox/network.json"])
}

/// The id in `transaction <id> is final` or `transaction <id> was refused`.
fn transaction_id(answer: &Answer) -> String {
    let text = answer.text();
    let mut words = text.split_whitespace().skip_while(|word| *word != "transaction");
    words.nth(1).unwrap_or_else(|| panic!("no transaction is named in:\n{text}")).to_owned()
}

/// A node is killed; the others go on, and it comes back by itself with all that it missed.
fn a_node_dies(desk: &Desk, sandbox: &mut Sandbox) {
    let begun = Instant::now();
    let dead = sandbox.kill_node(VICTIM);
    desk.line("register append buoy B-10 laid=2026-10").expect(0, &["entry"]);
    let started = format!("started the node of {VICTIM} again");
    sandbox.wait_for(HEALED_WITHIN, |line| line.starts_with(&started));
    while healthy_nodes(desk) < 4 {
        assert!(begun.elapsed() < HEALED_WITHIN, "{}", desk.line("status").text());
        thread::sleep(Duration::from_millis(200));
    }
    assert_ne!(sandbox.node(VICTIM), Some(dead), "another process runs the node");
    println!("a killed node was level again after {:.1} s", begun.elapsed().as_secs_f64());
    let address = status(desk).into_iter().find(|row| row["lag"].as_u64() == Some(0)).unwrap();
    assert!(address["error"].is_null(), "{address}");
}

fn status(desk: &Desk) -> Vec<Value> {
    json(&desk.line("status --json")).as_array().unwrap().clone()
}

/// Nodes that serve and vote, within a block or two of the highest.
fn healthy_nodes(desk: &Desk) -> usize {
    let is = |row: &Value, name: &str| row["ready"] == true || row["status"][name] == true;
    let near = |row: &Value| row["lag"].as_u64().is_some_and(|lag| lag <= 3);
    status(desk).iter().filter(|row| is(row, "ready") && is(row, "voting") && near(row)).count()
}

fn log_size(desk: &Desk) -> u64 {
    let rows = status(desk);
    let sizes = rows.iter().filter_map(|row| row["log_size"].as_u64().or(row["status"]["log_size"].as_u64()));
    sizes.max().expect("a node tells its log's size")
}

/// With the network off, receipts hold; with any byte changed they do not; and commands that need it say so.
fn offline(desk: &Desk, receipts: &[(PathBuf, &'static str)]) {
    desk.line("record lighthouse L-0002").expect(2, &["127.0.0.1"]);
    let forged = desk.path("forged.receipt");
    for (path, phrase) in receipts {
        verify(desk, path).expect(0, &["holds:", phrase]);
        let honest = fs::read(path).unwrap();
        let step = (honest.len() / 24).max(1);
        for at in (0..honest.len()).step_by(step).chain([honest.len() - 1]) {
            let mut bytes = honest.clone();
            bytes[at] ^= 1;
            fs::write(&forged, &bytes).unwrap();
            let answer = verify(desk, &forged);
            assert_eq!(answer.code, Some(1), "byte {at} of {} changed:\n{}", path.display(), answer.text());
            assert!(!answer.text().contains("holds: "), "{}", answer.text());
        }
        fs::write(&forged, &honest[..honest.len() / 2]).unwrap();
        verify(desk, &forged).expect(1, &["forged.receipt"]);
    }
    let genesis = read(&desk.path("sandbox/network.json")).unwrap();
    fs::write(desk.path("other.json"), genesis.replacen("sandbox", "another", 1)).unwrap();
    let (path, _) = &receipts[0];
    desk.tally(&["verify", &path.to_string_lossy(), "--network", "other.json"]).expect(1, &["network"]);
}

/// A node's folder is judged from genesis; with a byte changed it is not believed.
fn audit(desk: &Desk) {
    desk.line(&format!("audit disk sandbox/{VICTIM}/data")).expect(0, &["holds:", "every signature checked"]);
    let data = desk.path("copied");
    copy(&desk.path(&format!("sandbox/{VICTIM}/data")), &data);
    let largest = |path: &PathBuf| fs::metadata(path).map_or(0, |meta| meta.len());
    let mut blobs: Vec<_> = walk(&data).into_iter().filter(|path| holds(path, b"Harbour Mole")).collect();
    blobs.sort_by_key(largest);
    let blob = blobs.last().expect("a file of the node holds the record");
    let mut bytes = fs::read(blob).unwrap();
    let at = bytes.windows(12).position(|window| window == b"Harbour Mole").unwrap();
    bytes[at] ^= 1;
    fs::write(blob, bytes).unwrap();
    let answer = desk.line("audit disk copied --network sandbox/network.json");
    assert!(matches!(answer.code, Some(1 | 2)), "{} was changed:\n{}", blob.display(), answer.text());
    assert!(!answer.text().contains("holds: the whole"), "{}", answer.text());
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn holds(path: &Path, part: &[u8]) -> bool {
    fs::read(path).unwrap().windows(part.len()).any(|window| window == part)
}

/// Started again on the same folder, the network goes on where it was.
fn resume(desk: &Desk, port: u16, size: u64) {
    // As if it had been stopped while it was founded: what was done before is not in the way.
    fs::write(desk.path("sandbox/unfounded"), "").unwrap();
    let sandbox = Sandbox::start(desk, &[]);
    assert!(!desk.path("sandbox/unfounded").exists(), "all of it is there");
    assert!(sandbox.heard().iter().any(|line| line.contains(&format!(":{port}"))), "on the same ports");
    assert!(log_size(desk) >= size, "nothing is lost");
    things_to_try(desk, &sandbox);
    desk.line("record lighthouse L-0002").expect(0, &["Harbour Mole"]);
    desk.line("record buoy B-10").expect(0, &["2026-10"]);
    desk.line("register append buoy B-11 laid=2026-11").expect(0, &["entry"]);
    assert!(sandbox.stop().success());
}

/// Real registers, when they lie beside the checkout: each comes out with the root that GDS published.
#[test]
fn real_registers_reproduce_their_roots() {
    let Some(data) = data("registers") else { return };
    let roots = read(&data.join("roots.json")).unwrap();
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(binary(), place.path());
    let sandbox = Sandbox::start(&desk, &["--base-port", &free_base_port().to_string()]);
    let registers = files(&data, &["rsf"]).unwrap().into_iter().filter(|path| path.parent() == Some(&data));
    let mut arguments = vec!["register".to_owned(), "import".to_owned()];
    arguments.extend(registers.map(|path| path.to_string_lossy().into_owned()));
    let begun = Instant::now();
    let imported = desk.tally(&arguments).expect(0, &[]);
    println!("imported {} registers in {:.1} s", arguments.len() - 2, begun.elapsed().as_secs_f64());
    let roots: Value = serde_json::from_str(&roots).unwrap();
    for (file, expected) in roots.as_object().unwrap() {
        let root = expected["final_root"].as_str().unwrap().trim_start_matches("sha-256:");
        assert!(imported.text().contains(root), "{file}: {root} is not in:\n{}", imported.text());
    }
    desk.line("record country GB").expect(0, &["United Kingdom"]);
    assert!(sandbox.stop().success());
}
