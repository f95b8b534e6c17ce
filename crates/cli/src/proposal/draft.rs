//! A proposal as a file: TOML that somebody writes, reads and discusses before it is put to the vote.

use crate::{
    output::{Doing, Failure, time},
    register::warn_of_fields,
    sandbox::layout::now_ms,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tallystick_ledger::{
    agenda::PROTOCOL_VERSION,
    policy,
    x509::{self, Document},
};
use tallystick_protocol::{
    AgreementTerms, Change, ChangeKind, Hash, Operation, RuleText, Rulebook, cbor,
    identifier::validate_name,
    limits::{CHANGES_MAX, PROPOSAL_TEXT_BYTES_MAX, TEXT_BYTES_MAX, X509_FILE_BYTES_MAX},
};

/// What a draft says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    title: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default, rename = "text-file")]
    text_file: Option<PathBuf>,
    #[serde(default, rename = "effect-height")]
    effect_height: Option<u64>,
    changes: Vec<toml::Table>,
}

/// A draft that can be submitted.
#[derive(Debug)]
pub struct Draft {
    /// The proposal's id.
    pub id: String,
    title: String,
    text: RuleText,
    /// What it changes.
    pub changes: Vec<Change>,
    effect_height: Option<u64>,
}

impl Draft {
    /// Reads a draft. Files that it names lie beside it, unless their paths are absolute.
    ///
    /// # Errors
    /// When the file cannot be read or says something that cannot be proposed.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).doing(|| format!("cannot read `{shown}`"))?;
        let beside = path.parent().unwrap_or(Path::new("."));
        let draft = Self::parse(&text, beside).doing(|| format!("`{shown}` is no proposal"))?;
        for change in &draft.changes {
            if let Change::RegisterCreate { fields, .. } = change {
                warn_of_fields(fields, None);
            }
        }
        Ok(draft)
    }

    fn parse(text: &str, beside: &Path) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        validate_name(&file.id).map_err(|error| format!("id: {error}"))?;
        if file.title.is_empty() || file.title.len() > TEXT_BYTES_MAX {
            return Err(format!("the title must have 1 to {TEXT_BYTES_MAX} bytes"));
        }
        if !(1..=CHANGES_MAX).contains(&file.changes.len()) {
            return Err(format!("there are {} changes: write 1 to {CHANGES_MAX}", file.changes.len()));
        }
        let whole = match (file.text, file.text_file) {
            (Some(text), None) => text,
            (None, Some(path)) => {
                let path = beside.join(path);
                std::fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?
            }
            _ => return Err("give the text of the rule, as `text` or as `text-file`".to_owned()),
        };
        let text = match whole.len() {
            0 => return Err("the text of the rule is empty: say what is to hold, and why".to_owned()),
            1..=PROPOSAL_TEXT_BYTES_MAX => RuleText::Whole(whole),
            _ => RuleText::Hash(Hash::of(&[whole.as_bytes()])),
        };
        let changes = file
            .changes
            .into_iter()
            .zip(1..)
            .map(|(table, number)| change(table, beside).map_err(|error| format!("change {number}: {error}")));
        let changes = changes.collect::<Result<_, _>>()?;
        Ok(Self { id: file.id, title: file.title, text, changes, effect_height: file.effect_height })
    }

    /// The operation that puts it to the vote.
    pub fn operation(&self) -> Operation {
        Operation::ProposalSubmit {
            proposal: self.id.clone(),
            title: self.title.clone(),
            text: self.text.clone(),
            changes: self.changes.clone(),
            effect_height: self.effect_height,
        }
    }

    /// Whether the ledger keeps only the hash of the text, because it is long.
    pub const fn keeps_only_hash(&self) -> bool {
        matches!(self.text, RuleText::Hash(_))
    }
}

/// What whoever proposes or votes for this change should know beforehand, if there is such a thing.
pub fn warning(change: &Change) -> Option<String> {
    match change {
        Change::ProtocolVersion { version } if *version > PROTOCOL_VERSION => Some(format!(
            "this program knows version {PROTOCOL_VERSION} of the protocol and not {version}: when it takes effect, every node with \
             such a program stops, and serves again when one is installed that knows it"
        )),
        Change::Policies { put, .. } => {
            let open: Vec<String> = put
                .iter()
                .filter(|policy| policy::permits_everything(&policy.text))
                .map(|policy| format!("`{}`", policy.id))
                .collect();
            (!open.is_empty())
                .then(|| format!("{} permits everything to everybody: say who, what and to what", open.join(", ")))
        }
        Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => {
            let until_ms = agreement.until_ms.filter(|until_ms| *until_ms <= now_ms())?;
            Some(format!("the agreement ends at {}, which is past: nothing can be ordered under it", time(until_ms)))
        }
        _ => None,
    }
}

fn change(mut table: toml::Table, beside: &Path) -> Result<Change, String> {
    if let Some(path) = table.remove("certificate-file") {
        let path = beside.join(path.as_str().ok_or("certificate-file must be a path")?);
        table.insert("certificate".to_owned(), hex::encode(certificate(&path)?).into());
    }
    read_keys(&mut table, beside)?;
    let change: Change = table.try_into().map_err(|error| error.to_string().trim().to_owned())?;
    if let Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } = &change {
        // Before the decoder, which does not say which name is none.
        name_fields(agreement)?;
    }
    // The ledger's own decoder knows every bound; what it refuses could not be submitted.
    let bytes = cbor::encode(&change);
    let change = cbor::decode::<Change>(&bytes, bytes.len()).map_err(|error| of_draft(&error.to_string()))?;
    match &change {
        Change::Rulebook { rulebook } => {
            Rulebook::default().with(rulebook).map_err(|error| error.to_string())?;
        }
        Change::PartitionOpen { agreement } | Change::PartitionAmend { agreement } => {
            agreement.validate().map_err(|error| error.to_string())?;
        }
        _ => {}
    }
    Ok(change)
}

/// Goes on if what must be names in an agreement are; else says which field is not.
fn name_fields(agreement: &AgreementTerms) -> Result<(), String> {
    let AgreementTerms { partition, members, categories, managers, regulators, .. } = agreement;
    let partition = std::slice::from_ref(partition);
    let fields: [(&str, &[String]); 5] = [
        ("partition", partition),
        ("members", members),
        ("categories", categories),
        ("managers", managers),
        ("regulators", regulators),
    ];
    for (field, names) in fields {
        names.iter().try_for_each(|name| validate_name(name).map_err(|error| format!("{field}: {error}")))?;
    }
    Ok(())
}

/// What the decoder says of a change, without where it stands in bytes that nobody has written.
fn of_draft(said: &str) -> String {
    let said = said.strip_prefix("malformed: ").unwrap_or(said);
    match said.rsplit_once(", at byte ") {
        Some((what, at)) if at.bytes().all(|byte| byte.is_ascii_digit()) => what.to_owned(),
        _ => said.to_owned(),
    }
}

/// Puts the public key itself where the draft names the file that holds it.
fn read_keys(table: &mut toml::Table, beside: &Path) -> Result<(), String> {
    if let Some(path) = table.remove("key-file") {
        let path = beside.join(path.as_str().ok_or("key-file must be a path")?);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read `{}`: {error}: name the .pub file of a key", path.display()))?;
        table.insert("key".to_owned(), text.trim().into());
    }
    for (_, value) in table.iter_mut() {
        match value {
            toml::Value::Table(inner) => read_keys(inner, beside)?,
            toml::Value::Array(values) => {
                for inner in values.iter_mut().filter_map(toml::Value::as_table_mut) {
                    read_keys(inner, beside)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The one certificate in a file, in DER.
fn certificate(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    if bytes.len() > X509_FILE_BYTES_MAX {
        return Err(format!("`{shown}` is longer than {X509_FILE_BYTES_MAX} bytes: name a file with one certificate"));
    }
    let found = x509::read(&bytes).map_err(|fault| format!("`{shown}`: {fault}"))?;
    match found.as_slice() {
        [Document::Certificate(certificate)] => Ok(certificate.der().to_vec()),
        _ => Err(format!("`{shown}` must hold one certificate and nothing else")),
    }
}

/// A draft to fill in, with one change of this kind.
pub fn template(kind: ChangeKind) -> String {
    let first = if kind == ChangeKind::PartitionAmend { WHOLE_AGREEMENT } else { "" };
    format!(
        "{first}# A proposal. Fill it in, try it, discuss it, and put it to the vote:\n\
         #   tally proposal draft THIS-FILE --dry-run\n\
         #   tally proposal submit THIS-FILE\n\
         # Kinds of change and the rule for each: docs/reference/rulebook.md, and `tally proposal rulebook`.\n\n\
         # Its name for ever: lower-case letters and digits, with single `-` between them.\n\
         id = \"my-proposal\"\n\
         # What it is about, in a line.\n\
         title = \"What this is about\"\n\
         # The rule that is voted on, in the words that people will be held to. The ledger keeps up to {PROPOSAL_TEXT_BYTES_MAX} \
         bytes; of a longer text\n\
         # it keeps the hash. Instead of `text` you can name a file: text-file = \"rule.md\"\n\
         text = \"\"\"\n\
         What is to hold from now on, and why.\n\
         \"\"\"\n\
         # From which height, if that leaves the notice that the rulebook demands. Left out: as soon as it may.\n\
         # effect-height = 100000\n\n\
         # What is changed, all of it or nothing. Up to {CHANGES_MAX} of these, of any kind.\n\
         [[changes]]\n{}",
        example(kind)
    )
}

const KEY: &str = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn example(kind: ChangeKind) -> String {
    let of_kind = format!("change = \"{kind}\"\n");
    let organisation = "organisation = \"harbour\"\n";
    of_kind
        + &match kind {
            ChangeKind::OrganisationAdmit => {
                "[changes.organisation]\nid = \"harbour\"\nname = \"Harbour Authority\"\n\
                 # Who it is in law, and how it is reached: an address of an office. Any of it may be left out.\n\
                 [changes.organisation.particulars]\nlegal_name = \"The Harbour Authority\"\n\
                 # A code of org-id.guide, `-`, and its number in that register.\nregistration = \"GB-COH-00445790\"\n\
                 # ISO 3166.\njurisdiction = \"GB\"\ncontact = \"registry@harbour.example\"\n\
                 # Its first principals, at least one administrator. The file is what `tally key new` wrote beside the secret\n\
                 # key; or give the key itself: key = \"ed25519:…\"\n\
                 [[changes.organisation.principals]]\nname = \"administrator\"\nroles = [\"administrator\"]\n\
                 key-file = \"administrator.pem.pub\"\n"
                    .to_owned()
            }
            ChangeKind::OrganisationAmend => format!(
                "{organisation}# What is left out stays as it is; how it is reached, it says itself: tally organisation contact\n\
                 # name = \"Harbour Authority\"\nlegal_name = \"The Harbour Authority\"\n\
                 # A code of org-id.guide, `-`, and its number in that register.\nregistration = \"GB-COH-00445790\"\n\
                 # ISO 3166.\njurisdiction = \"GB\"\n"
            ),
            ChangeKind::OrganisationSuspend | ChangeKind::OrganisationExpel => {
                format!("{organisation}reason = \"Why, for the record.\"\n")
            }
            ChangeKind::OrganisationResume => organisation.to_owned(),
            ChangeKind::AuthorityAdmit => {
                format!("{organisation}# PEM or DER, beside this file: `tally ca check` says whether it will do.\n\
                         certificate-file = \"root.pem\"\n\
                         # What its certificate policies mean here, and which names of principals it may certify; either may be left out.\n\
                         # terms = {{ policies = [{{ policy = \"1.3.6.1.4.1.99999.1\", assurance = \"high\" }}], names = [\"clerk\"] }}\n")
            }
            ChangeKind::AuthorityRetire => {
                format!("{organisation}# SHA-256 of its certificate.\nauthority = \"{}\"\n", "0".repeat(64))
            }
            ChangeKind::Validators => format!(
                "# Those that join, with the place where the other nodes reach each, and those that leave; either may be left out.\n\
                 add = [{{ organisation = \"harbour\", key = \"{KEY}\", address = \"node.harbour.example:9000\" }}]\n\
                 remove = []\n"
            ),
            ChangeKind::Policies => "# Ids of policies that end.\nremove = []\n\
                 # Policies that are put in force; one of the same id is replaced.\n\
                 [[changes.put]]\nid = \"my-policy\"\n\
                 text = \"\"\"\n// One clerk appends to one register, and does nothing else by this.\npermit (\n  \
                 principal == Principal::\"harbour/clerk\",\n  action == Action::\"entry-append\",\n  \
                 resource == Register::\"berth\"\n);\n\"\"\"\n"
                .to_owned(),
            ChangeKind::RegisterCreate => "register = \"berth\"\ncustodian = \"harbour\"\ntext = \"The berths of the harbour\"\n\
                 # The first field has the register's name: it is the key.\n\
                 [[changes.fields]]\nname = \"berth\"\ndatatype = \"string\"\ncardinality = \"1\"\ntext = \"Its number\"\n\
                 # Personal data is written only sealed. Its field names the field that says whom it is about: here the berth's record.\n\
                 # [[changes.fields]]\n# name = \"holder\"\n# datatype = \"string\"\n# cardinality = \"1\"\n\
                 # protection = \"personal:berth\"\n"
                .to_owned(),
            ChangeKind::RegisterEntrust => {
                "# The register, and the member that keeps it from then on.\nregister = \"berth\"\ncustodian = \"harbour\"\n".to_owned()
            }
            ChangeKind::RegisterClose => {
                "register = \"berth\"\n# The register that replaces it, if one does.\n# successor = \"quay\"\n".to_owned()
            }
            ChangeKind::Limit => {
                "# principals-per-organisation, registers or proposals-per-organisation\nlimit = \"registers\"\nvalue = 1000\n"
                    .to_owned()
            }
            ChangeKind::ProtocolVersion => protocol_version(),
            ChangeKind::Rulebook => RULE.to_owned(),
            ChangeKind::PartitionOpen | ChangeKind::PartitionAmend | ChangeKind::PartitionClose => partition(kind),
        }
}

fn protocol_version() -> String {
    format!(
        "# The one after the version in force, which `tally proposal rulebook` tells. Programs that do not know it stop when it\n\
                 # takes effect: install the new one on every node first. {PROTOCOL_VERSION} is in force from the start, so that this\n\
                 # is refused as it stands.\nversion = {PROTOCOL_VERSION}\n"
    )
}

const WHOLE_AGREEMENT: &str = "# The agreement below takes the place of the whole agreement in force, also of what it leaves out. The one in force:\n\
    #   tally partition show NAME --json\n";

const RULE: &str = "# Rules that replace those of the same kind; what is not named stays.\n\
    [[changes.rulebook.rules]]\nkind = \"policies\"\npropose = \"members\"\nvote = \"members\"\nweight = \"equal\"\n\
    threshold = \"2/3\"\nopen_seconds = 604800\nnotice_blocks = 10\npause_seconds = 86400\ndirect = false\n";

/// An example of a change of partitions.
fn partition(kind: ChangeKind) -> String {
    let note = match kind {
        ChangeKind::PartitionClose => {
            return "# Nothing is ordered in it any more, for good.\n\
                    partition = \"school-health\"\nreason = \"Why, for the record.\"\n"
                .to_owned();
        }
        ChangeKind::PartitionAmend => {
            "# The whole agreement as it is to be: who joins and who leaves must both vote for it.\n"
        }
        _ => "",
    };
    format!(
        "[changes.agreement]\n{note}partition = \"school-health\"\n\
         # Who shares, sorted. Each of them must vote for this.\nmembers = [\"council\", \"harbour\"]\n\
         purpose = \"What it is shared for.\"\n# The power relied on.\nlegal_basis = \"Children Act 2004, section 11\"\n\
         # What sorts of data, sorted.\ncategories = [\"attendance\", \"health\"]\n\
         # From when on, until when, and when it is looked at again: milliseconds since 1970. One of the latter two may be\n\
         # left out.\nfrom_ms = 1796083200000\nuntil_ms = 1859155200000\nreview_ms = 1827619200000\n\
         # Where it may be held, ISO 3166, sorted. A country stands for all of its parts.\njurisdictions = [\"GB\"]\n\
         # For how many days what is shared is kept: personal values that are as old are erased by themselves.\nretention_days = 365\n\
         # How many of the members must have stored something before it is ordered.\nacknowledgements = 2\n\
         # Which of them add and remove members without the others' yes, sorted. Left out: all do together.\n# managers = [\"council\"]\n\
         # Organisations whose principals with the role `regulator` may ask who read what in it, and what is ordered to be\n\
         # erased or held, and see no record; sorted.\n# regulators = [\"commissioner\"]\n"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn every_template_is_a_draft_of_its_kind() {
        for kind in ChangeKind::ALL {
            let text = template(*kind).replace("certificate-file = \"root.pem\"", "certificate = \"3000\"");
            let text = text.replace("key-file = \"administrator.pem.pub\"", &format!("key = \"{KEY}\""));
            let draft = Draft::parse(&text, Path::new(".")).unwrap_or_else(|error| panic!("{kind}: {error}\n{text}"));
            assert_eq!(draft.changes[0].kind(), *kind);
            assert_eq!(draft.id, "my-proposal");
        }
    }

    #[test]
    fn what_would_open_or_stop_the_network_is_warned_of() {
        let warned = |kind, from: &str, to: &str| {
            let text = template(kind);
            assert!(text.contains(from), "{text}");
            warning(&Draft::parse(&text.replace(from, to), Path::new(".")).unwrap().changes[0])
        };
        assert_eq!(warned(ChangeKind::Policies, "my-policy", "my-policy"), None, "the form itself is harmless");
        let narrow = "principal == Principal::\"harbour/clerk\",\n  action == Action::\"entry-append\",\n  \
                      resource == Register::\"berth\"\n);";
        let open = warned(ChangeKind::Policies, narrow, "principal, action, resource);").unwrap();
        assert!(open.contains("`my-policy` permits everything to everybody"), "{open}");
        assert_eq!(
            warned(ChangeKind::Policies, narrow, "principal, action, resource) when { context.time > 1 };"),
            None
        );
        assert_eq!(warned(ChangeKind::ProtocolVersion, "version = 1", "version = 1"), None);
        let unknown = warned(ChangeKind::ProtocolVersion, "version = 1", "version = 2").unwrap();
        assert!(unknown.contains("and not 2: when it takes effect, every node"), "{unknown}");
        let dates = "from_ms = 1796083200000\nuntil_ms = 1859155200000\nreview_ms = 1827619200000";
        let ended = warned(ChangeKind::PartitionOpen, dates, "from_ms = 1\nuntil_ms = 2").unwrap();
        assert!(ended.contains("ends at 1970-01-01") && ended.contains("which is past"), "{ended}");
    }

    /// One row a mistake, with what the error must say.
    #[test]
    fn what_is_wrong_with_a_draft_is_said() {
        let good = template(ChangeKind::Limit);
        for (from, to, expected) in [
            ("my-proposal", "My proposal", "is not a name"),
            ("title = \"What this is about\"", "title = \"\"", "the title must have"),
            ("text = \"\"\"", "other = \"\"\"", "unknown field `other`"),
            ("limit = \"registers\"", "limit = \"days\"", "change 1: unknown limit: use one of"),
            ("change = \"limit\"", "change = \"law\"", "change 1: unknown variant `law`"),
            ("value = 1000", "value = 1000\nwhen = 1", "change 1: unknown field `when`"),
            ("value = 1000", "", "change 1: missing field `value`"),
            ("text = \"\"\"", "text-file = \"none.md\"\ntext = \"\"\"", "as `text` or as `text-file`"),
        ] {
            let text = good.replacen(from, to, 1);
            let said = Draft::parse(&text, Path::new(".")).unwrap_err();
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let text = template(ChangeKind::Validators).replace("remove = []", "remove = [\"ed25519:0\"]");
        let said = Draft::parse(&text, Path::new(".")).unwrap_err();
        assert!(said.contains("expected a validator: `organisation` and `key`"), "{said}");
    }

    /// One row a mistake in an agreement, with what the error must say: the field, and nothing of bytes that nobody has written.
    #[test]
    fn what_is_wrong_with_an_agreement_is_said() {
        let good = template(ChangeKind::PartitionAmend);
        assert!(good.starts_with("# The agreement below takes the place of the whole agreement in force"), "{good}");
        for (from, to, expected) in [
            ("\"council\", \"harbour\"", "\"Council\", \"harbour\"", "members: "),
            ("\"attendance\", \"health\"", "\"attendance\", \"ill health\"", "categories: "),
            ("partition = \"school-health\"", "partition = \"School\"", "partition: "),
            ("\"council\", \"harbour\"", "\"harbour\", \"council\"", "the members of an agreement must be"),
            ("purpose = \"What it is shared for.\"", "purpose = \"\"", "the purpose of an agreement must"),
            ("retention_days = 365", "retention_days = 0", "what is shared is kept for 1 to"),
            ("jurisdictions = [\"GB\"]", "jurisdictions = [\"Wales\"]", "`Wales` is not a jurisdiction"),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            let said = Draft::parse(&text, Path::new(".")).unwrap_err();
            assert!(said.starts_with("change 1: ") && said.contains(expected), "{expected}: {said}");
            assert!(!said.contains("at byte") && !said.contains("malformed"), "{said}");
        }
    }

    #[test]
    fn a_long_text_is_kept_by_its_hash() {
        let long = "x".repeat(PROPOSAL_TEXT_BYTES_MAX + 1);
        let text = template(ChangeKind::Limit).replace("What is to hold", &long);
        let draft = Draft::parse(&text, Path::new(".")).unwrap();
        assert!(draft.keeps_only_hash());
        assert!(!Draft::parse(&template(ChangeKind::Limit), Path::new(".")).unwrap().keeps_only_hash());
    }
}
