//! `tally key`: make keys, show them, and tell the ledger about them.

use crate::{
    ca,
    connection::{Connection, Signing, new_passphrase, passphrase, unlock},
    output::{Colour, Doing, Done, Failure, Table, json, line, paint, time},
    register::settle,
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use tallystick_client::{
    KeyName,
    key::{open_token, pin_prompt},
    keyfile::{self, generate},
    pkcs11::{self, KeyUri, TokenError},
};
use tallystick_protocol::{Algorithm, Operation, PrincipalId, PublicKey, Role, limits::TOKEN_ANSWER_MAX};

/// Make, show, enrol, rotate and retire keys
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

const AFTER: &str = "A key file is encrypted PKCS#8; `openssl pkey -in FILE -text` shows it too. A key in an HSM or a smart card is \
    named by its PKCS#11 URI wherever a key file is. Expiry and loss are mended by one command: an administrator rotates the \
    key of anyone in the organisation, its own included.\n\n\
    Examples:\n  \
    tally key new clerk.pem                                        a new key, and clerk.pem.pub to give away\n  \
    tally key new --pkcs11 'pkcs11:token=hsm;object=clerk?module-path=/usr/lib/softhsm/libsofthsm2.so'\n  \
    tally key enrol clerk --role registrar --public clerk.pem.pub  an administrator makes it a principal's\n  \
    tally key rotate --new next.pem                                the signer's key is replaced\n  \
    tally key retire companies-house/clerk ed25519:6f1c…           a key that must not sign any more";

#[derive(Debug, Subcommand)]
enum KeyCommand {
    New(New),
    Show(Show),
    Enrol(Enrol),
    Rotate(Rotate),
    Retire(Retire),
    Certify(Certify),
}

/// Make a key in a new file, or in a token
#[derive(Debug, Args)]
struct New {
    /// The file to write; FILE.pub gets the public key
    #[arg(value_name = "FILE", required_unless_present = "pkcs11")]
    file: Option<PathBuf>,
    /// Make it in the token that this PKCS#11 URI names: it can never be taken out
    #[arg(long, value_name = "URI", conflicts_with = "file")]
    pkcs11: Option<KeyUri>,
    /// The kind of key: ed25519, or p256 where a standard demands it
    #[arg(long, default_value = "ed25519", value_parser = algorithm)]
    algorithm: Algorithm,
    /// A file whose first line is the passphrase, or the PIN (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Show the public key of a private one, or the keys of a principal
#[derive(Debug, Args)]
struct Show {
    /// A key file, a PKCS#11 URI, or a principal (organisation/name) of the network
    #[arg(value_name = "FILE|URI|PRINCIPAL")]
    what: String,
    /// A file whose first line is the key file's passphrase, or the token's PIN
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Add a principal to the signer's organisation, with its first key
#[derive(Debug, Args)]
struct Enrol {
    /// The principal's name within the organisation
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do: administrator or registrar
    #[arg(long)]
    role: Role,
    /// Its public key, or the .pub file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    public: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Replace a key by a new one
#[derive(Debug, Args)]
struct Rotate {
    /// Whose key: the signer's own if not given
    #[arg(value_name = "PRINCIPAL")]
    principal: Option<PrincipalId>,
    /// The key that ends: the signer's present one if not given
    #[arg(long, value_name = "KEY|FILE")]
    old: Option<String>,
    /// The key that begins: a key file or a PKCS#11 URI (made if it does not exist), a public key, or a .pub file
    #[arg(long, value_name = "KEY|FILE|URI")]
    new: String,
    /// A file whose first line is the passphrase for a new key file, or the token's PIN (or set TALLY_PASSPHRASE; otherwise it is asked for)
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// End a key without a replacement
#[derive(Debug, Args)]
struct Retire {
    /// Whose key
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// The key, or the .pub file that holds it
    #[arg(value_name = "KEY|FILE")]
    public: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Give a key a certificate, or renew it
#[derive(Debug, Args)]
#[command(
    after_help = "From then on the key ends with the certificate. A principal certifies its own key, also when it has \
    expired; an administrator certifies anybody's of the organisation. The authority must have been admitted: tally ca admit.\n\n\
    Examples:\n  \
    tally key certify --certificate clerk.pem issuing.pem --authority root.pem\n  \
    tally key certify companies-house/clerk --public clerk.pem.pub --certificate clerk-2027.pem --authority root.pem"
)]
struct Certify {
    /// Whose key: the signer's own if not given
    #[arg(value_name = "PRINCIPAL")]
    principal: Option<PrincipalId>,
    /// The key, or the .pub file that holds it: the signer's present one if not given
    #[arg(long, value_name = "KEY|FILE")]
    public: Option<String>,
    /// The key's certificate, and those between it and the authority's
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    certificate: Vec<PathBuf>,
    /// The authority's certificate
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|_| "use ed25519 or p256".to_owned())
}

impl Key {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            KeyCommand::New(command) => command.run(),
            KeyCommand::Show(command) => command.run(),
            KeyCommand::Enrol(command) => command.run(),
            KeyCommand::Rotate(command) => command.run(),
            KeyCommand::Retire(command) => command.run(),
            KeyCommand::Certify(command) => command.run(),
        }
    }
}

/// Makes a key file and its `.pub`.
fn make(file: &Path, algorithm: Algorithm, passphrase_file: Option<&Path>) -> Result<PublicKey, Failure> {
    if file.exists() {
        return Err(keyfile::KeyFileError::Exists(file.to_owned()).into());
    }
    let passphrase = new_passphrase(passphrase_file)?;
    let key = generate(algorithm)?;
    keyfile::write(file, &key, &passphrase)?;
    let public = public_file(file);
    std::fs::write(&public, format!("{}\n", key.public())).doing(|| format!("cannot write `{}`", public.display()))?;
    line(format_args!("wrote {}  (private)", file.display()))?;
    line(format_args!("wrote {}  (public: {})", public.display(), key.public()))?;
    Ok(key.public())
}

/// Makes a key in a token.
fn make_in_token(uri: &KeyUri, algorithm: Algorithm, pin_file: Option<&Path>) -> Result<PublicKey, Failure> {
    let public = pkcs11::generate(uri, algorithm, |token| passphrase(pin_file, &pin_prompt(token)))?;
    line(format_args!("made in the token: {uri}"))?;
    line(format_args!("public: {public}"))?;
    Ok(public)
}

/// Why a key in a token could not be opened: an absent one can be made.
enum Opening {
    Token(TokenError),
    Secret(Failure),
}

impl From<TokenError> for Opening {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

/// The public key of a private one, which is made if it does not exist.
fn find_or_make(name: &KeyName, algorithm: Algorithm, secret: Option<&Path>) -> Result<PublicKey, Failure> {
    match name {
        KeyName::File(file) if file.exists() => unlock(name, secret).map(|key| key.public()),
        KeyName::File(file) => make(file, algorithm, secret),
        KeyName::Token(uri) => {
            match open_token(uri, TOKEN_ANSWER_MAX, |prompt| passphrase(secret, prompt).map_err(Opening::Secret)) {
                Ok(key) => Ok(key.public()),
                Err(Opening::Token(TokenError::NoKey { .. })) => make_in_token(uri, algorithm, secret),
                Err(Opening::Token(error)) => Err(error.into()),
                Err(Opening::Secret(failure)) => Err(failure),
            }
        }
    }
}

/// `registrar.pem.pub` beside `registrar.pem`.
fn public_file(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// A public key as text, or in a file.
fn public_key(text: &str) -> Result<PublicKey, Failure> {
    let wrong = match text.parse::<PublicKey>() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let path = Path::new(text);
    if !path.is_file() {
        return Err(Failure::error(wrong));
    }
    let path = if public_file(path).is_file() { public_file(path) } else { path.to_owned() };
    let content = std::fs::read_to_string(&path).doing(|| format!("cannot read `{}`", path.display()))?;
    content.trim().parse().map_err(|_| {
        Failure::error(format!(
            "`{}` holds no public key: `tally key show {}` writes one",
            path.display(),
            path.display()
        ))
    })
}

impl New {
    fn run(self) -> Done {
        let secret = self.passphrase_file.as_deref();
        match (&self.pkcs11, &self.file) {
            (Some(uri), _) => make_in_token(uri, self.algorithm, secret).map(|_| ()),
            (None, Some(file)) => make(file, self.algorithm, secret).map(|_| ()),
            (None, None) => Err(Failure::error("name the file to write, or a token with --pkcs11")),
        }
    }
}

impl Show {
    fn run(self) -> Done {
        let path = Path::new(&self.what);
        if !path.is_file() && self.what.parse::<PrincipalId>().is_ok() {
            return self.show_principal();
        }
        let key = match public_key(&self.what) {
            Ok(key) => key,
            Err(_) => {
                let name: KeyName = self.what.parse().map_err(Failure::error)?;
                unlock(&name, self.passphrase_file.as_deref())?.public()
            }
        };
        if self.json { json(&serde_json::json!({"key": key})) } else { line(key) }
    }

    fn show_principal(&self) -> Done {
        let id: PrincipalId = self.what.parse().map_err(Failure::error)?;
        let Some(found) = self.connection.client()?.principal(&id)? else {
            return Err(Failure::no(format!(
                "there is no principal `{id}`: an administrator of its organisation can enrol it"
            )));
        };
        if self.json {
            return json(&found.value);
        }
        line(format_args!("{} {} ({})", paint(Colour::Bold, "principal"), found.value.id, found.value.role))?;
        let mut table = Table::new(&["key", "from", "until"]);
        for key in &found.value.keys {
            let until = match (key.retired_ms, key.until_ms) {
                (Some(retired_ms), _) => time(retired_ms),
                (None, Some(until_ms)) => format!("{}, by certificate", time(until_ms)),
                (None, None) => "in use".to_owned(),
            };
            table.row([key.key.clone(), time(key.from_ms), until]);
        }
        table.print()
    }
}

impl Enrol {
    fn run(self) -> Done {
        let key = public_key(&self.public)?;
        let client = self.connection.client()?;
        let signer = self.connection.signer(&self.signing, &client)?;
        let id = PrincipalId::new(signer.principal().organisation(), &self.name).map_err(Failure::error)?;
        let operation = Operation::PrincipalEnrol { name: self.name.clone(), role: self.role, key };
        let transaction = signer.sign(format!("enrol {id}"), vec![operation])?;
        settle(&client, &transaction, self.signing.patience())?;
        line(format_args!("{id} is enrolled as {} with key {key}", self.role))
    }
}

impl Rotate {
    fn run(self) -> Done {
        let client = self.connection.client()?;
        let signer = self.connection.signer(&self.signing, &client)?;
        let principal = self.principal.clone().unwrap_or_else(|| signer.principal().clone());
        let old = match &self.old {
            Some(text) => public_key(text)?,
            None if principal == *signer.principal() => signer.key().public(),
            None => return Err(Failure::error(format!("name the key of {principal} that ends with --old"))),
        };
        let name: KeyName = self.new.parse().map_err(Failure::error)?;
        let (new, held) = match public_key(&self.new) {
            Ok(key) => (key, false),
            Err(_) => (find_or_make(&name, old.algorithm(), self.new_passphrase_file.as_deref())?, true),
        };
        let operation = Operation::KeyRotate { principal: principal.clone(), old, new };
        let transaction = signer.sign(format!("rotate key of {principal}"), vec![operation])?;
        settle(&client, &transaction, self.signing.patience())?;
        line(format_args!("{principal} signs with {new} from now on; {old} has ended"))?;
        if held || Path::new(&self.new).is_file() {
            line(format_args!("sign with it by --key '{name}', or put that into tally.toml"))?;
        }
        Ok(())
    }
}

impl Retire {
    fn run(self) -> Done {
        let key = public_key(&self.public)?;
        let client = self.connection.client()?;
        let signer = self.connection.signer(&self.signing, &client)?;
        let operation = Operation::KeyRetire { principal: self.principal.clone(), key };
        let transaction = signer.sign(format!("retire key of {}", self.principal), vec![operation])?;
        settle(&client, &transaction, self.signing.patience())?;
        line(format_args!("{key} of {} has ended", self.principal))
    }
}

impl Certify {
    fn run(self) -> Done {
        let client = self.connection.client()?;
        let signer = self.connection.signer(&self.signing, &client)?;
        let principal = self.principal.clone().unwrap_or_else(|| signer.principal().clone());
        let key = match &self.public {
            Some(text) => public_key(text)?,
            None if principal == *signer.principal() => signer.key().public(),
            None => return Err(Failure::error(format!("name the key of {principal} with --public"))),
        };
        let (authority, chain) = ca::chain(&self.certificate, &self.authority, &key)?;
        let operation = Operation::KeyCertify { principal: principal.clone(), key, authority, chain };
        let transaction = signer.sign(format!("certify key of {principal}"), vec![operation])?;
        settle(&client, &transaction, self.signing.patience())?;
        line(format_args!("{key} of {principal} is certified"))
    }
}
