//! `tally node holder`: the keys with which a node holds what only some may see.

use crate::{
    connection::new_passphrase,
    key::public_file,
    output::{Doing, Done, Failure, line},
    sandbox::layout::validator_key,
};
use clap::Args;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tallystick_client::{
    SealingSecret,
    keyfile::{self, KeyFileError, generate},
};
use tallystick_protocol::{Algorithm, PrincipalId, PublicKey, SealingKey};

/// The principal's key.
pub const KEY: &str = "holder.pem";
/// The secret that the vault is under.
pub const SEALING: &str = "sealing.pem";

/// Make the keys with which a node holds what only some may see, and say what to register
#[derive(Debug, Args)]
#[command(
    after_help = "Writes holder.pem, the key of the node's own principal, with its public half in holder.pem.pub; and sealing.pem, a \
    secret that the node's vault is under, and from which the key comes that others encrypt to. Keep a copy of sealing.pem apart \
    from the node: whoever loses it has lost everything that the vault keeps. With the role `retention` the node orders by itself the \
    erasure of what registers of its organisation keep no longer (`tally register create --keep-days`).\n\n\
    Example:\n  \
    tally node holder hmrc/vault --jurisdiction GB --dir /etc/tally --passphrase-file /etc/tally/passphrase"
)]
pub struct Holder {
    /// The node's principal, which is to be enrolled: organisation/name
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// Where it stands, under whose law: an ISO 3166 code such as GB or GB-SCT
    #[arg(long, value_name = "CODE", default_value = "GB")]
    jurisdiction: String,
    /// The folder to write to, beside validator.pem
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// A file whose first line is the passphrase for both (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Holder {
    /// Runs the command.
    pub fn run(self) -> Done {
        let (key_file, sealing_file) = (self.dir.join(KEY), self.dir.join(SEALING));
        if let Some(there) = [&key_file, &sealing_file].into_iter().find(|file| file.exists()) {
            return Err(KeyFileError::Exists(there.clone()).into());
        }
        let passphrase = new_passphrase(self.passphrase_file.as_deref())?;
        let peer = self.peer(&passphrase)?;
        let sealing = SealingSecret::generate();
        sealing.write(&sealing_file, &passphrase)?;
        let key = generate(Algorithm::EdDsa)?;
        keyfile::write(&key_file, &key, &passphrase)?;
        let public_file = write_public(&key_file, &key.public())?;
        let sealing = SealingKey::from_bytes(sealing.public()).map_err(Failure::error)?;
        let (principal, law) = (&self.principal, &self.jurisdiction);
        line(format_args!("wrote {}  (private: the key of {principal})", key_file.display()))?;
        line(format_args!("wrote {}  (public: {})", public_file.display(), key.public()))?;
        line(format_args!("wrote {}  (private: the vault's secret; keep a copy apart)", sealing_file.display()))?;
        line("an administrator enrols the node's principal, and registers the node:")?;
        let (name, public) = (principal.name(), public_file.display());
        line(format_args!("  tally principal enrol {name} --kind device --role retention --public {public}"))?;
        let peer = peer.map_or_else(|| "KEY".to_owned(), |peer| peer.to_string());
        line(format_args!("  tally node register {principal} --peer {peer} --sealing {sealing} --jurisdiction {law}"))?;
        line("and the node's configuration says, before any [[peers]]:")?;
        line(format_args!("  [holder]\n  principal = \"{principal}\"\n  key = \"{KEY}\"\n  sealing = \"{SEALING}\""))
    }

    /// The key its peers know the node by, where its file is beside.
    fn peer(&self, passphrase: &tallystick_client::Passphrase) -> Result<Option<PublicKey>, Failure> {
        let file = self.dir.join("validator.pem");
        if !file.is_file() {
            return Ok(None);
        }
        let key = keyfile::read(&file, passphrase)?.public();
        validator_key(&key)?;
        Ok(Some(key))
    }
}

/// Writes the public half of a key beside it.
///
/// # Errors
/// When it cannot be written.
pub fn write_public(key_file: &Path, public: &PublicKey) -> Result<PathBuf, Failure> {
    let path = public_file(key_file);
    fs::write(&path, format!("{public}\n")).doing(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}
