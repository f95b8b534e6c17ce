//! Private payloads, and the parcels that carry them.

use rand::{SeedableRng as _, rngs::StdRng};
use std::sync::LazyLock;
use tallystick_protocol::{
    Evidence, NetworkId, OrderedParcel, ParcelSecret, Payload, StateKey,
    limits::{PARCEL_CLASS_MAX, PARCEL_CLASS_MIN},
};

use super::{choices::Choices, decode::material, sample};

const PARTITION: &str = "wrecks";

/// A payload, what is ordered of it, and a parcel of it to somebody.
struct Sent {
    payload: Payload,
    network: NetworkId,
    ordered: OrderedParcel,
    parcel: Vec<u8>,
    secret: ParcelSecret,
}

/// Encrypting is slow beside all else here.
static SENT: LazyLock<Sent> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(7);
    let rows = [(StateKey::counters(), Some(vec![1, 2, 3])), (StateKey::partition(PARTITION), None)];
    let transaction = sample::transactions()[0].bytes().clone();
    let payload =
        Payload::new(vec![transaction], Evidence { height: 9, rows: rows.into() }, &mut rng).expect("a payload");
    let network = NetworkId([7; 16]);
    let secret = ParcelSecret::from_bytes(&[9; 32].into()).expect("a secret");
    let ordered = payload.ordered(&network, PARTITION).expect("a commitment");
    let to = secret.public().expect("a key");
    let parcel = payload.seal(&network, PARTITION, &to, &mut rng).expect("a parcel").to_vec();
    Sent { payload, network, ordered, parcel, secret }
});

/// What is accepted as a payload has one spelling.
pub fn payload_decode(data: &[u8]) {
    let bytes = material(data, |_| SENT.payload.to_bytes().to_vec());
    let Ok(decoded) = Payload::decode(&bytes) else { return };
    assert!(bytes.len() <= 1 << PARCEL_CLASS_MAX);
    assert_eq!(*decoded.to_bytes(), bytes, "one meaning, one spelling");
}

/// No parcel opens but the honest one, under what was ordered of it and in its own partition.
pub fn parcel_forge(data: &[u8]) {
    let Sent { payload, network, ordered, parcel, secret } = &*SENT;
    let mut choices = Choices::new(data);
    let (mut claim, mut bytes, mut partition) = (*ordered, parcel.clone(), PARTITION);
    match choices.below(4) {
        0 => claim.id.0[choices.below(32)] ^= 1 << choices.below(8),
        1 => claim.class = PARCEL_CLASS_MIN + choices.below(usize::from(PARCEL_CLASS_MAX - PARCEL_CLASS_MIN) + 1) as u8,
        2 => partition = "other",
        _ => choices.damage(&mut bytes),
    }
    let is_honest = (&claim, &bytes, partition) == (ordered, parcel, PARTITION);
    match Payload::open(network, partition, &claim, &bytes, secret) {
        Ok(opened) => assert!(is_honest && opened == *payload, "something else opens"),
        Err(_) => assert!(!is_honest, "the honest parcel opens"),
    }
}
