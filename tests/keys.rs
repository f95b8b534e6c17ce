//! The guide on keys, with the real binary and a real token, SoftHSM: every command in it is run, and a node votes with a key
//! that no process ever held.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{fs, path::Path, process::Command};
use tallystick_tests::{
    markdown::code_blocks,
    workspace::{read, root},
};

#[test]
fn the_guide_on_keys_is_true() {
    if Command::new("softhsm2-util").arg("--version").output().is_err() {
        println!("SKIPPED: there is no `softhsm2-util`: install the package `softhsm2`");
        return;
    }
    let guide = read(&root().join("docs/guides/keys.md")).unwrap();
    let commands: Vec<String> = code_blocks(&guide, "sh").into_iter().map(|block| block.text).collect();
    assert!(commands.len() > 4, "the guide shows commands");
    let place = tempfile::tempdir().unwrap();
    let tally = Path::new(env!("CARGO_BIN_EXE_tally")).parent().unwrap();
    let path = format!("{}:{}", tally.display(), std::env::var("PATH").unwrap());
    // Whatever fails, the node ends with the script.
    let ends = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT";
    let script = format!("set -euxo pipefail\n{ends}\n{}", commands.join("\n"));
    let run = Command::new("bash").args(["-c", &script]).current_dir(place.path()).env("PATH", path).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let log = fs::read_to_string(place.path().join("node.log")).unwrap_or_default();
    let (out, err) = (said(&run.stdout), said(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}\n{log}");
    assert!(!place.path().join("validator.pem").exists(), "the node's key is in no file");
    assert!(log.contains("voting=true"), "{log}");
    assert!(out.contains("office/administrator"), "{out}");
    for secret in ["12345678", "seven words"] {
        assert!(!out.contains(secret) && !log.contains(secret), "a secret was said");
    }
}
