//! A sandbox run by the real binary, for tests: started on free ports, watched line by line, stopped as a person would.
//!
//! Panics are how a test fails, so this file may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a sandbox may take to serve: a debug build on two busy cores.
const READY_WITHIN: Duration = Duration::from_secs(240);
/// How long it may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may be behind another.
pub const BEHIND_AT_MOST: Duration = Duration::from_secs(20);
/// Held by a running sandbox: a network is four processes, and tests that share two cores with another wait longer than they should.
static ALONE: Mutex<()> = Mutex::new(());
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(50);

/// What a command of `tally` gave.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it answered.
    pub stdout: String,
    /// What it said beside.
    pub stderr: String,
}

impl Answer {
    /// Both outputs, the answer last.
    pub fn text(&self) -> String {
        format!("{}{}", self.stderr, self.stdout)
    }

    /// Fails unless the exit code is `code` and everything of `said` was said.
    #[track_caller]
    pub fn expect(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "exit code; it said:\n{}", self.text());
        for part in said {
            assert!(self.text().contains(part), "`{part}` was not said; it said:\n{}", self.text());
        }
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// A folder to work in, and the binary to work with.
#[derive(Debug, Clone)]
pub struct Desk {
    binary: PathBuf,
    /// The working directory of every command; `sandbox` in it is where they look for a network.
    pub directory: PathBuf,
}

impl Desk {
    /// A desk in `directory`, from which `tests/data` is reached as from the checkout.
    pub fn new(binary: &Path, directory: &Path) -> Self {
        let tests = directory.join("tests");
        fs::create_dir_all(&tests).unwrap();
        copy(&crate::workspace::root().join("tests/data"), &tests.join("data"));
        Self { binary: binary.to_owned(), directory: directory.to_owned() }
    }

    /// A path on the desk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where a shell finds programs: ours first.
    pub fn search_path(&self) -> String {
        let ours = self.binary.parent().unwrap().display();
        format!("{ours}:{}", std::env::var("PATH").unwrap_or_default())
    }

    /// Runs `tally` with these arguments.
    pub fn tally<S: AsRef<str>>(&self, arguments: &[S]) -> Answer {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a line as a shell would split it: words, and words in single or double quotes.
    pub fn line(&self, line: &str) -> Answer {
        self.tally(&words(line))
    }

    /// Asks again until all of `said` is said: another node than the one that took something may be some blocks behind.
    #[track_caller]
    pub fn soon(&self, line: &str, said: &[&str]) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.line(line);
            if said.iter().all(|part| answer.text().contains(part)) || begun.elapsed() > BEHIND_AT_MOST {
                return answer.expect(0, said);
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(&self.directory).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLY_")) {
            command.env_remove(name);
        }
        command
    }
}

/// A running `tally sandbox`.
pub struct Sandbox {
    child: Child,
    heard: Arc<Mutex<Vec<String>>>,
    _alone: MutexGuard<'static, ()>,
}

impl Sandbox {
    /// Starts `tally sandbox` on the desk and waits for its line `ready`. Waits first until no other test of this process runs one.
    pub fn start(desk: &Desk, arguments: &[&str]) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = desk.command(&[&["sandbox"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        listen(child.stdout.take().unwrap(), &heard);
        listen(child.stderr.take().unwrap(), &heard);
        let mut sandbox = Self { child, heard, _alone: alone };
        sandbox.wait_for(READY_WITHIN, |line| line == "ready");
        sandbox
    }

    /// Waits until a line was said for which `is` holds, and returns how long that took.
    pub fn wait_for(&mut self, patience: Duration, is: impl Fn(&str) -> bool) -> Duration {
        let begun = Instant::now();
        while !self.heard().iter().any(|line| is(line)) {
            let ended = self.child.try_wait().unwrap();
            let late = begun.elapsed() > patience;
            assert!(ended.is_none() && !late, "after {:?} it had said:\n{}", begun.elapsed(), self.heard().join("\n"));
            thread::sleep(POLL);
        }
        begun.elapsed()
    }

    /// All lines said so far.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The commands that it prints to be tried.
    pub fn things_to_try(&self) -> Vec<String> {
        let heard = self.heard();
        let commands = heard.iter().filter(|line| line.starts_with("    tally "));
        commands.map(|line| line.trim().to_owned()).collect()
    }

    /// The id of the process that runs the node of this organisation.
    pub fn node(&self, organisation: &str) -> Option<u32> {
        child_with(self.child.id(), &format!("{organisation}/node.toml"))
    }

    /// Ends the node of this organisation as a power cut would, and returns its process id.
    pub fn kill_node(&self, organisation: &str) -> u32 {
        let id = self.node(organisation).unwrap_or_else(|| panic!("no process runs the node of {organisation}"));
        signal(id, "KILL");
        id
    }

    /// Stops it as Ctrl-C would.
    pub fn stop(mut self) -> ExitStatus {
        signal(self.child.id(), "INT");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < STOP_WITHIN, "it does not stop; it said:\n{}", self.heard().join("\n"));
            thread::sleep(POLL);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test that failed leaves nothing running: nodes end with their supervisor.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(output: impl Read + Send + 'static, heard: &Arc<Mutex<Vec<String>>>) {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            heard.lock().unwrap().push(line);
        }
    });
}

/// The id of a child of `parent` whose command line holds `part`. Linux tells it under `/proc`.
fn child_with(parent: u32, part: &str) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|id: &u32| {
        // After the name in parentheses: the state, then the parent's id (proc(5)).
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let is_child = after.split(' ').nth(1) == Some(parent.to_string().as_str());
        is_child && {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(part)
        }
    })
}

/// Whether a process of this id runs.
pub fn runs(id: u32) -> bool {
    fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn signal(id: u32, name: &str) {
    // `kill` is built into every shell; as a program of its own it is not on every machine.
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
    assert!(sent.success(), "cannot send {name} to process {id}");
}

/// A base port such that it, the three above it, and those 100 above them are free now, and no other test of this process was
/// given them. It lies below the ports that Linux hands out to clients.
pub fn free_base_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    const BLOCKS: u16 = 1_500;
    let first = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut bases = (0..BLOCKS).map(|_| 20_000 + (first + GIVEN.fetch_add(1, Ordering::Relaxed)) % BLOCKS * 8);
    let free = bases.find(|base| (0..4).all(|index| is_free(base + index) && is_free(base + 100 + index)));
    free.expect("eight free ports")
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The words of a command line.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match quote {
            Some(mark) if c == mark => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        assert_eq!(words("a  b=\"c d\" 'e \"f' ''"), ["a", "b=c d", "e \"f", ""]);
    }

    #[test]
    fn no_ports_are_given_twice() {
        let given: BTreeSet<u16> = (0..8).map(|_| free_base_port()).collect();
        assert_eq!(given.len(), 8);
        assert!(given.iter().all(|base| (20_000..32_000).contains(base)));
    }
}
