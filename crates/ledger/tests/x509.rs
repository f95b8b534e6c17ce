//! Certificates against x509-limbo's cases of RFC 5280: all are judged as it expects.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use serde_json::Value;
use tallystick_ledger::{
    moment::parse_timestamp,
    x509::{Certificate, Fault, PRINCIPAL_PURPOSES, RevocationList, Terms, find},
};
use tallystick_tests::absent::data;
use x509_cert::{der::asn1::ObjectIdentifier, ext::pkix::name::GeneralName};

/// When cases that state no time are judged: all their certificates are valid then.
const NOW: u64 = 1_790_000_000;
const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// What a refusal of cases whose name begins so must say; the first that fits counts. So that none is refused by accident.
const REASONS: &[(&str, &str)] = &[
    ("aki::", "authority key identifier"),
    ("eku::ee-wrong-eku", "does not allow this purpose"),
    ("eku::", "extended key usage"),
    ("nc::invalid-", "constraint on names"),
    ("nc::not-allowed-in-ee-critical", "only an authority may have"),
    ("nc::nc-permits-invalid-", "well-formed name"),
    ("nc::not-allowed-in-ee-noncritical", "name constraints must be marked critical"),
    ("nc::permitted-dns-match-noncritical", "name constraints must be marked critical"),
    ("nc::", "a name that an authority above it may not give"),
    ("pc::", "policy constraints"),
    ("san::malformed", "subject alternative name cannot be read"),
    ("san::noncritical-with-empty-subject", "names no subject"),
    ("san::", "well-formed name"),
    ("serial::too-long", "INTEGER"),
    ("serial::", "serial number"),
    ("ski::", "subject key identifier"),
    ("validity::expired-", "has expired"),
    ("validity::", "not valid yet"),
    ("ee-empty-issuer", "names no issuer"),
    ("ca-empty-subject", "names no"),
    ("unknown-critical-extension-", "not understood"),
    ("chain-untrusted-root", "no chain leads"),
    ("intermediate-ca-without-ca-bit", "only an authority may have"),
    // The cases leave out the certificate that they are about.
    ("intermediate-ca-missing-basic-constraints", "no chain leads"),
    ("ica-ku-keycertsign", "no chain leads"),
    ("root-missing-basic-constraints", "only an authority may have"),
    ("root-non-critical-basic-constraints", "basic constraints must be marked critical"),
    ("root-inconsistent-ca-extensions", "key usage cannot be read"),
    ("leaf-ku-keycertsign", "only an authority may have"),
    ("ee-critical-aia-invalid", "information access must not be marked critical"),
    ("duplicate-extensions", "occurs twice"),
    ("mismatching-signature-algorithm", "two different signature algorithms"),
    ("ca-as-leaf-wrong-san", "is not named"),
];

fn parse(pem: &str) -> Result<Certificate, String> {
    let (_, der) = x509_cert::der::pem::decode_vec(pem.as_bytes()).unwrap();
    Certificate::parse(&der).map_err(|error| error.to_string())
}

/// As the case means it: for its purpose, and of the peer that it expects.
fn judge(case: &Value) -> Result<(), String> {
    let purpose = if case["validation_kind"] == "CLIENT" { CLIENT } else { SERVER };
    judge_for(case, &[purpose])?;
    expect_name(case, &parse(case["peer_certificate"].as_str().unwrap())?)
}

fn judge_for(case: &Value, purposes: &[ObjectIdentifier]) -> Result<(), String> {
    let mut faults = Vec::new();
    let mut parsed = |name: &str| -> Vec<Certificate> {
        let certificates = case[name].as_array().unwrap().iter().map(|pem| parse(pem.as_str().unwrap()));
        certificates.filter_map(|parsed| parsed.map_err(|fault| faults.push(fault)).ok()).collect()
    };
    let (others, authorities) = (parsed("untrusted_intermediates"), parsed("trusted_certs"));
    let certificate = parse(case["peer_certificate"].as_str().unwrap())?;
    let at =
        case["validation_time"].as_str().map_or(NOW, |time| parse_timestamp(&format!("{}Z", &time[..19])).unwrap());
    let terms = Terms { at, purposes, lists: &[] };
    let found = find(&certificate, &others, &authorities, terms);
    found.map(drop).map_err(|error| format!("{error}; {}", faults.join("; ")))
}

/// Whether the certificate has the name that the case's peer is expected to have: the ledger asks for none.
fn expect_name(case: &Value, certificate: &Certificate) -> Result<(), String> {
    let expected = case["expected_peer_name"]
        .as_object()
        .map(|name| (name["kind"].as_str().unwrap(), name["value"].as_str().unwrap()));
    let Some((kind, value)) = expected else { return Ok(()) };
    let found = certificate.alternative_names().iter().any(|name| match name {
        GeneralName::DnsName(name) if kind == "DNS" => {
            let parent = value.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            name.as_str() == value || parent.is_some_and(|wildcard| name.as_str() == wildcard)
        }
        GeneralName::IpAddress(address) if kind == "IP" => match value.parse().unwrap() {
            std::net::IpAddr::V4(v4) => address.as_bytes() == v4.octets(),
            std::net::IpAddr::V6(v6) => address.as_bytes() == v6.octets(),
        },
        _ => false,
    });
    if found { Ok(()) } else { Err(format!("peer `{value}` is not named")) }
}

fn reason(id: &str) -> &'static str {
    let name = id.strip_prefix("rfc5280::").unwrap();
    REASONS.iter().find(|(prefix, _)| name.starts_with(prefix)).unwrap_or_else(|| panic!("no reason for {id}")).1
}

#[test]
fn limbo_agrees() {
    let Some(path) = data("x509-limbo/limbo-rfc5280.json") else { return };
    let limbo: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = limbo["testcases"].as_array().unwrap();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let verdict = judge(case);
        let agrees = match &verdict {
            Ok(()) => case["expected_result"] == "SUCCESS",
            Err(said) => case["expected_result"] == "FAILURE" && said.contains(reason(id)),
        };
        if !agrees {
            wrong.push(format!("{id}: expected {}, got {verdict:?}", case["expected_result"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Cases that are judged otherwise as a principal's certificate, which is what enrolment and `tally ca check` take it for: it must not be for
/// servers alone, and nobody asks whether it names a host. `docs/reference/certificates.md` says so.
#[test]
fn limbo_differs_for_principals_by_purpose_and_host_alone() {
    let Some(path) = data("x509-limbo/limbo-rfc5280.json") else { return };
    let limbo: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let (mut for_servers, mut held) = (Vec::new(), Vec::new());
    for case in limbo["testcases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        match (judge_for(case, PRINCIPAL_PURPOSES), case["expected_result"] == "SUCCESS") {
            (Err(said), true) => {
                // Of two chains that do not hold, the one that is told is the other.
                let is_told = said.contains("extended key usage does not allow this purpose");
                assert!(is_told || id == "rfc5280::nc::nc-forbids-same-chain-ica", "{id}: {said}");
                for_servers.push(id);
            }
            (Ok(()), false) => held.push(id),
            _ => {}
        }
    }
    assert_eq!(for_servers.len(), 21, "{for_servers:?}");
    // The first is for clients alone, the second is of another host.
    assert_eq!(held, ["rfc5280::eku::ee-wrong-eku", "rfc5280::ca-as-leaf-wrong-san"]);
}

#[test]
fn what_is_no_certificate_is_refused() {
    assert_eq!(Certificate::parse(&vec![0x30; 8_193]).unwrap_err(), Fault::TooLong);
    assert_eq!(RevocationList::parse(&vec![0x30; 49_153]).unwrap_err(), Fault::ListTooLong);
    for bytes in [&b""[..], b"\x30", b"\x30\x00", b"\x30\x84\xff\xff\xff\xff", &[0x30; 4_000]] {
        assert!(matches!(Certificate::parse(bytes), Err(Fault::Malformed(_))), "{bytes:?}");
    }
}
