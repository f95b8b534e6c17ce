//! Moments: seconds since 1970 (UTC) as registers write them, and the partial dates of the datetime datatype.
//!
//! Entry timestamps have one form, whole seconds and `Z` (RFC 3339):
//!
//! ```text
//! 2017-07-17T10:59:46Z
//! ```
//!
//! The calendar is the proleptic Gregorian one, years 0000 to 9999, without leap seconds: a pure function of the digits.

use tallystick_protocol::limits::TIMESTAMP_SECONDS_MAX;

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Days of the 400 years after which the Gregorian calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// Writes seconds since 1970 as `2017-07-17T10:59:46Z`. Beyond [`TIMESTAMP_SECONDS_MAX`] writes that maximum.
pub fn format_timestamp(seconds: u64) -> String {
    let mut out = String::with_capacity(20);
    write_timestamp(&mut out, seconds);
    out
}

/// As [`format_timestamp`], onto the end of `out`.
pub(crate) fn write_timestamp(out: &mut String, seconds: u64) {
    let seconds = i64::try_from(seconds.min(TIMESTAMP_SECONDS_MAX)).unwrap_or_default();
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let time = seconds % DAY_SECONDS;
    digits(out, year, 1_000);
    out.push('-');
    digits(out, month, 10);
    out.push('-');
    digits(out, day, 10);
    out.push('T');
    digits(out, time / 3_600, 10);
    out.push(':');
    digits(out, time / 60 % 60, 10);
    out.push(':');
    digits(out, time % 60, 10);
    out.push('Z');
}

/// Reads `2017-07-17T10:59:46Z`, exactly this form, from 1970 on. Says none for everything else.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    if text.len() != 20 || !text.ends_with('Z') {
        return None;
    }
    datetime_start(text).and_then(|seconds| u64::try_from(seconds).ok())
}

/// The first second of a datetime of openregister: `2014`, `2014-05`, `2014-05-01`, `2014-05-01T10:00:00`, and the last with
/// `Z`. Seconds since 1970, negative before. Says none when the text is no such moment.
pub fn datetime_start(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let separator = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let dashed = separator(4, b'-') && (bytes.len() < 8 || separator(7, b'-'));
    let timed = separator(10, b'T') && separator(13, b':') && separator(16, b':');
    let shaped = match bytes.len() {
        4 => true,
        7 | 10 => dashed,
        19 => dashed && timed,
        20 => dashed && timed && separator(19, b'Z'),
        _ => false,
    };
    if !shaped {
        return None;
    }
    let year = number(bytes, 0, 4)?;
    let month = if bytes.len() > 4 { number(bytes, 5, 7)? } else { 1 };
    let day = if bytes.len() > 7 { number(bytes, 8, 10)? } else { 1 };
    let (hour, minute, second) = if bytes.len() > 10 {
        (number(bytes, 11, 13)?, number(bytes, 14, 16)?, number(bytes, 17, 19)?)
    } else {
        (0, 0, 0)
    };
    let valid = (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    valid.then(|| days(year, month, day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second)
}

fn digits(out: &mut String, number: i64, highest: i64) {
    let mut unit = highest;
    while unit > 0 {
        let digit = u8::try_from(number / unit % 10).unwrap_or_default();
        out.push(char::from(b'0' + digit));
        unit /= 10;
    }
}

fn number(bytes: &[u8], from: usize, to: usize) -> Option<i64> {
    bytes
        .get(from..to)?
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01; years begin in March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS
}

/// The inverse of [`days`] for days from 1970 on.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let era = days / ERA_DAYS;
    let day_of_era = days % ERA_DAYS;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_500_289_186, "2017-07-17T10:59:46Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (TIMESTAMP_SECONDS_MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_timestamp(seconds), text);
            assert_eq!(parse_timestamp(text), Some(seconds));
        }
        assert_eq!(format_timestamp(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        // The oracle counts days one by one.
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..200_000_u64 {
            let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
            assert_eq!(format_timestamp(number * 86_400), text);
            assert_eq!(parse_timestamp(&text), Some(number * 86_400));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > lengths[month - 1] {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn other_forms_are_no_timestamps() {
        for text in [
            "",
            "2017",
            "2017-07-17",
            "2017-07-17T10:59:46",
            "2017-07-17T10:59:46.0Z",
            "2017-07-17T10:59:46+00:00",
            "2017-07-17 10:59:46Z",
            "2017-07-17t10:59:46z",
            "2017-02-29T00:00:00Z",
            "2017-13-01T00:00:00Z",
            "2017-00-01T00:00:00Z",
            "2017-01-32T00:00:00Z",
            "2017-01-01T24:00:00Z",
            "2017-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "+017-01-01T00:00:00Z",
            "２０１７-01-01T0Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(datetime_start("1969-12-31T23:59:59Z"), Some(-1));
        assert_eq!(datetime_start("0000"), Some(-62_167_219_200));
        assert!(datetime_start("1900-02-29").is_none() && datetime_start("2000-02-29").is_some());
    }
}
