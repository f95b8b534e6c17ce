//! Items: the content that entries point to.
//!
//! An item is a JSON object from field names to a string or a list of strings, in the canonical form of openregister v1
//! (the form that GDS' openregister-java writes, so that its item hashes are reproduced):
//!
//! - members sorted by name, compared as UTF-16 code units; no name twice; no white space between tokens;
//! - characters stand for themselves; only `"`, `\` and the controls below U+0020 are escaped: `\"` `\\` `\b` `\t` `\n`
//!   `\f` `\r`, every other control as `\u00XX` in upper-case hex; `/` and non-ASCII are never escaped.
//!
//! ```text
//! {"citizen-names":"Briton","country":"GB","name":"United Kingdom"}
//! ```
//!
//! INVARIANT: an [`Item`] exists only for canonical text, so hashing the text hashes the content.
//!
//! One parser reads both the canonical form, where any liberty is an error that says which, and any JSON of that shape,
//! to be written again canonically. It does not recurse: content deeper than a list of strings is refused at its bracket.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use tallystick_protocol::{
    Hash,
    limits::{FIELDS_MAX, ITEM_BYTES_MAX},
};

/// A canonical item and its members, borrowed from the text where no escape stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A single string.
    One(Cow<'a, str>),
    /// A list of strings, in the order written.
    Many(Vec<Cow<'a, str>>),
}

/// Why a text is not an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct ItemError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ItemErrorKind,
}

/// What can be wrong with an item's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemErrorKind {
    /// More bytes than [`ITEM_BYTES_MAX`].
    TooLong,
    /// More members than [`FIELDS_MAX`].
    TooManyFields,
    /// Not JSON: says what was expected instead.
    Syntax(&'static str),
    /// A value that is neither a string nor a list of strings.
    NotText,
    /// A name that stands in the object twice.
    DuplicateName(String),
    /// JSON, but not in the canonical form: says which liberty was taken.
    NotCanonical(&'static str),
}

impl<'a> Item<'a> {
    /// Reads a canonical item.
    ///
    /// # Errors
    /// Names the first byte that the canonical form would not have.
    pub fn parse(text: &'a str) -> Result<Self, ItemError> {
        let members = Parser::new(text, Form::Canonical).object()?;
        Ok(Self { text, members })
    }

    /// The canonical JSON.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The members in canonical order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }

    /// The value of a field that holds a single string.
    pub fn get_one(&self, field: &str) -> Option<&str> {
        match self.get(field) {
            Some(Value::One(value)) => Some(value),
            _ => None,
        }
    }

    /// SHA-256 of the canonical text: what an entry names.
    pub fn hash(&self) -> Hash {
        item_hash(self.text)
    }
}

impl Value<'_> {
    /// The strings held: one, or those of the list.
    pub fn strings(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::One(value) => (Some(value.as_ref()), &[][..]),
            Self::Many(values) => (None, values.as_slice()),
        };
        one.into_iter().chain(many.iter().map(Cow::as_ref))
    }

    /// The canonical JSON of it, as it stands in an item.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        write_value(&mut out, self);
        out
    }
}

/// SHA-256 of an item's canonical text.
pub fn item_hash(text: &str) -> Hash {
    Hash::of(&[text.as_bytes()])
}

/// Writes any JSON object of strings and lists of strings in the canonical form.
///
/// # Errors
/// Names the byte where the text stops being such an object.
pub fn canonicalise(text: &str) -> Result<String, ItemError> {
    let mut members = Parser::new(text, Form::Free).object()?;
    members.sort_by(|(a, _), (b, _)| compare_names(a, b));
    let mut out = String::with_capacity(text.len());
    write_members(&mut out, members.iter().map(|(name, value)| (name.as_ref(), value)));
    Ok(out)
}

/// The canonical item of some members, for programs that build items. A name given twice keeps its last value.
pub fn item_from<'a>(members: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> String {
    let mut sorted: Vec<(&str, Value<'_>)> = Vec::new();
    for (name, value) in members {
        sorted.retain(|(existing, _)| *existing != name);
        sorted.push((name, value));
    }
    sorted.sort_by(|(a, _), (b, _)| compare_names(a, b));
    let mut out = String::new();
    write_members(&mut out, sorted.iter().map(|(name, value)| (*name, value)));
    out
}

/// Order of member names: UTF-16 code units, as openregister-java sorts them (it differs from byte order only above U+FFFF).
fn compare_names(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

fn write_members<'a>(out: &mut String, members: impl Iterator<Item = (&'a str, &'a Value<'a>)>) {
    out.push('{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(out, name);
        out.push(':');
        write_value(out, value);
    }
    out.push('}');
}

fn write_value(out: &mut String, value: &Value<'_>) {
    match value {
        Value::One(text) => write_string(out, text),
        Value::Many(texts) => {
            out.push('[');
            for (index, text) in texts.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, text);
            }
            out.push(']');
        }
    }
}

/// Writes a string with the escapes of the canonical form. Also the rule for keys in entry leaves.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Canonical,
    Free,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    form: Form,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, form: Form) -> Self {
        Self { text, at: 0, form }
    }

    fn fail<T>(&self, offset: usize, kind: ItemErrorKind) -> Result<T, ItemError> {
        Err(ItemError { offset, kind })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips white space, which the canonical form does not have.
    fn space(&mut self) -> Result<(), ItemError> {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        if self.at > start && self.form == Form::Canonical {
            return self.fail(start, ItemErrorKind::NotCanonical("white space between tokens"));
        }
        Ok(())
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), ItemError> {
        self.space()?;
        if self.take(byte) { Ok(()) } else { self.fail(self.at, ItemErrorKind::Syntax(expected)) }
    }

    fn object(&mut self) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, ItemError> {
        if self.text.len() > ITEM_BYTES_MAX {
            return self.fail(ITEM_BYTES_MAX, ItemErrorKind::TooLong);
        }
        self.expect(b'{', "an object `{`")?;
        let mut members: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(8);
        self.space()?;
        if !self.take(b'}') {
            loop {
                self.member(&mut members)?;
                self.space()?;
                if self.take(b'}') {
                    break;
                }
                self.expect(b',', "`,` or `}`")?;
            }
        }
        self.space()?;
        if self.at < self.text.len() {
            return self.fail(self.at, ItemErrorKind::Syntax("nothing after the object"));
        }
        if self.form == Form::Free {
            self.reject_duplicates(&members)?;
        }
        Ok(members)
    }

    fn member(&mut self, members: &mut Vec<(Cow<'a, str>, Value<'a>)>) -> Result<(), ItemError> {
        self.space()?;
        let start = self.at;
        if members.len() >= FIELDS_MAX {
            return self.fail(start, ItemErrorKind::TooManyFields);
        }
        let name = self.string("a field name in quotes")?;
        if self.form == Form::Canonical
            && let Some((previous, _)) = members.last()
            && compare_names(previous, &name) != Ordering::Less
        {
            if members.iter().any(|(existing, _)| *existing == name) {
                return self.fail(start, ItemErrorKind::DuplicateName(name.into_owned()));
            }
            return self.fail(start, ItemErrorKind::NotCanonical("field names out of order"));
        }
        self.expect(b':', "`:` after the field name")?;
        self.space()?;
        let value = self.value()?;
        members.push((name, value));
        Ok(())
    }

    fn reject_duplicates(&self, members: &[(Cow<'a, str>, Value<'a>)]) -> Result<(), ItemError> {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        for (a, b) in names.iter().zip(names.iter().skip(1)) {
            if a == b {
                return self.fail(0, ItemErrorKind::DuplicateName((*a).to_owned()));
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Value<'a>, ItemError> {
        match self.peek() {
            Some(b'"') => Ok(Value::One(self.string("a string")?)),
            Some(b'[') => self.list().map(Value::Many),
            Some(b'{' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => self.fail(self.at, ItemErrorKind::NotText),
            _ => self.fail(self.at, ItemErrorKind::Syntax("a value")),
        }
    }

    fn list(&mut self) -> Result<Vec<Cow<'a, str>>, ItemError> {
        self.expect(b'[', "a list `[`")?;
        let mut values = Vec::new();
        self.space()?;
        if self.take(b']') {
            return Ok(values);
        }
        loop {
            self.space()?;
            if matches!(self.peek(), Some(b'[' | b'{' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9')) {
                return self.fail(self.at, ItemErrorKind::NotText);
            }
            values.push(self.string("a string or `]`")?);
            self.space()?;
            if self.take(b']') {
                return Ok(values);
            }
            self.expect(b',', "`,` or `]`")?;
        }
    }

    /// Reads a string; borrows it when it holds no escape.
    fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, ItemError> {
        if !self.take(b'"') {
            return self.fail(self.at, ItemErrorKind::Syntax(expected));
        }
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(run) = run else {
                return self.fail(self.text.len(), ItemErrorKind::Syntax("the closing quote of a string"));
            };
            self.at += run;
            let piece = self.text.get(start..self.at).unwrap_or_default();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match owned {
                        Some(text) => Cow::Owned(text + piece),
                        None => Cow::Borrowed(piece),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(piece);
                    let character = self.escape()?;
                    owned.get_or_insert_default().push(character);
                    start = self.at;
                }
                _ => return self.fail(self.at, ItemErrorKind::Syntax("control characters of a string escaped")),
            }
        }
    }

    /// Reads one escape, whose backslash is next.
    fn escape(&mut self) -> Result<char, ItemError> {
        let start = self.at;
        self.at += 1;
        let short = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'b') => '\u{8}',
            Some(b't') => '\t',
            Some(b'n') => '\n',
            Some(b'f') => '\u{c}',
            Some(b'r') => '\r',
            Some(b'/') if self.form == Form::Free => '/',
            Some(b'/') => return self.fail(start, ItemErrorKind::NotCanonical("`/` escaped")),
            Some(b'u') => return self.unicode_escape(start),
            _ => return self.fail(start, ItemErrorKind::Syntax("a known escape after `\\`")),
        };
        self.at += 1;
        Ok(short)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, ItemError> {
        let first = self.code_unit(start)?;
        let code = match first {
            0xd800..=0xdbff => {
                let low = if self.take(b'\\') { self.code_unit(start)? } else { 0 };
                if !(0xdc00..=0xdfff).contains(&low) {
                    return self.fail(start, ItemErrorKind::Syntax("a surrogate pair"));
                }
                0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00)
            }
            other => other,
        };
        let Some(character) = char::from_u32(code) else {
            return self.fail(start, ItemErrorKind::Syntax("a surrogate pair"));
        };
        if self.form == Form::Canonical {
            let mut canonical = String::with_capacity(8);
            write_string(&mut canonical, character.encode_utf8(&mut [0; 4]));
            if canonical.get(1..canonical.len() - 1) != self.text.get(start..self.at) {
                return self
                    .fail(start, ItemErrorKind::NotCanonical("an escape that is not needed or not the short one"));
            }
        }
        Ok(character)
    }

    /// Reads `uXXXX`.
    fn code_unit(&mut self, start: usize) -> Result<u32, ItemError> {
        let digits =
            self.text.get(self.at + 1..self.at + 5).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits {
            Some(digits) if self.peek() == Some(b'u') => {
                self.at += 5;
                Ok(u32::from_str_radix(digits, 16).unwrap_or_default())
            }
            _ => self.fail(start, ItemErrorKind::Syntax("`\\u` and four hex digits")),
        }
    }
}

impl fmt::Display for ItemErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an item may have {ITEM_BYTES_MAX} bytes: more"),
            Self::TooManyFields => write!(f, "an item may have {FIELDS_MAX} fields: more"),
            Self::Syntax(expected) => write!(f, "expected {expected}: something else"),
            Self::NotText => f.write_str("a value must be a string or a list of strings: something else"),
            Self::DuplicateName(name) => write!(f, "field `{name}` twice in one item"),
            Self::NotCanonical(liberty) => write!(f, "not canonical JSON: {liberty}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// One line a row: the text, then what canonical reading says of it.
    #[test]
    fn the_canonical_form() {
        let table: &[(&str, &str)] = &[
            (r#"{"a":"b"}"#, "ok"),
            (r#"{}"#, "ok"),
            (r#"{"a":[],"b":["c","d"]}"#, "ok"),
            (r#"{"a":"é/€😀"}"#, "ok"),
            (r#"{"a":"\"\\\b\t\n\f\r\u001F\u0000"}"#, "ok"),
            (r#"{"A":"1","a":"2"}"#, "ok"),
            (r#"{ "a":"b"}"#, "not canonical JSON: white space between tokens at byte 1"),
            ("{\"a\":\"b\"}\n", "not canonical JSON: white space between tokens at byte 9"),
            (r#"{"a":"\u001f"}"#, "not canonical JSON: an escape that is not needed or not the short one at byte 6"),
            (r#"{"a":"\u000A"}"#, "not canonical JSON: an escape that is not needed or not the short one at byte 6"),
            (r#"{"a":"\u00E9"}"#, "not canonical JSON: an escape that is not needed or not the short one at byte 6"),
            (
                r#"{"a":"\uD83D\uDE00"}"#,
                "not canonical JSON: an escape that is not needed or not the short one at byte 6",
            ),
            (r#"{"a":"\/"}"#, "not canonical JSON: `/` escaped at byte 6"),
            (r#"{"b":"1","a":"2"}"#, "not canonical JSON: field names out of order at byte 9"),
            (r#"{"a":"1","a":"2"}"#, "field `a` twice in one item at byte 9"),
            (r#"{"a":"1","b":"2","a":"3"}"#, "field `a` twice in one item at byte 17"),
            (r#"{"a":1}"#, "a value must be a string or a list of strings: something else at byte 5"),
            (r#"{"a":null}"#, "a value must be a string or a list of strings: something else at byte 5"),
            (r#"{"a":{"b":"c"}}"#, "a value must be a string or a list of strings: something else at byte 5"),
            (r#"{"a":[["b"]]}"#, "a value must be a string or a list of strings: something else at byte 6"),
            (r#"["a"]"#, "expected an object `{`: something else at byte 0"),
            (r#""#, "expected an object `{`: something else at byte 0"),
            (r#"{"a":"b"}}"#, "expected nothing after the object: something else at byte 9"),
            (r#"{"a":"b""#, "expected `,` or `}`: something else at byte 8"),
            (r#"{"a":"b"#, "expected the closing quote of a string: something else at byte 7"),
            (r#"{"a":"\x"}"#, "expected a known escape after `\\`: something else at byte 6"),
            (r#"{"a":"\uD83D"}"#, "expected a surrogate pair: something else at byte 6"),
            (r#"{"a":"\uDE00"}"#, "expected a surrogate pair: something else at byte 6"),
            (r#"{"a":"\u12"}"#, "expected `\\u` and four hex digits: something else at byte 6"),
            ("{\"a\":\"\t\"}", "expected control characters of a string escaped: something else at byte 6"),
        ];
        for (text, expected) in table {
            let said = Item::parse(text).map_or_else(|error| error.to_string(), |_| "ok".to_owned());
            assert_eq!(&said, expected, "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_one_gds_published() {
        // The item of the first entry of openregister-java's fixture `register-register-rsf.tsv`.
        let item = Item::parse(r#"{"register":"ft_openregister_test","text":"SomeText"}"#).unwrap();
        assert_eq!(item.hash().to_string(), "3cee6dfc567f2157208edc4a0ef9c1b417302bad69ee06b3e96f80988b37f254");
    }

    #[test]
    fn names_sort_by_utf16_code_units() {
        // U+1F600 begins with D83D, which is below U+FF5E: the reverse of byte order.
        let text = "{\"\u{1f600}\":\"1\",\"\u{ff5e}\":\"2\"}";
        assert!(Item::parse(text).is_ok());
        assert_eq!(canonicalise("{\"\u{ff5e}\":\"2\",\"\u{1f600}\":\"1\"}").unwrap(), text);
    }

    #[test]
    fn size_count_and_depth_are_bounded() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(ITEM_BYTES_MAX));
        assert_eq!(Item::parse(&long).unwrap_err().kind, ItemErrorKind::TooLong);
        let names: Vec<String> = (0..=FIELDS_MAX).map(|n| format!("\"f{n:06}\":\"\"")).collect();
        assert_eq!(Item::parse(&format!("{{{}}}", names.join(","))).unwrap_err().kind, ItemErrorKind::TooManyFields);
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert_eq!(Item::parse(&deep).unwrap_err(), ItemError { offset: 6, kind: ItemErrorKind::NotText });
    }

    #[test]
    fn free_json_is_written_canonically() {
        let free = "{ \"b\" : [ \"x\\/\", \"\\u00e9\" ] ,\n\"a\":\"\\u001f\" }";
        assert_eq!(canonicalise(free).unwrap(), r#"{"a":"\u001F","b":["x/","é"]}"#);
        let twice = canonicalise(r#"{"a":"1","b":"2","a":"3"}"#).unwrap_err();
        assert_eq!(twice.kind, ItemErrorKind::DuplicateName("a".into()));
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let text = || "[\\x00-\\x24\\x5c\\x7f/aé€😀]{0,6}";
        prop_oneof![
            text().prop_map(serde_json::Value::from),
            prop::collection::vec(text(), 0..3).prop_map(serde_json::Value::from),
        ]
    }

    proptest! {
        /// serde_json judges: what it wrote, we read with the same meaning; what we write, it reads with the same meaning.
        #[test]
        fn canonical_writing_keeps_the_meaning(members in prop::collection::btree_map("[a-c\\x00\"\\\\é😀]{0,3}", any_value(), 0..5)) {
            let original = serde_json::Value::Object(members.into_iter().collect());
            for free in [original.to_string(), serde_json::to_string_pretty(&original).unwrap()] {
                let canonical = canonicalise(&free).unwrap();
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&canonical).unwrap(), &original);
                prop_assert_eq!(Item::parse(&canonical).unwrap().text(), &canonical);
                // Canonical means: reading and writing again changes nothing. Both ways to say so agree.
                prop_assert_eq!(Item::parse(&free).is_ok(), canonical == free);
            }
        }

        #[test]
        fn no_text_panics(text in "[{}\\[\\]\":,\\\\u0-9a-f ntb/é\\x00]{0,40}") {
            let strict = Item::parse(&text).is_ok();
            let free = canonicalise(&text);
            prop_assert_eq!(strict, free.is_ok_and(|canonical| canonical == text));
        }
    }
}
