//! Which form an answer takes: a `.json` or `.csv` at the end of the path, else the `Accept` header (RFC 9110 section
//! 12.5.1), else the first form that the resource offers.

use super::problem::Failure;
use http::{HeaderMap, header};
use tallystick_api::{ProblemCode, media};

/// A form of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    Json,
    /// Comma-separated values.
    Csv,
    /// Register Serialisation Format.
    Rsf,
    /// Server-sent events.
    Events,
    /// A receipt in CBOR.
    Receipt,
}

impl Form {
    /// Its media type, as `Content-Type` gives it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => media::JSON,
            Self::Csv => media::CSV,
            Self::Rsf => media::RSF,
            Self::Events => media::EVENTS,
            Self::Receipt => media::RECEIPT,
        }
    }

    /// Its media type without parameters.
    fn essence(self) -> &'static str {
        self.media_type().split_once(';').map_or(self.media_type(), |(essence, _)| essence)
    }
}

/// The form that a path's suffix asked for; the router sees the path without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suffix(pub Form);

/// Takes the suffix off a path below a register; other paths have none.
pub fn split_suffix(path: &str) -> (&str, Option<Suffix>) {
    if !path.starts_with("/v1/registers/") {
        return (path, None);
    }
    let of = |suffix: &str, form| path.strip_suffix(suffix).map(|rest| (rest, Some(Suffix(form))));
    of(".json", Form::Json).or_else(|| of(".csv", Form::Csv)).unwrap_or((path, None))
}

/// The best form among those `offered`, the preferred one first.
///
/// # Errors
/// `not-acceptable` (406) when none is acceptable.
pub fn choose(suffix: Option<Suffix>, headers: &HeaderMap, offered: &[Form]) -> Result<Form, Failure> {
    let chosen = match suffix {
        Some(Suffix(form)) => offered.contains(&form).then_some(form),
        None => by_accept(headers, offered),
    };
    chosen.ok_or_else(|| {
        let offered: Vec<&str> = offered.iter().map(|form| form.essence()).collect();
        Failure::new(
            ProblemCode::NotAcceptable,
            format!("this is served as {} only: ask for that, or send no Accept header", offered.join(", ")),
        )
    })
}

fn by_accept(headers: &HeaderMap, offered: &[Form]) -> Option<Form> {
    let ranges: Vec<(&str, u16)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(range)
        .collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    // Of equal weights the one offered first wins.
    let mut best: Option<(Form, u16)> = None;
    for form in offered {
        let weight = weight(form.essence(), &ranges);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*form, weight));
        }
    }
    best.map(|(form, _)| form)
}

/// A media range and its weight in thousandths. One that cannot be read is passed over.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().filter(|essence| essence.contains('/'))?;
    let weight = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(Some(1_000), thousandths)?;
    Some((essence, weight))
}

/// `0`, `1`, `0.5`, `0.125` as thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1_000),
        _ => None,
    }
}

/// The weight of the most specific range that covers `essence`.
fn weight(essence: &str, ranges: &[(&str, u16)]) -> u16 {
    let family = essence.split_once('/').map_or(essence, |(family, _)| family);
    let covers = |range: &str| {
        if range.eq_ignore_ascii_case(essence) {
            return Some(2);
        }
        match range.split_once('/') {
            Some(("*", "*")) => Some(0),
            Some((of, "*")) if of.eq_ignore_ascii_case(family) => Some(1),
            _ => None,
        }
    };
    ranges
        .iter()
        .filter_map(|(range, weight)| covers(range).map(|specific| (specific, *weight)))
        .max_by_key(|(specific, _)| *specific)
        .map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;

    const BOTH: &[Form] = &[Form::Json, Form::Csv];

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn accept_decides_where_no_suffix_does() {
        for (value, expected) in [
            ("*/*", Some(Form::Json)),
            ("application/json", Some(Form::Json)),
            ("text/csv", Some(Form::Csv)),
            ("Text/CSV;charset=utf-8", Some(Form::Csv)),
            ("text/*", Some(Form::Csv)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Form::Json)),
            ("application/json;q=0.5, text/csv", Some(Form::Csv)),
            ("application/json;q=0.5, text/csv;q=0.5", Some(Form::Json)),
            ("text/csv;q=0.001", Some(Form::Csv)),
            ("application/json;q=0, */*", Some(Form::Csv)),
            ("nonsense", Some(Form::Json)),
            ("text/html", None),
            ("text/csv;q=0, text/html", None),
        ] {
            assert_eq!(choose(None, &accept(value), BOTH).ok(), expected, "{value}");
        }
        assert_eq!(choose(None, &HeaderMap::new(), BOTH).unwrap(), Form::Json);
    }

    #[test]
    fn the_suffix_beats_accept() {
        assert_eq!(choose(Some(Suffix(Form::Csv)), &accept("application/json"), BOTH).unwrap(), Form::Csv);
        let refused = choose(Some(Suffix(Form::Csv)), &accept("application/json"), &[Form::Json]).unwrap_err();
        assert_eq!(refused.problem().status, 406);
        assert!(refused.problem().detail.contains("application/json"), "{}", refused.problem().detail);
    }

    #[test]
    fn the_suffix_is_taken_off_below_registers_only() {
        for (path, rest, suffix) in [
            ("/v1/registers/country/records.json", "/v1/registers/country/records", Some(Suffix(Form::Json))),
            ("/v1/registers/country/records/GB.csv", "/v1/registers/country/records/GB", Some(Suffix(Form::Csv))),
            ("/v1/registers/country/records/a.b", "/v1/registers/country/records/a.b", None),
            ("/openapi.json", "/openapi.json", None),
        ] {
            assert_eq!(split_suffix(path), (rest, suffix));
        }
    }
}
