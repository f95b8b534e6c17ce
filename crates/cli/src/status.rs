//! `tally status`: how the nodes of the network are, as a table.

use crate::{
    bench::process::disk_bytes,
    connection::{Connection, tell_no_notices},
    output::{Colour, Done, Failure, Table, count, json, line, paint, thousands},
    sandbox::layout::{Layout, now_ms},
};
use clap::Args;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::PathBuf,
    thread,
    time::Duration,
};
use tallystick_api::{ExpiryView, NodeStatus, PartitionTroubleView, PrivateErasures, PrivateNotices, ProblemCode};
use tallystick_client::{Client, Error, Signer};
use tallystick_protocol::{ErasureStatus, PrincipalId, limits::EXPIRY_WARNING_DAYS};

const DAY_MS: u64 = 86_400_000;

/// Pages of corrections, the newest first, that are looked at for notices.
const NOTICE_PAGES: usize = 5;

/// How long a node may take to say how it is: it need not think about that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine's note of each connection: since when it stands, by peer.
const CONNECTED_METRIC: &str = "tracker_directory_connected";

/// Show how the nodes are
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every node serves, every validator votes, the network goes on, no node says that something is amiss, no partition \
    stands still or has an alarm, and no order of erasure of the nodes' own organisations is overdue; 1 not so.\n\n\
    Examples:\n  \
    tally status                       once\n  \
    tally status --watch 2             every two seconds\n  \
    tally status --json                for a program"
)]
pub struct Status {
    /// Show it again every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What a node says of itself.
#[derive(Debug, Serialize)]
struct Row {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<NodeStatus>,
    /// Blocks behind the highest node.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finality_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<u64>,
    /// Bytes of its folder, where that is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
}

impl Status {
    /// Runs the command.
    pub fn run(self) -> Done {
        let client = self.connection.client()?.within(PATIENCE);
        tell_no_notices();
        let signer = if self.json { Ok(None) } else { self.connection.own_signer() };
        loop {
            let mut rows = ask(&client);
            self.measure_disks(&mut rows);
            if self.json {
                json(&rows)?;
            } else {
                let is_served = rows.iter().filter_map(|row| row.status.as_ref()).any(|status| status.ready);
                let own = if is_served { self.own_expiries(&client) } else { Vec::new() };
                show(&rows, &own)?;
                let owed = if is_served { self.own_notices(&client, &signer) } else { Vec::new() };
                owed.iter().try_for_each(|told| line(format_args!("  {}", paint(Colour::Yellow, told))))?;
            }
            let Some(seconds) = self.watch else {
                let is_well = |row: &Row| row.status.as_ref().is_some_and(is_well);
                return if rows.iter().all(is_well) { Ok(()) } else { Err(Failure::Said) };
            };
            thread::sleep(Duration::from_secs(seconds));
            line("")?;
        }
    }
}

impl Status {
    /// Which keys of the profile's principal end soon. No answer is told elsewhere.
    fn own_expiries(&self, client: &Client) -> Vec<ExpiryView> {
        let profile = self.connection.profile().ok().flatten();
        let principal = profile.and_then(|profile| profile.principal?.parse().ok());
        let Some(Ok(Some(found))) = principal.map(|id| client.principal(&id)) else { return Vec::new() };
        let keys = found.value.keys.into_iter().filter(|key| key.retired_ms.is_none());
        let soon_ms =
            now_ms().saturating_add(EXPIRY_WARNING_DAYS.into_iter().max().unwrap_or(0).saturating_mul(DAY_MS));
        keys.filter_map(|key| {
            let until_ms = key.until_ms.filter(|until_ms| *until_ms <= soon_ms)?;
            let days = until_ms.saturating_sub(now_ms()).div_ceil(DAY_MS);
            Some(ExpiryView {
                what: "key".to_owned(),
                of: found.value.id.to_string(),
                id: key.key.to_string(),
                until_ms,
                within_days: EXPIRY_WARNING_DAYS.into_iter().filter(|at| days <= *at && days > 0).min().unwrap_or(0),
                remedy: "renew it with `tally key certify`".to_owned(),
            })
        })
        .collect()
    }

    /// What people of the organisation of the profile's principal read, that was wrong, and have not said that they know: in public, and in its
    /// partitions where questions can be signed; and what is overdue in those that it oversees.
    fn own_notices(&self, client: &Client, signer: &Result<Option<Signer>, Failure>) -> Vec<String> {
        let principal = self.connection.profile().ok().flatten().and_then(|profile| profile.principal?.parse().ok());
        let Some(principal): Option<PrincipalId> = principal else { return Vec::new() };
        let mut told = Vec::new();
        match public_notices(client, &principal) {
            Ok(sentence) => told.extend(sentence),
            Err(error) => told.push(untold("public", &error)),
        }
        let own = match own_partitions(client, principal.organisation()) {
            Ok(own) => own,
            Err(error) => return told.into_iter().chain([untold("partitions", &error)]).collect(),
        };
        match signer {
            _ if own.is_empty() => {}
            Ok(Some(signer)) => {
                let (overseen, shared) = own.into_iter().partition(|(_, is_overseen)| *is_overseen);
                let names = |all: Vec<(String, bool)>| all.into_iter().map(|(name, _)| name).collect();
                told.extend(partition_notices(client, signer, names(shared)));
                told.extend(overdue_overseen(client, signer, names(overseen)));
            }
            Ok(None) => told.push(untold("partitions", &"the profile has no key of its principal")),
            Err(error) => told.push(untold("partitions", error)),
        }
        told
    }

    /// A sandbox's folders are here and can be measured.
    fn measure_disks(&self, rows: &mut [Row]) {
        let dir = self.connection.dir.clone().unwrap_or_else(|| PathBuf::from("sandbox"));
        let Some(layout) = Layout::exists(&dir).then(|| Layout::read(&dir).ok()).flatten() else { return };
        for row in rows {
            let place = layout.nodes.iter().find(|place| place.url() == row.node);
            row.disk_bytes = place.map(|place| disk_bytes(&place.data));
        }
    }
}

/// The notices that wait for a principal's organisation in public.
fn public_notices(client: &Client, principal: &PrincipalId) -> Result<Option<String>, Error> {
    let organisation = principal.organisation();
    let (mut notices, mut own, mut cursor) = (0, 0, None);
    for _ in 0..NOTICE_PAGES {
        let mut query = vec![("organisation", organisation), ("open", "true")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = client.notices(&query)?;
        let all = || page.corrections.iter().flat_map(|correction| &correction.notices);
        notices += all().count() as u64;
        own += all().filter(|notice| notice.reader == *principal).count() as u64;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(notices_sentence(organisation, (notices, own), cursor.is_some()))
}

/// The partitions that an organisation is a member of, and those that it only oversees: each with whether it is one of these.
fn own_partitions(client: &Client, organisation: &str) -> Result<Vec<(String, bool)>, Error> {
    let all = client.partitions()?.value.partitions.into_iter().map(|one| one.agreement);
    let own = all.filter_map(|terms| {
        let is_member = terms.has_member(organisation);
        let oversees = terms.regulators.iter().any(|regulator| regulator == organisation);
        (is_member || oversees).then_some((terms.partition, !is_member))
    });
    Ok(own.collect())
}

/// What is overdue in partitions that the signer's organisation oversees: a member's node tells its regulators.
fn overdue_overseen(client: &Client, signer: &Signer, partitions: Vec<String>) -> Vec<String> {
    let organisation = signer.principal().organisation();
    let overdue = |partition: &str| -> Result<u64, Error> {
        let (member, _) = client.overseen(organisation, partition)?;
        let (mut overdue, mut cursor) = (0, None);
        loop {
            let asked = PrivateErasures { open: true, cursor, ..PrivateErasures::default() };
            let page = member.partition_erasures(signer, partition, &asked)?.value;
            overdue += page.erasures.iter().filter(|one| one.status == ErasureStatus::Overdue).count() as u64;
            let next = page.next.and_then(|next| next.parse().ok()).filter(|next| cursor.is_none_or(|at| *next < at));
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(overdue),
            }
        }
    };
    let told = partitions.into_iter().filter_map(|partition| match overdue(&partition) {
        Ok(0) => None,
        Ok(orders) => {
            let orders = count(orders, "order of erasure is", "orders of erasure are");
            Some(format!(
                "partition {partition}, which {organisation} oversees: {orders} overdue: `tally erasure list --open --partition {partition}` says whose"
            ))
        }
        // Who has not the role is not told, and need not know.
        Err(error) if error.code() == Some(ProblemCode::Unasked.as_str()) => None,
        Err(error) => Some(format!("whether orders of erasure are overdue in partition {partition} cannot be told: {error}")),
    });
    told.collect()
}

/// That it is not known whether notices wait there.
fn untold(place: &str, why: &dyn Display) -> String {
    format!("whether notices wait in {place} cannot be told: {why}")
}

/// That it is not known whether notices wait in these partitions, by why: in a line for all of which that is the same.
fn untold_partitions(untold_by: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = String> {
    untold_by.iter().map(|(why, partitions)| {
        let noun = if partitions.len() > 1 { "partitions" } else { "partition" };
        untold(&format!("{noun} {}", partitions.join(", ")), why)
    })
}

/// The notices that wait for the signer's organisation in each of these partitions.
fn partition_notices(client: &Client, signer: &Signer, partitions: Vec<String>) -> Vec<String> {
    let organisation = signer.principal().organisation();
    let holder = client.holder(organisation);
    let (mut told, mut untold_by) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for partition in partitions {
        let notices = match &holder {
            Ok((holder, _)) => holder.partition_notices(signer, &partition).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match notices {
            Ok(notices) => told.extend(private_notices_sentence(organisation, &notices)),
            Err(error) => untold_by.entry(error).or_default().push(partition),
        }
    }
    told.extend(untold_partitions(&untold_by));
    told
}

/// Whether a node does what it is there for and has nothing to complain of, with every partition that it holds, and its organisation what it is
/// ordered: one that is no validator is there to serve.
const fn is_well(status: &NodeStatus) -> bool {
    let serves = status.ready && (status.voting || !status.validator) && status.reasons.is_empty();
    serves && status.partitions.is_empty() && status.erasures.overdue == 0
}

/// What it says of its vote.
const fn votes(status: &NodeStatus) -> &'static str {
    match (status.voting, status.validator) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) => "follows",
    }
}

/// How many nodes it is connected to, of the validators other than itself.
fn peers(connected: Option<u64>, status: &NodeStatus) -> String {
    let others = status.validators.saturating_sub(u64::from(status.validator));
    connected.map_or_else(|| "-".to_owned(), |connected| format!("{connected} of {others}"))
}

/// Asks all nodes at once: a dead one must not keep the others waiting.
fn ask(client: &Client) -> Vec<Row> {
    let mut rows: Vec<Row> = thread::scope(|scope| {
        let asked: Vec<_> = client.nodes().iter().map(|node| (node, scope.spawn(|| ask_one(client, node)))).collect();
        let gone = |node: &String| failed(node, "asking it failed".to_owned());
        asked.into_iter().map(|(node, row)| row.join().unwrap_or_else(|_| gone(node))).collect()
    });
    let highest = rows.iter().filter_map(|row| row.status.as_ref()).map(|status| status.height).max().unwrap_or(0);
    for row in &mut rows {
        row.lag = row.status.as_ref().map(|status| highest.saturating_sub(status.height));
    }
    rows
}

/// The keys of the validators, as metrics name peers.
fn validators(client: &Client) -> BTreeSet<String> {
    let found = client.validators().map(|found| found.value.current.validators);
    found.into_iter().flatten().map(|validator| validator.key).collect()
}

fn ask_one(client: &Client, node: &str) -> Row {
    let client = client.only(node);
    match client.status() {
        Err(error) => failed(node, error.to_string()),
        Ok(status) => {
            let metrics = client.metrics().unwrap_or_default();
            Row {
                node: node.to_owned(),
                error: None,
                status: Some(status),
                lag: None,
                disk_bytes: None,
                finality_ms: samples(&metrics, "_finality_ms").next().map(|(_, value)| value),
                peers: Some(connected(&metrics, &validators(&client))),
            }
        }
    }
}

fn failed(node: &str, error: String) -> Row {
    Row {
        node: node.to_owned(),
        error: Some(error),
        status: None,
        lag: None,
        finality_ms: None,
        peers: None,
        disk_bytes: None,
    }
}

/// How many of the validators a node is connected to. Nodes that follow are connected too, and are not counted.
fn connected(metrics: &str, validators: &BTreeSet<String>) -> u64 {
    let of = |labels: &str| labels.split('"').nth(1).is_some_and(|peer| validators.contains(peer));
    samples(metrics, CONNECTED_METRIC).filter(|(labels, since)| *since > 0.0 && of(labels)).count() as u64
}

/// The samples of the metrics whose names end so, each with its labels, in the text format of Prometheus.
fn samples<'a>(text: &'a str, suffix: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
        let (name, rest) = line.split_at(line.find(['{', ' '])?);
        let (labels, rest) = if rest.starts_with('{') { rest.rsplit_once('}')? } else { ("", rest) };
        let value = rest.trim_start().split(' ').next()?.parse().ok()?;
        name.ends_with(suffix).then_some((labels, value))
    })
}

/// `own`: the ends of the signer's keys, which the nodes of its organisation tell too.
fn show(rows: &[Row], own: &[ExpiryView]) -> Done {
    if let Some(status) = rows.iter().find_map(|row| row.status.as_ref()) {
        line(format_args!(
            "{} \"{}\" {}: {} in the log, {}",
            paint(Colour::Bold, "network"),
            status.network_name,
            status.network,
            count(status.log_size, "transaction", "transactions"),
            count(status.registers, "register", "registers")
        ))?;
        for height in &status.recovered {
            let told = format!("recovered after block {height}: `tally network validators` says why, and by whom");
            line(paint(Colour::Yellow, &told))?;
        }
    }
    let mut table =
        Table::new(&["node", "state", "height", "lag", "age", "votes", "peers", "waiting", "finality", "disk"]);
    let mut reasons = Vec::new();
    for row in rows {
        let Some(status) = &row.status else {
            table.row([row.node.clone(), "no answer".to_owned()]);
            reasons.extend(row.error.clone());
            continue;
        };
        reasons.extend(status.reasons.iter().map(|reason| format!("{}: {reason}", row.node)));
        table.row([
            row.node.clone(),
            (if status.ready { "serves" } else { "not ready" }).to_owned(),
            thousands(status.height),
            row.lag.map_or_else(String::new, thousands),
            format!("{:.1} s", status.age_ms as f64 / 1_000.0),
            votes(status).to_owned(),
            peers(row.peers, status),
            thousands(status.pool),
            row.finality_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms")),
            row.disk_bytes.map_or_else(|| "-".to_owned(), |disk| bytes(disk as f64)),
        ]);
    }
    for (node, overdue) in
        rows.iter().filter_map(|row| Some((&row.node, row.status.as_ref()?.erasures.overdue))).filter(|(_, n)| *n > 0)
    {
        let orders = count(overdue, "order of erasure is", "orders of erasure are");
        reasons.push(format!(
            "{node}: {orders} overdue: `tally erasure list --open` says which, and who has not destroyed"
        ));
    }
    reasons.extend(partition_troubles(rows));
    let statuses = rows.iter().filter_map(|row| row.status.as_ref());
    let of_all = statuses.map(|status| status.erasures.overdue_of_all).max().unwrap_or_default();
    if of_all > 0 {
        let orders = count(of_all, "order of erasure is", "orders of erasure are");
        reasons.push(format!(
            "the network: {orders} overdue in the public partition: `tally erasure list --open` says whose, and who has not destroyed"
        ));
    }
    let told = rows.iter().filter_map(|row| row.status.as_ref()).flat_map(|status| &status.expiries).chain(own);
    let told: BTreeMap<(u64, &str), &ExpiryView> =
        told.map(|expiry| ((expiry.until_ms, expiry.id.as_str()), expiry)).collect();
    reasons.extend(told.values().map(|expiry| expiry.sentence(now_ms())));
    table.print()?;
    reasons.iter().try_for_each(|reason| line(format_args!("  {}", paint(Colour::Yellow, reason))))
}

/// That notices wait for an organisation, so many in public and of them so many for whoever asks, or, where there `are_more`, at least so many.
fn notices_sentence(organisation: &str, (notices, own): (u64, u64), are_more: bool) -> Option<String> {
    let notices = (notices > 0).then(|| count(notices, "notice", "notices"))?;
    let more = if are_more { " or more" } else { "" };
    Some(format!(
        "{organisation}: {notices}{more} of what was read, and was wrong{}: `tally notice list --organisation {organisation} --open` says whose",
        yours(own)
    ))
}

/// How many of these notices are for whoever asks.
fn yours(own: u64) -> String {
    if own > 0 { format!(", {} of them yours", thousands(own)) } else { String::new() }
}

/// That notices wait for an organisation in a partition.
fn private_notices_sentence(organisation: &str, notices: &PrivateNotices) -> Option<String> {
    let PrivateNotices { partition, own, organisation: all, is_whole, .. } = notices;
    let told = match (all, is_whole) {
        (0, true) => return None,
        (0, false) => format!("notices may wait in partition {partition}, which its node is looking through"),
        (_, true) => {
            format!("{} of what was read in partition {partition}, and was wrong", count(*all, "notice", "notices"))
        }
        (_, false) => format!(
            "{} or more of what was read in partition {partition}, and was wrong",
            count(*all, "notice", "notices")
        ),
    };
    Some(format!(
        "{organisation}: {told}{}: `tally notice list --partition {partition} --organisation {organisation} --open` says whose",
        yours(*own)
    ))
}

/// What is amiss with partitions: what stands still by node, an alarm once, for all members' nodes tell it.
fn partition_troubles(rows: &[Row]) -> Vec<String> {
    let told = || rows.iter().filter_map(|row| Some((&row.node, &row.status.as_ref()?.partitions)));
    let stalls = told().flat_map(|(node, troubles)| {
        troubles.iter().filter_map(move |trouble| Some(format!("{node}: {}", trouble.stall_sentence()?)))
    });
    let alarms: BTreeSet<String> =
        told().flat_map(|(_, troubles)| troubles).filter_map(PartitionTroubleView::alarm_sentence).collect();
    stalls.chain(alarms).collect()
}

/// Bytes for people.
pub fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or("B");
    for next in units {
        if value < 1_000.0 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, clippy::unwrap_used, clippy::panic)]
    use super::*;
    use tallystick_protocol::Hash;

    #[test]
    fn metrics_are_found_by_the_end_of_their_names() {
        let text = "# TYPE a gauge\nnode_a{db=\"state\"} 3\nnode_a{db=\"log\"} 4.5\na_b 9\nb 1 1700000000\n";
        let found = |suffix| samples(text, suffix).map(|(_, value)| value).collect::<Vec<f64>>();
        assert_eq!(found("_a"), [3.0, 4.5]);
        assert_eq!(found("b"), [9.0, 1.0]);
        assert!(found("c").is_empty());
    }

    #[test]
    fn only_validators_count_as_peers() {
        let text = "network_tracker_directory_connected{peer=\"aa\"} 1795000000000\n\
            network_tracker_directory_connected{peer=\"bb\"} 0\nnetwork_tracker_directory_connected{peer=\"cc\"} 1795000000000\n";
        let of = |keys: &[&str]| connected(text, &keys.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!((of(&["aa", "bb"]), of(&["aa", "cc"]), of(&[])), (1, 2, 0));
    }

    fn status(partitions: serde_json::Value) -> NodeStatus {
        serde_json::from_value(serde_json::json!({
            "version": "0", "network": "", "network_name": "", "ready": true, "reasons": [], "height": 9, "time_ms": 0,
            "digest": Hash::default(), "log_size": 0, "log_root": Hash::default(), "state_root": Hash::default(), "age_ms": 0,
            "pool": 0, "validators": 4, "validator": false, "voting": false, "registers": 0, "partitions": partitions,
        }))
        .unwrap()
    }

    #[test]
    fn a_node_that_follows_is_well_without_a_vote() {
        let mut status = status(serde_json::json!([]));
        let said = |status: &NodeStatus| (is_well(status), votes(status), peers(Some(3), status));
        assert_eq!(said(&status), (true, "follows", "3 of 4".to_owned()));
        status.validator = true;
        assert_eq!(said(&status), (false, "no", "3 of 3".to_owned()));
        status.voting = true;
        assert_eq!(said(&status), (true, "yes", "3 of 3".to_owned()));
        status.erasures.overdue = 1;
        assert!(!is_well(&status));
        status.erasures.overdue = 0;
        status.ready = false;
        assert!(!is_well(&status));
    }

    #[test]
    fn a_partition_that_stands_still_or_has_an_alarm_is_told_with_the_remedy() {
        let partition = |missing: u64, alarm: serde_json::Value| serde_json::json!({"partition": "outbreaks", "height": 40, "missing": missing, "alarm": alarm});
        let posted = |node: &str, byte: u8| serde_json::json!({"height": 41, "node": node, "root": Hash([byte; 32])});
        let alarm = serde_json::json!([posted("council/vault", 1), posted("harbour/vault", 2)]);
        let row = |node: &str, missing| Row {
            status: Some(status(serde_json::json!([partition(missing, alarm.clone())]))),
            error: None,
            ..failed(node, String::new())
        };
        let rows = [row("http://one", 2), row("http://two", 0)];
        assert!(rows.iter().all(|row| !row.status.as_ref().is_some_and(is_well)));
        let told = partition_troubles(&rows);
        let [stall, alarm] = told.as_slice() else { panic!("{told:?}") };
        assert!(
            stall.starts_with("http://one: partition outbreaks stands still after block 40: 2 payloads are"),
            "{stall}"
        );
        assert!(stall.contains("tally partition show outbreaks"), "{stall}");
        assert!(
            alarm.starts_with("alarm: partition outbreaks:") && alarm.contains("harbour/vault has 0202"),
            "{alarm}"
        );
        assert!(is_well(&status(serde_json::json!([]))));
        let shut = serde_json::json!({"partition": "outbreaks", "height": 0, "missing": 0, "shut": true});
        let row =
            Row { status: Some(status(serde_json::json!([shut]))), error: None, ..failed("http://one", String::new()) };
        assert!(!row.status.as_ref().is_some_and(is_well));
        let told = partition_troubles(&[row]);
        let [shut] = told.as_slice() else { panic!("{told:?}") };
        assert!(shut.starts_with("http://one: partition outbreaks cannot be opened"), "{shut}");
        assert!(shut.contains("look at the disk"), "{shut}");
    }

    #[test]
    fn an_organisation_is_told_of_what_its_people_must_know() {
        assert_eq!(notices_sentence("home-office", (0, 0), false), None);
        let told = notices_sentence("home-office", (1, 0), false).unwrap();
        assert!(told.starts_with("home-office: 1 notice of what was read"), "{told}");
        let told = notices_sentence("home-office", (100, 3), true).unwrap();
        assert!(told.contains("3 of them yours"), "{told}");
        assert!(told.contains("100 notices or more") && told.contains("--organisation home-office --open"), "{told}");
        let within = |own, organisation, is_whole| {
            let notices = PrivateNotices { partition: "health".to_owned(), height: 9, own, organisation, is_whole };
            private_notices_sentence("home-office", &notices)
        };
        assert_eq!(within(0, 0, true), None);
        assert!(within(0, 0, false).unwrap().contains("notices may wait in partition health"));
        assert!(within(0, 3, false).unwrap().contains("3 notices or more of what was read"));
        let (one, two) = (within(0, 1, true).unwrap(), within(1, 2, true).unwrap());
        assert!(one.contains("1 notice of what was read in partition health") && !one.contains("yours"), "{one}");
        assert!(two.contains("2 notices") && two.contains("1 of them yours"), "{two}");
        assert!(two.contains("--partition health --organisation home-office --open"), "{two}");
    }

    #[test]
    fn partitions_that_are_not_told_of_for_one_reason_are_named_in_one_line() {
        let untold_by = |rows: &[(&str, &[&str])]| -> Vec<String> {
            let rows = rows.iter().map(|(why, names)| {
                ((*why).to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            });
            untold_partitions(&rows.collect()).collect()
        };
        let told = untold_by(&[("none holds", &["debts", "health"]), ("timed out", &["police"])]);
        assert_eq!(
            told,
            [
                "whether notices wait in partitions debts, health cannot be told: none holds",
                "whether notices wait in partition police cannot be told: timed out",
            ]
        );
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1_500_000.0), "1.5 MB");
    }
}
