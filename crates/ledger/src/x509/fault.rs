//! Why a certificate, or a chain of them, is refused.

use tallystick_protocol::{
    ViolationRule,
    limits::{X509_BYTES_MAX, X509_LIST_BYTES_MAX, X509_PATH_MAX, X509_TRIES_MAX},
};
use x509_cert::der::asn1::ObjectIdentifier;

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than a certificate may have.
    #[error("it is longer than {X509_BYTES_MAX} bytes: have one issued with less in it")]
    TooLong,
    /// Not a certificate.
    #[error("it is no X.509 certificate in DER: {0}")]
    Malformed(String),
    /// An older version.
    #[error("it is not of version 3: have it issued again by an authority that keeps to RFC 5280")]
    Version,
    /// The two statements of the signature's algorithm differ.
    #[error("it names two different signature algorithms")]
    AlgorithmMismatch,
    /// Signed in a way that is not supported.
    #[error("its signature algorithm {0} is not supported: use ECDSA, Ed25519 or RSA with SHA-256 or better")]
    Algorithm(ObjectIdentifier),
    /// A serial number that RFC 5280 does not allow.
    #[error("its serial number is not a positive one of at most 20 bytes")]
    Serial,
    /// No issuer is named.
    #[error("it names no issuer")]
    IssuerEmpty,
    /// Nobody is named.
    #[error("it names no subject: an authority needs a name, others one of their alternative names, marked critical")]
    SubjectEmpty,
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Validity,
    /// An extension twice.
    #[error("extension {0} occurs twice")]
    ExtensionTwice(ObjectIdentifier),
    /// A critical extension that is not known.
    #[error("critical extension {0} is not understood here: have it issued without")]
    ExtensionUnknown(ObjectIdentifier),
    /// An extension that cannot be read.
    #[error("its {0} cannot be read")]
    ExtensionMalformed(&'static str),
    /// An extension is critical and must not be, or the other way round.
    #[error("its {0} must {not}be marked critical", not = if *.1 { "" } else { "not " })]
    Criticality(&'static str, bool),
    /// An extension is missing.
    #[error("it has no {0}")]
    ExtensionMissing(&'static str),
    /// An extension that is refused whoever issued it.
    #[error("it has {0}, which are refused: policies mean what the trust list says, and are not mapped or constrained")]
    PolicyRefused(&'static str),
    /// An extension of authorities in a certificate that is none.
    #[error("it has {0}, which only an authority may have")]
    AuthorityOnly(&'static str),
    /// It issued another, and is no authority.
    #[error("it is not an authority's: its basic constraints do not say that it may issue others")]
    NotAuthority,
    /// An authority whose key may not sign certificates.
    #[error("its key usage does not allow it to sign certificates")]
    KeyUsage,
    /// Not for this purpose.
    #[error("its extended key usage does not allow this purpose: have it issued for client authentication")]
    Purpose,
    /// A name that breaks its grammar.
    #[error("`{0}` is not a well-formed name")]
    Name(String),
    /// A constraint on names that breaks its grammar.
    #[error("`{0}` is not a well-formed constraint on names")]
    Constraint(String),
    /// A name that an authority above may not give.
    #[error("`{0}` is a name that an authority above it may not give")]
    NameForbidden(String),
    /// Too many authorities below one that limits them.
    #[error("more authorities stand below it than it allows")]
    PathLength,
    /// The time is before the first.
    #[error("it is not valid yet: it begins at {0}")]
    NotYetValid(String),
    /// The time is after the last.
    #[error("it has expired: it ended at {0}; have it renewed")]
    Expired(String),
    /// The one above did not issue it.
    #[error("it was not issued by the next one of the chain")]
    Issuer,
    /// Its authority took it back.
    #[error("its authority has revoked it: use another, or have one issued")]
    Revoked,
    /// More bytes than a revocation list may have.
    #[error("it is longer than {X509_LIST_BYTES_MAX} bytes: have expired certificates removed from the list")]
    ListTooLong,
    /// A list of another authority, or of one that may not issue lists.
    #[error("the revocation list was not issued by this authority, or its key usage does not allow it to issue one")]
    ListIssuer,
    /// The signature does not hold.
    #[error("its signature does not hold for the key of its issuer")]
    Signature,
}

impl Fault {
    /// The rule that is broken, as an outcome names it.
    pub const fn rule(&self) -> ViolationRule {
        match self {
            Self::ExtensionUnknown(_) | Self::PolicyRefused(_) => ViolationRule::CertificateExtension,
            Self::Issuer | Self::Signature | Self::Algorithm(_) => ViolationRule::CertificateIssuer,
            Self::NotYetValid(_) | Self::Expired(_) => ViolationRule::CertificateTime,
            Self::NameForbidden(_) => ViolationRule::CertificateName,
            Self::NotAuthority | Self::KeyUsage | Self::Purpose | Self::PathLength => ViolationRule::CertificateUse,
            Self::Revoked => ViolationRule::CertificateRevoked,
            Self::TooLong
            | Self::Malformed(_)
            | Self::Version
            | Self::AlgorithmMismatch
            | Self::Serial
            | Self::IssuerEmpty
            | Self::SubjectEmpty
            | Self::Validity
            | Self::ExtensionTwice(_)
            | Self::ExtensionMalformed(_)
            | Self::Criticality(..)
            | Self::ExtensionMissing(_)
            | Self::AuthorityOnly(_)
            | Self::Name(_)
            | Self::Constraint(_)
            | Self::ListTooLong
            | Self::ListIssuer => ViolationRule::CertificateMalformed,
        }
    }
}

/// Why no chain holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// A certificate of the chain does not hold.
    #[error("certificate {position} of the chain, `{subject}`: {fault}")]
    Certificate {
        /// Which: 1 is the one in question, the last is the authority.
        position: usize,
        /// Whose it is.
        subject: String,
        /// What is wrong.
        fault: Fault,
    },
    /// Nobody trusted issued it.
    #[error(
        "no chain leads from `{subject}` to a trusted authority: add the certificates between, or have its authority admitted"
    )]
    NoAuthority {
        /// Whose it is.
        subject: String,
    },
    /// Too many certificates in one chain.
    #[error("the chain has {0} certificates, more than {X509_PATH_MAX}")]
    TooLong(usize),
    /// Too many ways to try.
    #[error("the certificates can be chained in more than {X509_TRIES_MAX} ways: give only those of one chain")]
    TooManyTries,
}
