//! What is in a partition: private transactions, and what they, or signed questions, are told by a node of the signer's own organisation.

use super::{
    App, PathOf, QueryOf,
    mandates::view as mandate_view,
    page::{CursorPage, RecordPage, known},
    problem::{Answer, Failure},
    registers::view_of,
    render::records_json,
    snapshot::json_at,
    transactions::{body_essence, split},
};
use crate::{
    parcels::{
        Corrected, Correcting, Executed, HeldEntry, HeldPage, PrivateError, ReadAct, ReadsPage, Told, Waiting,
        WaitingForAll,
    },
    service::{mandate::MandateQuery, partition::Disclosures},
};
use axum::{
    extract::{FromRequestParts, State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, time::Duration};
use tallystick_api::{
    ConsentList, ConsentView, CorrectingView, GivenView, MandateList, OutcomeView, PrivateAcknowledgement,
    PrivateAnswer, PrivateConsents, PrivateCorrection, PrivateEntryView, PrivateHeld, PrivateMandates, PrivateNotices,
    PrivateQuestion, PrivateReads, PrivateReadsAsked, PrivateResult, PrivateResults, Problem, ProblemCode, ReadPlace,
    ReadView, RegisterList, RegisterView, WrongValue, is_read_about,
    limits::{
        AUDIT_PAGE_MAX, CONSENTS_PAGE_MAX, DISCLOSED_SECONDS_MAX, MANDATES_PAGE_MAX, PAGE_DEFAULT, PARTITIONS_PAGE_MAX,
        WAIT_SECONDS_MAX,
    },
    media, routes,
};
use tallystick_protocol::{Operation, Query, Receipt, SealedSubmission};
use tallystick_storage::partition::KeptRegister;

/// Submit a private transaction to a node of the signer's own organisation. Answers when it was ordered, and executed there; one that reads
/// records, with them. Several that do not read, one after another, are answered together, with what became of each.
#[utoipa::path(post, path = routes::PRIVATE, tag = "partitions",
    request_body(
        description = "One COSE_Sign1 (`application/cose`), or several one after another (`application/cbor-seq`); or one with what opens the values sealed in it, as of /v1/sealed (`application/vnd.tallystick.sealed+cbor`)",
        content((Vec<u8> = "application/cose"), (Vec<u8> = "application/cbor-seq"), (Vec<u8> = "application/vnd.tallystick.sealed+cbor")),
    ),
    responses(
        (status = 200, description = "It was executed: accepted, or refused with a code. A sequence is answered with `results`, one for each: that, or a problem", body = PrivateResult),
        (status = 400, description = "It is none that could be executed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key is not its signer's, or not any more; or policies do not permit it, and nothing was ordered", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An opening does not fit, or is missing; or a value is in the clear that is written only sealed", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was executed before: the detail says what became of it; or its idempotency key was used for another", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It was not executed, or not yet: too few members acknowledged it, or a wait was over", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn submit(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let patience = Duration::from_secs(WAIT_SECONDS_MAX);
    if body_essence(&headers) == media::CBOR_SEQ {
        return submit_sequence(&app, &body, patience).await;
    }
    // One time for all of it: a read that is executed and not answered is on record for nothing.
    let until = app.service.after(Duration::from_secs(DISCLOSED_SECONDS_MAX));
    let executed = if body_essence(&headers) == media::SEALED {
        let submission = SealedSubmission::decode(&body).map_err(|error| {
            let detail =
                format!("the body is no transaction with its openings: {error}: make it with `tally register append`");
            Failure::new(ProblemCode::Malformed, detail)
        })?;
        app.service.submit_private_sealed(submission, patience).await
    } else {
        app.service.submit_private(body, patience).await
    };
    let executed = executed.map_err(|error| failure(&error))?;
    let Executed { transaction: id, height, number, outcome, given, waiting } = executed;
    let (outcome, mut all) = (OutcomeView::from(&outcome), Vec::with_capacity(given.len()));
    for one in given {
        let register = one.register.clone();
        let openings = one.openings.iter().map(|opening| hex::encode(&*opening.to_bytes())).collect();
        let (absent, erased) = (one.absent.iter().cloned().collect(), one.erased.iter().cloned().collect());
        let unnamed = one.unnamed.iter().cloned().collect();
        let corrects = one.corrects.clone().map(correcting_view);
        let record = serde_json::from_str(&records_json(std::slice::from_ref(&one.record)));
        let record = record.map_err(|error| failure(&PrivateError::Failed(error.to_string()).recorded()))?;
        let Disclosures { whole, fields } =
            app.service.disclosures(one, until).await.map_err(|error| failure(&error))?;
        let disclosure = whole.map(|whole| hex::encode(Receipt::Partition(whole).to_bytes()));
        let field_disclosure = fields.map(|fields| hex::encode(Receipt::Fields(Box::new(fields)).to_bytes()));
        all.push(GivenView {
            register,
            record,
            openings,
            absent,
            erased,
            unnamed,
            corrects,
            disclosure,
            field_disclosure,
        });
    }
    let given = all;
    Ok(saying(json_at(height, PrivateResult { id, height, number, outcome, given }), waiting.as_ref()))
}

fn correcting_view(Correcting { corrects, reason, authority, legal_basis }: Correcting) -> CorrectingView {
    CorrectingView { corrects, reason, authority, legal_basis }
}

/// An answer to one person, which nobody keeps on the way: it says how many notices wait for whoever asked.
fn saying(mut answer: Response, waiting: Option<&Waiting>) -> Response {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let value = waiting.map(|Waiting { partition, count }| HeaderValue::from_str(&format!("{partition}={count}")));
    if let Some(Ok(value)) = value {
        answer.headers_mut().insert(HeaderName::from_static(media::NOTICES_HEADER), value);
    }
    answer
}

async fn submit_sequence(app: &App, body: &Bytes, patience: Duration) -> Answer<Response> {
    let all = app.service.submit_private_all(split(body)?, patience).await.map_err(|error| failure(&error))?;
    let waiting = all.iter().flatten().find_map(|executed| executed.waiting.clone());
    let results = all.into_iter().map(|one| match one {
        // Those that read are not among them.
        Ok(Executed { transaction: id, height, number, outcome, .. }) => {
            let outcome = OutcomeView::from(&outcome);
            PrivateAnswer::Executed(PrivateResult { id, height, number, outcome, given: Vec::new() })
        }
        Err(error) => PrivateAnswer::Problem(failure(&error).problem().clone()),
    });
    let results = results.collect();
    Ok(saying(json_at(app.service.tip().header.height, PrivateResults { results }), waiting.as_ref()))
}

/// A signed question, and the path that it is for.
pub struct Asked {
    pub(super) query: Query,
    path: String,
}

impl Asked {
    /// The question, and what it must be signed for where nothing comes in a body.
    pub(super) fn signed(&self) -> (&Query, &str) {
        (&self.query, &self.path)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let unasked = |why: String| Failure::new(ProblemCode::Unasked, why);
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|header| header.to_str().ok());
        let header = header.ok_or_else(|| {
            unasked("what is in a partition is told to its members' own, who sign the question: ask with `tally`, with --partition".to_owned())
        })?;
        let query = Query::from_header(header).map_err(|error| unasked(format!("Authorization: {error}")))?;
        let path = parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |path| path.as_str());
        Ok(Self { query, path: path.to_owned() })
    }
}

/// A question in a body, and what it is signed for: the path, `#` and the SHA-256 of the body.
pub(super) fn question<Q: DeserializeOwned>(
    query: &BTreeMap<String, String>,
    asked: &Asked,
    body: Result<Bytes, BytesRejection>,
    form: &'static str,
) -> Answer<(Q, String)> {
    known(query, &[])?;
    let body = body?;
    let question = serde_json::from_slice(&body).map_err(|_| Failure::bad_request(form))?;
    Ok((question, Query::path_with(&asked.path, &body)))
}

/// An answer of a partition, to whoever signed the question that it answers: it says how many notices wait there for them.
/// INVARIANT: nothing else is answered by this, and nothing before the signature was checked.
pub(super) fn to_signer(app: &App, (partition, query): (&str, &Query), answer: Response) -> Response {
    let parcels = app.service.parcels().ok();
    let waiting = parcels.and_then(|parcels| parcels.waiting_for(partition, &query.principal));
    saying(answer, waiting.as_ref())
}

fn register_view(kept: KeptRegister) -> RegisterView {
    let KeptRegister { row, tree, records } = kept;
    view_of(row, &tree, records)
}

/// The registers in a partition, in the order in which they were made, to principals of the node's own organisation.
#[utoipa::path(get, path = routes::PARTITION_REGISTERS, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Registers on a page: 100 by default, 200 at most"),
    ),
    responses(
        (status = 200, description = "The registers; the Link header leads to the next page", body = RegisterList),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn registers(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, PAGE_DEFAULT, PARTITIONS_PAGE_MAX)?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.registers(&name, asked.signed(), (page.skip(), page.size())).await;
    let found = found.map_err(|error| failure(&error))?;
    let (total, registers) = found.value;
    let links = page.links(registers.len(), total > page.skip().saturating_add(registers.len()))?;
    let registers = registers.into_iter().map(register_view).collect();
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        (links, json_at(found.height, RegisterList { registers })).into_response(),
    ))
}

/// A register in a partition: its definition and how far it has come, to principals of the node's own organisation.
#[utoipa::path(get, path = routes::PARTITION_REGISTER, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("register" = String, Path, description = "The register's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    responses(
        (status = 200, description = "The register", body = RegisterView),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn register(
    State(app): State<App>,
    PathOf((name, register)): PathOf<(String, String)>,
    asked: Asked,
) -> Answer<Response> {
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.register(&name, asked.signed(), &register).await;
    let found = found.map_err(|error| failure(&error))?;
    let kept = found.value.ok_or_else(|| no_register(&name, &register))?;
    Ok(to_signer(&app, (&name, &asked.query), json_at(found.height, register_view(kept))))
}

pub(super) fn no_register(partition: &str, register: &str) -> Failure {
    let shown: String = register.chars().take(80).collect();
    Failure::not_found(format!(
        "there is no register `{shown}` in this partition: {} lists those there are",
        routes::partition_registers(partition)
    ))
}

/// Who read what in a partition, the latest first, refused reads too; which entries were corrected, and who said that they know. To principals
/// of the node's own organisation, and to the agreement's regulators.
#[utoipa::path(get, path = routes::PARTITION_READS, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Transactions on a page: 100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "The reads; the Link header leads to earlier ones", body = PrivateReads),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn reads(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
) -> Answer<Response> {
    known(&query, &["cursor", "limit"])?;
    let page = CursorPage::of(&query, AUDIT_PAGE_MAX)?;
    let page = reads_page(&app, &name, asked.signed(), (page, &PrivateReadsAsked::default())).await?;
    let links = CursorPage::links(&routes::partition_reads(&name), &query, page.next.as_deref());
    Ok(to_signer(&app, (&name, &asked.query), (links, json_at(page.height, page)).into_response()))
}

/// How many notices of corrections wait in a partition for whoever asks, and for all people of their organisation: `/v1/partitions/{name}/reads`
/// says of what. To principals of the node's own organisation.
#[utoipa::path(get, path = routes::PARTITION_NOTICES, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    responses(
        (status = 200, description = "How many", body = PrivateNotices),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn notices(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
) -> Answer<Response> {
    known(&query, &[])?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.waiting_for_all(&name, asked.signed()).await;
    let Told { height, value: WaitingForAll { own, organisation, is_whole } } =
        found.map_err(|error| failure(&error))?;
    let (own, organisation) = (own as u64, organisation as u64);
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        json_at(height, PrivateNotices { partition: name.clone(), height, own, organisation, is_whole }),
    ))
}

/// The same of one whom they are about, or with what is sealed in wrong entries. The question is signed for the path, `#` and the SHA-256 of the
/// body. To the same.
#[utoipa::path(post, path = routes::PARTITION_READS, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateReadsAsked,
    responses(
        (status = 200, description = "The reads", body = PrivateReads),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn reads_of(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say which reads: {"subject": "register:key"}, or {"values": true}"#;
    let (question, path): (PrivateReadsAsked, String) = question(&query, &asked, body, form)?;
    let page = CursorPage::asked(question.cursor, question.limit, AUDIT_PAGE_MAX)?;
    // Of these an empty page may have cost as much as a full one.
    let is_dear = question.values || question.subject.is_some();
    let _room = if is_dear { Some(app.questions.enter()?) } else { None };
    let page = reads_page(&app, &name, (&asked.query, &path), (page, &question)).await?;
    Ok(to_signer(&app, (&name, &asked.query), json_at(page.height, page)))
}

async fn reads_page(
    app: &App,
    name: &str,
    asked: (&Query, &str),
    (page, question): (CursorPage, &PrivateReadsAsked),
) -> Answer<PrivateReads> {
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels
        .log_of_reads(name, asked, (page.before, page.limit), (question.subject.as_ref(), question.values))
        .await;
    let found = found.map_err(|error| failure(&error))?;
    let ReadsPage { acts, unread, next } = found.value;
    let subject = question.subject.as_ref();
    let reads = acts.iter().flat_map(|ReadAct { number, row, transaction, consents, .. }| {
        let place = row.told.as_ref().map(|told| ReadPlace {
            leaf: *number,
            height: row.height,
            time_ms: row.time_ms,
            outcome: &told.outcome,
        });
        // One for each read, as there is for consents.
        let views = place.map(|place| ReadView::of(None, place, transaction)).unwrap_or_default();
        let reads =
            transaction.operations().iter().filter(|operation| matches!(operation, Operation::RecordRead { .. }));
        let views = views
            .into_iter()
            .zip(consents)
            .zip(reads)
            .filter(|(_, read)| subject.is_none_or(|it| is_read_about(read, it)));
        views.map(|((view, (controller, rows)), _)| {
            let own = rows.iter().filter(|row| subject.is_none_or(|it| row.subject == *it));
            view.standing_on(controller, &own.cloned().collect::<Vec<_>>())
        })
    });
    let is_of = |register: &str, key: &str| subject.is_none_or(|it| (it.register(), it.key()) == (register, key));
    let mut corrections: Vec<PrivateCorrection> = acts.iter().flat_map(corrections_of).collect();
    corrections.retain(|one| is_of(&one.register, &one.key));
    let mut acknowledgements: Vec<PrivateAcknowledgement> = acts.iter().flat_map(acknowledgements_of).collect();
    acknowledgements.retain(|one| is_of(&one.register, &one.key));
    let (reads, next) = (reads.collect(), next.map(|next| next.to_string()));
    let (partition, height) = (name.to_owned(), found.height);
    Ok(PrivateReads { partition, height, reads, corrections, acknowledgements, unread, next })
}

fn corrections_of(act: &ReadAct) -> impl Iterator<Item = PrivateCorrection> {
    let view = |Corrected { mark, since, values, untold }: &Corrected| PrivateCorrection {
        register: mark.register.clone(),
        key: mark.key.clone(),
        corrects: mark.corrects,
        entry: mark.entry,
        reason: mark.reason.clone(),
        authority: mark.authority.clone(),
        legal_basis: mark.legal_basis.clone(),
        values: values
            .iter()
            .map(|(place, commitment)| WrongValue {
                field: place.field().to_owned(),
                subject: place.subject().clone(),
                commitment: *commitment,
            })
            .collect(),
        untold: *untold,
        id: act.row.transaction,
        number: mark.leaf,
        time_ms: mark.time_ms,
        height: act.row.height,
        since: *since,
    };
    act.corrections.iter().map(view)
}

fn acknowledgements_of(act: &ReadAct) -> Vec<PrivateAcknowledgement> {
    if !act.row.told.as_ref().is_some_and(|told| told.outcome.is_accepted()) {
        return Vec::new();
    }
    let view = |operation: &Operation| match operation {
        Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } => Some(PrivateAcknowledgement {
            register: register.clone(),
            key: key.clone(),
            corrects: *corrects,
            reader: reader.clone(),
            recipient: recipient.clone(),
            principal: act.transaction.principal().clone(),
            id: act.row.transaction,
            number: act.number,
            time_ms: act.row.time_ms,
        }),
        _ => None,
    };
    act.transaction.operations().iter().filter_map(view).collect()
}

/// The mandates of a partition's own, the latest granted first, revoked ones too; or one of them. The question is signed for the path, `#`
/// and the SHA-256 of the body. To principals of the node's own organisation.
#[utoipa::path(post, path = routes::PARTITION_MANDATES, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateMandates,
    responses(
        (status = 200, description = "The mandates", body = MandateList),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn mandates(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say which: {"granted_to": "organisation/name"}, or {} for all"#;
    let (question, path) = question(&query, &asked, body, form)?;
    let PrivateMandates { mandate, granted_by, granted_to, cursor, limit } = question;
    let CursorPage { before, limit } = CursorPage::asked(cursor, limit, MANDATES_PAGE_MAX)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let signed = (&asked.query, path.as_str());
    let (height, rows, next) = if let Some(id) = mandate {
        let found = parcels.mandate(&name, signed, &id).await.map_err(|error| failure(&error))?;
        (found.height, found.value.into_iter().collect(), None)
    } else {
        let of = MandateQuery { granted_by, granted_to };
        let found = parcels.mandates(&name, signed, &of, (before, limit)).await.map_err(|error| failure(&error))?;
        (found.height, found.value.0, found.value.1)
    };
    let mandates = rows.into_iter().map(mandate_view).collect();
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        json_at(height, MandateList { mandates, next: next.map(|next| next.to_string()) }),
    ))
}

/// What somebody has consented to in a partition, the newest first, ended ones too. The question is signed for the path, `#` and the SHA-256
/// of the body. To principals of the node's own organisation.
#[utoipa::path(post, path = routes::PARTITION_CONSENTS, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateConsents,
    responses(
        (status = 200, description = "The consents", body = ConsentList),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No controller is named, and there is no such register", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn consents(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say whose: {"subject": "register:key"}"#;
    let (question, path) = question(&query, &asked, body, form)?;
    let PrivateConsents { subject, controller, cursor, limit } = question;
    let CursorPage { before, limit } = CursorPage::asked(cursor, limit, CONSENTS_PAGE_MAX)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.consents(&name, (&asked.query, &path), (&subject, controller), (before, limit)).await;
    let Told { height, value } = found.map_err(|error| failure(&error))?;
    let (first, rows) = value.ok_or_else(|| no_register(&name, subject.register()))?;
    let next = (first > 0).then(|| first.to_string());
    let now_ms = app.service.tip().header.time_ms;
    let consents = rows.into_iter().map(|row| ConsentView::new(row, now_ms)).collect();
    Ok(to_signer(&app, (&name, &asked.query), json_at(height, ConsentList { consents, next })))
}

/// What was written about somebody in a partition, the latest first: where it stands and who wrote it, not what it says. The question is
/// signed for the path, `#` and the SHA-256 of the body. To principals of the node's own organisation.
#[utoipa::path(post, path = routes::PARTITION_HELD, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateQuestion,
    responses(
        (status = 200, description = "The entries", body = PrivateHeld),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn held(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say whom it is about: {"subject": "register:key"}"#;
    let (PrivateQuestion { subject, cursor }, path) = question(&query, &asked, body, form)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.held(&name, (&asked.query, &path), &subject, cursor.unwrap_or(u64::MAX)).await;
    let Told { height, value: HeldPage { entries, unread, next } } = found.map_err(|error| failure(&error))?;
    let entries = entries.into_iter().map(entry_view).collect();
    let next = next.map(|next| next.to_string());
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        json_at(height, PrivateHeld { partition: name.clone(), subject, height, entries, unread, next }),
    ))
}

fn entry_view(entry: HeldEntry) -> PrivateEntryView {
    let HeldEntry { register, key, named_in, current, number, row, transaction } = entry;
    PrivateEntryView {
        register,
        key,
        named_in,
        current,
        number,
        height: row.height,
        time_ms: row.time_ms,
        id: row.transaction,
        principal: transaction.principal().clone(),
    }
}

pub(super) fn failure(error: &PrivateError) -> Failure {
    if matches!(error, PrivateError::Failed(_)) {
        tracing::warn!(%error, "a request in a partition failed");
    }
    match error {
        PrivateError::NotHolder | PrivateError::NotHeld(_) => Failure::new(ProblemCode::NotHolder, error.to_string()),
        PrivateError::Unfit(_) | PrivateError::Refused(_) => Failure::bad_request(error.to_string()),
        PrivateError::NotPermitted { .. } => Failure::new(ProblemCode::NotPermitted, error.to_string()),
        PrivateError::Misfit(_) => Failure::new(ProblemCode::OpeningMisfit, error.to_string()),
        PrivateError::OpeningMissing(_) => Failure::new(ProblemCode::OpeningMissing, error.to_string()),
        PrivateError::Erased(_) | PrivateError::ReadErased { .. } => {
            Failure::new(ProblemCode::ValueErased, error.to_string())
        }
        PrivateError::VaultFull(_) => Failure::new(ProblemCode::VaultFull, error.to_string()),
        PrivateError::Rejected(rejection) => Failure::from(rejection),
        PrivateError::Repeated { .. } | PrivateError::ReadRepeated { .. } => {
            Failure::new(ProblemCode::Repeated, error.to_string())
        }
        PrivateError::Read => Failure::new(ProblemCode::ReadKnown, error.to_string()),
        PrivateError::Unasked(_) => Failure::new(ProblemCode::Unasked, error.to_string()),
        PrivateError::Busy
        | PrivateError::Behind { .. }
        | PrivateError::Still { .. }
        | PrivateError::Erasing(_)
        | PrivateError::TimedOut => Failure::unavailable(error.to_string()),
        // Nothing came of it, or nothing but the record of it, and what it lacks does not come by itself: whoever waits is told now.
        PrivateError::Acknowledgements { .. }
        | PrivateError::Disagreed(_)
        | PrivateError::Order(_)
        | PrivateError::Damaged
        | PrivateError::Shut(_)
        | PrivateError::Failed(_)
        | PrivateError::Recorded(_) => Failure::new(ProblemCode::Unavailable, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rejection::Rejection;
    use tallystick_protocol::{Code, Decision, Refusal};

    /// One row an error, with the status and the code of the answer.
    #[test]
    fn every_error_has_its_status() {
        let (code, decision) = (Code::NotPermitted, Decision::default());
        let refusal = Refusal { code, operation: 0, violations: Vec::new(), decision };
        let rows = [
            (PrivateError::NotHeld("health".into()), 421, "not-holder"),
            (PrivateError::Unfit("it names no partition".into()), 400, "bad-request"),
            (PrivateError::Refused(Code::NotMember), 400, "bad-request"),
            (PrivateError::NotPermitted { refusal: Box::new(refusal), height: 2 }, 403, "not-permitted"),
            (PrivateError::Rejected(Rejection::idempotency_conflict("another")), 409, "idempotency-conflict"),
            (PrivateError::Misfit(0), 422, "opening-misfit"),
            (PrivateError::OpeningMissing(("child".into(), "c-1".into(), "name".into())), 422, "opening-missing"),
            (PrivateError::Erased(("child".into(), "c-1".into(), "name".into())), 409, "value-erased"),
            (
                PrivateError::ReadErased {
                    register: "child".into(),
                    key: "c-1".into(),
                    fields: ["name".to_owned()].into(),
                },
                409,
                "value-erased",
            ),
            (PrivateError::VaultFull("the subject has too many".into()), 422, "vault-full"),
            (PrivateError::Repeated { number: 1, height: 2, refused: None }, 409, "intent-repeated"),
            (PrivateError::ReadRepeated { number: 1, height: 2, refused: None }, 409, "intent-repeated"),
            (PrivateError::Read, 409, "read-known"),
            (PrivateError::Unasked("it is too late".into()), 401, "question-unsigned"),
            (PrivateError::Busy, 503, "unavailable"),
            (PrivateError::TimedOut, 503, "unavailable"),
            (PrivateError::Behind { partition: "health".into(), height: 3 }, 503, "unavailable"),
            (PrivateError::Shut("health".into()), 503, "unavailable"),
            (PrivateError::Disagreed("council/vault".parse().unwrap()), 503, "unavailable"),
            (PrivateError::Acknowledgements { have: 1, need: 2 }, 503, "unavailable"),
            (PrivateError::Order("its time passed".into()), 503, "unavailable"),
            (PrivateError::Failed("the disk is full".into()), 503, "unavailable"),
            (PrivateError::Recorded("the disk is full".into()), 503, "unavailable"),
        ];
        for (error, status, code) in rows {
            let problem = failure(&error).problem().clone();
            let is_tried_again = matches!(
                error,
                PrivateError::Busy
                    | PrivateError::Behind { .. }
                    | PrivateError::Still { .. }
                    | PrivateError::Erasing(_)
                    | PrivateError::TimedOut
            );
            assert_eq!(problem.retry_after_ms.is_some(), is_tried_again, "{error}");
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{error}");
        }
    }
}
