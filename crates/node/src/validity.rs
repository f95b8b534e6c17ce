//! Judge what can be told of a block without its state: does its header follow, do its transactions belong into it.
//!
//! INVARIANT: pure functions of the block and its parent. Leader, validators and auditor ask the same ones.

use tallystick_protocol::{
    BlockHeader, Calendar, Hash, SignedTransaction,
    limits::{BLOCK_STEP_MS_MAX, NOT_AFTER_WINDOW_SECONDS_MAX},
};

/// Whether a block of this network and time may hold the transaction.
pub(crate) fn belongs(transaction: &SignedTransaction, header: &BlockHeader) -> bool {
    transaction.network() == header.network && transaction.partition().is_none() && in_time(transaction, header.time_ms)
}

/// Whether a block of this time may hold the transaction: its not-after has not passed and is not too far ahead.
///
/// That makes forgetting safe: what is out of time cannot be ordered again after its replay tag was forgotten.
pub(crate) fn in_time(transaction: &SignedTransaction, time_ms: u64) -> bool {
    let seconds = time_ms / 1000;
    let not_after = transaction.not_after();
    not_after >= seconds && not_after <= seconds.saturating_add(NOT_AFTER_WINDOW_SECONDS_MAX)
}

/// The time a leader gives its block: its clock's, later than the parent's, and no great step after it.
pub(crate) fn block_time(parent: &BlockHeader, now_ms: u64) -> u64 {
    let latest = if parent.height == 0 { u64::MAX } else { parent.time_ms.saturating_add(BLOCK_STEP_MS_MAX) };
    now_ms.clamp(parent.time_ms.saturating_add(1).min(latest), latest)
}

/// Whether the header follows from its parent, as far as that can be told without its transactions and the state. What the first
/// header of an epoch says of the validators after the next is told by the state; `recovered` are those who certify from the first
/// block after a recovery on, if this is that block.
pub(crate) fn follows(
    header: &BlockHeader,
    parent: &BlockHeader,
    calendar: &Calendar,
    recovered: Option<Hash>,
) -> bool {
    let same_epoch = header.epoch == parent.epoch;
    let (validators, next) = match recovered {
        Some(recovered) => (recovered, recovered),
        None if same_epoch => (parent.validators, parent.next_validators),
        None => (parent.next_validators, header.next_validators),
    };
    header.network == parent.network
        && header.height == parent.height + 1
        && header.parent == parent.hash()
        && header.epoch == calendar.epoch_of(header.height)
        && header.validators == validators
        && header.next_validators == next
        && header.time_ms > parent.time_ms
        && header.time_ms == block_time(parent, header.time_ms)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tallystick_protocol::{
        Intent, LogCommitment, NetworkId, Operation, Phase, PrincipalId, SigningKey, StateCommitment,
    };

    fn header(time_ms: u64) -> BlockHeader {
        BlockHeader {
            network: NetworkId([1; 16]),
            height: 17,
            epoch: 1,
            view: 9,
            leader: [2; 32],
            parent_view: 8,
            parent: Hash([3; 32]),
            time_ms,
            transactions: Hash([4; 32]),
            transaction_count: 1,
            state: StateCommitment::default(),
            log: LogCommitment::default(),
            validators: Hash([8; 32]),
            next_validators: Hash([9; 32]),
        }
    }

    fn transaction(network: NetworkId, not_after: u64) -> SignedTransaction {
        let closing =
            Operation::RegisterPhase { register: "vineyard".to_owned(), phase: Phase::Closed, successor: None };
        let intent = Intent {
            not_after,
            idempotency_key: vec![1; 8],
            ..Intent::new(network, PrincipalId::new("hmrc", "registrar").unwrap(), "vineyard", vec![closing])
        };
        intent.sign(&SigningKey::from_ed25519_seed(&[7; 32])).unwrap()
    }

    #[test]
    fn a_block_holds_what_is_of_its_network_and_in_time() {
        let block = header(1_000_999);
        let network = block.network;
        assert!(belongs(&transaction(network, 1_000), &block));
        assert!(belongs(&transaction(network, 1_000 + NOT_AFTER_WINDOW_SECONDS_MAX), &block));
        assert!(!belongs(&transaction(network, 999), &block), "expired");
        assert!(!belongs(&transaction(network, 1_001 + NOT_AFTER_WINDOW_SECONDS_MAX), &block), "remembered too long");
        assert!(!belongs(&transaction(NetworkId([9; 16]), 1_000), &block), "of another network");
    }

    #[test]
    fn time_goes_forward_in_bounded_steps() {
        let parent = header(5_000);
        assert_eq!(block_time(&parent, 9_000), 9_000);
        assert_eq!(block_time(&parent, 1_000), 5_001, "a clock that went back");
        assert_eq!(block_time(&parent, u64::MAX), 5_000 + BLOCK_STEP_MS_MAX, "a clock far ahead");
        let child = |time_ms| BlockHeader { height: 18, parent: parent.hash(), ..header(time_ms) };
        let follows = |header: &BlockHeader| follows(header, &parent, &Calendar::new(10), None);
        assert!(follows(&child(5_001)));
        assert!(follows(&child(5_000 + BLOCK_STEP_MS_MAX)));
        assert!(!follows(&child(5_000)));
        assert!(!follows(&child(5_001 + BLOCK_STEP_MS_MAX)));
        assert!(!follows(&BlockHeader { height: 19, ..child(5_001) }));
        assert!(!follows(&BlockHeader { parent: Hash([0; 32]), ..child(5_001) }));
    }

    #[test]
    fn validators_change_between_epochs_and_never_within_one() {
        let before = header(5_000);
        let within = BlockHeader { height: 18, parent: before.hash(), ..header(6_000) };
        assert!(follows(&within, &before, &Calendar::new(10), None));
        assert!(!follows(&within, &before, &Calendar::new(9), None), "of the next epoch");
        assert!(!follows(
            &BlockHeader { validators: Hash([1; 32]), ..within.clone() },
            &before,
            &Calendar::new(10),
            None
        ));
        assert!(!follows(
            &BlockHeader { next_validators: Hash([1; 32]), ..within.clone() },
            &before,
            &Calendar::new(10),
            None
        ));

        let last = BlockHeader { height: 19, ..before };
        let first = BlockHeader { height: 20, epoch: 2, parent: last.hash(), validators: Hash([9; 32]), ..within };
        assert!(follows(&first, &last, &Calendar::new(10), None));
        assert!(
            follows(&BlockHeader { next_validators: Hash([1; 32]), ..first.clone() }, &last, &Calendar::new(10), None),
            "the state tells"
        );
        // After a recovery neither of the sets that the head names certifies.
        let mut recovered = Calendar::new(10);
        recovered.recover(19);
        let after = Hash([7; 32]);
        let first_after = BlockHeader { epoch: 3, validators: after, next_validators: after, ..first.clone() };
        assert!(follows(&first_after, &last, &recovered, Some(after)));
        assert!(!follows(&first_after, &last, &recovered, None));
        assert!(!follows(
            &BlockHeader { next_validators: Hash([9; 32]), ..first_after.clone() },
            &last,
            &recovered,
            Some(after)
        ));
        assert!(!follows(&BlockHeader { epoch: 2, ..first_after }, &last, &recovered, Some(after)), "passed over");
        assert!(!follows(&BlockHeader { epoch: 1, ..first.clone() }, &last, &Calendar::new(10), None));
        assert!(!follows(&BlockHeader { validators: last.validators, ..first }, &last, &Calendar::new(10), None));
    }
}
