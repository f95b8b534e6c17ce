//! The formats, byte for byte, in `tests/vectors`: shared by every SDK. `UPDATE_VECTORS=1` writes them anew, and to
//! commit what it wrote is to decide for another format.

use crate::fixtures;
use serde_json::{Value, json};
use std::path::Path;
use tallystick_protocol::{
    Appended, BlockHeader, Change, Code, Decision, EntryKind, Field, Hash, ImportedEntry, Intent, LogLeaf, NewEntry,
    Opening, Operation, Outcome, PolicyChange, PolicyText, Receipt, Refusal, RuleText, Rulebook, SignedTransaction,
    SigningKey, Violation, ViolationRule, cbor,
};

/// Compares `actual` with the file, or writes it.
pub fn check(file: &str, actual: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(actual).unwrap() + "\n").unwrap();
    }
    assert_eq!(&stored(file), actual, "{file}: if the format is meant to change, set UPDATE_VECTORS=1");
}

fn stored(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file);
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}: set UPDATE_VECTORS=1", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

fn fields(fields: &[Field]) -> Value {
    fields
        .iter()
        .map(|Field { name, datatype, cardinality, register, text, protection }| {
            let mut field = json!({
                "name": name, "datatype": datatype, "cardinality": cardinality, "register": register, "text": text,
            });
            if let Some(protection) = protection {
                field["protection"] = json!(protection);
            }
            field
        })
        .collect()
}

fn operation(operation: &Operation) -> Value {
    let mut json = match operation {
        Operation::RegisterCreate { register, text, fields: list } => {
            json!({"register": register, "text": text, "fields": fields(list)})
        }
        Operation::RegisterPhase { register, phase, successor } => {
            json!({"register": register, "phase": phase, "successor": successor})
        }
        Operation::EntryAppend { register, entries } => json!({
            "register": register,
            "entries": entries
                .iter()
                .map(|NewEntry { key, items }| json!({"key": key, "items": items}))
                .collect::<Vec<_>>(),
        }),
        Operation::RegisterImport { register, user_first, system_first, entries, root } => json!({
            "register": register,
            "user_first": user_first,
            "system_first": system_first,
            "entries": entries
                .iter()
                .map(|ImportedEntry { kind, key, timestamp, items }| {
                    json!({"kind": kind, "key": key, "timestamp": timestamp, "items": items})
                })
                .collect::<Vec<_>>(),
            "root": root,
        }),
        Operation::PrincipalEnrol { name, kind, roles, key, assurance } => {
            json!({"name": name, "kind": kind, "roles": roles, "key": key, "assurance": assurance})
        }
        Operation::PrincipalStatus { principal, status, reason } => {
            json!({"principal": principal, "status": status, "reason": reason})
        }
        Operation::OrganisationContact { contact } => json!({"contact": contact}),
        Operation::PrincipalAmend { principal, roles, assurance } => {
            json!({"principal": principal, "roles": roles, "assurance": assurance})
        }
        Operation::PrincipalRecover { principal, key, assurance } | Operation::KeyAdd { principal, key, assurance } => {
            json!({"principal": principal, "key": key, "assurance": assurance})
        }
        Operation::RecoverySet { administrators } => json!({"administrators": administrators}),
        Operation::KeyRotate { principal, old, new, overlap } => {
            json!({"principal": principal, "old": old, "new": new, "overlap": overlap})
        }
        Operation::MandateGrant { name, terms } => json!({
            "name": name, "agents": terms.agents, "actions": terms.actions, "resources": terms.resources,
            "purpose": terms.purpose, "from": terms.from, "until": terms.until, "depth": terms.depth,
            "concur": terms.concur, "parent": terms.parent,
        }),
        Operation::MandateRevoke { mandate } => json!({"mandate": mandate}),
        Operation::KeyRetire { principal, key } => json!({"principal": principal, "key": key}),
        Operation::AuthorityAdmit { certificate, terms } => {
            json!({"certificate": hex::encode(certificate), "terms": terms})
        }
        Operation::AuthorityRetire { authority } => json!({"authority": authority}),
        Operation::KeyCertify { principal, key, authority, chain } => json!({
            "principal": principal,
            "key": key,
            "authority": authority,
            "chain": chain.iter().map(hex::encode).collect::<Vec<_>>(),
        }),
        Operation::RevocationPost { list, authority, chain } => json!({
            "list": hex::encode(list),
            "authority": authority,
            "chain": chain.iter().map(hex::encode).collect::<Vec<_>>(),
        }),
        Operation::ProposalSubmit { proposal, title, text, changes, effect_height } => json!({
            "proposal": proposal,
            "title": title,
            "text": match text {
                RuleText::Whole(text) => json!(text),
                RuleText::Hash(hash) => json!({"sha-256": hash}),
            },
            "changes": changes,
            "effect_height": effect_height,
        }),
        Operation::ProposalWithdraw { proposal } => json!({"proposal": proposal}),
        Operation::BallotCast { proposal, choice } => json!({"proposal": proposal, "choice": choice}),
        Operation::ProposalObject { proposal, reason } => json!({"proposal": proposal, "reason": reason}),
        Operation::RegisterPolicy { register, change: PolicyChange { put, remove } } => json!({
            "register": register,
            "put": put.iter().map(|PolicyText { id, text }| json!({"id": id, "text": text})).collect::<Vec<_>>(),
            "remove": remove,
        }),
        Operation::NodeRegister { node, peer, sealing, jurisdiction } => json!({
            "node": node, "peer": hex::encode(peer), "sealing": sealing, "jurisdiction": jurisdiction,
        }),
        Operation::NodeRetire { node, destroyed } => json!({"node": node, "destroyed": destroyed}),
        Operation::PrivateOrder { partition, height, parcels } => json!({
            "partition": partition,
            "height": height,
            "parcels": parcels.iter().map(|one| json!({"commitment": one.id.to_string(), "class": one.class})).collect::<Vec<_>>(),
        }),
        Operation::TransferRefuse { partition, node, jurisdiction, path } => {
            json!({"partition": partition, "node": node, "jurisdiction": jurisdiction, "path": path})
        }
        Operation::PartitionRoot { partition, height, root } => {
            json!({"partition": partition, "height": height, "root": root})
        }
        Operation::RecordRead { register, key, fields, subjects, purpose, legal_basis, recipient, node } => json!({
            "register": register, "key": key, "fields": fields, "subjects": subjects, "purpose": purpose,
            "legal_basis": legal_basis,
            "recipient": recipient.as_ref().map(|to| json!({ "name": to.name, "jurisdiction": to.jurisdiction })), "node": node,
        }),
        _ => privacy_operation(operation),
    };
    json["operation"] = json!(operation.name());
    json
}

fn privacy_operation(operation: &Operation) -> Value {
    match operation {
        Operation::ErasureOrder { order, controller, subject, scope, authority, legal_basis, reason, deadline } => {
            let scope = scope.values().map_or_else(|| json!("all"), |values| json!(values));
            json!({
                "order": order, "controller": controller, "subject": subject, "scope": scope, "authority": authority,
                "legal_basis": legal_basis, "reason": reason, "deadline": deadline,
            })
        }
        Operation::ErasureReceipt { order, destroyed } => json!({"order": order, "destroyed": destroyed}),
        Operation::HoldPlace { hold, controller, subject, authority, reason, until } => json!({
            "hold": hold, "controller": controller, "subject": subject, "authority": authority, "reason": reason,
            "until": until,
        }),
        Operation::ConsentGive { consent, controller, subject, terms, evidence } => json!({
            "consent": consent, "controller": controller, "subject": subject, "purposes": terms.purposes,
            "recipients": terms.recipients, "until": terms.until_ms, "evidence": evidence,
        }),
        Operation::ConsentWithdraw { consent, reason } => json!({"consent": consent, "reason": reason}),
        Operation::HoldLift { hold, reason } => json!({"hold": hold, "reason": reason}),
        Operation::RecordCorrect {
            register,
            corrects,
            entry: NewEntry { key, items },
            reason,
            authority,
            legal_basis,
        } => {
            json!({
                "register": register, "corrects": corrects, "entry": {"key": key, "items": items}, "reason": reason,
                "authority": authority, "legal_basis": legal_basis,
            })
        }
        Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } => json!({
            "register": register, "key": key, "corrects": corrects, "reader": reader, "recipient": recipient,
        }),
        other => unreachable!("{} is above", other.name()),
    }
}

fn transaction(intent: &Intent, signed: &SignedTransaction) -> Value {
    json!({
        "network": intent.network,
        "principal": intent.principal,
        "subject": intent.subject,
        "not_after": intent.not_after,
        "idempotency_key": hex::encode(&intent.idempotency_key),
        "operations": intent.operations.iter().map(operation).collect::<Vec<_>>(),
        "mandate": intent.mandate,
        "cosigners": intent
            .cosigners
            .iter()
            .map(|cosigner| json!({"principal": cosigner.principal, "key": cosigner.key}))
            .collect::<Vec<_>>(),
        "public_key": signed.key(),
        "to_be_signed": hex::encode(signed.to_be_signed()),
        "cbor": hex::encode(signed.bytes()),
        "id": signed.id(),
        "replay_tag": hex::encode(signed.replay_tag()),
    })
}

fn plain_decision(Decision { version, determining, skipped, mandates }: &Decision) -> Value {
    json!({"version": version, "determining": determining, "skipped": skipped, "mandates": mandates})
}

fn plain_outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Accepted { appended, decision } => json!({
            "decision": plain_decision(decision),
            "status": "accepted",
            "appended": appended
                .iter()
                .map(|Appended { operation, register, kind, first, count }| {
                    json!({"operation": operation, "register": register, "kind": kind, "first": first, "count": count})
                })
                .collect::<Vec<_>>(),
        }),
        Outcome::Refused(Refusal { code, operation, violations, decision }) => json!({
            "decision": plain_decision(decision),
            "status": "refused",
            "code": code,
            "operation": operation,
            "violations": violations
                .iter()
                .map(|Violation { entry, field, rule }| json!({"entry": entry, "field": field, "rule": rule}))
                .collect::<Vec<_>>(),
        }),
    }
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn transaction_ed25519() {
    let intent = fixtures::intent(vec![fixtures::append()]);
    let signed = intent.sign(&fixtures::administrator(0)).unwrap();
    let mut vector = transaction(&intent, &signed);
    vector["seed"] = json!(hex::encode([1; 32]));
    check("transaction-ed25519.json", &vector);
}

/// ES256 signatures differ each time: the stored one must hold, and all else must be as computed.
#[test]
fn transaction_p256() {
    let key = SigningKey::from_p256_scalar(&[9; 32]).unwrap();
    let intent = fixtures::intent(vec![fixtures::append()]);
    let signed = if std::env::var_os("UPDATE_VECTORS").is_some() {
        intent.sign(&key).unwrap()
    } else {
        SignedTransaction::decode(unhex(&stored("transaction-p256.json")["cbor"])).unwrap()
    };
    assert_eq!(signed.intent(), &intent);
    signed.clone().verify().unwrap();
    let mut vector = transaction(&intent, &signed);
    vector["scalar"] = json!(hex::encode([9; 32]));
    check("transaction-p256.json", &vector);
}

/// Under a mandate and co-signed: what each co-signer signs stands beside what the signer signs. One of them signs ES256,
/// so that the stored transaction is kept, as in the vector before.
#[test]
fn transaction_cosigned() {
    let intent = fixtures::cosigned_intent();
    let keys = [SigningKey::from_p256_scalar(&[9; 32]).unwrap(), fixtures::administrator(2)];
    let begun = intent.begin(&fixtures::administrator(0)).unwrap();
    let signed = if std::env::var_os("UPDATE_VECTORS").is_some() {
        begun.cosign(&keys[0]).unwrap().cosign(&keys[1]).unwrap().complete().unwrap()
    } else {
        SignedTransaction::decode(unhex(&stored("transaction-cosigned.json")["cbor"])).unwrap()
    };
    assert_eq!(signed.intent(), &intent);
    signed.clone().verify().unwrap();
    let mut vector = transaction(&intent, &signed);
    vector["begun"] = json!(hex::encode(begun.bytes()));
    vector["to_be_cosigned"] = keys.iter().map(|key| json!(hex::encode(begun.to_be_cosigned(&key.public())))).collect();
    check("transaction-cosigned.json", &vector);
}

#[test]
fn operations() {
    let vectors: Vec<Value> = fixtures::operations()
        .iter()
        .map(|(what, value)| {
            let bytes = cbor::encode(value);
            assert_eq!(cbor::decode::<Operation>(&bytes, bytes.len()).as_ref(), Ok(value));
            json!({"what": what, "value": operation(value), "cbor": hex::encode(bytes)})
        })
        .collect();
    check("operations.json", &json!(vectors));
}

/// Each change as CBOR, and as the JSON that people write it in.
#[test]
fn changes() {
    let vectors: Vec<Value> = fixtures::changes()
        .iter()
        .map(|value| {
            let bytes = cbor::encode(value);
            assert_eq!(cbor::decode::<Change>(&bytes, bytes.len()).as_ref(), Ok(value));
            let json = serde_json::to_value(value).unwrap();
            assert_eq!(&serde_json::from_value::<Change>(json.clone()).unwrap(), value);
            assert_eq!(json["change"], json!(value.kind()));
            json!({"value": json, "cbor": hex::encode(bytes)})
        })
        .collect();
    check("changes.json", &json!(vectors));
}

/// The rulebook of a network that sets none.
#[test]
fn rulebook() {
    let rulebook = Rulebook::default();
    let bytes = cbor::encode(&rulebook);
    assert_eq!(cbor::decode::<Rulebook>(&bytes, bytes.len()).as_ref(), Ok(&rulebook));
    check("rulebook.json", &json!({"value": rulebook, "cbor": hex::encode(bytes)}));
}

#[test]
fn header() {
    let header = fixtures::receipt().finality.headers.remove(0);
    assert_eq!(BlockHeader::decode(&header.to_bytes()).as_ref(), Ok(&header));
    let vector = json!({
        "network": header.network,
        "height": header.height,
        "epoch": header.epoch,
        "view": header.view,
        "leader": hex::encode(header.leader),
        "parent_view": header.parent_view,
        "parent": header.parent,
        "time_ms": header.time_ms,
        "transactions": header.transactions,
        "transaction_count": header.transaction_count,
        "state": {
            "root": header.state.root,
            "operations_root": header.state.operations_root,
            "start": header.state.start,
            "end": header.state.end,
        },
        "log": {
            "size": header.log.size,
            "root": header.log.root,
            "store_root": header.log.store_root,
            "store_end": header.log.store_end,
        },
        "validators": header.validators,
        "cbor": hex::encode(header.to_bytes()),
        "hash": header.hash(),
    });
    check("header.json", &vector);
}

#[test]
fn leaf() {
    let appended = Appended { operation: 0, register: "country".into(), kind: EntryKind::User, first: 209, count: 1 };
    let violation = Violation { entry: 0, field: "start-date".into(), rule: ViolationRule::Datatype };
    let decision = fixtures::decision;
    let refusal = Refusal { code: Code::Schema, operation: 0, violations: vec![violation], decision: decision() };
    let skipped = Decision {
        version: 4,
        determining: Vec::new(),
        skipped: vec!["custodian-writes".parse().unwrap()],
        mandates: vec!["hmrc/alice/filing".parse().unwrap()],
    };
    let unpermitted = Refusal { code: Code::NotPermitted, operation: 1, violations: Vec::new(), decision: skipped };
    let outcomes = [
        ("accepted", Outcome::Accepted { appended: vec![appended], decision: decision() }),
        ("accepted, nothing appended", Outcome::Accepted { appended: Vec::new(), decision: decision() }),
        ("refused before policies were asked", Outcome::refused(Code::PrincipalUnknown, 0)),
        ("refused for want of a policy", Outcome::Refused(unpermitted)),
        ("refused with a violation", Outcome::Refused(refusal)),
    ];
    let vectors: Vec<Value> = outcomes
        .into_iter()
        .map(|(what, outcome)| {
            let leaf =
                LogLeaf { transaction: Hash::of(&[b"transaction"]), height: 7, time_ms: fixtures::TIME_MS, outcome };
            assert_eq!(LogLeaf::decode(&leaf.to_bytes()).as_ref(), Ok(&leaf));
            json!({
                "what": what,
                "transaction": leaf.transaction,
                "height": leaf.height,
                "time_ms": leaf.time_ms,
                "outcome": plain_outcome(&leaf.outcome),
                "cbor": hex::encode(leaf.to_bytes()),
                "hash": leaf.hash(),
            })
        })
        .collect();
    check("leaf.json", &json!(vectors));
}

#[test]
fn refusal_codes() {
    let codes: Vec<Value> = Code::ALL.iter().map(|code| json!({"code": code, "advice": code.advice()})).collect();
    check("refusal-codes.json", &json!(codes));
}

/// Openings with what they are made of, and the commitments that they open.
#[test]
fn sealed_values() {
    let vectors: Vec<Value> = fixtures::openings()
        .iter()
        .map(|opening| {
            assert_eq!(Opening::decode(&opening.to_bytes()).as_ref(), Ok(opening));
            let place = opening.place();
            json!({
                "partition": place.partition(),
                "register": place.register(),
                "key": place.key(),
                "field": place.field(),
                "subject": place.subject(),
                "value": opening.value().reveal(),
                "blinding": hex::encode(opening.blinding().reveal()),
                "commitment": opening.commitment(),
                "cbor": hex::encode(opening.to_bytes()),
            })
        })
        .collect();
    check("sealed-values.json", &json!(vectors));
}

/// A recovery that three of four organisations signed: what each signs, and the file.
#[test]
fn recovery() {
    let file = crate::recovery::file();
    file.recovery.check().unwrap();
    let vector = json!({
        "network.json": fixtures::genesis(),
        "signs": hex::encode(file.recovery.signed_bytes()),
        "cbor": hex::encode(file.to_bytes()),
    });
    check("recovery.json", &vector);
}

/// The receipt beside the `network.json` that it is checked with.
#[test]
fn receipt() {
    let genesis = fixtures::genesis();
    let receipt = Receipt::Transaction(fixtures::receipt());
    receipt.check(&genesis).unwrap();
    let vector = json!({
        "genesis": serde_json::from_str::<Value>(&genesis.to_json()).unwrap(),
        "genesis_cbor": hex::encode(cbor::encode(&genesis)),
        "network": genesis.id(),
        "validators": genesis.validator_set().unwrap().hash(),
        "certificate_signs": hex::encode(receipt.finality().certificate.signed_bytes(&genesis.id())),
        "cbor": hex::encode(receipt.to_bytes()),
    });
    check("receipt.json", &vector);
}
