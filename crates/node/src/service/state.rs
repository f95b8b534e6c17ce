//! Read the state as one block left it, and ask the ledger about it.
//!
//! Which rows an answer needs is known only while it is made. So the rows that it surely needs are read together, the answer is
//! tried, and what it lacked is read before it is tried again.
//!
//! INVARIANT: the rows of one answer stand at one height. When a block comes between two reads, all of them are read anew.

use super::{Runtime, Service};
use crate::application::now_ms;
use bytes::Bytes;
use futures::FutureExt as _;
use std::{
    collections::BTreeMap,
    fmt::Display,
    panic::{AssertUnwindSafe, resume_unwind},
};
use tallystick_ledger::{BlockContext, Missing, View};
use tallystick_protocol::{StateKey, limits::STATE_ROUNDS_MAX, merkle::Frontier};
use tallystick_storage::read::{ReadError, Reader, Rows};

/// Rows of the state after one block.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    height: u64,
    rows: BTreeMap<StateKey, Option<Bytes>>,
}

/// Why an answer cannot be made of a sheet.
#[derive(Debug)]
pub(super) enum Lack {
    /// These rows are not on it.
    Rows(Vec<StateKey>),
    /// A row is not what it should be.
    Broken(ReadError),
}

impl From<Missing> for Lack {
    fn from(Missing(keys): Missing) -> Self {
        Self::Rows(keys)
    }
}

impl Sheet {
    /// The height of that block.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// Goes on only if all these rows are on it, so that those which are not are read together.
    pub fn require(&self, keys: impl IntoIterator<Item = StateKey>) -> Result<(), Lack> {
        let absent: Vec<StateKey> = keys.into_iter().filter(|key| !self.rows.contains_key(key)).collect();
        if absent.is_empty() { Ok(()) } else { Err(Lack::Rows(absent)) }
    }

    /// A row; none when the state has no such row.
    pub fn row<T, X: Display>(
        &self,
        key: StateKey,
        decode: impl FnOnce(&[u8]) -> Result<T, X>,
    ) -> Result<Option<T>, Lack> {
        let row = self.rows.get(&key).ok_or_else(|| Lack::Rows(vec![key]))?;
        row.as_deref().map(decode).transpose().map_err(|error| {
            let detail = format!("a row does not decode: {error}");
            Lack::Broken(ReadError::Storage { database: "state", detail })
        })
    }

    /// Rows in the order of their keys as given; what is lacking is read together.
    pub fn rows<T, X: Display>(
        &self,
        keys: impl IntoIterator<Item = StateKey>,
        decode: impl Fn(&[u8]) -> Result<T, X>,
    ) -> Result<Vec<Option<T>>, Lack> {
        let keys: Vec<StateKey> = keys.into_iter().collect();
        self.require(keys.iter().copied())?;
        keys.into_iter().map(|key| self.row(key, &decode)).collect()
    }

    /// Takes rows that were read. If they stand at another height than those before, gives back the keys that must be read anew,
    /// together.
    fn take(&mut self, keys: Vec<StateKey>, read: Rows) -> Option<Vec<StateKey>> {
        let is_of_another_block = !self.rows.is_empty() && self.height != read.height;
        let before = if is_of_another_block { std::mem::take(&mut self.rows) } else { BTreeMap::new() };
        self.height = read.height;
        self.rows.extend(keys.into_iter().zip(read.rows));
        let lost: Vec<StateKey> = before.into_keys().filter(|key| !self.rows.contains_key(key)).collect();
        (!lost.is_empty()).then(|| {
            let taken = std::mem::take(&mut self.rows);
            lost.into_iter().chain(taken.into_keys()).collect()
        })
    }

    /// Makes the answer, reading what it lacks; with the height that it stands at.
    async fn answered<E: Runtime, T>(
        reader: &Reader<E>,
        first: Vec<StateKey>,
        answer: impl Fn(&Self) -> Result<T, Lack>,
    ) -> Result<(u64, T), ReadError> {
        let (mut sheet, mut lacking, mut is_settled) = (Self::default(), first, true);
        for _ in 0..STATE_ROUNDS_MAX {
            let read = reader.rows(&lacking).await?;
            if let Some(anew) = sheet.take(lacking, read) {
                (lacking, is_settled) = (anew, false);
                continue;
            }
            match answer(&sheet) {
                Ok(answer) => return Ok((sheet.height, answer)),
                Err(Lack::Rows(keys)) => lacking = keys,
                Err(Lack::Broken(error)) => return Err(error),
            }
        }
        if !is_settled {
            return Err(ReadError::Unsettled);
        }
        let detail = format!("an answer was not whole after {STATE_ROUNDS_MAX} reads");
        Err(ReadError::Storage { database: "state", detail })
    }
}

impl<E: Runtime> Service<E> {
    /// An answer made of rows of one block, and its height. `first` are rows that it surely needs.
    pub(super) async fn read<T>(
        &self,
        first: impl IntoIterator<Item = StateKey>,
        answer: impl Fn(&Sheet) -> Result<T, Lack>,
    ) -> Result<(u64, T), ReadError> {
        Sheet::answered(&self.0.reader, first.into_iter().collect(), answer).await
    }

    /// What the ledger says in the block after the newest one, of the state as that one left it, and the height of that; nothing
    /// comes of it. `first` are rows that it surely needs.
    ///
    /// Its time is this node's clock's, as that of the next block will be, and not before the newest block's. The work goes on when
    /// nobody waits for it any more, and keeps `place` until it is done.
    pub(super) async fn at_one_state<T: Send + 'static, P: Send + 'static>(
        &self,
        first: Vec<StateKey>,
        place: P,
        ask: impl Fn(&mut View, &BlockContext) -> Result<T, Missing> + Send + 'static,
    ) -> Result<(u64, T), ReadError> {
        let (network, reader, policies) = (self.network(), self.0.reader.clone(), self.0.shared.policies.clone());
        let time_ms = self.tip().header.time_ms.max(now_ms(&self.0.runtime));
        let answer = move |sheet: &Sheet| {
            let log = sheet.row(StateKey::log(), |bytes| Frontier::from_bytes(bytes).ok_or("it is no frontier"))?;
            let log_size = log.unwrap_or_default().size();
            let context = BlockContext { network, height: sheet.height + 1, time_ms, log_size };
            let mut view = View::with_policies(&policies);
            for (key, row) in &sheet.rows {
                view.insert(*key, row.as_ref().map(|row| row.to_vec()));
            }
            Ok(ask(&mut view, &context)?)
        };
        // Heavy on the processor, and anybody may ask: off the reactor's threads, which order blocks.
        let asked = self.0.runtime.child("ask").shared(true).spawn(move |_| async move {
            let _place = place;
            let first = first.into_iter().chain([StateKey::log()]).collect();
            // A question that breaks the ledger costs its asker an answer, and the node nothing.
            AssertUnwindSafe(Sheet::answered(&reader, first, answer)).catch_unwind().await
        });
        match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(ReadError::NotOpen),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn key(n: u8) -> StateKey {
        StateKey([n; 32])
    }

    fn rows(height: u64, rows: &[Option<&'static [u8]>]) -> Rows {
        Rows { height, rows: rows.iter().map(|row| row.map(Bytes::from_static)).collect() }
    }

    fn text(bytes: &[u8]) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(bytes.to_vec())
    }

    #[test]
    fn what_is_lacking_is_named_together() {
        let mut sheet = Sheet::default();
        assert!(matches!(sheet.require([key(1), key(2)]), Err(Lack::Rows(keys)) if keys == [key(1), key(2)]));
        assert_eq!(sheet.take(vec![key(1), key(2)], rows(7, &[Some(b"one"), None])), None);
        assert!(matches!(sheet.require([key(1), key(2), key(3)]), Err(Lack::Rows(keys)) if keys == [key(3)]));
        assert_eq!(sheet.row(key(1), text).unwrap().as_deref(), Some("one"));
        assert_eq!(sheet.row(key(2), text).unwrap(), None);
        assert!(matches!(sheet.row(key(3), text), Err(Lack::Rows(keys)) if keys == [key(3)]));
        assert_eq!(sheet.take(vec![key(3)], rows(7, &[Some(b"\xff")])), None);
        assert!(matches!(sheet.row(key(3), text), Err(Lack::Broken(_))));
    }

    #[test]
    fn rows_of_two_blocks_are_never_on_one_sheet() {
        let mut sheet = Sheet::default();
        assert_eq!(sheet.take(vec![key(1), key(2)], rows(7, &[Some(b"one"), Some(b"two")])), None);
        let anew = sheet.take(vec![key(3)], rows(8, &[Some(b"three")])).unwrap();
        assert_eq!(anew, [key(1), key(2), key(3)]);
        assert!(matches!(sheet.require([key(3)]), Err(Lack::Rows(_))), "nothing is kept of what must be read anew");
        assert_eq!(sheet.take(anew, rows(9, &[Some(b"uno"), None, Some(b"tres")])), None);
        assert_eq!((sheet.height, sheet.row(key(1), text).unwrap().as_deref()), (9, Some("uno")));
        assert_eq!(sheet.take(vec![key(1), key(2), key(3)], rows(10, &[None, None, None])), None, "all were read anew");
        assert_eq!((sheet.height, sheet.row(key(1), text).unwrap()), (10, None));
    }
}
