//! Who made an answer: a signature over all of it, with the receipt of the principal whose key it is. So what no proof in the file shows is the
//! word of somebody who is named.

use super::Export;
use crate::output::{Done, Failure, line, time};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{thread, time::Duration};
use tallystick_client::Client;
use tallystick_protocol::{Genesis, Hash, PrincipalId, PublicKey, Receipt, Signed, SignedBy, SigningKey, Statement};

/// How often the nodes are asked whose the key is, and the wait between.
const ASKED: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// A signature over the rest of the file, and whose it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Maker {
    /// The receipt of the principal, in base64.
    principal: String,
    key: String,
    /// In hexadecimal.
    signature: String,
}

impl Maker {
    /// Signs an answer as whoever makes it.
    ///
    /// # Errors
    /// When the nodes do not show that the key is the signer's, or it does not sign.
    pub fn sign(
        client: &Client,
        (principal, key): (&PrincipalId, &SigningKey),
        genesis: &Genesis,
        export: &Export,
    ) -> Result<Self, Failure> {
        let digest = digest(export)?;
        for look in 0..ASKED {
            if look > 0 {
                // Another node may answer than those that told of the reads, and not have come so far.
                thread::sleep(PAUSE);
            }
            let Ok(Receipt::Principal(receipt)) = Receipt::decode(&client.principal_receipt(principal)?) else {
                break;
            };
            let signed = Signed::sign(Statement::SubjectAccess, digest, receipt, key).map_err(Failure::error)?;
            if signed.check(Statement::SubjectAccess, digest, export.height, genesis).is_ok() {
                let Signed { signer, key, signature } = signed;
                let principal = BASE64_STANDARD.encode(Receipt::Principal(signer).to_bytes());
                return Ok(Self { principal, key: key.to_string(), signature: hex::encode(signature) });
            }
        }
        Err(Failure::error(format!(
            "the nodes do not show that the key which signs the answer is {principal}'s: see `tally key show {principal}`, or ask another node, with \
             --node"
        )))
    }

    /// Who signed this answer.
    ///
    /// # Errors
    /// When they did not sign this, or are not of the organisation that answers.
    pub fn check(&self, export: &Export, genesis: &Genesis) -> Result<SignedBy, String> {
        let no_signature = |what: &str| format!("{what}: it was altered");
        let bytes = BASE64_STANDARD.decode(&self.principal).map_err(|_| no_signature("no receipt of who signed"))?;
        let Ok(Receipt::Principal(signer)) = Receipt::decode(&bytes) else {
            return Err(no_signature("no receipt of who signed"));
        };
        let key: PublicKey = self.key.parse().map_err(|_| no_signature("no key"))?;
        let signature = hex::decode(&self.signature).ok().and_then(|bytes| bytes.try_into().ok());
        let signed = Signed { signer, key, signature: signature.ok_or_else(|| no_signature("no signature"))? };
        let digest = digest(export).map_err(|failure| failure.to_string())?;
        let by = signed.check(Statement::SubjectAccess, digest, export.height, genesis);
        let by = by.map_err(|reason| reason.to_string())?;
        if by.principal.organisation() != export.organisation {
            return Err(format!("{} signed it, who is not of {}", by.principal, export.organisation));
        }
        Ok(by)
    }
}

/// SHA-256 of the answer without its signature, as JSON.
fn digest(export: &Export) -> Result<Hash, Failure> {
    let mut value = serde_json::to_value(export).map_err(Failure::error)?;
    value.as_object_mut().map(|members| members.remove("made_by"));
    Ok(Hash::of(&[&serde_json::to_vec(&value).map_err(Failure::error)?]))
}

/// Says who signed.
///
/// # Errors
/// When nobody reads any more.
pub fn tell(by: &SignedBy) -> Done {
    let SignedBy { principal, key, height, time_ms } = by;
    line(format_args!("made by    {principal}, who signed it with key {key}"))?;
    line(format_args!("           which was theirs in block {height} of {}", time(*time_ms)))
}
