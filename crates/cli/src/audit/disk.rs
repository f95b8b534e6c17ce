//! `tally audit disk`: judge a node's stored ledger, offline, from genesis, trusting the network file and nothing else.

use crate::{
    connection::Connection,
    output::{Colour, Done, Failure, count, json, line, paint, progress, thousands},
};
use clap::Args;
use std::{path::PathBuf, time::Instant};
use tallystick_client::read_network;
use tallystick_node::audit::{AuditError, Report, audit};

/// Check a node's whole ledger from genesis, without the network
#[derive(Debug, Args)]
#[command(
    after_help = "Every signature is checked, every outcome executed again, every root and certificate compared. The folder is \
    only read; the node may run meanwhile.\n\n\
    Exit codes: 0 it holds; 1 it does not, and the first block (and bytes) that does not hold is named; 2 it cannot be read.\n\n\
    Examples:\n  \
    tally audit disk sandbox/companies-house/data\n  \
    tally audit disk /var/lib/tally/data --network network.json"
)]
pub struct Disk {
    /// A node's data folder (`data_dir` in its configuration)
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Disk {
    /// Runs the command.
    pub fn run(self) -> Done {
        let network = self.network()?;
        let genesis = read_network(&network)?;
        let started = Instant::now();
        let bar = progress(0, "blocks");
        let follow = bar.clone();
        let audited = audit(&self.data, &network, move |progress| {
            follow.set_length(progress.of);
            follow.set_position(progress.blocks);
        });
        bar.finish_and_clear();
        match audited {
            Ok(report) if self.json => json(&report_json(&report)),
            Ok(report) => show(&report, &genesis.name, started),
            Err(AuditError::Broken(finding)) if self.json => {
                json(&serde_json::json!({
                    "holds": false, "height": finding.height, "what": finding.what,
                    "bytes": finding.bytes.as_ref().map(|range| [range.start, range.end]),
                }))?;
                Err(Failure::Said)
            }
            Err(AuditError::Broken(finding)) => {
                line(format_args!("{} {finding}", paint(Colour::Red, "does not hold:")))?;
                Err(Failure::Said)
            }
            Err(error) => Err(Failure::error(error)),
        }
    }

    fn network(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.connection.network {
            return Ok(path.clone());
        }
        match self.connection.profile()? {
            Some(profile) => Ok(profile.network),
            None => Err(Failure::error("name the trust anchor with --network network.json")),
        }
    }
}

fn report_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "holds": true, "blocks": report.blocks, "transactions": report.transactions,
        "certificates": report.certificates, "unchecked": report.unchecked, "log_size": report.log_size, "log_root": report.log_root,
        "state_root": report.state_root,
    })
}

fn show(report: &Report, network: &str, started: Instant) -> Done {
    line(format_args!("{} the whole ledger of network \"{network}\", from genesis", paint(Colour::Green, "holds:")))?;
    line(format_args!("blocks        {}", thousands(report.blocks)))?;
    line(format_args!(
        "transactions  {}: every signature checked, every outcome executed again",
        thousands(report.transactions)
    ))?;
    line(format_args!("certificates  {}", thousands(report.certificates)))?;
    if report.unchecked > 0 {
        line(format_args!(
            "not checked   {} after these: the node has not stored all yet that they are checked with",
            count(report.unchecked, "block", "blocks")
        ))?;
    }
    line(format_args!("log           {}, root {}", count(report.log_size, "leaf", "leaves"), report.log_root))?;
    line(format_args!("state         root {}", report.state_root))?;
    line(format_args!("              {:.1} s", started.elapsed().as_secs_f64()))
}
