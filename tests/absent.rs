//! What a test needs and does not find, said where it cannot be missed: a test that checked nothing looks like one that passed.

use crate::workspace::root;
use std::{
    io::{self, Write as _},
    path::PathBuf,
};

/// Says that something is not checked, and why. The test runner keeps what a passing test prints to itself, but for what is written to
/// standard error directly.
pub fn skipped(why: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "SKIPPED: {why}");
}

/// `<checkout>/../shared/data/<name>`: public data laid beside the checkout. None, having said so, when it is not there.
pub fn data(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(format_args!("{} is absent, which a test reads", path.display()));
    None
}
