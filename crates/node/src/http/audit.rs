//! Acts: who did what, when, to what, and what became of it, refused ones too.

use super::{
    App, QueryOf, Service,
    page::{CursorPage, Query, known, parsed},
    problem::{Answer, Failure},
    proposals::brief,
    snapshot::{json_at, snapshot},
};
use crate::service::audit::{Act, ProposalTurn};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{ActView, AuditPage, Problem, RecoveryView, TurnView, limits::AUDIT_PAGE_MAX, routes};
use tallystick_ledger::moment::datetime_start;
use tallystick_protocol::{BlockHeader, Code, Resource, operation::validate_name};
use tallystick_storage::history::{ActQuery, Outcomes};

/// Every name that the query may have.
const NAMES: [&str; 12] = [
    "principal",
    "organisation",
    "resource",
    "action",
    "policy",
    "mandate",
    "proposal",
    "from",
    "to",
    "outcome",
    "cursor",
    "limit",
];

/// Acts, newest first: what is not asked for by name is not asked for.
#[utoipa::path(get, path = routes::AUDIT, tag = "audit",
    params(
        ("principal" = Option<String>, Query, description = "Who signed, co-signed, or let another act in its name under a mandate: organisation/name"),
        ("organisation" = Option<String>, Query, description = "The organisation of one of these"),
        ("resource" = Option<String>, Query, description = "What was acted on: `register:NAME`, `record:REGISTER/KEY`, `organisation:NAME`, `principal:ORGANISATION/NAME`, `authority:SHA-256`, `policy:ID`, `proposal:ID`, `mandate:ORGANISATION/NAME/MANDATE`, `partition:NAME`"),
        ("action" = Option<String>, Query, description = "The name of an operation, such as `entry-append`; with a resource, an operation on that"),
        ("policy" = Option<String>, Query, description = "The id of a policy that determined what became of it"),
        ("mandate" = Option<String>, Query, description = "A mandate under which it was done: organisation/name/mandate"),
        ("proposal" = Option<String>, Query, description = "The id of a proposal that it submitted, voted on, objected to or took back"),
        ("from" = Option<String>, Query, description = "From this time on: milliseconds since 1970, or such as 2026-11-25 or 2026-11-25T09:00:00Z"),
        ("to" = Option<String>, Query, description = "Before this time, in the same forms"),
        ("outcome" = Option<String>, Query, description = "`accepted`, `refused`, or the code of a refusal"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Acts on a page: 100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "The acts; the Link header leads to older ones", body = AuditPage),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn audit(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    let asked = asked(&query)?;
    let page = CursorPage::of(&query, AUDIT_PAGE_MAX)?;
    let candidates = Candidates::find(&app.service, &asked, page).await?;
    let (mut acts, read) = app.service.acts(&asked, &candidates.leaves).await?;
    let (mut next, header) = (candidates.place(read), candidates.header);
    let (turns, rest) = app.service.turns(&asked, header.height, (next, page.before)).await?;
    if rest.is_some() {
        // Turns ran out first: what lies before the last of them comes on the next page.
        acts.retain(|act| Some(act.leaf) >= rest);
        next = rest;
    }
    let recoveries = recoveries(&app.service, &asked, (next, page.before));
    let proposal = match query.get("proposal") {
        Some(id) => app.service.proposal_row(id).await?,
        None => None,
    };
    let next = next.map(|next| next.to_string());
    let links = CursorPage::links(routes::AUDIT, &query, next.as_deref());
    let page = AuditPage {
        height: header.height,
        time_ms: header.time_ms,
        log_size: header.log.size,
        acts: acts.iter().map(view).collect(),
        turns: turns.iter().map(turn_view).collect(),
        recoveries,
        proposal: proposal.as_ref().map(brief),
        next,
    };
    Ok((links, json_at(header.height, page)).into_response())
}

/// The recoveries of these times and places, newest first: after so many leaves of the log as say the places.
fn recoveries(service: &Service, asked: &ActQuery, (after, to): (Option<u64>, u64)) -> Vec<RecoveryView> {
    if !asked.asks_for_turns() || !asked.resources.is_empty() {
        return Vec::new();
    }
    let wanted = |one: &RecoveryView| {
        let in_time =
            asked.from_ms.is_none_or(|from| one.time_ms >= from) && asked.to_ms.is_none_or(|to| one.time_ms < to);
        in_time && after.is_none_or(|after| one.log_size > after) && one.log_size <= to
    };
    let all = service.recoveries();
    all.iter().rev().map(|(epoch, one)| RecoveryView::new(*epoch, one)).filter(wanted).collect()
}

/// A page of leaves that may be acts asked for.
pub struct Candidates {
    /// The block up to which every act was looked for.
    pub header: BlockHeader,
    /// Them, newest first.
    pub leaves: Vec<u64>,
    is_more: bool,
}

impl Candidates {
    /// Those of a page.
    ///
    /// # Errors
    /// When the node is behind itself.
    pub async fn find(service: &Service, asked: &ActQuery, page: CursorPage) -> Result<Self, Failure> {
        let CursorPage { before, limit } = page;
        let (header, mut leaves) = snapshot(service, |history, tip| {
            // One more tells whether there is a next page.
            (tip.header.clone(), history.acts(asked, before, limit + 1))
        })
        .await?;
        let is_more = leaves.len() > limit;
        leaves.truncate(limit);
        Ok(Self { header, leaves, is_more })
    }

    /// Where the next page begins when so many of these were read.
    pub fn next(&self, read: usize) -> Option<String> {
        self.place(read).map(|place| place.to_string())
    }

    /// The last leaf of so many, if there are others behind it.
    pub fn place(&self, read: usize) -> Option<u64> {
        let last = read.checked_sub(1).and_then(|last| self.leaves.get(last)).copied();
        last.filter(|_| self.is_more || read < self.leaves.len())
    }
}

fn asked(query: &Query) -> Result<ActQuery, Failure> {
    known(query, &NAMES)?;
    let organisation = query.get("organisation").cloned();
    if let Some(name) = &organisation {
        validate_name(name).map_err(|error| Failure::bad_request(format!("`organisation`: {error}")))?;
    }
    let proposal = query.get("proposal").map(|id| Resource::proposal(id));
    let proposal = proposal.transpose().map_err(|error| Failure::bad_request(format!("`proposal`: {error}")))?;
    Ok(ActQuery {
        principal: parsed(query, "principal")?,
        organisation,
        action: parsed(query, "action")?,
        resources: parsed(query, "resource")?.into_iter().chain(proposal).collect(),
        policy: parsed(query, "policy")?,
        mandate: parsed(query, "mandate")?,
        outcome: query.get("outcome").map(|text| outcomes(text)).transpose()?,
        from_ms: moment(query, "from")?,
        to_ms: moment(query, "to")?,
    })
}

fn outcomes(text: &str) -> Result<Outcomes, Failure> {
    match text {
        "accepted" => Ok(Outcomes::Accepted),
        "refused" => Ok(Outcomes::Refused),
        code => code.parse::<Code>().map(Outcomes::RefusedFor).map_err(|_| {
            let detail = "write accepted, refused, or a code of docs/reference/errors.md";
            Failure::bad_request(format!("`outcome` is `{}`: {detail}", shown(code)))
        }),
    }
}

/// A time in Unix milliseconds.
fn moment(query: &Query, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = query.get(name) else { return Ok(None) };
    // Four digits are a year.
    let number = text.parse::<u64>().ok().filter(|_| text.len() != 4);
    let seconds = || u64::try_from(datetime_start(text)?).ok();
    let moment = number.or_else(|| seconds().map(|seconds| seconds.saturating_mul(1_000)));
    moment.map(Some).ok_or_else(|| {
        let forms = "milliseconds since 1970, or such as 2026-11-25 or 2026-11-25T09:00:00Z";
        Failure::bad_request(format!("`{name}` is `{}`: write {forms}", shown(text)))
    })
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn view(act: &Act) -> ActView {
    ActView::new(act.leaf, &act.entry, &act.transaction)
}

fn turn_view(ProposalTurn { turn, changes }: &ProposalTurn) -> TurnView {
    TurnView {
        height: turn.height,
        time_ms: turn.time_ms,
        log_size: turn.log_size,
        proposal: turn.proposal.clone(),
        status: turn.status,
        changes: changes.iter().map(ToString::to_string).collect(),
        receipt: routes::proposal_receipt(&turn.proposal),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::http::page::query;
    use tallystick_protocol::operation::OperationName;

    #[test]
    fn a_question_is_read_whole() {
        let pairs = [
            ("principal", "hmrc/alice"),
            ("organisation", "hmrc"),
            ("resource", "record:country/GB"),
            ("action", "entry-append"),
            ("policy", "custodian-writes"),
            ("mandate", "hmrc/director/filing"),
            ("proposal", "more-registers"),
            ("from", "2026-11-25"),
            ("to", "1795600000000"),
            ("outcome", "schema"),
        ];
        let asked = asked(&query(&pairs)).unwrap();
        assert_eq!(asked.principal.unwrap().as_str(), "hmrc/alice");
        assert_eq!(asked.organisation.unwrap(), "hmrc");
        let about: Vec<String> = asked.resources.iter().map(ToString::to_string).collect();
        assert_eq!(about, ["record:country/GB", "proposal:more-registers"]);
        assert_eq!(asked.policy.unwrap().as_str(), "custodian-writes");
        assert_eq!(asked.mandate.unwrap().as_str(), "hmrc/director/filing");
        assert_eq!(asked.action, Some(OperationName::EntryAppend));
        assert_eq!(asked.outcome, Some(Outcomes::RefusedFor(Code::Schema)));
        assert_eq!((asked.from_ms, asked.to_ms), (Some(1_795_564_800_000), Some(1_795_600_000_000)));
    }

    #[test]
    fn times_are_read_in_their_forms() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1795600000000", Some(1_795_600_000_000)),
            ("2026", Some(1_767_225_600_000)),
            ("2026-11-25T09:00:00Z", Some(1_795_597_200_000)),
            ("yesterday", None),
            ("1969-12-31", None),
            ("", None),
        ] {
            assert_eq!(moment(&query(&[("from", text)]), "from").ok().flatten(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_and_never_passed_over() {
        for (name, value, told) in [
            ("principle", "hmrc/alice", "`principle` is no part of this query: it knows principal, organisation"),
            ("principal", "hmrc", "`principal`: `hmrc` is not a principal"),
            ("organisation", "HMRC", "`organisation`: `HMRC` is not a name"),
            ("resource", "country", "`resource`: `country` is not a resource"),
            ("action", "append", "`action`: unknown operation: use one of register-create"),
            ("policy", "A policy", "`policy`: `A policy` is not"),
            ("mandate", "hmrc/alice", "`mandate`: `hmrc/alice` is not a mandate"),
            ("proposal", "", "`proposal`: `` is not a name"),
            ("outcome", "no", "`outcome` is `no`: write accepted, refused, or a code"),
            ("to", "now", "`to` is `now`: write milliseconds since 1970"),
        ] {
            let failure = asked(&query(&[(name, value)])).unwrap_err();
            assert_eq!(failure.problem().status, 400);
            assert!(failure.problem().detail.starts_with(told), "{}", failure.problem().detail);
        }
    }
}
