//! What the documents tell a reader to type, typed: every `sh` block of the README, the first hour and the guides, on real networks.
//!
//! The guides share one network, as they do for a reader who goes from one to the next. How a document marks what cannot be run
//! stands in `tallystick_tests::walk`.
//!
//! Cargo builds this as a test of `crates/cli`, which is where the binary is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

use tallystick_tests::{
    markdown::{blocks, code_spans},
    sandbox::{Desk, words},
    walk::Walk,
    workspace::{files, read, root},
};

/// Guides that the shared walk leaves out: each has a test of its own below.
const APART: [&str; 4] = ["keys.md", "audit.md", "recover-a-network.md", "erase-and-prove-it.md"];

fn desk() -> (tempfile::TempDir, Desk) {
    let place = tempfile::tempdir().unwrap();
    let desk = Desk::new(Path::new(env!("CARGO_BIN_EXE_tally")), place.path());
    (place, desk)
}

fn guides() -> Vec<(String, String)> {
    let paths = files(&root().join("docs/guides"), &["md"]).unwrap();
    let named = paths
        .iter()
        .map(|path| (path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), read(path).unwrap()));
    named.collect()
}

fn walk_alone(name: &str) {
    let (_place, desk) = desk();
    let mut walk = Walk::new(&desk);
    walk.through(name);
    walk.stop();
}

#[test]
fn the_readme_is_true() {
    walk_alone("README.md");
}

#[test]
fn the_first_hour_is_true() {
    walk_alone("docs/start.md");
}

#[test]
fn the_page_on_certificates_is_true() {
    walk_alone("docs/reference/certificates.md");
}

#[test]
fn the_guides_are_true() {
    let (_place, desk) = desk();
    let mut walk = Walk::new(&desk);
    let shared = guides().into_iter().map(|(name, _)| name).filter(|name| !APART.iter().any(|one| name.ends_with(one)));
    for name in shared {
        walk.through(&name);
    }
    walk.stop();
}

/// Acts are found, on whatever they are asked by, and everything that was told is proven without the network.
#[test]
fn the_guide_to_audits_is_true() {
    let (_place, desk) = desk();
    let mut walk = Walk::new(&desk);
    let said = walk.through("docs/guides/audit.md");
    let receipts = |folder: &str| fs::read_dir(desk.path(folder)).unwrap().count();
    // The submission, three ballots at least, and the proposal itself.
    assert!(receipts("vote") >= 5 && receipts("evidence") >= 10, "{said}");
    assert!(desk.path("vote/proposal-first-policies.receipt").exists(), "{said}");
    walk.stop();
}

/// What is erased is nowhere on any disk, and an old backup does not bring it back.
#[test]
fn the_guide_to_erasure_is_true() {
    let (_place, desk) = desk();
    let mut walk = Walk::new(&desk);
    let said = walk.through("docs/guides/erase-and-prove-it.md");
    assert!(said.contains("destroyed 1 value"), "{said}");
    walk.stop();
    let holding = |text: &str| {
        let paths = files(&desk.path("sandbox"), &["", "log", "toml"]).unwrap();
        let holds =
            |path: &&std::path::PathBuf| fs::read(path).unwrap().windows(text.len()).any(|w| w == text.as_bytes());
        paths.iter().filter(holds).count()
    };
    assert_eq!(holding("Zebedee"), 0);
    assert!(holding("North Ward Seventeen") >= 4, "the search finds what is there");
}

/// Two of four are lost for good, two thirds of the organisations name others, and the network goes on.
#[test]
fn the_guide_to_recovery_is_true() {
    walk_alone("docs/guides/recover-a-network.md");
}

/// With a real token, SoftHSM: a node votes with a key that no process ever held, and no secret is ever said.
#[test]
fn the_guide_on_keys_is_true() {
    let (_place, desk) = desk();
    let said = Walk::new(&desk).through("docs/guides/keys.md");
    let Ok(log) = fs::read_to_string(desk.path("office/node.log")) else {
        assert!(!said.contains("office/administrator"), "without a token the guide ends early");
        return;
    };
    assert!(!desk.path("office/validator.pem").exists(), "the node's key is in no file");
    assert!(log.contains("voting=true"), "{log}");
    assert!(said.contains("office/administrator"), "{said}");
    for secret in ["12345678", "seven words"] {
        assert!(!said.contains(secret) && !log.contains(secret), "a secret was said");
    }
}

/// Noun and verb of a command of ours: of `tally key new clerk.pem`, `tally key new`.
fn command(line: &str) -> Option<String> {
    let words = words(line);
    let [tally, rest @ ..] = words.as_slice() else { return None };
    let is_name = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    let names: Vec<&str> = rest.iter().take_while(is_name).take(2).map(String::as_str).collect();
    (tally == "tally" && !names.is_empty()).then(|| format!("tally {}", names.join(" ")))
}

/// A command that a guide names is typed by a guide, or by the first hour: in passing it may be named, but somewhere it is shown.
fn only_named(guides: &[(String, String)], first_hour: &str) -> Vec<String> {
    let shown = guides.iter().map(|(_, text)| text.as_str()).chain([first_hour]);
    let scripts = shown.flat_map(blocks).filter(|block| block.language == "sh");
    let run: BTreeSet<String> = scripts
        .filter(|block| !block.marks.starts_with("not run"))
        .flat_map(|block| block.text.lines().filter_map(command).collect::<Vec<_>>())
        .collect();
    let mut complaints = Vec::new();
    for (name, text) in guides {
        for span in code_spans(text) {
            let is_run = |named: &String| run.iter().any(|run| format!("{run} ").starts_with(&format!("{named} ")));
            let named = command(&span.text).filter(|named| !is_run(named));
            complaints.extend(named.map(|named| format!("{name}, line {}: no guide runs `{named}`", span.line)));
        }
        let typed = blocks(text).into_iter().filter(|block| block.language != "sh");
        for block in typed.filter(|block| block.text.lines().any(|line| line.starts_with("tally "))) {
            complaints.push(format!("{name}, line {}: a command stands where it is not run", block.line));
        }
    }
    complaints
}

#[test]
fn every_command_of_the_guides_is_run() {
    let complaints = only_named(&guides(), &read(&root().join("docs/start.md")).unwrap());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_command_that_is_only_named_is_found() {
    let complaints =
        |text: &str| only_named(&[("a.md".to_owned(), text.to_owned())], "```sh\ntally status\n```\n").len();
    assert_eq!(complaints("Say `tally key new X`, `tally status`.\n```sh\ntally key new a.pem\n```\n"), 0);
    assert_eq!(complaints("Say `tally key show X`.\n```sh\ntally key new a.pem\n```\n"), 1);
    assert_eq!(complaints("`tally key new`\n```sh not run: no key\ntally key new a.pem\n```\n"), 1);
    assert_eq!(complaints("```text\ntally key new a.pem\n```\n"), 1);
}

/// Every `tally …` that a document names in passing is a command, or one with such options.
#[test]
fn every_command_in_the_documents_exists() {
    let (_place, desk) = desk();
    let mut seen = 0;
    for path in files(&root(), &["md"]).unwrap() {
        for span in code_spans(&read(&path).unwrap()) {
            let Some(named) = command(&span.text) else { continue };
            // What is no verb is an argument, and help is given all the same.
            let help = desk.line(&format!("{} --help", named.trim_start_matches("tally ")));
            assert_eq!(help.code, Some(0), "{}:{}: `{}`", path.display(), span.line, span.text);
            for option in words(&span.text).iter().filter(|word| word.starts_with("--")) {
                assert!(help.text().contains(option.as_str()), "{}:{}: no option {option}", path.display(), span.line);
            }
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen} commands are named");
}
