//! Private payloads, and the parcels that carry them.

use rand::{SeedableRng as _, rngs::StdRng};
use std::sync::LazyLock;
use tallystick_protocol::{
    Beside, Evidence, NetworkId, OrderedParcel, ParcelId, ParcelSecret, Payload, StateKey,
    limits::{PARCEL_CLASS_MAX, PARCEL_CLASS_MIN},
};

use super::{choices::Choices, decode::material, sample, seal};

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

/// What opens a value sealed in it, beside two parcels.
static OPENINGS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let to = SENT.secret.public().expect("a key");
    let beside = Beside::of(&SENT.network, PARTITION, [ParcelId([1; 32]), ParcelId([2; 32])].iter());
    beside.seal(&[seal::sample()], &to, &mut StdRng::seed_from_u64(8)).expect("openings").to_vec()
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

/// What opens sealed values opens for whom it is encrypted, beside the parcels that it is of, in their order, and nowhere else.
pub fn openings_forge(data: &[u8]) {
    let Sent { network, secret, .. } = &*SENT;
    let beside = [ParcelId([1; 32]), ParcelId([2; 32])];
    let mut choices = Choices::new(data);
    let (mut partition, mut ids, mut bytes) = (PARTITION, beside.to_vec(), OPENINGS.clone());
    match choices.below(5) {
        0 => partition = "other",
        1 => ids[choices.below(2)].0[choices.below(32)] ^= 1 << choices.below(8),
        2 => drop(ids.remove(choices.below(2))),
        3 => ids.swap(0, choices.below(2)),
        _ => choices.damage(&mut bytes),
    }
    let is_honest = partition == PARTITION && ids == beside && bytes == *OPENINGS;
    match Beside::of(network, partition, ids.iter()).open(&bytes, secret) {
        Ok(opened) => assert!(is_honest && opened == [seal::sample()], "something else opens"),
        Err(_) => assert!(!is_honest, "the honest openings open"),
    }
}
