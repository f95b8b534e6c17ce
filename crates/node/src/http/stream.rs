//! Finalised blocks as server-sent events: replayed from a height, then as they come, without a gap.
//!
//! A stream holds at most what the chain keeps for any subscriber. A reader that is slower than that is told so in the
//! last event, `lagged`, with the height to come back with.

use super::{
    App, QueryOf, Service, Wanted, blocks,
    negotiate::Form,
    page,
    problem::{Answer, Failure},
    room::Place,
};
use crate::{chain::FinalisedBlock, watch};
use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use http::HeaderMap;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tallystick_api::{BlockEvent, Problem, limits::KEEP_ALIVE_SECONDS, routes};
use tokio::sync::broadcast;

/// What a client should wait before it connects again.
const RETRY: Duration = Duration::from_secs(1);

/// Finalised blocks as they come; with `from`, those since that height first.
#[utoipa::path(get, path = routes::BLOCKS, tag = "log",
    params(
        ("from" = Option<u64>, Query, description = "Begin with the block at this height"),
        ("ids" = Option<bool>, Query, description = "Name the blocks' transactions"),
        ("last-event-id" = Option<u64>, Header, description = "The last height received; begins with the next one"),
    ),
    responses(
        (status = 200, description = "Events `block`; a last event `lagged` or `closing`", body = BlockEvent, content_type = "text/event-stream"),
        (status = 404, description = "The first block is not stored here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many streams as the node serves", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn blocks(State(app): State<App>, QueryOf(query): QueryOf, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Events])?;
    page::known(&query, &["from", "ids"])?;
    let ids = with_ids(&query)?;
    let tip = app.service.tip().header.height;
    let from = first_height(&query, &wanted.headers)?;
    if let Some(from) = from.filter(|from| *from <= tip)
        && app.service.block(from).await.is_none()
    {
        return Err(blocks::absent(from, tip));
    }
    let place = app.streams.enter()?;
    let feed = Feed {
        next: from.unwrap_or(tip + 1),
        service: app.service,
        stopping: app.stopping,
        live: None,
        ids,
        ended: false,
        _place: place,
    };
    let events = stream::unfold(feed, async |mut feed| {
        let event = feed.event().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(KEEP_ALIVE_SECONDS));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn with_ids(query: &page::Query) -> Result<bool, Failure> {
    match query.get("ids").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(Failure::bad_request(format!("`ids` is `{other}`: write true or false"))),
    }
}

/// The height to begin with: after the last event received, which a client sends when it connects again, else `from`.
fn first_height(query: &page::Query, headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse::<u64>().ok());
    if let Some(last) = last {
        return Ok(Some(last.saturating_add(1)));
    }
    if query.contains_key("from") {
        return page::number(query, "from", 1, 0..=u64::MAX).map(Some);
    }
    Ok(None)
}

/// One reader's place in the chain.
struct Feed {
    /// The height of the next event.
    next: u64,
    service: Service,
    stopping: watch::Receiver<bool>,
    /// Blocks as they come; from the moment that the stored ones have been sent.
    live: Option<broadcast::Receiver<Arc<FinalisedBlock>>>,
    ids: bool,
    ended: bool,
    _place: Place,
}

impl Feed {
    /// The next event; `None` after the last.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if self.ended {
                return None;
            }
            if *self.stopping.borrow() {
                return Some(self.closing());
            }
            if self.next <= self.service.tip().header.height && self.live.is_none() {
                return Some(self.stored().await);
            }
            if self.live.is_none() {
                // What became final since the look at the tip is stored: look again.
                let live = self.service.subscribe();
                if self.next > self.service.tip().header.height {
                    self.live = Some(live);
                }
                continue;
            }
            if let Some(event) = self.live().await {
                return Some(event);
            }
        }
    }

    async fn stored(&mut self) -> Event {
        let height = self.next;
        match stored_event(&self.service, height, self.ids).await {
            Ok(event) => self.block(&event),
            Err(detail) => self.last("unavailable", &detail),
        }
    }

    async fn live(&mut self) -> Option<Event> {
        let live = self.live.as_mut()?;
        let received = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
            received = live.recv() => Some(received),
        };
        match received {
            None => Some(self.closing()),
            Some(Ok(block)) if block.header.height < self.next => None,
            Some(Ok(block)) => {
                let ids = self.ids.then(|| block.ids.clone());
                Some(self.block(&BlockEvent::new(&block.header, block.digest, block.refused, ids)))
            }
            Some(Err(broadcast::error::RecvError::Lagged(blocks))) => {
                let next = self.next;
                let detail = format!("{blocks} blocks came faster than they were read: come back with ?from={next}");
                Some(self.last("lagged", &detail))
            }
            Some(Err(broadcast::error::RecvError::Closed)) => Some(self.closing()),
        }
    }

    fn block(&mut self, block: &BlockEvent) -> Event {
        self.next = block.height + 1;
        let event = Event::default().event("block").id(block.height.to_string());
        match event.json_data(block) {
            Ok(event) => event,
            Err(error) => self.last("unavailable", &error.to_string()),
        }
    }

    fn closing(&mut self) -> Event {
        self.last("closing", "this node is stopping: come back, or ask another node")
    }

    fn last(&mut self, name: &str, detail: &str) -> Event {
        self.ended = true;
        let data = serde_json::json!({ "detail": detail, "next": self.next });
        Event::default().event(name).retry(RETRY).data(data.to_string())
    }
}

/// The event of a stored block. How many of its transactions were refused is counted in the log.
async fn stored_event(service: &Service, height: u64, ids: bool) -> Result<BlockEvent, String> {
    let block = service.block(height).await;
    let block = block.ok_or_else(|| format!("block {height} is not stored here: ask another node"))?;
    let header = &block.header;
    let first = header.log.size.saturating_sub(header.transaction_count);
    let mut refused = 0;
    for index in first..header.log.size {
        let entry = service.log_entry(index).await.map_err(|error| error.to_string())?;
        refused += u64::from(entry.is_some_and(|entry| !entry.outcome.is_accepted()));
    }
    let ids = ids.then_some(block.ids);
    Ok(BlockEvent::new(header, header.hash(), refused, ids))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_reader_that_comes_back_begins_after_what_it_has() {
        let query: page::Query = [("from".to_owned(), "3".to_owned())].into();
        let none = HeaderMap::new();
        let last =
            HeaderMap::from_iter([(http::HeaderName::from_static("last-event-id"), HeaderValue::from_static("7"))]);
        assert_eq!(first_height(&query, &none).unwrap(), Some(3));
        assert_eq!(first_height(&query, &last).unwrap(), Some(8));
        assert_eq!(first_height(&page::Query::new(), &none).unwrap(), None);
        let wrong: page::Query = [("from".to_owned(), "x".to_owned())].into();
        assert_eq!(first_height(&wrong, &none).unwrap_err().problem().status, 400);
    }

    #[test]
    fn ids_are_named_on_request() {
        for (value, expected) in
            [(None, Some(false)), (Some("true"), Some(true)), (Some(""), Some(true)), (Some("2"), None)]
        {
            let query: page::Query = value.map(|value| ("ids".to_owned(), value.to_owned())).into_iter().collect();
            assert_eq!(with_ids(&query).ok(), expected);
        }
    }
}
