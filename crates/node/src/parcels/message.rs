//! What members' nodes say to each other of parcels, as CBOR.
//!
//! ```text
//! deliver        [0, partition, order or null, [[[commitment, class], parcel]…], openings or null]
//!                                                                                    the order signed by who sends; null: keep only
//! acknowledged   [1, SHA-256(order), co-signature]                                   stored durably, valid by schema and policy, and lawful here
//! refused        [2, SHA-256(order), reason]
//! fetch          [3, partition, [commitment…]]
//! fetched        [4, partition, [[[commitment, class], parcel]…], openings or null]
//!
//! openings       what opens values that are sealed in what is in the parcels, encrypted to the node: see the protocol's `Beside`
//! ```

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use tallystick_protocol::{
    Hash, OrderedParcel, ParcelId, Signature, cbor,
    identifier::validate_name,
    limits::{
        OPENINGS_SEALED_BYTES_MAX, PARCEL_CLASS_MAX, PARCELS_BYTES_MAX, PARCELS_MESSAGE_BYTES_MAX,
        PARCELS_PER_ORDER_MAX, TRANSACTION_BYTES_MAX,
    },
    parcel::parcel_bytes,
};

/// A parcel with what the ledger says of it.
pub type Delivered = (OrderedParcel, Bytes);

/// Why a node does not acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The evidence is not what this node's state says: it may have changed meanwhile.
    Evidence,
    /// A parcel, or what it holds, is not right.
    Invalid,
    /// Who asks is no node of a member, or the partition is not open.
    Excluded,
    /// It may not be held where this node stands.
    Unlawful,
    /// Too much waits here, or the disk failed.
    Busy,
    /// What opens the values that are sealed in it did not come with it.
    Openings,
    /// Policies do not permit it, as far as this node has executed the partition.
    Policy,
}

const REASONS: [Reason; 7] = [
    Reason::Evidence,
    Reason::Invalid,
    Reason::Excluded,
    Reason::Unlawful,
    Reason::Busy,
    Reason::Openings,
    Reason::Policy,
];

/// A message.
#[derive(Debug)]
pub enum Message {
    /// Here are parcels, and the order that asks for them to be acknowledged.
    Deliver {
        /// The partition.
        partition: String,
        /// The order, signed by who sends it.
        order: Option<Bytes>,
        /// The parcels.
        parcels: Vec<Delivered>,
        /// What opens the values sealed in them, encrypted.
        openings: Option<Bytes>,
    },
    /// All of an order is stored durably, valid by schema and policy, and lawful here.
    Acknowledged {
        /// SHA-256 of the order as it was sent.
        order: Hash,
        /// This node's co-signature.
        signature: Signature,
    },
    /// An order is not acknowledged.
    Refused {
        /// SHA-256 of the order as it was sent.
        order: Hash,
        /// Why.
        reason: Reason,
    },
    /// Give me these.
    Fetch {
        /// The partition.
        partition: String,
        /// Which.
        ids: Vec<ParcelId>,
    },
    /// Here they are, as far as they are here.
    Fetched {
        /// The partition.
        partition: String,
        /// The parcels.
        parcels: Vec<Delivered>,
        /// What opens the values sealed in them, as far as it is here, encrypted.
        openings: Option<Bytes>,
    },
}

impl Message {
    /// Its bytes.
    pub fn to_bytes(&self) -> Bytes {
        let parcels = match self {
            Self::Deliver { parcels, openings, .. } | Self::Fetched { parcels, openings, .. } => {
                parcels.iter().map(|(_, b)| b.len()).chain(openings.iter().map(Bytes::len)).sum()
            }
            _ => 0,
        };
        cbor::encode_about(self, parcels + TRANSACTION_BYTES_MAX).into()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, cbor::CborError> {
        cbor::decode(bytes, PARCELS_MESSAGE_BYTES_MAX)
    }
}

struct Parcel<'a>(&'a Delivered);

impl<C> Encode<C> for Parcel<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.encode(self.0.0)?.bytes(&self.0.1)?.ok()
    }
}

fn write_parcels<W: encode::Write>(e: &mut Encoder<W>, parcels: &[Delivered]) -> Result<(), encode::Error<W::Error>> {
    e.array(parcels.len() as u64)?;
    parcels.iter().try_for_each(|parcel| e.encode(Parcel(parcel))?.ok())
}

fn read_parcels(d: &mut Decoder<'_>) -> Result<Vec<Delivered>, decode::Error> {
    let at = d.position();
    let count = cbor::list(d, 1..=PARCELS_PER_ORDER_MAX, "the parcels of a message")?;
    let (mut parcels, mut bytes) = (Vec::with_capacity(count), 0);
    for _ in 0..count {
        cbor::array(d, 2, "a parcel of a message")?;
        let ordered = d.decode()?;
        let parcel = cbor::bytes(d, 1..=parcel_bytes(PARCEL_CLASS_MAX), "a parcel")?;
        bytes += parcel.len();
        parcels.push((ordered, Bytes::copy_from_slice(parcel)));
    }
    if bytes > PARCELS_BYTES_MAX {
        return Err(
            decode::Error::message(format!("parcels of one message are at most {PARCELS_BYTES_MAX} bytes")).at(at)
        );
    }
    Ok(parcels)
}

fn write_sealed<W: encode::Write>(e: &mut Encoder<W>, openings: Option<&Bytes>) -> Result<(), encode::Error<W::Error>> {
    match openings {
        Some(openings) => e.bytes(openings)?.ok(),
        None => e.null()?.ok(),
    }
}

fn read_sealed(d: &mut Decoder<'_>) -> Result<Option<Bytes>, decode::Error> {
    cbor::optional(d, |d| {
        cbor::bytes(d, 1..=OPENINGS_SEALED_BYTES_MAX, "encrypted openings").map(Bytes::copy_from_slice)
    })
}

fn named(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

impl<C> Encode<C> for Message {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Deliver { partition, order, parcels, openings } => {
                e.array(5)?.u8(0)?.str(partition)?;
                match order {
                    Some(order) => e.bytes(order)?.ok()?,
                    None => e.null()?.ok()?,
                }
                write_parcels(e, parcels)?;
                write_sealed(e, openings.as_ref())
            }
            Self::Acknowledged { order, signature } => e.array(3)?.u8(1)?.encode(order)?.bytes(signature)?.ok(),
            Self::Refused { order, reason } => {
                let place = REASONS.iter().position(|known| known == reason).unwrap_or_default();
                e.array(3)?.u8(2)?.encode(order)?.u8(u8::try_from(place).unwrap_or_default())?.ok()
            }
            Self::Fetch { partition, ids } => {
                e.array(3)?.u8(3)?.str(partition)?.array(ids.len() as u64)?;
                ids.iter().try_for_each(|id| e.bytes(&id.0)?.ok())
            }
            Self::Fetched { partition, parcels, openings } => {
                e.array(4)?.u8(4)?.str(partition)?;
                write_parcels(e, parcels)?;
                write_sealed(e, openings.as_ref())
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Message {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        match (d.array()?, d.u8()?) {
            (Some(5), 0) => Ok(Self::Deliver {
                partition: named(d)?,
                order: cbor::optional(d, |d| {
                    cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "an order").map(Bytes::copy_from_slice)
                })?,
                parcels: read_parcels(d)?,
                openings: read_sealed(d)?,
            }),
            (Some(3), 1) => Ok(Self::Acknowledged { order: d.decode()?, signature: cbor::fixed(d, "a co-signature")? }),
            (Some(3), 2) => {
                let (order, at) = (d.decode()?, d.position());
                let reason = REASONS.get(usize::from(d.u8()?)).copied();
                Ok(Self::Refused {
                    order,
                    reason: reason.ok_or_else(|| decode::Error::message("no such reason").at(at))?,
                })
            }
            (Some(3), 3) => {
                let partition = named(d)?;
                let count = cbor::list(d, 1..=PARCELS_PER_ORDER_MAX, "the parcels that are asked for")?;
                let ids = (0..count).map(|_| cbor::fixed(d, "a commitment").map(ParcelId));
                Ok(Self::Fetch { partition, ids: ids.collect::<Result<_, _>>()? })
            }
            (Some(4), 4) => {
                Ok(Self::Fetched { partition: named(d)?, parcels: read_parcels(d)?, openings: read_sealed(d)? })
            }
            _ => Err(decode::Error::message("no such message of parcels").at(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn every_message_is_read_back_and_what_is_spoilt_is_not() {
        let ordered = OrderedParcel { id: ParcelId([7; 32]), class: 10 };
        let parcels = || vec![(ordered, Bytes::from(vec![1; 100]))];
        let partition = || "health".to_owned();
        let messages = [
            Message::Deliver {
                partition: partition(),
                order: Some(vec![1, 2].into()),
                parcels: parcels(),
                openings: Some(vec![3, 4].into()),
            },
            Message::Deliver { partition: partition(), order: None, parcels: parcels(), openings: None },
            Message::Acknowledged { order: Hash([1; 32]), signature: [2; 64] },
            Message::Refused { order: Hash([1; 32]), reason: Reason::Unlawful },
            Message::Refused { order: Hash([1; 32]), reason: Reason::Openings },
            Message::Fetch { partition: partition(), ids: vec![ordered.id] },
            Message::Fetched { partition: partition(), parcels: parcels(), openings: None },
            Message::Fetched { partition: partition(), parcels: parcels(), openings: Some(vec![5].into()) },
        ];
        for message in messages {
            let bytes = message.to_bytes();
            let read = Message::decode(&bytes).unwrap();
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
            assert!(Message::decode(bytes.get(1..).unwrap()).is_err());
            assert!(Message::decode(&[bytes.as_ref(), &[0]].concat()).is_err());
        }
    }
}
