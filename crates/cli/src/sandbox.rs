//! `tally sandbox`: a whole network on this machine, every node a process of its own.

pub mod founding;
pub mod layout;
pub mod process;
pub mod signal;

use crate::output::{Colour, Doing, Done, Failure, count, line, paint, paint_err, say};
use clap::Args;
use layout::{Layout, NodePlace, Plan};
use process::{NodeProcess, stop_all, tail};
use signal::Stop;
use std::{
    fs::{File, TryLockError},
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};
use tallystick_client::{Client, profile::SEARCHED};
use tallystick_protocol::limits::{
    EPOCH_BLOCKS_DEFAULT, EPOCH_BLOCKS_MAX, EPOCH_BLOCKS_MIN, RESTART_PAUSE_MAX, SANDBOX_NODES_MAX,
};

/// Pause between two looks at the nodes.
const POLL: Duration = Duration::from_millis(100);
/// First pause before a node that died is started again; it doubles each time.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// A node that ran so long counts as healthy: its next pause is the first again.
const HEALTHY: Duration = Duration::from_secs(60);
/// Lines of a log that are shown.
const TAIL_LINES: usize = 12;
/// Nodes when nothing else is said: the fewest of which one may fail.
const NODES_DEFAULT: usize = 4;
/// The first HTTP port when nothing else is said.
const BASE_PORT_DEFAULT: u16 = 8080;

/// Run a network of several organisations on this machine
#[derive(Debug, Args)]
#[command(long_about = LONG, after_help = AFTER)]
pub struct Sandbox {
    /// The folder for everything: made if absent, resumed if it holds a sandbox
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    dir: PathBuf,
    /// Organisations, each with a node; 4 is the fewest of which one may fail
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=SANDBOX_NODES_MAX as i64))]
    nodes: Option<u8>,
    /// The first HTTP port; the nodes take this and the next ones, and the same plus 100 among themselves [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    base_port: Option<u16>,
    /// Blocks of an epoch: validators join and leave at its end, one epoch after the next [default: 600]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(EPOCH_BLOCKS_MIN..=EPOCH_BLOCKS_MAX))]
    epoch_blocks: Option<u64>,
    /// Seconds that the nodes may take until all serve
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    ready_within: u64,
}

const LONG: &str = "Run a network of several organisations on this machine.\n\n\
    Makes a folder with the network's trust anchor, the keys of each organisation and a node for each, starts the nodes, \
    starts one again that dies, and stops all on Ctrl-C. Started again on the same folder it goes on where it was. Everything \
    in it is real but for one thing: all keys lie in one place, under one passphrase.";

const AFTER: &str = "Examples:\n  \
    tally sandbox                                   four organisations in ./sandbox, on ports 8080 to 8083\n  \
    tally sandbox --dir /tmp/s --base-port 9100     elsewhere; then give the other commands --dir /tmp/s\n  \
    rm -r sandbox                                   begin anew";

impl Sandbox {
    /// Runs the command.
    pub fn run(self) -> Done {
        let stop = Stop::on_signals()?;
        let layout = self.layout()?;
        let _lock = lock(&layout.dir)?;
        check_ports(&layout)?;
        let mut supervisor = Supervisor::start(&layout)?;
        let served = supervisor.wait_ready(Duration::from_secs(self.ready_within), &stop);
        if let Err(failure) = served {
            stop_all(supervisor.processes())?;
            return Err(failure);
        }
        if !stop.is_told() {
            if let Err(failure) = founding::found(&layout).and_then(|()| introduce(&layout)) {
                stop_all(supervisor.processes())?;
                return Err(failure);
            }
            supervisor.watch(&stop)?;
        }
        say("stopping");
        let killed = stop_all(supervisor.processes())?;
        if killed > 0 {
            say(format_args!("{} did not stop when asked and had to be ended", count(killed as u64, "node", "nodes")));
        }
        say(format_args!("stopped; `tally sandbox{}` goes on from here", dir_flag(&layout.dir)));
        Ok(())
    }

    fn layout(&self) -> Result<Layout, Failure> {
        if !Layout::exists(&self.dir) {
            let plan = Plan {
                nodes: self.nodes.map_or(NODES_DEFAULT, usize::from),
                base_port: self.base_port.unwrap_or(BASE_PORT_DEFAULT),
                epoch_blocks: self.epoch_blocks.unwrap_or(EPOCH_BLOCKS_DEFAULT),
                log_level: "info".to_owned(),
            };
            let layout = Layout::create(&self.dir, &plan)?;
            say(format_args!("made a network of {} organisations in {}", layout.nodes.len(), self.dir.display()));
            return Ok(layout);
        }
        let layout = Layout::read(&self.dir)?;
        if let Some(nodes) = self.nodes.filter(|nodes| usize::from(*nodes) != layout.nodes.len()) {
            return Err(Failure::error(format!(
                "the sandbox in `{}` has {} nodes, not {nodes}: leave out --nodes, or choose another --dir",
                self.dir.display(),
                layout.nodes.len()
            )));
        }
        if let Some(blocks) = self.epoch_blocks.filter(|blocks| *blocks != layout.genesis.epoch_blocks) {
            return Err(Failure::error(format!(
                "the sandbox in `{}` has epochs of {} blocks, not {blocks}: leave out --epoch-blocks, or choose another --dir",
                self.dir.display(),
                layout.genesis.epoch_blocks
            )));
        }
        say(format_args!("resuming the network in {}", self.dir.display()));
        match self.base_port.filter(|port| *port != layout.base_port()) {
            Some(port) => layout.move_ports(port),
            None => Ok(layout),
        }
    }
}

/// Two supervisors of one sandbox would fight over every file.
fn lock(dir: &Path) -> Result<File, Failure> {
    let path = dir.join("lock");
    let file = File::create(&path).doing(|| format!("cannot write `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::error(format!(
            "the sandbox in `{}` is running already: use it, or stop that one first, or choose another --dir",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::error(format!("cannot lock `{}`: {error}", path.display()))),
    }
}

/// Finds ports in use before any node is started.
pub fn check_ports(layout: &Layout) -> Done {
    for node in &layout.nodes {
        for address in [node.http, node.listen] {
            if let Err(error) = TcpListener::bind(address) {
                return Err(Failure::error(format!(
                    "port {} of {} cannot be used ({error}): stop what uses it, or choose other ports with --base-port",
                    address.port(),
                    node.organisation
                )));
            }
        }
    }
    Ok(())
}

/// A node that is to run, and its process when it does.
struct Watched<'a> {
    place: &'a NodePlace,
    process: Option<NodeProcess>,
    pause: Duration,
    start_at: Instant,
}

struct Supervisor<'a> {
    nodes: Vec<Watched<'a>>,
}

impl<'a> Supervisor<'a> {
    fn start(layout: &'a Layout) -> Result<Self, Failure> {
        let start = |place: &'a NodePlace| {
            let process = NodeProcess::start(&place.config, &place.log)?;
            Ok(Watched { place, process: Some(process), pause: RESTART_PAUSE, start_at: Instant::now() })
        };
        Ok(Self { nodes: layout.nodes.iter().map(start).collect::<Result<_, Failure>>()? })
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut NodeProcess> {
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut())
    }

    /// Waits until every node serves; a node that dies meanwhile is started again.
    fn wait_ready(&mut self, patience: Duration, stop: &Stop) -> Done {
        let begun = Instant::now();
        let mut waiting: Vec<usize> = (0..self.nodes.len()).collect();
        let bar = crate::output::progress(self.nodes.len() as u64, "starting nodes");
        while !waiting.is_empty() && !stop.is_told() {
            self.look_after()?;
            waiting.retain(|&index| self.nodes.get(index).is_some_and(|node| !serves(node.place)));
            bar.set_position((self.nodes.len() - waiting.len()) as u64);
            if begun.elapsed() > patience
                && let Some(node) = waiting.first().and_then(|&index| self.nodes.get(index))
            {
                bar.finish_and_clear();
                return Err(not_ready(node.place, patience));
            }
            thread::sleep(POLL);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Keeps the nodes running until told to stop.
    fn watch(&mut self, stop: &Stop) -> Done {
        while !stop.is_told() {
            self.look_after()?;
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn look_after(&mut self) -> Done {
        self.nodes.iter_mut().try_for_each(Watched::look_after)
    }
}

impl Watched<'_> {
    fn look_after(&mut self) -> Done {
        if let Some(process) = &mut self.process {
            let Some(status) = process.ended()? else { return Ok(()) };
            if process.started().elapsed() >= HEALTHY {
                self.pause = RESTART_PAUSE;
            }
            self.process = None;
            self.start_at = Instant::now() + self.pause;
            let last = tail(&self.place.log, 1).pop().unwrap_or_default();
            say(format_args!(
                "{} the node of {} {}; starting it again in {:.1} s. Its last words: {last}",
                paint_err(Colour::Yellow, "notice:"),
                self.place.organisation,
                how(status),
                self.pause.as_secs_f32()
            ));
            self.pause = (self.pause * 2).min(RESTART_PAUSE_MAX);
        } else if Instant::now() >= self.start_at {
            self.process = Some(NodeProcess::start(&self.place.config, &self.place.log)?);
            say(format_args!("started the node of {} again", self.place.organisation));
        }
        Ok(())
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
        (Some(0), _) => "has stopped by itself".to_owned(),
        (Some(code), _) => format!("has stopped with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "has ended".to_owned(),
    }
}

/// Whether the node answers that it serves.
pub fn serves(node: &NodePlace) -> bool {
    Client::new([node.url()]).is_ok_and(|client| client.get(tallystick_api::routes::READY, "*/*").is_ok())
}

fn not_ready(node: &NodePlace, patience: Duration) -> Failure {
    let why = Client::new([node.url()]).and_then(|client| client.get(tallystick_api::routes::READY, "*/*"));
    let why = why.err().map_or_else(String::new, |error| format!("\n  {error}"));
    let lines = tail(&node.log, TAIL_LINES);
    Failure::error(format!(
        "the node of {} does not serve after {} s{why}\nthe end of {}:\n  {}",
        node.organisation,
        patience.as_secs(),
        node.log.display(),
        lines.join("\n  ")
    ))
}

/// ` --dir D`, unless commands find the profile by themselves.
fn dir_flag(dir: &Path) -> String {
    let found = SEARCHED.iter().any(|name| Path::new(name).parent() == Some(dir));
    if found { String::new() } else { format!(" --dir {}", dir.display()) }
}

fn introduce(layout: &Layout) -> Done {
    line(format_args!(
        "{} {} of {} organisations; any {} of them agree on every block",
        paint(Colour::Bold, "network"),
        layout.genesis.id(),
        layout.nodes.len(),
        layout.genesis.quorum()
    ))?;
    for node in &layout.nodes {
        line(format_args!("  {}  {:<24} {}", node.url(), node.organisation, node.name))?;
    }
    line(format_args!("{}", paint(Colour::Bold, "things to try, in another terminal")))?;
    for (what, command) in things_to_try(layout)? {
        line(format_args!("  {}", paint(Colour::Dim, &what)))?;
        line(format_args!("    {command}"))?;
    }
    line("Ctrl-C stops the network")?;
    line("ready")
}

/// What a sandbox can show that is worth a look, each with the command. They work as they stand, each time it is started.
fn things_to_try(layout: &Layout) -> Result<Vec<(String, String)>, Failure> {
    let flag = dir_flag(&layout.dir);
    let (register, mandate) = (founding::REGISTER, founding::MANDATE);
    let (Some(first), Some(last)) = (layout.nodes.first(), layout.nodes.last()) else {
        return Err(Failure::error("the sandbox has no nodes: begin with another folder"));
    };
    let (first, last, inspector) = (&first.organisation, &last.organisation, layout::INSPECTOR);
    let records = Client::new([layout.nodes.first().map(NodePlace::url).unwrap_or_default()])?
        .register(register)?
        .map_or(0, |found| found.value.records);
    let mut things = vec![
        (
            "why an inspector may write to a list that another organisation keeps".to_owned(),
            format!(
                "tally policy explain{flag} --principal {last}/{inspector} --action entry-append --resource register:{register}"
            ),
        ),
        (
            "write to it for a registrar who is on leave, under a mandate".to_owned(),
            format!(
                "tally register append{flag} {register} FB-{} name=\"Leith Fish Market\" --as {} --mandate {first}/registrar/{mandate}",
                records + 1,
                founding::agent(layout)?
            ),
        ),
        (
            "who did what to it, when, and what let them".to_owned(),
            format!("tally audit query{flag} --resource register:{register}"),
        ),
    ];
    if layout.nodes.len() > 1 {
        let (partition, complaint, erasure) = (founding::PARTITION, founding::COMPLAINT, founding::ERASURE);
        things.push((
            "what two organisations share and nobody else sees; that you read it is on record between them".to_owned(),
            format!(
                "tally record{flag} {complaint} C-1 --partition {partition} --purpose \"Follow it up\" --legal-basis \"Food Safety Act 1990, section 40\""
            ),
        ));
        things.push((
            "of whom everything was erased there, and that the nodes of both have destroyed it".to_owned(),
            format!("tally erasure status{flag} {erasure} --partition {partition}"),
        ));
    } else {
        things.push((
            "of whom everything was erased, and who has destroyed it".to_owned(),
            format!("tally erasure status{flag} {}", founding::ERASURE),
        ));
    }
    Ok(things)
}
