//! A disclosure: one record, and the values sealed in it that a stranger is shown.
//!
//! The receipt proves what the register holds, commitments in place of the sealed values; an opening shows what one of them was made
//! to. What is not opened stays hidden. Whoever was given this file can show it to others, and keeps it when the vaults destroy
//! theirs: giving it is an act on record, and erasure reaches only those who obey it.

use super::{Claim, Finality, Reason, RecordReceipt, Step};
use crate::{cbor, header::BlockHeader, limits::DISCLOSED_VALUES_MAX, row::RecordRow, seal::Opening};
use minicbor::{Decoder, Encoder, decode, encode};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// First element of a disclosure.
pub(super) const DISCLOSURE: &str = "tallystick-disclosure-1";

/// Shows sealed values of a current record. In CBOR: `["tallystick-disclosure-1", receipt of the record, [opening…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// That the record is current.
    pub record: RecordReceipt,
    /// Of the values that are shown, one or more.
    pub openings: Vec<Opening>,
}

/// What is wrong with an opening of a disclosure. It never says what the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningFault {
    /// The receipt is of an absence.
    #[error("there is no record whose values could be shown: ask for a disclosure of a record that exists")]
    Absent,
    /// It is of another record.
    #[error("opening {0} is of another record: the disclosure was altered")]
    Record(usize),
    /// The record's field does not hold the commitment that it opens.
    #[error(
        "opening {0} does not open what the record holds in that field: the value was altered, or is not of this record"
    )]
    Commitment(usize),
    /// It is there twice.
    #[error("opening {0} is there twice: the disclosure was altered")]
    Twice(usize),
}

impl Disclosure {
    /// How the state root of the first header is final.
    pub const fn finality(&self) -> &Finality {
        &self.record.finality
    }

    pub(super) fn check_claim(&self, header: &BlockHeader) -> Result<Claim, (Step, Reason)> {
        let claim = self.record.check_claim(header)?;
        let fault = |fault: OpeningFault| (Step::Openings, Reason::Opening(fault));
        let Claim::Current { record, items } = claim else { return Err(fault(OpeningFault::Absent)) };
        check_openings_of(None, (&record, &items), &self.openings).map_err(fault)?;
        Ok(Claim::Disclosed { record, items, openings: self.openings.clone() })
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(DISCLOSURE)?;
        self.record.encode(e.array(8)?)?;
        cbor::write_values(e, &self.openings)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let at = d.position();
        if (d.array()?, d.str()?) != (Some(8), super::RECORD_RECEIPT) {
            return Err(decode::Error::message("a disclosure must hold the receipt of a record").at(at));
        }
        let record = RecordReceipt::decode(d)?;
        Ok(Self { record, openings: cbor::values(d, 1..=DISCLOSED_VALUES_MAX, "the openings of a disclosure")? })
    }
}

/// Goes on if each opening is of the record, in this partition or the public one, and opens what a field of its items holds.
pub(super) fn check_openings_of(
    partition: Option<&str>,
    (record, items): (&RecordRow, &[String]),
    openings: &[Opening],
) -> Result<(), OpeningFault> {
    let items: Vec<Map<String, Value>> = items.iter().filter_map(|item| serde_json::from_str(item).ok()).collect();
    let fields = items.iter().flatten().map(|(name, value)| (name.as_str(), value));
    check_openings(partition, (&record.register, &record.key), fields, openings)
}

/// The same where these are the fields of the record that are shown.
pub(super) fn check_openings<'a>(
    partition: Option<&str>,
    (register, key): (&str, &str),
    fields: impl Iterator<Item = (&'a str, &'a Value)> + Clone,
    openings: &[Opening],
) -> Result<(), OpeningFault> {
    let mut seen = BTreeSet::new();
    for (index, opening) in openings.iter().enumerate() {
        let place = opening.place();
        if (place.partition(), place.register(), place.key()) != (partition, register, key) {
            return Err(OpeningFault::Record(index));
        }
        let commitment = opening.commitment();
        if !seen.insert(commitment) {
            return Err(OpeningFault::Twice(index));
        }
        let sealed = commitment.to_string();
        if !fields.clone().any(|(name, value)| name == place.field() && holds(value, &sealed)) {
            return Err(OpeningFault::Commitment(index));
        }
    }
    Ok(())
}

/// Whether a field's value is this text, or a list with it.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(held) => held == text,
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        _ => false,
    }
}
