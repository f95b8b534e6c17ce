//! A node goes on with its next key once the network counts that in the place of the present one.
//!
//! A validator's key is also how its peers know it, so a node changes it by beginning anew, in the same data directory:
//!
//! ```text
//! the vote is over     key votes, and the peers come to know next_key; both are at one address
//! the epoch after next key is in no set: the node reads its configuration again, begins anew with next_key and votes with it
//! from then on         next_key has a mark beside it (`voting.rs`), and every start is with it
//! ```
//!
//! INVARIANT: never two keys of one node in one epoch: the next one is taken only in an epoch whose validators the present one is
//! not among.

use crate::{
    chain::Chain,
    config::Config,
    epochs::Standing,
    run::{RunError, open_key},
};
use std::path::{Path, PathBuf};
use tallystick_protocol::PublicKey;

/// The configuration with the key that the node begins with: the next one, if it was begun with before.
pub fn present(config: Config) -> Result<Config, RunError> {
    let Some(next) = config.clone().with_next_key() else { return Ok(config) };
    match open_key(&next) {
        Ok((_, mark)) => Ok(if mark.is_set()? { next } else { config }),
        Err(error) => {
            tracing::error!(%error, "`next_key` cannot be opened: the node begins with the present key");
            Ok(config)
        }
    }
}

/// Ends when the node must begin anew with its next key, with the configuration that it then has. `me` is the present one.
pub async fn counts(chain: &Chain, path: PathBuf, me: [u8; 32]) -> Config {
    let mut standings = chain.watch_standing();
    loop {
        let standing = standings.borrow_and_update().clone();
        if !standing.running.contains(&me) {
            let (path, running) = (path.clone(), standing.clone());
            match tokio::task::spawn_blocking(move || successor(&path, &running)).await {
                Ok(Ok(Some(config))) => return config,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "whether `next_key` votes cannot be told: mend it, and start the node again");
                }
                Err(error) => tracing::error!(%error, "`next_key` could not be looked at"),
            }
        } else if !standing.later.contains(&me) {
            warn_of_end(&path, standing.epoch);
        }
        if standings.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Says that the present key votes no more soon, and what comes then.
fn warn_of_end(path: &Path, epoch: u64) {
    match Config::read(path).map(|config| config.next_key) {
        Ok(Some(next)) => {
            tracing::info!(epoch, next_key = %next, "this node's key soon votes no more: the next one takes its place")
        }
        Ok(None) => tracing::warn!(
            epoch,
            "this node's key soon votes no more, and the configuration names no `next_key`: the node will follow"
        ),
        Err(error) => {
            tracing::error!(epoch, %error, "this node's key soon votes no more, and whether another takes its place cannot be told")
        }
    }
}

/// The configuration with the next key, if that is among those who vote.
fn successor(path: &Path, running: &Standing) -> Result<Option<Config>, RunError> {
    let Some(next) = Config::read(path)?.with_next_key() else { return Ok(None) };
    let (key, _) = open_key(&next)?;
    let votes = matches!(key.public(), PublicKey::Ed25519(key) if running.running.contains(&key));
    Ok(votes.then_some(next))
}
