//! Reads the workspace as it stands on disk: its crates, their manifests, its files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::source::first_doc_line;

/// Directories that hold nothing of ours; but a module may be called as one of them.
const SKIPPED: [&str; 6] = [".git", "target", "sandbox", "node_modules", "corpus", "artifacts"];

/// One crate of `crates/`.
#[derive(Debug, Clone)]
pub struct Crate {
    /// The name of its directory: `node` for the package `tallystick-node`.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// The description of its manifest.
    pub description: String,
    /// The sentence its root file opens with.
    pub first_doc_line: String,
    /// What it needs when it is built for use: the names in `[dependencies]` and `[build-dependencies]`.
    pub dependencies: BTreeSet<String>,
    /// The names of its binaries.
    pub binaries: Vec<String>,
}

impl Crate {
    /// Reads the crate in `directory`.
    ///
    /// # Errors
    /// Names the file that is missing or malformed.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = manifest(&directory.join("Cargo.toml"))?;
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| directory.join(root));
        let root = roots.iter().find(|root| root.exists()).ok_or(format!("crate `{name}` has no root file"))?;
        let description = manifest.get("package").and_then(|package| package.get("description"));
        Ok(Self {
            description: description.and_then(Value::as_str).unwrap_or_default().to_owned(),
            first_doc_line: first_doc_line(&read(root)?).unwrap_or_default().to_owned(),
            dependencies: ["dependencies", "build-dependencies"].iter().flat_map(|key| keys(&manifest, key)).collect(),
            binaries: binaries(directory, &manifest, &name),
            directory: directory.to_owned(),
            name,
        })
    }

    /// The source files, each with its path.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn sources(&self) -> Result<Vec<(PathBuf, String)>, String> {
        let paths = files(&self.directory.join("src"), &["rs"])?;
        paths.into_iter().map(|path| read(&path).map(|text| (path, text))).collect()
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Every crate, in order of name.
///
/// # Errors
/// Names the crate that cannot be read.
pub fn crates(root: &Path) -> Result<Vec<Crate>, String> {
    let directories = entries(&root.join("crates"))?.into_iter().filter(|path| path.join("Cargo.toml").exists());
    directories.map(|directory| Crate::read(&directory)).collect()
}

/// The manifest at `path`.
///
/// # Errors
/// When it cannot be read or is no TOML.
pub fn manifest(path: &Path) -> Result<Table, String> {
    read(path)?.parse().map_err(|error| format!("{}: {error}", path.display()))
}

/// The text of a file.
///
/// # Errors
/// Names the file that cannot be read.
pub fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Our files under `directory` that end in one of `extensions` (files without one are scripts: ask for ""), sorted.
///
/// # Errors
/// Names the directory that cannot be read.
pub fn files(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in entries(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_ref()) || path.with_extension("rs").is_file() {
                found.extend(files(&path, extensions)?);
            }
        } else if extensions.contains(&path.extension().unwrap_or_default().to_string_lossy().as_ref()) {
            found.push(path);
        }
    }
    Ok(found)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", directory.display());
    let listed = fs::read_dir(directory).map_err(failed)?;
    let mut paths =
        listed.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn keys(manifest: &Table, section: &str) -> Vec<String> {
    let table = manifest.get(section).and_then(Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// The binaries a manifest declares, and those cargo finds by itself.
fn binaries(directory: &Path, manifest: &Table, name: &str) -> Vec<String> {
    let declared = manifest.get("bin").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut names: Vec<_> =
        declared.iter().filter_map(|bin| bin.get("name").and_then(Value::as_str).map(str::to_owned)).collect();
    if names.is_empty() && directory.join("src/main.rs").exists() {
        names.push(format!("tallystick-{name}"));
    }
    let found = entries(&directory.join("src/bin")).unwrap_or_default();
    names.extend(found.iter().filter_map(|path| path.file_stem()).map(|stem| stem.to_string_lossy().into_owned()));
    names
}
