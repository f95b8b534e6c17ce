//! What signs does so without a network, and says of nothing that it is done which is not: the real binary in a folder with keys and a
//! trust anchor, and no node anywhere.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};
use tallystick_tests::sandbox::{Answer, Desk};

const ANCHOR: &str = "--network tests/data/receipts/network.json";
const SIGNS: &str = "--as companies-house/administrator --key admin.pem --passphrase-file secret";

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
    desk.line("transaction submit leave.tx").expect(2, &["no node is named"]);
    signs(&desk, "principal suspend companies-house/clerk --reason x").expect(2, &["no node is named"]);
}

#[test]
fn what_is_passed_on_is_not_said_to_be_done() {
    let place = tempfile::tempdir().unwrap();
    let desk = desk(place.path());
    let certificates = "tests/data/certificates";
    for (command, done) in [
        (format!("ca retire {certificates}/root.pem"), "is retired"),
        (
            format!(
                "ca revoke {certificates}/revoked.crl {certificates}/issuing.pem --authority {certificates}/root.pem"
            ),
            "` revoked",
        ),
        (format!("ca admit {certificates}/root.pem --proposal trust"), "is proposed"),
        ("proposal vote trust yes".to_owned(), "proposal trust is"),
        ("register phase harbour live".to_owned(), "register harbour is"),
        ("mandate revoke companies-house/administrator/filing".to_owned(), "has ended"),
    ] {
        let answer = signs(&desk, &format!("{command} --pass-on it.tx")).expect(0, &["wrote it.tx"]);
        assert!(!answer.text().contains(done), "{command} is not done:\n{}", answer.text());
    }
    signs(&desk, &format!("ca admit {certificates}/root.pem --pass-on it.tx")).expect(2, &["--proposal ID"]);
}
