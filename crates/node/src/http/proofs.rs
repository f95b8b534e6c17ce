//! openregister's proofs: of a register's root, of its growth, of an entry (RFC 6962, user entries only).

use super::{
    App, PathOf, Wanted,
    negotiate::Form,
    problem::{Answer, Failure},
    registers::no_register,
    snapshot::{At, snapshot, typed},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{Problem, media, routes};
use tallystick_ledger::entry_leaf::format_v1_hash;
use tallystick_protocol::{EntryKind, Hash, Tree};

/// Finds the proof in the register's tree and serves it.
async fn prove(
    app: &App,
    name: &str,
    wanted: &Wanted,
    proof: impl FnOnce(&Tree) -> Option<String>,
    absent: impl FnOnce(u64) -> String,
) -> Answer<Response> {
    wanted.choose(&[Form::Json])?;
    let found = snapshot(&app.service, |history, tip| {
        let register = history.register(name)?;
        Some((tip.header.height, register.count(EntryKind::User), proof(register.tree())))
    });
    let (height, total, proof) = found.await?.ok_or_else(|| no_register(name))?;
    let proof = proof.ok_or_else(|| Failure::bad_request(absent(total)))?;
    Ok(At(height, typed(media::JSON, proof)).into_response())
}

/// The register's root.
#[utoipa::path(get, path = routes::PROOF_REGISTER, tag = "openregister",
    params(("name" = String, Path, description = "The register's name")),
    responses(
        (status = 200, description = "Root and size", body = Object),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn register(State(app): State<App>, PathOf(name): PathOf<String>, wanted: Wanted) -> Answer<Response> {
    prove(&app, &name, &wanted, |tree| Some(register_json(&tree.root(), tree.size())), |_| String::new()).await
}

/// Proof that the register of `new` entries continues that of `old` entries.
#[utoipa::path(get, path = routes::PROOF_CONSISTENCY, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("old" = u64, Path, description = "The earlier number of entries, from 1"),
        ("new" = u64, Path, description = "The later number of entries"),
    ),
    responses(
        (status = 200, description = "The proof", body = Object),
        (status = 400, description = "No such sizes", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn consistency(
    State(app): State<App>,
    PathOf((name, old, new)): PathOf<(String, u64, u64)>,
    wanted: Wanted,
) -> Answer<Response> {
    let proof = |tree: &Tree| (old >= 1).then(|| tree.consistency(old, new)).flatten();
    let absent = |total| format!("there is no proof from {old} to {new} entries: sizes rise, from 1 to {total}");
    prove(&app, &name, &wanted, |tree| proof(tree).map(|path| consistency_json(&path)), absent).await
}

/// Proof that the entry `number` is in the register of `size` entries.
#[utoipa::path(get, path = routes::PROOF_ENTRY, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("number" = u64, Path, description = "The entry's number, from 1"),
        ("size" = u64, Path, description = "The number of entries"),
    ),
    responses(
        (status = 200, description = "The proof", body = Object),
        (status = 400, description = "No such entry or size", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn entry(
    State(app): State<App>,
    PathOf((name, number, size)): PathOf<(String, u64, u64)>,
    wanted: Wanted,
) -> Answer<Response> {
    let proof = |tree: &Tree| tree.inclusion(number.checked_sub(1)?, size);
    let absent = |total| {
        format!("entry {number} is not among the first {size}: entries are numbered from 1, sizes go up to {total}")
    };
    prove(&app, &name, &wanted, |tree| proof(tree).map(|path| entry_json(number, &path)), absent).await
}

fn register_json(root: &Hash, size: u64) -> String {
    format!(r#"{{"proof-identifier":"merkle:sha-256","root-hash":"{}","total-entries":{size}}}"#, format_v1_hash(root))
}

fn consistency_json(path: &[Hash]) -> String {
    format!(r#"{{"proof-identifier":"merkle:sha-256","merkle-consistency-nodes":{}}}"#, hashes_json(path))
}

fn entry_json(number: u64, path: &[Hash]) -> String {
    format!(
        r#"{{"proof-identifier":"merkle:sha-256","entry-number":"{number}","merkle-audit-path":{}}}"#,
        hashes_json(path)
    )
}

fn hashes_json(hashes: &[Hash]) -> String {
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("\"{}\"", format_v1_hash(hash))).collect();
    format!("[{}]", hashes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_have_openregisters_members_in_its_order() {
        let hash = Hash([0xab; 32]);
        let text = format!("sha-256:{hash}");
        assert_eq!(
            register_json(&hash, 208),
            format!(r#"{{"proof-identifier":"merkle:sha-256","root-hash":"{text}","total-entries":208}}"#)
        );
        assert_eq!(
            consistency_json(&[hash, hash]),
            format!(r#"{{"proof-identifier":"merkle:sha-256","merkle-consistency-nodes":["{text}","{text}"]}}"#)
        );
        assert_eq!(
            entry_json(10, &[]),
            r#"{"proof-identifier":"merkle:sha-256","entry-number":"10","merkle-audit-path":[]}"#
        );
    }
}
