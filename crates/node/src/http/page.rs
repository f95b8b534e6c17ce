//! Pages of long lists: which part is asked for, and the `Link` header (RFC 8288) that leads to the next.

use super::problem::Failure;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use http::{HeaderValue, header};
use std::{collections::BTreeMap, convert::Infallible, ops::RangeInclusive, str::FromStr};
use tallystick_api::{
    limits::{PAGE_DEFAULT, PAGE_MAX},
    routes,
};

/// The query of a request.
pub type Query = BTreeMap<String, String>;

/// A whole number of the query.
///
/// # Errors
/// `bad-request` when it is no number or out of `range`.
pub fn number(query: &Query, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64, Failure> {
    let Some(text) = query.get(name) else { return Ok(default) };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let (min, max) = range.clone().into_inner();
        let bounds = if max == u64::MAX { format!("from {min} on") } else { format!("from {min} to {max}") };
        Failure::bad_request(format!("`{name}` is `{shown}`: write a whole number {bounds}"))
    })
}

/// Goes on only if the query has no other names than these: a misspelt one would ask for something else than was meant.
///
/// # Errors
/// `bad-request`, which names it.
pub fn known(query: &Query, names: &[&str]) -> Result<(), Failure> {
    let Some(name) = query.keys().find(|name| !names.contains(&name.as_str())) else { return Ok(()) };
    let shown: String = name.chars().take(40).collect();
    Err(Failure::bad_request(format!("`{shown}` is no part of this query: it knows {}", names.join(", "))))
}

/// A part of the query, if it is there, as what it should be.
///
/// # Errors
/// `bad-request` when it is anything else.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(query: &Query, name: &str) -> Result<Option<T>, Failure> {
    let parsed = query.get(name).map(|text| text.parse());
    parsed.transpose().map_err(|error| Failure::bad_request(format!("`{name}`: {error}")))
}

/// A page of what only grows at one end, newest first: `?cursor=N&limit=N`. A cursor is a place, so it stays good for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorPage {
    /// What is shown lies before this place.
    pub before: u64,
    /// At most so much is shown.
    pub limit: usize,
}

impl CursorPage {
    /// The page that `query` asks for, of `max` at most.
    ///
    /// # Errors
    /// `bad-request` when a number is none or out of range.
    pub fn of(query: &Query, max: u64) -> Result<Self, Failure> {
        let limit = number(query, "limit", PAGE_DEFAULT, 1..=max)?;
        let before = number(query, "cursor", u64::MAX, 0..=u64::MAX)?;
        Ok(Self { before, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }

    /// The page that a question in a body asks for, of `max` at most.
    ///
    /// # Errors
    /// `bad-request` when the limit is out of range.
    pub fn asked(cursor: Option<u64>, limit: Option<u64>, max: u64) -> Result<Self, Failure> {
        let limit = limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=max).contains(&limit) {
            return Err(Failure::bad_request(format!("`limit` is `{limit}`: write a whole number from 1 to {max}")));
        }
        Ok(Self { before: cursor.unwrap_or(u64::MAX), limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }

    /// The link to the next page of the answer to `query` at `path`, if there is one.
    pub fn links(path: &str, query: &Query, next: Option<&str>) -> Links {
        let mut links = Links::default();
        if let Some(next) = next {
            let kept = query.iter().filter(|(name, _)| *name != "cursor");
            let kept = kept.map(|(name, value)| (name.as_str(), value.as_str())).chain([("cursor", next)]);
            links.add("next", &routes::with_query(path, &kept.collect::<Vec<_>>()));
        }
        links
    }
}

/// A page of entries: `?start=N&limit=N`, numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryPage {
    start: u64,
    limit: u64,
    total: u64,
}

impl EntryPage {
    /// The page that `query` asks for, of `total` entries.
    ///
    /// # Errors
    /// `bad-request` when a number is none or out of range.
    pub fn of(query: &Query, total: u64) -> Result<Self, Failure> {
        Ok(Self {
            start: number(query, "start", 1, 1..=u64::MAX)?,
            limit: number(query, "limit", PAGE_DEFAULT, 1..=PAGE_MAX)?,
            total,
        })
    }

    /// The numbers on it; none when it starts beyond the last.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        let end = self.start.saturating_add(self.limit).min(self.total.saturating_add(1));
        self.start.min(end)..end
    }

    /// Links to its neighbours.
    pub fn links(&self) -> Links {
        let limit = self.limit;
        let mut links = Links::default();
        let next = self.start.saturating_add(limit);
        if next <= self.total {
            links.add("next", &format!("?start={next}&limit={limit}"));
        }
        if self.start > 1 {
            let previous = self.start.saturating_sub(limit).max(1);
            links.add("previous", &format!("?start={previous}&limit={limit}"));
        }
        links
    }
}

/// A page of records: `?page-index=N&page-size=N`, pages from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPage {
    index: u64,
    size: u64,
}

impl RecordPage {
    /// The page that `query` asks for: of `size` when it does not say, of `size_max` at most.
    ///
    /// # Errors
    /// `bad-request` when a number is none or out of range.
    pub fn of(query: &Query, size: u64, size_max: u64) -> Result<Self, Failure> {
        Ok(Self {
            index: number(query, "page-index", 1, 1..=u64::from(u32::MAX))?,
            size: number(query, "page-size", size, 1..=size_max)?,
        })
    }

    /// How many records stand on the pages before it.
    pub const fn skip(&self) -> usize {
        // Below 2^32 × 5,000: fits where a pointer has 64 bits; saturates elsewhere.
        (self.index - 1).saturating_mul(self.size) as usize
    }

    /// How many records it has at most.
    pub const fn size(&self) -> usize {
        self.size as usize
    }

    /// Links to its neighbours.
    ///
    /// # Errors
    /// `not-found` for a page, other than the first, that has no record.
    pub fn links(&self, records: usize, has_next: bool) -> Result<Links, Failure> {
        let Self { index, size } = self;
        if records == 0 && *index > 1 {
            return Err(Failure::not_found(format!("page {index} has no record: start at page-index=1")));
        }
        let mut links = Links::default();
        if has_next {
            links.add("next", &format!("?page-index={}&page-size={size}", index + 1));
        }
        if *index > 1 {
            links.add("previous", &format!("?page-index={}&page-size={size}", index - 1));
        }
        Ok(links)
    }
}

/// The links of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links(String);

impl Links {
    /// Adds one: `target` is a URI reference, already percent-encoded.
    pub fn add(&mut self, relation: &str, target: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.push_str(&format!("<{target}>; rel=\"{relation}\""));
    }

    /// The header's value.
    #[cfg(test)]
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntoResponseParts for Links {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        if !self.0.is_empty()
            && let Ok(value) = HeaderValue::try_from(self.0)
        {
            response.headers_mut().insert(header::LINK, value);
        }
        Ok(response)
    }
}

impl IntoResponse for Links {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// A query of these names and values.
#[cfg(test)]
pub(super) fn query(pairs: &[(&str, &str)]) -> Query {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_grows_is_paged_by_place() {
        let asked = query(&[("resource", "record:country/GB"), ("cursor", "44"), ("limit", "7")]);
        assert_eq!(CursorPage::of(&asked, 10).unwrap(), CursorPage { before: 44, limit: 7 });
        assert_eq!(
            CursorPage::of(&asked, 6).unwrap_err().problem().detail,
            "`limit` is `7`: write a whole number from 1 to 6"
        );
        let links = CursorPage::links("/v1/audit", &asked, Some("37"));
        assert_eq!(links.as_str(), "</v1/audit?limit=7&resource=record:country%2FGB&cursor=37>; rel=\"next\"");
        assert_eq!(CursorPage::links("/v1/audit", &asked, None), Links::default());
        let page = |limit| CursorPage::asked(Some(44), limit, 10);
        assert_eq!(page(Some(7)).unwrap(), CursorPage { before: 44, limit: 7 });
        for limit in [0, 11] {
            let problem = page(Some(limit)).unwrap_err().problem().clone();
            assert_eq!(problem.detail, format!("`limit` is `{limit}`: write a whole number from 1 to 10"));
        }
    }

    #[test]
    fn entries_are_paged_from_one() {
        for (pairs, total, numbers, links) in [
            (&[][..], 208, 1..101, "<?start=101&limit=100>; rel=\"next\""),
            (
                &[("start", "101")],
                208,
                101..201,
                "<?start=201&limit=100>; rel=\"next\", <?start=1&limit=100>; rel=\"previous\"",
            ),
            (&[("start", "201")], 208, 201..209, "<?start=101&limit=100>; rel=\"previous\""),
            (&[("start", "109")], 208, 109..209, "<?start=9&limit=100>; rel=\"previous\""),
            (&[("start", "50"), ("limit", "5000")], 208, 50..209, "<?start=1&limit=5000>; rel=\"previous\""),
            (&[("start", "500")], 208, 209..209, "<?start=400&limit=100>; rel=\"previous\""),
            (&[], 0, 1..1, ""),
        ] {
            let page = EntryPage::of(&query(pairs), total).unwrap();
            assert_eq!((page.numbers(), page.links().as_str()), (numbers, links), "{pairs:?}");
        }
    }

    #[test]
    fn a_number_out_of_bounds_is_named() {
        for (name, value) in [("start", "0"), ("start", "-1"), ("limit", "5001"), ("limit", "ten"), ("limit", "")] {
            let failure = EntryPage::of(&query(&[(name, value)]), 10).unwrap_err();
            assert_eq!(failure.problem().status, 400);
            assert!(failure.problem().detail.contains(&format!("`{name}` is `{value}`")), "{failure:?}");
        }
        let failure = RecordPage::of(&query(&[("page-size", "5001")]), PAGE_DEFAULT, PAGE_MAX).unwrap_err();
        assert_eq!(failure.problem().detail, "`page-size` is `5001`: write a whole number from 1 to 5000");
        let failure = RecordPage::of(&query(&[("page-size", "201")]), PAGE_DEFAULT, 200).unwrap_err();
        assert_eq!(failure.problem().detail, "`page-size` is `201`: write a whole number from 1 to 200");
    }

    #[test]
    fn a_name_that_is_not_known_is_named() {
        assert!(known(&query(&[("limit", "7")]), &["cursor", "limit"]).is_ok());
        let failure = known(&query(&[("cursor", "7"), ("limits", "7")]), &["cursor", "limit"]).unwrap_err();
        assert_eq!(failure.problem().detail, "`limits` is no part of this query: it knows cursor, limit");
    }

    #[test]
    fn records_are_paged_by_index() {
        let page = RecordPage::of(&query(&[("page-index", "3"), ("page-size", "50")]), PAGE_DEFAULT, PAGE_MAX).unwrap();
        assert_eq!((page.skip(), page.size()), (100, 50));
        assert_eq!(
            page.links(50, true).unwrap().as_str(),
            "<?page-index=4&page-size=50>; rel=\"next\", <?page-index=2&page-size=50>; rel=\"previous\""
        );
        assert_eq!(page.links(0, false).unwrap_err().problem().status, 404);
        assert_eq!(RecordPage::of(&query(&[]), PAGE_DEFAULT, PAGE_MAX).unwrap().links(0, false).unwrap().as_str(), "");
    }
}
