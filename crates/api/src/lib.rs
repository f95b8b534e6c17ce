//! Describe the HTTP interface once, for server and clients.
//!
//! Paths, media types, limits, and the shape of every JSON body. The server routes by these paths and answers with
//! these types; a client builds its requests from the same ones. Nothing here does anything: it is a description.

pub mod access;
pub mod audit;
pub mod authority;
pub mod block;
pub mod consent;
pub mod data_map;
pub mod erasure;
pub mod log;
pub mod media;
pub mod notice;
pub mod organisation;
pub mod partition;
pub mod policy;
pub mod problem;
pub mod proposal;
pub mod register;
pub mod routes;
pub mod status;
pub mod transaction;
pub mod validators;

pub use access::{AccessLogPage, HeldList, HeldView, ReadPlace, ReadView, is_read_about};
pub use audit::{ActOutcome, ActView, AuditPage, TurnView};
pub use authority::{AuthorityList, AuthorityView};
pub use block::{BlockEvent, BlockView};
pub use consent::{ConsentList, ConsentView, ReadConsentView, WithdrawnView};
pub use data_map::{BackupsView, ControllerView, DataMap, PlaceView, ProtectedRegisterView, SharedView};
pub use erasure::{
    CorrectionView, DestroyedView, ErasureList, ErasureView, ErasuresView, HoldList, HoldView, HolderView, LiftedView,
    PrivateCertificate, PrivateErasures, PrivateHolds,
};
pub use log::{Checkpoint, ConsistencyProof, InclusionProof};
pub use notice::{NoticePage, NoticeView, NoticesView};
pub use organisation::{
    KeyView, MandateList, MandateView, NodeList, NodeView, OrganisationList, OrganisationView, PrincipalList,
    PrincipalView,
};
pub use partition::{
    CorrectingView, FormerView, GivenView, PartitionList, PartitionView, PostedRootView, PrivateAcknowledgement,
    PrivateAnswer, PrivateConsents, PrivateCorrection, PrivateEntryView, PrivateHeld, PrivateMandates, PrivateNotices,
    PrivateQuestion, PrivateReads, PrivateReadsAsked, PrivateResult, PrivateResults, StandingView, WrongValue,
};
pub use policy::{EntityView, PolicyAnswer, PolicyAsPut, PolicyList, PolicyQuestion, PolicyView, SkippedView};
pub use problem::{Problem, ProblemCode};
pub use proposal::{
    BallotView, ChangeView, DifferenceView, DryRun, DryRunView, FailureView, ObjectionView, PollView, ProposalBrief,
    ProposalList, ProposalView, ReportView, RulebookView,
};
pub use register::{FieldView, RegisterList, RegisterView};
pub use status::{ExpiryView, Index, NetworkView, NodeStatus, PartitionTroubleView, Readiness};
pub use tallystick_protocol::limits;
pub use transaction::{
    AppendedView, CosignerView, DecisionView, OperationView, OutcomeView, SubmissionResult, SubmissionStatus,
    SubmissionsView, TransactionAccepted, TransactionStatus, TransactionView, TransferView, ViolationView,
};
pub use validators::{RecoveryView, ValidatorSetView, ValidatorView, ValidatorsView};
