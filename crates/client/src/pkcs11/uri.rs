//! The name of a key in a token: a PKCS#11 URI (RFC 7512).
//!
//! ```text
//! pkcs11:token=registry;object=registrar?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin
//!        which token    which key        the token's software                         where its PIN is
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// How every such name begins.
const SCHEME: &str = "pkcs11:";
/// What may tell the token and the key.
const PATH_ATTRIBUTES: &str =
    "token, serial, manufacturer, model, slot-id, object, id, type=private, and after `?` module-path and pin-source";

/// The name of a key in a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyUri {
    text: String,
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// Who made the token.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The slot that the token is in.
    pub slot: Option<u64>,
    /// The key's label.
    pub object: Option<String>,
    /// The key's identifier (`CKA_ID`).
    pub id: Option<Vec<u8>>,
    /// The token's software, a shared library.
    pub module: Option<PathBuf>,
    /// The file whose first line is the PIN.
    pub pin_source: Option<PathBuf>,
}

/// Why a text is no PKCS#11 URI of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// It begins with something else.
    #[error("`{0}` is not a PKCS#11 URI: write `pkcs11:token=…;object=…?module-path=…`")]
    Scheme(String),
    /// An attribute that has no meaning here.
    #[error("`{attribute}` in `{uri}` is not understood: use {PATH_ATTRIBUTES}")]
    Attribute {
        /// The URI.
        uri: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute stands twice.
    #[error("`{attribute}` stands twice in `{uri}`: leave one")]
    Twice {
        /// The URI.
        uri: String,
        /// The attribute.
        attribute: String,
    },
    /// A value that cannot be read.
    #[error("the value of `{attribute}` in `{uri}` is not right: write UTF-8, other characters as `%` and two digits")]
    Value {
        /// The URI.
        uri: String,
        /// The attribute.
        attribute: String,
    },
    /// A PIN in the name.
    #[error(
        "`pin-value` writes the PIN where every list of processes shows it: put it into a file and name that with `pin-source=file:PATH`"
    )]
    Pin,
    /// No key is named.
    #[error("`{0}` names no key: add `object=` with its label, or `id=`")]
    NoKey(String),
}

impl KeyUri {
    /// Whether a text is meant as such a name, rather than a file's.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The same, with relative paths starting from `folder`.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        self.module = self.module.map(|path| folder.join(path));
        self.pin_source = self.pin_source.map(|path| folder.join(path));
        self
    }

    fn set(&mut self, attribute: &str, value: &str) -> Result<(), UriError> {
        let (uri, named) = (self.text.clone(), attribute.to_owned());
        let wrong = || UriError::Value { uri: uri.clone(), attribute: named.clone() };
        let bytes = percent_decoded(value).ok_or_else(wrong)?;
        if attribute == "id" {
            return put(&mut self.id, bytes).map_err(|()| UriError::Twice { uri, attribute: named });
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let done = match attribute {
            "token" => put(&mut self.token, text),
            "serial" => put(&mut self.serial, text),
            "manufacturer" => put(&mut self.manufacturer, text),
            "model" => put(&mut self.model, text),
            "object" => put(&mut self.object, text),
            "slot-id" => put(&mut self.slot, text.parse().map_err(|_| wrong())?),
            "type" if text == "private" => Ok(()),
            "module-path" => put(&mut self.module, text.into()),
            "pin-source" => put(&mut self.pin_source, file(&text).ok_or_else(wrong)?),
            "pin-value" => return Err(UriError::Pin),
            _ => return Err(UriError::Attribute { uri, attribute: named }),
        };
        done.map_err(|()| UriError::Twice { uri, attribute: named })
    }
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), ()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(()),
    }
}

/// The path of `file:PATH`, `file:///PATH` or a bare path (RFC 7512 section 2.4).
fn file(source: &str) -> Option<PathBuf> {
    let path = source.strip_prefix("file:").unwrap_or(source);
    let path = path.strip_prefix("//").unwrap_or(path);
    // A source that begins with `|` is a program to run for the PIN, which is refused.
    if path.is_empty() || path.starts_with('|') { None } else { Some(path.into()) }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.extend(hex::decode(digits).ok()?);
    }
    Some(bytes)
}

impl FromStr for KeyUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| UriError::Scheme(text.to_owned()))?;
        let mut uri = Self { text: text.to_owned(), ..Self::default() };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let attributes = path.split(';').chain(query.split('&')).filter(|attribute| !attribute.is_empty());
        for attribute in attributes {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            uri.set(name.trim(), value)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(UriError::NoKey(text.to_owned()));
        }
        Ok(uri)
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_whole_name_is_read() {
        let text = "pkcs11:token=The%20Registry;serial=DECC0401648;manufacturer=a;model=b;slot-id=7;object=caf%C3%A9;\
            id=%00%ff;type=private?module-path=/usr/lib/p11.so&pin-source=file:pin";
        let uri: KeyUri = text.parse().unwrap();
        assert_eq!(uri.token.as_deref(), Some("The Registry"));
        assert_eq!(uri.serial.as_deref(), Some("DECC0401648"));
        assert_eq!(uri.object.as_deref(), Some("café"));
        assert_eq!((uri.slot, uri.id.as_deref()), (Some(7), Some([0, 0xff].as_slice())));
        assert_eq!(uri.to_string(), text);
        let moved = uri.relative_to(Path::new("/etc/tally"));
        assert_eq!(moved.pin_source.as_deref(), Some(Path::new("/etc/tally/pin")));
        assert_eq!(moved.module.as_deref(), Some(Path::new("/usr/lib/p11.so")));
    }

    #[test]
    fn each_wrong_name_is_told_apart_with_its_remedy() {
        for (text, remedy) in [
            ("registrar.pem", "write `pkcs11:"),
            ("pkcs11:token=a", "add `object=`"),
            ("pkcs11:", "add `object=`"),
            ("pkcs11:token=a;object=b;object=c", "leave one"),
            ("pkcs11:token=a;object=b;colour=red", "use token, serial"),
            ("pkcs11:object=b;type=cert", "use token, serial"),
            ("pkcs11:object=b?pin-value=1234", "pin-source=file:PATH"),
            ("pkcs11:object=b?pin-source=%7Ccat%20pin", "not right"),
            ("pkcs11:object=%zz", "two digits"),
            ("pkcs11:object=%f", "two digits"),
            ("pkcs11:object=%ff", "UTF-8"),
            ("pkcs11:object=b;slot-id=x", "not right"),
        ] {
            let error = text.parse::<KeyUri>().unwrap_err().to_string();
            assert!(error.contains(remedy), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }

    #[test]
    fn a_pin_source_is_a_file_however_it_is_written() {
        for (source, path) in
            [("file:pin", "pin"), ("file:///etc/pin", "/etc/pin"), ("file:/etc/pin", "/etc/pin"), ("pin", "pin")]
        {
            let uri: KeyUri = format!("pkcs11:object=b?pin-source={source}").parse().unwrap();
            assert_eq!(uri.pin_source.as_deref(), Some(Path::new(path)), "{source}");
        }
    }
}
