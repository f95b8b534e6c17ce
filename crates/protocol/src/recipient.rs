//! To whom what is read is disclosed, and where they are.

use crate::{cbor, limits::READ_RECIPIENT_BYTES_MAX, organisation::Jurisdiction};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// To whom what is read is disclosed. In CBOR: `[name, jurisdiction or null]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// What they are called.
    pub name: String,
    /// Where they are, if that is said.
    pub jurisdiction: Option<Jurisdiction>,
}

impl Recipient {
    /// What the data subject is called.
    pub const DATA_SUBJECT: &str = "the data subject";

    /// Whoever the values are about: given what is theirs wherever they are (UK GDPR Article 15), which is no transfer to a third country.
    pub fn data_subject() -> Self {
        Self { name: Self::DATA_SUBJECT.to_owned(), jurisdiction: None }
    }

    /// Whether it is called that. On record under that name, whoever it is.
    pub fn is_data_subject(&self) -> bool {
        self.name == Self::DATA_SUBJECT
    }
}

impl<C> Encode<C> for Recipient {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.name)?.encode(&self.jurisdiction)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Recipient {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "the recipient of what is read")?;
        let name = cbor::text(d, 1..=READ_RECIPIENT_BYTES_MAX, "the recipient of what is read")?.to_owned();
        Ok(Self { name, jurisdiction: cbor::optional(d, |d| d.decode())? })
    }
}
