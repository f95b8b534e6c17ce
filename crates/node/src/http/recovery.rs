//! What a recovery stands on: for those who draft and sign one.

use super::{
    App, QueryOf,
    page::{known, parsed},
    problem::{Answer, Failure},
    snapshot::{At, typed},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{Problem, media, routes};
use tallystick_protocol::{PrincipalId, limits::VALIDATORS_MAX, operation::validate_name};

/// The node's newest block with its certificate and what leads to it, and rows of the state after it, each with its proof.
#[utoipa::path(get, path = routes::RECOVERY, tag = "governance",
    params(
        ("principal" = Option<String>, Query, description = "Who is to sign: organisation/name"),
        ("organisations" = Option<String>, Query, description = "The organisations that are to run validators, joined by commas"),
    ),
    responses(
        (status = 200, description = "What a recovery stands on", body = Vec<u8>, content_type = "application/vnd.tallystick.recovery+cbor"),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such principal", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Blocks are being made, or none has been", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn ground(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["principal", "organisations"])?;
    let principal: Option<PrincipalId> = parsed(&query, "principal")?;
    let named = query.get("organisations").map(String::as_str).unwrap_or_default();
    let organisations: Vec<String> = named.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if organisations.len() > VALIDATORS_MAX {
        return Err(Failure::bad_request(format!("`organisations`: name at most {VALIDATORS_MAX}")));
    }
    let check = organisations.iter().try_for_each(|id| validate_name(id));
    check.map_err(|error| Failure::bad_request(format!("`organisations`: {error}")))?;
    let ground = app.service.recovery_ground(principal.as_ref(), &organisations).await?;
    Ok(At(ground.head.height, typed(media::RECOVERY, ground.to_bytes())).into_response())
}
