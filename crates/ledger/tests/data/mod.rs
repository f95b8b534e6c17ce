//! The public data beside the checkout, for tests that read it.

use std::path::{Path, PathBuf};

/// `<checkout>/../shared/data/<name>`; none, and a line on stdout, when it is not there.
#[allow(clippy::print_stdout)]
pub fn data(name: &str) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let path = checkout.parent()?.join("shared/data").join(name);
    if !path.exists() {
        println!("skipped: {} is absent; this test reads public data laid beside the checkout", path.display());
        return None;
    }
    Some(path)
}
