//! Which network a command speaks to, and as whom: flags first, then the profile.
//!
//! The profile is looked for in this order: `--dir` (or the environment variable `TALLY_CONTEXT`), `./tally.toml`,
//! `./sandbox/tally.toml`.

use crate::{
    output::{Colour, Failure, count, line, paint_err, say},
    register::act,
};
use clap::Args;
use std::{
    collections::BTreeSet,
    fmt::Display,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tallystick_client::{Client, KeyName, Passphrase, Profile, Signer, profile::SEARCHED, read_network};
use tallystick_protocol::{
    Cosigner, Genesis, MandateId, NetworkId, Operation, PrincipalId, PublicKey, SigningKey, change::words::Shown,
    limits::TOKEN_ANSWER_MAX,
};

/// Environment variable that holds a passphrase, or a token's PIN.
pub const PASSPHRASE_VARIABLE: &str = "TALLY_PASSPHRASE";
/// The wait before a node is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a node is asked for what another one may have taken a moment ago.
pub const BEHIND: usize = 4;

/// Which network.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network (found in ./tally.toml or ./sandbox/tally.toml when not given)")]
pub struct Connection {
    /// Folder of a sandbox, or a profile file (tally.toml)
    #[arg(long, value_name = "PATH", env = "TALLY_CONTEXT", hide_env_values = true)]
    pub dir: Option<PathBuf>,
    /// Address of a node, such as http://127.0.0.1:8080; may be repeated, tried in this order
    #[arg(long = "node", value_name = "URL", env = "TALLY_NODE", hide_env_values = true, value_delimiter = ',')]
    pub nodes: Vec<String>,
    /// The network's trust anchor, network.json
    #[arg(long, value_name = "FILE", env = "TALLY_NETWORK", hide_env_values = true)]
    pub network: Option<PathBuf>,
}

/// As whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Signing (taken from the profile when not given)")]
pub struct Signing {
    /// Who signs: organisation/name
    #[arg(id = "signing-principal", long = "as", value_name = "PRINCIPAL", env = "TALLY_AS", hide_env_values = true)]
    pub principal: Option<PrincipalId>,
    /// The key that signs: a file, or a PKCS#11 URI of a key in a token
    #[arg(id = "signing-key", long = "key", value_name = "FILE|URI", env = "TALLY_KEY", hide_env_values = true)]
    pub key: Option<KeyName>,
    /// Act for another: the mandate that it granted, organisation/name/mandate, or partition/organisation/name/mandate in a partition
    #[arg(long, value_name = "MANDATE")]
    pub mandate: Option<MandateId>,
    /// Do it in this partition: it goes to a node of the signer's own organisation, and only the members see it
    #[arg(long, value_name = "PARTITION")]
    pub partition: Option<String>,
    /// Who must sign too, organisation/name; `=FILE` names its key file or PKCS#11 URI, `=KEY` its public key when it signs elsewhere; may be
    /// repeated. The PIN of its token is of the URI's pin-source or the profile, or asked for; never the signer's
    #[arg(long = "cosigner", value_name = "PRINCIPAL[=FILE|KEY]")]
    pub cosigners: Vec<String>,
    /// Do not hand it in, but write it to this file for co-signers who sign elsewhere: `tally transaction sign FILE`
    #[arg(long, value_name = "FILE")]
    pub pass_on: Option<PathBuf>,
    /// A file whose first line is the key's passphrase, or the token's PIN (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE", env = "TALLY_PASSPHRASE_FILE", hide_env_values = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Seconds to wait until a transaction is final; a node that was asked is heard out, up to 20 s
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl Connection {
    /// The profile, if there is one.
    ///
    /// # Errors
    /// When one is named and cannot be read, or one is found that is none.
    pub fn profile(&self) -> Result<Option<Profile>, Failure> {
        match &self.dir {
            Some(dir) => Ok(Some(Profile::read(dir)?)),
            None => Ok(Profile::find(Path::new("."))?),
        }
    }

    /// A client of the nodes.
    ///
    /// # Errors
    /// When no node is named anywhere.
    pub fn client(&self) -> Result<Client, Failure> {
        self.client_if_named()?.ok_or_else(|| nowhere("no node is named", "--node http://HOST:PORT"))
    }

    /// A client of the nodes; none when no node is named anywhere, as on a machine without a network.
    ///
    /// # Errors
    /// When a node's address is none, or the profile cannot be read.
    pub fn client_if_named(&self) -> Result<Option<Client>, Failure> {
        if !self.nodes.is_empty() {
            return Ok(Some(Client::new(&self.nodes)?.hearing(tell_notices)));
        }
        let nodes = self.profile()?.map(|profile| profile.nodes).unwrap_or_default();
        if nodes.is_empty() { Ok(None) } else { Ok(Some(Client::new(&nodes)?.hearing(tell_notices))) }
    }

    /// The network's trust anchor.
    ///
    /// # Errors
    /// When none is named anywhere, or it is none.
    pub fn genesis(&self) -> Result<Genesis, Failure> {
        if let Some(path) = &self.network {
            return Ok(read_network(path)?);
        }
        match self.profile()? {
            Some(profile) => Ok(read_network(&profile.network)?),
            None => Err(nowhere("no trust anchor is named", "--network network.json")),
        }
    }

    /// The network's id: of the trust anchor, or else as the node says. A transaction signed for a network that the node
    /// made up does no harm: it holds in no other.
    fn network_id(&self) -> Result<NetworkId, Failure> {
        if self.network.is_some() || self.profile()?.is_some() {
            return Ok(self.genesis()?.id());
        }
        match self.client_if_named()? {
            Some(client) => Ok(client.network()?.genesis.id()),
            None => Err(nowhere("no network is named", "--network network.json or --node http://HOST:PORT")),
        }
    }

    /// The organisation of the profile's own principal.
    ///
    /// # Errors
    /// When there is no profile, or it names nobody.
    pub fn own_organisation(&self) -> Result<String, Failure> {
        match self.profile()?.and_then(|profile| profile.principal) {
            Some(text) => Ok(text.parse::<PrincipalId>().map_err(Failure::error)?.organisation().to_owned()),
            None => Err(nowhere("no organisation is named", "its id")),
        }
    }

    /// The profile's own principal, with its key unlocked; none where nobody is named.
    ///
    /// # Errors
    /// When the key cannot be opened, or somebody would have to be asked for what opens it.
    pub fn own_signer(&self) -> Result<Option<Signer>, Failure> {
        let Some(profile) = self.profile()? else { return Ok(None) };
        let Some(own) = &profile.principal else { return Ok(None) };
        let Some(place) = profile.principals.get(own) else { return Ok(None) };
        let file = place.passphrase_file.as_deref();
        let secret = match &place.key {
            KeyName::File(_) => passphrase_at_hand(file)?,
            // What the environment says may be another's: a few wrong PINs lock a token.
            KeyName::Token(_) => file.map(Passphrase::read).transpose()?,
        };
        let unasked = || {
            Failure::error(format!(
                "nobody is asked for the passphrase of the key of `{own}`: name a file that holds it in the profile"
            ))
        };
        let secret = secret.ok_or_else(unasked)?;
        let key = place.key.open(TOKEN_ANSWER_MAX, |_| Ok::<_, Failure>(secret))?;
        Ok(Some(Signer::new(self.network_id()?, own.parse().map_err(Failure::error)?, key)))
    }

    /// Who signs, with the key unlocked. No node is asked where the trust anchor is at hand.
    ///
    /// # Errors
    /// When nobody is named, or the key cannot be found or unlocked.
    pub fn signer(&self, signing: &Signing) -> Result<Signer, Failure> {
        let profile = self.profile()?;
        let named = match (&signing.principal, profile.as_ref().and_then(|profile| profile.principal.as_ref())) {
            (Some(principal), _) => principal.clone(),
            (None, Some(text)) => text.parse().map_err(Failure::error)?,
            (None, None) => return Err(nowhere("nobody is named to sign", "--as ORGANISATION/NAME and --key FILE")),
        };
        let place = profile.as_ref().and_then(|profile| profile.principals.get(named.as_str()));
        let path = match (&signing.key, place) {
            (Some(path), _) => path.clone(),
            (None, Some(place)) => place.key.clone(),
            (None, None) => return Err(no_key(&named, profile.as_ref())),
        };
        // What the profile says of another key is not tried on a token: a few wrong PINs lock it.
        let its_own = place.filter(|place| place.key == path || matches!(path, KeyName::File(_)));
        let passphrase_file =
            signing.passphrase_file.clone().or_else(|| its_own.and_then(|place| place.passphrase_file.clone()));
        let key = unlock(&path, passphrase_file.as_deref())?;
        let signer = Signer::new(self.network_id()?, named, key).under(signing.mandate.clone());
        let signer = signer.within(signing.partition.clone());
        let add = |signer, text: &String| cosigner(signer, text, profile.as_ref(), signing.passphrase_file.as_deref());
        signing.cosigners.iter().try_fold(signer, add)
    }
}

/// From which network, and in which form: what a command that only reads takes.
#[derive(Debug, Args)]
pub struct Reading {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

/// From which network, and from which partition of it, as whom: what a command takes that only reads, in a partition too.
#[derive(Debug, Args)]
pub struct Asking {
    /// In this partition: a node of your own organisation is asked, and the question is signed
    #[arg(long, value_name = "PARTITION")]
    partition: Option<String>,
    /// Who asks: organisation/name
    #[arg(id = "asking-principal", long = "as", value_name = "PRINCIPAL", env = "TALLY_AS", hide_env_values = true)]
    principal: Option<PrincipalId>,
    /// The key that signs the question: a file, or a PKCS#11 URI of a key in a token
    #[arg(id = "asking-key", long = "key", value_name = "FILE|URI", env = "TALLY_KEY", hide_env_values = true)]
    key: Option<KeyName>,
    /// A file whose first line is the key's passphrase, or the token's PIN (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE", env = "TALLY_PASSPHRASE_FILE", hide_env_values = true)]
    passphrase_file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
}

impl Asking {
    /// Who asks, if it is in a partition: there questions are signed.
    ///
    /// # Errors
    /// As [`Connection::signer`].
    pub fn asker(&self) -> Result<Option<Signer>, Failure> {
        if self.partition.is_none() {
            return Ok(None);
        }
        let signing = Signing {
            principal: self.principal.clone(),
            key: self.key.clone(),
            mandate: None,
            partition: self.partition.clone(),
            cosigners: Vec::new(),
            pass_on: None,
            passphrase_file: self.passphrase_file.clone(),
            timeout: 0,
            json: self.json,
        };
        self.connection.signer(&signing).map(Some)
    }
}

/// As whom, on which network: what a command that signs takes.
#[derive(Debug, Args)]
pub struct Acting {
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// A command with its keys unlocked.
pub struct Session<'a> {
    /// Who signs.
    pub signer: Signer,
    acting: &'a Acting,
}

impl Acting {
    /// Unlocks the keys.
    ///
    /// # Errors
    /// As [`Connection::signer`].
    pub fn begin(&self) -> Result<Session<'_>, Failure> {
        Ok(Session { signer: self.connection.signer(&self.signing)?, acting: self })
    }

    /// A client of the nodes.
    ///
    /// # Errors
    /// As [`Connection::client`].
    pub fn client(&self) -> Result<Client, Failure> {
        self.connection.client()
    }

    /// A client of the nodes, if one is named.
    ///
    /// # Errors
    /// As [`Connection::client_if_named`].
    pub fn client_if_named(&self) -> Result<Option<Client>, Failure> {
        self.connection.client_if_named()
    }

    /// How long to wait for what is done.
    pub const fn patience(&self) -> Duration {
        self.signing.patience()
    }
}

impl Session<'_> {
    /// Has the operations done, all or none, and tells it; false when nothing is left to say, as of [`act`].
    ///
    /// # Errors
    /// When they are refused, or the network cannot be reached.
    pub fn act(
        &self,
        subject: impl Into<String>,
        operations: Vec<Operation>,
        told: impl Display,
    ) -> Result<bool, Failure> {
        let Acting { signing, connection } = self.acting;
        let settled = act(connection, &self.signer, signing, subject, operations)?;
        settled.as_ref().map_or(Ok(()), |_| line(told))?;
        Ok(settled.is_some())
    }
}

impl Signing {
    /// Goes on only if it is done in the public partition, as `what` can be alone.
    ///
    /// # Errors
    /// When a partition is named.
    pub fn require_public(&self, what: &str) -> Result<(), Failure> {
        match &self.partition {
            Some(_) => Err(Failure::error(format!("{what} in the public partition only: leave out --partition"))),
            None => Ok(()),
        }
    }

    /// How long to wait for a transaction.
    pub const fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Of which partitions it was told that notices wait; none where it need not be.
static NOTICES_TOLD: Mutex<Option<BTreeSet<String>>> = Mutex::new(Some(BTreeSet::new()));

/// Tells once, beside whatever else is told, that what the signer read in a partition was wrong: `waiting` is `‹partition›=‹count›`.
fn tell_notices(waiting: &str) {
    let told = waiting.split_once('=').and_then(|(partition, count)| Some((partition, count.parse::<u64>().ok()?)));
    let Some((partition, notices)) = told else { return };
    let mut all = NOTICES_TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.as_mut().is_some_and(|told| told.insert(partition.to_owned())) {
        return;
    }
    let notices = count(notices, "notice", "notices");
    let told = format!(
        "partition {partition}: what you read there, or gave to somebody, was wrong ({notices}): tally notice list --partition {partition} --open"
    );
    say(paint_err(Colour::Yellow, &Shown(&told).to_string()));
}

/// From now on nothing is told of notices beside what a command tells.
pub fn tell_no_notices() {
    *NOTICES_TOLD.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Adds a co-signer: with its key file, that of the profile, or its public key alone.
fn cosigner(
    signer: Signer,
    text: &str,
    profile: Option<&Profile>,
    passphrase_file: Option<&Path>,
) -> Result<Signer, Failure> {
    let (principal, key) = text.split_once('=').map_or((text, None), |(principal, key)| (principal, Some(key)));
    let principal: PrincipalId = principal.parse().map_err(Failure::error)?;
    if let Some(key) = key.and_then(|key| key.parse::<PublicKey>().ok()) {
        return Ok(signer.beside(Cosigner { principal, key }));
    }
    let place = profile.and_then(|profile| profile.principals.get(principal.as_str()));
    let name = match (key, place) {
        (Some(name), _) => name.parse().map_err(Failure::error)?,
        (None, Some(place)) => place.key.clone(),
        (None, None) => return Err(no_key(&principal, profile)),
    };
    let its_own = place.filter(|place| place.key == name).and_then(|place| place.passphrase_file.as_deref());
    let key = match name {
        KeyName::File(_) if key.is_some() => unlock(&name, passphrase_file)?,
        KeyName::File(_) => unlock(&name, its_own)?,
        KeyName::Token(_) => name.open(TOKEN_ANSWER_MAX, |prompt| pin(its_own, prompt))?,
    };
    Ok(signer.together_with(principal, key))
}

fn nowhere(what: &str, flag: &str) -> Failure {
    Failure::error(format!(
        "{what}, and there is no profile at {}: give {flag}, or --dir with the folder of a sandbox, or start one with `tally sandbox`",
        SEARCHED.map(|path| format!("./{path}")).join(" or ")
    ))
}

fn no_key(principal: &PrincipalId, profile: Option<&Profile>) -> Failure {
    let known: Vec<&str> = profile.iter().flat_map(|profile| profile.principals.keys()).map(String::as_str).collect();
    let known =
        if known.is_empty() { String::new() } else { format!("; the profile has keys of {}", known.join(", ")) };
    Failure::error(format!("no key of `{principal}` is known: give --key with a file or a PKCS#11 URI{known}"))
}

/// Opens a key: with the passphrase or PIN of the file, of the environment, or asked for.
///
/// # Errors
/// When there is none, or it is the wrong one.
pub fn unlock(name: &KeyName, passphrase_file: Option<&Path>) -> Result<SigningKey, Failure> {
    name.open(TOKEN_ANSWER_MAX, |prompt| passphrase(passphrase_file, prompt))
}

/// A passphrase: of the file, of the environment, or asked for with `prompt`.
///
/// # Errors
/// When there is none.
pub fn passphrase(file: Option<&Path>, prompt: &str) -> Result<Passphrase, Failure> {
    if let Some(passphrase) = passphrase_at_hand(file)? {
        return Ok(passphrase);
    }
    ask(prompt, || {
        format!(
            "{prompt}a passphrase is needed and there is no terminal to ask on: give --passphrase-file FILE or set {PASSPHRASE_VARIABLE}"
        )
    })
}

/// The same where nobody is asked: none if it is not in a file, or in the environment.
fn passphrase_at_hand(file: Option<&Path>) -> Result<Option<Passphrase>, Failure> {
    if let Some(file) = file {
        return Ok(Some(Passphrase::read(file)?));
    }
    match std::env::var(PASSPHRASE_VARIABLE) {
        Ok(text) => Ok(Some(Passphrase::new(text)?)),
        Err(_) => Ok(None),
    }
}

/// The PIN of a token that is not the signer's: of the file, or asked for with `prompt`. What opens the signer's key is never
/// tried on it, because a few wrong PINs lock a token.
///
/// # Errors
/// When there is none.
pub fn pin(file: Option<&Path>, prompt: &str) -> Result<Passphrase, Failure> {
    match file {
        Some(file) => Ok(Passphrase::read(file)?),
        None => ask(prompt, || {
            format!(
                "{prompt}there is no terminal to ask on: name a file that holds it in the key's URI, with pin-source=file:PATH"
            )
        }),
    }
}

/// Asks up to so many times what a node that is some blocks behind does not know yet; none if it never does.
///
/// # Errors
/// As asking does.
pub fn ask_again<T>(times: usize, mut ask: impl FnMut() -> Result<Option<T>, Failure>) -> Result<Option<T>, Failure> {
    for look in 0..times {
        if look > 0 {
            thread::sleep(PAUSE);
        }
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Asks on the terminal; fails with `absent` when there is none.
fn ask(prompt: &str, absent: impl FnOnce() -> String) -> Result<Passphrase, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::error(absent()));
    }
    let text = rpassword::prompt_password(prompt)
        .map_err(|error| Failure::error(format!("cannot ask for the passphrase: {error}")))?;
    Ok(Passphrase::new(text)?)
}

/// A passphrase for a new key, asked for twice when it is asked for.
///
/// # Errors
/// When there is none, or the two differ.
pub fn new_passphrase(file: Option<&Path>) -> Result<Passphrase, Failure> {
    let asked = file.is_none() && std::env::var_os(PASSPHRASE_VARIABLE).is_none();
    let first = passphrase(file, "Passphrase for the new key: ")?;
    if asked && passphrase(None, "The same again: ")? != first {
        return Err(Failure::error("the two passphrases differ: begin again"));
    }
    Ok(first)
}
