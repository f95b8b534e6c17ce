//! Who certifies blocks.

use super::{
    App,
    problem::{Answer, Failure},
    snapshot::json_at,
};
use axum::{extract::State, response::Response};
use tallystick_api::{Problem, RecoveryView, ValidatorSetView, ValidatorView, ValidatorsView, routes};
use tallystick_protocol::ValidatorSet;

/// Who certifies the next block, and who will certify later ones.
#[utoipa::path(get, path = routes::VALIDATORS, tag = "governance",
    responses(
        (status = 200, description = "The validators of this epoch, the next and those after", body = ValidatorsView),
        (status = 503, description = "No block has been made yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn validators(State(app): State<App>) -> Answer<Response> {
    let found = app.service.validators().await?;
    let found = found.ok_or_else(|| Failure::unavailable("no block has been made yet: try again shortly"))?;
    let calendar = app.service.calendar();
    let set = |epoch: u64, set: &ValidatorSet| ValidatorSetView {
        epoch,
        from_height: calendar.first_of(epoch),
        quorum: set.quorum() as u64,
        validators: set
            .keys()
            .iter()
            .map(|key| {
                let row = found.rows.get(key).cloned();
                let (organisation, address) = row.map(|row| (row.organisation, row.address)).unwrap_or_default();
                ValidatorView { key: hex::encode(key), organisation, address }
            })
            .collect(),
    };
    let standing = &found.standing;
    let view = ValidatorsView {
        epoch_blocks: app.service.genesis().epoch_blocks,
        current: set(standing.epoch, &standing.running),
        next: set(standing.epoch + 1, &standing.next),
        later: set(standing.epoch + 2, &standing.later),
        former: standing.former.iter().map(hex::encode).collect(),
        recoveries: app.service.recoveries().iter().map(|(epoch, one)| RecoveryView::new(*epoch, one)).collect(),
    };
    Ok(json_at(found.height, view))
}
