//! Operations as deterministic CBOR: an array of the name, then the fields in the order of the type.

use super::{EntryKind, Field, ImportedEntry, NewEntry, Operation, OperationName, Protection};
use crate::seal::Subject;
use crate::{
    cbor,
    identifier::{validate_key, validate_name},
    limits::{
        CHANGES_MAX, ENTRIES_MAX, ERASURE_DEADLINE_SECONDS_MAX, FIELDS_MAX, ITEM_BYTES_MAX, ITEMS_PER_ENTRY_MAX,
        KEY_OVERLAP_SECONDS_MAX, PARCELS_PER_ORDER_MAX, READ_BASIS_BYTES_MAX, READ_FIELDS_MAX,
        READ_RECIPIENT_BYTES_MAX, READ_SUBJECTS_MAX, REASON_BYTES_MAX, RECOVERY_SIGNERS_MAX, TEXT_BYTES_MAX,
        X509_BYTES_MAX, X509_LIST_BYTES_MAX, X509_PATH_MAX,
    },
    organisation,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

fn named(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

fn keyed(d: &mut Decoder<'_>, kind: EntryKind) -> Result<String, decode::Error> {
    let at = d.position();
    let key = d.str()?;
    validate_key(kind, key).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(key.to_owned())
}

fn described(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::text(d, 0..=TEXT_BYTES_MAX, "a description").map(str::to_owned)
}

fn reasoned(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::words(d, 1..=REASON_BYTES_MAX, "a reason").map(str::to_owned)
}

fn authorised(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::words(d, 1..=REASON_BYTES_MAX, "an authority").map(str::to_owned)
}

fn lawful(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::words(d, 1..=REASON_BYTES_MAX, "a legal basis").map(str::to_owned)
}

/// What is read, erased, held, corrected and consented to.
fn privacy(name: OperationName, d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    Ok(match name {
        OperationName::RecordRead => record_read(d)?,
        OperationName::TransferRefuse => transfer_refuse(d)?,
        OperationName::ErasureOrder => erasure_order(d)?,
        OperationName::ErasureReceipt => Operation::ErasureReceipt { order: named(d)?, destroyed: d.u32()? },
        OperationName::HoldPlace => Operation::HoldPlace {
            hold: named(d)?,
            controller: named(d)?,
            subject: d.decode()?,
            authority: authorised(d)?,
            reason: reasoned(d)?,
            until: cbor::optional(d, |d| d.u64())?,
        },
        OperationName::ConsentGive => Operation::ConsentGive {
            consent: named(d)?,
            controller: named(d)?,
            subject: d.decode()?,
            terms: d.decode()?,
            evidence: cbor::words(d, 1..=REASON_BYTES_MAX, "how a consent was given")?.to_owned(),
        },
        OperationName::ConsentWithdraw => Operation::ConsentWithdraw { consent: named(d)?, reason: reasoned(d)? },
        OperationName::HoldLift => Operation::HoldLift { hold: named(d)?, reason: reasoned(d)? },
        OperationName::RecordCorrect => Operation::RecordCorrect {
            register: named(d)?,
            corrects: d.u64()?,
            entry: d.decode()?,
            reason: reasoned(d)?,
            authority: authorised(d)?,
            legal_basis: lawful(d)?,
        },
        OperationName::NoticeAcknowledge => Operation::NoticeAcknowledge {
            register: named(d)?,
            key: keyed(d, EntryKind::User)?,
            corrects: d.u64()?,
            reader: d.decode()?,
            recipient: recipient(d)?,
        },
        other => return Err(decode::Error::message(format!("operation {other} has no decoding"))),
    })
}

/// To whom what was read was disclosed.
fn recipient(d: &mut Decoder<'_>) -> Result<Option<String>, decode::Error> {
    cbor::optional(d, |d| Ok(cbor::text(d, 1..=READ_RECIPIENT_BYTES_MAX, "the recipient of what is read")?.to_owned()))
}

fn erasure_order(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let (order, controller, subject, scope) = (named(d)?, named(d)?, d.decode()?, d.decode()?);
    let (authority, legal_basis, reason) = (authorised(d)?, lawful(d)?, reasoned(d)?);
    let at = d.position();
    let deadline = d.u64()?;
    if !(1..=ERASURE_DEADLINE_SECONDS_MAX).contains(&deadline) {
        let message = format!("a deadline is 1 to {ERASURE_DEADLINE_SECONDS_MAX} seconds away");
        return Err(decode::Error::message(message).at(at));
    }
    Ok(Operation::ErasureOrder { order, controller, subject, scope, authority, legal_basis, reason, deadline })
}

fn protection(d: &mut Decoder<'_>) -> Result<Protection, decode::Error> {
    let at = d.position();
    d.str()?.parse().map_err(|message: String| decode::Error::message(message).at(at))
}

fn proposal_submit(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    Ok(Operation::ProposalSubmit {
        proposal: named(d)?,
        title: cbor::text(d, 1..=TEXT_BYTES_MAX, "the title of a proposal")?.to_owned(),
        text: d.decode()?,
        changes: cbor::values(d, 1..=CHANGES_MAX, "the changes of a proposal")?,
        effect_height: cbor::optional(d, |d| d.u64())?,
    })
}

fn private_order(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    Ok(Operation::PrivateOrder {
        partition: named(d)?,
        height: d.u64()?,
        parcels: cbor::values(d, 1..=PARCELS_PER_ORDER_MAX, "the parcels of an order")?,
    })
}

fn partition_root(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    Ok(Operation::PartitionRoot { partition: named(d)?, height: d.u64()?, root: d.decode()? })
}

fn transfer_refuse(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let (partition, node, jurisdiction) = (named(d)?, d.decode()?, d.decode()?);
    Ok(Operation::TransferRefuse { partition, node, jurisdiction, path: d.decode()? })
}

fn principal_amend(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let principal = d.decode()?;
    let at = d.position();
    let roles = cbor::optional(d, |d| d.decode())?;
    let assurance = cbor::optional(d, |d| {
        cbor::array(d, 2, "a key and its assurance")?;
        Ok((d.decode()?, d.decode()?))
    })?;
    if roles.is_none() && assurance.is_none() {
        return Err(decode::Error::message("a principal is amended in its roles or in a key's assurance").at(at));
    }
    Ok(Operation::PrincipalAmend { principal, roles, assurance })
}

fn key_certify(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let (principal, key, authority) = (d.decode()?, d.decode()?, d.decode()?);
    Ok(Operation::KeyCertify { principal, key, authority, chain: chain(d, 1)? })
}

fn node_register(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let (node, peer) = (d.decode()?, cbor::fixed(d, "a peer's key")?);
    Ok(Operation::NodeRegister { node, peer, sealing: d.decode()?, jurisdiction: d.decode()? })
}

fn certificate(d: &mut Decoder<'_>) -> Result<Vec<u8>, decode::Error> {
    cbor::bytes(d, 1..=X509_BYTES_MAX, "a certificate").map(<[u8]>::to_vec)
}

fn chain(d: &mut Decoder<'_>, least: usize) -> Result<Vec<Vec<u8>>, decode::Error> {
    // The authority's own certificate is on the ledger.
    let n = cbor::list(d, least..=X509_PATH_MAX - 1, "the certificates of a chain")?;
    (0..n).map(|_| certificate(d)).collect()
}

fn write_chain<W: encode::Write>(e: &mut Encoder<W>, chain: &[Vec<u8>]) -> Result<(), encode::Error<W::Error>> {
    e.array(chain.len() as u64)?;
    for certificate in chain {
        e.bytes(certificate)?;
    }
    Ok(())
}

fn recovery_signers(d: &mut Decoder<'_>) -> Result<u32, decode::Error> {
    let at = d.position();
    match d.u32()? {
        n @ 1..=RECOVERY_SIGNERS_MAX => Ok(n),
        _ => Err(decode::Error::message(format!("1 to {RECOVERY_SIGNERS_MAX} administrators can sign")).at(at)),
    }
}

fn overlap(d: &mut Decoder<'_>) -> Result<u64, decode::Error> {
    let at = d.position();
    match d.u64()? {
        seconds @ 0..=KEY_OVERLAP_SECONDS_MAX => Ok(seconds),
        _ => Err(decode::Error::message(format!("an overlap is at most {KEY_OVERLAP_SECONDS_MAX} seconds")).at(at)),
    }
}

fn record_read(d: &mut Decoder<'_>) -> Result<Operation, decode::Error> {
    let (register, key) = (named(d)?, keyed(d, EntryKind::User)?);
    let at = d.position();
    let n = cbor::list(d, 1..=READ_FIELDS_MAX, "the fields of a read")?;
    let fields = (0..n).map(|_| named(d)).collect::<Result<Vec<_>, _>>()?;
    let n = cbor::list(d, 1..=READ_SUBJECTS_MAX, "whom a read is about")?;
    let subjects = (0..n).map(|_| subject(d)).collect::<Result<Vec<_>, _>>()?;
    if !fields.is_sorted_by(|a, b| a < b) || !subjects.is_sorted_by(|a, b| a < b) {
        return Err(decode::Error::message("a read names fields and subjects sorted, each once").at(at));
    }
    Ok(Operation::RecordRead {
        register,
        key,
        fields,
        subjects,
        purpose: cbor::words(d, 1..=REASON_BYTES_MAX, "the purpose of a read")?.to_owned(),
        legal_basis: cbor::words(d, 1..=READ_BASIS_BYTES_MAX, "the power that a read relies on")?.to_owned(),
        recipient: cbor::optional(d, |d| d.decode())?,
        node: d.decode()?,
    })
}

fn subject(d: &mut Decoder<'_>) -> Result<Subject, decode::Error> {
    let at = d.position();
    d.str()?.parse().map_err(|error: crate::identifier::NameError| decode::Error::message(error).at(at))
}

fn write_read<W: encode::Write>(e: &mut Encoder<W>, read: &Operation) -> Result<(), encode::Error<W::Error>> {
    let Operation::RecordRead { register, key, fields, subjects, purpose, legal_basis, recipient, node } = read else {
        return Ok(());
    };
    e.str(register)?.str(key)?;
    cbor::write_values(e, fields)?;
    e.array(subjects.len() as u64)?;
    for subject in subjects {
        e.str(&subject.to_string())?;
    }
    e.str(purpose)?.str(legal_basis)?.encode(recipient)?.encode(node)?.ok()
}

fn items(d: &mut Decoder<'_>) -> Result<Vec<String>, decode::Error> {
    let n = cbor::list(d, 1..=ITEMS_PER_ENTRY_MAX, "the items of an entry")?;
    let mut items = Vec::with_capacity(n);
    for _ in 0..n {
        items.push(cbor::text(d, 2..=ITEM_BYTES_MAX, "an item")?.to_owned());
    }
    Ok(items)
}

impl<C> Encode<C> for Field {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(if self.protection.is_some() { 6 } else { 5 })?;
        e.str(&self.name)?.encode(self.datatype)?.encode(self.cardinality)?;
        e.encode(self.register.as_deref())?.str(&self.text)?;
        self.protection.iter().try_for_each(|protection| e.str(&protection.to_string())?.ok())
    }
}

impl<'b, C> Decode<'b, C> for Field {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let elements = cbor::list(d, 5..=6, "a field")?;
        Ok(Self {
            name: named(d)?,
            datatype: d.decode()?,
            cardinality: d.decode()?,
            register: cbor::optional(d, named)?,
            text: described(d)?,
            protection: if elements == 6 { Some(protection(d)?) } else { None },
        })
    }
}

impl<C> Encode<C> for NewEntry {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.key)?;
        cbor::write_values(e, &self.items)
    }
}

impl<'b, C> Decode<'b, C> for NewEntry {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "an entry")?;
        Ok(Self { key: keyed(d, EntryKind::User)?, items: items(d)? })
    }
}

impl<C> Encode<C> for ImportedEntry {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(self.kind)?.str(&self.key)?.u64(self.timestamp)?;
        cbor::write_values(e, &self.items)
    }
}

impl<'b, C> Decode<'b, C> for ImportedEntry {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "an imported entry")?;
        let kind = d.decode()?;
        Ok(Self { kind, key: keyed(d, kind)?, timestamp: d.u64()?, items: items(d)? })
    }
}

impl Operation {
    /// The fields of what is erased, held, corrected, consented to and shared.
    fn encode_privacy<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::PrivateOrder { partition, height, parcels } => {
                cbor::write_values(e.str(partition)?.u64(*height)?, parcels)
            }
            Self::PartitionRoot { partition, height, root } => e.str(partition)?.u64(*height)?.encode(root)?.ok(),
            Self::TransferRefuse { partition, node, jurisdiction, path } => {
                e.str(partition)?.encode(node)?.encode(jurisdiction)?.encode(path)?.ok()
            }
            Self::ErasureOrder { order, controller, subject, scope, authority, legal_basis, reason, deadline } => {
                e.str(order)?.str(controller)?.encode(subject)?.encode(scope)?;
                e.str(authority)?.str(legal_basis)?.str(reason)?.u64(*deadline)?.ok()
            }
            Self::ErasureReceipt { order, destroyed } => e.str(order)?.u32(*destroyed)?.ok(),
            Self::HoldPlace { hold, controller, subject, authority, reason, until } => {
                e.str(hold)?.str(controller)?.encode(subject)?.str(authority)?.str(reason)?.encode(until)?.ok()
            }
            Self::ConsentGive { consent, controller, subject, terms, evidence } => {
                e.str(consent)?.str(controller)?.encode(subject)?.encode(terms)?.str(evidence)?.ok()
            }
            Self::RecordCorrect { register, corrects, entry, reason, authority, legal_basis } => {
                e.str(register)?.u64(*corrects)?.encode(entry)?.str(reason)?.str(authority)?.str(legal_basis)?.ok()
            }
            Self::NoticeAcknowledge { register, key, corrects, reader, recipient } => {
                e.str(register)?.str(key)?.u64(*corrects)?.encode(reader)?.encode(recipient)?.ok()
            }
            other => Err(encode::Error::message(format!("operation {} has no encoding", other.name()))),
        }
    }
}

impl<C> Encode<C> for Operation {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.name().arity())?.encode(self.name())?;
        match self {
            Self::RegisterCreate { register, text, fields } => {
                e.str(register)?.str(text)?;
                cbor::write_values(e, fields)
            }
            Self::RegisterPhase { register, phase, successor } => {
                e.str(register)?.encode(phase)?.encode(successor.as_deref())?.ok()
            }
            Self::EntryAppend { register, entries } => {
                e.str(register)?;
                cbor::write_values(e, entries)
            }
            Self::RegisterImport { register, user_first, system_first, entries, root } => {
                e.str(register)?.u64(*user_first)?.u64(*system_first)?;
                cbor::write_values(e, entries)?;
                e.encode(root)?.ok()
            }
            Self::OrganisationContact { contact } => e.encode(contact.as_deref())?.ok(),
            Self::PrincipalEnrol { name, kind, roles, key, assurance } => {
                e.str(name)?.encode(kind)?.encode(roles)?.encode(key)?.encode(assurance)?.ok()
            }
            Self::PrincipalStatus { principal, status, reason } => {
                e.encode(principal)?.encode(status)?.str(reason)?.ok()
            }
            Self::PrincipalAmend { principal, roles, assurance } => {
                e.encode(principal)?.encode(roles)?;
                match assurance {
                    Some((key, level)) => e.array(2)?.encode(key)?.encode(level)?.ok(),
                    None => e.null()?.ok(),
                }
            }
            Self::PrincipalRecover { principal, key, assurance } | Self::KeyAdd { principal, key, assurance } => {
                e.encode(principal)?.encode(key)?.encode(assurance)?.ok()
            }
            Self::RecoverySet { administrators } => e.u32(*administrators)?.ok(),
            Self::KeyRotate { principal, old, new, overlap } => {
                e.encode(principal)?.encode(old)?.encode(new)?.u64(*overlap)?.ok()
            }
            Self::MandateGrant { name, terms } => e.str(name)?.encode(terms)?.ok(),
            Self::MandateRevoke { mandate } => e.encode(mandate)?.ok(),
            Self::KeyRetire { principal, key } => e.encode(principal)?.encode(key)?.ok(),
            Self::AuthorityAdmit { certificate, terms } => e.bytes(certificate)?.encode(terms)?.ok(),
            Self::AuthorityRetire { authority } => e.encode(authority)?.ok(),
            Self::KeyCertify { principal, key, authority, chain } => {
                e.encode(principal)?.encode(key)?.encode(authority)?;
                write_chain(e, chain)
            }
            Self::RevocationPost { list, authority, chain } => {
                e.bytes(list)?.encode(authority)?;
                write_chain(e, chain)
            }
            Self::ProposalSubmit { proposal, title, text, changes, effect_height } => {
                e.str(proposal)?.str(title)?.encode(text)?;
                cbor::write_values(e, changes)?;
                e.encode(effect_height)?.ok()
            }
            Self::ProposalWithdraw { proposal } => e.str(proposal)?.ok(),
            Self::BallotCast { proposal, choice } => e.str(proposal)?.encode(choice)?.ok(),
            Self::ProposalObject { proposal: id, reason }
            | Self::HoldLift { hold: id, reason }
            | Self::ConsentWithdraw { consent: id, reason } => e.str(id)?.str(reason)?.ok(),
            Self::RegisterPolicy { register, change } => e.str(register)?.encode(change)?.ok(),
            Self::NodeRegister { node, peer, sealing, jurisdiction } => {
                e.encode(node)?.bytes(peer)?.encode(sealing)?.encode(jurisdiction)?.ok()
            }
            Self::RecordRead { .. } => write_read(e, self),
            Self::NodeRetire { node, destroyed } => e.encode(node)?.bool(*destroyed)?.ok(),
            _ => self.encode_privacy(e),
        }
    }
}

impl<'b, C> Decode<'b, C> for Operation {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let arity = d.array()?;
        let name: OperationName = d.decode()?;
        if arity != Some(name.arity()) {
            let message = format!("operation {name} must be an array of {} elements", name.arity());
            return Err(decode::Error::message(message).at(at));
        }
        Ok(match name {
            OperationName::RegisterCreate => Self::RegisterCreate {
                register: named(d)?,
                text: described(d)?,
                fields: cbor::values(d, 0..=FIELDS_MAX, "the fields of a register")?,
            },
            OperationName::RegisterPhase => {
                Self::RegisterPhase { register: named(d)?, phase: d.decode()?, successor: cbor::optional(d, named)? }
            }
            OperationName::EntryAppend => Self::EntryAppend {
                register: named(d)?,
                entries: cbor::values(d, 1..=ENTRIES_MAX, "the entries of a transaction")?,
            },
            OperationName::RegisterImport => Self::RegisterImport {
                register: named(d)?,
                user_first: d.u64()?,
                system_first: d.u64()?,
                entries: cbor::values(d, 1..=ENTRIES_MAX, "the entries of a transaction")?,
                root: d.decode()?,
            },
            OperationName::OrganisationContact => {
                Self::OrganisationContact { contact: cbor::optional(d, organisation::contact)? }
            }
            OperationName::PrincipalEnrol => Self::PrincipalEnrol {
                name: named(d)?,
                kind: d.decode()?,
                roles: d.decode()?,
                key: d.decode()?,
                assurance: d.decode()?,
            },
            OperationName::PrincipalStatus => {
                Self::PrincipalStatus { principal: d.decode()?, status: d.decode()?, reason: reasoned(d)? }
            }
            OperationName::PrincipalAmend => principal_amend(d)?,
            OperationName::PrincipalRecover => {
                Self::PrincipalRecover { principal: d.decode()?, key: d.decode()?, assurance: d.decode()? }
            }
            OperationName::RecoverySet => Self::RecoverySet { administrators: recovery_signers(d)? },
            OperationName::KeyAdd => Self::KeyAdd { principal: d.decode()?, key: d.decode()?, assurance: d.decode()? },
            OperationName::KeyRotate => {
                Self::KeyRotate { principal: d.decode()?, old: d.decode()?, new: d.decode()?, overlap: overlap(d)? }
            }
            OperationName::MandateGrant => Self::MandateGrant { name: named(d)?, terms: d.decode()? },
            OperationName::MandateRevoke => Self::MandateRevoke { mandate: d.decode()? },
            OperationName::KeyRetire => Self::KeyRetire { principal: d.decode()?, key: d.decode()? },
            OperationName::AuthorityAdmit => Self::AuthorityAdmit { certificate: certificate(d)?, terms: d.decode()? },
            OperationName::AuthorityRetire => Self::AuthorityRetire { authority: d.decode()? },
            OperationName::KeyCertify => key_certify(d)?,
            OperationName::RevocationPost => {
                let list = cbor::bytes(d, 1..=X509_LIST_BYTES_MAX, "a revocation list")?.to_vec();
                Self::RevocationPost { list, authority: d.decode()?, chain: chain(d, 0)? }
            }
            OperationName::ProposalSubmit => proposal_submit(d)?,
            OperationName::ProposalWithdraw => Self::ProposalWithdraw { proposal: named(d)? },
            OperationName::BallotCast => Self::BallotCast { proposal: named(d)?, choice: d.decode()? },
            OperationName::ProposalObject => Self::ProposalObject { proposal: named(d)?, reason: reasoned(d)? },
            OperationName::RegisterPolicy => Self::RegisterPolicy { register: named(d)?, change: d.decode()? },
            OperationName::NodeRegister => node_register(d)?,
            OperationName::PrivateOrder => private_order(d)?,
            OperationName::PartitionRoot => partition_root(d)?,
            OperationName::NodeRetire => Self::NodeRetire { node: d.decode()?, destroyed: d.bool()? },
            other => privacy(other, d)?,
        })
    }
}
