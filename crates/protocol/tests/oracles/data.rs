//! Published vectors: JSON files in `../shared/data` beside the checkout.

use std::path::{Path, PathBuf};

/// The JSON files below `folder`, sorted by path.
pub fn json_files(folder: &Path) -> Vec<(PathBuf, serde_json::Value)> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                files.push((path, json));
            }
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}
