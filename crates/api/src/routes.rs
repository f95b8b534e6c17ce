//! Every path of the interface: a constant as the router takes it, and a function that fills in its parts.
//!
//! A part is percent-encoded by the function, so that a key with `/` in it (`a/b`) is one segment (`a%2Fb`).

use tallystick_protocol::{Hash, MandateId, PrincipalId};

/// What is served here, in brief.
pub const INDEX: &str = "/";
/// Submit transactions.
pub const TRANSACTIONS: &str = "/v1/transactions";
/// Submit a transaction with what opens the values sealed in it.
pub const SEALED: &str = "/v1/sealed";
/// Read sealed values, on record.
pub const READS: &str = "/v1/reads";
/// Who read what is sealed about somebody.
pub const ACCESS_LOG: &str = "/v1/access-log";
/// Where the sealed values about somebody stand that the node keeps.
pub const HELD: &str = "/v1/held";
/// One transaction and what became of it.
pub const TRANSACTION: &str = "/v1/transactions/{id}";
/// The receipt of a finalised transaction.
pub const TRANSACTION_RECEIPT: &str = "/v1/transactions/{id}/receipt";
/// Acts: who did what, when, and what became of it.
pub const AUDIT: &str = "/v1/audit";
/// The log's size and root, certified.
pub const CHECKPOINT: &str = "/v1/checkpoint";
/// Proof that one state of the log continues another.
pub const LOG_CONSISTENCY: &str = "/v1/log/consistency/{old}/{new}";
/// Proof that a leaf is in the log.
pub const LOG_INCLUSION: &str = "/v1/log/inclusion/{index}/{size}";
/// Finalised blocks as they come.
pub const BLOCKS: &str = "/v1/blocks";
/// One finalised block.
pub const BLOCK: &str = "/v1/blocks/{height}";
/// The network: its genesis.
pub const NETWORK: &str = "/v1/network";
/// Who certifies blocks, now and next.
pub const VALIDATORS: &str = "/v1/validators";
/// What a recovery stands on that goes on from the node's newest block.
pub const RECOVERY: &str = "/v1/recovery";
/// How this node is.
pub const STATUS: &str = "/v1/status";
/// All organisations that are or were members.
pub const ORGANISATIONS: &str = "/v1/organisations";
/// One organisation.
pub const ORGANISATION: &str = "/v1/organisations/{id}";
/// The principals of an organisation.
pub const ORGANISATION_PRINCIPALS: &str = "/v1/organisations/{id}/principals";
/// The nodes of an organisation that hold what only some may see.
pub const ORGANISATION_NODES: &str = "/v1/organisations/{id}/nodes";
/// The certificate authorities of an organisation.
pub const ORGANISATION_AUTHORITIES: &str = "/v1/organisations/{id}/authorities";
/// One principal with its keys.
pub const PRINCIPAL: &str = "/v1/principals/{organisation}/{name}";
/// GET: proof of which keys it has.
pub const PRINCIPAL_RECEIPT: &str = "/v1/principals/{organisation}/{name}/receipt";
/// Mandates that somebody granted or was granted.
pub const MANDATES: &str = "/v1/mandates";
/// One mandate.
pub const MANDATE: &str = "/v1/mandates/{organisation}/{grantor}/{name}";
/// All partitions.
pub const PARTITIONS: &str = "/v1/partitions";
/// Submit a private transaction.
pub const PRIVATE: &str = "/v1/private";
/// One partition.
pub const PARTITION: &str = "/v1/partitions/{name}";
/// Who must know that what they read was wrong.
pub const NOTICES: &str = "/v1/notices";
/// What is held about people, where, why and for how long.
pub const DATA_MAP: &str = "/v1/datamap";
/// The registers in a partition, to the organisation's own.
pub const PARTITION_REGISTERS: &str = "/v1/partitions/{name}/registers";
/// A register in a partition, to the organisation's own.
pub const PARTITION_REGISTER: &str = "/v1/partitions/{name}/registers/{register}";
/// The policies of a register in a partition, to its members' own.
pub const PARTITION_REGISTER_POLICIES: &str = "/v1/partitions/{name}/registers/{register}/policies";
/// One policy of a register in a partition, as it stood at some time, to the same.
pub const PARTITION_POLICY: &str = "/v1/partitions/{name}/policy";
/// Who read what in a partition, to the organisation's own.
pub const PARTITION_READS: &str = "/v1/partitions/{name}/reads";
/// How many notices of corrections wait in a partition, to the organisation's own.
pub const PARTITION_NOTICES: &str = "/v1/partitions/{name}/notices";
/// The mandates of a partition's own, to the organisation's own.
pub const PARTITION_MANDATES: &str = "/v1/partitions/{name}/mandates";
/// What somebody has consented to in a partition, to the organisation's own.
pub const PARTITION_CONSENTS: &str = "/v1/partitions/{name}/consents";
/// What was written about somebody in a partition, to the organisation's own.
pub const PARTITION_HELD: &str = "/v1/partitions/{name}/held";
/// Orders of erasure in a partition, to the organisation's own.
pub const PARTITION_ERASURES: &str = "/v1/partitions/{name}/erasures";
/// The certificate of an order of erasure in a partition, to the organisation's own.
pub const PARTITION_ERASURE_CERTIFICATE: &str = "/v1/partitions/{name}/erasures/certificate";
/// Legal holds in a partition, to the organisation's own.
pub const PARTITION_HOLDS: &str = "/v1/partitions/{name}/holds";
/// All registers.
pub const REGISTERS: &str = "/v1/registers";
/// One register's definition.
pub const REGISTER: &str = "/v1/registers/{name}";
/// openregister: the register in brief.
pub const REGISTER_SUMMARY: &str = "/v1/registers/{name}/register";
/// openregister: the current records.
pub const RECORDS: &str = "/v1/registers/{name}/records";
/// openregister: one record.
pub const RECORD: &str = "/v1/registers/{name}/records/{key}";
/// openregister: all entries of one record.
pub const RECORD_ENTRIES: &str = "/v1/registers/{name}/records/{key}/entries";
/// Which entries of one record were wrong.
pub const RECORD_CORRECTIONS: &str = "/v1/registers/{name}/records/{key}/corrections";
/// Proof of a record, or that there is none.
pub const RECORD_RECEIPT: &str = "/v1/registers/{name}/records/{key}/receipt";
/// openregister: the records whose field has a value.
pub const RECORDS_WITH: &str = "/v1/registers/{name}/records/{field}/{value}";
/// openregister: entries in their order.
pub const ENTRIES: &str = "/v1/registers/{name}/entries";
/// openregister: one entry, as a list of one.
pub const ENTRY: &str = "/v1/registers/{name}/entries/{number}";
/// openregister: one item.
pub const ITEM: &str = "/v1/registers/{name}/items/{hash}";
/// openregister: the whole register as RSF.
pub const DOWNLOAD: &str = "/v1/registers/{name}/download-register";
/// openregister: the register's root.
pub const PROOF_REGISTER: &str = "/v1/registers/{name}/proof/register/merkle:sha-256";
/// openregister: proof that one size of the register continues another.
pub const PROOF_CONSISTENCY: &str = "/v1/registers/{name}/proof/consistency/{old}/{new}/merkle:sha-256";
/// openregister: proof that an entry is in the register.
pub const PROOF_ENTRY: &str = "/v1/registers/{name}/proof/entries/{number}/{size}/merkle:sha-256";
/// The partition's policies.
pub const POLICIES: &str = "/v1/policies";
/// A register's policies.
pub const REGISTER_POLICIES: &str = "/v1/registers/{name}/policies";
/// One policy, as it was put.
pub const POLICY: &str = "/v1/policy";
/// Whether something is permitted, and why.
pub const EXPLAIN: &str = "/v1/policies/explain";
/// All proposals.
pub const PROPOSALS: &str = "/v1/proposals";
/// One proposal, with its ballots.
pub const PROPOSAL: &str = "/v1/proposals/{id}";
/// Proof of where a proposal stands.
pub const PROPOSAL_RECEIPT: &str = "/v1/proposals/{id}/receipt";
/// All orders of erasure.
pub const ERASURES: &str = "/v1/erasures";
/// One order of erasure, with the receipts of its holders.
pub const ERASURE: &str = "/v1/erasures/{order}";
/// Proof of where an order of erasure stands.
pub const ERASURE_CERTIFICATE: &str = "/v1/erasures/{order}/certificate";
/// All legal holds.
pub const HOLDS: &str = "/v1/holds";
/// One legal hold.
pub const HOLD: &str = "/v1/holds/{hold}";
/// The consents of one subject.
pub const CONSENTS: &str = "/v1/consents";
/// One consent.
pub const CONSENT: &str = "/v1/consents/{consent}";
/// What changes would do.
pub const DRY_RUN: &str = "/v1/dry-run";
/// The rulebook in force.
pub const RULEBOOK: &str = "/v1/rulebook";
/// Whether the process is alive.
pub const HEALTH: &str = "/healthz";
/// Whether the node serves.
pub const READY: &str = "/readyz";
/// Metrics for Prometheus.
pub const METRICS: &str = "/metrics";
/// This interface as OpenAPI.
pub const OPENAPI: &str = "/openapi.json";

/// The query that makes a submission wait for the outcome.
pub const WAIT_QUERY: &str = "wait=finalised";

/// [`TRANSACTION`] of `id`.
pub fn transaction(id: &Hash) -> String {
    fill(TRANSACTION, &[&id.to_string()])
}

/// [`TRANSACTION_RECEIPT`] of `id`.
pub fn transaction_receipt(id: &Hash) -> String {
    fill(TRANSACTION_RECEIPT, &[&id.to_string()])
}

/// A path without a query, such as [`AUDIT`], with these names and values as its query.
pub fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut path = path.to_owned();
    for (index, (name, value)) in query.iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        encode_into(&mut path, value);
    }
    path
}

/// [`ERASURE`] of `order`.
pub fn erasure(order: &str) -> String {
    fill(ERASURE, &[order])
}

/// [`ERASURE_CERTIFICATE`] of `order`.
pub fn erasure_certificate(order: &str) -> String {
    fill(ERASURE_CERTIFICATE, &[order])
}

/// [`HOLD`] of `hold`.
pub fn hold(hold: &str) -> String {
    fill(HOLD, &[hold])
}

/// [`RECORD_CORRECTIONS`] of `key` in `register`.
pub fn record_corrections(register: &str, key: &str) -> String {
    fill(RECORD_CORRECTIONS, &[register, key])
}

/// [`LOG_CONSISTENCY`] from `old` to `new` leaves.
pub fn log_consistency(old: u64, new: u64) -> String {
    fill(LOG_CONSISTENCY, &[&old.to_string(), &new.to_string()])
}

/// [`LOG_INCLUSION`] of the leaf at `index` (from 0) in the log of `size` leaves.
pub fn log_inclusion(index: u64, size: u64) -> String {
    fill(LOG_INCLUSION, &[&index.to_string(), &size.to_string()])
}

/// [`BLOCK`] at `height`.
pub fn block(height: u64) -> String {
    fill(BLOCK, &[&height.to_string()])
}

/// [`ORGANISATION`] of `id`.
pub fn organisation(id: &str) -> String {
    fill(ORGANISATION, &[id])
}

/// [`ORGANISATION_PRINCIPALS`] of `id`.
pub fn organisation_principals(id: &str) -> String {
    fill(ORGANISATION_PRINCIPALS, &[id])
}

/// [`ORGANISATION_AUTHORITIES`] of `id`.
pub fn organisation_authorities(id: &str) -> String {
    fill(ORGANISATION_AUTHORITIES, &[id])
}

/// [`ORGANISATION_NODES`] of `id`.
pub fn organisation_nodes(id: &str) -> String {
    fill(ORGANISATION_NODES, &[id])
}

/// [`PRINCIPAL`] of `id`.
pub fn principal(id: &PrincipalId) -> String {
    fill(PRINCIPAL, &[id.organisation(), id.name()])
}

/// [`PRINCIPAL_RECEIPT`] of `id`.
pub fn principal_receipt(id: &PrincipalId) -> String {
    fill(PRINCIPAL_RECEIPT, &[id.organisation(), id.name()])
}

/// [`REGISTER_POLICIES`] of `name`.
pub fn register_policies(name: &str) -> String {
    fill(REGISTER_POLICIES, &[name])
}

/// [`POLICY`] of `id`, as it stood after so many changes of policies; now if none is given.
pub fn policy(id: &str, as_of: Option<u64>) -> String {
    policy_at(POLICY.to_owned(), id, as_of)
}

fn policy_at(mut path: String, id: &str, as_of: Option<u64>) -> String {
    path.push_str("?id=");
    encode_into(&mut path, id);
    if let Some(changes) = as_of {
        path.push_str("&as-of=");
        path.push_str(&changes.to_string());
    }
    path
}

/// [`PROPOSAL`] of `id`.
pub fn proposal(id: &str) -> String {
    fill(PROPOSAL, &[id])
}

/// [`PROPOSAL_RECEIPT`] of `id`.
pub fn proposal_receipt(id: &str) -> String {
    fill(PROPOSAL_RECEIPT, &[id])
}

/// [`MANDATE`] of `id`.
pub fn mandate(id: &MandateId) -> String {
    let grantor = id.grantor();
    fill(MANDATE, &[grantor.organisation(), grantor.name(), id.name()])
}

/// [`PARTITION`] called `name`.
pub fn partition(name: &str) -> String {
    fill(PARTITION, &[name])
}

/// [`PARTITION_REGISTERS`] of the partition.
pub fn partition_registers(partition: &str) -> String {
    fill(PARTITION_REGISTERS, &[partition])
}

/// [`PARTITION_REGISTER`] of the register.
pub fn partition_register(partition: &str, register: &str) -> String {
    fill(PARTITION_REGISTER, &[partition, register])
}

/// [`PARTITION_REGISTER_POLICIES`] of the register.
pub fn partition_register_policies(partition: &str, register: &str) -> String {
    fill(PARTITION_REGISTER_POLICIES, &[partition, register])
}

/// [`PARTITION_POLICY`] of `id`, as [`policy`].
pub fn partition_policy(partition: &str, id: &str, as_of: Option<u64>) -> String {
    policy_at(fill(PARTITION_POLICY, &[partition]), id, as_of)
}

/// [`PARTITION_READS`] of the partition.
pub fn partition_reads(partition: &str) -> String {
    fill(PARTITION_READS, &[partition])
}

/// [`PARTITION_NOTICES`] of the partition.
pub fn partition_notices(partition: &str) -> String {
    fill(PARTITION_NOTICES, &[partition])
}

/// [`PARTITION_MANDATES`] of the partition.
pub fn partition_mandates(partition: &str) -> String {
    fill(PARTITION_MANDATES, &[partition])
}

/// [`PARTITION_CONSENTS`] of the partition.
pub fn partition_consents(partition: &str) -> String {
    fill(PARTITION_CONSENTS, &[partition])
}

/// [`PARTITION_ERASURES`] of the partition.
pub fn partition_erasures(partition: &str) -> String {
    fill(PARTITION_ERASURES, &[partition])
}

/// [`PARTITION_ERASURE_CERTIFICATE`] of the partition.
pub fn partition_erasure_certificate(partition: &str) -> String {
    fill(PARTITION_ERASURE_CERTIFICATE, &[partition])
}

/// [`PARTITION_HOLDS`] of the partition.
pub fn partition_holds(partition: &str) -> String {
    fill(PARTITION_HOLDS, &[partition])
}

/// [`PARTITION_HELD`] of the partition.
pub fn partition_held(partition: &str) -> String {
    fill(PARTITION_HELD, &[partition])
}

/// [`REGISTER`] called `name`.
pub fn register(name: &str) -> String {
    fill(REGISTER, &[name])
}

/// [`REGISTER_SUMMARY`] of the register.
pub fn register_summary(name: &str) -> String {
    fill(REGISTER_SUMMARY, &[name])
}

/// [`RECORDS`] of the register.
pub fn records(name: &str) -> String {
    fill(RECORDS, &[name])
}

/// [`RECORD`] of the register under `key`.
pub fn record(name: &str, key: &str) -> String {
    fill(RECORD, &[name, key])
}

/// [`RECORD_ENTRIES`] of the register under `key`.
pub fn record_entries(name: &str, key: &str) -> String {
    fill(RECORD_ENTRIES, &[name, key])
}

/// [`RECORD_RECEIPT`] of the register under `key`.
pub fn record_receipt(name: &str, key: &str) -> String {
    fill(RECORD_RECEIPT, &[name, key])
}

/// [`RECORDS_WITH`] `value` in `field`.
pub fn records_with(name: &str, field: &str, value: &str) -> String {
    fill(RECORDS_WITH, &[name, field, value])
}

/// [`ENTRIES`] of the register, `limit` of them from number `start` (from 1).
pub fn entries(name: &str, start: u64, limit: u64) -> String {
    format!("{}?start={start}&limit={limit}", fill(ENTRIES, &[name]))
}

/// [`ENTRY`] of the register with this number (from 1).
pub fn entry(name: &str, number: u64) -> String {
    fill(ENTRY, &[name, &number.to_string()])
}

/// [`ITEM`] of the register with this SHA-256.
pub fn item(name: &str, hash: &Hash) -> String {
    fill(ITEM, &[name, &format!("sha-256:{hash}")])
}

/// [`DOWNLOAD`] of the register.
pub fn download(name: &str) -> String {
    fill(DOWNLOAD, &[name])
}

/// [`PROOF_REGISTER`] of the register.
pub fn proof_register(name: &str) -> String {
    fill(PROOF_REGISTER, &[name])
}

/// [`PROOF_CONSISTENCY`] of the register from `old` to `new` entries.
pub fn proof_consistency(name: &str, old: u64, new: u64) -> String {
    fill(PROOF_CONSISTENCY, &[name, &old.to_string(), &new.to_string()])
}

/// [`PROOF_ENTRY`] of the entry `number` (from 1) in the register of `size` entries.
pub fn proof_entry(name: &str, number: u64, size: u64) -> String {
    fill(PROOF_ENTRY, &[name, &number.to_string(), &size.to_string()])
}

/// Puts the parts, percent-encoded, where the template has its `{…}`, in order.
fn fill(template: &str, parts: &[&str]) -> String {
    let mut path = String::with_capacity(template.len() + 64);
    let mut parts = parts.iter();
    for segment in template.split('/').skip(1) {
        path.push('/');
        if segment.starts_with('{') {
            encode_into(&mut path, parts.next().copied().unwrap_or_default());
        } else {
            path.push_str(segment);
        }
    }
    path
}

/// Appends `part` with every byte that may not stand in a path segment (RFC 3986 section 3.3) percent-encoded.
fn encode_into(path: &mut String, part: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.push(digit(byte >> 4));
            path.push(digit(byte & 0x0f));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled_in_order() {
        assert_eq!(block(7), "/v1/blocks/7");
        assert_eq!(
            proof_consistency("country", 197, 200),
            "/v1/registers/country/proof/consistency/197/200/merkle:sha-256"
        );
        assert_eq!(entries("country", 101, 100), "/v1/registers/country/entries?start=101&limit=100");
        let hash = Hash([0xab; 32]);
        assert_eq!(item("country", &hash), format!("/v1/registers/country/items/sha-256:{hash}"));
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(with_query(AUDIT, &[]), "/v1/audit");
        let query = [("resource", "record:country/a&b"), ("limit", "7")];
        assert_eq!(with_query(AUDIT, &query), "/v1/audit?resource=record:country%2Fa%26b&limit=7");
    }

    #[test]
    fn a_part_stays_one_segment() {
        assert_eq!(record("country", "a/b"), "/v1/registers/country/records/a%2Fb");
        assert_eq!(
            records_with("school", "name", "École & co?"),
            "/v1/registers/school/records/name/%C3%89cole%20%26%20co%3F"
        );
    }
}
