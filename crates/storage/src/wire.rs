//! State sync of the state database over p2p.
//!
//! The engine's sync actor asks for operations that decode without configuration; those of a keyed database with rows of any
//! size carry an empty one, `((), ())`. So the actor runs on [`WireOperation`], which has the same bytes, and [`Resolver`]
//! converts at both ends.

use crate::database::{StateDb, StateOperation};
use bytes::BufMut;
use commonware_codec::{Buf, EncodeSize, Error, Read, Write};
use commonware_cryptography::sha256::Digest;
use commonware_glue::stateful::db::{AttachableResolver, Shared, p2p};
use commonware_runtime::Spawner;
use commonware_storage::{
    Context, mmr,
    qmdb::sync::{Feedback, Request, Response, ServeError, Source, source},
};
use commonware_utils::channel::{mpsc, oneshot};
use std::sync::Arc;

/// A state operation that decodes without configuration.
#[derive(Clone)]
pub struct WireOperation(StateOperation);

impl Write for WireOperation {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl EncodeSize for WireOperation {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl Read for WireOperation {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        StateOperation::read_cfg(buf, &((), ())).map(Self)
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

/// What peers are served from: the live database, seen through [`WireOperation`].
pub struct Served<E: Context>(Shared<StateDb<E>>);

impl<E: Context + Spawner> Source for Served<E> {
    type Family = mmr::Family;
    type Digest = Digest;
    type Op = WireOperation;
    type Error = ServeError<mmr::Family>;

    async fn serve(&self, request: Request<mmr::Family>) -> source::Result<Self> {
        // A local database answers without feedback.
        let (response, _) = self.0.serve(request).await?;
        Ok((map(response, WireOperation), None))
    }
}

/// The sync actor's mailbox for the state database.
pub type Mailbox<E> = p2p::Mailbox<Served<E>, mmr::Family, WireOperation, Digest>;

/// Fetches through the sync actor, and hands it the live database to serve.
pub struct Resolver<E: Context> {
    runtime: Arc<E>,
    mailbox: Mailbox<E>,
}

impl<E: Context> Resolver<E> {
    /// A resolver over the actor behind `mailbox`.
    pub fn new(runtime: E, mailbox: Mailbox<E>) -> Self {
        Self { runtime: Arc::new(runtime), mailbox }
    }
}

impl<E: Context> Clone for Resolver<E> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime.clone(), mailbox: self.mailbox.clone() }
    }
}

impl<E: Context + Spawner> Source for Resolver<E> {
    type Family = mmr::Family;
    type Digest = Digest;
    type Op = StateOperation;
    type Error = p2p::ResponseDropped;

    async fn serve(&self, request: Request<mmr::Family>) -> source::Result<Self> {
        let (response, feedback) = self.mailbox.serve(request).await?;
        let feedback = feedback.map(|feedback| self.relay(feedback));
        Ok((map(response, |operation| operation.0), feedback))
    }
}

impl<E: Context + Spawner> AttachableResolver<StateDb<E>> for Resolver<E> {
    async fn attach_database(&self, database: Shared<StateDb<E>>) {
        self.mailbox.attach_database(Shared::new("served", Served(database)));
    }
}

impl<E: Context + Spawner> Resolver<E> {
    /// Takes verdicts to the wire, where a peer that sent an invalid proof is blocked, and later candidates back. The task
    /// ends with the request.
    fn relay(&self, mut inner: Feedback<Answer<WireOperation>>) -> Feedback<Answer<StateOperation>> {
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
