//! CURIEs: `register:key`, the way one register's item names another register's record.
//!
//! ```text
//! country:GB
//! local-authority-eng:LND
//! ```

use tallystick_protocol::operation::{EntryKind, validate_key, validate_name};

/// A link to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curie<'a> {
    /// The register.
    pub register: &'a str,
    /// The record's key in it.
    pub key: &'a str,
}

impl<'a> Curie<'a> {
    /// Reads `register:key`; a key without a register is one of the `linked` register, if the field names one.
    /// Says none when the text is no link.
    pub fn parse(text: &'a str, linked: Option<&'a str>) -> Option<Self> {
        let (register, key) = match text.split_once(':') {
            Some((register, key)) => (register, key),
            None => (linked?, text),
        };
        (validate_name(register).is_ok() && validate_key(EntryKind::User, key).is_ok())
            .then_some(Self { register, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        /// Text, the register that the field links to, the register and key it means.
        type Row = (&'static str, Option<&'static str>, Option<(&'static str, &'static str)>);
        let table: &[Row] = &[
            ("country:GB", None, Some(("country", "GB"))),
            ("country:GB", Some("territory"), Some(("country", "GB"))),
            ("GB", Some("country"), Some(("country", "GB"))),
            ("local-authority-eng:E06/1.a", None, Some(("local-authority-eng", "E06/1.a"))),
            ("GB", None, None),
            ("", Some("country"), None),
            (":GB", Some("country"), None),
            ("country:", Some("country"), None),
            ("country:GB:1", None, None),
            ("Country:GB", None, None),
            ("country :GB", None, None),
            ("country:G B", None, None),
            ("country:a--b", None, None),
        ];
        for (text, linked, expected) in table {
            let read = Curie::parse(text, *linked).map(|curie| (curie.register, curie.key));
            assert_eq!(&read, expected, "{text} {linked:?}");
        }
    }
}
