//! Cedar, and the only file that names it: a schema, rules compiled from texts, and the verdict on a request.
//!
//! INVARIANT: the verdict is a function of the texts and the request. Cedar hands out what determined a decision in hash order,
//! so names are sorted here. It gives up when a thread's stack runs low: the form of a policy keeps that far away, and should
//! it happen all the same the node stops, rather than decide otherwise than its neighbours.
//!
//! Rules are kept by action. A policy whose scope names other actions cannot be satisfied, and a scope never fails, so leaving
//! such policies out changes neither the decision nor what is reported.
//!
//! What rules say to a request changes only at certain times, those that they compare the time with: [`Rules::same_since`] tells.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context, Decision, Effect, Entities, EntityId, EntityTypeName,
    EntityUid, EvaluationError, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
    RestrictedExpression, ValidationMode, Validator,
};

/// The name of a thing: its type and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Its entity type, such as `Register`.
    pub kind: Cow<'static, str>,
    /// Its id, such as `country`.
    pub id: String,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    Text(String),
    /// A thing.
    Thing(Name),
    /// A set.
    Set(Vec<Value>),
    /// Values by name.
    Record(BTreeMap<Cow<'static, str>, Value>),
    /// A decimal number, as text.
    Decimal(String),
    /// An address or range of addresses, as text.
    Ip(String),
}

/// Attributes by name.
pub type Attributes = BTreeMap<Cow<'static, str>, Value>;

/// A thing as a request sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Which.
    pub name: Name,
    /// What is known of it.
    pub attributes: Attributes,
    /// What it is in, directly.
    pub parents: Vec<Name>,
}

/// A question: may this principal do this action to this resource?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who acts.
    pub principal: Name,
    /// The action's id.
    pub action: Cow<'static, str>,
    /// What it is done to.
    pub resource: Name,
    /// The circumstances.
    pub context: Attributes,
    /// The things that policies may look at, each once.
    pub entities: Vec<Entity>,
}

/// The answer, and which policies gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is permitted: some policy permits it and none forbids it.
    pub allowed: bool,
    /// The ids of the policies that determined this, sorted: those that permit, or those that forbid; none when nothing permits.
    pub determining: Vec<String>,
    /// The policies that failed and were skipped, by id, with the reason.
    pub skipped: BTreeMap<String, String>,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is not one static Cedar policy.
    #[error("not a Cedar policy: {0}")]
    Syntax(String),
    /// It does not agree with the schema.
    #[error("the policy does not keep to the schema: {0}")]
    Schema(String),
}

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("not a Cedar schema: {0}")]
pub struct SchemaError(String);

/// A schema: types of things, and actions.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    kinds: BTreeMap<String, EntityTypeName>,
    /// Each action with the groups that it is in.
    actions: BTreeMap<String, (EntityUid, Vec<EntityUid>)>,
}

impl Schema {
    /// Reads a schema in Cedar's schema syntax.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(text).map_err(|e| SchemaError(e.to_string()))?;
        let kinds = schema.entity_types().map(|kind| (kind.to_string(), kind.clone())).collect();
        let entities = schema.action_entities().map_err(|error| SchemaError(error.to_string()))?;
        let mut actions = BTreeMap::new();
        for action in schema.actions() {
            let groups = entities.ancestors(action).map(|groups| groups.cloned().collect()).unwrap_or_default();
            actions.insert(action.id().unescaped().to_owned(), (action.clone(), groups));
        }
        Ok(Self { validator: Validator::new(schema), kinds, actions })
    }

    /// The ids of its actions.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(String::as_str)
    }

    fn uid(&self, name: &Name) -> Option<EntityUid> {
        let kind = self.kinds.get(name.kind.as_ref())?;
        Some(EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(&name.id)))
    }

    /// A policy's text, read and validated strictly.
    ///
    /// # Errors
    /// When it is not one policy, is a template, or does not keep to the schema.
    pub fn check(&self, id: &str, text: &str) -> Result<Rule, RuleError> {
        let rule = Rule::parse(id, text)?;
        let set = PolicySet::from_policies([rule.0.clone()]).map_err(|error| RuleError::Syntax(error.to_string()))?;
        let validated = self.validator.validate(&set, ValidationMode::Strict);
        let mut errors: Vec<String> = validated.validation_errors().map(ToString::to_string).collect();
        errors.sort_unstable();
        if errors.is_empty() { Ok(rule) } else { Err(RuleError::Schema(errors.join("; "))) }
    }
}

/// One policy.
#[derive(Clone, Debug)]
pub struct Rule(Policy);

impl Rule {
    /// Reads a policy.
    ///
    /// # Errors
    /// When it is not one policy, or is a template.
    pub fn parse(id: &str, text: &str) -> Result<Self, RuleError> {
        let describe = |error: cedar_policy::ParseErrors| {
            let mut lines: Vec<String> = error.iter().map(ToString::to_string).collect();
            lines.sort_unstable();
            RuleError::Syntax(lines.join("; "))
        };
        Policy::parse(Some(PolicyId::new(id)), text).map(Self).map_err(describe)
    }

    /// Whether its scope holds it to this thing, or to what is in it.
    pub fn is_about(&self, kind: &str, id: &str) -> bool {
        let (ResourceConstraint::Eq(thing) | ResourceConstraint::In(thing) | ResourceConstraint::IsIn(_, thing)) =
            self.0.resource_constraint()
        else {
            return false;
        };
        thing.type_name().to_string() == kind && thing.id().unescaped() == id
    }

    /// Whether it permits everything to everybody: nothing holds its scope, and it has no condition.
    pub fn permits_everything(&self) -> bool {
        self.permits()
            && !self.0.has_non_scope_constraint()
            && matches!(self.0.principal_constraint(), PrincipalConstraint::Any)
            && matches!(self.0.action_constraint(), ActionConstraint::Any)
            && matches!(self.0.resource_constraint(), ResourceConstraint::Any)
    }

    /// Whether it permits; otherwise it forbids.
    pub fn permits(&self) -> bool {
        self.0.effect() == Effect::Permit
    }
}

/// Policies compiled for use.
#[derive(Debug)]
pub struct Rules {
    schema: Arc<Schema>,
    by_action: BTreeMap<String, ActionRules>,
}

/// The policies that speak of an action.
#[derive(Debug, Default)]
struct ActionRules {
    policies: PolicySet,
    times: Times,
}

/// When what policies say to a request may change.
#[derive(Debug)]
enum Times {
    /// At these.
    At(BTreeSet<i64>),
    /// At any.
    Any,
}

impl Rules {
    /// Compiles policies, given as id and text.
    ///
    /// # Errors
    /// When one is no policy, or an id stands twice.
    pub fn compile<'p>(
        schema: &Arc<Schema>,
        policies: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, RuleError> {
        let rules = policies.into_iter().map(|(id, text)| Rule::parse(id, text));
        Self::of(schema, rules.collect::<Result<Vec<_>, _>>()?)
    }

    /// Puts policies that were read together.
    ///
    /// # Errors
    /// When an id stands twice.
    pub fn of(schema: &Arc<Schema>, rules: impl IntoIterator<Item = Rule>) -> Result<Self, RuleError> {
        let mut by_action: BTreeMap<String, ActionRules> = BTreeMap::new();
        for Rule(policy) in rules {
            let json = policy.to_json().map_err(|error| RuleError::Syntax(error.to_string()))?;
            let mut times = Times::default();
            times.look_in(json.get("conditions").unwrap_or_default());
            let constraint = policy.action_constraint();
            for (action, (uid, groups)) in &schema.actions {
                let applies = match &constraint {
                    ActionConstraint::Any => true,
                    ActionConstraint::Eq(one) => one == uid,
                    ActionConstraint::In(any) => any.iter().any(|one| one == uid || groups.contains(one)),
                };
                if applies {
                    let rules = by_action.entry(action.clone()).or_default();
                    rules.policies.add(policy.clone()).map_err(|error| RuleError::Syntax(error.to_string()))?;
                    rules.times.join(&times);
                }
            }
        }
        Ok(Self { schema: Arc::clone(schema), by_action })
    }

    /// Whether anybody could be permitted the action, as far as scopes tell: some policy that speaks of it permits, and none
    /// forbids it to everybody whatever the circumstances.
    pub fn may_permit(&self, action: &str) -> bool {
        let policies = || self.by_action.get(action).into_iter().flat_map(|rules| rules.policies.policies());
        let forbids_all = |policy: &Policy| {
            policy.effect() == Effect::Forbid
                && policy.principal_constraint() == PrincipalConstraint::Any
                && policy.resource_constraint() == ResourceConstraint::Any
                && !policy.has_non_scope_constraint()
        };
        policies().any(|policy| policy.effect() == Effect::Permit) && !policies().any(forbids_all)
    }

    /// Since when they say the same to a request for the action as at `time`; `i64::MIN` if ever since.
    pub fn same_since(&self, action: &str, time: i64) -> i64 {
        match self.by_action.get(action).map(|rules| &rules.times) {
            None => i64::MIN,
            Some(Times::At(times)) => times.range(..=time).next_back().copied().unwrap_or(i64::MIN),
            Some(Times::Any) => time,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::At(BTreeSet::new())
    }
}

impl Times {
    fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::At(times), Self::At(others)) => times.extend(others),
            _ => *self = Self::Any,
        }
    }

    /// Notes at which times an expression, in Cedar's JSON format, may change: where `context.time` is compared with a number, at that
    /// and after it. That is `{"<": {"left": T, "right": {"Value": 7}}}`, with T `{".": {"left": {"Var": "context"}, "attr":
    /// "time"}}`; any other use of the time may change at any.
    fn look_in(&mut self, expression: &serde_json::Value) {
        use serde_json::Value;
        let is_context = |value: &Value| value.get("Var").and_then(Value::as_str) == Some("context");
        let attribute = |operands: &Value| match (operands.get("left"), operands.get("attr")) {
            (Some(left), Some(Value::String(attribute))) if is_context(left) => Some(attribute == "time"),
            _ => None,
        };
        let is_time = |value: &Value| value.get(".").and_then(attribute) == Some(true);
        match expression {
            whole if is_context(whole) || is_time(whole) => *self = Self::Any,
            Value::Object(fields) => {
                for (operator, operands) in fields {
                    let number = match (operands.get("left"), operands.get("right")) {
                        (Some(time), Some(number)) if is_time(time) => number.get("Value"),
                        (Some(number), Some(time)) if is_time(time) => number.get("Value"),
                        _ => None,
                    };
                    match number.and_then(Value::as_i64) {
                        Some(number) if ["==", "!=", "<", "<=", ">", ">="].contains(&operator.as_str()) => {
                            self.join(&Self::At([number, number.saturating_add(1)].into()));
                        }
                        _ if attribute(operands).is_some() => {}
                        _ => self.look_in(operands),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.look_in(value)),
            _ => {}
        }
    }
}

/// Judges the request by these rules together. A request that does not keep to the schema is denied.
pub fn decide(rules: &[&Rules], request: &Request) -> Verdict {
    let (mut permits, mut forbids, mut skipped) = (Vec::new(), Vec::new(), BTreeMap::new());
    let Some((schema, first)) = rules.first().map(|first| (&first.schema, first)) else { return Verdict::default() };
    debug_assert!(rules.iter().all(|rules| Arc::ptr_eq(&rules.schema, &first.schema)), "one schema judges a request");
    let Some((question, entities)) = prepare(schema, request) else { return Verdict::default() };
    for rules in rules {
        let Some(policies) = rules.by_action.get(request.action.as_ref()) else { continue };
        let response = Authorizer::new().is_authorized(&question, &policies.policies, &entities);
        let reasons = response.diagnostics().reason().map(ToString::to_string);
        match response.decision() {
            Decision::Allow => permits.extend(reasons),
            Decision::Deny => forbids.extend(reasons),
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(failure) = error;
            assert!(
                !matches!(failure.inner(), EvaluationError::RecursionLimit(_)),
                "the stack ran low while a policy was judged: {error}"
            );
            skipped.insert(failure.policy_id().to_string(), failure.inner().to_string());
        }
    }
    let allowed = forbids.is_empty() && !permits.is_empty();
    let mut determining = if allowed { permits } else { forbids };
    determining.sort_unstable();
    Verdict { allowed, determining, skipped }
}

fn prepare(schema: &Schema, request: &Request) -> Option<(cedar_policy::Request, Entities)> {
    let (action, groups) = schema.actions.get(request.action.as_ref())?;
    let mut entities = Vec::with_capacity(request.entities.len() + 1);
    entities.push(cedar_policy::Entity::new_no_attrs(action.clone(), groups.iter().cloned().collect()));
    for entity in &request.entities {
        let parents: Option<Vec<EntityUid>> = entity.parents.iter().map(|parent| schema.uid(parent)).collect();
        let attributes = pairs(schema, &entity.attributes)?;
        let uid = schema.uid(&entity.name)?;
        entities.push(cedar_policy::Entity::new_with_tags(uid, attributes, parents?, []).ok()?);
    }
    let entities = Entities::from_entities(entities, None).ok()?;
    let context = Context::from_pairs(pairs(schema, &request.context)?).ok()?;
    let (principal, resource) = (schema.uid(&request.principal)?, schema.uid(&request.resource)?);
    Some((cedar_policy::Request::new(principal, action.clone(), resource, context, None).ok()?, entities))
}

fn pairs(schema: &Schema, attributes: &Attributes) -> Option<Vec<(String, RestrictedExpression)>> {
    attributes.iter().map(|(name, value)| Some((name.to_string(), expression(schema, value)?))).collect()
}

fn expression(schema: &Schema, value: &Value) -> Option<RestrictedExpression> {
    Some(match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::Text(value) => RestrictedExpression::new_string(value.clone()),
        Value::Thing(name) => RestrictedExpression::new_entity_uid(schema.uid(name)?),
        Value::Set(values) => {
            let values: Option<Vec<_>> = values.iter().map(|value| expression(schema, value)).collect();
            RestrictedExpression::new_set(values?)
        }
        Value::Record(values) => RestrictedExpression::new_record(pairs(schema, values)?).ok()?,
        Value::Decimal(text) => RestrictedExpression::new_decimal(text),
        Value::Ip(text) => RestrictedExpression::new_ip(text),
    })
}

impl Name {
    /// The thing of this type and id.
    pub fn new(kind: &'static str, id: impl Into<String>) -> Self {
        Self { kind: Cow::Borrowed(kind), id: id.into() }
    }
}

impl std::fmt::Display for Name {
    /// As Cedar writes it: `Register::"country"`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::\"{}\"", self.kind, self.id.escape_debug())
    }
}

impl FromStr for Name {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let uid: EntityUid =
            text.parse().map_err(|error: cedar_policy::ParseErrors| RuleError::Syntax(error.to_string()))?;
        Ok(Self { kind: Cow::Owned(uid.type_name().to_string()), id: uid.id().unescaped().to_owned() })
    }
}
