//! Who an organisation is in law, and who says so, one row an event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, three_organisations};
use tallystick_ledger::OrganisationRow;
use tallystick_protocol::{Change, OrganisationStatus, Particulars, StateKey};

fn row(ledger: &Ledger, id: &str) -> OrganisationRow {
    OrganisationRow::decode(&ledger.rows[&StateKey::organisation(id)]).unwrap()
}

fn particulars() -> Particulars {
    Particulars {
        legal_name: Some("Alpha Limited".into()),
        registration: Some("GB-COH-00445790".parse().unwrap()),
        jurisdiction: Some("GB".parse().unwrap()),
        contact: Some("office@alpha.example".into()),
    }
}

#[test]
fn an_organisation_keeps_the_particulars_with_which_it_began() {
    let mut genesis = three_organisations();
    genesis.organisations[0].particulars = particulars();
    genesis.validate().unwrap();
    let ledger = Ledger::of(genesis);
    assert_eq!(
        (row(&ledger, "alpha").particulars, row(&ledger, "beta").particulars),
        (particulars(), Particulars::default())
    );
}

#[test]
fn an_administrator_says_how_its_organisation_is_reached() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/clerk | contact desk@alpha.example | 0 not-permitted
        alpha/admin | contact desk@alpha.example | ok
        "#,
    );
    let reached = Particulars { contact: Some("desk@alpha.example".into()), ..Particulars::default() };
    assert_eq!(row(&ledger, "alpha").particulars, reached);
    assert!(row(&ledger, "beta").particulars.is_empty());
    ledger.run("alpha/admin | contact | ok");
    assert!(row(&ledger, "alpha").particulars.is_empty());
}

#[test]
fn the_members_say_who_an_organisation_is() {
    let mut ledger = Ledger::new();
    ledger.run(
        r#"
        alpha/admin | contact office@alpha.example | ok
        alpha/admin | propose nothing amend:alpha:none | 0 change-invalid (0 change empty)
        alpha/admin | propose who amend:alpha:legal=AlphaLtd,registration=GB-COH-00445790,jurisdiction=GB | ok
        alpha/admin | vote who yes  | ok
        beta/admin  | vote who yes  | ok
        blocks 11
        * who | effective 2-0-0/3 @15
        alpha/admin | propose name amend:alpha:name=Alpha,jurisdiction=GB-SCT amend:nobody:name=N | ok
        alpha/admin | vote name yes | ok
        beta/admin  | vote name yes | ok
        blocks 11
        * name | failed 2-0-0/3 @29 (1 organisation-unknown)
        alpha/admin | propose again amend:alpha:name=Alpha,jurisdiction=GB-SCT | ok
        alpha/admin | vote again yes | ok
        beta/admin  | vote again yes | ok
        blocks 11
        "#,
    );
    let alpha = row(&ledger, "alpha");
    assert_eq!((alpha.name.as_str(), alpha.status), ("Alpha", OrganisationStatus::Active));
    let expected = Particulars {
        legal_name: Some("AlphaLtd".into()),
        jurisdiction: Some("GB-SCT".parse().unwrap()),
        ..particulars()
    };
    assert_eq!(alpha.particulars, expected, "what is left out stays");
}

#[test]
fn an_organisation_is_admitted_with_its_particulars() {
    let mut ledger = Ledger::new();
    let Change::OrganisationAdmit { mut organisation } = harness::change("admit:delta") else { panic!("no admission") };
    organisation.particulars = particulars();
    let submit = tallystick_protocol::Operation::ProposalSubmit {
        proposal: "delta".into(),
        title: "Delta joins".into(),
        text: tallystick_protocol::RuleText::Whole("It does.".into()),
        changes: vec![Change::OrganisationAdmit { organisation }],
        effect_height: None,
    };
    assert!(ledger.act("alpha/admin", vec![submit]).is_accepted());
    ledger.run("alpha/admin | vote delta yes | ok\nbeta/admin | vote delta yes | ok\nblocks 11");
    assert_eq!(row(&ledger, "delta").particulars, particulars());
}
