//! A value of either database: bytes up to a bound that the type names.

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};

/// At most `MAX` bytes; what they mean is the ledger's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<const MAX: usize>(pub Bytes);

impl<const MAX: usize> Write for Value<MAX> {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl<const MAX: usize> EncodeSize for Value<MAX> {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl<const MAX: usize> Read for Value<MAX> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Bytes::read_cfg(buf, &RangeCfg::from(0..=MAX)).map(Self)
    }
}

/// What both databases store with each commit: the height of the block.
pub(crate) fn height_metadata<const MAX: usize>(height: u64) -> Value<MAX> {
    Value(Bytes::copy_from_slice(&height.to_be_bytes()))
}

/// The height a commit was made at; 0 before the first block.
pub(crate) fn height_of<const MAX: usize>(metadata: Option<&Value<MAX>>) -> u64 {
    metadata.and_then(|value| value.0.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes)
}
