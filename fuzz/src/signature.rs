//! Signatures against a forger who has seen honest ones, and batches against singles.

use rand::{SeedableRng, rngs::StdRng};
use tallystick_protocol::{Algorithm, KeyError, SignedTransaction, verify_batch};

use super::{choices::Choices, sample};

/// The order of P-256's group (SEC 2 section 2.4.2), big-endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// No change of a signed transaction verifies, and a batch judges each one as it would be judged alone.
pub fn signature_forge(data: &[u8]) {
    let mut choices = Choices::new(data);
    let honest = sample::transactions();
    let mut batch = Vec::new();
    for _ in 0..1 + choices.below(8) {
        let original = &honest[choices.below(honest.len())];
        let mut bytes = original.bytes().to_vec();
        match choices.below(4) {
            0 => {}
            1 => {
                let twin = malleable_twin(original);
                bytes.truncate(bytes.len() - 64);
                bytes.extend(twin);
            }
            _ => choices.damage(&mut bytes),
        }
        let changed = bytes != *original.bytes();
        let Ok(decoded) = SignedTransaction::decode(bytes) else { continue };
        assert!(!(changed && decoded.clone().verify().is_ok()), "a forged transaction verifies: {decoded:?}");
        assert!(changed || decoded.clone().verify().is_ok(), "an honest transaction is refused");
        batch.push(decoded);
    }
    let alone: Vec<_> = batch.iter().map(|decoded| decoded.clone().verify().is_ok()).collect();
    let together: Vec<_> = verify_batch(batch, &mut StdRng::seed_from_u64(7)).iter().map(Result::is_ok).collect();
    assert_eq!(alone, together, "a batch judges each as it would be judged alone");
}

/// The other signature that the plain equation of ECDSA would accept: (r, n − s). For Ed25519, s + 1.
fn malleable_twin(original: &SignedTransaction) -> [u8; 64] {
    let mut twin = *original.signature();
    let s: &mut [u8; 32] = (&mut twin[32..]).try_into().expect("half of 64 bytes");
    if original.key().algorithm() == Algorithm::Es256 {
        let mut borrow = 0_i16;
        for (digit, order) in s.iter_mut().zip(P256_ORDER).rev() {
            let difference = i16::from(order) - i16::from(*digit) - borrow;
            borrow = i16::from(difference < 0);
            *digit = difference.rem_euclid(256) as u8;
        }
        let error = original.key().verify(&original.to_be_signed(), &twin);
        assert_eq!(error, Err(KeyError::HighS), "the twin of an ES256 signature");
    } else {
        twin[32] = twin[32].wrapping_add(1);
    }
    twin
}
