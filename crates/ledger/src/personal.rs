//! What looks like personal data: to warn people before they write it where nothing is forgotten. No rule of the ledger depends on it.
//!
//! It errs on the side of asking: a number of ten digits may be an NHS number by chance, an address may be an office's.

use std::fmt;

/// What a value or a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// Two letters, six digits, a letter.
    NationalInsurance,
    /// Ten digits of which the last checks the others (modulo 11).
    NhsNumber,
    /// A mailbox at a domain.
    Email,
    /// A date, in a field that is about a birth, or after words that say so.
    DateOfBirth,
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NationalInsurance => "a National Insurance number",
            Self::NhsNumber => "an NHS number",
            Self::Email => "an e-mail address",
            Self::DateOfBirth => "a date of birth",
        })
    }
}

/// What a value of the field looks like, wherever in the text.
pub fn likeness(field: &str, value: &str) -> Option<Likeness> {
    let is_about_birth = likeness_of_name(field) == Some(Likeness::DateOfBirth);
    if is_about_birth && value.bytes().filter(u8::is_ascii_digit).count() >= 4 {
        return Some(Likeness::DateOfBirth);
    }
    if value.split(|c: char| c.is_whitespace() || ",;<>()\"".contains(c)).any(is_mailbox) {
        return Some(Likeness::Email);
    }
    let words: Vec<&str> = value.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if says_birth(&words) {
        return Some(Likeness::DateOfBirth);
    }
    // A number may be written in groups: `AB 12 34 56 C`, `943 476 5919`.
    (0..words.len()).find_map(|start| {
        let mut joined = String::new();
        words.iter().skip(start).take(5).find_map(|word| {
            joined.push_str(word);
            match joined.len() {
                9 if is_national_insurance(&joined) => Some(Likeness::NationalInsurance),
                10 if is_nhs_number(&joined) => Some(Likeness::NhsNumber),
                _ => None,
            }
        })
    })
}

/// What a field is for, by its name.
pub fn likeness_of_name(field: &str) -> Option<Likeness> {
    let parts: Vec<&str> = field.split('-').collect();
    let has = |words: &[&str]| words.iter().any(|word| parts.contains(word));
    let both = |first: &str, second: &str| parts.windows(2).any(|pair| pair == [first, second]);
    let is_dob = || parts.windows(3).any(|three| three == ["d", "o", "b"]);
    if has(&["nino"]) || both("national", "insurance") || both("ni", "number") {
        Some(Likeness::NationalInsurance)
    } else if both("nhs", "number") {
        Some(Likeness::NhsNumber)
    } else if has(&["email"]) || both("e", "mail") {
        Some(Likeness::Email)
    } else if has(&["dob", "birth", "born", "birthday", "birthdate", "dateofbirth"]) || is_dob() {
        Some(Likeness::DateOfBirth)
    } else {
        None
    }
}

/// What says, in a text, that a date of birth follows.
const BIRTH_CUES: [&[&str]; 8] = [
    &["dob"],
    &["born"],
    &["birthday"],
    &["birthdate"],
    &["dateofbirth"],
    &["date", "of", "birth"],
    &["birth", "date"],
    &["d", "o", "b"],
];
/// Words that may stand between, such as `in Leeds on`.
const WORDS_BETWEEN: usize = 4;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Whether a text speaks of a birth and, soon after, names a day. A date alone may be of anything.
fn says_birth(words: &[&str]) -> bool {
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    (0..lower.len()).any(|start| {
        let rest = lower.get(start..).unwrap_or_default();
        let after = BIRTH_CUES.iter().find(|cue| rest.len() > cue.len() && rest.iter().zip(**cue).all(|(a, b)| a == b));
        let after = after.and_then(|cue| rest.get(cue.len()..)).unwrap_or_default();
        after.windows(3).take(WORDS_BETWEEN + 1).any(is_date)
    })
}

/// `12 March 1984`, `March 12 1984`, `12/03/84`, `1984-03-12`: in words.
fn is_date(words: &[String]) -> bool {
    let [first, second, third] = words else { return false };
    let is_day = |word: &str| leading_number(word).is_some_and(|day| (1..=31).contains(&day));
    let is_month = |word: &str| {
        leading_number(word).is_some_and(|month| (1..=12).contains(&month))
            || MONTHS.iter().any(|month| word.starts_with(month))
    };
    let is_year = |word: &str| word.len() == 4 && leading_number(word).is_some_and(|year| (1900..2100).contains(&year));
    let is_short_year = |word: &str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    let day_and_month = (is_day(first) && is_month(second)) || (is_month(first) && is_day(second));
    (day_and_month && (is_year(third) || is_short_year(third))) || (is_year(first) && is_month(second) && is_day(third))
}

/// The number that a word begins with, such as `12` of `12th` or of `12T00`.
fn leading_number(word: &str) -> Option<u32> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    word.get(..end).filter(|digits| digits.len() <= 4).and_then(|digits| digits.parse().ok())
}

/// HM Revenue & Customs' rule: some letters, and some pairs of them, are not given out.
fn is_national_insurance(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let [first, second, digits @ .., last] = upper.as_bytes() else { return false };
    let is_letter = |byte: u8, but: &[u8]| byte.is_ascii_uppercase() && !but.contains(&byte);
    let pair = [*first, *second];
    is_letter(*first, b"DFIQUV")
        && is_letter(*second, b"DFIOQUV")
        && ![*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&pair)
        && digits.len() == 6
        && digits.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(last)
}

/// The NHS Data Dictionary's check: weights 10 to 2, and the last digit is 11 less the remainder, 0 for 11, none for 10.
fn is_nhs_number(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    let Some([digits @ .., check]) = digits.as_deref() else { return false };
    let sum: u32 = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
    sum > 0 && (11 - sum % 11) % 11 == *check
}

/// `name@domain.part`.
fn is_mailbox(word: &str) -> bool {
    let Some((name, domain)) = word.trim_end_matches('.').rsplit_once('@') else { return false };
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '-');
    let name = name.rsplit([':', '/']).next().unwrap_or_default();
    let top = domain.rsplit('.').next().unwrap_or_default();
    let has_top = top.len() > 1 && top.chars().all(char::is_alphabetic) && top.len() < domain.len();
    !name.is_empty() && has_top && domain.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_values_look_like() {
        use Likeness::{DateOfBirth, Email, NationalInsurance, NhsNumber};
        // 943 476 5919 is the example of the NHS Data Dictionary.
        let table: &[(&str, &str, Option<Likeness>)] = &[
            ("id", "QQ123456C", None),
            ("id", "AB123456C", Some(NationalInsurance)),
            ("id", "ab 12 34 56 c", Some(NationalInsurance)),
            ("note", "called, NI number AB-12-34-56-D, twice", Some(NationalInsurance)),
            ("id", "GB123456C", None),
            ("id", "AO123456C", None),
            ("id", "AB123456E", None),
            ("id", "XAB123456C", None),
            ("id", "AB1234567", None),
            ("id", "9434765919", Some(NhsNumber)),
            ("id", "943 476 5919", Some(NhsNumber)),
            ("note", "patient 943-476-5919 was seen", Some(NhsNumber)),
            ("id", "9434765918", None),
            ("id", "19434765919", None),
            ("id", "0000000000", None),
            ("contact", "jane.doe@example.org", Some(Email)),
            ("contact", "Jane <mailto:jane@example.org>, office hours", Some(Email)),
            ("contact", "jane@localhost", None),
            ("url", "https://example.org/@jane", None),
            ("ratio", "3@4.5.", None),
            ("date-of-birth", "1984-02-29", Some(DateOfBirth)),
            ("date-of-birth", "unknown", None),
            ("start-date", "1984-02-29", None),
            ("birthplace", "1984 Street", None),
            ("d-o-b", "29 February 1984", Some(DateOfBirth)),
            ("dateofbirth", "29/02/84", Some(DateOfBirth)),
            ("note", "Born 29 Feb 1984", Some(DateOfBirth)),
            ("note", "the child (DOB: 29/02/84) was seen", Some(DateOfBirth)),
            ("note", "D.O.B. 29.02.1984", Some(DateOfBirth)),
            ("note", "born in North Leeds on February 29th, 1984", Some(DateOfBirth)),
            ("note", "date of birth is 1984-02-29T00:00:00Z", Some(DateOfBirth)),
            ("note", "seen on 29 February 1984", None),
            ("note", "a born teacher, as all have said since 29 February 1984", None),
            ("note", "born 1984", None),
            ("note", "born", None),
            ("note", "the birth was registered on 29 February 1984", None),
            ("note", "born in flat 45 99 1984", None),
            ("name", "Jane Doe", None),
            ("name", "", None),
            ("name", "é@é.éé.", Some(Email)),
            ("name", "é@é", None),
        ];
        for (field, value, expected) in table {
            assert_eq!(likeness(field, value), *expected, "{field}={value}");
        }
    }

    #[test]
    fn what_names_say() {
        let table = [
            ("nino", Some(Likeness::NationalInsurance)),
            ("national-insurance-number", Some(Likeness::NationalInsurance)),
            ("nhs-number", Some(Likeness::NhsNumber)),
            ("contact-email", Some(Likeness::Email)),
            ("e-mail", Some(Likeness::Email)),
            ("dob", Some(Likeness::DateOfBirth)),
            ("date-of-birth", Some(Likeness::DateOfBirth)),
            ("birth-date", Some(Likeness::DateOfBirth)),
            ("d-o-b", Some(Likeness::DateOfBirth)),
            ("d-o-c", None),
            ("national-park", None),
            ("nhs-trust", None),
            ("name", None),
        ];
        for (field, expected) in table {
            assert_eq!(likeness_of_name(field), expected, "{field}");
        }
    }
}
