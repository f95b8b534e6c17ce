//! Private keys in files: encrypted PKCS#8 (RFC 5958) in PEM, by scrypt and AES-256-CBC, as OpenSSL writes and reads it.
//!
//! INVARIANT: no private key is ever written unencrypted, and no file is ever overwritten.
//!
//! ```text
//! openssl pkey -in registrar.pem -noout -text          # shows one of our files
//! openssl genpkey -algorithm ed25519 | openssl pkcs8 -topk8 -scrypt -out registrar.pem     # makes one for us
//! ```

use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
    der::{Decode, asn1::OctetStringRef, pem::PemLabel},
    pkcs5::pbes2,
};
use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};
use tallystick_protocol::{
    Algorithm, SigningKey,
    limits::{KEY_FILE_BYTES_MAX, PASSPHRASE_FILE_BYTES_MAX},
};
use zeroize::Zeroizing;

/// A passphrase. It is wiped from memory when dropped, and no formatting shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The passphrase of this text.
    ///
    /// # Errors
    /// When it is empty: an empty passphrase protects nothing.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyFileError> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() { Err(KeyFileError::EmptyPassphrase) } else { Ok(Self(text)) }
    }

    /// A new one of 128 random bits, in words of four digits that can be read out aloud.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 16]);
        rand::Rng::fill_bytes(&mut crate::randomness(), bytes.as_mut_slice());
        let words: Vec<String> = bytes.chunks(2).map(hex::encode).collect();
        Self(Zeroizing::new(words.join("-")))
    }

    /// The passphrase that is the first line of a file.
    ///
    /// # Errors
    /// When the file cannot be read or its first line is empty.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = read_bounded(path, PASSPHRASE_FILE_BYTES_MAX)?;
        let line = text.lines().next().unwrap_or_default();
        Self::new(line).map_err(|_| KeyFileError::EmptyPassphraseFile(path.to_owned()))
    }

    /// Writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyFileError> {
        write_private(path, format!("{}\n", self.as_str()).as_bytes())
    }

    /// The text, for the one call that needs it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why a key or passphrase file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is a file already; keys are never overwritten.
    #[error("`{}` exists already, and a key file is never overwritten: choose another name, or move it away first", .0.display())]
    Exists(PathBuf),
    /// The file is no encrypted private key.
    #[error("`{}` is not an encrypted private key: it must be a PEM file that begins with `-----BEGIN ENCRYPTED PRIVATE KEY-----`", .0.display())]
    NotAKey(PathBuf),
    /// The file is no encrypted sealing secret.
    #[error("`{}` is not the sealing secret of a node: `tally node holder` makes one", .0.display())]
    NotASealingSecret(PathBuf),
    /// The file holds a private key that nothing protects.
    #[error("`{path}` holds a private key without a passphrase: protect it with `openssl pkcs8 -topk8 -scrypt -in {path} -out NEW`, then delete it", path = .0.display())]
    Unprotected(PathBuf),
    /// The passphrase is another one.
    #[error("wrong passphrase for `{}`, or the file is damaged: give the passphrase it was made with", .0.display())]
    WrongPassphrase(PathBuf),
    /// The key inside is of a kind that is not in use.
    #[error("`{}` holds a key of a kind that is not in use: make an Ed25519 or P-256 key with `tally key new`", .0.display())]
    Kind(PathBuf),
    /// An empty passphrase.
    #[error("the passphrase is empty: choose one of several words")]
    EmptyPassphrase,
    /// An empty passphrase file.
    #[error("the first line of the passphrase file `{}` is empty: write the passphrase there", .0.display())]
    EmptyPassphraseFile(PathBuf),
    /// The key could not be made or encoded.
    #[error("cannot make the key: {0}")]
    Make(String),
}

/// Makes a new key from the system's randomness.
///
/// # Errors
/// When the cryptographic library refuses, which happens only out of memory.
pub fn generate(algorithm: Algorithm) -> Result<SigningKey, KeyFileError> {
    SigningKey::generate(algorithm, &mut crate::randomness()).map_err(|error| KeyFileError::Make(error.to_string()))
}

/// Writes the key to a new file that only its owner may read.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write(path: &Path, key: &SigningKey, passphrase: &Passphrase) -> Result<(), KeyFileError> {
    let pem = encrypt(key, passphrase)?;
    write_private(path, pem.as_bytes())
}

/// Whether there is such a file, to be known before anybody is asked for its passphrase.
///
/// # Errors
/// When there is none.
pub fn exists(path: &Path) -> Result<(), KeyFileError> {
    if path.exists() {
        return Ok(());
    }
    Err(KeyFileError::Read { path: path.to_owned(), error: io::ErrorKind::NotFound.into() })
}

/// Reads a key.
///
/// # Errors
/// When the file cannot be read, is no encrypted key, or the passphrase is another one.
pub fn read(path: &Path, passphrase: &Passphrase) -> Result<SigningKey, KeyFileError> {
    let pem = read_bounded(path, KEY_FILE_BYTES_MAX)?;
    decrypt(&pem, passphrase, path)
}

fn encrypt(key: &SigningKey, passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyFileError> {
    let make = |error: &dyn fmt::Display| KeyFileError::Make(error.to_string());
    let der = key.to_pkcs8_der().map_err(|error| make(&error))?;
    let info = PrivateKeyInfoRef::from_der(&der).map_err(|error| make(&error))?;
    let encrypted =
        info.encrypt_with_rng(&mut crate::randomness(), passphrase.as_str()).map_err(|error| make(&error))?;
    encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).map_err(|error| make(&error))
}

fn decrypt(pem: &str, passphrase: &Passphrase, path: &Path) -> Result<SigningKey, KeyFileError> {
    let not_a_key = || KeyFileError::NotAKey(path.to_owned());
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| not_a_key())?;
    if label.ends_with("PRIVATE KEY") && label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
        return Err(KeyFileError::Unprotected(path.to_owned()));
    }
    if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
        return Err(not_a_key());
    }
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| not_a_key())?;
    let der = info.decrypt(passphrase.as_str()).map_err(|_| KeyFileError::WrongPassphrase(path.to_owned()))?;
    SigningKey::from_pkcs8_der(der.as_bytes()).map_err(|_| KeyFileError::Kind(path.to_owned()))
}

/// Writes other secret bytes, protected as a key is, under a label of their own.
pub(crate) fn write_sealed(
    path: &Path,
    label: &'static str,
    secret: &[u8],
    passphrase: &Passphrase,
) -> Result<(), KeyFileError> {
    let make = |error: &dyn fmt::Display| KeyFileError::Make(error.to_string());
    let scheme = pbes2::Parameters::generate_recommended(&mut crate::randomness()).map_err(|error| make(&error))?;
    let sealed = scheme.encrypt(passphrase.as_str(), secret).map_err(|error| make(&error))?;
    let encrypted_data = OctetStringRef::new(&sealed).map_err(|error| make(&error))?;
    let sealed = EncryptedPrivateKeyInfoRef { encryption_algorithm: scheme.into(), encrypted_data };
    let document = SecretDocument::try_from(sealed).map_err(|error| make(&error))?;
    let pem = document.to_pem(label, LineEnding::LF).map_err(|error| make(&error))?;
    write_private(path, pem.as_bytes())
}

/// Reads what [`write_sealed`] wrote; `not_one` when the file is none with this label. With another passphrase it is an error, or
/// once in a few hundred times other bytes: whoever asks must be able to tell.
pub(crate) fn read_sealed(
    path: &Path,
    label: &str,
    passphrase: &Passphrase,
    not_one: &dyn Fn() -> KeyFileError,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let pem = read_bounded(path, KEY_FILE_BYTES_MAX)?;
    let (found, document) = SecretDocument::from_pem(&pem).map_err(|_| not_one())?;
    if found != label {
        return Err(not_one());
    }
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| not_one())?;
    let opened = info.encryption_algorithm.decrypt(passphrase.as_str(), info.encrypted_data.as_ref());
    opened.map(Zeroizing::new).map_err(|_| KeyFileError::WrongPassphrase(path.to_owned()))
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, KeyFileError> {
    use io::Read;
    let read = |error| KeyFileError::Read { path: path.to_owned(), error };
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_string(&mut text)).map_err(|error| {
        match error.kind() {
            io::ErrorKind::InvalidData => KeyFileError::NotAKey(path.to_owned()),
            _ => read(error),
        }
    })?;
    Ok(text)
}

/// Writes a new file with mode 0600, durably.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Write { path: path.to_owned(), error },
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is worse than none: the next attempt would refuse to replace it.
        let _ = std::fs::remove_file(path);
        KeyFileError::Write { path: path.to_owned(), error }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]
    use super::*;
    use std::process::{Command, Stdio};

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse battery staple").unwrap()
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("registrar.pem");
            let key = generate(algorithm).unwrap();
            write(&path, &key, &passphrase()).unwrap();
            assert_eq!(read(&path, &passphrase()).unwrap().public(), key.public());
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
    }

    #[test]
    fn each_wrong_file_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registrar.pem");
        let key = generate(Algorithm::EdDsa).unwrap();
        assert!(matches!(read(&path, &passphrase()), Err(KeyFileError::Read { .. })));
        write(&path, &key, &passphrase()).unwrap();
        let other = Passphrase::new("wrong").unwrap();
        assert!(matches!(read(&path, &other), Err(KeyFileError::WrongPassphrase(_))));
        assert!(matches!(write(&path, &key, &passphrase()), Err(KeyFileError::Exists(_))));

        let text = dir.path().join("text");
        std::fs::write(&text, "not a key").unwrap();
        assert!(matches!(read(&text, &passphrase()), Err(KeyFileError::NotAKey(_))));
        std::fs::write(&text, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&text, &passphrase()), Err(KeyFileError::NotAKey(_))));
        let bare = SecretDocument::try_from(key.to_pkcs8_der().unwrap().as_slice()).unwrap();
        std::fs::write(&text, bare.to_pem("PRIVATE KEY", LineEnding::LF).unwrap().as_bytes()).unwrap();
        assert!(matches!(read(&text, &passphrase()), Err(KeyFileError::Unprotected(_))));
        assert!(matches!(Passphrase::new(""), Err(KeyFileError::EmptyPassphrase)));
    }

    #[test]
    fn a_damaged_file_never_gives_a_key() {
        let pem = encrypt(&generate(Algorithm::EdDsa).unwrap(), &passphrase()).unwrap();
        let (_, document) = SecretDocument::from_pem(&pem).unwrap();
        let key = decrypt(&pem, &passphrase(), Path::new("key.pem")).unwrap().public();
        for at in (0..document.as_bytes().len()).step_by(7) {
            let mut bytes = document.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x40;
            }
            let Ok(damaged) = SecretDocument::try_from(bytes.as_slice()) else { continue };
            let Ok(pem) = damaged.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF) else { continue };
            if let Ok(read) = decrypt(&pem, &passphrase(), Path::new("key.pem")) {
                assert_ne!(read.public(), key, "byte {at} changed and nobody noticed");
            }
        }
    }

    #[test]
    fn openssl_reads_our_files_and_we_read_its() {
        if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
            println!("openssl is not installed: its half of this test did not run");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let pass = format!("pass:{}", passphrase().as_str());
        for (algorithm, name) in [(Algorithm::EdDsa, "ED25519"), (Algorithm::Es256, "prime256v1")] {
            let ours = dir.path().join(format!("{name}.ours.pem"));
            write(&ours, &generate(algorithm).unwrap(), &passphrase()).unwrap();
            let shown = Command::new("openssl")
                .args(["pkey", "-noout", "-text", "-passin", &pass, "-in"])
                .arg(&ours)
                .output()
                .unwrap();
            assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
            assert!(String::from_utf8_lossy(&shown.stdout).contains(name));

            let bare = dir.path().join(format!("{name}.bare.pem"));
            let theirs = dir.path().join(format!("{name}.theirs.pem"));
            let make: &[&str] = match algorithm {
                Algorithm::EdDsa => &["genpkey", "-algorithm", "ed25519", "-out"],
                Algorithm::Es256 => &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"],
            };
            assert!(Command::new("openssl").args(make).arg(&bare).status().unwrap().success());
            let protect = ["pkcs8", "-topk8", "-scrypt", "-passout", &pass, "-in"];
            let status = Command::new("openssl").args(protect).arg(&bare).arg("-out").arg(&theirs).status().unwrap();
            assert!(status.success());
            assert_eq!(read(&theirs, &passphrase()).unwrap().algorithm(), algorithm);
        }
    }
}
