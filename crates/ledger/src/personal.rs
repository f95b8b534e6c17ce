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
    /// A date, in a field that is about a birth.
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
    if has(&["nino"]) || both("national", "insurance") || both("ni", "number") {
        Some(Likeness::NationalInsurance)
    } else if both("nhs", "number") {
        Some(Likeness::NhsNumber)
    } else if has(&["email"]) || both("e", "mail") {
        Some(Likeness::Email)
    } else if has(&["dob", "birth", "born", "birthday", "birthdate"]) {
        Some(Likeness::DateOfBirth)
    } else {
        None
    }
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
            ("national-park", None),
            ("nhs-trust", None),
            ("name", None),
        ];
        for (field, expected) in table {
            assert_eq!(likeness_of_name(field), expected, "{field}");
        }
    }
}
