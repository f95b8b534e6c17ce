//! Consent: who has agreed that values about them are read, what for, by whom, until when; and how that ended.
//!
//! A consent is given to a *controller*, the organisation that is the custodian of what is read. It is put on record by whoever policies
//! permit that, with how it was given: the ledger does not know who a subject is, so that nobody can prove here to be it. It ends when it
//! is withdrawn, or at its time; nothing more need happen then.
//!
//! INVARIANT: what is withdrawn does not come back. Who consents again gives another consent, under another id.

use crate::{
    cbor::{self, CborError},
    limits::{
        CONSENT_PURPOSE_BYTES_MAX, CONSENT_PURPOSES_MAX, CONSENT_RECIPIENT_BYTES_MAX, CONSENT_RECIPIENTS_MAX,
        STATE_VALUE_BYTES_MAX, SUBJECT_CONSENTS_MAX,
    },
    names::names,
    operation::{PrincipalId, validate_name},
    seal::Subject,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The legal basis of a read that stands on consent: this word, or this word, a colon, and what else is to be said.
pub const CONSENT_BASIS: &str = "consent";

/// Whether a read of this legal basis stands on consent, however the word is written.
pub fn is_consent(legal_basis: &str) -> bool {
    let word = legal_basis.split(':').next().unwrap_or_default();
    word.trim_ascii().eq_ignore_ascii_case(CONSENT_BASIS)
}

/// Whether the text is this word, or this word, a colon, and more.
fn is_within(word: &str, text: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// What is consented to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentTerms {
    /// What for: a read's purpose is one of these, or one of these, a colon, and more. Sorted, each once.
    pub purposes: Vec<String>,
    /// Who may read beside the controller, or be given what is read: organisations by their ids, others as a read names them. Sorted,
    /// each once.
    pub recipients: Vec<String>,
    /// When it ends by itself, in Unix milliseconds of ledger time.
    pub until_ms: u64,
}

/// A read, as far as a consent is asked about it.
#[derive(Clone, Copy, Debug)]
pub struct ConsentQuestion<'a> {
    /// To whom the consent was given.
    pub controller: &'a str,
    /// The organisation that reads.
    pub reader: &'a str,
    /// What for.
    pub purpose: &'a str,
    /// To whom the values are disclosed; none when the signer reads them.
    pub recipient: Option<&'a str>,
    /// When, in Unix milliseconds of ledger time.
    pub time_ms: u64,
}

impl ConsentTerms {
    /// Whether it has not ended by itself.
    pub const fn lasts(&self, time_ms: u64) -> bool {
        time_ms < self.until_ms
    }

    /// Whether the read is one that was consented to. That it was not withdrawn is for the caller to know.
    pub fn covers(&self, read: &ConsentQuestion<'_>) -> bool {
        let may_have = |who: &str| who == read.controller || self.recipients.iter().any(|known| known == who);
        self.lasts(read.time_ms)
            && self.purposes.iter().any(|purpose| is_within(purpose, read.purpose))
            && may_have(read.reader)
            && read.recipient.is_none_or(may_have)
    }
}

impl<C> Encode<C> for ConsentTerms {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        cbor::write_values(e.array(3)?, &self.purposes)?;
        cbor::write_values(e, &self.recipients)?;
        e.u64(self.until_ms)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for ConsentTerms {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "the terms of a consent")?;
        let purpose = (1..=CONSENT_PURPOSE_BYTES_MAX, "a purpose of a consent");
        let purposes = texts(d, 1..=CONSENT_PURPOSES_MAX, "the purposes of a consent", purpose)?;
        let recipient = (1..=CONSENT_RECIPIENT_BYTES_MAX, "a recipient of a consent");
        let recipients = texts(d, 0..=CONSENT_RECIPIENTS_MAX, "the recipients of a consent", recipient)?;
        Ok(Self { purposes, recipients, until_ms: d.u64()? })
    }
}

/// Texts, sorted, each once.
fn texts(
    d: &mut Decoder<'_>,
    count: std::ops::RangeInclusive<usize>,
    what: &str,
    (bytes, each): (std::ops::RangeInclusive<usize>, &str),
) -> Result<Vec<String>, decode::Error> {
    let at = d.position();
    let n = cbor::list(d, count, what)?;
    let read = (0..n).map(|_| cbor::words(d, bytes.clone(), each).map(str::to_owned));
    let texts = read.collect::<Result<Vec<_>, _>>()?;
    if texts.is_sorted_by(|a, b| a < b) {
        Ok(texts)
    } else {
        Err(decode::Error::message(format!("{what} are sorted, each once")).at(at))
    }
}

names! {
    /// Where a consent stands.
    pub enum ConsentStatus, "status of a consent" {
        /// It is relied on.
        InForce = "in-force",
        /// It was withdrawn.
        Withdrawn = "withdrawn",
        /// Its time is over.
        Over = "over",
    }
}

/// A consent, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ConsentRow {
    /// Its id: a slug.
    #[n(0)]
    pub consent: String,
    /// To whom it was given: an organisation.
    #[n(1)]
    pub controller: String,
    /// Whose it is.
    #[n(2)]
    pub subject: Subject,
    /// What is consented to.
    #[n(3)]
    pub terms: ConsentTerms,
    /// How it was given.
    #[n(4)]
    pub evidence: String,
    /// Who put it on record.
    #[n(5)]
    pub principal: PrincipalId,
    /// The log leaf of the transaction that did.
    #[n(6)]
    pub leaf: u64,
    /// The height of that transaction's block.
    #[n(7)]
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(8)]
    pub given_ms: u64,
    /// How it was withdrawn.
    #[n(9)]
    pub withdrawn: Option<Withdrawn>,
}

/// How a consent was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Withdrawn {
    /// Who put it on record.
    #[n(0)]
    pub principal: PrincipalId,
    /// Why, or how it was said.
    #[n(1)]
    pub reason: String,
    /// The log leaf of the transaction that did.
    #[n(2)]
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    #[n(3)]
    pub time_ms: u64,
}

impl ConsentRow {
    /// Where it stands at this time.
    pub const fn status(&self, now_ms: u64) -> ConsentStatus {
        match self.withdrawn {
            Some(_) => ConsentStatus::Withdrawn,
            None if self.terms.lasts(now_ms) => ConsentStatus::InForce,
            None => ConsentStatus::Over,
        }
    }

    /// Whether a read at this leaf of the log stood on it: given before, not withdrawn before, and what was consented to.
    pub fn bore(&self, leaf: u64, read: &ConsentQuestion<'_>) -> bool {
        let withdrawn = self.withdrawn.as_ref().is_some_and(|withdrawn| withdrawn.leaf < leaf);
        self.leaf < leaf && !withdrawn && self.terms.covers(read)
    }

    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

/// What a subject has consented to under one controller: all that a read must ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectConsentsRow {
    /// Consents so far.
    pub given: u64,
    /// Those that were not withdrawn, by id, in the order in which they were given; some may be over.
    pub in_force: Vec<(String, ConsentTerms)>,
}

impl SubjectConsentsRow {
    /// Whether one of them covers the read.
    pub fn cover(&self, read: &ConsentQuestion<'_>) -> bool {
        self.in_force.iter().any(|(_, terms)| terms.covers(read))
    }

    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

impl<C> Encode<C> for SubjectConsentsRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.u64(self.given)?.array(self.in_force.len() as u64)?;
        for (id, terms) in &self.in_force {
            e.array(2)?.str(id)?.encode(terms)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for SubjectConsentsRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "the consents of a subject")?;
        let given = d.u64()?;
        let n = cbor::list(d, 0..=SUBJECT_CONSENTS_MAX, "consents in force")?;
        let one = |d: &mut Decoder<'b>| {
            cbor::array(d, 2, "a consent in force")?;
            let at = d.position();
            let id = d.str()?;
            validate_name(id).map_err(|error| decode::Error::message(error).at(at))?;
            Ok((id.to_owned(), d.decode()?))
        };
        Ok(Self { given, in_force: (0..n).map(|_| one(d)).collect::<Result<_, decode::Error>>()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::limits::{NAME_BYTES_MAX, REASON_BYTES_MAX};

    fn terms(purposes: &[&str], recipients: &[&str]) -> ConsentTerms {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ConsentTerms { purposes: owned(purposes), recipients: owned(recipients), until_ms: 100 }
    }

    #[test]
    fn the_longest_rows_fit() {
        let name = "n".repeat(NAME_BYTES_MAX);
        let text = |number: usize, bytes: usize| format!("{number:04}{}", "w".repeat(bytes - 4));
        let terms = ConsentTerms {
            purposes: (0..CONSENT_PURPOSES_MAX).map(|number| text(number, CONSENT_PURPOSE_BYTES_MAX)).collect(),
            recipients: (0..CONSENT_RECIPIENTS_MAX).map(|number| text(number, CONSENT_RECIPIENT_BYTES_MAX)).collect(),
            until_ms: u64::MAX,
        };
        let in_force = vec![(name.clone(), terms.clone()); SUBJECT_CONSENTS_MAX];
        let row = SubjectConsentsRow { given: u64::MAX, in_force };
        assert_eq!(SubjectConsentsRow::decode(&row.to_bytes()).unwrap(), row);
        let principal = PrincipalId::new(&name, &name).unwrap();
        let reason = "w".repeat(REASON_BYTES_MAX);
        let row = ConsentRow {
            consent: name.clone(),
            controller: name.clone(),
            subject: Subject::new(&name, "k".repeat(128)).unwrap(),
            terms,
            evidence: reason.clone(),
            principal: principal.clone(),
            leaf: u64::MAX,
            height: u64::MAX,
            given_ms: u64::MAX,
            withdrawn: Some(Withdrawn { principal, reason, leaf: u64::MAX, time_ms: u64::MAX }),
        };
        assert_eq!(ConsentRow::decode(&row.to_bytes()).unwrap(), row);
    }

    /// One row a read: who reads, what for, to whom it is disclosed, when; and whether the consent covers it.
    #[test]
    fn a_consent_covers_what_it_says_and_no_more() {
        let terms = terms(&["audit", "research"], &["Trial Board", "beta"]);
        for (reader, purpose, recipient, time_ms, covered) in [
            ("alpha", "research", None, 99, true),
            ("alpha", "research: cohort 7", None, 0, true),
            ("beta", "audit", None, 0, true),
            ("alpha", "audit", Some("Trial Board"), 0, true),
            ("beta", "audit", Some("beta"), 0, true),
            ("alpha", "audit", Some("alpha"), 0, true),
            // Over; another purpose; one that only begins alike; another reader; another recipient.
            ("alpha", "research", None, 100, false),
            ("alpha", "billing", None, 0, false),
            ("alpha", "researches", None, 0, false),
            ("alpha", "Research", None, 0, false),
            ("gamma", "research", None, 0, false),
            ("alpha", "research", Some("Daily News"), 0, false),
            ("gamma", "research", Some("beta"), 0, false),
        ] {
            let read = ConsentQuestion { controller: "alpha", reader, purpose, recipient, time_ms };
            assert_eq!(terms.covers(&read), covered, "{read:?}");
        }
    }

    #[test]
    fn a_basis_is_consent_when_it_says_so() {
        for (basis, expected) in [
            ("consent", true),
            ("consent: form 7", true),
            ("consent:", true),
            ("Consent", true),
            (" CONSENT : form 7", true),
            ("consented", false),
            ("consent form", false),
            ("UK GDPR Article 6(1)(c)", false),
        ] {
            assert_eq!(is_consent(basis), expected, "{basis}");
        }
    }

    #[test]
    fn terms_have_one_spelling() {
        let decode = |terms: ConsentTerms| cbor::decode::<ConsentTerms>(&cbor::encode(&terms), STATE_VALUE_BYTES_MAX);
        assert!(decode(terms(&["a", "b"], &["a"])).is_ok() && decode(terms(&["a"], &[])).is_ok());
        let long = "x".repeat(CONSENT_PURPOSE_BYTES_MAX + 1);
        for wrong in [
            terms(&[], &[]),
            terms(&["b", "a"], &[]),
            terms(&["a", "a"], &[]),
            terms(&[""], &[]),
            terms(&[&long], &[]),
            terms(&["a"], &["b", "a"]),
            terms(&["a"], &[""]),
        ] {
            assert!(decode(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
