//! Datatypes: which texts a field accepts. Each is openregister's rule, made exact where its words leave room.

use tallystick_protocol::operation::{Datatype, validate_name};

use crate::{
    curie::Curie,
    moment::{datetime_start, parse_timestamp},
};
use tallystick_protocol::limits::HASH_PART_BYTES_MAX;

/// Schemes that a URL may have: those that a reader's browser fetches.
const URL_SCHEMES: [&str; 3] = ["https", "http", "ftp"];

/// Whether `value` is of the datatype. `linked` is the register that the field names, whose keys a CURIE may leave bare.
pub fn accepts(datatype: Datatype, value: &str, linked: Option<&str>) -> bool {
    match datatype {
        Datatype::String | Datatype::Text => true,
        Datatype::Integer => is_integer(value),
        Datatype::Name => validate_name(value).is_ok(),
        Datatype::Url => is_url(value),
        Datatype::Curie => Curie::parse(value, linked).is_some(),
        Datatype::Datetime => datetime_start(value).is_some(),
        Datatype::Period => is_period(value),
        Datatype::Timestamp => parse_timestamp(value).is_some(),
        Datatype::Hash => is_hash(value),
        Datatype::Point => is_point(value),
        Datatype::Polygon => is_polygon(value),
    }
}

/// Digits without a leading zero, a minus before all but zero.
fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    value == "0" || (is_digits(digits) && !digits.starts_with('0'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An absolute URL of RFC 3986 (or IRI of RFC 3987) with a host: `scheme://authority…`.
///
/// Written here because the answer decides an outcome: a library that follows the browsers' living rules would change it.
fn is_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let forbidden = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    };
    URL_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        && !rest.contains(forbidden)
        && !name.is_empty()
        && (port.is_empty() || (is_digits(port) && port.parse::<u16>().is_ok()))
        && percent_escapes_are_whole(rest)
}

fn percent_escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let mut bytes = after.bytes();
        let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        hex() && hex()
    })
}

/// A duration, or two of start, end and duration with `/` between them, start before end.
fn is_period(value: &str) -> bool {
    let Some((first, second)) = value.split_once('/') else { return is_duration(value) };
    match (datetime_start(first), datetime_start(second)) {
        (Some(start), Some(end)) => start < end,
        (Some(_), None) => is_duration(second),
        (None, Some(_)) => is_duration(first),
        (None, None) => false,
    }
}

/// `P1Y2M3DT4H5M6S`: any of the parts, in this order, at least one, and at least one after a `T`.
fn is_duration(value: &str) -> bool {
    let Some(parts) = value.strip_prefix('P') else { return false };
    match parts.split_once('T') {
        None => is_duration_part(parts, "YMD"),
        Some((date, time)) => (date.is_empty() || is_duration_part(date, "YMD")) && is_duration_part(time, "HMS"),
    }
}

/// One or more of digits and a unit, units in the order given.
fn is_duration_part(mut part: &str, units: &str) -> bool {
    let mut units = units.chars();
    while !part.is_empty() {
        let Some(end) = part.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0) else { return false };
        let (_, from_unit) = part.split_at(end);
        let mut rest = from_unit.chars();
        let Some(unit) = rest.next() else { return false };
        if !units.any(|known| known == unit) {
            return false;
        }
        part = rest.as_str();
        if part.is_empty() {
            return true;
        }
    }
    false
}

/// `sha-256:` and 64 lower-case hexadecimal digits; other algorithms likewise, by name; or a bare multihash.
fn is_hash(value: &str) -> bool {
    let is_hex = |digits: &str| {
        !digits.is_empty()
            && digits.len() <= HASH_PART_BYTES_MAX
            && digits.len().is_multiple_of(2)
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    match value.split_once(':') {
        Some(("sha-256", digits)) => digits.len() == 64 && is_hex(digits),
        Some((algorithm, digits)) => validate_name(algorithm).is_ok() && is_hex(digits),
        None => value.strip_prefix("1220").is_some_and(|digits| digits.len() == 64 && is_hex(digits)),
    }
}

/// `[longitude, latitude]`, as openregister writes a point: decimal degrees.
fn is_point(value: &str) -> bool {
    let Some(inner) = value.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    inner.split_once(',').is_some_and(|(x, y)| is_decimal(x.trim()) && is_decimal(y.trim()))
}

/// Digits, a point, digits, perhaps a minus before them.
fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.split_once('.').is_some_and(|(whole, fraction)| is_digits(whole) && is_digits(fraction))
}

/// `POLYGON ((x y, x y, x y, x y))`: rings of at least four positions, the last equal to the first.
fn is_polygon(value: &str) -> bool {
    let is_number = |text: &str| is_digits(text.strip_prefix('-').unwrap_or(text)) || is_decimal(text);
    let is_ring = |ring: &str| {
        let positions: Vec<&str> = ring.split(',').map(str::trim).collect();
        positions.len() >= 4
            && positions.first() == positions.last()
            && positions.iter().all(|position| {
                position.split_once(' ').is_some_and(|(x, y)| is_number(x) && is_number(y.trim_start()))
            })
    };
    let rings = value
        .strip_prefix("POLYGON")
        .and_then(|rest| rest.trim_start().strip_prefix('('))
        .and_then(|rest| rest.trim_end().strip_suffix(')'));
    let Some(rings) = rings else { return false };
    let Some(rings) = rings.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return false };
    rings.split(')').enumerate().all(|(index, ring)| {
        let ring = ring.trim_start();
        let opened =
            if index == 0 { Some(ring) } else { ring.strip_prefix(',').and_then(|r| r.trim_start().strip_prefix('(')) };
        opened.is_some_and(is_ring)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datatype, values it accepts, values it refuses. The first rows of integer, url, period and point are the cases of
    /// openregister-java's own tests.
    const TABLE: &[(Datatype, &[&str], &[&str])] = &[
        (Datatype::String, &["x", "0", "é €", "a\nb"], &[]),
        (
            Datatype::Integer,
            &["5", "0", "1500", "-1500", "123456789012345678901234567890"],
            &["5a", "-0", "007", "-007", "", "-", "+5", " 5", "5.0", "1e3", "٣"],
        ),
        (Datatype::Text, &["*markdown*"], &[]),
        (Datatype::Name, &["country", "local-authority-eng", "a1"], &["Country", "a--b", "-a", "a_b", ""]),
        (
            Datatype::Url,
            &[
                "http://foo/ff",
                "ftp://foo/ff",
                "https://www.gov.uk",
                "HTTPS://a.b:8080/c?d=e#f",
                "https://[2001:db8::1]/",
                "https://[::1]:80/",
                "https://user@host/",
                "https://example.gov.uk/%C3%A9",
                "https://é.example/ü",
            ],
            &[
                "http//foo/ff",
                "www.gov.uk",
                "https://",
                "https:///path",
                "javascript:alert(1)",
                "mailto:a@b",
                "https://a b",
                "https://a/<b>",
                "https://a:port/",
                "https://a:99999/",
                "https://a/%2",
                "https://a/%zz",
                "https://a\u{0}",
                "",
            ],
        ),
        (Datatype::Curie, &["country:GB"], &["GB", "country:", ":GB", "a:b:c", ""]),
        (
            Datatype::Datetime,
            &[
                "2012",
                "2012-01",
                "2012-01-01",
                "2012-01-01T01:01:01",
                "2012-01-01T01:01:01Z",
                "2016-02-29",
                "0044-03-15",
            ],
            &[
                "",
                "12",
                "201",
                "2012-1",
                "2012-13",
                "2012-00",
                "2012-02-30",
                "2015-02-29",
                "2012-01-01T01",
                "2012-01-01T01:01",
                "2012-01-01 01:01:01",
                "2012-01-01T24:00:00Z",
                "2012-01-01T01:01:01+01:00",
                "2012-01-01T01:01:01.5Z",
                "20120101",
                "01-01-2012",
                "2012-01-01T01:01:60Z",
            ],
        ),
        (
            Datatype::Period,
            &[
                "P5Y1M",
                "PT8M10S",
                "P10Y10M10DT10H10M10S",
                "P5Y1MT8M10S",
                "2007-03-01T13:00:00Z/2007-03-01T15:30:00Z",
                "2007-03-01/2007-03-02",
                "2007-03-01T13:00:00Z/P1Y2M10DT2H30M",
                "P1Y2M10DT2H30M/2007-03-01T13:00:00Z",
                "P1D",
                "2007/2008",
            ],
            &[
                "P",
                "PT",
                "P1YT",
                "1Y1M",
                "T1M1S",
                "PxY",
                "2007-03-01T15:30:00Z/2007-03-01T13:00:00Z",
                "2007-03-01T15:30:00Z|2007-03-01T13:00:00Z",
                "P1Y2M10DT2H30M/P1Y2M",
                "P1M1Y",
                "P1Y1Y",
                "PT1D",
                "P1H",
                "P1",
                "",
                "/",
                "2007/",
                "/2007",
                "2007/2008/2009",
                "2007/2007",
                "P1Y1",
                "PY",
            ],
        ),
        (
            Datatype::Timestamp,
            &["2017-07-17T10:59:46Z"],
            &["2017-07-17", "2017-07-17T10:59:46", "2017-07-17T10:59:46.1Z", "2017-07-17T10:59:46+00:00", ""],
        ),
        (
            Datatype::Hash,
            &[
                "sha-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "sha-1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
            ],
            &[
                "sha-256:e3b0",
                "sha-256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
                "sha-256:",
                ":00",
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "md5:0",
                "sha-1:xy",
            ],
        ),
        (
            Datatype::Point,
            &["[123.123, -123.432]", "[0.123, 123.432]", "[ 0.123, 12.432 ]", "[0.1,0.2]"],
            &["123.123, 12.11", "[ 123.123, 12.11", "[ 123.123, as ]", "[ 123.123, 12.111, 13.11 ]", "[1,2]", "[]", ""],
        ),
        (
            Datatype::Polygon,
            &["POLYGON ((0 0, 1 0, 1.5 -1, 0 0))", "POLYGON((0 0,1 0,1 1,0 0),(2 2, 3 2, 3 3, 2 2))"],
            &[
                "POLYGON ((0 0, 1 0, 0 0))",
                "POLYGON ((0 0, 1 0, 1 1, 2 2))",
                "POLYGON (0 0, 1 0, 1 1, 0 0)",
                "POLYGON",
                "POINT (1 1)",
                "POLYGON ((0 0, 1 0, 1 1, 0 0)",
                "POLYGON ((0 0, 1, 1 1, 0 0))",
                "POLYGON ((0 0, 1 0, 1 1, 0 0)(2 2, 3 2, 3 3, 2 2))",
                "",
            ],
        ),
    ];

    #[test]
    fn what_each_datatype_accepts() {
        for (datatype, good, bad) in TABLE {
            for value in *good {
                assert!(accepts(*datatype, value, None), "{datatype} should accept `{value}`");
            }
            for value in *bad {
                assert!(!accepts(*datatype, value, None), "{datatype} should refuse `{value}`");
            }
        }
        assert_eq!(TABLE.iter().map(|(datatype, ..)| *datatype).collect::<Vec<_>>(), Datatype::ALL);
    }
}
