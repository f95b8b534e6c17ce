//! Notices of corrections.

use super::{
    App, QueryOf,
    audit::Candidates,
    page::{CursorPage, known, parsed},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use crate::service::notice::{Correction, Notice, leaf_from, place_of};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{NoticePage, NoticeView, NoticesView, Problem, limits::NOTICES_PAGE_MAX, routes};
use tallystick_protocol::{OperationName, Resource, Subject, operation::validate_name};
use tallystick_storage::history::{ActQuery, Outcomes};

/// Who read, or was given, what was corrected since, and who has said that they know; the newest correction first.
#[utoipa::path(get, path = routes::NOTICES, tag = "privacy",
    params(
        ("organisation" = Option<String>, Query, description = "Only readers of this one; corrections that concern none of them are left out"),
        ("record" = Option<String>, Query, description = "Only corrections of this record: `register:key`"),
        ("open" = Option<bool>, Query, description = "Only those who have not said that they know"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Corrections looked at for a page: 20 at most and by default, and fewer where very many have read"),
    ),
    responses(
        (status = 200, description = "The corrections, each with who must know; the Link header leads to older ones", body = NoticePage),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn notices(State(app): State<App>, QueryOf(mut query): QueryOf) -> Answer<Response> {
    known(&query, &["organisation", "record", "open", "cursor", "limit"])?;
    let organisation = query.get("organisation").cloned();
    if let Some(name) = &organisation {
        validate_name(name).map_err(|error| Failure::bad_request(format!("`organisation`: {error}")))?;
    }
    let record: Option<Subject> = parsed(&query, "record")?;
    let is_open = parsed::<bool>(&query, "open")?.unwrap_or_default();
    query.entry("limit".to_owned()).or_insert_with(|| NOTICES_PAGE_MAX.to_string());
    let asked = ActQuery {
        action: Some(OperationName::RecordCorrect),
        resources: record.iter().map(Resource::subject).collect(),
        outcome: Some(Outcomes::Accepted),
        ..ActQuery::default()
    };
    let CursorPage { before, limit } = CursorPage::of(&query, NOTICES_PAGE_MAX)?;
    let candidates = Candidates::find(&app.service, &asked, CursorPage { before: leaf_from(before), limit }).await?;
    let found = app.service.notices(&asked, &candidates.leaves, (before, limit), organisation.as_deref()).await?;
    let (mut found, from) = found;
    for correction in &mut found {
        correction.notices.retain(|notice| !is_open || notice.acknowledged.is_none());
    }
    found.retain(|correction| !correction.notices.is_empty() || (organisation.is_none() && !is_open));
    let after_all = || candidates.place(candidates.leaves.len()).map(|leaf| place_of(leaf, 0));
    let (next, header) = (from.or_else(after_all).map(|next| next.to_string()), &candidates.header);
    let links = CursorPage::links(routes::NOTICES, &query, next.as_deref());
    let corrections = found.into_iter().map(view).collect();
    let page = NoticePage { height: header.height, time_ms: header.time_ms, corrections, next };
    Ok((links, json_at(header.height, page)).into_response())
}

fn view(correction: Correction) -> NoticesView {
    let Correction { register, key, corrects, reason, authority, legal_basis, act, notices, is_whole } = correction;
    NoticesView {
        register,
        key,
        corrects,
        reason,
        authority,
        legal_basis,
        values: Vec::new(),
        untold: false,
        id: act.id,
        leaf: act.leaf,
        time_ms: act.time_ms,
        notices: notices.into_iter().map(notice).collect(),
        is_whole,
    }
}

fn notice(notice: Notice) -> NoticeView {
    let Notice { reader, recipient, read, acknowledged } = notice;
    let (acknowledged_by, mark) = acknowledged.unzip();
    NoticeView {
        reader,
        recipient,
        read: read.id,
        read_ms: read.time_ms,
        acknowledged_by,
        acknowledged: mark.map(|mark| mark.id),
        acknowledged_ms: mark.map(|mark| mark.time_ms),
    }
}
