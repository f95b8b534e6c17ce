//! Keys in a real token, SoftHSM: made, found again, signing, and each thing that can be wrong with them.
//!
//! SoftHSM reads where its tokens lie from the environment, once in a process: each test runs itself again with a folder of
//! its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tallystick_client::{
    KeyName, Passphrase, Signer,
    pkcs11::{self, KeyUri, TokenError, TokenKey},
};
use tallystick_protocol::{Algorithm, NetworkId, Operation, Phase, PrincipalId, PublicKey, SigningKey};
use tallystick_tests::absent::skipped;

/// Where Debian's package `softhsm2` puts the module.
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// Says in a process where its tokens lie.
const FOLDER_VARIABLE: &str = "TALLY_TEST_TOKENS";
const PIN: &str = "correct horse";

/// Runs `test` in a process of its own, with a token `registry` of this PIN. Without SoftHSM it says so, and nothing ran; where
/// `CI` is set, that is a failure.
fn in_tokens(name: &str, test: impl FnOnce(&Path)) {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return test(Path::new(&folder));
    }
    if !Path::new(MODULE).is_file() {
        assert!(env::var_os("CI").is_none(), "there is no {MODULE}, and where everything is checked this must be");
        skipped(format_args!("{name}: there is no {MODULE}: install the package `softhsm2`"));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let configuration = dir.path().join("softhsm2.conf");
    fs::create_dir(dir.path().join("tokens")).unwrap();
    let tokens = dir.path().join("tokens").display().to_string();
    fs::write(&configuration, format!("directories.tokendir = {tokens}\nlog.level = ERROR\n")).unwrap();
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture"]).env("SOFTHSM2_CONF", &configuration).env(FOLDER_VARIABLE, dir.path());
    make_token(&configuration, "registry");
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn make_token(configuration: &Path, label: &str) {
    let make = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "officer"];
    let made = Command::new("softhsm2-util").args(make).env("SOFTHSM2_CONF", configuration).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn uri(path: &str) -> KeyUri {
    format!("pkcs11:{path}?module-path={MODULE}").parse().unwrap()
}

fn pin(_: &str) -> Result<Passphrase, TokenError> {
    Ok(Passphrase::new(PIN).unwrap())
}

fn make(path: &str, algorithm: Algorithm) -> PublicKey {
    pkcs11::generate(&uri(path), algorithm, pin).unwrap()
}

fn open(path: &str) -> Result<TokenKey, TokenError> {
    TokenKey::open(&uri(path), Duration::from_secs(10), pin)
}

/// The error of opening a key, as text.
#[track_caller]
fn refused(uri: &KeyUri, pin: &str) -> String {
    let opened = TokenKey::open(uri, Duration::from_secs(10), |_| Ok::<_, TokenError>(Passphrase::new(pin).unwrap()));
    let Err(error) = opened else { panic!("{uri} was opened") };
    error.to_string()
}

#[test]
fn a_token_signs_what_the_protocol_verifies() {
    in_tokens("a_token_signs_what_the_protocol_verifies", |_| {
        for (algorithm, object) in [(Algorithm::EdDsa, "registrar"), (Algorithm::Es256, "clerk")] {
            let path = format!("token=registry;object={object}");
            let public = make(&path, algorithm);
            assert_eq!(public.algorithm(), algorithm);
            let key = open(&path).unwrap().signing_key();
            assert_eq!((key.public(), key.algorithm()), (public, algorithm));
            // Enough that both halves of `s`, and a leading zero, turn up.
            for n in 0..600_u32 {
                let message = n.to_be_bytes();
                let signature = key.sign(&message).unwrap();
                assert_eq!(public.verify(&message, &signature), Ok(()), "{algorithm} {n}");
                assert!(public.verify(b"another", &signature).is_err());
            }
            assert!(key.ed25519_seed().is_none() && key.to_pkcs8_der().is_err());

            let principal = PrincipalId::new("companies-house", object).unwrap();
            let signer = Signer::new(NetworkId([7; 16]), principal, key);
            let close = Operation::RegisterPhase { register: "company".into(), phase: Phase::Closed, successor: None };
            assert!(signer.sign("close", vec![close]).unwrap().verify().is_ok());
        }
        let both = open("token=registry;object=registrar").unwrap();
        assert_ne!(
            both.public(),
            open("token=registry;object=clerk").unwrap().public(),
            "two keys of one token at once"
        );
    });
}

/// The module forgets every session and looks for its tokens again, as a device does that was without power.
fn restart_module() {
    Pkcs11::new(MODULE).unwrap().finalize().unwrap();
    Pkcs11::new(MODULE).unwrap().initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
}

/// A session of the test's own with the token.
fn session() -> Session {
    let module = Pkcs11::new(MODULE).unwrap();
    // Unless the process has begun already.
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slot = module.get_slots_with_initialized_token().unwrap().remove(0);
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    session
}

#[test]
fn a_token_gives_the_ed25519_signature_that_memory_gives() {
    in_tokens("a_token_gives_the_ed25519_signature_that_memory_gives", |_| {
        let ours = SigningKey::from_ed25519_seed(&[7; 32]);
        let session = session();
        let names = [
            Attribute::Token(true),
            Attribute::KeyType(KeyType::EC_EDWARDS),
            Attribute::Label(b"ours".to_vec()),
            Attribute::EcParams(b"\x13\x0cedwards25519".to_vec()),
        ];
        let seed = ours.ed25519_seed().unwrap().to_vec();
        let private = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Sign(true), Attribute::Value(seed)];
        let point = [b"\x04\x20", ours.public().as_bytes()].concat();
        let public = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::EcPoint(point)];
        session.create_object(&[&names[..], &private].concat()).unwrap();
        session.create_object(&[&names[..], &public].concat()).unwrap();
        let held = open("token=registry;object=ours").unwrap().signing_key();
        assert_eq!(held.public(), ours.public());
        assert_eq!(held.sign(b"act").unwrap(), ours.sign(b"act").unwrap());
    });
}

#[test]
fn a_device_that_forgot_its_sessions_is_logged_in_to_again() {
    in_tokens("a_device_that_forgot_its_sessions_is_logged_in_to_again", |_| {
        let public = make("token=registry;object=registrar", Algorithm::EdDsa);
        let key = open("token=registry;object=registrar").unwrap().signing_key();
        assert!(key.sign(b"before").is_ok());
        restart_module();
        assert_eq!(public.verify(b"after", &key.sign(b"after").unwrap()), Ok(()));
    });
}

#[test]
fn a_key_never_leaves_the_token_and_is_never_overwritten() {
    in_tokens("a_key_never_leaves_the_token_and_is_never_overwritten", |_| {
        make("token=registry;object=registrar;id=%01", Algorithm::EdDsa);
        let again = pkcs11::generate(&uri("token=registry;object=registrar"), Algorithm::Es256, pin).unwrap_err();
        assert!(again.to_string().contains("holds a key of") && again.to_string().contains("another label"), "{again}");
        make("token=registry;object=clerk;id=%02", Algorithm::EdDsa);
        assert_ne!(open("token=registry;id=%01").unwrap().public(), open("token=registry;id=%02").unwrap().public());
        restart_module();
        let session = session();
        let keys = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
        assert_eq!(keys.len(), 2);
        for key in keys {
            let expected = [
                Attribute::Sensitive(true),
                Attribute::AlwaysSensitive(true),
                Attribute::Extractable(false),
                Attribute::NeverExtractable(true),
            ];
            let types: Vec<AttributeType> = expected.iter().map(Attribute::attribute_type).collect();
            assert_eq!(session.get_attributes(key, &types).unwrap(), expected);
            assert!(
                session.get_attributes(key, &[AttributeType::Value]).unwrap().is_empty(),
                "the token shows a secret"
            );
        }
    });
}

#[test]
fn each_thing_that_is_wrong_names_token_key_and_remedy() {
    in_tokens("each_thing_that_is_wrong_names_token_key_and_remedy", |folder| {
        make("token=registry;object=registrar", Algorithm::EdDsa);
        let good = "token=registry;object=registrar";
        for (uri, pin, said) in [
            (uri("token=archive;object=registrar"), PIN, ["no token for", "`registry` (serial", "insert the token"]),
            (
                uri("token=registry;object=clerk"),
                PIN,
                ["object=clerk", "it holds `registrar`", "tally key new --pkcs11"],
            ),
            (uri(good), "wrong", ["wrong PIN", "`registry`", "correct it before you try again"]),
            (
                format!("pkcs11:{good}?module-path=/none.so").parse().unwrap(),
                PIN,
                ["`/none.so`", "install", "module-path"],
            ),
            (
                format!("pkcs11:{good}?module-path=/bin/true").parse().unwrap(),
                PIN,
                ["`/bin/true`", "cannot use", "correct"],
            ),
            (format!("pkcs11:{good}").parse().unwrap(), PIN, ["which software", "module-path", "TALLY_PKCS11_MODULE"]),
            (
                format!("pkcs11:{good}?module-path={MODULE}&pin-source=file:/none").parse().unwrap(),
                PIN,
                ["PIN of token `registry`", "cannot read", "/none"],
            ),
        ] {
            let error = refused(&uri, pin);
            for said in said {
                assert!(error.contains(said), "{uri}: {error}");
            }
            assert!(!error.contains(PIN), "{error}");
        }
        let file = folder.join("pin");
        fs::write(&file, format!("{PIN}\n")).unwrap();
        let named: KeyUri =
            format!("pkcs11:{good}?module-path={MODULE}&pin-source=file:{}", file.display()).parse().unwrap();
        let asked = |_: &str| -> Result<Passphrase, TokenError> { panic!("the name says where the PIN is") };
        assert!(TokenKey::open(&named, Duration::from_secs(10), asked).is_ok());
    });
}

#[test]
fn a_token_that_is_removed_says_so_and_goes_on_when_it_is_back() {
    in_tokens("a_token_that_is_removed_says_so_and_goes_on_when_it_is_back", |folder| {
        let public = make("token=registry;object=registrar", Algorithm::EdDsa);
        let key = open("token=registry;object=registrar").unwrap().signing_key();
        assert!(key.sign(b"before").is_ok());
        let (tokens, away) = (folder.join("tokens"), folder.join("away"));
        fs::rename(&tokens, &away).unwrap();
        fs::create_dir(&tokens).unwrap();
        let started = Instant::now();
        let error = key.sign(b"meanwhile").unwrap_err().to_string();
        assert!(started.elapsed() < Duration::from_secs(10));
        for said in ["`registry`", "removed", "insert it again"] {
            assert!(error.contains(said), "{error}");
        }
        fs::remove_dir(&tokens).unwrap();
        fs::rename(&away, &tokens).unwrap();
        restart_module();
        assert_eq!(public.verify(b"after", &key.sign(b"after").unwrap()), Ok(()));
    });
}

#[test]
fn tokens_and_keys_of_one_name_are_told_apart() {
    in_tokens("tokens_and_keys_of_one_name_are_told_apart", |_| {
        make_token(Path::new(&env::var_os("SOFTHSM2_CONF").unwrap()), "second");
        for token in ["registry", "second"] {
            make(&format!("token={token};object=registrar;id=%01"), Algorithm::Es256);
            make(&format!("token={token};object=registrar;id=%02"), Algorithm::EdDsa);
        }
        let error = refused(&uri("object=registrar;id=%01"), PIN);
        assert!(error.contains("several tokens") && error.contains("add `serial=`"), "{error}");
        let error = refused(&uri("token=second;object=registrar"), PIN);
        assert!(error.contains("2 private keys") && error.contains("add `id=`"), "{error}");
        assert_eq!(open("token=second;id=%01").unwrap().public().algorithm(), Algorithm::Es256);
        assert_eq!(open("token=second;id=%02").unwrap().public().algorithm(), Algorithm::EdDsa);
    });
}

#[test]
fn a_note_lies_beside_its_key_and_no_other() {
    in_tokens("a_note_lies_beside_its_key_and_no_other", |_| {
        make("token=registry;object=first", Algorithm::EdDsa);
        make("token=registry;object=second", Algorithm::EdDsa);
        let (first, second) =
            (open("token=registry;object=first").unwrap(), open("token=registry;object=second").unwrap());
        assert!(first.notes("mark").unwrap().is_empty());
        for text in [&b"journal 7"[..], b"journal 8"] {
            first.set_note("mark", text).unwrap();
            assert_eq!(first.notes("mark").unwrap(), [text]);
        }
        assert!(second.notes("mark").unwrap().is_empty());
        assert_eq!(open("token=registry;object=first").unwrap().notes("mark").unwrap(), [b"journal 8"]);
    });
}

#[test]
fn a_key_of_a_file_and_one_of_a_token_are_opened_alike() {
    in_tokens("a_key_of_a_file_and_one_of_a_token_are_opened_alike", |folder| {
        let public = make("token=registry;object=registrar", Algorithm::Es256);
        let file = folder.join("registrar.pem");
        let ours = SigningKey::from_ed25519_seed(&[9; 32]);
        tallystick_client::keyfile::write(&file, &ours, &Passphrase::new(PIN).unwrap()).unwrap();
        let mut asked = Vec::new();
        for (name, expected) in
            [(file.display().to_string(), ours.public()), (uri("token=registry;object=registrar").to_string(), public)]
        {
            let name: KeyName = name.parse().unwrap();
            let key = name.open::<tallystick_client::Error>(Duration::from_secs(10), |prompt| {
                asked.push(prompt.to_owned());
                Ok(Passphrase::new(PIN).unwrap())
            });
            assert_eq!(key.unwrap().public(), expected);
        }
        assert!(asked[0].contains("Passphrase of") && asked[1].contains("PIN of token registry"), "{asked:?}");
        let absent = KeyName::File(PathBuf::from("/none.pem"));
        let ask = |_: &str| -> Result<Passphrase, tallystick_client::Error> { panic!("there is nothing to open") };
        assert!(absent.open(Duration::from_secs(1), ask).is_err());
    });
}
