//! Names in certificates: distinguished names as they are compared, and the grammar of the others.

use super::fault::Fault;
use tallystick_protocol::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX};
use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{
        Encode as _, Tag, Tagged as _,
        asn1::{Any, ObjectIdentifier},
    },
    ext::pkix::name::GeneralName,
    name::{Name, RelativeDistinguishedName},
};

/// PKCS #9 emailAddress, which older authorities write into the subject.
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// A distinguished name in the form that is compared.
pub(super) type Canonical = Vec<Vec<(ObjectIdentifier, Vec<u8>)>>;

/// The form in which names are compared (RFC 5280 section 7.1): strings without regard to their encoding, to the case of
/// ASCII letters, and to white space around and between words.
pub(super) fn canonical(name: &Name) -> Canonical {
    name.iter_rdn().map(canonical_part).collect()
}

fn canonical_part(part: &RelativeDistinguishedName) -> Vec<(ObjectIdentifier, Vec<u8>)> {
    let mut attributes: Vec<_> = part.iter().map(|attribute| (attribute.oid, canonical_value(attribute))).collect();
    attributes.sort_unstable();
    attributes
}

fn canonical_value(attribute: &AttributeTypeAndValue) -> Vec<u8> {
    match text(&attribute.value) {
        Some(text) => {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            [b"\0".as_slice(), words.join(" ").to_ascii_lowercase().as_bytes()].concat()
        }
        // A tag stands before the value, and none is zero: no string is equal to it.
        None => attribute.value.to_der().unwrap_or_default(),
    }
}

/// A string, if the value is one of a kind that is read.
fn text(value: &Any) -> Option<&str> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(value.value()).ok()
        }
        _ => None,
    }
}

/// The mail addresses in a distinguished name.
pub(super) fn mail_addresses(name: &Name) -> impl Iterator<Item = &str> {
    name.iter().filter(|attribute| attribute.oid == EMAIL_ADDRESS).filter_map(|attribute| text(&attribute.value))
}

/// Checks the grammar of a name that somebody bears.
pub(super) fn check(name: &GeneralName) -> Result<(), Fault> {
    let good = match name {
        GeneralName::DnsName(name) => is_domain(name.as_str().strip_prefix("*.").unwrap_or(name.as_str())),
        GeneralName::Rfc822Name(name) => mailbox(name.as_str()).is_some(),
        GeneralName::UniformResourceIdentifier(name) => is_uri(name.as_str()),
        GeneralName::IpAddress(address) => matches!(address.as_bytes().len(), 4 | 16),
        GeneralName::DirectoryName(name) => !name.is_empty(),
        GeneralName::OtherName(_) | GeneralName::EdiPartyName(_) | GeneralName::RegisteredId(_) => true,
    };
    if good { Ok(()) } else { Err(Fault::Name(shown(name))) }
}

/// A name for people.
pub(super) fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) | GeneralName::UniformResourceIdentifier(name) => {
            name.as_str().to_owned()
        }
        GeneralName::DirectoryName(name) => name.to_string(),
        GeneralName::IpAddress(address) => address_shown(address.as_bytes()),
        GeneralName::RegisteredId(id) => id.to_string(),
        GeneralName::OtherName(other) => format!("other name of type {}", other.type_id),
        GeneralName::EdiPartyName(_) => "an EDI party name".to_owned(),
    }
}

fn address_shown(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        std::net::Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        std::net::Ipv6Addr::from(v6).to_string()
    } else {
        format!("address {}", hex::encode(bytes))
    }
}

/// Whether it is a domain name of letters, digits and hyphens (RFC 1034 section 3.5, RFC 1123 section 2.1), whose last label
/// is not a number, so that it is no address.
pub(super) fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= DOMAIN_BYTES_MAX && name.split('.').all(is_label) && !last_is_number
}

/// Local part and domain of a mail address.
pub(super) fn mailbox(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.split_once('@')?;
    let good = !local.is_empty() && local.bytes().all(|b| b.is_ascii_graphic()) && is_domain(domain);
    good.then_some((local, domain))
}

fn is_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let scheme_is_good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_is_good && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic())
}

/// The domain name of a URI with an authority.
pub(super) fn uri_domain(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    is_domain(host).then_some(host)
}
