//! `tally ca`: certificate authorities and what they issue.

use crate::{
    argument::timestamp,
    connection::{Connection, Reading, Signing},
    output::{Colour, Doing, Done, Failure, Table, count, json, line, paint, say, time},
    proposal,
    register::act,
};
use clap::{Args, Subcommand};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tallystick_api::{AuthorityList, AuthorityView};
use tallystick_client::Settled;
use tallystick_ledger::{
    moment::format_timestamp,
    x509::{self, Certificate, Document, PRINCIPAL_PURPOSES, PathFault, RevocationList, Terms},
};
use tallystick_protocol::{
    AuthorityTerms, Change, ChangeKind, Hash, Operation, PolicyMeaning, PublicKey, RuleText,
    change::words::Shown,
    limits::{TEXT_BYTES_MAX, X509_FILE_BYTES_MAX},
};

/// Check certificates as the ledger judges them; admit and retire authorities
#[derive(Debug, Args)]
pub struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Check(Check),
    Admit(Admit),
    Retire(Retire),
    Revoke(Revoke),
}

/// List the certificate authorities that are trusted here, and what each may say
#[derive(Debug, Args)]
#[command(
    after_help = "Retired ones are listed too: keys that they certified sign on until their certificates end. --json has the certificates.\n\n\
    Examples:\n  \
    tally ca list\n  \
    tally ca list companies-house"
)]
struct List {
    /// Only those of this organisation
    #[arg(value_name = "ORGANISATION")]
    organisation: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

/// Put a certificate authority of the signer's organisation on the trust list, or to the vote
#[derive(Debug, Args)]
#[command(
    after_help = "Where the rulebook demands a vote, as the default one does, this submits a proposal: the members vote on it with \
    tally proposal vote. See tally proposal rulebook."
)]
struct Admit {
    /// The authority's certificate
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What a certificate policy means here: its object identifier and low, substantial or high; may be repeated
    #[arg(long = "policy", value_name = "OID=LEVEL", value_parser = meaning)]
    policies: Vec<PolicyMeaning>,
    /// How the names of the principals begin that it may certify; may be repeated; any if not given
    #[arg(long = "names", value_name = "PREFIX")]
    names: Vec<String>,
    /// The id of the proposal, if there must be one [default: made from the certificate]
    #[arg(long, value_name = "ID")]
    proposal: Option<String>,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Retire a certificate authority: no key is certified under it any more
#[derive(Debug, Args)]
#[command(
    after_help = "Keys that were certified under it sign on until their certificates end: retire those that must not."
)]
struct Retire {
    /// The authority's certificate, or its id
    #[arg(value_name = "FILE|ID")]
    authority: String,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

/// Say whether a certificate holds, and if not, which rule it breaks
#[derive(Debug, Args)]
#[command(
    after_help = "The first certificate in the files is the one in question; others may stand between it and an \
    authority, and revocation lists are heeded. PEM and DER are read. Without --authority the certificate must be an \
    authority's itself, and is judged as one.\n\n\
    Nothing is asked of anybody; the rules are those of RFC 5280, and every node judges so: see docs/reference/certificates.md.\n\n\
    Exit codes: 0 it holds; 1 it does not, and why is said; 2 a file cannot be read.\n\n\
    Examples:\n  \
    tally ca check root.pem                                       fit to be an authority?\n  \
    tally ca check clerk.pem issuing.pem --authority root.pem     issued under it?\n  \
    tally ca check clerk.pem issuing.pem list.crl --authority root.pem --at 2027-04-01T00:00:00Z"
)]
struct Check {
    /// Certificates and revocation lists
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A trusted authority's certificate; may be given more than once
    #[arg(long, value_name = "FILE")]
    authority: Vec<PathBuf>,
    /// The time to judge at, such as 2027-04-01T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    at: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Post what an authority, or one that it issued, has revoked
#[derive(Debug, Args)]
#[command(
    after_help = "A revoked certificate certifies no key any more. A key that it has certified already signs on until it \
    ends: retire it with tally key retire.\n\n\
    Examples:\n  \
    tally ca revoke root.crl --authority root.pem\n  \
    tally ca revoke issuing.crl issuing.pem --authority root.pem"
)]
struct Revoke {
    /// The revocation list, and the certificates of its issuer and those between it and the authority
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The admitted authority's certificate
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    connection: Connection,
}

impl Ca {
    /// Runs the command.
    pub fn run(self) -> Done {
        match self.command {
            Command::List(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Admit(command) => command.run(),
            Command::Retire(command) => command.run(),
            Command::Revoke(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Done {
        let client = self.reading.connection.client()?;
        let ids = match self.organisation {
            Some(id) => vec![id],
            None => client.organisations()?.value.organisations.into_iter().map(|view| view.id).collect(),
        };
        let mut lists: BTreeMap<String, AuthorityList> = BTreeMap::new();
        for id in ids {
            let Some(found) = client.authorities(&id)? else {
                return Err(Failure::no(format!(
                    "there is no organisation `{id}`: `tally organisation list` names all"
                )));
            };
            lists.insert(id, found.value);
        }
        if self.reading.json {
            return json(&lists);
        }
        for (id, list) in &lists {
            line(format_args!("{} {id}", paint(Colour::Bold, "organisation")))?;
            if list.authorities.is_empty() {
                line("  none: its principals have bare keys alone")?;
            }
            list.authorities.iter().try_for_each(show_authority)?;
            if !list.is_whole {
                line("  and earlier ones: tally audit query --action authority-admit --resource organisation:ID")?;
            }
        }
        Ok(())
    }
}

fn show_authority(view: &AuthorityView) -> Done {
    let retired =
        view.retired_ms.map_or_else(String::new, |ms| paint(Colour::Yellow, &format!(" (retired {})", time(ms))));
    line(format_args!("  {}{retired}", Shown(&view.subject)))?;
    let meanings = view.terms.policies.iter().map(|one| format!("{}={}", one.policy, one.assurance));
    let meanings = meanings.collect::<Vec<_>>().join(", ");
    let list = match (&view.revocations, view.revocations_due_ms) {
        (None, _) => "none posted".to_owned(),
        (Some(number), None) => format!("number {number}"),
        (Some(number), Some(due)) => format!("number {number}, the next by {}", time(due)),
    };
    let names = view.terms.names.iter().map(|prefix| format!("{prefix}…")).collect::<Vec<_>>().join(", ");
    let or = |said: String, else_: &str| if said.is_empty() { else_.to_owned() } else { said };
    let parts = [
        ("id", view.id.to_string()),
        ("since", time(view.from_ms)),
        ("until", time(view.until_ms)),
        ("certifies", or(names, "any principal of the organisation")),
        ("policies", or(meanings, "none means anything here")),
        ("revocations", list),
    ];
    parts.into_iter().try_for_each(|(what, said)| line(format_args!("    {what:<12} {}", Shown(&said))))
}

fn meaning(text: &str) -> Result<PolicyMeaning, String> {
    let (policy, level) =
        text.split_once('=').ok_or("write an object identifier, `=`, and low, substantial or high")?;
    Ok(PolicyMeaning { policy: policy.to_owned(), assurance: level.parse()? })
}

impl Admit {
    fn run(self) -> Done {
        let certificate = authority(&self.file)?;
        let id = Hash::of(&[certificate.der()]);
        let mut terms = AuthorityTerms { policies: self.policies.clone(), names: self.names.clone() };
        terms.policies.sort();
        terms.names.sort();
        if self.must_be_voted()? {
            return self.propose(&certificate, terms);
        }
        let operation = Operation::AuthorityAdmit { certificate: certificate.der().to_vec(), terms };
        if act_alone(&self.connection, &self.signing, format!("admit authority {id}"), operation)?.is_some() {
            line(format_args!("`{}` is admitted as authority {id}", certificate.subject()))?;
        }
        Ok(())
    }

    /// Whether the rulebook in force demands a vote. Where no node is named, naming the proposal says so.
    fn must_be_voted(&self) -> Result<bool, Failure> {
        match self.connection.client_if_named()? {
            Some(client) => {
                let rulebook = client.rulebook()?.value.rulebook;
                Ok(!rulebook.rule(ChangeKind::AuthorityAdmit).is_some_and(|rule| rule.direct))
            }
            None if self.proposal.is_some() => Ok(true),
            None => Err(Failure::error(
                "whether this takes a vote is said by the rulebook, and no node is named to ask for it: give --node \
                 http://HOST:PORT, or --proposal ID to put it to the vote",
            )),
        }
    }

    fn propose(&self, certificate: &Certificate, terms: AuthorityTerms) -> Done {
        let id = Hash::of(&[certificate.der()]);
        let signer = self.connection.signer(&self.signing)?;
        let organisation = signer.principal().organisation().to_owned();
        let change = Change::AuthorityAdmit {
            organisation: organisation.clone(),
            certificate: certificate.der().to_vec(),
            terms,
        };
        if let Some(client) = self.connection.client_if_named()? {
            proposal::require_possible(&client, std::slice::from_ref(&change))?;
        }
        let of_both = Hash::of(&[&id.0, organisation.as_bytes()]).to_string();
        let (digits, _) = of_both.split_at_checked(16).unwrap_or_default();
        let proposal = self.proposal.clone().unwrap_or_else(|| format!("trust-{digits}"));
        let subject = certificate.subject();
        let operation = Operation::ProposalSubmit {
            proposal: proposal.clone(),
            title: format!("Trust the certificate authority {subject} for {organisation}")
                .chars()
                .take(TEXT_BYTES_MAX / 4)
                .collect(),
            text: RuleText::Whole(format!(
                "The certificate authority {subject}, SHA-256 {id}, may certify keys of {organisation} until {}.",
                format_timestamp(certificate.not_after())
            )),
            changes: vec![change],
            effect_height: None,
        };
        if act(&self.connection, &signer, &self.signing, format!("proposal {proposal}"), vec![operation])?.is_none() {
            return Ok(());
        }
        line(format_args!("`{subject}` is proposed as authority {id}"))?;
        proposal::standing(&proposal::find(&self.connection.client()?, &proposal)?)
    }
}

impl Retire {
    fn run(self) -> Done {
        let authority = match self.authority.parse() {
            Ok(id) => id,
            Err(_) => Hash::of(&[authority(Path::new(&self.authority))?.der()]),
        };
        let operation = Operation::AuthorityRetire { authority };
        if act_alone(&self.connection, &self.signing, format!("retire authority {authority}"), operation)?.is_some() {
            line(format_args!("authority {authority} is retired"))?;
        }
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> Done {
        let (heap, authorities) = (Heap::read(&self.files)?, [authority(&self.authority)?]);
        if let Some((path, fault)) = heap.faults.first() {
            return Err(Failure::no(format!("{}: {fault}", path.display())));
        }
        let [list] = heap.lists.as_slice() else {
            let found = heap.lists.len();
            return Err(Failure::error(format!("there are {found} revocation lists in these files: give one")));
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::error)?.as_secs();
        let terms = Terms { at, purposes: &[], lists: &[] };
        let issuer = authorities.iter().chain(&heap.certificates).find(|issuer| list.is_of(issuer));
        let Some(issuer) = issuer else {
            return Err(Failure::error("the certificate of the list's issuer is not in these files: give it too"));
        };
        list.check_issuer(issuer).map_err(|fault| Failure::no(format!("the list does not hold: {fault}")))?;
        let [authority] = &authorities;
        let chain = if issuer.der() == authority.der() {
            Vec::new()
        } else {
            let path = x509::find(issuer, &heap.certificates, &authorities, terms).map_err(Failure::no)?;
            let below = path.certificates.split_last().map_or(&[][..], |(_, below)| below);
            below.iter().map(|certificate| certificate.der().to_vec()).collect()
        };
        let id = Hash::of(&[authority.der()]);
        let operation = Operation::RevocationPost { list: list.der().to_vec(), authority: id, chain };
        let subject = format!("revocations of {}", issuer.subject());
        if act_alone(&self.connection, &self.signing, subject, operation)?.is_some() {
            let revoked = count(list.serials().count() as u64, "certificate", "certificates");
            line(format_args!("{revoked} of `{}` revoked", issuer.subject()))?;
        }
        Ok(())
    }
}

/// As [`act`], of the one operation; none when it is passed on instead.
fn act_alone(
    connection: &Connection,
    signing: &Signing,
    subject: String,
    operation: Operation,
) -> Result<Option<Settled>, Failure> {
    act(connection, &connection.signer(signing)?, signing, subject, vec![operation])
}

/// The one certificate of an authority in a file.
fn authority(path: &Path) -> Result<Certificate, Failure> {
    let heap = Heap::read(&[path.to_owned()])?;
    if let Some((path, fault)) = heap.faults.first() {
        return Err(Failure::no(format!("{}: {fault}", path.display())));
    }
    match <[Certificate; 1]>::try_from(heap.certificates) {
        Ok([certificate]) => Ok(certificate),
        Err(found) => Err(Failure::error(format!(
            "`{}` holds {} certificates: name a file with one",
            path.display(),
            found.len()
        ))),
    }
}

/// The chain of a key's certificate to an authority, in its order and without the authority's own, and the authority's id.
/// Judged here first, so that what is wrong is said in words.
pub fn chain(files: &[PathBuf], of: &Path, key: &PublicKey) -> Result<(Hash, Vec<Vec<u8>>), Failure> {
    let (heap, authority) = (Heap::read(files)?, authority(of)?);
    let broken = |reason: &dyn std::fmt::Display| Failure::no(format!("the certificate does not hold: {reason}"));
    if let Some((path, fault)) = heap.faults.first() {
        return Err(broken(&format_args!("{}: {fault}", path.display())));
    }
    let Some((certificate, others)) = heap.certificates.split_first() else {
        return Err(Failure::error("there is no certificate in these files: give the key's first"));
    };
    if certificate.public_key() != Some(*key) {
        return Err(broken(&format_args!("it is of another key than {key}: have one issued for this one")));
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::error)?.as_secs();
    let terms = Terms { at, purposes: PRINCIPAL_PURPOSES, lists: &heap.lists };
    let authorities = [authority];
    let path = x509::find(certificate, others, &authorities, terms).map_err(|fault| broken(&fault))?;
    let Some((last, chain)) = path.certificates.split_last() else { return Err(broken(&"it is empty")) };
    Ok((Hash::of(&[last.der()]), chain.iter().map(|certificate| certificate.der().to_vec()).collect()))
}

/// The key of the first certificate in these files.
///
/// # Errors
/// When there is none, or none of a kind that signs here.
pub fn key_of(files: &[PathBuf]) -> Result<PublicKey, Failure> {
    let heap = Heap::read(files)?;
    let certificate = heap.certificates.first();
    let Some(certificate) = certificate else {
        return Err(Failure::error("there is no certificate in these files: give the key's first"));
    };
    certificate.public_key().ok_or_else(|| {
        Failure::no("the first certificate is of a key that cannot sign here: an Ed25519 or a P-256 key can")
    })
}

/// What was found in files.
#[derive(Default)]
struct Heap {
    certificates: Vec<Certificate>,
    lists: Vec<RevocationList>,
    /// Files that hold something that cannot be used, and why.
    faults: Vec<(PathBuf, x509::Fault)>,
}

impl Heap {
    fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut heap = Self::default();
        for path in paths {
            match x509::read(&read(path)?) {
                Ok(documents) => heap.take(documents),
                Err(fault) => heap.faults.push((path.clone(), fault)),
            }
        }
        Ok(heap)
    }

    fn take(&mut self, documents: Vec<Document>) {
        for document in documents {
            match document {
                Document::Certificate(certificate) => self.certificates.push(*certificate),
                Document::List(list) => self.lists.push(*list),
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(X509_FILE_BYTES_MAX as u64).read_to_end(&mut bytes))
        .doing(|| format!("cannot read `{}`", path.display()))?;
    Ok(bytes)
}

impl Check {
    fn run(self) -> Done {
        let at = match self.at {
            Some(at) => at,
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::error)?.as_secs(),
        };
        let (heap, authorities) = (Heap::read(&self.files)?, Heap::read(&self.authority)?);
        let faults: Vec<_> = heap.faults.iter().chain(&authorities.faults).collect();
        // What stands in the first file is in question: another must not take its place because that one is broken.
        let first_is_read = self.files.first().is_some_and(|first| heap.faults.iter().all(|(path, _)| path != first));
        let Some((certificate, others)) = heap.certificates.split_first().filter(|_| first_is_read) else {
            return self.refuse(None, &faults);
        };
        if self.authority.is_empty() && !certificate.is_authority() {
            let subject = certificate.subject();
            return Err(Failure::error(format!(
                "`{subject}` is no authority: name those it may have been issued under, with --authority FILE"
            )));
        }
        let lists: Vec<RevocationList> = heap.lists.iter().chain(&authorities.lists).cloned().collect();
        let terms = Terms { at, purposes: PRINCIPAL_PURPOSES, lists: &lists };
        let found = if self.authority.is_empty() {
            x509::check(&[certificate], terms)
        } else {
            x509::find(certificate, others, &authorities.certificates, terms)
        };
        match found {
            Ok(path) => self.show(&path, at, &lists),
            Err(fault) => self.refuse(Some(&fault), &faults),
        }
    }

    fn show(&self, path: &x509::Path<'_>, at: u64, lists: &[RevocationList]) -> Done {
        let until = format_timestamp(path.not_after);
        let policies: Vec<String> = path.policies.iter().map(ToString::to_string).collect();
        let chain = &path.certificates;
        if self.json {
            let subjects: Vec<String> = chain.iter().map(|certificate| certificate.subject().to_string()).collect();
            return json(&serde_json::json!({"holds": true, "chain": subjects, "policies": policies, "until": until}));
        }
        let [first, .., last] = chain.as_slice() else {
            let subject = chain.first().map(|certificate| certificate.subject().to_string()).unwrap_or_default();
            return line(format_args!(
                "{} `{subject}` may be an authority until {until}",
                paint(Colour::Green, "holds:")
            ));
        };
        let (subject, authority) = (first.subject(), last.subject());
        line(format_args!("{} `{subject}` was issued under `{authority}`", paint(Colour::Green, "holds:")))?;
        line("")?;
        let mut table = Table::new(&["", "subject", "until"]);
        for (index, certificate) in chain.iter().enumerate() {
            let until = time(certificate.not_after() * 1_000);
            table.row([format!("{}", index + 1), certificate.subject().to_string(), until]);
        }
        table.print()?;
        if !policies.is_empty() {
            line(format_args!("policies  {}", policies.join(" ")))?;
        }
        for list in lists.iter().filter(|list| list.next_update().is_none_or(|next| next < at)) {
            let due = list.next_update().map_or_else(|| "at a time it does not say".to_owned(), format_timestamp);
            say(format_args!(
                "a revocation list of {} is old: a later one was due {due}",
                format_timestamp(list.this_update())
            ));
        }
        Ok(())
    }

    fn refuse(&self, fault: Option<&PathFault>, files: &[&(PathBuf, x509::Fault)]) -> Done {
        // What cannot be read is often why no chain was found.
        let mut reasons: Vec<String> =
            files.iter().map(|(path, fault)| format!("{}: {fault}", path.display())).collect();
        reasons.extend(fault.iter().map(ToString::to_string));
        if reasons.is_empty() {
            return Err(Failure::error("there is no certificate in these files: give one, and lists after it"));
        }
        if self.json {
            json(&serde_json::json!({"holds": false, "reasons": reasons}))?;
        } else {
            line(paint(Colour::Red, "does not hold:"))?;
            reasons.iter().try_for_each(|reason| line(format_args!("  {reason}")))?;
        }
        Err(Failure::Said)
    }
}
