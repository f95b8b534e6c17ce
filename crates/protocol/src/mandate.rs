//! Mandates: leave to act for another, within words that the other has chosen.

use crate::{
    cbor,
    identifier::{MandateId, PrincipalId},
    limits::{MANDATE_AGENTS_MAX, MANDATE_CHAIN_MAX, MANDATE_WORD_BYTES_MAX, MANDATE_WORDS_MAX, REASON_BYTES_MAX},
    operation::{Operation, OperationName},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Who may do what for the grantor, for how long. In CBOR: an array of the fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MandateTerms {
    /// Who may act: principals of any organisation.
    pub agents: Vec<PrincipalId>,
    /// What they may do: names of operations, or `*` for any.
    pub actions: Vec<String>,
    /// To what: `register:country`, `principal:hmrc/clerk`, `organisation:hmrc`; a `*` at the end stands for anything.
    pub resources: Vec<String>,
    /// What for, in words.
    pub purpose: String,
    /// From when, in Unix seconds of ledger time.
    pub from: u64,
    /// Until when, in Unix seconds of ledger time: not then any more.
    pub until: u64,
    /// How many times it may be passed on.
    pub depth: u32,
    /// How many of the agents must sign each act.
    pub concur: u32,
    /// The mandate that is passed on; none when the grantor lets others act for itself.
    pub parent: Option<MandateId>,
}

impl MandateTerms {
    /// Whether the mandate speaks of this action.
    pub fn names_action(&self, action: OperationName) -> bool {
        self.actions.iter().any(|word| word == "*" || word == action.as_str())
    }

    /// Whether the mandate speaks of this thing.
    pub fn names_resource(&self, resource: &str) -> bool {
        self.resources.iter().any(|word| covers(word, resource))
    }

    /// Whether all that these terms allow, the parent's allow too.
    pub fn are_within(&self, parent: &Self) -> bool {
        let action = |word: &String| parent.actions.iter().any(|wider| wider == "*" || wider == word);
        let resource = |word: &String| parent.resources.iter().any(|wider| covers(wider, word));
        self.actions.iter().all(action)
            && self.resources.iter().all(resource)
            && self.from >= parent.from
            && self.until <= parent.until
            && self.concur >= parent.concur
    }
}

/// Whether a word that may end in `*` covers another, which may too.
fn covers(word: &str, other: &str) -> bool {
    match word.strip_suffix('*') {
        Some(prefix) => other.starts_with(prefix),
        None => word == other,
    }
}

impl Operation {
    /// What it is done to, as mandates name it: a register, a principal, or the organisation of whoever acts. A hold that is lifted, and
    /// a consent that is withdrawn, are known by their ids alone: of these it is the controller's organisation, which their rows say.
    pub fn mandate_resource(&self, organisation: &str) -> String {
        match self {
            Self::RegisterCreate { register, .. }
            | Self::RegisterPhase { register, .. }
            | Self::EntryAppend { register, .. }
            | Self::RegisterImport { register, .. }
            | Self::RegisterPolicy { register, .. }
            | Self::RecordRead { register, .. }
            | Self::RecordCorrect { register, .. } => format!("register:{register}"),
            Self::ErasureOrder { controller, .. }
            | Self::HoldPlace { controller, .. }
            | Self::ConsentGive { controller, .. } => format!("organisation:{controller}"),
            Self::PrincipalStatus { principal, .. }
            | Self::PrincipalAmend { principal, .. }
            | Self::PrincipalRecover { principal, .. }
            | Self::KeyAdd { principal, .. }
            | Self::KeyRotate { principal, .. }
            | Self::KeyRetire { principal, .. }
            | Self::KeyCertify { principal, .. }
            | Self::NoticeAcknowledge { reader: principal, .. } => format!("principal:{principal}"),
            Self::PrivateOrder { partition, .. }
            | Self::PartitionRoot { partition, .. }
            | Self::TransferRefuse { partition, .. } => {
                format!("partition:{partition}")
            }
            Self::OrganisationContact { .. }
            | Self::PrincipalEnrol { .. }
            | Self::RecoverySet { .. }
            | Self::AuthorityAdmit { .. }
            | Self::AuthorityRetire { .. }
            | Self::RevocationPost { .. }
            | Self::MandateGrant { .. }
            | Self::MandateRevoke { .. }
            | Self::ProposalSubmit { .. }
            | Self::ProposalWithdraw { .. }
            | Self::BallotCast { .. }
            | Self::ProposalObject { .. }
            | Self::NodeRegister { .. }
            | Self::NodeRetire { .. }
            | Self::ErasureReceipt { .. }
            | Self::HoldLift { .. }
            | Self::ConsentWithdraw { .. } => format!("organisation:{organisation}"),
        }
    }
}

impl<C> Encode<C> for MandateTerms {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Self { agents, actions, resources, purpose, from, until, depth, concur, parent } = self;
        e.array(9)?;
        cbor::write_values(e, agents)?;
        cbor::write_values(e, actions)?;
        cbor::write_values(e, resources)?;
        e.str(purpose)?.u64(*from)?.u64(*until)?.u32(*depth)?.u32(*concur)?.encode(parent)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for MandateTerms {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 9, "the terms of a mandate")?;
        let at = d.position();
        let agents: Vec<PrincipalId> = cbor::values(d, 1..=MANDATE_AGENTS_MAX, "the agents of a mandate")?;
        if !agents.is_sorted_by(|a, b| a < b) {
            return Err(decode::Error::message("the agents of a mandate must be sorted, each once").at(at));
        }
        let actions = words(d, "the actions of a mandate", |word| word.parse::<OperationName>().is_ok())?;
        let resources = words(d, "the things of a mandate", |word| !word.trim_end_matches('*').contains('*'))?;
        let purpose = cbor::words(d, 1..=REASON_BYTES_MAX, "a purpose")?.to_owned();
        let (from, at) = (d.u64()?, d.position());
        let until = d.u64()?;
        if until <= from {
            return Err(decode::Error::message("a mandate must end after it begins").at(at));
        }
        let (at, depth, concur) = (d.position(), d.u32()?, d.u32()?);
        if depth as usize >= MANDATE_CHAIN_MAX || !(1..=agents.len()).contains(&(concur as usize)) {
            let most = MANDATE_CHAIN_MAX - 1;
            let message = format!(
                "a mandate is passed on at most {most} times, and as many must concur as there are agents, or fewer"
            );
            return Err(decode::Error::message(message).at(at));
        }
        let parent = cbor::optional(d, |d| d.decode())?;
        Ok(Self { agents, actions, resources, purpose, from, until, depth, concur, parent })
    }
}

/// Sorted words, each once: of this form, or `*` alone.
fn words(d: &mut Decoder<'_>, what: &str, is_word: fn(&str) -> bool) -> Result<Vec<String>, decode::Error> {
    let at = d.position();
    let n = cbor::list(d, 1..=MANDATE_WORDS_MAX, what)?;
    let mut words = Vec::with_capacity(n);
    for _ in 0..n {
        words.push(cbor::text(d, 1..=MANDATE_WORD_BYTES_MAX, what)?.to_owned());
    }
    if !words.is_sorted_by(|a, b| a < b) || !words.iter().all(|word| word == "*" || is_word(word)) {
        return Err(decode::Error::message(format!("{what} must be known words, sorted, each once")).at(at));
    }
    Ok(words)
}
