//! The trust list: the certificate authorities of an organisation. The log says which were admitted, the state how they stand.

use super::{Runtime, Service};
use std::collections::BTreeSet;
use tallystick_ledger::{AuthorityRow, RevocationRow, x509::Certificate};
use tallystick_protocol::{
    Change, Hash, Operation, OperationName, Resource, StateKey,
    limits::{AUTHORITY_ACTS_MAX, ROWS_READ_MAX},
};
use tallystick_storage::{
    history::{ActQuery, Outcomes},
    read::ReadError,
};

/// An authority as it stands now.
pub struct Authority {
    /// SHA-256 of its certificate.
    pub id: Hash,
    /// Its row.
    pub row: AuthorityRow,
    /// Its certificate.
    pub certificate: Certificate,
    /// How far its revocation lists have come.
    pub revocations: Option<RevocationRow>,
}

impl<E: Runtime> Service<E> {
    /// The authorities of an organisation, retired ones too, the latest admitted first; and whether all acts were looked at that may
    /// have admitted one.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn authorities(&self, organisation: &str) -> Result<(Vec<Authority>, bool), ReadError> {
        let (mut ids, mut is_whole) = (BTreeSet::new(), true);
        for action in [OperationName::AuthorityAdmit, OperationName::ProposalSubmit] {
            let asked = ActQuery {
                action: Some(action),
                resources: vec![Resource::organisation(organisation)],
                outcome: Some(Outcomes::Accepted),
                ..ActQuery::default()
            };
            let leaves = self.history().acts(&asked, u64::MAX, AUTHORITY_ACTS_MAX);
            let (acts, read) = self.acts(&asked, &leaves).await?;
            is_whole &= leaves.len() < AUTHORITY_ACTS_MAX && read == leaves.len();
            for act in &acts {
                let signer = act.transaction.actor(act.entry.outcome.decision());
                let operations = act.transaction.operations().iter();
                let certificates: Vec<&[u8]> =
                    operations.flat_map(|each| admitted(each, signer.organisation(), organisation)).collect();
                ids.extend(certificates.into_iter().map(|der| Hash::of(&[der])));
            }
        }
        let ids: Vec<Hash> = ids.into_iter().collect();
        let mut authorities = Vec::with_capacity(ids.len());
        for ids in ids.chunks(ROWS_READ_MAX) {
            authorities.extend(self.authorities_of(organisation, ids).await?);
        }
        authorities.sort_by_key(|authority| std::cmp::Reverse(authority.row.from_ms));
        Ok((authorities, is_whole))
    }

    /// Those of these authorities that were admitted; a proposal may have failed.
    async fn authorities_of(&self, organisation: &str, ids: &[Hash]) -> Result<Vec<Authority>, ReadError> {
        let keys: Vec<StateKey> = ids.iter().map(|id| StateKey::authority(organisation, id)).collect();
        let found = self.read(keys.iter().copied(), |sheet| {
            let rows = sheet.rows(keys.iter().copied(), AuthorityRow::decode)?;
            let rows = ids.iter().zip(rows).filter_map(|(id, row)| {
                let row = row?;
                Some((*id, Certificate::parse(&row.certificate).ok()?, row))
            });
            let rows: Vec<(Hash, Certificate, AuthorityRow)> = rows.collect();
            let issuers = rows.iter().map(|(_, certificate, _)| StateKey::revocation(&certificate.issuer_id()));
            let lists = sheet.rows(issuers, RevocationRow::decode)?;
            let all = rows.into_iter().zip(lists).map(|((id, certificate, row), revocations)| Authority {
                id,
                row,
                certificate,
                revocations,
            });
            Ok(all.collect())
        });
        Ok(found.await?.1)
    }
}

/// The certificates that an operation admits, or would have admitted, for the organisation.
fn admitted<'o>(operation: &'o Operation, signer: &str, organisation: &str) -> Vec<&'o [u8]> {
    match operation {
        Operation::AuthorityAdmit { certificate, .. } if signer == organisation => vec![certificate.as_ref()],
        Operation::ProposalSubmit { changes, .. } => {
            let of = |change: &'o Change| match change {
                Change::AuthorityAdmit { organisation: of, certificate, .. } if of == organisation => {
                    Some(certificate.as_slice())
                }
                _ => None,
            };
            changes.iter().filter_map(of).collect()
        }
        _ => Vec::new(),
    }
}
