//! Certificates made for one fear each, judged by OpenSSL too: it shares no code with what it judges.
//!
//! Where the two differ, [`Case::alone`] says why.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};
use tallystick_ledger::x509::{Certificate, RevocationList, Terms, find};
use tallystick_tests::absent::skipped;
use x509_cert::der::asn1::ObjectIdentifier;

const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const DAY: u64 = 86_400;
const CA: &str = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign";
const LEAF: &str = "keyUsage=critical,digitalSignature";

/// One certificate to make.
#[derive(Clone, Copy)]
struct Spec {
    subject: &'static str,
    extensions: &'static str,
    days: u32,
    key: &'static str,
    digest: &'static str,
}

const ROOT: Spec =
    Spec { subject: "/O=Department/CN=Root", extensions: CA, days: 3_650, key: "P-256", digest: "sha256" };
const BETWEEN: Spec = Spec { subject: "/O=Department/CN=Issuing", days: 1_000, ..ROOT };
const BELOW: Spec = Spec { subject: "/O=Department/CN=Regional", days: 900, ..ROOT };
const CLERK: Spec =
    Spec { subject: "/O=Department/OU=Tax/CN=Clerk", extensions: LEAF, days: 100, key: "P-256", digest: "sha256" };

/// A chain, the root first, and what must be said of it.
struct Case {
    name: &'static str,
    chain: Vec<Spec>,
    /// Days from now at which it is judged.
    day: u64,
    /// Which of the chain is revoked.
    revoked: Option<usize>,
    /// What our refusal says; none when it must hold.
    refusal: Option<&'static str>,
    /// Why OpenSSL is not asked.
    alone: Option<&'static str>,
}

impl Case {
    fn new(name: &'static str, chain: &[Spec], refusal: Option<&'static str>) -> Self {
        Self { name, chain: chain.to_vec(), day: 1, revoked: None, refusal, alone: None }
    }
}

const fn with(spec: Spec, extensions: &'static str) -> Spec {
    Spec { extensions, ..spec }
}

/// An issuing authority that may give these names, and a clerk with those.
fn constrained(name: &'static str, constraint: &'static str, clerk: Spec, refused: bool) -> Case {
    let text = format!("{CA}\nnameConstraints=critical,{constraint}");
    let between = with(BETWEEN, Box::leak(text.into_boxed_str()));
    Case::new(name, &[ROOT, between, clerk], refused.then_some("may not give"))
}

fn named(alternative_name: &'static str) -> Spec {
    with(CLERK, Box::leak(format!("{LEAF}\nsubjectAltName={alternative_name}").into_boxed_str()))
}

fn extended(spec: Spec, more: &'static str) -> Spec {
    with(spec, Box::leak(format!("{}\n{more}", spec.extensions).into_boxed_str()))
}

fn cases() -> Vec<Case> {
    let stranger = Spec { subject: "/O=Company/CN=Clerk", ..CLERK };
    let mut cases = vec![
        Case::new("three certificates", &[ROOT, BETWEEN, CLERK], None),
        Case::new("four certificates", &[ROOT, BETWEEN, BELOW, CLERK], None),
        Case::new(
            "every kind of key",
            &[rsa("RSA-2048"), Spec { key: "P-384", digest: "sha384", ..BETWEEN }, ed()],
            None,
        ),
        Case::new("short RSA key", &[rsa("RSA-1024"), BETWEEN, CLERK], Some("signature")),
        Case::new("SHA-1", &[ROOT, Spec { digest: "sha1", ..BETWEEN }, CLERK], Some("signature algorithm")),
        Case::new("path length", &[ROOT, with(BETWEEN, PATH_0), BELOW, CLERK], Some("more authorities")),
        Case::new("path length kept", &[ROOT, with(BETWEEN, PATH_0), CLERK], None),
        Case::new("no authority between", &[ROOT, with(BETWEEN, LEAF), CLERK], Some("is not an authority's")),
        Case::new("authority that may not sign", &[ROOT, with(BETWEEN, NO_SIGN), CLERK], Some("sign certificates")),
        Case::new("for servers only", &[ROOT, BETWEEN, extended(CLERK, SERVER)], Some("this purpose")),
        Case::new("for clients", &[ROOT, BETWEEN, extended(CLERK, "extendedKeyUsage=clientAuth")], None),
        Case::new("between for servers only", &[ROOT, extended(BETWEEN, SERVER), CLERK], Some("this purpose")),
        constrained("directory name", "permitted;dirName:dn", CLERK, false),
        constrained("another organisation's name", "permitted;dirName:dn", stranger, true),
        constrained("directory name excluded", "excluded;dirName:dn", CLERK, true),
        constrained("mail", "permitted;email:tax.example", named("email:clerk@tax.example"), false),
        constrained("mail of a subdomain", "permitted;email:tax.example", named("email:a@b.tax.example"), true),
        constrained("mail of any subdomain", "permitted;email:.tax.example", named("email:a@b.tax.example"), false),
        constrained("one mailbox", "permitted;email:a@tax.example", named("email:b@tax.example"), true),
        constrained("domain", "permitted;DNS:tax.example", named("DNS:desk.tax.example"), false),
        constrained("domain of that ending", "permitted;DNS:tax.example", named("DNS:syntax.example"), true),
        constrained("domain excluded", "excluded;DNS:tax.example", named("DNS:TAX.example"), true),
        constrained("URI", "permitted;URI:.tax.example", named("URI:https://id.tax.example/clerk"), false),
        constrained("URI elsewhere", "permitted;URI:.tax.example", named("URI:https://tax.example.net/clerk"), true),
        constrained("address", "permitted;IP:10.1.0.0/255.255.0.0", named("IP:10.1.2.3"), false),
        constrained("address outside", "permitted;IP:10.1.0.0/255.255.0.0", named("IP:10.2.2.3"), true),
        Case { day: 200, ..Case::new("expired", &[ROOT, BETWEEN, CLERK], Some("has expired")) },
        Case { day: 950, ..Case::new("expired between", &[ROOT, BETWEEN, BELOW, long()], Some("has expired")) },
        Case { revoked: Some(2), ..Case::new("revoked", &[ROOT, BETWEEN, CLERK], Some("revoked")) },
        Case { revoked: Some(1), ..Case::new("revoked between", &[ROOT, BETWEEN, CLERK], Some("revoked")) },
        Case { revoked: Some(9), ..Case::new("another one revoked", &[ROOT, BETWEEN, CLERK], None) },
    ];
    for (name, extension) in [
        ("policy mappings", "policyMappings=1.2.3:1.2.4"),
        ("policy constraints", "policyConstraints=critical,requireExplicitPolicy:0"),
        ("inhibited policies", "inhibitAnyPolicy=critical,0"),
    ] {
        let alone = Some("it is well-formed, and refused here by name");
        let chain = [ROOT, extended(BETWEEN, extension), CLERK];
        cases.push(Case { alone, ..Case::new(name, &chain, Some(name)) });
    }
    cases
}

const PATH_0: &str = "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign";
const NO_SIGN: &str = "basicConstraints=critical,CA:true\nkeyUsage=critical,cRLSign";
const SERVER: &str = "extendedKeyUsage=serverAuth";

const fn rsa(key: &'static str) -> Spec {
    Spec { key, ..ROOT }
}

const fn ed() -> Spec {
    Spec { key: "Ed25519", ..CLERK }
}

const fn long() -> Spec {
    Spec { days: 2_000, ..CLERK }
}

struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &str) -> Output {
        let words = arguments.split_whitespace().map(|word| word.replace('\u{a0}', " "));
        Command::new("openssl").args(words).current_dir(self.directory.path()).output().unwrap()
    }

    fn must(&self, arguments: &str) {
        let output = self.openssl(arguments);
        assert!(output.status.success(), "openssl {arguments}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn make_key(&self, kind: &str, name: &str) {
        match kind {
            "Ed25519" => self.must(&format!("genpkey -algorithm ed25519 -out {name}.key")),
            "RSA-1024" => self.must(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out {name}.key")),
            "RSA-2048" => self.must(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key")),
            curve => self.must(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out {name}.key")),
        }
    }

    /// Makes certificate `index` of the chain, issued by the one before it.
    fn make(&self, index: usize, spec: &Spec) {
        let extensions = format!(
            "[e]\n{}\nsubjectKeyIdentifier=hash\n{}\n[dn]\nO=Department\n",
            spec.extensions,
            if index == 0 { "" } else { "authorityKeyIdentifier=keyid:always" },
        );
        fs::write(self.path("extensions"), extensions).unwrap();
        self.make_key(spec.key, &format!("c{index}"));
        let subject = spec.subject;
        self.must(&format!("req -new -key c{index}.key -subj {subject} -out c{index}.csr"));
        let issuer = match index.checked_sub(1) {
            None => "-signkey c0.key".to_owned(),
            Some(above) => format!("-CA c{above}.pem -CAkey c{above}.key"),
        };
        self.must(&format!(
            "x509 -req -in c{index}.csr {issuer} -set_serial {} -days {} -{} -extfile extensions -extensions e -out c{index}.pem",
            100 + index,
            spec.days,
            spec.digest,
        ));
        self.must(&format!("x509 -in c{index}.pem -outform DER -out c{index}.der"));
    }

    /// Makes the revocation list of certificate `issuer`, which names serial numbers.
    fn make_list(&self, issuer: usize, serials: &[usize]) {
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n";
        let entries =
            serials.iter().map(|serial| format!("R\t491231235959Z\t260101000000Z\t{serial:02X}\tunknown\t/CN=x\n"));
        fs::write(self.path("ca.conf"), config).unwrap();
        fs::write(self.path("index"), entries.collect::<String>()).unwrap();
        fs::write(self.path("number"), "0A\n").unwrap();
        self.must(&format!(
            "ca -config ca.conf -gencrl -crldays 3000 -keyfile c{issuer}.key -cert c{issuer}.pem -out l{issuer}.pem"
        ));
        self.must(&format!("crl -in l{issuer}.pem -outform DER -out l{issuer}.der"));
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn openssl_agrees() {
    if !has_openssl() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut wrong = Vec::new();
    for case in cases() {
        let desk = Desk { directory: tempfile::tempdir().unwrap() };
        case.chain.iter().enumerate().for_each(|(index, spec)| desk.make(index, spec));
        let last = case.chain.len() - 1;
        (0..last).for_each(|issuer| {
            let revoked = case.revoked.filter(|revoked| *revoked == issuer + 1 || *revoked > last);
            desk.make_list(issuer, &revoked.map(|index| 100 + index).into_iter().collect::<Vec<_>>());
        });
        let at = now + case.day * DAY;
        let ours = judge(&desk, last, at);
        let agrees = match (&ours, case.refusal) {
            (Ok(()), None) => true,
            (Err(said), Some(refusal)) => said.contains(refusal),
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{}: we say {ours:?}, expected {:?}", case.name, case.refusal));
        }
        let theirs = oracle(&desk, last, at);
        if case.alone.is_none() && theirs.is_ok() != case.refusal.is_none() {
            wrong.push(format!("{}: OpenSSL says {theirs:?}, expected {:?}", case.name, case.refusal));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(desk: &Desk, last: usize, at: u64) -> Result<(), String> {
    let parse = |index: usize| {
        Certificate::parse(&read(&desk.path(&format!("c{index}.der")))).map_err(|fault| fault.to_string())
    };
    let (mut others, mut faults) = (Vec::new(), Vec::new());
    for index in 1..last {
        match parse(index) {
            Ok(certificate) => others.push(certificate),
            Err(fault) => faults.push(fault),
        }
    }
    let lists: Vec<_> =
        (0..last).map(|issuer| RevocationList::parse(&read(&desk.path(&format!("l{issuer}.der")))).unwrap()).collect();
    let (certificate, authority) = (parse(last)?, [parse(0)?]);
    let terms = Terms { at, purposes: &[CLIENT], lists: &lists };
    let found = find(&certificate, &others, &authority, terms).map(drop);
    found.map_err(|error| format!("{error}; {}", faults.join("; ")))
}

/// The policies that a chain may assert, the root left out; and those of [`POLICIES`] under which the whole of it stands.
type PolicyCase = (&'static str, [&'static [&'static str]; 3], &'static [&'static str]);

const POLICIES: [&str; 3] = ["1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.3"];
const ANY: &str = "2.5.29.32.0";
const POLICY_CASES: [PolicyCase; 8] = {
    let [low, high, other] = POLICIES;
    [
        ("all the way", [&[low], &[low], &[low]], &[low]),
        ("several", [&[low, high, other], &[high, low], &[low, high]], &[low, high]),
        ("fewer below", [&[low, high], &[low, high], &[high]], &[high]),
        ("more than the issuer may", [&[low], &[low], &[low, high]], &[low]),
        ("not the one above", [&[high], &[low, high], &[low]], &[]),
        ("any above", [&[ANY], &[ANY], &[high, other]], &[high, other]),
        ("any above, some between", [&[ANY], &[high], &[high, other]], &[high]),
        ("nothing between", [&[low], &[], &[low]], &[]),
    ]
};

fn asserting(spec: Spec, policies: &[&str]) -> Spec {
    if policies.is_empty() {
        return spec;
    }
    let text = format!("{}\ncertificatePolicies={}", spec.extensions, policies.join(","));
    with(spec, Box::leak(text.into_boxed_str()))
}

#[test]
fn openssl_agrees_on_policies() {
    if !has_openssl() {
        return;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + DAY;
    for (name, [issuing, regional, clerk], expected) in POLICY_CASES {
        let desk = Desk { directory: tempfile::tempdir().unwrap() };
        let chain = [ROOT, asserting(BETWEEN, issuing), asserting(BELOW, regional), asserting(CLERK, clerk)];
        chain.iter().enumerate().for_each(|(index, spec)| desk.make(index, spec));
        let parse = |index: usize| Certificate::parse(&read(&desk.path(&format!("c{index}.der")))).unwrap();
        let (certificate, others, authority) = (parse(3), [parse(1), parse(2)], [parse(0)]);
        let terms = Terms { at, purposes: &[CLIENT], lists: &[] };
        let path = find(&certificate, &others, &authority, terms).unwrap();
        let ours: Vec<String> = path.policies.iter().map(ToString::to_string).collect();
        assert_eq!(ours, expected, "{name}");
        let between: Vec<u8> = (1..3).flat_map(|index| read(&desk.path(&format!("c{index}.pem")))).collect();
        fs::write(desk.path("between.pem"), between).unwrap();
        for policy in POLICIES {
            let theirs = desk.openssl(&format!(
                "verify -x509_strict -purpose sslclient -attime {at} -explicit_policy -policy {policy} -CAfile c0.pem \
                 -untrusted between.pem c3.pem"
            ));
            assert_eq!(theirs.status.success(), expected.contains(&policy), "{name}, {policy}: {theirs:?}");
        }
    }
}

/// Whether there is an oracle; says so where it cannot be missed if there is none.
fn has_openssl() -> bool {
    let is_here = Command::new("openssl").arg("version").output().is_ok();
    if !is_here {
        skipped("`openssl` is absent; this test compares with it");
    }
    is_here
}

fn oracle(desk: &Desk, last: usize, at: u64) -> Result<(), String> {
    let between: Vec<u8> = (1..last).flat_map(|index| read(&desk.path(&format!("c{index}.pem")))).collect();
    let lists: Vec<u8> = (0..last).flat_map(|issuer| read(&desk.path(&format!("l{issuer}.pem")))).collect();
    fs::write(desk.path("between.pem"), between).unwrap();
    fs::write(desk.path("lists.pem"), lists).unwrap();
    let output = desk.openssl(&format!(
        "verify -x509_strict -auth_level 2 -purpose sslclient -crl_check_all -attime {at} -CAfile c0.pem \
         -CRLfile lists.pem -untrusted between.pem c{last}.pem"
    ));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
