//! Files of certificates and revocation lists, as authorities hand them out: DER, or PEM with any text between.

use super::{certificate::Certificate, fault::Fault, revocation::RevocationList};
use x509_cert::der::pem;

const BEGIN: &str = "-----BEGIN ";

/// One thing found in a file.
#[derive(Debug, Clone)]
pub enum Document {
    /// A certificate.
    Certificate(Box<Certificate>),
    /// A revocation list.
    List(Box<RevocationList>),
}

/// Reads everything in a file; what is neither certificate nor list, a key for instance, is passed over in PEM.
///
/// # Errors
/// The first fault, or that there is nothing in it.
pub fn read(bytes: &[u8]) -> Result<Vec<Document>, Fault> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains(BEGIN));
    let Some(text) = text else { return Ok(vec![read_der(bytes)?]) };
    let mut documents = Vec::new();
    for (start, _) in text.match_indices(BEGIN) {
        let (_, block) = text.split_at_checked(start).unwrap_or_default();
        let Some(label) = block.strip_prefix(BEGIN).and_then(|rest| rest.split_once("-----")).map(|(label, _)| label)
        else {
            continue;
        };
        if !["CERTIFICATE", "X509 CRL"].contains(&label) {
            continue;
        }
        let end = format!("-----END {label}-----");
        let length =
            block.find(&end).map(|at| at + end.len()).ok_or_else(|| Fault::Malformed(format!("no `{end}`")))?;
        let (block, _) = block.split_at_checked(length).unwrap_or_default();
        let (_, der) = pem::decode_vec(block.as_bytes()).map_err(|error| Fault::Malformed(error.to_string()))?;
        documents.push(match label {
            "CERTIFICATE" => Document::Certificate(Box::new(Certificate::parse(&der)?)),
            _ => Document::List(Box::new(RevocationList::parse(&der)?)),
        });
    }
    if documents.is_empty() {
        Err(Fault::Malformed("no certificate and no revocation list in it".into()))
    } else {
        Ok(documents)
    }
}

fn read_der(der: &[u8]) -> Result<Document, Fault> {
    match Certificate::parse(der) {
        Ok(certificate) => Ok(Document::Certificate(Box::new(certificate))),
        Err(fault) => match RevocationList::parse(der) {
            Ok(list) => Ok(Document::List(Box::new(list))),
            Err(Fault::Malformed(_)) => Err(fault),
            Err(of_list) if matches!(fault, Fault::Malformed(_)) => Err(of_list),
            Err(_) => Err(fault),
        },
    }
}
