//! The vault's keys, and what is encrypted under them: AES-256-GCM, and HMAC-SHA-256 for what is derived.
//!
//! ```text
//! vault key ──HMAC──┬─ names of files
//!                   ├─ what tells whether it is the right key
//!                   └─ wrapping key ──AES-256-GCM──▶ a subject's key ──AES-256-GCM──▶ its openings
//! ```
//!
//! A subject's key encrypts once: a change makes a new one. So its nonce is a constant, and that of the wrapping key random.

use super::Drawer;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac::{self, HMAC_SHA256},
};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a wrapped key: nonce, key, tag.
const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + 16;

/// What all of a vault is under. It is kept where the node keeps its own key, never in the vault; cleared when it is dropped.
pub struct VaultKey(Zeroizing<[u8; KEY_BYTES]>);

impl VaultKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }

    /// The key of these bytes.
    pub const fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the one who wraps it.
    pub fn reveal(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultKey(…)")
    }
}

/// What one state of one subject's openings is under.
pub(super) struct SubjectKey(Zeroizing<[u8; KEY_BYTES]>);

impl SubjectKey {
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(random(rng))
    }
}

fn random(rng: &mut impl CryptoRng) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(bytes.as_mut_slice());
    bytes
}

/// What is derived from the vault's key.
pub(super) struct Ciphers {
    names: hmac::Key,
    check: Vec<u8>,
    wrap: LessSafeKey,
}

impl Ciphers {
    pub fn new(key: &VaultKey) -> Self {
        let root = hmac::Key::new(HMAC_SHA256, key.reveal());
        let derive = |label: &str| hmac::sign(&root, label.as_bytes());
        Self {
            names: hmac::Key::new(HMAC_SHA256, derive("tallystick vault 1: names").as_ref()),
            check: derive("tallystick vault 1: check").as_ref().to_vec(),
            wrap: cipher(derive("tallystick vault 1: wrapping").as_ref()),
        }
    }

    /// What only this key gives.
    pub fn check(&self) -> Vec<u8> {
        self.check.clone()
    }

    /// The name of a drawer's files: it says nothing to those without the key.
    pub fn name<const N: usize>(&self, drawer: &Drawer) -> [u8; N] {
        let tag = hmac::sign(&self.names, drawer.text().as_bytes());
        let mut name = [0; N];
        name.iter_mut().zip(tag.as_ref()).for_each(|(byte, from)| *byte = *from);
        name
    }

    /// Encrypts under the subject's key, and wraps that; both belong to this file.
    pub fn seal(
        &self,
        file: &[u8],
        key: &SubjectKey,
        mut clear: Zeroizing<Vec<u8>>,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut wrapped = Zeroizing::new(key.0.to_vec());
        let key_tag = encrypt(&self.wrap, nonce, file, &mut wrapped);
        let tag = encrypt(&cipher(key.0.as_slice()), [0; NONCE_LEN], file, &mut clear);
        [nonce.as_slice(), &wrapped, &key_tag, &clear, &tag].concat()
    }

    /// What was encrypted; none when a byte of it, or its place, is another.
    pub fn open(&self, file: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (wrapped, body) = sealed.split_at_checked(WRAPPED_BYTES)?;
        let (nonce, wrapped) = wrapped.split_first_chunk::<NONCE_LEN>()?;
        let key = decrypt(&self.wrap, *nonce, file, wrapped)?;
        decrypt(&cipher(&key), [0; NONCE_LEN], file, body)
    }
}

fn cipher(key: &[u8]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM, key) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("a key of AES-256 has {KEY_BYTES} bytes"),
    }
}

/// Encrypts in place; gives the tag.
fn encrypt(cipher: &LessSafeKey, nonce: [u8; NONCE_LEN], file: &[u8], bytes: &mut [u8]) -> Vec<u8> {
    match cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(file), bytes) {
        Ok(tag) => tag.as_ref().to_vec(),
        Err(_) => unreachable!("a vault's file is shorter than AES-GCM can encrypt"),
    }
}

fn decrypt(cipher: &LessSafeKey, nonce: [u8; NONCE_LEN], file: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let clear = cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(file), &mut bytes).ok()?.len();
    bytes.truncate(clear);
    Some(bytes)
}
