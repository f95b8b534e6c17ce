//! The map is true: what the documents name exists, the layers and doors of ARCHITECTURE.md hold, and the house rules of
//! CONTRIBUTING.md are kept. Every check is a function that returns its complaints, and is shown to complain of a bad sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use tallystick_tests::markdown::{code_blocks, code_spans, links, plain, table};
use tallystick_tests::source::{code, definitions, limits, long_functions, names, published_names};
use tallystick_tests::workspace::{Crate, crates, files, manifest, read, root};

/// Lines of a file: more hold more than one concept.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function: the parent decides, the leaves compute.
const FUNCTION_LINES_MAX: usize = 70;
/// Directories that a run makes: what stands in them is not in a checkout.
const MADE_BY_RUNNING: [&str; 2] = ["sandbox", "target"];
/// What a path ends in.
const EXTENSIONS: [&str; 10] = [".rs", ".md", ".toml", ".json", ".rsf", ".sh", ".yml", ".bin", ".key", ".receipt"];
/// Crates that may not name a clock, a disk, a socket, a thread, a float or hash order.
const PURE: [&str; 3] = ["protocol", "ledger", "api"];

fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

fn document(name: &str) -> String {
    read(&root().join(name)).unwrap()
}

// What the documents name exists.

/// All that a document may name: the checkout, and what its sources define and say.
struct Territory {
    root: PathBuf,
    defined: BTreeSet<String>,
    text: String,
}

impl Territory {
    fn read(root: &Path) -> Self {
        let paths = files(&root.join("crates"), &["rs"]).unwrap();
        let sources: Vec<_> = paths.iter().map(|path| read(path).unwrap()).collect();
        let defined = sources.iter().flat_map(|source| definitions(source)).map(str::to_owned).collect();
        Self { root: root.to_owned(), defined, text: sources.join("\n") }
    }

    /// Why the name does not exist; none when it does, or when it is no name of ours.
    fn complaint(&self, name: &str) -> Option<String> {
        if name.contains(char::is_whitespace) || name.contains(['*', '<', '…', '{', '"', '=']) {
            return None;
        }
        if name.starts_with('/') {
            return (!self.text.contains(&format!("\"{name}"))).then(|| "no such route in any source".to_owned());
        }
        match name.split_once("::") {
            Some((path, items)) if path.contains('.') => self.complaint_of_items(path, items),
            Some(_) => name.split("::").find_map(|piece| self.complaint_of_definition(piece.trim_end_matches("()"))),
            None if is_path(name) => self.complaint_of_path(name),
            None => match name.strip_suffix("()") {
                Some(function) => self.complaint_of_definition(function),
                None if is_type(name) || is_constant(name) => self.complaint_of_definition(name),
                None => None,
            },
        }
    }

    fn complaint_of_items(&self, path: &str, items: &str) -> Option<String> {
        let Ok(source) = read(&self.root.join(path)) else { return Some("no such file".to_owned()) };
        let defined = definitions(&source);
        let missing = items.split("::").map(|item| item.trim_end_matches("()")).find(|item| !defined.contains(item));
        missing.map(|item| format!("the file defines no `{item}`"))
    }

    fn complaint_of_definition(&self, name: &str) -> Option<String> {
        (!self.defined.contains(name)).then(|| "no source defines it".to_owned())
    }

    fn complaint_of_path(&self, path: &str) -> Option<String> {
        let made = path.split('/').next().is_some_and(|first| MADE_BY_RUNNING.contains(&first));
        let said = !path.contains('/') && self.text.contains(&format!("{path}\""));
        (!made && !said && !self.root.join(path).exists()).then(|| "no such path".to_owned())
    }
}

fn is_path(name: &str) -> bool {
    let outside =
        name.contains("://") || name.starts_with("..") || name.starts_with('~') || name.starts_with("application/");
    !outside && (name.contains('/') || EXTENSIONS.iter().any(|extension| name.ends_with(extension)))
}

fn is_type(name: &str) -> bool {
    let word = name.chars().all(char::is_alphanumeric) && name.starts_with(|c: char| c.is_ascii_uppercase());
    word && name.contains(|c: char| c.is_ascii_lowercase())
}

fn is_constant(name: &str) -> bool {
    name.contains('_') && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn unknown_names(document: &str, territory: &Territory) -> Vec<String> {
    let named = code_spans(document).into_iter();
    named
        .filter_map(|span| {
            territory.complaint(&span.text).map(|why| format!("line {}: `{}`: {why}", span.line, span.text))
        })
        .collect()
}

fn broken_links(path: &Path, document: &str) -> Vec<String> {
    let directory = path.parent().unwrap();
    let broken = links(document).into_iter().filter(|link| !directory.join(&link.text).exists());
    broken
        .map(|link| format!("{}:{}: link to `{}`, which does not exist", path.display(), link.line, link.text))
        .collect()
}

#[test]
fn every_name_in_the_documents_exists() {
    let territory = Territory::read(&root());
    let mut complaints = Vec::new();
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/concepts/README.md",
        "docs/concepts/trust.md",
        "docs/concepts/privacy.md",
        "docs/reference/formats.md",
    ] {
        complaints.extend(
            unknown_names(&document(name), &territory).into_iter().map(|complaint| format!("{name}, {complaint}")),
        );
    }
    assert_none(complaints);
}

#[test]
fn every_link_leads_somewhere() {
    let documents = files(&root(), &["md"]).unwrap();
    assert_none(documents.iter().flat_map(|path| broken_links(path, &read(path).unwrap())).collect());
}

#[test]
fn a_name_that_does_not_exist_is_found() {
    let territory = Territory::read(&root());
    let bad = [
        "crates/protocol/src/limit.rs",
        "crates/protocol/src/limits.rs::TRANSACTION_BYTES_MOST",
        "crates/nothing.rs::TRANSACTION_BYTES_MAX",
        "/v1/no-such-route",
        "NoSuchType",
        "NO_SUCH_CONSTANT",
        "no_such_function()",
        "Hash::no_such_method",
        "no-such-file.json",
    ];
    for name in bad {
        assert_eq!(unknown_names(&format!("See `{name}`."), &territory).len(), 1, "`{name}`");
    }
    let good = [
        "crates/protocol/src/limits.rs",
        "crates/protocol/src/limits.rs::TRANSACTION_BYTES_MAX",
        "sandbox/keys",
        "Hash",
        "Hash::of",
        "tally verify F",
    ];
    for name in good {
        assert_eq!(unknown_names(&format!("See `{name}`."), &territory), Vec::<String>::new());
    }
    assert_eq!(broken_links(&root().join("README.md"), "[a](docs) [b](docs/none.md)").len(), 1);
}

// The layers and doors of ARCHITECTURE.md hold.

/// The layer of each crate, read from the block whose lines all begin with a number.
fn layers(document: &str) -> BTreeMap<String, u32> {
    let number = |line: &str| line.split_whitespace().next().and_then(|word| word.parse::<u32>().ok());
    let blocks = code_blocks(document, "text");
    let table = blocks.iter().find(|block| block.text.lines().all(|line| number(line).is_some()));
    let lines = table.map(|block| block.text.lines().collect::<Vec<_>>()).unwrap_or_default();
    let placed = lines.into_iter().filter_map(|line| number(line).map(|layer| (layer, line)));
    placed.flat_map(|(layer, line)| line.split_whitespace().skip(1).map(move |name| (name.to_owned(), layer))).collect()
}

fn broken_layers(document: &str, crates: &[Crate]) -> Vec<String> {
    let layers = layers(document);
    let exceptions: Vec<_> =
        table(document, "exception").iter().map(|row| (plain(&row[0]), plain(&row[1]), plain(&row[2]))).collect();
    let present: BTreeSet<_> = crates.iter().map(|each| each.name.clone()).collect();
    let placed: BTreeSet<_> = layers.keys().cloned().collect();
    let mut complaints: Vec<_> = present
        .symmetric_difference(&placed)
        .map(|name| format!("`{name}` is only in one of crates/ and the layers"))
        .collect();
    for each in crates {
        for used in each.dependencies.iter().filter_map(|name| name.strip_prefix("tallystick-")) {
            let excepted = exceptions.iter().find(|(user, other, _)| (user, other.as_str()) == (&each.name, used));
            match excepted {
                Some((_, _, through)) => complaints.extend(uses_beyond(each, used, through)),
                None if layers.get(used) >= layers.get(&each.name) => {
                    complaints.push(format!("`{}` uses `{used}`, which does not stand below it", each.name));
                }
                None => {}
            }
        }
    }
    complaints
}

/// What a crate names of another one outside of the modules it may.
fn uses_beyond(each: &Crate, used: &str, through: &str) -> Vec<String> {
    let allowed: Vec<_> = through.split(',').map(str::trim).collect();
    let module = format!("tallystick_{used}::");
    let sources = each.sources().unwrap();
    let named = sources.iter().flat_map(|(path, source)| {
        let after = source.split(module.as_str()).skip(1);
        let firsts =
            after.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_lowercase());
        firsts.map(move |first| (path, first))
    });
    let beyond = named.filter(|(_, first)| !allowed.contains(&first.as_str()));
    beyond.map(|(path, first)| format!("{}: names `{module}{first}`, not only {through}", path.display())).collect()
}

/// Whether the pattern of a door, `axum` or `commonware-*`, stands for this dependency.
fn is_behind(pattern: &str, dependency: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == dependency, |prefix| dependency.starts_with(prefix))
}

fn open_doors(document: &str, crates: &[Crate]) -> Vec<String> {
    let doors = table(document, "behind a door");
    let mut complaints = Vec::new();
    if doors.is_empty() {
        complaints.push("no table of doors".to_owned());
    }
    for door in &doors {
        let (pattern, places) = (plain(&door[0]), plain(&door[1]));
        let places: Vec<_> = places.split(',').map(str::trim).collect();
        for each in crates.iter().filter(|each| !places.contains(&each.name.as_str())) {
            let inside = |place: &&&str| place.starts_with(&format!("crates/{}/", each.name));
            let files: Vec<_> = places.iter().filter(inside).collect();
            for used in each.dependencies.iter().filter(|dependency| is_behind(&pattern, dependency)) {
                if files.is_empty() {
                    complaints.push(format!("`{}` depends on `{used}`: its door is {places:?}", each.name));
                }
                complaints.extend(uses_elsewhere(each, used, &files));
            }
        }
    }
    complaints
}

fn uses_elsewhere(each: &Crate, dependency: &str, files: &[&&str]) -> Vec<String> {
    let module = dependency.replace('-', "_");
    let is_door = |path: &Path| files.iter().any(|file| path.ends_with(file));
    let sources = each.sources().unwrap().into_iter().filter(|(path, _)| !files.is_empty() && !is_door(path));
    let using = sources.filter(|(_, source)| names(&code(source), &module));
    using.map(|(path, _)| format!("{}: names `{module}`: its door is {files:?}", path.display())).collect()
}

fn sample_crate(name: &str, dependencies: &[&str]) -> Crate {
    Crate {
        name: name.to_owned(),
        directory: root().join("crates").join(name),
        description: "Do it.".to_owned(),
        first_doc_line: "Do it.".to_owned(),
        dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        binaries: Vec::new(),
    }
}

#[test]
fn the_layers_hold() {
    assert_none(broken_layers(&document("ARCHITECTURE.md"), &crates(&root()).unwrap()));
}

#[test]
fn a_broken_layer_is_found() {
    let document = "```text\n 1  node  cli\n 0  protocol\n```\n| exception | uses | only through |\n|---|---|---|\n| `cli` | `node` | run |\n";
    let node = sample_crate("node", &["tallystick-protocol"]);
    let cli = sample_crate("cli", &["clap"]);
    let deep = sample_crate("cli", &["tallystick-node"]);
    let protocol = sample_crate("protocol", &[]);
    assert_none(broken_layers(document, &[node.clone(), cli.clone(), protocol.clone()]));
    let through = document.replace("run", "run, config, audit");
    assert_none(broken_layers(&through, &[node.clone(), deep.clone(), protocol.clone()]));
    assert!(!broken_layers(document, &[node.clone(), deep, protocol.clone()]).is_empty(), "cli names more than run");
    let upwards = sample_crate("protocol", &["tallystick-node"]);
    assert_eq!(broken_layers(document, &[node.clone(), cli.clone(), upwards]).len(), 1);
    let sideways = sample_crate("node", &["tallystick-cli"]);
    assert_eq!(broken_layers(document, &[sideways, cli.clone(), protocol.clone()]).len(), 1);
    assert_eq!(broken_layers(document, &[node, cli, protocol, sample_crate("vm", &[])]).len(), 1);
}

#[test]
fn the_doors_hold() {
    assert_none(open_doors(&document("ARCHITECTURE.md"), &crates(&root()).unwrap()));
}

#[test]
fn an_open_door_is_found() {
    let document = "| behind a door | named only in |\n|---|---|\n| `axum` | `node` |\n| `hex-*` | `sim`, `crates/protocol/src/nowhere.rs` |\n";
    assert_none(open_doors(document, &[sample_crate("node", &["axum"]), sample_crate("sim", &["hex-literal"])]));
    assert_eq!(open_doors(document, &[sample_crate("cli", &["axum"])]).len(), 1);
    assert_eq!(open_doors(document, &[sample_crate("cli", &["hex-literal"])]).len(), 1);
    let hex = sample_crate("protocol", &["hex"]);
    assert!(!open_doors(&document.replace("hex-*", "hex"), &[hex]).is_empty(), "protocol names hex in other files");
    assert_eq!(open_doors("no table", &[]).len(), 1);
}

// One sentence says what a crate is for, in four places.

fn differing_purposes(architecture: &str, readme: &str, crates: &[Crate]) -> Vec<String> {
    let told = |document: &str| -> BTreeMap<_, _> {
        let rows = table(document, "crate").into_iter().filter(|row| row.len() > 1);
        rows.map(|row| (plain(&row[0]), row[1].clone())).collect()
    };
    let (architecture, readme) = (told(architecture), told(readme));
    let mut complaints = Vec::new();
    for each in crates {
        let said = [
            ("the crate's first line", Some(&each.first_doc_line)),
            ("ARCHITECTURE.md", architecture.get(&each.name)),
            ("README.md", readme.get(&each.name)),
        ];
        let differing = said.into_iter().filter(|(_, sentence)| *sentence != Some(&each.description));
        complaints.extend(differing.map(|(place, sentence)| {
            format!("`{}` is \"{}\" in its manifest, {sentence:?} in {place}", each.name, each.description)
        }));
    }
    complaints
}

#[test]
fn purposes_agree_in_four_places() {
    assert_none(differing_purposes(&document("ARCHITECTURE.md"), &document("README.md"), &crates(&root()).unwrap()));
}

#[test]
fn a_differing_purpose_is_found() {
    let said = "| crate | purpose |\n|---|---|\n| `node` | Do it. |\n";
    let node = sample_crate("node", &[]);
    assert_none(differing_purposes(said, said, std::slice::from_ref(&node)));
    assert_eq!(differing_purposes(said, "", std::slice::from_ref(&node)).len(), 1);
    assert_eq!(differing_purposes(&said.replace("Do", "Undo"), said, std::slice::from_ref(&node)).len(), 1);
    assert_eq!(differing_purposes(said, said, &[Crate { first_doc_line: String::new(), ..node }]).len(), 1);
}

// What is published is documented.

/// Names that the document does not show as code, or shows before one that comes earlier in `published`.
fn undocumented(document: &str, published: &[&str]) -> Vec<String> {
    let places = published.iter().map(|name| (name, document.find(&format!("`{name}`"))));
    let mut last = 0;
    let mut complaints = Vec::new();
    for (name, place) in places {
        match place {
            None => complaints.push(format!("`{name}` is not documented")),
            Some(place) if place < last => complaints.push(format!("`{name}` stands out of its order")),
            Some(place) => last = place,
        }
    }
    complaints
}

#[test]
fn every_code_is_documented_in_its_order_of_precedence() {
    let outcome = read(&root().join("crates/protocol/src/outcome.rs")).unwrap();
    let codes = published_names(&outcome, "Code");
    assert!(codes.len() > 15, "the codes are found: {codes:?}");
    assert_none(undocumented(&document("docs/reference/errors.md"), &codes));
}

#[test]
fn every_operation_is_in_the_formats() {
    let operation = read(&root().join("crates/protocol/src/operation/name.rs")).unwrap();
    let formats = document("docs/reference/formats.md");
    let names = published_names(&operation, "OperationName");
    assert!(names.len() > 5, "the operations are found: {names:?}");
    let missing = names.iter().filter(|name| !formats.contains(&format!("[\"{name}\",")));
    assert_none(missing.map(|name| format!("{name} is not in formats.md")).collect());
}

#[test]
fn what_is_not_documented_is_found() {
    assert_none(undocumented("`a` then `b`", &["a", "b"]));
    assert_eq!(undocumented("`b` then `a`", &["a", "b"]).len(), 1);
    assert_eq!(undocumented("`a` only", &["a", "b"]).len(), 1);
}

// The house rules.

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > FILE_LINES_MAX)
        .then(|| format!("{}: {lines} lines, more than {FILE_LINES_MAX}: split it by concept", path.display()))
}

#[test]
fn no_file_is_too_long() {
    let paths = files(&root(), &["rs", "ts", "js", "css", "sh", "py", "md"]).unwrap();
    assert!(paths.len() > 50, "the walk finds the project: {} files", paths.len());
    // Printed by the program itself, one section for each command, and held against it by a test of the command line.
    let printed = root().join("docs/reference/cli.md");
    assert!(paths.contains(&printed), "{} is where it was", printed.display());
    let written = paths.iter().filter(|path| **path != printed);
    assert_none(written.filter_map(|path| too_long(path, &read(path).unwrap())).collect());
    assert!(too_long(Path::new("a.rs"), &"x\n".repeat(FILE_LINES_MAX)).is_none());
    assert!(too_long(Path::new("a.rs"), &"x\n".repeat(FILE_LINES_MAX + 1)).is_some());
}

#[test]
fn no_function_is_too_long() {
    let sources = crates(&root()).unwrap().into_iter().flat_map(|each| each.sources().unwrap());
    let long = sources.flat_map(|(path, source)| {
        let long = long_functions(&source, FUNCTION_LINES_MAX).into_iter();
        long.map(move |(name, lines)| format!("{}: `{name}` has {lines} lines", path.display())).collect::<Vec<_>>()
    });
    assert_none(long.collect());
}

#[test]
fn every_limit_stands_in_one_file() {
    let one = root().join("crates/protocol/src/limits.rs");
    assert!(limits(&read(&one).unwrap()).len() > 20, "the limits are found where they stand");
    // The simulator is no part of what runs: what it bounds are its own worlds.
    let running = crates(&root()).unwrap().into_iter().filter(|each| each.name != "sim");
    let sources = running.flat_map(|each| each.sources().unwrap());
    let elsewhere = sources.filter(|(path, _)| !path.ends_with("protocol/src/limits.rs"));
    let complaints = elsewhere.flat_map(|(path, source)| {
        limits(&source).into_iter().map(|name| format!("{}: `{name}`", path.display())).collect::<Vec<_>>()
    });
    assert_none(complaints.collect());
}

#[test]
fn pure_crates_are_pure_by_compiler_setting() {
    for name in PURE {
        let bans = manifest(&root().join("crates").join(name).join("clippy.toml")).unwrap();
        let banned: BTreeSet<_> = ["disallowed-types", "disallowed-methods"]
            .iter()
            .flat_map(|key| bans[*key].as_array().unwrap().iter().map(|ban| ban["path"].as_str().unwrap().to_owned()))
            .collect();
        for path in [
            "std::time::Instant",
            "std::time::SystemTime",
            "std::fs::read",
            "std::net::TcpStream",
            "std::thread::spawn",
            "std::collections::HashMap",
            "f64",
        ] {
            assert!(banned.contains(path), "crates/{name}/clippy.toml does not ban {path}");
        }
    }
}

#[test]
fn cargo_run_means_tally() {
    let binaries: Vec<_> = crates(&root()).unwrap().into_iter().flat_map(|each| each.binaries).collect();
    assert_eq!(binaries, ["tally"], "with a second binary, `cargo run` would ask which one");
}

#[test]
fn the_engine_is_pinned_to_one_version() {
    let manifest = manifest(&root().join("Cargo.toml")).unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let engine = dependencies.iter().filter(|(name, _)| name.starts_with("commonware-"));
    let versions: BTreeSet<_> = engine.map(|(_, pin)| pin.get("version").unwrap_or(pin).as_str().unwrap()).collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    assert!(versions.iter().all(|version| version.starts_with('=')), "{versions:?}");
}

#[test]
fn every_crate_obeys_the_workspace_lints() {
    let manifests =
        files(&root().join("crates"), &["toml"]).unwrap().into_iter().filter(|path| path.ends_with("Cargo.toml"));
    for path in manifests.chain([root().join("tests/Cargo.toml")]) {
        let manifest = manifest(&path).unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{}", path.display());
    }
    let workspace = manifest(&root().join("Cargo.toml")).unwrap();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

/// Macros are named too, and nothing is renamed but what stands here.
#[test]
fn every_dependency_is_named_in_its_crate() {
    for each in crates(&root()).unwrap() {
        let sources = each.sources().unwrap();
        for dependency in &each.dependencies {
            let module = dependency.replace("rustls-webpki", "webpki").replace('-', "_");
            let is_named = sources.iter().any(|(_, source)| names(&code(source), &module));
            assert!(is_named, "`{}` names `{module}` nowhere: remove `{dependency}` from its manifest", each.name);
        }
    }
}

#[test]
fn every_decision_says_context_decision_and_consequences() {
    let paths = files(&root().join("docs/decisions"), &["md"]).unwrap();
    for (index, path) in paths.iter().enumerate() {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} is not number {}", index + 1);
        let text = fs::read_to_string(path).unwrap();
        for heading in ["Status: ", "## Context", "## Decision", "## Consequences"] {
            assert!(text.contains(heading), "{name} has no \"{heading}\"");
        }
    }
    assert!(paths.len() > 6, "decisions are found: {}", paths.len());
}
