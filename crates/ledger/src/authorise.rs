//! Authorisation: whether the signer may do an operation to the thing that it is about.
//!
//! Every arm asks once, as soon as it knows the thing, and before it judges anything else: what a stranger may not do, it is
//! told nothing more about. Policies decide ([`crate::policy`]); here the request is made of rows of the state: who asks, for
//! what, to which thing, and what those are in. A request knows only these few things, however large the state is.

use std::collections::BTreeMap;

use tallystick_protocol::{Assurance, Code, PrincipalId, RegisterRow, limits::REQUEST_ENTITIES_MAX};

use crate::{
    apply::{Act, Stop},
    mandate::Link,
    policy::{
        self,
        cedar::{Attributes, Entity, Name, Request, Value},
    },
    state::{Draft, PrincipalRow},
};

/// The one partition that there is today.
const PARTITION: &str = "public";

/// What an operation is done to.
#[derive(Clone, Copy)]
pub(crate) enum Resource<'a> {
    /// An organisation: what is added to it, and what is its own.
    Organisation(&'a str),
    /// A principal: its keys.
    Principal(&'a PrincipalRow),
    /// A register: its entries and its life.
    Register(&'a RegisterRow),
}

impl<'a> Resource<'a> {
    fn name(&self) -> Name {
        match self {
            Self::Organisation(id) => organisation(id),
            Self::Principal(row) => principal(&row.id),
            Self::Register(row) => Name::new("Register", &row.register),
        }
    }

    /// The organisation that answers for it.
    fn organisation(&self) -> &'a str {
        match self {
            Self::Organisation(id) => id,
            Self::Principal(row) => row.id.organisation(),
            Self::Register(row) => &row.custodian,
        }
    }

    /// The register whose own policies are asked too; empty if it is about none.
    fn register(&self) -> &'a str {
        match self {
            Self::Register(row) => &row.register,
            _ => "",
        }
    }

    /// The thing itself, unless it is an organisation: those are there already.
    fn entity(&self) -> Option<Entity> {
        match self {
            Self::Organisation(_) => None,
            Self::Principal(row) => Some(principal_entity(row)),
            Self::Register(row) => Some(Entity {
                name: self.name(),
                attributes: Attributes::from([
                    ("custodian".into(), Value::Thing(organisation(&row.custodian))),
                    ("phase".into(), Value::Text(row.phase.as_str().to_owned())),
                ]),
                parents: vec![organisation(&row.custodian)],
            }),
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
    add(organisation_entity(resource.organisation()));
    resource.entity().into_iter().for_each(&mut add);
    let (signer, cosigners) = match act.signers.split_first() {
        Some((first, others)) => (&first.id, others),
        None => (&act.signer.id, [].as_slice()),
    };
    let cosigners = cosigners.iter().map(|row| Value::Thing(principal(&row.id)));
    let time = i64::try_from(act.block.time_seconds()).unwrap_or(i64::MAX);
    let mut context = Attributes::from([
        ("assurance".into(), Value::Long(level(act.assurance))),
        ("cosigners".into(), Value::Set(cosigners.collect())),
        ("signer".into(), Value::Thing(principal(signer))),
        ("time".into(), Value::Long(time)),
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
    debug_assert!(entities.len() <= REQUEST_ENTITIES_MAX, "a request knows of {} things", entities.len());
    Request {
        principal: principal(&act.signer.id),
        action: act.action.as_str().into(),
        resource: resource.name(),
        context,
        entities: entities.into_values().collect(),
    }
}

impl Act<'_> {
    /// Goes on only if policies permit the signer this operation on this resource. What they said is noted for the outcome.
    pub fn permit(&self, draft: &mut Draft<'_>, resource: Resource<'_>) -> Result<(), Stop> {
        let request = request(self, &resource);
        let judgement = policy::judge(draft, request, resource.register())?;
        let allowed = judgement.allowed;
        draft.note_judgement(judgement)?;
        if allowed { Ok(()) } else { Err(Code::NotPermitted.into()) }
    }
}

/// What policies say to a request, without an operation.
pub(crate) fn judge(
    draft: &mut Draft<'_>,
    request: &Request,
    resource: &Resource<'_>,
) -> Result<std::sync::Arc<policy::Judgement>, Stop> {
    Ok(policy::judge(draft, request.clone(), resource.register())?)
}
