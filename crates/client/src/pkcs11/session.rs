//! One conversation with a token: find it, log in, find a key, make one, sign.
//!
//! What differs between tokens is evened out here: an Ed25519 curve is named by its object identifier or by a string, a public
//! key stands wrapped as an octet string, as a bit string or bare, and ECDSA is given the hash.

use super::{KeyUri, MODULE_VARIABLE, TokenError};
use crate::Passphrase;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as Cryptoki, RvError},
    mechanism::{
        Mechanism,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::AuthPin,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tallystick_protocol::{Algorithm, Hash, PublicKey, Signature};

/// A module is set up once in a process, however many keys it serves.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// prime256v1 as an object identifier (RFC 5480 section 2.1.1.1).
const P256_CURVE: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// The names of the Ed25519 curve: RFC 8410's object identifier, and the string that PKCS#11 3.0 and SoftHSM know.
const ED25519_CURVES: [&[u8]; 2] = [b"\x06\x03\x2b\x65\x70", b"\x13\x0cedwards25519"];
/// Bytes of the random identifier that joins the two halves of a new key.
const ID_BYTES: usize = 16;

/// A token that is there.
pub(super) struct Place {
    module: Pkcs11,
    slot: Slot,
    /// The token's label, for errors.
    pub token: String,
    /// Whether the token asks for the PIN itself, on its own keys.
    pub asks_itself: bool,
    uri: KeyUri,
}

/// A key in a token, in a session that is logged in.
pub(super) struct Held {
    session: Session,
    key: ObjectHandle,
    /// Its public half.
    pub public: PublicKey,
}

/// Finds the token that a key's name tells.
pub(super) fn find(uri: &KeyUri) -> Result<Place, TokenError> {
    let module = module(uri)?;
    let listed = |error: Cryptoki| TokenError::of(&error, &token_of(uri), uri, "be listed");
    let mut seen = Vec::new();
    let mut fitting = Vec::new();
    for slot in module.get_slots_with_token().map_err(listed)? {
        // A slot whose token was just pulled out is none.
        let Ok(info) = module.get_token_info(slot) else { continue };
        if !info.token_initialized() {
            continue;
        }
        seen.push(shown(&info));
        if fits(uri, slot, &info) {
            fitting.push((slot, info));
        }
    }
    match fitting.as_slice() {
        [] => Err(TokenError::NoToken { uri: uri.to_string(), seen: list(&seen) }),
        [(slot, info)] => Ok(Place {
            module,
            slot: *slot,
            token: info.label().trim_end().to_owned(),
            asks_itself: info.protected_authentication_path(),
            uri: uri.clone(),
        }),
        several => {
            let seen: Vec<String> = several.iter().map(|(_, info)| shown(info)).collect();
            Err(TokenError::SeveralTokens { uri: uri.to_string(), seen: list(&seen) })
        }
    }
}

fn module(uri: &KeyUri) -> Result<Pkcs11, TokenError> {
    let path = match (&uri.module, std::env::var_os(MODULE_VARIABLE)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => path.into(),
        (None, None) => return Err(TokenError::NoModule(uri.to_string())),
    };
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(&path) {
        return Ok(module.clone());
    }
    let module = start(&path).map_err(|error| TokenError::Module { path: path.clone(), error: error.to_string() })?;
    modules.insert(path, module.clone());
    Ok(module)
}

fn start(path: &Path) -> Result<Pkcs11, Cryptoki> {
    let module = Pkcs11::new(path)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(error),
    }
}

/// The token as its name tells it, before it is found.
fn token_of(uri: &KeyUri) -> String {
    uri.token.clone().or_else(|| uri.serial.clone()).unwrap_or_else(|| "(any)".to_owned())
}

fn shown(info: &TokenInfo) -> String {
    format!("`{}` (serial {})", info.label().trim_end(), info.serial_number().trim_end())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn fits(uri: &KeyUri, slot: Slot, info: &TokenInfo) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is.trim_end());
    same(&uri.token, info.label())
        && same(&uri.serial, info.serial_number())
        && same(&uri.manufacturer, info.manufacturer_id())
        && same(&uri.model, info.model())
        && uri.slot.is_none_or(|wanted| wanted == slot.id())
}

impl Place {
    fn says(&self, what: &'static str) -> impl Fn(Cryptoki) -> TokenError + '_ {
        move |error| TokenError::of(&error, &self.token, &self.uri, what)
    }

    /// Opens a session that is logged in; `writes` when it is to make an object. No PIN for a token that asks for it itself.
    pub(super) fn log_in(&self, pin: Option<&Passphrase>, writes: bool) -> Result<Session, TokenError> {
        let open = if writes { Pkcs11::open_rw_session } else { Pkcs11::open_ro_session };
        let session = open(&self.module, self.slot).map_err(self.says("open a session"))?;
        let pin = pin.map(|pin| AuthPin::from(pin.as_str()));
        match session.login(UserType::User, pin.as_ref()) {
            // Another key of this process is in the same token.
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(self.says("log in")(error)),
        }
    }

    /// What tells objects of `class` that the key's name means.
    fn template(&self, class: ObjectClass) -> Vec<Attribute> {
        let label = self.uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec()));
        let id = self.uri.id.clone().map(Attribute::Id);
        [Attribute::Class(class), Attribute::Token(true)].into_iter().chain(label).chain(id).collect()
    }

    /// The key of the name, in the session.
    pub(super) fn key(&self, session: Session) -> Result<Held, TokenError> {
        let (token, uri) = (self.token.clone(), self.uri.to_string());
        let keys =
            session.find_objects(&self.template(ObjectClass::PRIVATE_KEY)).map_err(self.says("look for the key"))?;
        let key = match keys.as_slice() {
            [key] => *key,
            [] => return Err(TokenError::NoKey { token, uri, seen: self.labels(&session)? }),
            several => return Err(TokenError::SeveralKeys { token, uri, count: several.len() }),
        };
        let public = self.public(&session, key)?;
        Ok(Held { session, key, public })
    }

    fn labels(&self, session: &Session) -> Result<String, TokenError> {
        let all = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true)];
        let mut labels = Vec::new();
        for key in session.find_objects(&all).map_err(self.says("list its keys"))? {
            for attribute in session.get_attributes(key, &[AttributeType::Label]).unwrap_or_default() {
                if let Attribute::Label(label) = attribute {
                    labels.push(format!("`{}`", String::from_utf8_lossy(&label)));
                }
            }
        }
        Ok(list(&labels))
    }

    /// The public half, from the private key's own attributes or from the public key beside it.
    fn public(&self, session: &Session, key: ObjectHandle) -> Result<PublicKey, TokenError> {
        let kind =
            |why: &str| TokenError::Kind { token: self.token.clone(), uri: self.uri.to_string(), why: why.to_owned() };
        let wanted = [AttributeType::KeyType, AttributeType::EcParams, AttributeType::Id];
        let attributes = session.get_attributes(key, &wanted).map_err(self.says("show the key"))?;
        let (mut algorithm, mut id) = (None, None);
        let mut curve_is_p256 = false;
        for attribute in attributes {
            match attribute {
                Attribute::KeyType(KeyType::EC_EDWARDS) => algorithm = Some(Algorithm::EdDsa),
                Attribute::KeyType(KeyType::EC) => algorithm = Some(Algorithm::Es256),
                Attribute::EcParams(curve) => curve_is_p256 = curve == P256_CURVE,
                Attribute::Id(found) => id = Some(found).filter(|id| !id.is_empty()),
                _ => {}
            }
        }
        let algorithm = algorithm.ok_or_else(|| kind("it is neither an Ed25519 nor a P-256 key"))?;
        if algorithm == Algorithm::Es256 && !curve_is_p256 {
            return Err(kind("it lies on another curve than P-256"));
        }
        let mut template = self.template(ObjectClass::PUBLIC_KEY);
        if let (Some(id), None) = (id, &self.uri.id) {
            template.push(Attribute::Id(id));
        }
        let beside = session.find_objects(&template).map_err(self.says("look for the public key"))?;
        for object in beside.into_iter().chain([key]) {
            for attribute in session.get_attributes(object, &[AttributeType::EcPoint]).unwrap_or_default() {
                if let Attribute::EcPoint(point) = attribute
                    && let Some(public) = public_key(algorithm, &point)
                {
                    return Ok(public);
                }
            }
        }
        Err(kind("its public half is not in the token"))
    }

    /// Makes a key of the name that can never be taken out.
    pub(super) fn make(&self, session: Session, algorithm: Algorithm) -> Result<Held, TokenError> {
        let same =
            session.find_objects(&self.template(ObjectClass::PRIVATE_KEY)).map_err(self.says("list its keys"))?;
        if !same.is_empty() {
            return Err(TokenError::Exists { token: self.token.clone(), uri: self.uri.to_string() });
        }
        let mut random = vec![0; ID_BYTES];
        rand::Rng::fill_bytes(&mut crate::randomness(), &mut random);
        let id = self.uri.id.clone().unwrap_or(random);
        let label = self.uri.object.clone().unwrap_or_else(|| "tally".to_owned()).into_bytes();
        let names = [Attribute::Token(true), Attribute::Label(label), Attribute::Id(id)];
        let rights = [
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let private: Vec<Attribute> = names.iter().chain(&rights).cloned().collect();
        let (mechanism, curves): (_, &[&[u8]]) = match algorithm {
            Algorithm::EdDsa => (Mechanism::EccEdwardsKeyPairGen, &ED25519_CURVES),
            Algorithm::Es256 => (Mechanism::EccKeyPairGen, &[P256_CURVE]),
        };
        let mut said = None;
        for curve in curves {
            let rest = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(curve.to_vec())];
            let public: Vec<Attribute> = names.iter().chain(&rest).cloned().collect();
            match session.generate_key_pair(&mechanism, &public, &private) {
                Ok(_) => return self.key(session),
                Err(error) => said = Some(error),
            }
        }
        let error = said.unwrap_or(Cryptoki::NotSupported);
        Err(TokenError::of(&error, &self.token, &self.uri, "make a key"))
    }
}

impl Held {
    /// Asks the token for something of the key that it gives without a touch.
    pub(super) fn is_there(&self) -> Result<(), Cryptoki> {
        self.session.get_attributes(self.key, &[AttributeType::KeyType]).map(drop)
    }

    /// Signs `message` whole. The signature is not checked here.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Cryptoki> {
        let bytes = match self.public {
            PublicKey::Ed25519(_) => {
                let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
                self.session.sign(&mechanism, self.key, message)?
            }
            // Every token knows ECDSA over a given hash; not every one hashes.
            PublicKey::P256(_) => self.session.sign(&Mechanism::Ecdsa, self.key, &Hash::of(&[message]).0)?,
        };
        signature(&bytes).ok_or(Cryptoki::InvalidValue)
    }

    /// The data objects of this name whose values begin with the public key's bytes, and the rest of the values.
    pub(super) fn notes(&self, label: &str) -> Result<Vec<(ObjectHandle, Vec<u8>)>, Cryptoki> {
        let mut notes = Vec::new();
        for object in self.session.find_objects(&note(label, Vec::new()).split_off(1))? {
            for attribute in self.session.get_attributes(object, &[AttributeType::Value])? {
                if let Attribute::Value(value) = attribute
                    && let Some(text) = value.strip_prefix(self.public.as_bytes())
                {
                    notes.push((object, text.to_vec()));
                }
            }
        }
        Ok(notes)
    }

    /// Writes a data object of this name, and removes those before it: never without one.
    pub(super) fn set_note(&self, label: &str, text: &[u8]) -> Result<(), Cryptoki> {
        let old = self.notes(label)?;
        self.session.create_object(&note(label, [self.public.as_bytes(), text].concat()))?;
        old.into_iter().try_for_each(|(object, _)| self.session.destroy_object(object))
    }
}

/// A data object: its value first, then what it is found by.
fn note(label: &str, value: Vec<u8>) -> Vec<Attribute> {
    vec![
        Attribute::Value(value),
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// The public key of a `CKA_EC_POINT`: as an octet string (`04`), as a bit string (`03`), or bare.
fn public_key(algorithm: Algorithm, point: &[u8]) -> Option<PublicKey> {
    let bare = |tag: &[u8], length: usize| point.strip_prefix(tag).filter(|rest| rest.len() == length);
    let key = match algorithm {
        Algorithm::EdDsa => {
            let bytes = bare(b"\x04\x20", 32).or_else(|| bare(b"\x03\x21\x00", 32)).unwrap_or(point);
            PublicKey::Ed25519(bytes.try_into().ok()?)
        }
        Algorithm::Es256 => {
            let bytes = bare(b"\x04\x41", 65).or_else(|| bare(b"\x04\x21", 33)).unwrap_or(point);
            PublicKey::P256(compressed(bytes)?)
        }
    };
    key.validate().ok().map(|()| key)
}

/// A SEC 1 point, compressed.
fn compressed(point: &[u8]) -> Option<[u8; 33]> {
    let Some(coordinates) = point.strip_prefix(&[4]) else { return point.try_into().ok() };
    let coordinates: &[u8; 64] = coordinates.try_into().ok()?;
    let (x, y) = coordinates.split_at(32);
    let mut compressed = [2 | (y.last()? & 1); 33];
    compressed.get_mut(1..)?.copy_from_slice(x);
    Some(compressed)
}

/// A signature of 64 bytes; a token may leave out the leading zeros of both halves of an ECDSA one.
fn signature(bytes: &[u8]) -> Option<Signature> {
    let half = bytes.len() / 2;
    if !bytes.len().is_multiple_of(2) || half > 32 {
        return None;
    }
    let (r, s) = bytes.split_at(half);
    let mut signature = [0; 64];
    signature.get_mut(32 - half..32)?.copy_from_slice(r);
    signature.get_mut(64 - half..)?.copy_from_slice(s);
    Some(signature)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::SigningKey;

    /// The public key as the other tools write it: SEC 1 uncompressed, from the library that makes the keys.
    fn uncompressed(scalar: &[u8; 32]) -> (PublicKey, Vec<u8>) {
        let key = SigningKey::from_p256_scalar(scalar).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        (key.public(), der[der.len() - 65..].to_vec())
    }

    #[test]
    fn public_keys_are_read_in_every_wrapping() {
        for n in 1..20 {
            let (key, point) = uncompressed(&[n; 32]);
            for wrapping in [&b""[..], b"\x04\x41"] {
                assert_eq!(public_key(Algorithm::Es256, &[wrapping, &point].concat()), Some(key));
            }
            for wrapping in [&b""[..], b"\x04\x21"] {
                assert_eq!(public_key(Algorithm::Es256, &[wrapping, key.as_bytes()].concat()), Some(key));
            }
            let key = SigningKey::from_ed25519_seed(&[n; 32]).public();
            for wrapping in [&b""[..], b"\x04\x20", b"\x03\x21\x00"] {
                assert_eq!(public_key(Algorithm::EdDsa, &[wrapping, key.as_bytes()].concat()), Some(key));
            }
        }
        for wrong in [&[][..], &[5; 65], &[0; 31], &[0; 33], &[9; 31]] {
            assert_eq!(public_key(Algorithm::Es256, wrong), None);
            assert_eq!(public_key(Algorithm::EdDsa, wrong), None);
        }
    }

    #[test]
    fn signatures_are_of_64_bytes() {
        assert_eq!(signature(&[7; 64]), Some([7; 64]));
        let short = signature(&[7; 62]).unwrap();
        assert_eq!((short[0], short[1], short[32], short[33]), (0, 7, 0, 7));
        assert_eq!(signature(&[7; 63]), None);
        assert_eq!(signature(&[7; 66]), None);
    }
}
