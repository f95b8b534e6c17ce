//! Authorisation: whether the signer may do an operation to the thing that it is about.
//!
//! Every arm asks once, as soon as it knows the thing, and before it judges anything else: what a stranger may not do, it is
//! told nothing more about. Policies decide ([`crate::policy`]); here the request is made of rows of the state: who asks, for
//! what, to which thing, and what those are in. A request knows only these few things, however large the state is.

use std::collections::BTreeMap;

use tallystick_protocol::{
    Assurance, Code, Hash, PartitionRow, PrincipalId, Roles, StateKey, limits::REQUEST_ENTITIES_MAX,
};

use crate::{
    apply::{Act, Stop},
    mandate::Link,
    policy::{
        self,
        cedar::{Attributes, Entity, Name, Request, Value},
    },
    reading::Reading,
    state::{Draft, PrincipalRow, Register},
};

/// The partition in which everything is that is in no other.
const PARTITION: &str = "public";

/// What an operation is done to.
#[derive(Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// An organisation: what is added to it, and what is its own.
    Organisation(&'a str),
    /// A principal: its keys.
    Principal(&'a PrincipalRow),
    /// A register: its entries and its life.
    Register(&'a Register),
    /// A partition: what is ordered in it, and its roots.
    Partition(&'a PartitionRow),
}

impl<'a> Resource<'a> {
    fn name(&self) -> Name {
        match self {
            Self::Organisation(id) => organisation(id),
            Self::Principal(row) => principal(&row.id),
            Self::Register(register) => Name::new("Register", &register.row.register),
            Self::Partition(row) => Name::new("Partition", &row.terms.partition),
        }
    }

    /// The organisation that answers for it; none for what several share.
    fn organisation(&self) -> Option<&'a str> {
        match self {
            Self::Organisation(id) => Some(id),
            Self::Principal(row) => Some(row.id.organisation()),
            Self::Register(register) => Some(&register.row.custodian),
            Self::Partition(_) => None,
        }
    }

    /// Where the policies lie that are asked beside the partition's: those for the register, if it is about one.
    pub fn policies(&self) -> Option<&'a StateKey> {
        match self {
            Self::Register(register) => Some(&register.policies_key),
            _ => None,
        }
    }

    /// The thing itself, unless it is an organisation: those are there already.
    fn entity(&self) -> Option<Entity> {
        match self {
            Self::Organisation(_) => None,
            Self::Principal(row) => Some(principal_entity(row)),
            Self::Register(register) => Some(Entity {
                name: self.name(),
                attributes: Attributes::from([
                    ("custodian".into(), Value::Thing(organisation(&register.row.custodian))),
                    ("phase".into(), Value::Text(register.row.phase.as_str().to_owned())),
                ]),
                parents: vec![organisation(&register.row.custodian)],
            }),
            Self::Partition(row) => {
                let members = row.terms.members.iter().map(|member| Value::Thing(organisation(member)));
                let attributes = Attributes::from([("members".into(), Value::Set(members.collect()))]);
                Some(Entity { name: self.name(), attributes, parents: Vec::new() })
            }
        }
    }
}

fn organisation(id: &str) -> Name {
    Name::new("Organisation", id)
}

fn principal(id: &PrincipalId) -> Name {
    Name::new("Principal", id.as_str())
}

fn organisation_entity(id: &str) -> Entity {
    let parents = vec![Name::new("Partition", PARTITION)];
    Entity { name: organisation(id), attributes: Attributes::new(), parents }
}

fn principal_entity(row: &PrincipalRow) -> Entity {
    let own = organisation(row.id.organisation());
    let roles = row.roles.iter().map(|role| Name::new("Role", role));
    Entity {
        name: principal(&row.id),
        attributes: Attributes::from([
            ("kind".into(), Value::Text(row.kind.as_str().to_owned())),
            ("organisation".into(), Value::Thing(own.clone())),
        ]),
        parents: [own.clone()].into_iter().chain(roles).collect(),
    }
}

/// How sure an organisation is of a key, as policies compare it.
const fn level(assurance: Assurance) -> i64 {
    match assurance {
        Assurance::Low => 1,
        Assurance::Substantial => 2,
        Assurance::High => 3,
    }
}

/// The block's time as policies compare it.
pub(crate) fn time(act: &Act<'_>) -> i64 {
    i64::try_from(act.block.time_seconds()).unwrap_or(i64::MAX)
}

/// The question that policies are asked, with the things that they may look at: who acts and who signs, their organisations, the
/// resource and its organisation.
pub(crate) fn request(act: &Act<'_>, resource: &Resource<'_>) -> Request {
    let principals = [act.signer].into_iter().chain(act.signers.iter().map(AsRef::as_ref));
    let mut entities: BTreeMap<Name, Entity> = BTreeMap::new();
    let mut add = |entity: Entity| {
        entities.entry(entity.name.clone()).or_insert(entity);
    };
    for row in principals {
        add(principal_entity(row));
        add(organisation_entity(row.id.organisation()));
    }
    resource.organisation().map(organisation_entity).into_iter().for_each(&mut add);
    resource.entity().into_iter().for_each(&mut add);
    let (signer, cosigners) = match act.signers.split_first() {
        Some((first, others)) => (&first.id, others),
        None => (&act.signer.id, [].as_slice()),
    };
    let cosigners = cosigners.iter().map(|row| Value::Thing(principal(&row.id)));
    let mut context = Attributes::from([
        ("assurance".into(), Value::Long(level(act.assurance))),
        ("cosigners".into(), Value::Set(cosigners.collect())),
        ("signer".into(), Value::Thing(principal(signer))),
        ("time".into(), Value::Long(time(act))),
    ]);
    // Each mandate is in the one from which it was passed on, and in who granted it.
    let mandate = |link: &Link| Name::new("Mandate", link.row.id.as_str());
    let links = act.mandates.links();
    for (link, above) in links.iter().zip(links.iter().skip(1).map(Some).chain([None])) {
        add(principal_entity(&link.grantor));
        add(organisation_entity(link.grantor.id.organisation()));
        let parents = [principal(&link.grantor.id)].into_iter().chain(above.map(mandate)).collect();
        add(Entity { name: mandate(link), attributes: Attributes::new(), parents });
    }
    if let Some(link) = links.first() {
        context.insert("mandate".into(), Value::Thing(mandate(link)));
        context.insert("purpose".into(), Value::Text(link.row.terms.purpose.clone()));
    }
    if let Some(roles) = act.roles {
        let roles = roles.iter().map(|role| Value::Thing(Name::new("Role", role)));
        context.insert("roles".into(), Value::Set(roles.collect()));
    }
    if let Some(reading) = &act.reading {
        context.insert("reading".into(), said_of(reading));
        context.extend(reading.consent.map(|consent| ("consent".into(), Value::Bool(consent))));
    }
    if let Some(subject) = act.about {
        context.insert("subject".into(), Value::Text(subject.to_string()));
    }
    debug_assert!(entities.len() <= REQUEST_ENTITIES_MAX, "a request knows of {} things", entities.len());
    Request {
        principal: principal(&act.signer.id),
        action: act.action.as_str().into(),
        resource: resource.name(),
        context,
        entities: entities.into_values().collect(),
    }
}

/// What a request is made of, as bytes that can be read in one way only: each text and each list has its length before it.
struct Made(Vec<u8>);

impl Made {
    fn count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok(), "{count} things do not fit a request");
        self.0.extend((count as u32).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn principal(&mut self, row: &PrincipalRow) {
        self.text(row.id.as_str());
        self.text(row.kind.as_str());
        self.roles(&row.roles);
    }

    fn roles(&mut self, roles: &Roles) {
        self.count(roles.iter().count());
        roles.iter().for_each(|role| self.text(role));
    }

    fn reading(&mut self, reading: &Reading<'_>) {
        self.count(reading.fields.len());
        reading.fields.iter().for_each(|field| self.text(field));
        self.text(reading.purpose);
        self.text(reading.legal_basis);
        self.count(usize::from(reading.recipient.is_some()));
        if let Some(to) = reading.recipient {
            self.text(&to.name);
            self.count(usize::from(to.jurisdiction.is_some()));
            to.jurisdiction.iter().for_each(|place| self.text(place.as_str()));
        }
        self.count(match reading.consent {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
    }
}

/// By what the answer to [`request`] is remembered, and found without making the request: a hash of all that it is made of, but for
/// the time, of which only that counts since when the answer is the same; and of the policies that are asked.
///
/// INVARIANT: what decides an answer stands here. [`request`] reads of a principal its id, kind and roles, of a register its name,
/// custodian and phase, of a partition its name and members, of a mandate its id, grantor and purpose, the roles that are given, whom an
/// order is about, what a read says of itself, and whether consents cover it; whoever lets it read more adds that here. So what is
/// remembered of a read that was covered is not found for one that is not: a consent ends with its row and its time.
pub(crate) fn key(act: &Act<'_>, resource: &Resource<'_>, since: i64, policies: [Option<&Hash>; 2]) -> Hash {
    let mut made = Made(Vec::with_capacity(256));
    for set in policies {
        made.count(usize::from(set.is_some()));
        made.0.extend(set.iter().flat_map(|hash| hash.as_bytes()));
    }
    made.0.extend(since.to_be_bytes());
    made.text(act.action.as_str());
    made.text(act.assurance.as_str());
    // Who acts is mostly who signs.
    let acts_itself = act.signers.first().is_some_and(|first| std::ptr::eq(first.as_ref(), act.signer));
    made.count(usize::from(acts_itself));
    if !acts_itself {
        made.principal(act.signer);
    }
    made.count(act.signers.len());
    act.signers.iter().for_each(|row| made.principal(row));
    match resource {
        Resource::Organisation(id) => {
            made.text("organisation");
            made.text(id);
        }
        Resource::Principal(row) => {
            made.text("principal");
            made.principal(row);
        }
        Resource::Register(register) => {
            made.text("register");
            made.text(&register.row.register);
            made.text(&register.row.custodian);
            made.text(register.row.phase.as_str());
        }
        Resource::Partition(row) => {
            made.text("partition");
            made.text(&row.terms.partition);
            made.count(row.terms.members.len());
            row.terms.members.iter().for_each(|member| made.text(member));
        }
    }
    made.count(act.mandates.links().len());
    for link in act.mandates.links() {
        made.text(link.row.id.as_str());
        made.text(&link.row.terms.purpose);
        made.principal(&link.grantor);
    }
    made.count(usize::from(act.roles.is_some()));
    act.roles.iter().for_each(|roles| made.roles(roles));
    made.count(usize::from(act.reading.is_some()));
    act.reading.iter().for_each(|reading| made.reading(reading));
    made.count(usize::from(act.about.is_some()));
    act.about.iter().for_each(|subject| made.text(&subject.to_string()));
    Hash::of(&[&made.0])
}

/// A read, as policies look at it.
fn said_of(reading: &Reading<'_>) -> Value {
    let fields = reading.fields.iter().map(|field| Value::Text(field.clone())).collect();
    let mut said = Attributes::from([
        ("fields".into(), Value::Set(fields)),
        ("purpose".into(), Value::Text(reading.purpose.to_owned())),
        ("basis".into(), Value::Text(reading.legal_basis.to_owned())),
    ]);
    if let Some(to) = reading.recipient {
        said.insert("recipient".into(), Value::Text(to.name.clone()));
        if let Some(place) = &to.jurisdiction {
            said.insert("jurisdiction".into(), Value::Text(place.as_str().to_owned()));
        }
    }
    Value::Record(said)
}

impl Act<'_> {
    /// Goes on only if policies permit the signer this operation on this resource. What they said is noted for the outcome.
    pub fn permit(&self, draft: &mut Draft<'_>, resource: Resource<'_>) -> Result<(), Stop> {
        let judgement = policy::judge(draft, self, &resource)?;
        let allowed = judgement.allowed;
        draft.note_judgement(judgement)?;
        if allowed { Ok(()) } else { Err(Code::NotPermitted.into()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use tallystick_protocol::{
        AgreementTerms, MandateId, MandateTerms, NetworkId, Operation, OperationName, Phase, PrincipalKind,
        PrincipalStatus, Recipient, RegisterRow, Subject,
    };

    use super::*;
    use crate::{apply::BlockContext, mandate::Chain, state::MandateRow};

    /// All that a request is made of.
    #[derive(Clone)]
    struct Parts {
        sets: [Option<Hash>; 2],
        since: i64,
        action: OperationName,
        assurance: Assurance,
        signer: PrincipalRow,
        signers: Vec<PrincipalRow>,
        /// What it is done to: an organisation, unless it is one of the two.
        organisation: String,
        principal: Option<PrincipalRow>,
        register: Option<RegisterRow>,
        partition: Option<PartitionRow>,
        links: Vec<(MandateRow, PrincipalRow)>,
        read: Option<Operation>,
        consent: Option<bool>,
        about: Option<Subject>,
        given: Option<Roles>,
    }

    impl Parts {
        /// The key, and the request at the time since which the answer holds.
        fn asked(&self) -> (Hash, Request) {
            let time_ms = u64::try_from(self.since).unwrap() * 1_000;
            let block = BlockContext { network: NetworkId::default(), height: 1, time_ms, log_size: 0 };
            let signers: Vec<Arc<PrincipalRow>> = self.signers.iter().cloned().map(Arc::new).collect();
            let links = self.links.iter().cloned().map(|(row, grantor)| Link { row, grantor: Arc::new(grantor) });
            let act = Act {
                block: &block,
                partition: None,
                signer: &self.signer,
                signers: &signers,
                assurance: self.assurance,
                mandates: &Chain::of(links.collect()),
                action: self.action,
                reading: self
                    .read
                    .as_ref()
                    .and_then(Reading::of)
                    .map(|reading| Reading { consent: self.consent, ..reading }),
                about: self.about.as_ref(),
                roles: self.given.as_ref(),
                operation: 0,
                leaf: 0,
            };
            let register = self.register.clone().map(Register::new);
            let resource = match (&self.partition, &self.principal, &register) {
                (Some(row), ..) => Resource::Partition(row),
                (_, Some(row), _) => Resource::Principal(row),
                (.., Some(register)) => Resource::Register(register),
                _ => Resource::Organisation(&self.organisation),
            };
            let sets = self.sets.each_ref().map(Option::as_ref);
            (key(&act, &resource, self.since, sets), request(&act, &resource))
        }
    }

    fn row(id: &str, kind: PrincipalKind, roles: &str) -> PrincipalRow {
        let (id, roles) = (id.parse().unwrap(), roles.parse().unwrap());
        let (status, reason, keys) = (PrincipalStatus::Active, String::new(), Vec::new());
        PrincipalRow { id, kind, roles, status, reason, keys }
    }

    /// A mandate's id and purpose, and its grantor.
    fn link(id: &str, purpose: &str, kind: PrincipalKind, roles: &str) -> (MandateRow, PrincipalRow) {
        let id: MandateId = id.parse().unwrap();
        let grantor = row(id.grantor().as_str(), kind, roles);
        let terms = MandateTerms {
            agents: Vec::new(),
            actions: Vec::new(),
            resources: Vec::new(),
            purpose: purpose.to_owned(),
            from: 0,
            until: 0,
            depth: 0,
            concur: 0,
            parent: None,
        };
        (MandateRow { id, terms, granted: 0, revoked_ms: None }, grantor)
    }

    fn read(fields: &[&str], purpose: &str, legal_basis: &str, recipient: Option<&str>) -> Option<Operation> {
        Some(Operation::RecordRead {
            register: "country".to_owned(),
            key: "GB".to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            subjects: vec!["country:GB".parse().unwrap()],
            purpose: purpose.to_owned(),
            legal_basis: legal_basis.to_owned(),
            recipient: recipient.map(|name| Recipient { name: name.to_owned(), jurisdiction: None }),
            node: "a/vault".parse().unwrap(),
        })
    }

    fn register(name: &str, custodian: &str, phase: Phase) -> RegisterRow {
        let (register, custodian) = (name.to_owned(), custodian.to_owned());
        let (successor, fields, text) = (None, Vec::new(), String::new());
        RegisterRow { register, number: 1, custodian, phase, successor, fields, text, created: 0 }
    }

    #[test]
    fn requests_that_differ_in_one_thing_have_different_keys() {
        use PrincipalKind::{Device, Person};
        let (clerk, carol) = (row("a/clerk", Person, "clerk"), row("b/carol", Person, "clerk"));
        let base = Parts {
            sets: [Some(Hash([1; 32])), Some(Hash([2; 32]))],
            since: 7,
            action: OperationName::EntryAppend,
            assurance: Assurance::High,
            signer: clerk.clone(),
            signers: vec![clerk.clone(), carol.clone()],
            organisation: "a".to_owned(),
            principal: None,
            register: Some(register("country", "a", Phase::Live)),
            partition: None,
            links: vec![link("c/dora/one", "tax", Person, "clerk"), link("d/erik/two", "tax", Person, "clerk")],
            read: None,
            consent: None,
            about: None,
            given: None,
        };
        let about_whom = |subject: &str| Parts { about: Some(subject.parse().unwrap()), ..base.clone() };
        let by_consent = |consent| Parts { consent, read: read(&["a"], "why", "consent", None), ..base.clone() };
        let gives = |roles: &str| Parts { given: Some(roles.parse().unwrap()), ..base.clone() };
        let reads = |read| Parts { read, ..base.clone() };
        let about = |resource: Resource<'_>| match resource {
            Resource::Organisation(id) => Parts { organisation: id.to_owned(), register: None, ..base.clone() },
            Resource::Principal(row) => Parts { principal: Some(row.clone()), register: None, ..base.clone() },
            Resource::Register(register) => Parts { register: Some(register.row.clone()), ..base.clone() },
            Resource::Partition(row) => Parts { partition: Some(row.clone()), ..base.clone() },
        };
        let shared = |name: &str, members: &[&str]| {
            let terms = AgreementTerms {
                partition: name.to_owned(),
                members: members.iter().map(|member| (*member).to_owned()).collect(),
                purpose: String::new(),
                legal_basis: String::new(),
                categories: Vec::new(),
                from_ms: 0,
                until_ms: None,
                review_ms: None,
                jurisdictions: Vec::new(),
                retention_days: 0,
                acknowledgements: 0,
                managers: Vec::new(),
                regulators: Vec::new(),
            };
            let row = PartitionRow {
                terms,
                proposed: 0,
                opened_height: 0,
                amended_height: 0,
                closed: None,
                former: Vec::new(),
            };
            about(Resource::Partition(&row))
        };
        let of = |name: &str, custodian: &str, phase| {
            about(Resource::Register(&Register::new(register(name, custodian, phase))))
        };
        let with =
            |signers: &[&PrincipalRow]| Parts { signers: signers.iter().copied().cloned().collect(), ..base.clone() };
        let under = |links: Vec<(MandateRow, PrincipalRow)>| Parts { links, ..base.clone() };
        let second = || link("d/erik/two", "tax", Person, "clerk");
        let signed_by = |signer: PrincipalRow| Parts { signer, ..base.clone() };
        let cases = [
            base.clone(),
            shared("health", &["a", "b"]),
            shared("tax", &["a", "b"]),
            shared("health", &["a", "c"]),
            Parts { sets: [Some(Hash([1; 32])), None], ..base.clone() },
            Parts { sets: [None, Some(Hash([2; 32]))], ..base.clone() },
            Parts { sets: [Some(Hash([2; 32])), Some(Hash([1; 32]))], ..base.clone() },
            Parts { since: 8, ..base.clone() },
            Parts { action: OperationName::RegisterImport, ..base.clone() },
            Parts { assurance: Assurance::Low, ..base.clone() },
            gives(""),
            gives("clerk"),
            gives("cl,erk"),
            reads(read(&["a", "b"], "why", "law", None)),
            reads(read(&["ab"], "why", "law", None)),
            reads(read(&["a", "b"], "whyl", "aw", None)),
            reads(read(&["a", "b"], "why", "law", Some(""))),
            reads(read(&["a", "b"], "why", "law", Some("court"))),
            by_consent(None),
            by_consent(Some(false)),
            by_consent(Some(true)),
            about_whom("country:GB"),
            about_whom("country:FR"),
            signed_by(row("a/clark", Person, "clerk")),
            signed_by(row("a/clerk", Device, "clerk")),
            signed_by(row("a/clerk", Person, "clerk,registrar")),
            signed_by(row("a/clerk", Person, "")),
            // The same letters, cut otherwise.
            signed_by(row("a/clerk", Person, "cl,erk")),
            signed_by(row("a/clerk", Person, "cle,rk")),
            with(&[&clerk]),
            with(&[&carol, &clerk]),
            with(&[&clerk, &row("b/carol", Device, "clerk")]),
            with(&[&clerk, &row("b/carol", Person, "clerk,registrar")]),
            with(&[&clerk, &carol, &row("c/dora", Person, "clerk")]),
            about(Resource::Organisation("a")),
            about(Resource::Organisation("b")),
            about(Resource::Principal(&clerk)),
            about(Resource::Principal(&carol)),
            about(Resource::Principal(&row("e/x", Person, "clerk"))),
            about(Resource::Principal(&row("e/x", Device, "clerk"))),
            about(Resource::Principal(&row("e/x", Person, "registrar"))),
            of("town", "a", Phase::Live),
            of("country", "b", Phase::Live),
            of("country", "a", Phase::Draft),
            under(vec![]),
            under(vec![second()]),
            under(vec![second(), link("c/dora/one", "tax", Person, "clerk")]),
            under(vec![link("c/dora/uno", "tax", Person, "clerk"), second()]),
            under(vec![link("c/dirk/one", "tax", Person, "clerk"), second()]),
            under(vec![link("c/dora/one", "alms", Person, "clerk"), second()]),
            under(vec![link("c/dora/one", "tax", Device, "clerk"), second()]),
            under(vec![link("c/dora/one", "tax", Person, "clerk,registrar"), second()]),
        ];
        let asked: Vec<(Parts, Hash, Request)> =
            cases.into_iter().map(|parts| (parts.clone(), parts.asked().0, parts.asked().1)).collect();
        for (place, (a, key_a, request_a)) in asked.iter().enumerate() {
            for (b, key_b, request_b) in asked.iter().skip(place + 1) {
                assert!(a.sets != b.sets || request_a != request_b, "{request_a:?} stands there twice");
                assert_ne!(key_a, key_b, "{request_a:?} and {request_b:?}");
            }
        }
    }

    #[test]
    fn what_policies_do_not_see_is_not_in_the_key() {
        let clerk = row("a/clerk", PrincipalKind::Person, "clerk");
        let parts = |signer: PrincipalRow, register: RegisterRow| Parts {
            read: None,
            consent: None,
            about: None,
            given: None,
            sets: [None, None],
            since: 0,
            action: OperationName::EntryAppend,
            assurance: Assurance::Low,
            signers: vec![signer.clone()],
            signer,
            organisation: String::new(),
            principal: None,
            register: Some(register),
            partition: None,
            links: Vec::new(),
        };
        let other = PrincipalRow { reason: "why not".to_owned(), ..clerk.clone() };
        let country = register("country", "a", Phase::Live);
        let told = RegisterRow { text: "Countries".to_owned(), ..country.clone() };
        assert_eq!(parts(clerk, country).asked(), parts(other, told).asked());
    }
}
