//! Certificates: no altered chain holds, and no altered revocation list speaks for the authority that issued it.

use tallystick_ledger::x509::{Certificate, Document, PRINCIPAL_PURPOSES, RevocationList, Terms, check, read};

use super::choices::Choices;

const CLERK: &str = include_str!("../../tests/data/certificates/clerk.pem");
const ISSUING: &str = include_str!("../../tests/data/certificates/issuing.pem");
const ROOT: &str = include_str!("../../tests/data/certificates/root.pem");
const REVOKED: &str = include_str!("../../tests/data/certificates/revoked.crl");
/// A second at which all of them are valid.
const AT: u64 = 1_900_000_000;

/// The bytes between the lines of a PEM file.
fn der(pem: &str) -> Vec<u8> {
    let (_, block) = pem.split_once("-----BEGIN").expect("a PEM file begins");
    let digits = block.lines().skip(1).take_while(|line| !line.starts_with("-----")).flat_map(str::bytes);
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for digit in digits.filter(|digit| *digit != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        buffer = (buffer << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xff) as u8);
        }
    }
    bytes
}

/// A chain of three, one certificate of it damaged; or the list; or bytes of the adversary's own.
pub fn x509_forge(data: &[u8]) {
    let mut choices = Choices::new(data);
    let part = choices.below(4);
    if part == 3 {
        let _ = read(choices.rest());
        return;
    }
    let honest = der([CLERK, ISSUING, REVOKED][part]);
    let mut bytes = honest.clone();
    choices.damage(&mut bytes);
    let parse = |pem: &str| Certificate::parse(&der(pem)).expect("it is honest");
    let (clerk, issuing, root) = (parse(CLERK), parse(ISSUING), parse(ROOT));
    let terms = Terms { at: AT, purposes: PRINCIPAL_PURPOSES, lists: &[] };
    if bytes == honest {
        check(&[&clerk, &issuing, &root], terms).expect("the honest chain holds");
        return;
    }
    assert!(matches!(read(&honest).as_deref(), Ok([Document::Certificate(_) | Document::List(_)])));
    if part == 2 {
        let Ok(list) = RevocationList::parse(&bytes) else { return };
        assert!(list.check_issuer(&issuing).is_err(), "an altered list speaks for its authority");
        return;
    }
    let Ok(altered) = Certificate::parse(&bytes) else { return };
    let chain = if part == 0 { [&altered, &issuing, &root] } else { [&clerk, &altered, &root] };
    assert!(check(&chain, terms).is_err(), "an altered chain holds");
}
