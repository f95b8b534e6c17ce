//! `tally key`: make keys, show them, and tell the ledger about them.

use crate::{
    ca,
    connection::{Acting, Connection, new_passphrase, passphrase, pin, unlock},
    output::{Doing, Done, Failure, json, line, say},
    principal,
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use tallystick_client::{
    KeyName, Passphrase,
    key::{open_token, pin_prompt},
    keyfile::{self, generate},
    pkcs11::{self, KeyUri, TokenError},
};
use tallystick_protocol::{Algorithm, Assurance, Operation, PrincipalId, PublicKey, limits::TOKEN_ANSWER_MAX};

/// Make, show, add, rotate, certify and retire keys
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

const AFTER: &str = "A key file is encrypted PKCS#8; `openssl pkey -in FILE -text` shows it too. A key in an HSM or a smart card is \
    named by its PKCS#11 URI wherever a key file is. Everybody replaces a key of their own, with the old one or another; \
    the keys of others are in the hands of as many administrators as a recovery takes (tally principal quorum).\n\n\
    Examples:\n  \
    tally key new clerk.pem                                        a new key, and clerk.pem.pub to give away\n  \
    tally key new --pkcs11 'pkcs11:token=hsm;object=clerk?module-path=/usr/lib/softhsm/libsofthsm2.so'\n  \
    tally principal enrol clerk --role registrar --public clerk.pem.pub  an administrator makes it a principal's\n  \
    tally key rotate --new next.pem --make                         a new key replaces the signer's\n  \
    tally key rotate --new next.pem.pub --overlap 48               the old one still signs for two days\n  \
    tally key rotate --new next.pem --certificate next.crt issuing.pem --authority root.pem  and it is certified at once\n  \
    tally key retire companies-house/clerk ed25519:6f1c…           a key that must not sign any more";

#[derive(Debug, Subcommand)]
enum KeyCommand {
    New(New),
    Show(Show),
    Add(Add),
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

/// Give a principal one more key: its holder may, or as many administrators as a recovery takes
#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    key: NewKey,
}

/// A key that somebody is given.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Whose key: organisation/name
    #[arg(value_name = "PRINCIPAL")]
    principal: PrincipalId,
    /// The public key, or the .pub file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    public: String,
    /// How sure it is that the key is in its hands: low or substantial; of the own key no surer than of the one that signs
    #[arg(long, default_value = "substantial")]
    assurance: Assurance,
    #[command(flatten)]
    acting: Acting,
}

/// Replace a key by a new one: its holder may, or as many administrators as a recovery takes
#[derive(Debug, Args)]
struct Rotate {
    /// Whose key: the signer's own if not given
    #[arg(value_name = "PRINCIPAL")]
    principal: Option<PrincipalId>,
    /// The key that ends: the signer's present one if not given
    #[arg(long, value_name = "KEY|FILE")]
    old: Option<String>,
    /// The key that begins: a public key, a .pub file, a key file, or a PKCS#11 URI (made in the token if it does not exist)
    #[arg(long, value_name = "KEY|FILE|URI")]
    new: String,
    /// Make the key that begins, in the new file or the token that --new names; only for the signer itself
    #[arg(long)]
    make: bool,
    /// Hours for which the old key still signs
    #[arg(long, value_name = "HOURS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=2_160))]
    overlap: u64,
    /// A certificate of the new key, and those between it and the authority's: the key is certified at once
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "authority")]
    certificate: Vec<PathBuf>,
    /// The authority's certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    authority: Option<PathBuf>,
    /// A file whose first line is the passphrase of the key that begins, or its token's PIN; otherwise it is asked for
    /// (TALLY_PASSPHRASE serves for a file)
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    acting: Acting,
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
    acting: Acting,
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
    acting: Acting,
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
            KeyCommand::Add(command) => command.run(),
            KeyCommand::Rotate(command) => command.run(),
            KeyCommand::Retire(command) => command.run(),
            KeyCommand::Certify(command) => command.run(),
        }
    }
}

/// Where it is told that a key was made: it is the answer, or goes on beside it.
type Tell = fn(std::fmt::Arguments<'_>) -> Done;

fn answer(text: std::fmt::Arguments<'_>) -> Done {
    line(text)
}

fn beside(text: std::fmt::Arguments<'_>) -> Done {
    say(text);
    Ok(())
}

/// Makes a key file and its `.pub`.
fn make(file: &Path, algorithm: Algorithm, passphrase_file: Option<&Path>, tell: Tell) -> Result<PublicKey, Failure> {
    if file.exists() {
        return Err(keyfile::KeyFileError::Exists(file.to_owned()).into());
    }
    let passphrase = new_passphrase(passphrase_file)?;
    let key = generate(algorithm)?;
    keyfile::write(file, &key, &passphrase)?;
    let public = public_file(file);
    std::fs::write(&public, format!("{}\n", key.public())).doing(|| format!("cannot write `{}`", public.display()))?;
    tell(format_args!("wrote {}  (private)", file.display()))?;
    tell(format_args!("wrote {}  (public: {})", public.display(), key.public()))?;
    Ok(key.public())
}

/// Makes a key in a token.
fn make_in_token(
    uri: &KeyUri,
    algorithm: Algorithm,
    secret: impl FnOnce(&str) -> Result<Passphrase, Failure>,
    tell: Tell,
) -> Result<PublicKey, Failure> {
    let public = pkcs11::generate(uri, algorithm, |token| secret(&pin_prompt(token)))?;
    tell(format_args!("made in the token: {uri}"))?;
    tell(format_args!("public: {public}"))?;
    Ok(public)
}

/// A public key: as text, of a `.pub` file, or of a key in a token, which is made if it does not exist.
pub fn public_of(text: &str) -> Result<PublicKey, Failure> {
    match text.parse().map_err(Failure::error)? {
        KeyName::Token(uri) => find_or_make(&uri, Algorithm::EdDsa, None),
        KeyName::File(_) => public_key(text),
    }
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

/// The public half of a key in a token, which is made if it does not exist. The PIN is of the URI's source or of the file, or
/// asked for.
pub fn find_or_make(uri: &KeyUri, algorithm: Algorithm, pin_file: Option<&Path>) -> Result<PublicKey, Failure> {
    match open_token(uri, TOKEN_ANSWER_MAX, |prompt| pin(pin_file, prompt).map_err(Opening::Secret)) {
        Ok(key) => Ok(key.public()),
        Err(Opening::Token(TokenError::NoKey { .. })) => {
            make_in_token(uri, algorithm, |prompt| pin(pin_file, prompt), beside)
        }
        Err(Opening::Token(error)) => Err(error.into()),
        Err(Opening::Secret(failure)) => Err(failure),
    }
}

/// `registrar.pem.pub` beside `registrar.pem`.
pub fn public_file(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// A public key as text, or in a file.
pub fn public_key(text: &str) -> Result<PublicKey, Failure> {
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
            (Some(uri), _) => {
                make_in_token(uri, self.algorithm, |prompt| passphrase(secret, prompt), answer).map(|_| ())
            }
            (None, Some(file)) => make(file, self.algorithm, secret, answer).map(|_| ()),
            (None, None) => Err(Failure::error("name the file to write, or a token with --pkcs11")),
        }
    }
}

impl Show {
    fn run(self) -> Done {
        let path = Path::new(&self.what);
        if !path.is_file() && self.what.parse::<PrincipalId>().is_ok() {
            return principal::show(&self.connection, &self.what.parse().map_err(Failure::error)?, self.json);
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
}

impl Add {
    fn run(self) -> Done {
        let Self { key } = self;
        let operation = |principal, key, assurance| Operation::KeyAdd { principal, key, assurance };
        key.give("add a key of", operation, "too")
    }
}

impl NewKey {
    /// Has the key given by the operation.
    ///
    /// # Errors
    /// When it is refused, or something of it cannot be read.
    pub fn give(self, verb: &str, operation: fn(PrincipalId, PublicKey, Assurance) -> Operation, beside: &str) -> Done {
        let key = public_key(&self.public)?;
        let Self { principal, assurance, acting, .. } = self;
        let (subject, told) = (format!("{verb} {principal}"), format!("{principal} signs with {key} {beside}"));
        acting.begin()?.act(subject, vec![operation(principal, key, assurance)], told).map(drop)
    }
}

impl Rotate {
    fn run(self) -> Done {
        let session = self.acting.begin()?;
        let principal = self.principal.clone().unwrap_or_else(|| session.signer.principal().clone());
        let old = match &self.old {
            Some(text) => public_key(text)?,
            None if principal == *session.signer.principal() => session.signer.key().public(),
            None => return Err(Failure::error(format!("name the key of {principal} that ends with --old"))),
        };
        let (new, held) = self.new_key(old.algorithm(), principal == *session.signer.principal())?;
        let overlap = self.overlap.saturating_mul(3_600);
        let mut operations = vec![Operation::KeyRotate { principal: principal.clone(), old, new, overlap }];
        if let Some(authority) = &self.authority {
            let (authority, chain) = ca::chain(&self.certificate, authority, &new)?;
            operations.push(Operation::KeyCertify { principal: principal.clone(), key: new, authority, chain });
        }
        let told = match self.overlap {
            0 => format!("{principal} signs with {new} from now on; {old} has ended"),
            1 => format!("{principal} signs with {new} from now on, and for an hour with {old} too"),
            hours => format!("{principal} signs with {new} from now on, and for {hours} hours with {old} too"),
        };
        let done = session.act(format!("rotate key of {principal}"), operations, told)?;
        if let Some(name) = held.filter(|_| done && principal == *session.signer.principal()) {
            line(format_args!("sign with it by --key '{name}', or put that into tally.toml"))?;
        }
        Ok(())
    }

    /// The key that begins, and its name if its private half is at hand. A key is made only where that is said or cannot be
    /// meant otherwise: of a word misspelt there must come no key to which a working one gives way.
    fn new_key(&self, algorithm: Algorithm, is_own: bool) -> Result<(PublicKey, Option<KeyName>), Failure> {
        let (secret, text) = (self.new_passphrase_file.as_deref(), self.new.as_str());
        let name: KeyName = text.parse().map_err(Failure::error)?;
        if self.make && !is_own {
            return Err(Failure::error(
                "a key is made by who will sign with it: have its holder run `tally key new`, and name the .pub file with --new",
            ));
        }
        let key = match &name {
            KeyName::Token(uri) if self.make => make_in_token(uri, algorithm, |prompt| pin(secret, prompt), beside)?,
            KeyName::Token(uri) if is_own => find_or_make(uri, algorithm, secret)?,
            KeyName::Token(_) => name.open(TOKEN_ANSWER_MAX, |prompt| pin(secret, prompt))?.public(),
            KeyName::File(file) if self.make => make_anew(file, text, algorithm, secret)?,
            KeyName::File(file) => match public_key(text) {
                Ok(key) => return Ok((key, (file.is_file() && !is_public_file(text)).then_some(name))),
                Err(_) if file.is_file() && !is_public_file(text) => unlock(&name, secret)?.public(),
                Err(_) if !file.exists() && !is_key_text(text) => {
                    let remedy = if is_own { ", or add --make to have a new key made there" } else { "" };
                    return Err(Failure::error(format!("there is no file `{text}`: check its name{remedy}")));
                }
                Err(failure) => return Err(failure),
            },
        };
        Ok((key, Some(name)))
    }
}

/// Makes a key in a file that must be new, and whose name is not that of another thing.
fn make_anew(file: &Path, text: &str, algorithm: Algorithm, secret: Option<&Path>) -> Result<PublicKey, Failure> {
    if is_key_text(text) || is_public_file(text) {
        return Err(Failure::error(format!(
            "`{text}` names a public key, and --make makes a private one: name a new file such as next.pem, or leave --make out"
        )));
    }
    if file.exists() {
        return Err(Failure::error(format!("`{text}` is there already: leave --make out to rotate to the key in it")));
    }
    make(file, algorithm, secret, beside)
}

/// Whether it is a public key as text, right or wrong.
fn is_key_text(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, _)| algorithm.parse::<Algorithm>().is_ok())
}

fn is_public_file(text: &str) -> bool {
    text.ends_with(".pub")
}

impl Retire {
    fn run(self) -> Done {
        let key = public_key(&self.public)?;
        let Self { principal, acting, .. } = self;
        let (subject, told) = (format!("retire key of {principal}"), format!("{key} of {principal} has ended"));
        acting.begin()?.act(subject, vec![Operation::KeyRetire { principal, key }], told).map(drop)
    }
}

impl Certify {
    fn run(self) -> Done {
        let session = self.acting.begin()?;
        let principal = self.principal.clone().unwrap_or_else(|| session.signer.principal().clone());
        let key = match &self.public {
            Some(text) => public_key(text)?,
            None if principal == *session.signer.principal() => session.signer.key().public(),
            None => return Err(Failure::error(format!("name the key of {principal} with --public"))),
        };
        let (authority, chain) = ca::chain(&self.certificate, &self.authority, &key)?;
        let (subject, told) = (format!("certify key of {principal}"), format!("{key} of {principal} is certified"));
        session.act(subject, vec![Operation::KeyCertify { principal, key, authority, chain }], told).map(drop)
    }
}
