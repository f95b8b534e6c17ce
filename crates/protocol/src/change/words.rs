//! A change, thing by thing: all that those who vote on it put in force, in lines of text.
//!
//! What others wrote is shown with what would hide it escaped: nobody can write lines that the ledger did not.

use super::Change;
use crate::{
    authority::AuthorityTerms,
    network::{GenesisPrincipal, GenesisValidator},
    operation::{Cardinality, Field, Protection},
    organisation::{Particulars, hides},
    partition::AgreementTerms,
    rulebook::VoteWeight,
};
use std::fmt;

impl Change {
    /// What its words leave out, a line each, with Unix milliseconds as `time` writes them; nothing where they say all.
    pub fn particulars(&self, time: fn(u64) -> String) -> Vec<String> {
        match self {
            Self::OrganisationAdmit { organisation } => {
                let Particulars { legal_name, registration, jurisdiction, contact } = &organisation.particulars;
                let said = [
                    ("legal name", legal_name.clone()),
                    ("registration", registration.as_ref().map(ToString::to_string)),
                    ("jurisdiction", jurisdiction.as_ref().map(ToString::to_string)),
                    ("contact", contact.clone()),
                ];
                let said = said.into_iter().filter_map(|(what, text)| Some(format!("{what} {}", Shown(&text?))));
                said.chain(organisation.principals.iter().map(|principal| format!("principal {principal}"))).collect()
            }
            Self::AuthorityAdmit { terms, .. } => terms.particulars(),
            Self::Validators { add, remove } => {
                let joins = add.iter().map(|validator| format!("joins: validator {validator}"));
                joins.chain(remove.iter().map(|validator| format!("leaves: validator {validator}"))).collect()
            }
            Self::Policies { put, .. } => {
                let lines = put.iter().flat_map(|policy| {
                    let text = policy.text.trim_end().lines().map(|line| format!("  {}", Shown(line)));
                    [format!("policy {}", policy.id)].into_iter().chain(text)
                });
                lines.collect()
            }
            Self::RegisterCreate { text, fields, .. } => {
                let text = (!text.is_empty()).then(|| format!("it lists: {}", Shown(text)));
                text.into_iter().chain(fields.iter().map(|field| format!("field {field}"))).collect()
            }
            Self::Rulebook { rulebook } => {
                let rules = rulebook.rules.iter().map(|rule| format!("{}: {rule}", rule.kind));
                let weights = rulebook.weights.iter().map(|weights| format!("weights: {}", weights_in_words(weights)));
                rules.chain(weights).collect()
            }
            Self::PartitionOpen { agreement } | Self::PartitionAmend { agreement } => agreement.particulars(time),
            Self::OrganisationAmend { .. }
            | Self::OrganisationSuspend { .. }
            | Self::OrganisationResume { .. }
            | Self::OrganisationExpel { .. }
            | Self::AuthorityRetire { .. }
            | Self::RegisterEntrust { .. }
            | Self::RegisterClose { .. }
            | Self::Limit { .. }
            | Self::ProtocolVersion { .. }
            | Self::PartitionClose { .. } => Vec::new(),
        }
    }
}

impl AgreementTerms {
    /// What its words leave out, a line each, with Unix milliseconds as `time` writes them.
    pub fn particulars(&self, time: fn(u64) -> String) -> Vec<String> {
        self.facts(time).map(|(what, said)| format!("{what} {}", Shown(&said))).collect()
    }

    /// All of it but name, members and purpose: what, and what is said of it.
    pub fn facts(&self, time: fn(u64) -> String) -> impl Iterator<Item = (&'static str, String)> {
        let places: Vec<&str> = self.jurisdictions.iter().map(|place| place.as_str()).collect();
        let facts = [
            ("legal basis", Some(self.legal_basis.clone())),
            ("categories", Some(self.categories.join(", "))),
            ("from", Some(time(self.from_ms))),
            ("until", self.until_ms.map(time)),
            ("review", self.review_ms.map(time)),
            ("held in", Some(places.join(", "))),
            ("kept for", Some(format!("{} days", self.retention_days))),
            ("acknowledged by", Some(format!("{} members", self.acknowledgements))),
            ("members named by", (!self.managers.is_empty()).then(|| self.managers.join(", "))),
            ("overseen by", (!self.regulators.is_empty()).then(|| self.regulators.join(", "))),
        ];
        facts.into_iter().filter_map(|(what, said)| Some((what, said?)))
    }
}

impl AuthorityTerms {
    /// What it may say here, a line each.
    pub fn particulars(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .policies
            .iter()
            .map(|meaning| format!("certificate policy {} means assurance {}", meaning.policy, meaning.assurance))
            .collect();
        if lines.is_empty() {
            lines.push("no certificate policy means anything".to_owned());
        }
        lines.push(match self.names.as_slice() {
            [] => "it may certify a principal of any name".to_owned(),
            names => {
                let names: Vec<String> = names.iter().map(|name| Shown(name).to_string()).collect();
                format!("it may certify principals whose names begin with {}", names.join(", "))
            }
        });
        lines
    }
}

impl fmt::Display for AgreementTerms {
    /// `school-health among council, health-board: Find children who need support`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, members, purpose, .. } = self;
        write!(f, "{partition} among {}: {}", members.join(", "), Shown(purpose))
    }
}

/// Weights as a list: `a 3, b 0`, and one for everybody else.
pub fn weights_in_words(weights: &[VoteWeight]) -> String {
    let listed = weights.iter().map(|weight| format!("{} {}", weight.organisation, weight.votes));
    listed.chain(["any other 1".to_owned()]).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for GenesisPrincipal {
    /// `clerk: person, registrar, ed25519:…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}, {}", self.name, self.kind, self.roles, self.key)
    }
}

impl fmt::Display for GenesisValidator {
    /// `ed25519:… of harbour, dialled at node.example.org:9000`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, ", crate::key::PublicKey::Ed25519(self.key), self.organisation)?;
        if self.address.is_empty() {
            f.write_str("dialled where each node's configuration says")
        } else {
            write!(f, "dialled at {}", Shown(&self.address))
        }
    }
}

impl fmt::Display for Field {
    /// `berth: string, links to harbour: Its number`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.datatype)?;
        if self.cardinality == Cardinality::Many {
            f.write_str(", a list")?;
        }
        if let Some(register) = &self.register {
            write!(f, ", links to {register}")?;
        }
        match &self.protection {
            Some(Protection::Personal { subject, days }) => {
                write!(f, ", sealed: personal data of the record that {subject} names")?;
                days.iter().try_for_each(|days| write!(f, ", kept for {days} days"))?;
            }
            Some(Protection::Restricted) => f.write_str(", sealed: restricted")?,
            None => {}
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", Shown(&self.text)) }
    }
}

/// A text of somebody else's, its control characters and marks of direction escaped.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|char| if hides(char) { write!(f, "{}", char.escape_default()) } else { write!(f, "{char}") })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn change(json: &str) -> Change {
        serde_json::from_str(json).unwrap()
    }

    const KEY: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    /// One row a change: its words, and what they leave out.
    #[test]
    fn all_that_is_voted_on_is_said() {
        let rows: Vec<(String, &str, Vec<String>)> = vec![
            (
                format!(
                    r#"{{"change":"organisation-admit","organisation":{{"id":"g","name":"G","particulars":{{"legal_name":"G Ltd"}},"principals":[
                        {{"name":"admin","roles":["administrator"],"key":"{KEY}"}}]}}}}"#
                ),
                "admit organisation g (G) with admin",
                vec!["legal name G Ltd".to_owned(), format!("principal admin: person, administrator, {KEY}")],
            ),
            (
                r#"{"change":"authority-admit","organisation":"g","certificate":"3000","terms":{
                    "policies":[{"policy":"1.2.3","assurance":"high"}],"names":["clerk","x"]}}"#
                    .to_owned(),
                "trust certificate authority",
                vec![
                    "certificate policy 1.2.3 means assurance high".to_owned(),
                    "it may certify principals whose names begin with clerk, x".to_owned(),
                ],
            ),
            (
                r#"{"change":"authority-admit","organisation":"g","certificate":"3000"}"#.to_owned(),
                "trust certificate authority",
                vec![
                    "no certificate policy means anything".to_owned(),
                    "it may certify a principal of any name".to_owned(),
                ],
            ),
            (
                format!(
                    r#"{{"change":"validators","add":[{{"organisation":"a","key":"{KEY}"}},
                        {{"organisation":"b","key":"{KEY}","address":"b.example.org:9000"}}],
                        "remove":[{{"organisation":"c","key":"{KEY}"}}]}}"#
                ),
                "add validators of a, b; remove validators of c",
                vec![
                    format!("joins: validator {KEY} of a, dialled where each node's configuration says"),
                    format!("joins: validator {KEY} of b, dialled at b.example.org:9000"),
                    format!("leaves: validator {KEY} of c, dialled where each node's configuration says"),
                ],
            ),
            (
                r#"{"change":"policies","put":[{"id":"p","text":"permit (\n  principal, action, resource);\n"}]}"#
                    .to_owned(),
                "put policies in force: p",
                vec!["policy p".to_owned(), "  permit (".to_owned(), "    principal, action, resource);".to_owned()],
            ),
            (
                r#"{"change":"register-create","register":"berth","custodian":"g","text":"The \u001b[2Jberths","fields":[
                    {"name":"berth","datatype":"string","cardinality":"1","text":"Its number"},
                    {"name":"ports","datatype":"string","cardinality":"n","register":"port"}]}"#
                    .to_owned(),
                "create register berth, kept by g",
                vec![
                    "it lists: The \\u{1b}[2Jberths".to_owned(),
                    "field berth: string: Its number".to_owned(),
                    "field ports: string, a list, links to port".to_owned(),
                ],
            ),
            (
                r#"{"change":"rulebook","rulebook":{"weights":[{"organisation":"a","votes":3}],"rules":[{
                    "kind":"limit","propose":"members","vote":"members","weight":"listed","threshold":"2/3",
                    "open_seconds":60,"notice_blocks":1,"pause_seconds":0,"direct":false}]}}"#
                    .to_owned(),
                "change the rulebook: the rule for limit, the weights of votes",
                vec![
                    "limit: members propose, members vote, 2/3 of listed votes, open 1 min, notice 1 blocks, no objections"
                        .to_owned(),
                    "weights: a 3, any other 1".to_owned(),
                ],
            ),
            (
                r#"{"change":"partition-open","agreement":{"partition":"p","members":["a","b"],"purpose":"x","legal_basis":"s. 1",
                    "categories":["names","dates"],"from_ms":1,"review_ms":7,"jurisdictions":["GB"],"retention_days":90,
                    "acknowledgements":2}}"#
                    .to_owned(),
                "open partition p",
                vec![
                    "legal basis s. 1".to_owned(),
                    "categories names, dates".to_owned(),
                    "from at 1".to_owned(),
                    "review at 7".to_owned(),
                    "held in GB".to_owned(),
                    "kept for 90 days".to_owned(),
                    "acknowledged by 2 members".to_owned(),
                ],
            ),
        ];
        for (json, words, particulars) in rows {
            let change = change(&json);
            assert!(change.to_string().starts_with(words), "{change}");
            assert_eq!(change.particulars(|ms| format!("at {ms}")), particulars, "{json}");
        }
        let amended = change(
            r#"{"change":"organisation-amend","organisation":"g","name":"G\n2  x","legal_name":"G \u202edtL\u2028"}"#,
        );
        assert_eq!(amended.to_string(), "amend organisation g: name G\\n2  x, legal name G \\u{202e}dtL\\u{2028}");
        let reason = change(r#"{"change":"organisation-expel","organisation":"g","reason":"x\nchange 2  nothing"}"#);
        assert_eq!(reason.to_string(), "expel organisation g: x\\nchange 2  nothing");
    }
}
