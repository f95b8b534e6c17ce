//! State sync of the databases over p2p.
//!
//! The engine's sync actor asks for operations that decode without configuration; those of a keyed database with rows of any
//! size carry an empty one, `((), ())`. So the actor runs on [`WireOperation`], which has the same bytes, and [`Resolver`]
//! converts at both ends.
//!
//! Most operations are small and a few are large, so an answer is bounded by its bytes and not by the largest operation times
//! their number: [`Served`] answers with as many of the operations asked for as [`SYNC_BYTES_MAX`] holds, the asker asks again
//! for the rest.

use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, Read, Write};
use commonware_cryptography::sha256::Digest;
use commonware_glue::stateful::db::{AttachableResolver, Shared, p2p};
use commonware_runtime::Spawner;
use commonware_storage::{
    Context, mmr,
    qmdb::sync::{Feedback, Request, Response, ServeError, Source, source},
};
use commonware_utils::{
    channel::{mpsc, oneshot},
    sync::AsyncMutex,
};
use std::{num::NonZeroU64, sync::Arc};
use tallystick_protocol::limits::SYNC_BYTES_MAX;

/// An operation that decodes without configuration.
#[derive(Clone)]
pub struct WireOperation<Op>(Op);

impl<Op: Write> Write for WireOperation<Op> {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl<Op: EncodeSize> EncodeSize for WireOperation<Op> {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl<Op: Read<Cfg: Default>> Read for WireOperation<Op> {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Op::read_cfg(buf, &Op::Cfg::default()).map(Self)
    }
}

type Answer<Operation> = Response<mmr::Family, Operation, Digest>;

fn map<A, B>(response: Answer<A>, convert: impl Fn(A) -> B) -> Answer<B> {
    match response {
        Response::Operations { proof, operations } => {
            Response::Operations { proof, operations: operations.into_iter().map(convert).collect() }
        }
        Response::Boundary { proof, op, pinned_nodes } => Response::Boundary { proof, op: convert(op), pinned_nodes },
    }
}

/// What peers are served from: the live database, seen through [`WireOperation`]. One answer at a time, because its operations
/// are in memory before their bytes are counted.
pub struct Served<Db> {
    database: Shared<Db>,
    turn: AsyncMutex<()>,
}

impl<Db> Source for Served<Db>
where
    Db: Source<Family = mmr::Family, Digest = Digest, Op: EncodeSize + Send> + Send + Sync + 'static,
    ServeError<mmr::Family>: From<Db::Error>,
{
    type Family = mmr::Family;
    type Digest = Digest;
    type Op = WireOperation<Db::Op>;
    type Error = ServeError<mmr::Family>;

    async fn serve(&self, mut request: Request<mmr::Family>) -> source::Result<Self> {
        let _turn = self.turn.lock().await;
        loop {
            // A local database answers without feedback.
            let (response, _) = self.database.serve(request).await?;
            match (&mut request, fitting(&response)) {
                (Request::Operations { max_ops, .. }, Some(fewer)) if fewer < *max_ops => *max_ops = fewer,
                _ => return Ok((map(response, WireOperation), None)),
            }
        }
    }
}

/// How many of the response's operations [`SYNC_BYTES_MAX`] holds, at least one; nothing if it holds them all.
fn fitting<Op: EncodeSize>(response: &Answer<Op>) -> Option<NonZeroU64> {
    let Response::Operations { operations, .. } = response else { return None };
    let (mut bytes, mut count) = (0, 0);
    for operation in operations {
        bytes += operation.encode_size();
        if bytes > SYNC_BYTES_MAX {
            return Some(NonZeroU64::new(count).unwrap_or(NonZeroU64::MIN));
        }
        count += 1;
    }
    None
}

/// The sync actor's mailbox for a database.
pub type Mailbox<Db, Op> = p2p::Mailbox<Served<Db>, mmr::Family, WireOperation<Op>, Digest>;

/// Fetches through the sync actor, and hands it the live database to serve.
pub struct Resolver<E, Db, Op>
where
    Op: Send + 'static,
{
    runtime: Arc<E>,
    mailbox: Mailbox<Db, Op>,
}

impl<E, Db, Op: Send + 'static> Resolver<E, Db, Op> {
    /// A resolver over the actor behind `mailbox`.
    pub fn new(runtime: E, mailbox: Mailbox<Db, Op>) -> Self {
        Self { runtime: Arc::new(runtime), mailbox }
    }
}

impl<E, Db, Op: Send + 'static> Clone for Resolver<E, Db, Op> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), mailbox: self.mailbox.clone() }
    }
}

impl<E, Db, Op> Source for Resolver<E, Db, Op>
where
    E: Context + Spawner,
    Db: Send + Sync + 'static,
    Op: Send + Sync + 'static,
{
    type Family = mmr::Family;
    type Digest = Digest;
    type Op = Op;
    type Error = p2p::ResponseDropped;

    async fn serve(&self, request: Request<mmr::Family>) -> source::Result<Self> {
        let (response, feedback) = self.mailbox.serve(request).await?;
        let feedback = feedback.map(|feedback| self.relay(feedback));
        Ok((map(response, |operation| operation.0), feedback))
    }
}

impl<E, Db, Op> AttachableResolver<Db> for Resolver<E, Db, Op>
where
    E: Context + Spawner,
    Db: Send + Sync + 'static,
    Op: Send + Sync + 'static,
{
    async fn attach_database(&self, database: Shared<Db>) {
        self.mailbox.attach_database(Shared::new("served", Served { database, turn: AsyncMutex::new(()) }));
    }
}

impl<E, Db, Op> Resolver<E, Db, Op>
where
    E: Context + Spawner,
    Op: Send + Sync + 'static,
{
    /// Takes verdicts to the wire, where a peer that sent an invalid proof is blocked, and later candidates back. The task
    /// ends with the request.
    fn relay(&self, mut inner: Feedback<Answer<WireOperation<Op>>>) -> Feedback<Answer<Op>> {
        let (sender, mut verdict) = oneshot::channel();
        let (candidates, receiver) = mpsc::channel(1);
        self.runtime.child("feedback").spawn(move |_| async move {
            loop {
                match verdict.await {
                    Ok(true) => return inner.accept(),
                    Ok(false) => {
                        let Some((response, next)) = inner.reject().await else { return };
                        let (sender, later) = oneshot::channel();
                        let candidate = (map(response, |operation| operation.0), sender);
                        if candidates.send(candidate).await.is_err() {
                            return;
                        }
                        (inner, verdict) = (next, later);
                    }
                    Err(_) => return,
                }
            }
        });
        Feedback::new(sender, receiver)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        database::{LogOperation, StateOperation},
        value::Value,
    };
    use bytes::Bytes;
    use commonware_codec::{DecodeExt as _, Encode as _};
    use commonware_storage::mmr::{Location, Proof};
    use tallystick_protocol::limits::LOG_ENTRY_BYTES_MAX;

    fn response(entries: &[usize]) -> Answer<LogOperation> {
        let operations = entries.iter().map(|length| LogOperation::Append(Value(vec![7; *length].into()))).collect();
        Response::Operations { proof: Proof::default(), operations }
    }

    #[test]
    fn an_answer_holds_what_its_bytes_allow() {
        assert_eq!(fitting(&response(&[])), None);
        assert_eq!(fitting(&response(&[600; 64])), None);
        let largest = SYNC_BYTES_MAX / LOG_ENTRY_BYTES_MAX;
        assert_eq!(fitting(&response(&vec![LOG_ENTRY_BYTES_MAX; 64])).unwrap().get(), largest as u64);
        let mut mixed = vec![1; 10];
        mixed.extend([LOG_ENTRY_BYTES_MAX; 30]);
        assert_eq!(fitting(&response(&mixed)).unwrap().get(), (largest + 10) as u64);
        assert_eq!(fitting(&response(&[2 * SYNC_BYTES_MAX, 1])).unwrap().get(), 1, "one is always served");
    }

    #[test]
    fn an_operation_has_the_same_bytes_on_the_wire() {
        let stored = StateOperation::CommitFloor(Some(Value(Bytes::from_static(b"height"))), Location::new(9));
        let bytes = WireOperation(stored.clone()).encode();
        assert_eq!(bytes, stored.encode());
        assert_eq!(WireOperation::<StateOperation>::decode(bytes).unwrap().0, stored);
        let stored = LogOperation::Append(Value(Bytes::from_static(b"entry")));
        let bytes = WireOperation(stored.clone()).encode();
        assert_eq!(bytes, stored.encode());
        assert_eq!(WireOperation::<LogOperation>::decode(bytes).unwrap().0, stored);
    }
}
