//! The interface as an OpenAPI document, made from the handlers themselves.

use super::{
    audit, blocks, consents, data_map, download, erasures, health, log, mandates, notices, openregister, organisations,
    partitions, policies, principals, private, private_erasures, proofs, proposals, reads, recovery, registers, sealed,
    snapshot, status, stream, transactions, validators,
};
use axum::response::Response;
use bytes::Bytes;
use std::sync::LazyLock;
use tallystick_api::{media, routes};
use utoipa::OpenApi;

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tallystick",
        description = "Authoritative registers that several organisations keep together. Every error is a problem \
                       (RFC 9457) with a stable `code`; an answer that reads the ledger says in the header \
                       `Tally-Height` up to which block it is complete.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        status::index,
        transactions::submit,
        sealed::submit,
        reads::read,
        reads::access_log,
        reads::held,
        transactions::transaction,
        transactions::receipt,
        audit::audit,
        log::checkpoint,
        log::consistency,
        log::inclusion,
        stream::blocks,
        blocks::block,
        status::network,
        status::status,
        validators::validators,
        recovery::ground,
        organisations::organisations,
        organisations::organisation,
        organisations::nodes,
        organisations::authorities,
        principals::principal,
        principals::receipt,
        principals::principals,
        mandates::mandate,
        mandates::mandates,
        partitions::partitions,
        partitions::partition,
        data_map::data_map,
    private::submit, private::registers, private::register, private::reads, private::reads_of, private::notices, private::mandates, private::consents, private::held, notices::notices,
        private_erasures::erasures, private_erasures::certificate, private_erasures::holds,
        registers::registers,
        registers::register,
        registers::record_receipt,
        openregister::summary,
        openregister::records,
        openregister::record,
        openregister::record_entries,
        openregister::records_with,
        openregister::entries,
        openregister::entry,
        openregister::item,
        download::download,
        proofs::register,
        proofs::consistency,
        proofs::entry,
        policies::policies,
        policies::register_policies,
        policies::policy,
        policies::explain,
        policies::partition_register_policies,
        policies::partition_policy,
        proposals::proposals,
        proposals::proposal,
        proposals::receipt,
        proposals::rulebook,
        erasures::erasures,
        erasures::erasure,
        erasures::certificate,
        erasures::holds,
        erasures::hold,
        consents::consents,
        consents::consent,
        erasures::corrections,
        proposals::dry_run,
        health::alive,
        health::ready,
        health::metrics,
        document,
    ),
    components(schemas(tallystick_api::SubmissionsView)),
    tags(
        (name = "transactions", description = "Submit transactions and learn what became of them"),
        (name = "sealed values", description = "Write what only some may see, read it on record, and see who did"),
        (name = "log", description = "The log and its blocks, with proofs"),
        (name = "audit", description = "Who did what, when, and what became of it"),
        (name = "registers", description = "Registers as this ledger defines them"),
        (name = "openregister", description = "The resources of openregister v1"),
        (name = "organisations", description = "Members and their principals"),
        (name = "governance", description = "How the network's order changes"),
        (name = "privacy", description = "What is erased, held, corrected and consented to"),
        (name = "node", description = "The node itself"),
    ),
)]
struct Document;

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(serde_json::to_vec(&Document::openapi()).unwrap_or_default()));

/// This interface as OpenAPI.
#[utoipa::path(get, path = routes::OPENAPI, tag = "node", responses((status = 200, description = "This document", body = Object)))]
pub async fn document() -> Response {
    snapshot::typed(media::JSON, DOCUMENT.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::http::{ROUTES, router};
    use std::collections::BTreeSet;

    fn documented() -> BTreeSet<(String, String)> {
        let document: serde_json::Value = serde_json::from_slice(&DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &serde_json::Value)| {
            let methods: Vec<_> =
                item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect();
            methods
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn the_document_and_the_router_have_the_same_routes() {
        let routed: BTreeSet<_> =
            ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(routed.len(), ROUTES.len(), "a route stands twice");
        assert_eq!(documented(), routed);
        // A path that contradicts another one makes this panic.
        let _ = router();
    }

    #[test]
    fn every_variable_part_is_described() {
        let document: serde_json::Value = serde_json::from_slice(&DOCUMENT).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let described: Vec<&str> = operation["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect();
                let parts: Vec<&str> = path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
                assert_eq!(described, parts, "{path}");
            }
        }
    }

    #[test]
    fn every_reference_resolves() {
        let text = std::str::from_utf8(&DOCUMENT).unwrap();
        let document: serde_json::Value = serde_json::from_str(text).unwrap();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn the_reference_page_names_every_route_and_problem() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/api.md");
        let page = std::fs::read_to_string(page).unwrap();
        for (_, path) in ROUTES {
            assert!(page.contains(path), "docs/reference/api.md does not name {path}");
        }
        for code in tallystick_api::ProblemCode::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status());
            assert!(page.contains(&row), "docs/reference/api.md has no row that begins {row}");
        }
    }
}
