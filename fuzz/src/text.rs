//! What people and other programs write as text: names, keys, `network.json`, and the header of a signed question.

use std::{
    fmt::{Debug, Display},
    str::FromStr,
    sync::LazyLock,
};

use tallystick_protocol::{
    Algorithm, Genesis, Hash, Jurisdiction, MandateId, NetworkId, PolicyId, PrincipalId, Protection, PublicKey, Query,
    Registration, Resource, Roles, SealingKey, Share, Subject, limits::QUERY_BYTES_MAX,
};

use super::{choices::Choices, decode::material, sample};

/// One of each, in the order of [`text_parse`].
const TEXTS: [&str; 14] = [
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "cf00ce556d1da068aa650ea002602c01",
    "ed25519:8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
    "0900000000000000000000000000000000000000000000000000000000000000",
    "northern-lights/registrar",
    "charts/harbour/master/lights",
    "keeper:k-7",
    "lighthouse/keepers",
    "GB-COH-00445790",
    "GB-SCT",
    "record:lighthouse/L-1",
    "administrator,registrar",
    ">2/3",
    "personal:keeper:30",
];

/// Names, keys and ids have one spelling; roles, shares and protections may have several of one meaning, and are written back in one.
pub fn text_parse(data: &[u8]) {
    let bytes = material(data, |choices| TEXTS[choices.below(TEXTS.len())].into());
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    spelled::<Hash>(text);
    spelled::<NetworkId>(text);
    spelled::<PublicKey>(text);
    spelled::<SealingKey>(text);
    spelled::<PrincipalId>(text);
    spelled::<MandateId>(text);
    spelled::<Subject>(text);
    spelled::<PolicyId>(text);
    spelled::<Registration>(text);
    spelled::<Jurisdiction>(text);
    spelled::<Resource>(text);
    means::<Roles>(text);
    means::<Share>(text);
    means::<Protection>(text);
}

fn spelled<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "one meaning, one spelling: {}", std::any::type_name::<T>());
    }
}

fn means<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse().ok(), Some(value), "{text} is written back as something else");
    }
}

/// Whatever is taken for a `network.json` is written back as the same network.
pub fn genesis_parse(data: &[u8]) {
    let bytes = material(data, |_| sample::genesis().to_json().into_bytes());
    let Ok(genesis) = Genesis::from_json(&bytes) else { return };
    assert!(genesis.validate().is_ok() && genesis.validator_set().is_some());
    let again = Genesis::from_json(genesis.to_json().as_bytes());
    assert_eq!(again.as_ref(), Ok(&genesis));
    assert_eq!(again.map(|again| again.id()), Ok(genesis.id()));
}

const PATH: &str = "/v1/partitions/wrecks/registers";
const NETWORK: NetworkId = NetworkId([7; 16]);

/// Questions by keys of both algorithms, as their headers.
static QUESTIONS: LazyLock<[String; 2]> = LazyLock::new(|| {
    [Algorithm::EdDsa, Algorithm::Es256].map(|algorithm| {
        let principal = "northern-lights/registrar".parse().expect("an id");
        let query = Query::sign(&NETWORK, PATH, principal, 1_800_000_000, &sample::key(algorithm));
        query.expect("the key signs").to_header()
    })
});

/// A signed question is good as it was signed, for its path of its network; no other is.
pub fn query_forge(data: &[u8]) {
    let mut choices = Choices::new(data);
    let honest = &QUESTIONS[choices.below(QUESTIONS.len())];
    let (mut header, mut path, mut network) = (honest.clone().into_bytes(), PATH.to_owned(), NETWORK);
    match choices.below(6) {
        0 => header = choices.rest().to_vec(),
        1 => path = Query::path_with(PATH, choices.rest()),
        2 => path.push('/'),
        3 => network.0[choices.below(16)] ^= 1 << choices.below(8),
        _ => choices.damage(&mut header),
    }
    let Ok(header) = String::from_utf8(header) else { return };
    let is_of_this = path == PATH && network == NETWORK;
    let Ok(query) = Query::from_header(&header) else {
        assert!(header != *honest, "the honest question is read");
        return;
    };
    // Digits may be capitals: a header is no identifier.
    assert!(query.to_header().eq_ignore_ascii_case(&header), "one meaning, one spelling");
    assert!(header.len() <= "Tallystick ".len() + 2 * QUERY_BYTES_MAX);
    let is_honest = is_of_this && QUESTIONS.contains(&query.to_header());
    assert_eq!(query.verify(&network, &path).is_ok(), is_honest, "a question is good that nobody asked, or none is");
}
