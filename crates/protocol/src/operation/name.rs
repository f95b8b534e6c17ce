//! Names of operations.

#[cfg(doc)]
use super::Operation;
use crate::names::names;

names! {
    /// How something of a partition was about to leave a node.
    pub enum TransferPath, "path of a transfer" {
        /// It would have been delivered with what is ordered.
        Delivery = "delivery",
        /// The other node asked for it.
        Fetch = "fetch",
        /// It would have been copied into the node's own backup.
        Backup = "backup",
    }
}

names! {
    /// The name of an operation: its first element in CBOR.
    pub enum OperationName, "operation" {
        /// [`Operation::RegisterCreate`].
        RegisterCreate = "register-create",
        /// [`Operation::RegisterPhase`].
        RegisterPhase = "register-phase",
        /// [`Operation::EntryAppend`].
        EntryAppend = "entry-append",
        /// [`Operation::RegisterImport`].
        RegisterImport = "register-import",
        /// [`Operation::OrganisationContact`].
        OrganisationContact = "organisation-contact",
        /// [`Operation::PrincipalEnrol`].
        PrincipalEnrol = "principal-enrol",
        /// [`Operation::PrincipalStatus`].
        PrincipalStatus = "principal-status",
        /// [`Operation::PrincipalAmend`].
        PrincipalAmend = "principal-amend",
        /// [`Operation::PrincipalRecover`].
        PrincipalRecover = "principal-recover",
        /// [`Operation::RecoverySet`].
        RecoverySet = "recovery-set",
        /// [`Operation::KeyAdd`].
        KeyAdd = "key-add",
        /// [`Operation::KeyRotate`].
        KeyRotate = "key-rotate",
        /// [`Operation::KeyRetire`].
        KeyRetire = "key-retire",
        /// [`Operation::AuthorityAdmit`].
        AuthorityAdmit = "authority-admit",
        /// [`Operation::AuthorityRetire`].
        AuthorityRetire = "authority-retire",
        /// [`Operation::KeyCertify`].
        KeyCertify = "key-certify",
        /// [`Operation::RevocationPost`].
        RevocationPost = "revocation-post",
        /// [`Operation::MandateGrant`].
        MandateGrant = "mandate-grant",
        /// [`Operation::MandateRevoke`].
        MandateRevoke = "mandate-revoke",
        /// [`Operation::ProposalSubmit`].
        ProposalSubmit = "proposal-submit",
        /// [`Operation::ProposalWithdraw`].
        ProposalWithdraw = "proposal-withdraw",
        /// [`Operation::BallotCast`].
        BallotCast = "ballot-cast",
        /// [`Operation::ProposalObject`].
        ProposalObject = "proposal-object",
        /// [`Operation::RegisterPolicy`].
        RegisterPolicy = "register-policy",
        /// [`Operation::NodeRegister`].
        NodeRegister = "node-register",
        /// [`Operation::NodeRetire`].
        NodeRetire = "node-retire",
        /// [`Operation::ErasureOrder`].
        ErasureOrder = "erasure-order",
        /// [`Operation::ErasureReceipt`].
        ErasureReceipt = "erasure-receipt",
        /// [`Operation::HoldPlace`].
        HoldPlace = "hold-place",
        /// [`Operation::HoldLift`].
        HoldLift = "hold-lift",
        /// [`Operation::RecordCorrect`].
        RecordCorrect = "record-correct",
        /// [`Operation::PrivateOrder`].
        PrivateOrder = "private-order",
        /// [`Operation::PartitionRoot`].
        PartitionRoot = "partition-root",
        /// [`Operation::RecordRead`].
        RecordRead = "record-read",
        /// [`Operation::ConsentGive`].
        ConsentGive = "consent-give",
        /// [`Operation::ConsentWithdraw`].
        ConsentWithdraw = "consent-withdraw",
        /// [`Operation::NoticeAcknowledge`].
        NoticeAcknowledge = "notice-acknowledge",
        /// [`Operation::TransferRefuse`].
        TransferRefuse = "transfer-refuse",
    }
}

impl OperationName {
    /// Elements of the operation's array, the name included.
    pub(super) const fn arity(self) -> u64 {
        match self {
            Self::AuthorityRetire
            | Self::OrganisationContact
            | Self::RecoverySet
            | Self::MandateRevoke
            | Self::ProposalWithdraw => 2,
            Self::AuthorityAdmit
            | Self::EntryAppend
            | Self::KeyRetire
            | Self::NodeRetire
            | Self::MandateGrant
            | Self::BallotCast
            | Self::ProposalObject
            | Self::RegisterPolicy
            | Self::ErasureReceipt
            | Self::HoldLift
            | Self::ConsentWithdraw => 3,
            Self::KeyCertify | Self::KeyRotate | Self::NodeRegister | Self::TransferRefuse => 5,
            Self::PrivateOrder | Self::PartitionRoot => 4,
            Self::RegisterCreate
            | Self::RegisterPhase
            | Self::PrincipalStatus
            | Self::PrincipalAmend
            | Self::PrincipalRecover
            | Self::KeyAdd
            | Self::RevocationPost => 4,
            Self::RegisterImport
            | Self::PrincipalEnrol
            | Self::ProposalSubmit
            | Self::ConsentGive
            | Self::NoticeAcknowledge => 6,
            Self::HoldPlace | Self::RecordCorrect => 7,
            Self::ErasureOrder | Self::RecordRead => 9,
        }
    }
}
