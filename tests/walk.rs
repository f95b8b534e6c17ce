//! Walks through a document as a reader does: runs its `sh` blocks in a shell, in their order and on a real network, and holds what
//! it shows against what was said. So a guide cannot rot.
//!
//! A document speaks to its walker by words behind a fence, which no reader sees, and by its prose:
//!
//! | it says | the walker |
//! |---|---|
//! | `sh` | runs the block; every command in it succeeds |
//! | `sh fails` | runs it; its last command says no, with exit code 1 |
//! | `sh needs PROGRAM` | ends here if there is no such program, and says so |
//! | `sh not run: REASON` | leaves it to the reader, and lists it with the reason |
//! | `text` after it | finds these lines among what was said, in their order; see [`assert_shown`] |
//! | “press Ctrl-C in the first terminal”, before a block | stops the network |
//!
//! Panics are how a test fails, so this file may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    absent::skipped,
    markdown::{Block, blocks},
    sandbox::{BEHIND_AT_MOST, Desk, Sandbox, free_base_port, words},
    workspace::{read, root},
};

/// How long a block may say nothing: what takes effect by vote takes some blocks of an idle network.
const SILENCE: Duration = Duration::from_secs(240);
/// How long a network may take until all is well with it again.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// How long a shell may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Entries of [`Traffic`] so far.
static ENTRIES: AtomicU32 = AtomicU32::new(1);
/// What begins the line after a block.
const MARK: &str = "\u{1}done ";

/// Somebody who reads documents at a desk, one after the other, and keeps the sandbox running between them.
pub struct Walk<'d> {
    desk: &'d Desk,
    sandbox: Option<Sandbox>,
}

impl<'d> Walk<'d> {
    /// Nobody has read anything yet, and no network runs.
    pub const fn new(desk: &'d Desk) -> Self {
        Self { desk, sandbox: None }
    }

    /// Walks through the document of this name, and returns all that was said.
    pub fn through(&mut self, name: &str) -> String {
        let document = read(&root().join(name)).unwrap();
        let begun = Instant::now();
        let mut shell = Shell::start(self.desk);
        let (mut line, mut said) = (0, String::new());
        let blocks = blocks(&document);
        for (index, block) in blocks.iter().enumerate() {
            let prose: Vec<_> = document.lines().skip(line).take(block.line - line).collect();
            line = block.line;
            if block.language != "sh" {
                continue;
            }
            if prose.join("\n").to_lowercase().contains("press ctrl-c in the first terminal") {
                self.stop();
            }
            match block.marks.split_once(' ') {
                Some(("needs", program)) if is_absent(program) => {
                    skipped(format_args!("the rest of {name} from line {line} on, for there is no `{program}` here"));
                    break;
                }
                Some(("not", "run:")) => panic!("{name}, line {line}: the reason is missing"),
                Some(("not", why)) if why.starts_with("run: ") => {
                    println!("not run: {name}, line {line}: {why}");
                    continue;
                }
                Some(("needs", _)) => {}
                None if ["", "fails"].contains(&block.marks.as_str()) => {}
                _ => panic!("{name}, line {line}: nobody knows what `{}` means", block.marks),
            }
            let shown = blocks.get(index + 1).filter(|next| next.language == "text");
            let shown = shown.map_or("", |shown| shown.text.as_str());
            let asked = Instant::now();
            let mut now = self.run(&mut shell, block, name);
            while only_asks(&block.text) && missing(shown, &now).is_some() && asked.elapsed() < BEHIND_AT_MOST {
                thread::sleep(Duration::from_millis(200));
                now = self.run(&mut shell, block, name);
            }
            assert_shown(shown, &now);
            said.push_str(&now);
        }
        println!("walked through {name} in {:.1} s", begun.elapsed().as_secs_f64());
        said
    }

    /// Stops the network as Ctrl-C would, if one runs.
    pub fn stop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            assert!(sandbox.stop().success(), "a sandbox stops when it is told");
        }
    }

    /// Runs a block, some of whose lines are not for a shell: they are about the first terminal, or about the checkout.
    fn run(&mut self, shell: &mut Shell, block: &Block, name: &str) -> String {
        let fails = block.marks == "fails";
        let (mut said, mut lines) = (String::new(), Vec::new());
        for line in block.text.lines() {
            let words = words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let other = match words.as_slice() {
                // The checkout is here, this is the test command, and the binary is the one that cargo has built for us.
                ["git", "clone", ..] | ["cargo", "test"] => Some(String::new()),
                ["cargo", "run", "--release", "--", "sandbox"] => Some(self.start()),
                ["pkill", "-9", "-f", node] => {
                    let organisation = node.strip_suffix("/node.toml").expect("a node is killed");
                    self.sandbox.as_ref().expect("a sandbox runs").kill_node(organisation);
                    Some(String::new())
                }
                ["tally", "status"] if self.sandbox.is_some() => Some(self.status()),
                _ => None,
            };
            match other {
                None => lines.push(line),
                Some(other) => {
                    said += &shell.run(&std::mem::take(&mut lines).join("\n"), false, name);
                    said += &other;
                }
            }
        }
        let script = lines.join("\n");
        let _traffic = self.sandbox.as_ref().filter(|_| script.contains("--wait")).map(|_| Traffic::start(self.desk));
        said + &shell.run(&script, fails, name)
    }

    /// What the sandbox has said. It is started if none runs: whoever goes on to another guide need not start it again.
    fn start(&mut self) -> String {
        let start = || Sandbox::start(self.desk, &["--base-port", &free_base_port().to_string()]);
        self.sandbox.get_or_insert_with(start).heard().join("\n") + "\n"
    }

    /// `tally status` once all is well, which after a fault takes a while.
    fn status(&self) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.desk.line("status");
            if answer.code == Some(0) {
                return answer.stdout;
            }
            assert!(begun.elapsed() < HEALED_WITHIN, "{}", answer.text());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Entries by somebody else, one after the other: what takes effect after some blocks does so soon, as on a network that is in use,
/// and nobody waits for the blocks of an idle one.
struct Traffic {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn start(desk: &Desk) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (told, desk) = (Arc::clone(&ends), desk.clone());
        let append = move || {
            while !told.load(Ordering::Relaxed) {
                let number = ENTRIES.fetch_add(1, Ordering::Relaxed);
                let as_registrar = "--as food-standards-agency/registrar";
                desk.line(&format!("register append food-business T-{number} name=Traffic {as_registrar}"))
                    .expect(0, &[]);
            }
        };
        Self { ends, thread: Some(thread::spawn(append)) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the traffic stopped");
    }
}

fn is_absent(program: &str) -> bool {
    !Command::new("sh").args(["-c", &format!("command -v {program} > /dev/null")]).status().unwrap().success()
}

/// A shell that keeps its variables, its folder and what runs in its background from one block to the next.
struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    said: Receiver<String>,
    file: tempfile::NamedTempFile,
}

impl Shell {
    fn start(desk: &Desk) -> Self {
        let mut command = Command::new("bash");
        command.current_dir(&desk.directory).env("PATH", desk.search_path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLY_")) {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // Whatever fails, what runs in its background ends with it.
        writeln!(input, "exec 2>&1\nset -uo pipefail\ntrap 'kill $(jobs -p) 2> /dev/null' EXIT").unwrap();
        let (heard, said) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| heard.send(line)));
        Self { child, input: Some(input), said, file: tempfile::NamedTempFile::new().unwrap() }
    }

    /// Runs a script, all of whose commands must succeed; or all but the last, which must say no. Gives what it said.
    fn run(&mut self, script: &str, fails: bool, name: &str) -> String {
        if script.trim().is_empty() {
            return String::new();
        }
        let script_file = if fails {
            // Nothing stops at a command that says no, so those that do are counted.
            format!(
                "no=0; trap 'no=$((no + 1))' ERR\n{script}\ncode=$?; trap - ERR; [ $no -lt 2 ] || code=\"$no commands said no\"\n"
            )
        } else {
            format!("{script}\ncode=$?\n")
        };
        fs::write(self.file.path(), script_file).unwrap();
        let stop = if fails { "+e" } else { "-e" };
        let file = self.file.path().display();
        let input = self.input.as_mut().unwrap();
        writeln!(input, "set {stop}\n. '{file}' < /dev/null\nprintf '\\001done %s\\n' \"$code\"").unwrap();
        let mut said = String::new();
        let code = loop {
            match self.said.recv_timeout(SILENCE) {
                Ok(line) => match line.split_once(MARK) {
                    // What is before the mark did not end its line.
                    Some((rest, code)) => {
                        said += rest;
                        break code.to_owned();
                    }
                    None => said = said + &line + "\n",
                },
                Err(RecvTimeoutError::Disconnected) => break "the shell has ended".to_owned(),
                Err(RecvTimeoutError::Timeout) => break format!("nothing was said for {SILENCE:?}"),
            }
        };
        let expected = if fails { "1" } else { "0" };
        assert_eq!(code, expected, "{name}: exit code of\n{script}\nwhich said:\n{said}");
        said
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        drop(self.input.take());
        let begun = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && begun.elapsed() < END_WITHIN {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each line shown stands among those said, in order, when what differs from run to run is masked. `…` stands for any lines,
/// and within a line for any part of it, or none.
pub fn assert_shown(shown: &str, said: &str) {
    if let Some(line) = missing(shown, said) {
        panic!("`{line}` is shown, and was not said in:\n{said}");
    }
}

/// The first line shown that was not said.
fn missing(shown: &str, said: &str) -> Option<String> {
    let mut said_lines = said.lines().map(masked);
    let mut lines = shown.lines().map(masked).filter(|line| !line.is_empty() && line != "…");
    lines.find(|line| !said_lines.any(|said| is_it(line, &said)))
}

/// Whether a script does nothing but ask what is on the ledger. Another node than the one that took an act may answer, and be a block
/// behind: it is asked again.
fn only_asks(script: &str) -> bool {
    let asks = |line: &str| match line.split_whitespace().take(3).collect::<Vec<_>>()[..] {
        ["tally", "access-log" | "datamap", ..] => true,
        ["tally", _, verb] => ["list", "show", "query", "status"].contains(&verb) && !line.contains("--receipt"),
        _ => false,
    };
    script.lines().all(asks)
}

fn is_it(shown: &str, said: &str) -> bool {
    let mut parts = shown.split('…').map(str::trim);
    let (first, last) = (parts.next().unwrap_or_default(), parts.next_back());
    let (Some(mut rest), Some(last)) = (said.strip_prefix(first), last) else { return shown == said };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A line without what differs from run to run: numbers, hexadecimal strings and spacing.
fn masked(line: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let mut text = String::new();
        for run in word.split_inclusive(|c: char| !c.is_alphanumeric() && !is_number(c)) {
            let hex = run.trim_end_matches(|c: char| !c.is_alphanumeric());
            if hex.len() >= 16 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
                text.push('#');
                text.push_str(&run[hex.len()..]);
                continue;
            }
            let mut following = run.chars().skip(1);
            for c in run.chars() {
                let within = following.next().is_some_and(|next| next.is_ascii_digit());
                match (c, text.ends_with('0')) {
                    ('0'..='9', true) => {}
                    ('0'..='9', false) => text.push('0'),
                    ('.' | ',', true) if within => {}
                    _ => text.push(c),
                }
            }
        }
        words.push(text);
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hide_numbers_and_hashes_and_nothing_else() {
        let mask = |line: &str, masked_line: &str| assert_eq!(masked(line), masked_line);
        mask(
            "network  \"sandbox\" 462fec93ebe27fa74fc2ddddafa2cd45: 1,234 in 0.8 s",
            "network \"sandbox\" #: 0 in 0 s",
        );
        mask("root sha-256:a06c1a75ed72957c3a3c396c9810718e", "root sha-0:#");
        mask("2024-09-12T08:00:00Z at block 5", "0-0-0T0:0:0Z at block 0");
        mask("deadbeef refused.", "deadbeef refused.");
        mask("at height 197, and 1,024.5. so", "at height 0, and 0. so");
    }

    #[test]
    fn a_block_that_fails_says_no_once_and_at_its_end() {
        let place = tempfile::tempdir().unwrap();
        let mut shell = Shell::start(&Desk::new(std::path::Path::new("/bin/true"), place.path()));
        assert_eq!(shell.run("echo one\nexit_code=1\n(exit 1)", true, "it"), "one\n");
        assert_eq!(shell.run("echo two", false, "it"), "two\n");
        for script in ["false\n(exit 1)", "echo | false\ntrue && (exit 1)", "true", "(exit 2)"] {
            let mut shell = Shell::start(&Desk::new(std::path::Path::new("/bin/true"), place.path()));
            let run = std::panic::AssertUnwindSafe(|| shell.run(script, true, "it"));
            assert!(std::panic::catch_unwind(run).is_err(), "{script}");
        }
    }

    #[test]
    fn a_readme_that_lies_is_found() {
        assert_shown(
            "entry 4 of 2024\n…\nroot a06c1a75ed72957c3a3c",
            "wrote it\nentry  12 of 2031\nmore\nroot 0123456789abcdef0123\n",
        );
        assert!(
            is_it("a … c … e", "a b c d e")
                && is_it("a …", "a b")
                && is_it("a … b", "a b")
                && !is_it("a … d", "a b c")
                && !is_it("a", "a b")
        );
        assert!(!is_it("a … x … c", "a b c"), "what stands between was not said");
        let lie = std::panic::catch_unwind(|| assert_shown("holds: all of it", "does not hold: all of it"));
        assert!(lie.is_err());
        let order = std::panic::catch_unwind(|| assert_shown("b\na", "a\nb"));
        assert!(order.is_err());
    }

    #[test]
    fn what_only_asks_may_be_asked_again() {
        assert!(only_asks("tally access-log --subject patient:p-17\ntally notice list --open"));
        assert!(!only_asks("tally notice list\ntally notice acknowledge patient 3 p-17"));
        assert!(!only_asks("tally register append school 1 name=x") && !only_asks("cargo run --release -- sandbox"));
    }
}
