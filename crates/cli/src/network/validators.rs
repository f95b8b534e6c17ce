//! `tally network validators`: who certifies blocks, now and next, and when that changes.

use crate::{
    connection::Connection,
    output::{Colour, Done, Table, count, json, line, paint},
};
use clap::Args;
use std::collections::BTreeMap;
use tallystick_api::{RecoveryView, ValidatorSetView, ValidatorView, ValidatorsView};

/// Show who certifies blocks, now and next, and at which height that changes
#[derive(Debug, Args)]
pub struct Validators {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Validators {
    /// Runs the command.
    pub fn run(self) -> Done {
        let found = self.connection.client()?.validators()?;
        if self.json {
            return json(&found.value);
        }
        let view = &found.value;
        line(format_args!(
            "{} {} of {}; the newest block is {}",
            paint(Colour::Bold, "epoch"),
            view.current.epoch,
            count(view.epoch_blocks, "block", "blocks"),
            found.height.unwrap_or_default()
        ))?;
        for (set, when) in view.sets().into_iter().zip(["now", "next", "then"]) {
            line(format_args!("  {when:<5} {}", sentence(set)))?;
        }
        line("")?;
        table(view).print()?;
        changes(view).iter().try_for_each(line)?;
        view.recoveries.iter().map(RecoveryView::sentence).try_for_each(line)
    }
}

fn sentence(set: &ValidatorSetView) -> String {
    let many = set.validators.len();
    format!("epoch {} from block {}: {} of {many} certify", set.epoch, set.from_height, set.quorum)
}

/// Every validator of the three sets, and in which of them it stands.
fn table(view: &ValidatorsView) -> Table {
    let mut table = Table::new(&["validator of", "now", "next", "then", "key", "address"]);
    let validators: BTreeMap<(&str, &str), &ValidatorView> = view
        .sets()
        .into_iter()
        .flat_map(|set| &set.validators)
        .map(|validator| ((validator.organisation.as_str(), validator.key.as_str()), validator))
        .collect();
    for ((organisation, key), validator) in validators {
        let places = view.sets().map(|set| if set.contains(key) { "yes" } else { "-" }.to_owned());
        let ends = [key.to_owned(), validator.address.clone()];
        table.row([organisation.to_owned()].into_iter().chain(places).chain(ends));
    }
    table
}

/// What is decided and has yet to come, a sentence each.
fn changes(view: &ValidatorsView) -> Vec<String> {
    let [now, next, then] = view.sets();
    let mut said = Vec::new();
    for (before, after) in [(now, next), (next, then)] {
        let when = format!("in epoch {}, from block {} on", after.epoch, after.from_height);
        let differ = |of: &ValidatorSetView, other: &ValidatorSetView, verb: &str| -> Vec<String> {
            let only = of.validators.iter().filter(|validator| !other.contains(&validator.key));
            only.map(|validator| format!("{} of {} {verb} {when}", validator.key, validator.organisation)).collect()
        };
        said.extend(differ(after, before, "joins"));
        said.extend(differ(before, after, "leaves"));
    }
    if said.is_empty() {
        said.push("no change is scheduled".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(epoch: u64, keys: &[&str]) -> ValidatorSetView {
        let validator = |key: &&str| ValidatorView {
            key: (*key).to_owned(),
            organisation: format!("of-{key}"),
            address: String::new(),
        };
        ValidatorSetView { epoch, from_height: epoch * 10, quorum: 1, validators: keys.iter().map(validator).collect() }
    }

    #[test]
    fn what_is_scheduled_is_told_with_its_height() {
        let view = ValidatorsView {
            epoch_blocks: 10,
            current: set(3, &["a", "b"]),
            next: set(4, &["a", "b"]),
            later: set(5, &["b", "c"]),
            former: Vec::new(),
            recoveries: Vec::new(),
        };
        assert_eq!(
            changes(&view),
            ["c of of-c joins in epoch 5, from block 50 on", "a of of-a leaves in epoch 5, from block 50 on"]
        );
        let rows = table(&view).lines();
        assert_eq!(rows.len(), 4, "{rows:?}");
        assert!(rows.iter().any(|row| row.starts_with("of-c          -    -     yes")), "{rows:?}");
        let settled = ValidatorsView { later: set(5, &["a", "b"]), ..view };
        assert_eq!(changes(&settled), ["no change is scheduled"]);
    }
}
