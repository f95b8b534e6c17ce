//! Policies: what they permit, how they change, and that nothing but rows and request decides.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod harness;

use std::{collections::BTreeSet, path::Path, sync::Arc, thread};

use harness::{Ledger, describe, operation};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value as Json;
use tallystick_ledger::{
    PolicyCache, PolicyRow,
    policy::{
        Explained, Question, QuestionError, SCHEMA, STARTER,
        cedar::{Attributes, Entity, Name, Request, RuleError, Rules, Schema, Value, Verdict, decide},
        check, explain,
        form::FormError,
    },
};
use tallystick_protocol::{
    Change, Code, MandateId, Operation, OperationName, Outcome, PolicyChange, PolicyId, PolicyText, RuleText, Rulebook,
    StateKey, ViolationRule,
    limits::{POLICY_BYTES_MAX, POLICY_NESTING_MAX, POLICY_OPERATORS_MAX},
};
use tallystick_tests::absent::data;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

#[test]
fn the_schema_names_every_operation() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let actions: Vec<&str> = schema.actions().collect();
    for operation in OperationName::ALL {
        assert!(actions.contains(&operation.as_str()), "the schema has no action `{operation}`");
    }
}

#[test]
fn the_schema_is_published_as_it_is() {
    let page = read(&root().join("docs/reference/policy-schema.md"));
    assert!(
        page.contains(&format!("```cedarschema\n{SCHEMA}```\n")),
        "docs/reference/policy-schema.md shows another schema"
    );
    for (id, text) in STARTER {
        assert!(
            page.contains(&format!("```cedar\n{text}```\n")),
            "docs/reference/policy-schema.md shows another `{id}`"
        );
    }
}

#[test]
fn the_starter_policies_are_told_and_no_others() {
    let page = read(&root().join("docs/concepts/trust.md"));
    let table = page.split("| policy | says |\n|---|---|\n").nth(1).unwrap();
    let told = table.lines().map_while(|line| line.strip_prefix("| `")?.split('`').next());
    let (told, all): (BTreeSet<&str>, BTreeSet<&str>) = (told.collect(), STARTER.iter().map(|(id, _)| *id).collect());
    assert_eq!(told, all, "docs/concepts/trust.md tells other policies than a network begins with");
}

#[test]
fn the_starter_policies_hold() {
    let schema = Schema::parse(SCHEMA).unwrap();
    for (id, text) in STARTER {
        assert_eq!(check(&schema, &id.parse().unwrap(), text), Ok(()), "{id}");
    }
    assert!(STARTER.is_sorted());
}

/// The text of a starter policy.
fn starter(id: &str) -> &'static str {
    STARTER.iter().find(|(known, _)| *known == id).unwrap().1
}

/// The rules that were code before they were policies, and those of what came after.
fn once_hard_coded(role: &str, own: bool, itself: bool, action: OperationName) -> bool {
    match action {
        OperationName::KeyCertify | OperationName::MandateGrant | OperationName::MandateRevoke if itself => true,
        OperationName::KeyAdd | OperationName::KeyRotate | OperationName::KeyRetire if itself => true,
        OperationName::ErasureReceipt | OperationName::NoticeAcknowledge if itself => true,
        OperationName::EntryAppend | OperationName::RecordCorrect | OperationName::RecordRead => own,
        OperationName::ConsentGive | OperationName::ConsentWithdraw => own,
        _ => own && role == "administrator",
    }
}

#[test]
fn the_starter_policies_say_what_code_said() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create country country | ok");
    let principals = ["alpha/admin", "alpha/clerk", "beta/admin", "beta/clerk", "gamma/admin"];
    let resources = [
        "register:country",
        "organisation:alpha",
        "organisation:beta",
        "principal:alpha/clerk",
        "principal:beta/admin",
    ];
    let (mut asked, mut permitted) = (0, 0);
    for principal in principals {
        for resource in resources {
            for action in OperationName::ALL.iter().copied() {
                let role = if principal.ends_with("admin") { "administrator" } else { "registrar" };
                let holder = if resource == "register:country" { "alpha" } else { resource.split_once(':').unwrap().1 };
                let own = holder.split('/').next() == principal.split('/').next();
                let itself = resource == format!("principal:{principal}");
                let answer = ask(&ledger, principal, action, resource).unwrap();
                // A registrar does this to registers only.
                use OperationName::{ConsentGive, ConsentWithdraw, EntryAppend, RecordCorrect, RecordRead};
                let of_registrars = [EntryAppend, RecordCorrect, RecordRead, ConsentGive, ConsentWithdraw];
                if of_registrars.contains(&action) && resource != "register:country" {
                    continue;
                }
                assert_eq!(
                    answer.allowed,
                    once_hard_coded(role, own, itself, action),
                    "{principal} {action} {resource}"
                );
                assert_eq!(answer.allowed, !answer.determining.is_empty());
                (asked, permitted) = (asked + 1, permitted + usize::from(answer.allowed));
            }
        }
    }
    assert!(asked > 200 && permitted > 50 && permitted < asked, "{permitted} of {asked}");
}

/// `who` is a principal, perhaps with co-signers and a mandate, as in the tables.
fn ask(ledger: &Ledger, who: &str, action: OperationName, resource: &str) -> Explained {
    let (who, mandate) = who.split_once(" under ").map_or((who, None), |(who, mandate)| (who, Some(mandate)));
    let mut signers = who.split(" + ").map(|who| who.parse().unwrap());
    let question = Question {
        principal: signers.next().unwrap(),
        cosigners: signers.collect(),
        mandate: mandate.map(|mandate| mandate.parse().unwrap()),
        action,
        resource: resource.into(),
    };
    let mut view = harness::warm_view();
    loop {
        match explain(&mut view, &ledger.context(), &question) {
            Ok(explained) => return explained,
            Err(missing) => ledger.fetch(&mut view, missing.0),
        }
    }
}

#[test]
fn a_custodian_lets_others_in_and_keeps_its_own_out() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create country country                                            | ok
        alpha/admin | create town town                                                  | ok
        beta/clerk  | append country GB {"country":"GB"}                                | 0 not-permitted
        # Only who may do `register-policy` to the register changes its policies: the custodian's administrators.
        beta/admin  | policy country put country/partners permit (principal in Organisation::"beta", action == Action::"entry-append", resource == Register::"country") | 0 not-permitted
        alpha/clerk | policy country put country/partners permit (principal in Organisation::"beta", action == Action::"entry-append", resource == Register::"country") | 0 not-permitted
        alpha/admin | policy country put country/partners permit (principal in Organisation::"beta", action == Action::"entry-append", resource == Register::"country") | ok
        beta/clerk  | append country GB {"country":"GB"}                                | ok country user 1+1
        gamma/admin | append country FR {"country":"FR"}                                | 0 not-permitted
        # It speaks of this register only, whoever writes it.
        beta/clerk  | append town A {"town":"A"}                                        | 0 not-permitted
        beta/admin  | phase country live                                                | 0 not-permitted
        alpha/admin | policy country put town/partners permit (principal, action, resource == Register::"town") | 0 policy-invalid (0 partners policy-scope)
        alpha/admin | policy country put partners permit (principal, action, resource)  | 0 policy-invalid (0 partners policy-scope)
        alpha/admin | policy country put country/all permit (principal, action, resource) | 0 policy-invalid (0 all policy-scope)
        alpha/admin | policy country put country/all permit (principal, action, resource == Register::"town") | 0 policy-invalid (0 all policy-scope)
        alpha/admin | policy country remove custodian-writes                            | 0 policy-unknown
        alpha/admin | policy country remove country/none                                | 0 policy-unknown (0 none unresolved)
        alpha/admin | policy nowhere remove nowhere/none                                | 0 register-unknown
        # One that forbids wins over all that permit, at once and within one transaction.
        alpha/admin | policy country put country/closed forbid (principal, action in Action::"writing", resource == Register::"country") unless { principal in Organisation::"beta" } ; append country DE {"country":"DE"} | 1 not-permitted
        alpha/admin | policy country put country/closed forbid (principal, action in Action::"writing", resource == Register::"country") unless { principal in Organisation::"beta" } | ok
        alpha/clerk | append country DE {"country":"DE"}                                | 0 not-permitted
        alpha/clerk | append town A {"town":"A"}                                        | ok town user 1+1
        beta/clerk  | append country DE {"country":"DE"}                                | ok country user 2+1
        alpha/admin | policy country remove country/closed                              | ok
        alpha/admin | policy country remove country/closed                              | 0 policy-unknown (0 closed unresolved)
        alpha/clerk | append country DK {"country":"DK"}                                | ok country user 3+1
        # What is not Cedar, or not this ledger's.
        alpha/admin | policy country put country/x permit everything                    | 0 policy-invalid (0 x policy-syntax)
        alpha/admin | policy country put country/x permit (principal, action, resource == Register::"country") when { resource.colour == "red" } | 0 policy-invalid (0 x policy-schema)
        alpha/admin | policy country put country/x permit (principal == Person::"ann", action, resource == Register::"country") | 0 policy-invalid (0 x policy-schema)
        alpha/admin | policy country put country/x permit (principal, action == Action::"entry-burn", resource == Register::"country") | 0 policy-invalid (0 x policy-schema)
        alpha/admin | policy country put country/x permit (principal, action, resource == ?resource) | 0 policy-invalid (0 x policy-syntax)
        "#,
    );
}

#[test]
fn a_policy_of_times_ends_by_itself() {
    Ledger::new().run(
        r#"
        alpha/admin | create list list | ok
        alpha/admin | policy list put list/january permit (principal in Organisation::"beta", action == Action::"entry-append", resource == Register::"list") when { context.time < 1580515200 } | ok
        time 2020-01-31T23:59:59Z
        beta/clerk  | append list a {"list":"a"} | ok list user 1+1
        time 2020-02-01T00:00:00Z
        beta/clerk  | append list b {"list":"b"} | 0 not-permitted
        "#,
    );
}

#[test]
fn the_outcome_names_the_policies_and_the_version() {
    let mut ledger = Ledger::new();
    let decided = |outcome: &Outcome| {
        let decision = outcome.decision();
        let names =
            |ids: &[tallystick_protocol::PolicyId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        format!("{} [{}] [{}]", decision.version, names(&decision.determining), names(&decision.skipped))
    };
    for (who, what, expected, decision) in [
        ("alpha/admin", "create list list", "ok", "1 [administrators-manage] []"),
        ("beta/clerk", r#"append list a {"list":"a"}"#, "0 not-permitted", "1 [] []"),
        ("alpha/nobody", r#"append list a {"list":"a"}"#, "0 principal-unknown", "0 [] []"),
        (
            "alpha/clerk",
            r#"append list a {"x":"a"}"#,
            "0 schema (0 list key-missing, 0 x unknown-field)",
            "1 [custodian-writes] []",
        ),
        (
            "alpha/admin",
            r#"policy list put list/never forbid (principal == Principal::"alpha/clerk", action, resource == Register::"list")"#,
            "ok",
            "1 [administrators-manage] []",
        ),
        ("alpha/clerk", r#"append list a {"list":"a"}"#, "0 not-permitted", "2 [list/never] []"),
        // A sum that overflows fails, and is skipped; that it was is on record.
        (
            "alpha/admin",
            r#"policy list put list/broken forbid (principal, action, resource == Register::"list") when { context.time + 9223372036854775807 > 0 }"#,
            "ok",
            "2 [administrators-manage] []",
        ),
        ("alpha/admin", r#"append list a {"list":"a"}"#, "ok list user 1+1", "3 [administrators-manage] [list/broken]"),
        ("alpha/clerk", r#"append list b {"list":"b"}"#, "0 not-permitted", "3 [list/never] [list/broken]"),
    ] {
        let outcome = ledger.act(who, vec![operation(what)]);
        assert_eq!((describe(&outcome).as_str(), decided(&outcome).as_str()), (expected, decision), "{who} {what}");
    }
    // Of several operations, all that permitted them; of a refused one, that one's.
    let both = vec![operation(r#"append list c {"list":"c"}"#), operation("retire alpha/clerk alpha/clerk")];
    assert_eq!(decided(&ledger.act("alpha/admin", both)), "3 [administrators-manage] [list/broken]");
}

#[test]
fn a_register_has_so_many_policies_and_no_more() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create list list | ok");
    let put = |count: usize| {
        let policy = |n: usize| PolicyText {
            id: format!("list/p{n}").parse().unwrap(),
            text: r#"forbid (principal == Principal::"beta/x", action, resource == Register::"list");"#.into(),
        };
        let change = PolicyChange { put: (0..count).map(policy).collect(), remove: Vec::new() };
        vec![Operation::RegisterPolicy { register: "list".into(), change }]
    };
    // The rulebook says how many a custodian makes by itself.
    let most = Rulebook::default().register_policies_max as usize;
    assert_eq!(describe(&ledger.act("alpha/admin", put(most + 1))), "0 policies-full");
    assert_eq!(describe(&ledger.act("alpha/admin", put(most))), "ok");
    assert_eq!(describe(&ledger.act("alpha/admin", put(most))), "ok", "they replace themselves");
    ledger.run(r#"alpha/clerk | append list a {"list":"a"} | ok list user 1+1"#);
}

#[test]
fn questions_are_answered_from_live_state() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create list list | ok");
    let append = OperationName::EntryAppend;
    let answer = ask(&ledger, "alpha/clerk", append, "register:list").unwrap();
    assert!(answer.allowed);
    assert_eq!(answer.determining[0].id.as_str(), "custodian-writes");
    assert_eq!(answer.determining[0].text, starter("custodian-writes"));
    assert!(answer.request.entities.iter().any(|entity| entity.name.to_string() == r#"Register::"list""#));
    let answer = ask(&ledger, "beta/clerk", append, "register:list").unwrap();
    assert!(!answer.allowed && answer.determining.is_empty());
    for (principal, resource, expected) in [
        ("alpha/clerk", "list", QuestionError::Resource("list".into())),
        ("alpha/clerk", "country:list", QuestionError::Resource("country:list".into())),
        ("alpha/clerk", "register:none", QuestionError::Unknown("register `none`".into())),
        ("alpha/clerk", "principal:none", QuestionError::Unknown("principal `none`".into())),
        ("alpha/clerk", "organisation:none", QuestionError::Unknown("organisation `none`".into())),
        ("alpha/none", "register:list", QuestionError::Unknown("principal `alpha/none`".into())),
    ] {
        assert_eq!(ask(&ledger, principal, append, resource).unwrap_err(), expected);
    }
}

/// What would be refused before policies are asked is said to be refused, and why.
#[test]
fn questions_are_answered_for_agents_cosigners_and_those_who_may_not_act() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create list list ; create other other | ok
        alpha/clerk | grant one beta/clerk entry-append register:list 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk  | grant two gamma/admin entry-append register:list 2020-01-01 2030-01-01 0 1 alpha/clerk/one | ok
        alpha/admin | grant board beta/admin,beta/clerk * register:* 2020-01-01 2030-01-01 0 2 | ok
        "#,
    );
    let chain = "gamma/admin under beta/clerk/two";
    for (who, resource, allowed, refusal, mandates) in [
        ("beta/clerk", "register:list", false, None, ""),
        ("beta/clerk under alpha/clerk/one", "register:list", true, None, "alpha/clerk/one"),
        ("beta/clerk under alpha/clerk/one", "register:other", false, Some("mandate-exceeded"), "alpha/clerk/one"),
        ("beta/admin under alpha/clerk/one", "register:list", false, Some("mandate-not-agent"), ""),
        (chain, "register:list", true, None, "beta/clerk/two alpha/clerk/one"),
        ("beta/admin under alpha/admin/board", "register:list", false, Some("mandate-concurrence"), ""),
        ("beta/admin + beta/clerk under alpha/admin/board", "register:list", true, None, "alpha/admin/board"),
    ] {
        let answer = ask(&ledger, who, OperationName::EntryAppend, resource).unwrap();
        let said = answer.mandates.iter().map(MandateId::as_str).collect::<Vec<_>>().join(" ");
        let code = answer.refusal.map(Code::as_str);
        assert_eq!((answer.allowed, code, said.as_str()), (allowed, refusal, mandates), "{who} to {resource}");
    }
    ledger.run(
        "alpha/admin | status alpha/clerk suspended under review | ok\nbeta/admin | retire beta/clerk beta/clerk | ok",
    );
    for (who, refusal) in
        [("alpha/clerk", "principal-suspended"), (chain, "mandate-not-in-force"), ("beta/clerk", "key-retired")]
    {
        let answer = ask(&ledger, who, OperationName::EntryAppend, "register:list").unwrap();
        assert_eq!((answer.allowed, answer.refusal.map(Code::as_str)), (false, Some(refusal)), "{who}");
    }
}

/// Passing a mandate on hides nobody from a policy that looks at mandates.
#[test]
fn a_mandate_that_was_passed_on_is_in_those_above_it() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | create list list | ok
        alpha/clerk | grant one beta/clerk entry-append register:list 2020-01-01 2030-01-01 1 1 | ok
        beta/clerk  | grant two gamma/admin entry-append register:list 2020-01-01 2030-01-01 0 1 alpha/clerk/one | ok
        gamma/admin under beta/clerk/two | append list a {"list":"a"} | ok list user 1+1
        "#,
    );
    for (thing, outcome) in [
        (r#"Mandate::"alpha/clerk/one""#, "0 not-permitted"),
        (r#"Organisation::"alpha""#, "0 not-permitted"),
        (r#"Organisation::"beta""#, "0 not-permitted"),
        (r#"Principal::"beta/clerk""#, "0 not-permitted"),
        (r#"Organisation::"gamma""#, "ok"),
    ] {
        let text = format!(
            "forbid (principal, action, resource == Register::\"list\") when {{ context has mandate && context.mandate in {thing} }};"
        );
        let put = vec![PolicyText { id: "list/no".parse().unwrap(), text }];
        let change = PolicyChange { put, remove: Vec::new() };
        let operation = Operation::RegisterPolicy { register: "list".into(), change };
        assert_eq!(describe(&ledger.act("alpha/admin", vec![operation])), "ok");
        let append = OperationName::EntryAppend;
        let judged = ask(&ledger, "gamma/admin under beta/clerk/two", append, "register:list").unwrap();
        assert_eq!(if judged.allowed { "ok" } else { "0 not-permitted" }, outcome, "{thing}");
    }
    ledger.run(
        r#"
        gamma/admin under beta/clerk/two | append list b {"list":"b"} | ok list user 2+1
        "#,
    );
}

#[test]
fn order_of_insertion_changes_nothing() {
    let schema = Arc::new(Schema::parse(SCHEMA).unwrap());
    let fails = "when { context.time + 9223372036854775807 > 0 }";
    let mut policies: Vec<(String, String)> = (0..40)
        .map(|n| {
            let effect = if n % 4 == 0 { "forbid" } else { "permit" };
            let condition = if n % 3 == 0 { fails } else { "" };
            (format!("p{n}"), format!("{effect} (principal, action, resource) {condition};"))
        })
        .collect();
    let mut request = request("alpha/clerk", "entry-append", Name::new("Register", "list"));
    let mut random = StdRng::seed_from_u64(7);
    let mut first: Option<Verdict> = None;
    for _ in 0..50 {
        policies.shuffle(&mut random);
        request.entities.shuffle(&mut random);
        let texts = policies.iter().map(|(id, text)| (id.as_str(), text.as_str()));
        let verdict = decide(&[&Rules::compile(&schema, texts).unwrap()], &request);
        assert!(!verdict.allowed && verdict.determining.is_sorted() && verdict.determining.len() > 5);
        assert!(verdict.skipped.len() > 10);
        assert_eq!(first.get_or_insert_with(|| verdict.clone()), &verdict);
    }
}

/// A request about a register of alpha's.
fn request(principal: &str, action: &'static str, resource: Name) -> Request {
    let alpha = Name::new("Organisation", "alpha");
    let entity = |name: Name, attribute: &'static str| Entity {
        name,
        attributes: Attributes::from([(attribute.into(), Value::Thing(alpha.clone()))]),
        parents: vec![alpha.clone()],
    };
    let principal = Name::new("Principal", principal);
    Request {
        entities: vec![entity(principal.clone(), "organisation"), entity(resource.clone(), "custodian")],
        principal,
        action: action.into(),
        resource,
        context: Attributes::from([("time".into(), Value::Long(1_577_836_800))]),
    }
}

#[test]
fn what_is_too_deep_or_too_long_never_reaches_cedar() {
    let schema = Schema::parse(SCHEMA).unwrap();
    let rule = |condition: String| {
        check(&schema, &"x".parse().unwrap(), &format!("permit (principal, action, resource) when {{ {condition} }};"))
    };
    let nested = |n: usize| rule(format!("{}true{}", "(".repeat(n), ")".repeat(n)));
    // The braces of `when` are one level.
    assert_eq!(nested(POLICY_NESTING_MAX - 1), Ok(()));
    assert_eq!(nested(POLICY_NESTING_MAX), Err(FormError::Nesting(1).into()));
    assert_eq!(nested(100_000), Err(FormError::Bytes(200_051).into()));
    assert_eq!(rule("!".repeat(POLICY_OPERATORS_MAX + 2) + "true"), Err(FormError::Operators(1).into()));
    let error = rule("true".to_owned() + &" || true".repeat(POLICY_BYTES_MAX / 8)).unwrap_err();
    assert_eq!(error.rule(), ViolationRule::PolicyForm);
}

/// The deepest policies that the form lets through are read, validated and judged on a stack much smaller than any thread of
/// a node has, so Cedar's own limit, which depends on the stack, is never met.
#[test]
fn the_deepest_policies_fit_a_small_stack() {
    let operators = POLICY_OPERATORS_MAX - 2;
    let chain = |operator: &str| format!("true{}", format!(" {operator} true").repeat(operators));
    let sum = format!("context.time {} > 0", "+ 1 ".repeat(operators - 2));
    let branches = "if true then ".repeat(operators / 3) + "true" + &" else true".repeat(operators / 3);
    let depth = POLICY_NESTING_MAX - 1;
    let nested = |open: &str, close: &str, per: usize| {
        let levels = depth.min(operators / per);
        format!("{}true{}", open.repeat(levels), close.repeat(levels))
    };
    let heavy = format!(
        "{}{}{}",
        "(true && ".repeat(depth),
        chain("&&").replacen(&" && true".repeat(depth), "", 1),
        ")".repeat(depth)
    );
    let conditions = vec![
        (chain("&&"), true),
        (chain("||"), true),
        (sum, true),
        (branches, true),
        (nested("(", ")", 1), true),
        (nested("!(", ")", 1), depth.is_multiple_of(2)),
        (nested("(if ", " then true else true)", 3), true),
        ("[".repeat(depth - 1) + "1" + &"]".repeat(depth - 1) + " == [1]", false),
        (heavy, true),
    ];
    for (condition, holds) in conditions {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let judged = thread::Builder::new()
            .stack_size(768 * 1_024)
            .spawn(move || {
                let schema = Arc::new(Schema::parse(SCHEMA).unwrap());
                let checked = check(&schema, &"deep".parse().unwrap(), &text);
                let rules = Rules::compile(&schema, [("deep", text.as_str())]).unwrap();
                (checked, decide(&[&rules], &request("alpha/clerk", "entry-append", Name::new("Register", "list"))))
            })
            .unwrap()
            .join()
            .unwrap();
        let (checked, verdict) = judged;
        assert!(
            checked.is_ok()
                || matches!(checked, Err(tallystick_ledger::policy::PolicyError::Rule(RuleError::Schema(_)))),
            "{checked:?}"
        );
        assert_eq!(verdict.skipped.len(), 0, "{:?}", verdict.skipped);
        assert_eq!(verdict.allowed, holds, "judged, and not given up");
    }
}

#[test]
fn the_public_cases_pass_through_this_door() {
    let Some(directory) = data("cedar") else { return };
    let mut cases = 0;
    let files = std::fs::read_dir(directory.join("tests/example_use_cases")).unwrap();
    for file in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let case: Json = serde_json::from_str(&read(&file)).unwrap();
        let text = |member: &str| read(&directory.join(case[member].as_str().unwrap()));
        let schema = Arc::new(Schema::parse(&text("schema")).unwrap());
        let policy = text("policies");
        assert_eq!(
            schema.check("policy0", &policy).is_ok(),
            case["shouldValidate"].as_bool().unwrap(),
            "{}",
            file.display()
        );
        let rules = Rules::compile(&schema, [("policy0", policy.as_str())]).unwrap();
        let entities: Json = serde_json::from_str(&text("entities")).unwrap();
        // Actions are known from the schema.
        let things = entities.as_array().unwrap().iter().filter(|entity| entity["uid"]["type"] != "Action");
        let entities: Vec<Entity> = things.map(entity).collect();
        for asked in case["requests"].as_array().unwrap() {
            let request = Request {
                principal: name(&asked["principal"]),
                action: asked["action"]["id"].as_str().unwrap().to_owned().into(),
                resource: name(&asked["resource"]),
                context: attributes(&asked["context"]),
                entities: entities.clone(),
            };
            let verdict = decide(&[&rules], &request);
            let reasons: Vec<&str> =
                asked["reason"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
            let what = format!("{}: {}", file.display(), asked["description"]);
            assert_eq!(verdict.allowed, asked["decision"] == "allow", "{what}");
            assert_eq!(verdict.determining, reasons, "{what}");
            assert_eq!(verdict.skipped.len(), asked["errors"].as_array().unwrap().len(), "{what}");
            cases += 1;
        }
    }
    assert!(cases >= 20, "{cases} cases");
}

fn name(json: &Json) -> Name {
    Name { kind: json["type"].as_str().unwrap().to_owned().into(), id: json["id"].as_str().unwrap().to_owned() }
}

fn entity(json: &Json) -> Entity {
    Entity {
        name: name(&json["uid"]),
        attributes: attributes(&json["attrs"]),
        parents: json["parents"].as_array().unwrap().iter().map(name).collect(),
    }
}

fn attributes(json: &Json) -> Attributes {
    let of = |(name, value): (&String, &Json)| {
        let value = match name.as_str() {
            // The cases write these as texts, and leave their types to the schema.
            "source_ip" => Value::Ip(value.as_str().unwrap().into()),
            "confidence_score" => Value::Decimal(value.as_str().unwrap().into()),
            _ => attribute(value),
        };
        (name.clone().into(), value)
    };
    json.as_object().unwrap().iter().map(of).collect()
}

fn attribute(json: &Json) -> Value {
    match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => Value::Long(value.as_i64().unwrap()),
        Json::String(value) => Value::Text(value.clone()),
        Json::Array(values) => Value::Set(values.iter().map(attribute).collect()),
        Json::Object(members) => match members.get("__entity") {
            Some(inner) => Value::Thing(name(inner)),
            None if members.contains_key("type") && members.contains_key("id") => Value::Thing(name(json)),
            None => Value::Record(attributes(json)),
        },
        Json::Null => panic!("null"),
    }
}

#[test]
fn a_cache_is_only_a_cache() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create list list | ok");
    let transaction = ledger.sign("alpha/clerk", vec![operation(r#"append list a {"list":"a"}"#)]);
    let shared = PolicyCache::default();
    let outcome = |cache: &PolicyCache| {
        let mut view = tallystick_ledger::View::with_policies(cache);
        (ledger.apply_in(&mut view, &transaction, 1), view.changes())
    };
    let cold = outcome(&shared);
    assert_eq!(outcome(&shared), cold);
    assert_eq!(outcome(&PolicyCache::default()), cold);
}

/// What is remembered of one time is said of another only if the policies say the same at both, however they look at the time.
#[test]
fn what_is_remembered_knows_since_when_it_holds() {
    const NOW: i64 = 1_577_836_800;
    let schema = std::sync::Arc::new(Schema::parse(SCHEMA).unwrap());
    for (condition, since) in [
        ("true", i64::MIN),
        ("\"time\" == \"context\"", i64::MIN),
        ("context has time && context.assurance > 2", i64::MIN),
        ("context has purpose && context.purpose == \"time\"", i64::MIN),
        ("context.time > 0", 1),
        ("100 <= context.time || context.time == 60", 101),
        ("context.time < 1577836800", NOW),
        ("context.time >= 1577836801", i64::MIN),
        ("context.time > 7 && !(context.time != 9)", 10),
        ("context.time + 1 > 7", NOW),
        ("context.time > context.assurance", NOW),
        ("(if true then context[\"time\"] else 0) > 7", NOW),
        ("{a: context}.a.assurance == 1", NOW),
        ("[context].contains(context)", NOW),
        ("{left: context, attr: 1}.left.assurance == 1", NOW),
    ] {
        let text = format!("permit (principal, action == Action::\"entry-append\", resource) when {{ {condition} }};");
        let rules = Rules::compile(&schema, [("x", text.as_str())]).unwrap();
        assert_eq!(rules.same_since("entry-append", NOW), since, "{condition}");
        assert_eq!(rules.same_since("register-import", NOW), i64::MIN, "{condition}");
    }
}

fn policies(put: &[(&str, &str)], remove: &[&str]) -> Change {
    Change::Policies {
        put: put.iter().map(|(id, text)| PolicyText { id: id.parse().unwrap(), text: (*text).into() }).collect(),
        remove: remove.iter().map(|id| id.parse().unwrap()).collect(),
    }
}

fn propose(ledger: &mut Ledger, id: &str, change: Change) -> String {
    let proposal = Operation::ProposalSubmit {
        proposal: id.into(),
        title: "Policies".into(),
        text: RuleText::Whole("The rule.".into()),
        changes: vec![change],
        effect_height: None,
    };
    describe(&ledger.act("alpha/admin", vec![proposal]))
}

/// Whatever was voted for, somebody can vote to change it again.
#[test]
fn policies_that_lock_everybody_out_are_not_put() {
    let narrow = r#"permit (principal in Role::"administrator", action in Action::"governance", resource);"#;
    let nobody = r#"forbid (principal, action == Action::"ballot-cast", resource);"#;
    let some = r#"forbid (principal in Role::"guest", action == Action::"ballot-cast", resource);"#;
    let half = r#"permit (principal, action == Action::"proposal-submit", resource);"#;
    for (id, change, standing) in [
        ("none", policies(&[], &["administrators-manage"]), "failed 2-0-0/3 @13 (0 policies-lock-out)"),
        ("half", policies(&[("half", half)], &["administrators-manage"]), "failed 2-0-0/3 @13 (0 policies-lock-out)"),
        ("nobody", policies(&[("nobody", nobody)], &[]), "failed 2-0-0/3 @13 (0 policies-lock-out)"),
        ("some", policies(&[("some", some)], &[]), "effective 2-0-0/3 @13"),
        ("narrow", policies(&[("narrow", narrow)], &["administrators-manage"]), "effective 2-0-0/3 @13"),
    ] {
        let mut ledger = Ledger::new();
        assert_eq!(propose(&mut ledger, id, change), "ok");
        ledger.run(&format!(
            "alpha/admin | vote {id} yes | ok\nbeta/admin | vote {id} yes | ok\nblocks 20\n* {id} | {standing}"
        ));
    }
}

#[test]
fn the_partitions_policies_change_by_proposal_alone() {
    let mut ledger = Ledger::new();
    ledger.run("alpha/admin | create list list | ok");
    // What is no policy is not voted on.
    for (text, rule) in [
        ("permit everything;", "policy-syntax"),
        ("permit (principal, action, resource) when { principal.colour == 1 };", "policy-schema"),
    ] {
        let outcome = propose(&mut ledger, "wrong", policies(&[("x", text)], &[]));
        assert_eq!(outcome, format!("0 change-invalid (0 policies {rule})"));
    }
    let everybody = r#"permit (principal, action == Action::"entry-append", resource);"#;
    assert_eq!(propose(&mut ledger, "open", policies(&[("everybody-writes", everybody)], &["custodian-writes"])), "ok");
    ledger.run(
        r#"
        gamma/admin | append list a {"list":"a"} | 0 not-permitted
        alpha/admin | vote open yes              | ok
        beta/admin  | vote open yes              | ok
        blocks 20
        gamma/admin | append list a {"list":"a"} | ok list user 1+1
        "#,
    );
    let outcome = ledger.act("alpha/clerk", vec![operation(r#"append list b {"list":"b"}"#)]);
    assert_eq!(outcome.decision().determining.iter().map(PolicyId::as_str).collect::<Vec<_>>(), ["everybody-writes"]);
    assert_eq!(outcome.decision().version, 2);
    // The policy that ended is in the state for ever, under the number of its change.
    let ended = &ledger.rows[&StateKey::policy(&"custodian-writes".parse().unwrap(), 1)];
    assert_eq!(PolicyRow::decode(ended).unwrap().text, starter("custodian-writes"));
}

/// Nobody can be made what a policy keeps back, neither at once nor later.
#[test]
fn policies_see_the_roles_that_are_given() {
    let mut ledger = Ledger::new();
    let text = r#"forbid (principal, action, resource) when { context has roles && context.roles.contains(Role::"auditor") };"#;
    assert_eq!(propose(&mut ledger, "roles", policies(&[("no-auditors", text)], &[])), "ok");
    ledger.run(
        r#"
        alpha/admin | enrol ann auditor k1                    | ok
        alpha/admin | vote roles yes                          | ok
        beta/admin  | vote roles yes                          | ok
        blocks 20
        alpha/admin | enrol bob auditor k2                    | 0 not-permitted
        alpha/admin | enrol bob clerk k2                      | ok
        alpha/admin | amend alpha/bob roles:clerk,auditor     | 0 not-permitted
        alpha/admin | amend alpha/bob roles:registrar         | ok
        alpha/admin | amend alpha/ann key:k1 low              | ok
        alpha/admin | amend alpha/ann roles:clerk             | ok
        "#,
    );
}
