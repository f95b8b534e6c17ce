//! Authorities on the ledger: who admits them, what a chain must be to certify a key, and that a date locks nobody out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod harness;

use harness::Ledger;
use std::{fs, path::Path};
use tallystick_ledger::{
    PrincipalRow,
    expiry::{EndingKind, Subject, subjects},
    x509::{Certificate, Document, read},
};
use tallystick_protocol::{
    Assurance, AuthorityTerms, Change, Code, Hash, Intent, Operation, Outcome, PolicyMeaning, PrincipalId, PublicKey,
    Refusal, Roles, RuleText, Rulebook, SigningKey, StateKey, VerifiedTransaction, Violation, ViolationRule,
};

/// All the certificates of `tests/data/certificates` are valid then.
const NOW_MS: u64 = 1_900_000_000_000;
/// The last second of the clerk's certificate: 2126-10-31T14:19:53Z.
const CLERK_UNTIL_MS: u64 = 4_949_129_993_000;

fn der(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/certificates").join(name);
    match read(&fs::read(path).unwrap()).unwrap().remove(0) {
        Document::Certificate(certificate) => certificate.der().to_vec(),
        Document::List(list) => list.der().to_vec(),
    }
}

/// A network whose organisations admit their authorities without a vote.
fn ledger() -> Ledger {
    let mut genesis = harness::three_organisations();
    let mut rulebook = Rulebook::default();
    for rule in &mut rulebook.rules {
        rule.direct = rule.kind.has_direct_operation();
    }
    genesis.rulebook = Some(rulebook);
    let mut ledger = Ledger::of(genesis);
    ledger.time_ms = NOW_MS;
    ledger
}

fn run(ledger: &mut Ledger, who: &str, operations: Vec<Operation>) -> Outcome {
    let transaction = ledger.sign(who, operations);
    ledger.block(&transaction)
}

fn admit(name: &str) -> Operation {
    Operation::AuthorityAdmit { certificate: der(name), terms: AuthorityTerms::default() }
}

fn id(name: &str) -> Hash {
    Hash::of(&[&der(name)])
}

/// The key of the clerk's certificate, whose secret nobody has.
fn clerk_key() -> PublicKey {
    Certificate::parse(&der("clerk.pem")).unwrap().public_key().unwrap()
}

fn certify(principal: &str, key: PublicKey, chain: &[&str]) -> Operation {
    let chain = chain.iter().map(|name| der(name)).collect();
    Operation::KeyCertify { principal: principal.parse().unwrap(), key, authority: id("root.pem"), chain }
}

fn enrol(key: PublicKey) -> Operation {
    Operation::enrol("holder", Roles::registrar(), key)
}

fn refused(outcome: &Outcome) -> Code {
    let Outcome::Refused(refusal) = outcome else { panic!("accepted") };
    refusal.code
}

#[track_caller]
fn accepted(outcome: &Outcome) {
    assert!(outcome.is_accepted(), "{outcome:?}");
}

fn principal(ledger: &Ledger, id: &str) -> PrincipalRow {
    let id: PrincipalId = id.parse().unwrap();
    PrincipalRow::decode(&ledger.rows[&StateKey::principal(&id)]).unwrap()
}

#[test]
fn an_administrator_admits_and_retires_for_good() {
    let mut ledger = ledger();
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", vec![admit("root.pem")])), Code::NotPermitted);
    accepted(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")]));
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")])), Code::AuthorityExists);
    let retire = || vec![Operation::AuthorityRetire { authority: id("root.pem") }];
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", retire())), Code::NotPermitted);
    assert_eq!(refused(&run(&mut ledger, "beta/admin", retire())), Code::AuthorityUnknown);
    // Two organisations may trust one authority; what one does about it is nothing to the other.
    accepted(&run(&mut ledger, "beta/admin", vec![admit("root.pem")]));
    accepted(&run(&mut ledger, "alpha/admin", retire()));
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", retire())), Code::AuthorityRetired);
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")])), Code::AuthorityExists);
    let chain = ["clerk.pem", "issuing.pem"];
    let late = vec![enrol(clerk_key()), certify("alpha/holder", clerk_key(), &chain)];
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", late)), Code::AuthorityRetired);
    accepted(&run(&mut ledger, "beta/admin", retire()));
}

#[test]
fn what_is_no_authority_is_not_admitted() {
    let mut ledger = ledger();
    let mut refusal = |certificate: Vec<u8>| {
        let outcome = run(
            &mut ledger,
            "alpha/admin",
            vec![Operation::AuthorityAdmit { certificate, terms: AuthorityTerms::default() }],
        );
        let Outcome::Refused(Refusal { code: Code::CertificateInvalid, operation: 0, violations, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        let [Violation { entry: 0, rule, .. }] = violations.as_slice() else { panic!("{violations:?}") };
        *rule
    };
    assert_eq!(refusal(b"no certificate".to_vec()), ViolationRule::CertificateMalformed);
    assert_eq!(refusal(der("clerk.pem")), ViolationRule::CertificateUse);
    ledger.time_ms = CLERK_UNTIL_MS + 1_000;
    let outcome = run(&mut ledger, "alpha/admin", vec![admit("root.pem")]);
    let Outcome::Refused(refusal) = outcome else { panic!("an expired authority is admitted") };
    assert_eq!(refusal.violations[0].rule, ViolationRule::CertificateTime);
}

#[test]
fn a_chain_certifies_a_key_of_its_organisation() {
    let mut ledger = ledger();
    let both = |chain: &[&str]| vec![enrol(clerk_key()), certify("alpha/holder", clerk_key(), chain)];
    let good = ["clerk.pem", "issuing.pem"];
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", both(&good))), Code::AuthorityUnknown);
    accepted(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")]));
    for (chain, entry, rule) in [
        (vec!["clerk.pem"], 0, ViolationRule::CertificateIssuer),
        (vec!["issuing.pem", "clerk.pem"], 1, ViolationRule::CertificateIssuer),
        (vec!["stranger.pem", "issuing.pem"], 0, ViolationRule::CertificateName),
        (vec!["issuing.pem"], 0, ViolationRule::CertificateKey),
        (vec!["clerk.pem", "clerk.pem", "issuing.pem"], 2, ViolationRule::CertificateUse),
    ] {
        let outcome = run(&mut ledger, "alpha/admin", both(&chain));
        let Outcome::Refused(refusal) = outcome else { panic!("{chain:?} certifies") };
        let found = refusal.violations.first().map(|violation| (violation.entry, violation.rule));
        assert_eq!((refusal.code, found), (Code::CertificateInvalid, Some((entry, rule))), "{chain:?}");
    }
    assert!(!ledger.rows.contains_key(&StateKey::principal(&"alpha/holder".parse().unwrap())), "all or nothing");
    accepted(&run(&mut ledger, "alpha/admin", both(&good)));
    assert_eq!(principal(&ledger, "alpha/holder").keys[0].until_ms, Some(CLERK_UNTIL_MS + 1_000));

    // Another organisation's authority vouches for nobody here, and nobody else's administrator certifies.
    let other = vec![Operation::enrol("x", Roles::registrar(), harness::key("x").public())];
    accepted(&run(&mut ledger, "beta/admin", other));
    let again = || vec![certify("alpha/holder", clerk_key(), &good)];
    assert_eq!(refused(&run(&mut ledger, "beta/admin", again())), Code::NotPermitted);
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", again())), Code::NotPermitted);
    let theirs = vec![certify("beta/x", harness::key("x").public(), &good)];
    assert_eq!(refused(&run(&mut ledger, "beta/admin", theirs)), Code::AuthorityUnknown);
}

#[test]
fn what_an_issuer_revoked_certifies_no_key() {
    let mut ledger = ledger();
    let post = |list: Vec<u8>, chain: &[&str]| {
        let chain = chain.iter().map(|name| der(name)).collect();
        vec![Operation::RevocationPost { list, authority: id("root.pem"), chain }]
    };
    let good = || post(der("revoked.crl"), &["issuing.pem"]);
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", good())), Code::AuthorityUnknown);
    accepted(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")]));
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", good())), Code::NotPermitted);
    assert_eq!(refused(&run(&mut ledger, "beta/admin", good())), Code::AuthorityUnknown);
    for (list, chain, code) in [
        (der("revoked.crl"), vec![], Code::RevocationInvalid),
        (der("revoked.crl"), vec!["clerk.pem", "issuing.pem"], Code::CertificateInvalid),
        (der("root.pem"), vec!["issuing.pem"], Code::RevocationInvalid),
    ] {
        assert_eq!(refused(&run(&mut ledger, "alpha/admin", post(list, &chain))), code, "{chain:?}");
    }
    let enrolled = |name: &str| {
        let enrol = Operation::enrol(name, Roles::registrar(), clerk_key());
        vec![enrol, certify(&format!("alpha/{name}"), clerk_key(), &["clerk.pem", "issuing.pem"])]
    };
    accepted(&run(&mut ledger, "alpha/admin", good()));
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", good())), Code::RevocationOld);
    let Outcome::Refused(refusal) = run(&mut ledger, "alpha/admin", enrolled("late")) else { panic!("accepted") };
    let found = refusal.violations.first().map(|violation| (violation.entry, violation.rule));
    assert_eq!((refusal.code, found), (Code::CertificateInvalid, Some((0, ViolationRule::CertificateRevoked))));
}

/// A key that anybody can sign with here, and a certificate of an hour for it, would need a secret in the tests: so the row
/// is given its end, and the renewal is by the chain of another test.
#[test]
fn an_expired_key_signs_its_renewal_and_nothing_else() {
    let mut ledger = ledger();
    accepted(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")]));
    let clerk: PrincipalId = "alpha/clerk".parse().unwrap();
    let row = StateKey::principal(&clerk);
    let mut principal = principal(&ledger, "alpha/clerk");
    principal.keys[0].until_ms = Some(NOW_MS + 10_000);
    ledger.rows.insert(row, principal.to_bytes());
    let create = || harness::operation("create country country name:string");
    let append = || vec![harness::operation(r#"append country GB {"country":"GB","name":"a"}"#)];
    accepted(&run(&mut ledger, "alpha/admin", vec![create()]));
    ledger.time_ms = NOW_MS + 9_999;
    accepted(&run(&mut ledger, "alpha/clerk", append()));
    ledger.time_ms = NOW_MS + 10_000;
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", append())), Code::KeyExpired);
    let renewal = || certify("alpha/clerk", harness::key("alpha/clerk").public(), &["clerk.pem", "issuing.pem"]);
    let also = [append(), vec![renewal()]].concat();
    assert_eq!(refused(&run(&mut ledger, "alpha/clerk", also)), Code::KeyExpired, "a renewal carries nothing along");
    // Judged as a renewal: what is wrong now is the certificate, which is another key's.
    let outcome = run(&mut ledger, "alpha/clerk", vec![renewal()]);
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.violations[0].rule, ViolationRule::CertificateKey);
    // The administrator is there still, and a new key has no end.
    let next = harness::key("next").public();
    let rotate =
        Operation::KeyRotate { principal: clerk, old: harness::key("alpha/clerk").public(), new: next, overlap: 0 };
    accepted(&run(&mut ledger, "alpha/admin", vec![rotate]));
    accepted(&run(
        &mut ledger,
        "alpha/clerk@next",
        vec![harness::operation(r#"append country FR {"country":"FR","name":"b"}"#)],
    ));
}

/// The key whose certificates lie in `tests/data/certificates/expiry`: one of a day, and one of a century to renew it with. Their
/// authority's own key was thrown away.
fn certified_key() -> SigningKey {
    SigningKey::from_ed25519_seed(&[7; 32])
}

fn sign_certified(ledger: &Ledger, operations: Vec<Operation>) -> VerifiedTransaction {
    let principal = "alpha/holder".parse().unwrap();
    let intent = Intent {
        not_after: ledger.time_ms / 1_000 + 60,
        idempotency_key: Hash::of(&[&ledger.leaf.to_be_bytes()]).0.to_vec(),
        ..Intent::new(ledger.genesis.id(), principal, "test", operations)
    };
    intent.sign(&certified_key()).unwrap().verify().unwrap()
}

/// What a whole network goes through when the clock passes every certificate's end.
#[test]
fn the_clock_passes_every_end_and_one_command_mends_it() {
    const YEARS_MS: u64 = 120 * 366 * 86_400_000;
    let until_s = |name: &str| Certificate::parse(&der(name)).unwrap().not_after();
    let end_ms = (until_s("expiry/clerk-of-a-day.pem") + 1) * 1_000;
    let mut ledger = ledger();
    ledger.time_ms = end_ms - 3_600_000;
    let certify = |chain: &str| {
        let (principal, key) = ("alpha/holder".parse().unwrap(), certified_key().public());
        vec![Operation::KeyCertify { principal, key, authority: id("expiry/root.pem"), chain: vec![der(chain)] }]
    };
    let mut noted = Vec::new();
    let mut note = |transaction: &VerifiedTransaction| noted.extend(subjects(transaction, "alpha"));
    for operations in [
        vec![admit("expiry/root.pem")],
        [vec![enrol(certified_key().public())], certify("expiry/clerk-of-a-day.pem")].concat(),
        vec![harness::operation("create country country name:string")],
    ] {
        let transaction = ledger.sign("alpha/admin", operations);
        note(&transaction);
        accepted(&ledger.block(&transaction));
    }
    let append =
        |key: &str| vec![harness::operation(&format!(r#"append country {key} {{"country":"{key}","name":"a"}}"#))];
    let before = sign_certified(&ledger, append("GB"));
    accepted(&ledger.block(&before));

    // Warned of: the key's end, and the authority's; the nearest first.
    let endings = |ledger: &Ledger| {
        let rows = noted.iter().filter_map(|subject: &Subject| Some((subject, ledger.rows.get(&subject.row())?)));
        let mut endings: Vec<_> = rows.flat_map(|(subject, row)| subject.endings(row)).collect();
        endings.sort();
        endings.into_iter().map(|ending| (ending.until_ms, ending.kind, ending.of)).collect::<Vec<_>>()
    };
    let root = ((until_s("expiry/root.pem") + 1) * 1_000, EndingKind::Authority, "CN=Expiry root,O=Expiry".to_owned());
    assert_eq!(endings(&ledger), [(end_ms, EndingKind::Key, "alpha/holder".to_owned()), root.clone()]);

    // The key has ended: its acts are refused with the remedy, and blocks, others' acts and enrolments go on.
    ledger.time_ms = end_ms;
    let late = sign_certified(&ledger, append("FR"));
    let code = refused(&ledger.block(&late));
    assert_eq!(code, Code::KeyExpired);
    assert!(code.advice().contains("key certify"), "{}", code.advice());
    accepted(&run(&mut ledger, "alpha/clerk", append("DE")));
    ledger.empty_block();

    // The expired key signs its own renewal, and works again.
    let renewal = sign_certified(&ledger, certify("expiry/clerk-renewed.pem"));
    accepted(&ledger.block(&renewal));
    let after = sign_certified(&ledger, append("FR"));
    accepted(&ledger.block(&after));
    assert_eq!(endings(&ledger)[0].0, (until_s("expiry/clerk-renewed.pem") + 1) * 1_000);

    // Past the authority's end too: nobody is certified, everybody without a certificate acts, and what was signed still holds.
    ledger.time_ms += YEARS_MS;
    let last = sign_certified(&ledger, append("IT"));
    assert_eq!(refused(&ledger.block(&last)), Code::KeyExpired);
    let renewal = sign_certified(&ledger, certify("expiry/clerk-renewed.pem"));
    assert_eq!(refused(&ledger.block(&renewal)), Code::CertificateInvalid);
    accepted(&run(&mut ledger, "alpha/clerk", append("IT")));
    for transaction in [before, after] {
        assert!(transaction.into_signed().verify().is_ok(), "a signature ends with nothing");
    }
    let rotate = Operation::KeyRotate {
        principal: "alpha/holder".parse().unwrap(),
        old: certified_key().public(),
        new: harness::key("next").public(),
        overlap: 0,
    };
    accepted(&run(&mut ledger, "alpha/admin", vec![rotate]));
    assert_eq!(endings(&ledger), [root], "what was retired is waited for by nobody");
    accepted(&run(&mut ledger, "alpha/holder@next", append("ES")));
}

/// What a certificate policy means is for the trust list to say: without it, a certificate raises nothing.
#[test]
fn a_certified_key_has_the_level_that_its_policies_mean() {
    let meaning = |policy: &str, assurance| PolicyMeaning { policy: policy.into(), assurance };
    let rows = [
        (vec![], vec![], Ok(Assurance::Substantial)),
        (vec![meaning("1.2.826.0.1.1", Assurance::High)], vec![], Ok(Assurance::Substantial)),
        (vec![meaning("1.2.826.0.1.2", Assurance::High)], vec![], Ok(Assurance::High)),
        (vec![meaning("1.2.826.0.1.2", Assurance::Low)], vec![], Ok(Assurance::Low)),
        (vec![], vec!["hold", "x"], Ok(Assurance::Substantial)),
        (vec![], vec!["clerk", "holders"], Err(Code::NameSpace)),
    ];
    for (place, (policies, names, expected)) in rows.into_iter().enumerate() {
        let mut ledger = ledger();
        let names = names.into_iter().map(str::to_owned).collect();
        let terms = AuthorityTerms { policies, names };
        let admit = Operation::AuthorityAdmit { certificate: der("root.pem"), terms };
        accepted(&run(&mut ledger, "alpha/admin", vec![admit, enrol(clerk_key())]));
        let certify = vec![certify("alpha/holder", clerk_key(), &["clerk.pem", "issuing.pem"])];
        let outcome = run(&mut ledger, "alpha/admin", certify);
        match expected {
            Ok(level) => {
                accepted(&outcome);
                let held = principal(&ledger, "alpha/holder").keys[0].assurance;
                assert_eq!(held, level, "row {place}");
            }
            Err(code) => assert_eq!(refused(&outcome), code, "row {place}"),
        }
    }
}

#[test]
fn by_default_the_members_decide_whom_to_trust() {
    let mut ledger = Ledger::new();
    ledger.time_ms = NOW_MS;
    assert_eq!(refused(&run(&mut ledger, "alpha/admin", vec![admit("root.pem")])), Code::BallotRequired);
    let propose = |id: &str, certificate: Vec<u8>| Operation::ProposalSubmit {
        proposal: id.into(),
        title: "Trust the root".into(),
        text: RuleText::Whole("It is trusted.".into()),
        changes: vec![Change::AuthorityAdmit {
            organisation: "alpha".into(),
            certificate,
            terms: AuthorityTerms::default(),
        }],
        effect_height: None,
    };
    assert!(run(&mut ledger, "beta/admin", vec![propose("trust", der("root.pem"))]).is_accepted());
    // A certificate that could not be an authority's in any state is not voted on; one that merely is not one, fails.
    let malformed = run(&mut ledger, "beta/admin", vec![propose("broken", vec![0x30, 0x00])]);
    assert!(matches!(malformed, Outcome::Refused(Refusal { code: Code::ChangeInvalid, .. })), "{malformed:?}");
    assert!(run(&mut ledger, "beta/admin", vec![propose("clerk", der("clerk.pem"))]).is_accepted());
    ledger.run(
        r#"
        alpha/admin | vote trust yes ; vote clerk yes                | ok
        beta/admin  | vote trust yes ; vote clerk yes                | ok
        blocks 10
        * trust | effective 2-0-0/3 @16
        * clerk | failed 2-0-0/3 @16 (0 certificate-invalid: 0  certificate-use)
        "#,
    );
    assert!(ledger.rows.contains_key(&StateKey::authority("alpha", &id("root.pem"))));
    assert!(!ledger.rows.contains_key(&StateKey::authority("beta", &id("root.pem"))));
    // To trust less needs no vote.
    let retire = Operation::AuthorityRetire { authority: id("root.pem") };
    assert!(run(&mut ledger, "alpha/admin", vec![retire]).is_accepted());
}
