//! Certify: from what this node stores to a receipt that a stranger can check.
//!
//! A block is certified by its own certificate or by a descendant's: each header names its parent, so the headers between are
//! the rest of the proof. Most blocks have one of their own.

use crate::{
    chain::Chain,
    engine::{Marshal, Runtime},
};
use bytes::Bytes;
use commonware_consensus::types::Height;
use std::time::Duration;
use tallystick_consensus::certificate;
use tallystick_protocol::{
    BlockHeader, EntryKind, ErasureCertificate, Finality, Hash, PrincipalId, PrincipalReceipt, ProposalReceipt,
    ProvenRow, RecordAnswer, RecordReceipt, RecordRow, Recovery, RecoveryGround, RegisterRow, Rulebook, StateKey,
    TransactionReceipt, cbor,
    limits::{
        RECEIPT_ATTEMPTS_MAX, RECEIPT_HEADERS_MAX, RECEIPT_SEARCH_BLOCKS_MAX, RECOVERY_ROWS_MAX, STATE_VALUE_BYTES_MAX,
    },
    receipt::question,
};
use tallystick_storage::{
    history::entry_at,
    read::{ReadError, Reader},
};

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// Nothing of that name or number.
    #[error("{0}")]
    NotFound(String),
    /// Final, and the certificate has not reached this node.
    #[error("the block is not certified here yet: try again in a moment")]
    NotYet,
    /// More organisations than a recovery can show.
    #[error(
        "a recovery shows at most {RECOVERY_ROWS_MAX} organisations, and {0} have a weight of their own or were named: name fewer"
    )]
    TooMany(usize),
    /// The databases.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The certificate of the block at `height`, or of its nearest descendant within a receipt's bound.
pub async fn certified(chain: &Chain, marshal: &Marshal, height: u64) -> Option<Finality> {
    let mut headers = Vec::new();
    for height in height..height + RECEIPT_HEADERS_MAX as u64 {
        let height = Height::new(height);
        headers.push(marshal.get_block(height).await?.inner().header().clone());
        if let Some(finalization) = marshal.get_finalization(height).await {
            let certificate = certificate(&finalization)?;
            let hand_overs = chain.links().to(certificate.epoch);
            return Some(Finality { hand_overs, headers, certificate });
        }
    }
    None
}

/// The newest certified block at or below the tip.
pub async fn checkpoint(chain: &Chain, marshal: &Marshal) -> Option<Finality> {
    let tip = chain.tip().header.height;
    for height in (tip.saturating_sub(RECEIPT_SEARCH_BLOCKS_MAX)..=tip).rev() {
        if let Some(certified) = certified(chain, marshal, height).await {
            return Some(certified);
        }
    }
    None
}

/// The receipt of a finalised transaction, against the newest certified block.
pub async fn transaction_receipt<E: Runtime>(
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    id: &Hash,
) -> Result<TransactionReceipt, CertifyError> {
    let (index, location) = {
        let history = chain.history();
        let index = history
            .index_of(id)
            .ok_or_else(|| CertifyError::NotFound(format!("no finalised transaction {id} is on this ledger")))?;
        (index, history.location(index).ok_or(CertifyError::NotYet)?)
    };
    let certified = checkpoint(chain, marshal).await.ok_or(CertifyError::NotYet)?;
    let size = certified.headers.first().map_or(0, |header| header.log.size);
    let path = chain.history().log().inclusion(index, size).ok_or(CertifyError::NotYet)?;
    let entry = reader.log_entries(&[location]).await?.pop().ok_or(CertifyError::NotYet)?;
    Ok(TransactionReceipt {
        network: chain.network(),
        height: entry.height,
        time_ms: entry.time_ms,
        transaction: entry.transaction,
        outcome: entry.outcome,
        index,
        path,
        finality: certified,
    })
}

/// Wait between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(40);

/// What `read` proves at the newest applied block, and the certificate of that block, which may be a moment behind its
/// application: then it is read anew.
async fn certified_answer<E: Runtime, T, F: Future<Output = Result<(u64, T), CertifyError>>>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    read: impl Fn() -> F,
) -> Result<(T, Finality), CertifyError> {
    for _ in 0..RECEIPT_ATTEMPTS_MAX {
        let (height, answer) = read().await?;
        if let Some(finality) = certified(chain, marshal, height).await {
            return Ok((answer, finality));
        }
        runtime.sleep(ATTEMPT_PAUSE).await;
    }
    Err(CertifyError::NotYet)
}

/// The receipt of the current record of a key, or of its absence, at the newest applied block.
pub async fn record_receipt<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    register: &str,
    key: &str,
) -> Result<RecordReceipt, CertifyError> {
    let read = || answer(chain, reader, register, key);
    let (answer, finality) = certified_answer(runtime, chain, marshal, read).await?;
    let (network, register, key) = (chain.network(), register.to_owned(), key.to_owned());
    Ok(RecordReceipt { network, register, key, answer, finality })
}

/// The receipt of a proposal, at the newest applied block.
pub async fn proposal_receipt<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    id: &str,
) -> Result<ProposalReceipt, CertifyError> {
    let absent = || CertifyError::NotFound(format!("there is no proposal `{id}` on this ledger"));
    let ((row, proof), finality) =
        certified_row(runtime, chain, marshal, reader, StateKey::proposal(id), absent).await?;
    Ok(ProposalReceipt { network: chain.network(), proposal: id.to_owned(), row, proof, finality })
}

/// The receipt of a principal, at the newest applied block.
pub async fn principal_receipt<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    id: &PrincipalId,
) -> Result<PrincipalReceipt, CertifyError> {
    let absent = || CertifyError::NotFound(format!("there is no principal `{id}` on this ledger"));
    let ((row, proof), finality) =
        certified_row(runtime, chain, marshal, reader, StateKey::principal(id), absent).await?;
    Ok(PrincipalReceipt { network: chain.network(), principal: id.clone(), row, proof, finality })
}

/// The certificate of an order of erasure, at the newest applied block.
pub async fn erasure_certificate<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    order: &str,
) -> Result<ErasureCertificate, CertifyError> {
    let absent = || CertifyError::NotFound(format!("there is no order of erasure `{order}` on this ledger"));
    let ((row, proof), finality) =
        certified_row(runtime, chain, marshal, reader, StateKey::erasure(order), absent).await?;
    Ok(ErasureCertificate { network: chain.network(), order: order.to_owned(), row, proof, finality })
}

/// The row of what was ordered in a partition and of its roots, with its proof, at the newest applied block.
pub async fn partition_roots<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    partition: &str,
) -> Result<((Bytes, Bytes), Finality), CertifyError> {
    let absent = || CertifyError::NotFound(format!("nothing was ordered in partition `{partition}`"));
    certified_row(runtime, chain, marshal, reader, StateKey::partition_roots(partition), absent).await
}

/// A row that there is, with its proof, certified.
async fn certified_row<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    key: StateKey,
    absent: impl Fn() -> CertifyError,
) -> Result<((Bytes, Bytes), Finality), CertifyError> {
    let read = || async {
        let proved = reader.prove(&[key]).await?.pop().ok_or(CertifyError::NotYet)?;
        Ok((proved.height, (proved.row.ok_or_else(&absent)?, proved.proof.into())))
    };
    certified_answer(runtime, chain, marshal, read).await
}

/// What a recovery stands on that goes on from the newest applied block, with these organisations; for this principal to sign if
/// one is named.
pub async fn recovery_ground<E: Runtime>(
    runtime: &E,
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    asked: (Option<&PrincipalId>, &[String]),
) -> Result<RecoveryGround, CertifyError> {
    for _ in 0..RECEIPT_ATTEMPTS_MAX {
        if let Some(ground) = ground(chain, marshal, reader, asked).await? {
            return Ok(ground);
        }
        runtime.sleep(ATTEMPT_PAUSE).await;
    }
    Err(CertifyError::NotYet)
}

/// The same, unless a block comes meanwhile or has no certificate of its own.
async fn ground<E: Runtime>(
    chain: &Chain,
    marshal: &Marshal,
    reader: &Reader<E>,
    (principal, asked): (Option<&PrincipalId>, &[String]),
) -> Result<Option<RecoveryGround>, CertifyError> {
    let rulebook = reader.prove(&[StateKey::rulebook()]).await?.pop().and_then(|proved| proved.row);
    let Some(rulebook) = rulebook else { return Ok(None) };
    let rulebook: Rulebook = cbor::decode(&rulebook, STATE_VALUE_BYTES_MAX).map_err(damaged)?;
    let mut organisations = Recovery::weighted(&rulebook);
    organisations.extend(asked.iter().cloned());
    organisations.extend(principal.map(|principal| principal.organisation().to_owned()));
    if organisations.len() > RECOVERY_ROWS_MAX {
        return Err(CertifyError::TooMany(organisations.len()));
    }
    let mut keys = vec![StateKey::rulebook(), StateKey::counters()];
    keys.extend(principal.map(StateKey::principal));
    let fixed = keys.len();
    keys.extend(organisations.iter().map(|id| StateKey::organisation(id)));
    let proved = reader.prove(&keys).await?;
    let height = proved.first().map_or(0, |first| first.height);
    let mut rows = proved.into_iter().map(|one| Some(ProvenRow { row: one.row?, proof: one.proof.into() }));
    let mut fixed = rows.by_ref().take(fixed);
    let (rulebook, counters) = (fixed.next().flatten(), fixed.next().flatten());
    let signer = fixed.next().flatten();
    drop(fixed);
    if let (Some(principal), None) = (principal, &signer) {
        return Err(CertifyError::NotFound(format!("there is no principal `{principal}`: check its name")));
    }
    let (Some(rulebook), Some(counters)) = (rulebook, counters) else { return Ok(None) };
    let organisations: Vec<ProvenRow> = rows.flatten().collect();
    let Some(finality) = certified(chain, marshal, height).await else { return Ok(None) };
    let Ok([head]) = <[BlockHeader; 1]>::try_from(finality.headers) else { return Ok(None) };
    let (links, certificate) = (finality.hand_overs, finality.certificate);
    Ok(Some(RecoveryGround { links, head, certificate, rulebook, counters, organisations, principal: signer }))
}

/// What the register says of the key, and the height it says so at.
async fn answer<E: Runtime>(
    chain: &Chain,
    reader: &Reader<E>,
    register: &str,
    key: &str,
) -> Result<(u64, RecordAnswer), CertifyError> {
    let register_key = StateKey::register(register);
    let mut definition = reader.prove(&[register_key]).await?;
    let definition = definition.pop().ok_or(CertifyError::NotYet)?;
    let Some(row) = definition.row else {
        return Ok((
            definition.height,
            RecordAnswer::NoRegister { question: question(register, key), proof: definition.proof.into() },
        ));
    };
    // A register keeps its number, so the two reads may see two blocks; what is proved, is proved at one.
    let number = RegisterRow::decode(&row).map_err(damaged)?.number;
    let record_key = StateKey::record(number, EntryKind::User, key);
    let mut proved = reader.prove(&[register_key, record_key]).await?;
    let (Some(record), Some(definition)) = (proved.pop(), proved.pop()) else {
        return Err(CertifyError::NotYet);
    };
    let answer = match (record.row, definition.row) {
        (Some(row), _) => {
            let items = items(chain, reader, &RecordRow::decode(&row).map_err(damaged)?).await?;
            RecordAnswer::Current { number, row, items, proof: record.proof.into() }
        }
        (None, Some(register_row)) => RecordAnswer::Absent {
            question: question(register, key),
            register_row,
            register_proof: definition.proof.into(),
            proof: record.proof.into(),
        },
        (None, None) => return Err(damaged("a register is gone")),
    };
    Ok((record.height, answer))
}

/// The items of a record: the row holds their hashes, the log their text.
async fn items<E: Runtime>(chain: &Chain, reader: &Reader<E>, row: &RecordRow) -> Result<Vec<String>, CertifyError> {
    let position = {
        let history = chain.history();
        let register = history.register(&row.register).ok_or(CertifyError::NotYet)?;
        register.position(row.kind, row.number).ok_or(CertifyError::NotYet)?
    };
    let entry = reader.log_entries(&[row.leaf + row.height]).await?.pop().ok_or(CertifyError::NotYet)?;
    let entry = entry_at(&entry, &position, row.number).map_err(damaged)?;
    Ok(entry.items.into_iter().map(|(_, text)| text).collect())
}

fn damaged(error: impl std::fmt::Display) -> CertifyError {
    CertifyError::Read(ReadError::Storage { database: "state", detail: format!("a row does not decode: {error}") })
}
