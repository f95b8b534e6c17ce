//! Every limit of the project, each with its unit. A decoder refuses what exceeds one before it allocates for it.

use std::time::Duration;

/// Bytes of one encoded transaction.
pub const TRANSACTION_BYTES_MAX: usize = 65_536;
/// Operations in one transaction; they succeed or fail together.
pub const OPERATIONS_MAX: usize = 256;
/// Entries in one transaction, appended or imported, over all its operations.
pub const ENTRIES_MAX: usize = 1_024;
/// Bytes of one item (canonical JSON).
pub const ITEM_BYTES_MAX: usize = 16_384;
/// Items of one entry.
pub const ITEMS_PER_ENTRY_MAX: usize = 16;
/// Bytes of a value that is sealed: what an item could hold of it.
pub const SEALED_VALUE_BYTES_MAX: usize = ITEM_BYTES_MAX;
/// Bytes of the opening of a sealed value: the value, its place and its blinding.
pub const SEAL_OPENING_BYTES_MAX: usize = SEALED_VALUE_BYTES_MAX + 1_024;
/// Sealed values that one transaction holds: more commitments do not fit into one.
pub const SEALED_PER_TRANSACTION_MAX: usize = TRANSACTION_BYTES_MAX / 93;
/// Bytes of a transaction with what opens the values sealed in it.
pub const SEALED_SUBMISSION_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Bytes of what one read gives.
pub const READING_BYTES_MAX: usize = 256 + SEALED_PER_TRANSACTION_MAX * SEAL_OPENING_BYTES_MAX;
/// Bytes of what a vault notes of a transaction that is not final: places and commitments.
pub const VAULT_PENDING_BYTES_MAX: usize = 1_024 * 1_024;
/// Fields of a record that one read names.
pub const READ_FIELDS_MAX: usize = 32;
/// Whom the values of one read may be about.
pub const READ_SUBJECTS_MAX: usize = 8;
/// Bytes of the power that a read relies on.
pub const READ_BASIS_BYTES_MAX: usize = 512;
/// Bytes of the name of whoever values are disclosed to.
pub const READ_RECIPIENT_BYTES_MAX: usize = 256;
/// Sealed values of one subject that a vault keeps.
pub const VAULT_OPENINGS_MAX: usize = 4_096;
/// Bytes of a vault's file, which holds those of one subject.
pub const VAULT_FILE_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Bytes of these files that were read last and are in memory, encrypted, so that they need not be read again.
pub const VAULT_FILES_READ_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Values that one order of erasure names.
pub const ERASURE_VALUES_MAX: usize = 256;
/// Requests that wait at one time for the certificate of an order of erasure in a partition.
pub const CERTIFICATES_WAITING_MAX: usize = 16;
/// Roots of a partition's state under which an order of erasure is proven, while somebody waits for one of them to be certified.
pub const CERTIFICATE_PROOFS_MAX: usize = 64;
/// Nodes that are the holders of one order of erasure: in a partition those of all members together. Of an order that names many values
/// fewer fit into its row with their receipts.
pub const ERASURE_HOLDERS_MAX: usize = 48;
/// Seconds within which an order of erasure must be carried out, at most: a year.
pub const ERASURE_DEADLINE_SECONDS_MAX: u64 = 366 * 86_400;
/// Orders about one subject under one controller that are not complete.
pub const SUBJECT_ERASURES_OPEN_MAX: usize = 32;
/// Holds on one subject under one controller that are in force.
pub const SUBJECT_HOLDS_MAX: usize = 32;
/// Orders of one controller that are not complete: whoever orders more waits for its nodes.
pub const CONTROLLER_ERASURES_OPEN_MAX: usize = 128;
/// Ids on one page of the lists of orders and holds.
pub const ERASURES_PER_PAGE: u32 = 200;
/// Purposes of one consent.
pub const CONSENT_PURPOSES_MAX: usize = 4;
/// Bytes of a purpose of a consent.
pub const CONSENT_PURPOSE_BYTES_MAX: usize = 64;
/// Recipients of one consent.
pub const CONSENT_RECIPIENTS_MAX: usize = 8;
/// Bytes of a recipient of a consent.
pub const CONSENT_RECIPIENT_BYTES_MAX: usize = 64;
/// Consents of one subject under one controller that were not withdrawn and are not over.
pub const SUBJECT_CONSENTS_MAX: usize = 16;
/// Ids on one page of the list of a subject's consents.
pub const CONSENTS_PER_PAGE: u32 = 200;
/// Fields of a register's schema.
pub const FIELDS_MAX: usize = 128;
/// Bytes of a slug: the name of an organisation, a principal, a register or a field.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of an entry's key.
pub const KEY_BYTES_MAX: usize = 128;
/// Bytes of a description: of a register or a field, the display name of an organisation or network.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Bytes of a transaction's subject (CWT claim `sub`).
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Fewest bytes of an idempotency key: fewer would collide by accident.
pub const IDEMPOTENCY_KEY_BYTES_MIN: usize = 8;
/// Most bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 32;
/// Principals that sign a transaction beside its signer.
pub const COSIGNERS_MAX: usize = 8;
/// Seconds between a block's time and the latest not-after it may hold: how long replay tags are remembered.
pub const NOT_AFTER_WINDOW_SECONDS_MAX: u64 = 600;

/// Transactions in one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 4_096;
/// Bytes of one block's transactions together.
pub const BLOCK_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Milliseconds by which a block's time may lie before or after a validator's own clock.
pub const BLOCK_DRIFT_MS_MAX: u64 = 2_000;
/// Bytes of one encoded block header.
pub const HEADER_BYTES_MAX: usize = 512;

/// Bytes of one row of the state.
pub const STATE_VALUE_BYTES_MAX: usize = 16_384;
/// Bytes of one as it is stored: in a partition with a blind of 32 bytes.
pub const STATE_STORED_BYTES_MAX: usize = STATE_VALUE_BYTES_MAX + 32;
/// Largest register number: it is three bytes of a state key.
pub const REGISTER_NUMBER_MAX: u32 = (1 << 24) - 1;

/// Violations named in one refusal; the first ones are kept.
pub const VIOLATIONS_MAX: usize = 32;
/// Bytes of one encoded outcome: two ranges for each operation, and the policies and mandates of the decision, all with the
/// longest names.
pub const OUTCOME_BYTES_MAX: usize = 65_536;
/// Bytes of one encoded log leaf: its outcome and three fixed fields.
pub const LOG_LEAF_BYTES_MAX: usize = OUTCOME_BYTES_MAX + 64;
/// Bytes of one stored log entry: a transaction, its outcome, and their framing.
pub const LOG_ENTRY_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + OUTCOME_BYTES_MAX + 64;

/// Organisations of a network.
pub const ORGANISATIONS_MAX: usize = 1_000;
/// Bytes of an organisation's name in law.
pub const LEGAL_NAME_BYTES_MAX: usize = 256;
/// Bytes of how an organisation is reached: a mail address has 254 at most.
pub const CONTACT_BYTES_MAX: usize = 256;
/// Bytes of the code of a register in which organisations are registered.
pub const REGISTRATION_SCHEME_BYTES_MAX: usize = 32;
/// Bytes of an organisation's number in such a register.
pub const REGISTRATION_NUMBER_BYTES_MAX: usize = 64;
/// Roles of one principal.
pub const ROLES_MAX: usize = 8;
/// Seconds for which a key that is being replaced may go on signing.
pub const KEY_OVERLAP_SECONDS_MAX: u64 = 90 * 86_400;
/// Administrators who must sign to recover a principal, at most: the signer and every co-signer.
pub const RECOVERY_SIGNERS_MAX: u32 = 1 + COSIGNERS_MAX as u32;
/// Agents of one mandate.
pub const MANDATE_AGENTS_MAX: usize = 16;
/// Actions, and things, that one mandate names.
pub const MANDATE_WORDS_MAX: usize = 32;
/// Bytes of one of these.
pub const MANDATE_WORD_BYTES_MAX: usize = 160;
/// Mandates of one chain: granted, and passed on.
pub const MANDATE_CHAIN_MAX: usize = 4;
/// Partitions that a network opens, ended ones included.
pub const PARTITIONS_MAX: usize = 1_000;
/// Names on one page of the list of partitions.
pub const PARTITIONS_PER_PAGE: usize = 200;
/// Fewest organisations of a partition.
pub const PARTITION_MEMBERS_MIN: usize = 2;
/// Most organisations of a partition.
pub const PARTITION_MEMBERS_MAX: usize = 16;
/// Most organisations that an agreement names as regulators.
pub const PARTITION_REGULATORS_MAX: usize = 8;
/// Organisations that have left a partition's agreement, and are not back.
pub const PARTITION_FORMER_MAX: usize = 64;
/// Those that an order of erasure names because they are not asked: organisations that have left, and nodes.
pub const ERASURE_UNASKED_MAX: usize = 128;
/// Categories of data that an agreement names.
pub const PARTITION_CATEGORIES_MAX: usize = 32;
/// Jurisdictions that an agreement allows.
pub const PARTITION_JURISDICTIONS_MAX: usize = 32;
/// Fewest members that acknowledge a payload: nobody vouches alone for what it orders.
pub const ACKNOWLEDGEMENTS_MIN: usize = 2;
/// Payloads that one order has ordered.
pub const PARCELS_PER_ORDER_MAX: usize = 256;
/// The least class of a parcel: the binary logarithm of its bytes.
pub const PARCEL_CLASS_MIN: u8 = 10;
/// The greatest class of a parcel: the longest transaction with its evidence.
pub const PARCEL_CLASS_MAX: u8 = 17;
/// Private transactions in one payload.
pub const PAYLOAD_TRANSACTIONS_MAX: usize = 512;
/// Bytes of payloads that a member's node has open beforehand, so that it need not decrypt and verify them again to execute them.
pub const PAYLOADS_OPEN_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of executed payloads, of all partitions, that were read last and are in memory, so that they need not be read and decrypted again. No sealed
/// value is in them.
pub const PAYLOADS_READ_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Rows of the public state that the transactions of one payload rely on.
pub const EVIDENCE_ROWS_MAX: usize = 256;
/// Bytes of these rows.
pub const EVIDENCE_BYTES_MAX: usize = 48 * 1_024;
/// Different policies of the network that a partition keeps compiled.
pub const POLICIES_OF_EVIDENCE_MAX: usize = 8;
/// Blocks by which what payloads rely on may be older than the block that orders them.
pub const EVIDENCE_BLOCKS_MAX: u64 = 120;
/// Heights of which the roots that members' nodes posted are kept, the latest ones.
pub const PARTITION_ROOTS_KEPT: usize = 8;
/// Milliseconds of ledger time in which the members of a partition post its root once, if something was ordered in it.
pub const ROOT_INTERVAL_MS: u64 = 10_000;
/// Bytes of the parcels in one message between nodes.
pub const PARCELS_BYTES_MAX: usize = 1_024 * 1_024;
/// Bytes of the openings in one message between nodes.
pub const OPENINGS_BYTES_MAX: usize = 1_024 * 1_024;
/// Bytes of them as they are encrypted: with what is around them, the key that was encapsulated, and the tag.
pub const OPENINGS_SEALED_BYTES_MAX: usize = OPENINGS_BYTES_MAX + 256;
/// Openings in one message between nodes: those of the transaction with the most, and more.
pub const OPENINGS_PER_MESSAGE_MAX: usize = 1_024;
/// Bytes of one such message: the order, the parcels, what stands before each, and the openings.
pub const PARCELS_MESSAGE_BYTES_MAX: usize =
    PARCELS_BYTES_MAX + TRANSACTION_BYTES_MAX + PARCELS_PER_ORDER_MAX * 48 + OPENINGS_SEALED_BYTES_MAX + 512;
/// Payloads whose openings a member's node lacks and asks for again, at most.
pub const OPENINGS_LACKED_MAX: usize = 1_024;
/// Times that a member's node asks for what opens the values of a payload, before it asks only now and then, or when somebody reads them.
pub const OPENINGS_ASKS_MAX: u32 = 5;
/// Bytes of parcels that wait on a node to be ordered.
pub const PARCELS_WAITING_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Milliseconds of ledger time after which one that was not ordered is removed: its order's time has passed.
pub const PARCEL_WAIT_MS_MAX: u64 = 2 * NOT_AFTER_WINDOW_SECONDS_MAX * 1_000;
/// Messages of parcels of one peer in work at one time: more are dropped, but for answers.
pub const PARCELS_IN_WORK_MAX: usize = 16;
/// Bytes of a message that may be an answer to an order: it is read whatever else of its peer is in work.
pub const PARCELS_ANSWER_BYTES_MAX: usize = 1_024;
/// Private transactions of a partition that wait on a node to be ordered.
pub const PRIVATE_QUEUE_MAX: usize = 4_096;
/// Bytes of the token of a signed question.
pub const QUERY_BYTES_MAX: usize = 512;
/// Seconds for which a signed question may be answered, at most.
pub const QUERY_SECONDS_MAX: u64 = 300;
/// Times that a record of a partition is asked for, when the partition goes on before its members have certified the root.
pub const DISCLOSURE_ATTEMPTS_MAX: u32 = 3;
/// Acts of a partition that are looked through for one page of its reads, or of what was written about somebody.
pub const PRIVATE_SCAN_MAX: u64 = 1_000;
/// Notices of corrections in a partition that a node keeps for its organisation's people: others take their places once these are acknowledged.
pub const PRIVATE_NOTICES_MAX: usize = 100_000;
/// Of these, for one of them.
pub const PRIVATE_NOTICES_PER_READER_MAX: usize = 100;
/// Orders of a partition that a node makes ready, and has acknowledged, at one time.
pub const ORDERS_AT_ONCE_MAX: usize = 4;
/// Days for which what is shared or personal may be kept: a century.
pub const RETENTION_DAYS_MAX: u32 = 36_525;
/// Principals that a genesis gives one organisation.
pub const GENESIS_PRINCIPALS_MAX: usize = 100;
/// Validators of a network.
pub const VALIDATORS_MAX: usize = 100;
/// Bytes of the address at which a validator is dialled: a host name of 253 characters would fit, and few have as many.
pub const ADDRESS_BYTES_MAX: usize = 260;
/// Fewest validators of which one can be missing: with fewer, any change brings in some that are needed at once.
pub const TOLERANT_VALIDATORS_MIN: usize = 4;
/// Former validators whose nodes the others still speak with: the oldest are forgotten.
pub const FORMER_VALIDATORS_MAX: usize = 32;
/// Nodes that one node speaks with: validators of two epochs, those who left, and those its configuration names.
pub const PEERS_MAX: usize = 256;
/// Fewest blocks of an epoch: a validator that is new must have time to catch up in one.
pub const EPOCH_BLOCKS_MIN: u64 = 20;
/// Blocks of an epoch of a new network that does not say.
pub const EPOCH_BLOCKS_DEFAULT: u64 = 600;
/// Most blocks of an epoch.
pub const EPOCH_BLOCKS_MAX: u64 = 1_000_000;
/// Bytes of a genesis file as JSON.
pub const GENESIS_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Hashes of an RFC 9162 proof: a tree of 2^64 leaves needs no more in either kind.
pub const MERKLE_PATH_MAX: usize = 65;
/// Headers of a receipt: from the block that holds the root to the certified one.
pub const RECEIPT_HEADERS_MAX: usize = 8;
/// Bytes of one state proof: up to 122 hashes of an MMR, a chunk of the bitmap, and for absence the row before the gap.
pub const STATE_PROOF_BYTES_MAX: usize = STATE_VALUE_BYTES_MAX + 8_192;
/// Bytes of one encoded certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 128 + VALIDATORS_MAX * 72;
/// Bytes of one encoded hand-over from one validator set to the next.
pub const HAND_OVER_BYTES_MAX: usize = 16 + HEADER_BYTES_MAX + CERTIFICATE_BYTES_MAX + VALIDATORS_MAX * 34;
/// Hand-overs in one message between nodes.
pub const HAND_OVERS_ANSWERED_MAX: usize = 32;
/// Bytes of one encoded recovery: the signatures of about a hundred organisations, each with two proofs.
pub const RECOVERY_BYTES_MAX: usize = 384 * 1_024;
/// Bytes of a file that answers a request for access: a proof of 3 KiB or so for each record and each read about a person.
pub const SUBJECT_ACCESS_BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Bytes of a recovery file: what leads to its head is in receipts, too.
pub const RECOVERY_FILE_BYTES_MAX: usize = RECOVERY_BYTES_MAX + RECEIPT_BYTES_MAX;
/// Organisations that a recovery shows, and that sign it: [`RECOVERY_BYTES_MAX`] is reached before.
pub const RECOVERY_ROWS_MAX: usize = 256;
/// Bytes of one message of hand-overs: a byte, a count, and a length before each; one of them may be a recovery.
pub const HAND_OVERS_MESSAGE_BYTES_MAX: usize =
    6 + HAND_OVERS_ANSWERED_MAX * (HAND_OVER_BYTES_MAX + 5) + RECOVERY_BYTES_MAX;
/// Times that a node asks its peers, each a second after the other, for a hand-over without which its receipts cannot be checked.
pub const HAND_OVER_ASKS_MAX: usize = 60;
/// Hand-overs of a receipt: one for each epoch whose validators changed.
pub const RECEIPT_HAND_OVERS_MAX: usize = 1_024;
/// Nodes of one organisation that hold what only some may see.
pub const NODES_PER_ORGANISATION_MAX: usize = 8;
/// Nodes of an organisation that are named once they are retired, and it has not said that what they held is destroyed.
pub const NODES_RETIRED_MAX: usize = 8;
/// Hours from one backup of a vault to the next: a month.
pub const BACKUP_HOURS_MAX: u32 = 744;
/// Days for which a backup of a vault is kept: a hundred years.
pub const BACKUP_DAYS_MAX: u32 = 36_500;
/// Backups of a vault that are kept: what is erased is looked for in each of them.
pub const BACKUPS_MAX: u32 = 1_000;
/// Transactions with sealed values that a holding node waits for at one time, before they are final.
pub const VAULT_PENDING_MAX: usize = 4_096;
/// Sealed values that one disclosure shows.
pub const DISCLOSED_VALUES_MAX: usize = 64;
/// Fields that a disclosure of fields alone shows: those that a read can name, in each item.
pub const DISCLOSED_FIELDS_MAX: usize = READ_FIELDS_MAX * ITEMS_PER_ENTRY_MAX;
/// Bytes of one encoded receipt. Without hand-overs half a MiB is plenty; the rest holds [`RECEIPT_HAND_OVERS_MAX`] of them
/// in a network of twelve validators.
pub const RECEIPT_BYTES_MAX: usize = 2 * 1_024 * 1_024;

/// Changes of one proposal.
pub const CHANGES_MAX: usize = 16;
/// Polls of one proposal: one for each kind of change, and, where not all members vote on a kind, for each organisation that such
/// changes are about.
pub const POLLS_MAX: usize = 32;
/// Bytes of a proposal's row when it is submitted: ballots, heights and a failure are still to come.
pub const PROPOSAL_ROW_BYTES_MAX: usize = STATE_VALUE_BYTES_MAX - 4_096;
/// Violations kept of a proposal that could not take effect: the first ones.
pub const FAILURE_VIOLATIONS_MAX: usize = 8;
/// Bytes of one change, so that it fits into a row beside what is noted of it.
pub const CHANGE_BYTES_MAX: usize = STATE_VALUE_BYTES_MAX - 512;
/// Bytes of the text that a proposal carries; of a longer one it carries the hash.
pub const PROPOSAL_TEXT_BYTES_MAX: usize = 8_192;
/// Bytes of a reason: for a suspension, an objection.
pub const REASON_BYTES_MAX: usize = 1_024;
/// Policies that one change puts in force, and that it ends.
pub const POLICIES_PER_CHANGE_MAX: usize = 32;
/// Rules of a rulebook that are read: more than there are kinds of change.
pub const RULES_MAX: usize = 32;
/// Organisations to which a rulebook gives other than one vote.
pub const VOTE_WEIGHTS_MAX: usize = 64;
/// Votes of one organisation.
pub const VOTES_MAX: u32 = 1_000;
/// Largest denominator of a threshold.
pub const SHARE_DENOMINATOR_MAX: u32 = 1_000;
/// Fewest seconds for which ballots are taken.
pub const OPEN_SECONDS_MIN: u64 = 60;
/// Most seconds for which ballots are taken: a year.
pub const OPEN_SECONDS_MAX: u64 = 366 * 86_400;
/// Most blocks between a proposal's acceptance and its effect; some months on an idle network.
pub const NOTICE_BLOCKS_MAX: u64 = 10_000_000;
/// Most seconds for which an objection holds a proposal up: a month.
pub const PAUSE_SECONDS_MAX: u64 = 31 * 86_400;
/// Proposals that are not yet decided or carried out.
pub const PROPOSALS_OPEN_MAX: usize = 100;
/// Those of them that one organisation made, unless the network sets another limit.
pub const PROPOSALS_PER_ORGANISATION_MAX: u64 = 8;
/// Principals that one organisation may enrol, unless the network sets another limit.
pub const PRINCIPALS_PER_ORGANISATION_MAX: u64 = 1_000_000;
/// Ids on one page of the list of organisations.
pub const ORGANISATIONS_PER_PAGE: u32 = 200;
/// Names on one page of the list of an organisation's principals: each enrolment writes a page.
pub const PRINCIPALS_PER_PAGE: u32 = 100;
/// Ids on one page of the list of proposals.
pub const PROPOSALS_PER_PAGE: u32 = 200;
/// Turns on one page of what became of proposals at the beginning of blocks: such a row stays within its limit.
pub const TURNS_PER_PAGE: u64 = 64;
/// Proposals that take effect in one block.
pub const EFFECTS_PER_BLOCK_MAX: usize = 4;
/// Proposals whose time ran out that one block deals with; more wait for the next.
pub const LAPSES_PER_BLOCK_MAX: usize = 16;
/// Blocks ahead of which a proposal may state the height of its effect; years on an idle network.
pub const EFFECT_BLOCKS_AHEAD_MAX: u64 = 100_000_000;

/// Bytes of one X.509 certificate.
pub const X509_BYTES_MAX: usize = 8_192;
/// Bytes of its serial number (RFC 5280 section 4.1.2.2).
pub const X509_SERIAL_BYTES_MAX: usize = 20;
/// Bytes of one revocation list: it must fit into a transaction.
pub const X509_LIST_BYTES_MAX: usize = 49_152;
/// Bytes of one file of certificates and revocation lists.
pub const X509_FILE_BYTES_MAX: usize = 1_048_576;
/// Bytes of a domain name in a certificate (RFC 1035 section 2.3.4).
pub const DOMAIN_BYTES_MAX: usize = 253;
/// Bytes of one of its labels.
pub const DOMAIN_LABEL_BYTES_MAX: usize = 63;
/// X.509 certificates of one chain, the authority's own included.
pub const X509_PATH_MAX: usize = 6;
/// Certificate policies of one authority that mean something here.
pub const AUTHORITY_POLICIES_MAX: usize = 16;
/// Beginnings of names that one authority may certify.
pub const AUTHORITY_NAMES_MAX: usize = 16;
/// Bytes of an object identifier in dots and digits.
pub const OBJECT_IDENTIFIER_BYTES_MAX: usize = 64;
/// Chains that are tried to find one that holds.
pub const X509_TRIES_MAX: usize = 64;

/// Milliseconds from a block's time to its child's, at most: what a leader with a false clock can move time by.
pub const BLOCK_STEP_MS_MAX: u64 = 3_600_000;
/// Transactions waiting in a node's pool.
pub const POOL_TRANSACTIONS_MAX: usize = 50_000;
/// Bytes of them.
pub const POOL_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Transactions waiting to be verified by a node.
pub const VERIFY_QUEUE_TRANSACTIONS_MAX: usize = 20_000;
/// Transactions in one message between validators.
pub const GOSSIP_TRANSACTIONS_MAX: usize = 2_048;
/// Bytes of them.
pub const GOSSIP_BYTES_MAX: usize = 1_024 * 1_024;
/// Keys that the row of one principal lists, retired ones included; the oldest retired ones leave it first.
pub const KEYS_PER_PRINCIPAL_MAX: usize = 8;

// Policies.

/// Bytes of one policy's text.
pub const POLICY_BYTES_MAX: usize = 4_096;
/// Brackets within brackets in a policy: how far Cedar recurses must not depend on a node's stack.
pub const POLICY_NESTING_MAX: usize = 16;
/// Operators in a policy, for the same reason.
pub const POLICY_OPERATORS_MAX: usize = 128;
/// Bytes of a text in quotes within a policy: comparing a pattern costs the product of two of them.
pub const POLICY_TEXT_BYTES_MAX: usize = 256;
/// Policies of a partition; each costs every request that it speaks of about a microsecond.
pub const POLICIES_MAX: usize = 128;
/// Bytes of their texts together.
pub const POLICIES_BYTES_MAX: usize = 65_536;
/// Policies that a register's custodian makes for it.
pub const REGISTER_POLICIES_MAX: usize = 16;
/// Bytes of their texts together.
pub const REGISTER_POLICIES_BYTES_MAX: usize = 16_384;
/// Policies named in one outcome, determining and skipped ones each; the first ones are kept.
pub const DECISION_POLICIES_MAX: usize = 32;
/// Things that one request for permission knows of.
///
/// Who acts and who signs, the resource, each with its organisation; and for each mandate it, its grantor, and that one's.
pub const REQUEST_ENTITIES_MAX: usize = 2 * (2 + COSIGNERS_MAX) + 2 + 3 * MANDATE_CHAIN_MAX;
/// Decisions that a node remembers.
pub const DECISIONS_REMEMBERED_MAX: usize = 4_096;
/// Changes of policies among which the text of an old one is looked for.
pub const POLICY_CHANGES_LOOKED_AT_MAX: u64 = 4_096;
/// Policies that are kept as they were read.
pub const POLICIES_REMEMBERED_MAX: usize = 4_096;
/// Sets of policies that are kept compiled.
pub const POLICY_SETS_REMEMBERED_MAX: usize = 1_024;

// The command line on one machine.

/// Most nodes of a sandbox: they share one machine.
pub const SANDBOX_NODES_MAX: usize = 16;
/// Longest pause before a sandbox's node that died is started again.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Bytes after which the log of a sandbox's node is set aside as `node.log.1`, replacing the one before.
pub const NODE_LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of such a log that are read for its last lines.
pub const NODE_LOG_TAIL_BYTES_MAX: u64 = 64 * 1024;

// A client.

/// Bytes of an ordinary answer.
pub const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one line of a stream of blocks: 4,096 ids and room to spare.
pub const STREAM_LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Time without a byte after which a stream counts as broken. Nodes send something at least every few seconds.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest pause that a node may ask for.
pub const BUSY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a key file; ours have about 400.
pub const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a passphrase file.
pub const PASSPHRASE_FILE_BYTES_MAX: u64 = 4 * 1024;
/// Time for a token to sign for a person: it may want a touch, or its PIN on its own keys.
pub const TOKEN_ANSWER_MAX: Duration = Duration::from_secs(60);
/// Time for a token to sign for a node: longer would cost a vote anyway.
pub const TOKEN_VOTE_MAX: Duration = Duration::from_secs(2);
/// Signatures that may wait for one token.
pub const TOKEN_REQUESTS_MAX: usize = 64;

// Registers and RSF.

/// The last second that a timestamp can write: 9999-12-31T23:59:59Z.
pub const TIMESTAMP_SECONDS_MAX: u64 = 253_402_300_799;
/// Bytes of a hash's algorithm name, and hexadecimal digits of its value, at most.
pub const HASH_PART_BYTES_MAX: usize = 128;
/// Bytes of a transaction that its envelope and the operation's own fields may take.
pub const IMPORT_ENVELOPE_BYTES_MAX: usize = 2_048;
/// Characters of the input that an error repeats.
pub const SHOWN_CHARS_MAX: usize = 80;

// A node at work.

/// Signatures verified together at most. More gain little and delay the first.
pub const VERIFY_BATCH_TRANSACTIONS_MAX: usize = 2048;
/// Milliseconds after which one more act of a key that may not sign any more goes on to the ledger to be refused there, on each node.
pub const ATTEMPT_PAUSE_MS: u64 = 60_000;
/// Keys whose last such act a node remembers; of more at a time it lets none go on.
pub const ATTEMPT_KEYS_MAX: usize = 10_000;
/// Keys that a node remembers the holders of; a network that uses more reads the state more often.
pub const KEYS_REMEMBERED_MAX: usize = 100_000;
/// Registers of which a node remembers whether they have protected fields.
pub const SCHEMAS_REMEMBERED_MAX: usize = 10_000;
/// Transactions told again at one time.
pub const RETELL_TRANSACTIONS_MAX: usize = 512;
/// Messages of one peer in work at one time: more are dropped.
pub const GOSSIP_MESSAGES_MAX: usize = 32;
/// Bytes of one message between validators: the transactions, and a length before each.
pub const GOSSIP_MESSAGE_BYTES_MAX: usize = GOSSIP_BYTES_MAX + (GOSSIP_TRANSACTIONS_MAX + 1) * 5;
/// Blocks searched for a receipt, backwards from the tip for one that is certified and holds the transaction.
pub const RECEIPT_SEARCH_BLOCKS_MAX: u64 = 16;
/// Reads of the state for one answer: a dry run asks a few times for rows that it lacks, and again when a block came between.
pub const STATE_ROUNDS_MAX: usize = 128;
/// Attempts at a receipt of a record while blocks go by.
pub const RECEIPT_ATTEMPTS_MAX: usize = 50;
/// Blocks that a subscriber may fall behind before it loses some.
pub const SUBSCRIBER_LAG_BLOCKS_MAX: usize = 256;
/// Pieces of a register's download that may wait for a slow reader.
pub const DOWNLOAD_PIECES_MAX: usize = 2;
/// How far two nodes' clocks may differ when they shake hands.
pub const HANDSHAKE_CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// Bytes of the largest operation of the log database: tag, length, entry, floor.
pub const LOG_OPERATION_BYTES_MAX: usize = LOG_ENTRY_BYTES_MAX + 64;
/// Bytes of the operations in one answer of state sync.
pub const SYNC_BYTES_MAX: usize = 1_024 * 1_024;

/// Days before something ends at which a node says so, the first time, louder, and urgently.
pub const EXPIRY_WARNING_DAYS: [u64; 3] = [90, 30, 7];
/// Principals, authorities and revocation lists of its organisation whose ends a node watches.
pub const EXPIRIES_WATCHED_MAX: usize = 10_000;
/// Ends that a node tells together: the nearest ones.
pub const EXPIRIES_TOLD_MAX: usize = 100;

// The HTTP interface.

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Transactions in one request.
pub const SUBMISSIONS_MAX: usize = 4_096;
/// Seconds until a request must be answered; a stream is excepted.
pub const REQUEST_SECONDS_MAX: u64 = 30;
/// Seconds that `?wait=finalised` waits, so that the answer is on its way before the request's own time is up.
pub const WAIT_SECONDS_MAX: u64 = 20;
/// Seconds until a disclosure out of a partition is answered, from when it is handed in: executed, and its root certified.
pub const DISCLOSED_SECONDS_MAX: u64 = 26;
/// Seconds for a client to send the head of a request, and for an idle connection to be used again.
pub const HEAD_SECONDS_MAX: u64 = 30;
/// Seconds for which a client may take nothing of its answer.
pub const STALL_SECONDS_MAX: u64 = 30;
/// Seconds that a stopping server gives the requests under way.
pub const DRAIN_SECONDS_MAX: u64 = 4;
/// Connections held at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 512;
/// Requests worked on at once; more are told "busy".
pub const REQUESTS_MAX: usize = 256;
/// Streams of blocks served at once.
pub const STREAMS_MAX: usize = 128;
/// Whole registers being downloaded at once.
pub const DOWNLOADS_MAX: usize = 4;
/// Dry runs and explanations worked on at once: each may take as long as a block, and blocks come first.
pub const QUESTIONS_MAX: usize = 2;

/// Entries or records on a page when the request does not say.
pub const PAGE_DEFAULT: u64 = 100;
/// Most entries or records on a page.
pub const PAGE_MAX: u64 = 5_000;
/// Bytes of the items on a page: the default page fits whatever its entries hold.
pub const PAGE_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Partitions on a page: they are read together, and blocks wait for a read.
pub const PARTITIONS_PAGE_MAX: u64 = 200;
/// Organisations on a page: they are read together, and blocks wait for a read.
pub const ORGANISATIONS_PAGE_MAX: u64 = 200;
/// Rows read together where many are asked for: blocks wait for a read.
pub const ROWS_READ_MAX: usize = 100;
/// Organisations on a page of the data map: for each, its nodes, registers and agreements are looked up.
pub const DATA_MAP_PAGE_MAX: u64 = 50;
/// Acts that are looked through for the authorities of an organisation: the latest.
pub const AUTHORITY_ACTS_MAX: usize = 1_000;
/// Corrections on a page of notices: of each, reads and acknowledgements are looked through.
pub const NOTICES_PAGE_MAX: u64 = 20;
/// Reads, and acknowledgements, that are looked through for the notices of one correction: the latest.
pub const NOTICE_ACTS_MAX: usize = 1_000;
/// Reads and acknowledgements after which no further correction is looked at for a page of notices.
pub const NOTICES_ACTS_MAX: usize = 4_000;
/// Acts on a page of an audit.
pub const AUDIT_PAGE_MAX: u64 = 1_000;
/// Principals on a page of an organisation's.
pub const PRINCIPALS_PAGE_MAX: u64 = 1_000;
/// Principals that are looked at for one page: those that are asked for may be few.
pub const PRINCIPALS_LOOKED_AT_MAX: u64 = 1_000;
/// Grants that are looked at for one page of mandates.
pub const MANDATES_PAGE_MAX: u64 = 1_000;
/// Orders of erasure, holds or corrections on a page.
pub const ERASURES_PAGE_MAX: u64 = 200;
/// Consents on a page.
pub const CONSENTS_PAGE_MAX: u64 = 200;
/// Proposals on a page.
pub const PROPOSALS_PAGE_MAX: u64 = 1_000;
/// Turns of proposals looked through for a page of an audit: more than can lie between two leaves, where each undecided
/// proposal has two at most.
pub const AUDIT_TURNS_MAX: usize = 256;
/// Resources named in one row of an audit.
pub const AUDIT_RESOURCES_MAX: usize = 32;
/// Seconds between two comments that keep a stream of blocks alive.
pub const KEEP_ALIVE_SECONDS: u64 = 15;
/// Records searched for a field's value in one request, at most.
pub const SEARCH_RECORDS_MAX: usize = 200_000;
