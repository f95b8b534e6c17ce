//! Sealed values: openings and commitments, as bytes and as text.

use tallystick_protocol::{
    Blinding, Commitment, Hash, Opening, Place, Reading, SealedSubmission, Secret,
    limits::{READING_BYTES_MAX, SEAL_OPENING_BYTES_MAX, SEALED_SUBMISSION_BYTES_MAX, SEALED_VALUE_BYTES_MAX},
};

use super::{choices::Choices, decode::material, sample as samples};

/// An honest opening.
pub fn sample() -> Opening {
    let subject = "keeper:k-7".parse().expect("a subject");
    let place = Place::new("lighthouse", "L-1", "keeper-name", subject).expect("a place");
    let blinding = Blinding::from_bytes([7; 32].into()).expect("a scalar");
    Opening::new(place, Secret::new("Mòrag"), blinding).expect("an opening")
}

/// What is accepted has one spelling, and the commitment that it opens is a commitment. A commitment has one spelling, and nothing
/// but the whole of the honest opening opens the honest commitment.
pub fn opening_decode(data: &[u8]) {
    let honest = sample();
    let bytes = material(data, |_| sample().to_bytes().to_vec());
    if let Ok(decoded) = Opening::decode(&bytes) {
        assert!(bytes.len() <= SEAL_OPENING_BYTES_MAX);
        assert!((1..=SEALED_VALUE_BYTES_MAX).contains(&decoded.value().reveal().len()));
        assert_eq!(*decoded.to_bytes(), bytes, "one meaning, one spelling");
        let commitment = decoded.commitment();
        assert_eq!(commitment.to_string().parse(), Ok(commitment));
        assert_eq!(commitment == honest.commitment(), decoded == honest, "another opening opens it");
    }
    let mut choices = Choices::new(data);
    let mut text = honest.commitment().to_string().into_bytes();
    choices.damage(&mut text);
    let Ok(text) = String::from_utf8(text) else { return };
    if let Ok(commitment) = text.parse::<Commitment>() {
        assert_eq!(commitment.to_string(), text, "one meaning, one spelling");
        assert_eq!(Commitment::from_bytes(*commitment.as_bytes()), Ok(commitment));
    }
}

/// What is accepted as a transaction with its openings, or as what a node gave for a read, has one spelling.
pub fn sealed_decode(data: &[u8]) {
    let submission =
        || SealedSubmission { transaction: samples::transactions()[0].bytes().clone(), openings: vec![sample()] };
    let bytes = material(data, |_| submission().to_bytes().to_vec());
    if let Ok(decoded) = SealedSubmission::decode(&bytes) {
        assert!(bytes.len() <= SEALED_SUBMISSION_BYTES_MAX);
        assert_eq!(*decoded.to_bytes(), bytes, "one meaning, one spelling");
    }
    let reading = || Reading { transaction: Hash([7; 32]), leaf: 9, openings: vec![sample()] };
    let bytes = material(data, |_| reading().to_bytes().to_vec());
    if let Ok(decoded) = Reading::decode(&bytes) {
        assert!(bytes.len() <= READING_BYTES_MAX);
        assert_eq!(*decoded.to_bytes(), bytes, "one meaning, one spelling");
    }
}
