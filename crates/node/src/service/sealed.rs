//! Take in a transaction with what opens the values sealed in it: check each opening, keep them, and only then pass it on.
//!
//! ```text
//! openings ─ fit the commitments? ─ would the transaction be admitted? ─▶ vault ─▶ pool ─▶ final ─ accepted: they stay
//!                                                                                            └ else: they go again
//! ```

use super::{Runtime, Service, TransactionState, WaitError};
use crate::{admission::Judged, holder::Holder, rejection::Rejection};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tallystick_ledger::{
    protection::{concerned, sealed, sealed_in},
    schema::Schema,
};
use tallystick_protocol::{
    Code, Commitment, EntryKind, Hash, Opening, Place, PrincipalId, RegisterRow, SealedSubmission, SignedTransaction,
    limits::SEALED_PER_TRANSACTION_MAX,
};
use tallystick_storage::{
    read::ReadError,
    vault::{Drawer, Pending, VaultError},
};

/// Entries of a record read together while a commitment is looked for.
const ENTRIES_READ: usize = 64;

/// Why a node did not take in a transaction with its openings, or did not give what was asked for. No error says a value.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It holds nothing, or nothing of that register.
    #[error(
        "this node does not hold for the custodian of register `{0}`: ask a node that the custodian has registered as a holder"
    )]
    NotHolder(String),
    /// No such register yet.
    #[error("there is no register `{0}`: create it first, then hand in what is sealed in it")]
    NoRegister(String),
    /// An opening, from 0, that opens no commitment of the transaction where it stands, or one that another opens.
    #[error(
        "opening {0} does not open a value that the transaction seals in that place: seal each value once, for its own register, key, field and subject"
    )]
    Misfit(usize),
    /// A commitment that nothing opens here.
    #[error(
        "record `{}/{}`: field `{}` has a sealed value whose opening is not here: hand it in with the transaction",
        .0.register(), .0.key(), .0.field()
    )]
    Missing(Box<Place>),
    /// One that is erased.
    #[error(
        "record `{}/{}`: what field `{}` held is erased, or ordered to be: leave it out; another value can be sealed only where the order named single values",
        .0.register(), .0.key(), .0.field()
    )]
    Erased(Box<Place>),
    /// One that is erased, and was to be read.
    #[error(
        "the read is on record, and what field `{}` of record `{}/{}` held is erased: nothing is given",
        .0.field(), .0.register(), .0.key()
    )]
    ReadErased(Box<Place>),
    /// A transaction that is to read, and does something else, or reads too many values.
    #[error("the transaction must hold reads alone (`record-read`), of at most {SEALED_PER_TRANSACTION_MAX} values")]
    NotReads,
    /// A read that does not say whom a value is about.
    #[error(
        "the read does not say that field `{}` of record `{}/{}` is about `{}`: name that subject in it",
        .0.field(), .0.register(), .0.key(), .0.subject()
    )]
    Subject(Box<Place>),
    /// A read that names another node.
    #[error("the read asks {asked}, and this node is {me}: send it there, or sign one that asks this node")]
    OtherHolder {
        /// Whom it asks.
        asked: PrincipalId,
        /// Who this is.
        me: PrincipalId,
    },
    /// A read that was handed in before.
    #[error("this read was handed in before, and values are given once, to whoever handed it in: sign a new one")]
    ReadKnown,
    /// A read that the ledger refused; nothing was given.
    #[error("the read is on record, and refused: {code}: {advice}", code = .0, advice = .0.advice())]
    Refused(Code),
    /// A read whose outcome is not known; nothing was given.
    #[error("nothing was given: {0}")]
    Unsettled(WaitError),
    /// A value that this node does not keep.
    #[error(
        "the read is on record, and field `{}` of record `{}/{}` is not kept here: it was erased, or handed in at another node; or its file was lost: then restore the vault from a backup",
        .0.field(), .0.register(), .0.key()
    )]
    Absent(Box<Place>),
    /// The transaction is not admitted.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The state.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl<E: Runtime> Service<E> {
    /// Takes in a transaction with the openings of what is sealed in it: its id, once the openings are on the disk and it is in the
    /// pool.
    ///
    /// # Errors
    /// When the node holds nothing of a register that it writes to, an opening does not fit or is missing, or it is not admitted: then
    /// nothing was kept, and nothing passed on.
    pub async fn submit_sealed(&self, submission: SealedSubmission) -> Result<Hash, SealedError> {
        if !self.is_ready() {
            return Err(Rejection::unavailable("this node is starting or joining: try again shortly").into());
        }
        let SealedSubmission { transaction: bytes, openings } = submission;
        // No vault is opened for what nobody signed who may act.
        let Judged { transaction, is_known } = self.0.admission.judge(bytes.clone()).await?;
        let registers: BTreeSet<&str> = concerned(&transaction).collect();
        let (holder, schemas) = self.holder_of(&registers).await?;
        fit(&sealed(&transaction, &schemas), &openings, holder).await?;
        let id = transaction.id();
        match self.transaction(&id).await.filter(|_| is_known) {
            Some(TransactionState::Finalised(finalised)) => {
                if finalised.outcome.is_accepted() {
                    self.keep_unerased(holder, &transaction, &openings).await?;
                }
                return Ok(id);
            }
            Some(TransactionState::Pending) | None => {}
        }
        // The task that settles takes back what was kept if any of these fails.
        self.keep_unerased(holder, &transaction, &openings).await?;
        let taken = self.submit(vec![bytes]).await.pop().unwrap_or_else(|| Err(Rejection::stopping()));
        if let (Err(_), Some(pending)) = (&taken, holder.pending_of(&id).filter(|_| !self.knows(&transaction))) {
            self.take_back(holder, &pending).await?;
        }
        Ok(taken?)
    }

    /// Keeps the openings that come with a transaction, if none of them is erased. That is asked before, and after, when what was ordered
    /// meanwhile goes again; what is ordered later is destroyed later. A node that dies in between settles the transaction when it is back.
    async fn keep_unerased(
        &self,
        holder: &Holder<E>,
        transaction: &SignedTransaction,
        openings: &[Opening],
    ) -> Result<(), SealedError> {
        let values: Vec<(Place, Commitment)> =
            openings.iter().map(|opening| (opening.place().clone(), opening.commitment())).collect();
        self.require_unerased(holder, &values, false).await?;
        holder.keep_for(transaction.id(), transaction.not_after(), openings).await?;
        self.require_unerased(holder, &values, true).await
    }

    /// Goes on only if none of these is erased. What is erased and `is_kept` already goes again, unless a hold keeps it.
    async fn require_unerased(
        &self,
        holder: &Holder<E>,
        values: &[(Place, Commitment)],
        is_kept: bool,
    ) -> Result<(), SealedError> {
        let erased = self.erased_among(holder.keys().principal.organisation(), values).await?;
        for ((place, commitment), _) in erased.iter().filter(|(_, is_held)| is_kept && !is_held) {
            holder.remove(&Drawer::of(place), &[*commitment]).await?;
        }
        match erased.first() {
            None => Ok(()),
            Some(((place, _), _)) => Err(SealedError::Erased(Box::new(place.clone()))),
        }
    }

    /// This node as a holder, if it is one for each of these registers, and their schemas.
    pub(super) async fn holder_of(
        &self,
        registers: &BTreeSet<&str>,
    ) -> Result<(&Arc<Holder<E>>, BTreeMap<String, Arc<Schema>>), SealedError> {
        let first = || registers.first().map_or_else(String::new, |name| (*name).to_owned());
        let holder = self.0.holder.as_ref().ok_or_else(|| SealedError::NotHolder(first()))?;
        let names: Vec<&str> = registers.iter().copied().collect();
        let (_, rows) = self.registers(&names).await?;
        let rows: BTreeMap<&str, &RegisterRow> = rows.iter().map(|(row, _)| (row.register.as_str(), row)).collect();
        let mut schemas = BTreeMap::new();
        for name in names {
            let row = rows.get(name).ok_or_else(|| SealedError::NoRegister(name.to_owned()))?;
            if !self.holds_for(holder, &row.custodian).await? {
                return Err(SealedError::NotHolder(name.to_owned()));
            }
            schemas.insert(name.to_owned(), Arc::new(Schema::new(name, &row.fields)));
        }
        Ok((holder, schemas))
    }

    /// Settles what came with transactions, as blocks go by: for ever.
    pub async fn settle_sealed(&self) {
        let Some(holder) = &self.0.holder else { return };
        let mut tip = self.0.shared.chain.watch_tip();
        self.0.shared.chain.ready().await;
        loop {
            // What becomes of private ones is told by their partitions: see `parcels/sealed.rs`.
            for pending in holder.pending().into_iter().filter(|pending| pending.within.is_none()) {
                if let Err(error) = self.settle_one(holder, &pending).await {
                    tracing::error!(transaction = %pending.transaction, %error, "what came with a transaction is not settled yet");
                }
            }
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    async fn settle_one(&self, holder: &Holder<E>, pending: &Pending) -> Result<(), SealedError> {
        let time_seconds = self.tip().header.time_ms / 1_000;
        let is_accepted = match self.transaction(&pending.transaction).await {
            Some(TransactionState::Finalised(finalised)) => finalised.outcome.is_accepted(),
            // A block of this time or later cannot hold it any more.
            Some(TransactionState::Pending) | None if pending.not_after < time_seconds => false,
            Some(TransactionState::Pending) | None => return Ok(()),
        };
        if is_accepted {
            return self.settle_unerased(holder, pending, pending.openings.iter().cloned().collect()).await;
        }
        self.take_back(holder, pending).await
    }

    /// Takes back what came with a transaction that comes to nothing, unless another wants it.
    async fn take_back(&self, holder: &Holder<E>, pending: &Pending) -> Result<(), SealedError> {
        let mut wanted = holder.wanted_besides(&pending.transaction);
        for (place, commitment) in &pending.openings {
            if self.is_written(place, commitment).await? {
                wanted.insert((place.clone(), *commitment));
            }
        }
        self.settle_unerased(holder, pending, wanted).await
    }

    /// Settles a transaction: of what came with it what is `wanted` stays, unless it is erased. Whoever kept it may have died before it
    /// saw that.
    async fn settle_unerased(
        &self,
        holder: &Holder<E>,
        pending: &Pending,
        mut wanted: BTreeSet<(Place, Commitment)>,
    ) -> Result<(), SealedError> {
        let erased = self.erased_among(holder.keys().principal.organisation(), &pending.openings).await?;
        if !erased.is_empty() {
            // What was here when it was ordered is counted and destroyed by what carries out orders.
            holder.settled_to(self.tip().header.height).await;
        }
        for (value, _) in erased.iter().filter(|(_, is_held)| !is_held) {
            wanted.remove(*value);
        }
        Ok(holder.settle(pending, &wanted).await?)
    }

    /// Whether some entry of the record has the commitment in that place: another transaction brought it there.
    async fn is_written(&self, place: &Place, commitment: &Commitment) -> Result<bool, SealedError> {
        let numbers: Vec<u64> = {
            let history = self.history();
            let register = history.register(place.register());
            register.map(|register| register.newest_of(EntryKind::User, place.key()).collect()).unwrap_or_default()
        };
        let text = commitment.to_string();
        for numbers in numbers.chunks(ENTRIES_READ) {
            let entries = self.entries_at(place.register(), EntryKind::User, numbers).await?;
            if entries.iter().any(|entry| entry.items.iter().any(|(_, item)| item.contains(&text))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where each sealed value of the record's latest entry stands, with its commitment; none when there is no such record.
    pub(super) async fn sealed_values(
        &self,
        schema: &Schema,
        register: &str,
        key: &str,
    ) -> Result<Option<Vec<(Place, Commitment)>>, SealedError> {
        let number = {
            let history = self.history();
            history.register(register).and_then(|register| register.newest_of(EntryKind::User, key).next())
        };
        let Some(number) = number else { return Ok(None) };
        let entry = self.entry(register, EntryKind::User, number).await?;
        Ok(entry.map(|entry| {
            let items: Vec<String> = entry.items.into_iter().map(|(_, item)| item).collect();
            sealed_in(None, schema, key, &items)
        }))
    }
}

/// Goes on if each opening opens a sealed value of its own, and each sealed value is opened, here or in the vault.
async fn fit<E: Runtime>(
    sealed: &[(Place, Commitment)],
    openings: &[Opening],
    holder: &Holder<E>,
) -> Result<(), SealedError> {
    let places: BTreeSet<(Place, Commitment)> = sealed.iter().cloned().collect();
    let mut opened = BTreeSet::new();
    for (index, opening) in openings.iter().enumerate() {
        let at = (opening.place().clone(), opening.commitment());
        if !places.contains(&at) || !opened.insert(at) {
            return Err(SealedError::Misfit(index));
        }
    }
    let kept = holder.openings_at(places.difference(&opened)).await?;
    match places.difference(&opened).find(|at| !kept.contains_key(*at)) {
        Some((place, _)) => Err(SealedError::Missing(Box::new(place.clone()))),
        None => Ok(()),
    }
}
