//! The secret of a node that holds sealed values: 32 bytes in a key file of its own, from which its other secrets come.
//!
//! ```text
//! sealing.pem ──HKDF-SHA-256──┬─ "tallystick sealing 1: vault"    what its vault is under
//!                             └─ "tallystick sealing 1: x25519"   what parcels to it are encrypted to
//! ```
//!
//! Inside the file, encrypted as a private key is (PKCS#5 by scrypt and AES-256-CBC): `SEQUENCE { secret, check }`, both OCTET STRINGs
//! of 32 bytes. The check tells a wrong passphrase from the right one.
//!
//! INVARIANT: whoever loses this secret has lost all that its vault keeps; nothing of it is ever shown.

use crate::keyfile::{self, KeyFileError, Passphrase};
use aws_lc_rs::{
    agreement::{PrivateKey, X25519},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use std::{fmt, path::Path};
use tallystick_protocol::Hash;
use zeroize::Zeroizing;

/// What begins such a file.
const LABEL: &str = "TALLYSTICK ENCRYPTED SEALING SECRET";
/// Bytes of the secret, and of all that comes from it.
const BYTES: usize = 32;
/// Separates its uses from all others; a change of what is derived changes its number.
const DOMAIN: &str = "tallystick sealing 1";
/// `SEQUENCE` of 68 bytes, `OCTET STRING` of 32.
const SECRET_HEAD: [u8; 4] = [0x30, 0x44, 0x04, 0x20];
/// `OCTET STRING` of 32.
const CHECK_HEAD: [u8; 2] = [0x04, 0x20];

/// The secret, cleared from memory when it is dropped.
pub struct SealingSecret(Zeroizing<[u8; BYTES]>);

impl SealingSecret {
    /// A new one.
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; BYTES]);
        rand::Rng::fill_bytes(&mut crate::randomness(), secret.as_mut_slice());
        Self(secret)
    }

    /// The secret of these bytes.
    pub const fn from_bytes(bytes: Zeroizing<[u8; BYTES]>) -> Self {
        Self(bytes)
    }

    /// Writes it to a new file that only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write(&self, path: &Path, passphrase: &Passphrase) -> Result<(), KeyFileError> {
        let check = check(&self.0);
        // As long as it becomes from the first, so that no copy is left behind.
        let mut der = Zeroizing::new(Vec::with_capacity(SECRET_HEAD.len() + CHECK_HEAD.len() + 2 * BYTES));
        for part in [SECRET_HEAD.as_slice(), self.0.as_slice(), &CHECK_HEAD, &check.0] {
            der.extend_from_slice(part);
        }
        keyfile::write_sealed(path, LABEL, &der, passphrase)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the file cannot be read, is none, or the passphrase is another one.
    pub fn read(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyFileError> {
        let not_one = || KeyFileError::NotASealingSecret(path.to_owned());
        let der = keyfile::read_sealed(path, LABEL, passphrase, &not_one)?;
        let wrong = || KeyFileError::WrongPassphrase(path.to_owned());
        let (secret, rest) =
            der.strip_prefix(&SECRET_HEAD).and_then(|rest| rest.split_first_chunk::<BYTES>()).ok_or_else(wrong)?;
        let secret = Zeroizing::new(*secret);
        match rest.strip_prefix(&CHECK_HEAD) {
            Some(found) if found == check(&secret).0 => Ok(Self(secret)),
            _ => Err(wrong()),
        }
    }

    /// The key of its vault.
    pub fn vault_key(&self) -> Zeroizing<[u8; BYTES]> {
        self.derive("vault")
    }

    /// The X25519 secret that opens parcels.
    pub fn parcel_secret(&self) -> Zeroizing<[u8; BYTES]> {
        self.derive("x25519")
    }

    /// The X25519 public key that parcels are encrypted to: what a node is registered with.
    pub fn public(&self) -> [u8; BYTES] {
        let key = PrivateKey::from_private_key(&X25519, self.parcel_secret().as_slice());
        let public = key.ok().and_then(|key| key.compute_public_key().ok());
        match public.and_then(|public| public.as_ref().try_into().ok()) {
            Some(public) => public,
            None => unreachable!("any {BYTES} bytes are a secret of X25519"),
        }
    }

    fn derive(&self, what: &str) -> Zeroizing<[u8; BYTES]> {
        let info = format!("{DOMAIN}: {what}");
        let mut derived = Zeroizing::new([0; BYTES]);
        let root = Salt::new(HKDF_SHA256, &[]).extract(self.0.as_slice());
        let filled = root.expand(&[info.as_bytes()], Length).and_then(|key| key.fill(derived.as_mut_slice()));
        match filled {
            Ok(()) => derived,
            Err(_) => unreachable!("HKDF gives as few bytes as {BYTES}"),
        }
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingSecret(…)")
    }
}

/// Bytes that are asked of HKDF.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        BYTES
    }
}

/// What only this secret gives.
fn check(secret: &[u8; BYTES]) -> Hash {
    Hash::of(&[DOMAIN.as_bytes(), b": check", secret])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn secret(n: u8) -> SealingSecret {
        SealingSecret::from_bytes([n; BYTES].into())
    }

    #[test]
    fn what_comes_of_a_secret_is_what_it_was() {
        // By another implementation: Python's `cryptography`, HKDF(SHA256, 32, salt=None, info) and X25519.
        let one = secret(1);
        assert_eq!(hex::encode(*one.vault_key()), "2c5a8be5646d5de57dbe6c28fc8b8fab5b275bc3d00e8847fc7d2d9131779574");
        assert_eq!(
            hex::encode(*one.parcel_secret()),
            "f5efe329d2b85f02ccc2f42892219e72b5f94c1e8a6b8103c484ecde303271b3"
        );
        assert_eq!(hex::encode(one.public()), "cb2c4f45ab91d94ce50823ebda65f3d2e728cbdc3fb6142a429fbee042b7021b");
        assert_ne!(secret(2).vault_key(), one.vault_key());
        assert_eq!(format!("{one:?}"), "SealingSecret(…)");
    }

    #[test]
    fn a_secret_comes_back_from_its_file_with_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.pem");
        let (passphrase, made) = (Passphrase::new("correct horse").unwrap(), SealingSecret::generate());
        made.write(&path, &passphrase).unwrap();
        assert_eq!(SealingSecret::read(&path, &passphrase).unwrap().public(), made.public());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN TALLYSTICK ENCRYPTED SEALING SECRET-----\n"), "{text}");
        assert!(matches!(made.write(&path, &passphrase), Err(KeyFileError::Exists(_))));
        for n in 0..3 {
            let wrong = Passphrase::new(format!("wrong {n}")).unwrap();
            let error = SealingSecret::read(&path, &wrong).unwrap_err();
            assert!(matches!(error, KeyFileError::WrongPassphrase(_)), "{error}");
        }
        let key = dir.path().join("key.pem");
        keyfile::write(&key, &keyfile::generate(tallystick_protocol::Algorithm::EdDsa).unwrap(), &passphrase).unwrap();
        let error = SealingSecret::read(&key, &passphrase).unwrap_err();
        assert!(matches!(error, KeyFileError::NotASealingSecret(_)), "{error}");
        assert!(matches!(keyfile::read(&path, &passphrase), Err(KeyFileError::NotAKey(_))));
    }
}
