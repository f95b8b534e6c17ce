//! What somebody signs beside transactions, and the proof of whose key it is that goes with it.

use crate::{connection::ask_again, output::Failure};
use tallystick_client::Client;
use tallystick_protocol::{Genesis, PrincipalId, PrincipalReceipt, PublicKey, Receipt, receipt::Reason};

/// How often the nodes are asked whose the key is.
const ASKED: usize = 30;

/// The receipt of a principal, of the height `since` or later, by which this key of theirs signs.
///
/// # Errors
/// When the nodes do not show that it does.
pub fn signer_receipt(
    client: &Client,
    (principal, key): (&PrincipalId, PublicKey),
    since: u64,
    genesis: &Genesis,
) -> Result<PrincipalReceipt, Failure> {
    let receipt = ask_again(ASKED, || {
        let bytes = match client.principal_receipt(principal) {
            Ok(bytes) => bytes,
            Err(error) if error.status() == Some(503) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok(Receipt::Principal(receipt)) = Receipt::decode(&bytes) else {
            return Err(Failure::error("the node gave no proof of whose the key is: ask another, with --node"));
        };
        match receipt.signs(key, since, genesis) {
            Ok(_) => Ok(Some(receipt)),
            // Another node may answer than the one that gave what is signed, and not have come so far.
            Err(Reason::SignerEarlier { .. }) => Ok(None),
            Err(Reason::SignerKey(..)) => Err(Failure::error(format!(
                "{key} is no key that {principal} signs with now: `tally key show {principal}` says which are"
            ))),
            Err(Reason::SignerStatus(_, status)) => Err(Failure::error(format!(
                "{principal} is {status} and may sign nothing: sign as somebody else of the organisation, with --as"
            ))),
            Err(reason) => Err(Failure::error(format!("the node's proof of whose the key is: {reason}"))),
        }
    })?;
    receipt.ok_or_else(|| {
        Failure::error(format!(
            "no node has come to block {since}, that proves whose the key is: ask another, with --node"
        ))
    })
}
