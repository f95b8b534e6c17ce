//! What signs does so without a network, and says of nothing that it is done which is not: the real binary in a folder with keys and a
//! trust anchor, and no node anywhere.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::{fs, path::Path, process::Command};
use tallystick_tests::absent::skipped;
use tallystick_tests::sandbox::{Answer, Desk};

const ANCHOR: &str = "--network tests/data/receipts/network.json";
const SIGNS: &str = "--as companies-house/administrator --key admin.pem --passphrase-file secret";
/// Debian's place for it.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A desk with the administrator's key, `admin.pem`.
fn desk(directory: &Path) -> Desk {
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), directory);
    fs::write(desk.path("secret"), "seven words that nobody else would choose\n").unwrap();
    desk.line("key new admin.pem --passphrase-file secret").expect(0, &["admin.pem.pub"]);
    desk
}

/// Runs a command that signs as the administrator.
fn signs(desk: &Desk, command: &str) -> Answer {
    desk.line(&format!("{command} {SIGNS} {ANCHOR}"))
}

#[test]
fn an_administrator_signs_and_co_signs_without_a_node() {
    let place = tempfile::tempdir().unwrap();
    let desk = desk(place.path());
    desk.line("key new deputy.pem --passphrase-file secret").expect(0, &[]);
    let deputy = fs::read_to_string(desk.path("deputy.pem.pub")).unwrap();
    let with = format!("--cosigner companies-house/deputy={} --pass-on leave.tx", deputy.trim());
    let suspend = format!("principal suspend companies-house/clerk --reason \"On leave\" {with}");
    let passed_on = signs(&desk, &suspend).expect(0, &["wrote leave.tx", "companies-house/deputy"]);
    assert!(!passed_on.text().contains("is suspended"), "{}", passed_on.text());
    desk.line(&format!("{suspend} {SIGNS}")).expect(2, &["no network is named", "--network network.json"]);
    let sign = "transaction sign leave.tx --as companies-house/deputy --key deputy.pem --passphrase-file secret";
    desk.line(&format!("{sign} {ANCHOR}")).expect(0, &["asks", "all have signed"]);
    desk.line("transaction read leave.tx").expect(0, &["co-signed  companies-house/deputy"]);
    let read = desk.line("transaction read leave.tx --json").expect(0, &[]);
    let read: serde_json::Value = serde_json::from_str(&read.stdout).unwrap();
    assert_eq!(read["principal"], "companies-house/administrator");
    assert_eq!(read["cosigners"][0]["signed"], true);
    let again = suspend.replace("leave.tx", "again.tx");
    let again = signs(&desk, &format!("{again} --json")).expect(0, &[]);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["file"], &again["cosigners"][0]["signed"]), (&"again.tx".into(), &false.into()));
    assert!(read["partition"].is_null(), "{read}");
    desk.line("transaction submit leave.tx").expect(2, &["no node is named"]);
    let append = format!("register phase pupil live {}", with.replace("leave.tx", "private.tx"));
    signs(&desk, &format!("{append} --partition school-health")).expect(0, &["wrote private.tx"]);
    desk.line("transaction read private.tx").expect(0, &["partition  school-health, whose members alone see it"]);
    let read = desk.line("transaction read private.tx --json").expect(0, &[]);
    let read: serde_json::Value = serde_json::from_str(&read.stdout).unwrap();
    assert_eq!(read["partition"], "school-health");
    signs(&desk, "principal suspend companies-house/clerk --reason x").expect(2, &["no node is named"]);
}

#[test]
fn what_is_passed_on_is_not_said_to_be_done() {
    let place = tempfile::tempdir().unwrap();
    let desk = desk(place.path());
    let certificates = "tests/data/certificates";
    for command in [
        &format!("ca retire {certificates}/root.pem"),
        &format!("ca revoke {certificates}/revoked.crl {certificates}/issuing.pem --authority {certificates}/root.pem"),
        &format!("ca admit {certificates}/root.pem --proposal trust"),
        "proposal vote trust yes",
        "proposal object trust --reason \"Not read yet\"",
        "register phase harbour live",
        "mandate revoke companies-house/administrator/filing",
    ] {
        let answer = signs(&desk, &format!("{command} --pass-on it.tx")).expect(0, &[]);
        let lines: Vec<&str> = answer.stdout.lines().collect();
        let is_all =
            matches!(lines.as_slice(), ["wrote it.tx", next] if next.starts_with("all have signed: hand it in by "));
        assert!(is_all, "{command} says more than what is to be done:\n{}", answer.text());
    }
    signs(&desk, &format!("ca admit {certificates}/root.pem --pass-on it.tx")).expect(2, &["--proposal ID"]);
}

#[test]
fn a_word_misspelt_makes_no_key() {
    let place = tempfile::tempdir().unwrap();
    let desk = desk(place.path());
    desk.line("key new next.pem --passphrase-file secret").expect(0, &[]);
    let next = fs::read_to_string(desk.path("next.pem.pub")).unwrap();
    let next = next.trim();
    let rotate = |rest: &str| signs(&desk, &format!("key rotate --pass-on it.tx --new-passphrase-file secret {rest}"));
    for (rest, code, said) in [
        ("--new nxt.pem", 2, "no file `nxt.pem`: check its name, or add --make"),
        ("--new next.pem.pbu", 2, "no file `next.pem.pbu`"),
        ("--new nxt.pem.pub", 2, "no file `nxt.pem.pub`"),
        ("--new nxt.pem.pub --make", 2, "--make makes a private one"),
        ("--new ed25519:6f1c --make", 2, "--make makes a private one"),
        ("--new ed25519:6f1c", 2, "ed25519:6f1c"),
        ("--new next.pem --make", 2, "leave --make out"),
        ("companies-house/clerk --old admin.pem.pub --new other.pem", 2, "no file `other.pem`: check its name"),
        ("companies-house/clerk --old admin.pem.pub --new other.pem --make", 2, "tally key new"),
        ("--new next.pem", 0, "wrote it.tx"),
        ("--new next.pem.pub", 0, "wrote it.tx"),
        (&format!("--new {next}"), 0, "wrote it.tx"),
        (&format!("companies-house/clerk --old admin.pem.pub --new {next}"), 0, "wrote it.tx"),
        ("--new third.pem --make", 0, "third.pem.pub"),
    ] {
        rotate(rest).expect(code, &[said]);
    }
    let mut made: Vec<_> = fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    made.sort();
    let files = ["admin.pem", "admin.pem.pub", "it.tx", "next.pem", "next.pem.pub", "secret", "tests"];
    assert_eq!(made, [&files[..], &["third.pem", "third.pem.pub"]].concat());
}

#[test]
fn what_opens_the_signers_key_is_not_tried_on_anothers_token() {
    if Command::new("softhsm2-util").arg("--version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "there is no `softhsm2-util`, and where everything is checked it must be"
        );
        skipped("there is no `softhsm2-util`: install the package `softhsm2`");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let desk = desk(place.path());
    fs::write(desk.path("pin"), "12345678\n").unwrap();
    fs::write(desk.path("softhsm2.conf"), "directories.tokendir = tokens\n").unwrap();
    fs::create_dir(desk.path("tokens")).unwrap();
    let script = format!(
        "export SOFTHSM2_CONF=softhsm2.conf TALLY_PASSPHRASE='seven words that nobody else would choose'
        softhsm2-util --init-token --free --label registry --so-pin 87654321 --pin 12345678
        \"$TALLY\" key new --pkcs11 'pkcs11:token=registry;object=deputy?module-path={MODULE}&pin-source=file:pin'
        for key in 'deputy?module-path={MODULE}' 'deputy?module-path={MODULE}&pin-source=file:pin'; do
            \"$TALLY\" principal suspend companies-house/clerk --reason x {SIGNS} {ANCHOR} --pass-on it.tx \\
                --cosigner \"companies-house/deputy=pkcs11:token=registry;object=$key\" < /dev/null || echo \"exit $?\"
        done
        \"$TALLY\" key rotate {SIGNS} {ANCHOR} --pass-on it.tx < /dev/null \\
            --new 'pkcs11:token=registry;object=deputy?module-path={MODULE}' || echo \"exit $?\""
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("exec 2>&1; {script}")]).env("TALLY", env!("CARGO_BIN_EXE_tally"));
    let answer: Answer = shell.current_dir(place.path()).output().unwrap().into();
    let asked = "PIN of token registry: there is no terminal to ask on";
    let said = &answer.stdout;
    assert_eq!(said.matches(asked).count(), 2, "the PIN is asked for:\n{said}");
    assert_eq!(said.matches("exit 2").count(), 2, "{said}");
    assert_eq!(said.matches("all have signed").count(), 1, "with its own PIN the token signs:\n{said}");
    assert!(!said.contains("wrong PIN"), "{said}");
}
