//! The page of refusals lists exactly the codes and rules that exist, in their order.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::{fs, path::Path};

use tallystick_protocol::{Code, Datatype, ViolationRule};

/// The names in the first column of the table under a heading.
fn first_column(page: &str, heading: &str) -> Vec<String> {
    let section = page.split_once(&format!("\n{heading}\n")).unwrap().1;
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    rows.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn the_page_lists_every_code_rule_and_datatype_in_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    let page = fs::read_to_string(page).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(first_column(&page, "## Codes, in order of precedence"), names(&codes));
    let rules: Vec<&str> = ViolationRule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(first_column(&page, "## Violations"), names(&rules));
    let mut listed = first_column(&page, "### Schema");
    let mut datatypes: Vec<&str> = Datatype::ALL.iter().map(|datatype| datatype.as_str()).collect();
    listed.sort();
    datatypes.sort_unstable();
    assert_eq!(listed, names(&datatypes));
}
