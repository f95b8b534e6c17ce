//! One node as a child process: started, watched, told to stop; its log kept within bounds.

use crate::output::{Doing, Failure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tallystick_protocol::limits::{NODE_LOG_BYTES_MAX, NODE_LOG_TAIL_BYTES_MAX};

/// How long a node that is told to stop may take.
pub const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a child.
const POLL: Duration = Duration::from_millis(50);

/// A running node.
pub struct NodeProcess {
    child: Child,
    /// The node stops when this is closed, even if we are killed.
    _lifeline: Option<ChildStdin>,
    log: Option<JoinHandle<()>>,
    started: Instant,
}

impl NodeProcess {
    /// Starts the node of this configuration; what it says goes to the end of `log`.
    ///
    /// # Errors
    /// When the program or the log cannot be opened.
    pub fn start(config: &Path, log: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().doing(|| "cannot find this program's own file".to_owned())?;
        let log = Log::open(log)?;
        let mut command = Command::new(program);
        command.args(["node", "--stop-with-parent", "--config"]).arg(config);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C on the terminal is for the supervisor, which then stops the nodes in its own way.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().doing(|| "cannot start a node's process".to_owned())?;
        let lifeline = child.stdin.take();
        let log = child.stderr.take().map(|stderr| thread::spawn(move || log.keep(stderr)));
        Ok(Self { child, _lifeline: lifeline, log, started: Instant::now() })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let status = self.child.try_wait().doing(|| "cannot ask after a node's process".to_owned())?;
        if status.is_some()
            && let Some(log) = self.log.take()
        {
            // Its last words belong to the log before anybody reads them there.
            let _ = log.join();
        }
        Ok(status)
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Safe from hitting another process: the id stays ours until `ended` has seen the end.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until it has ended, at most so long.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Failure> {
        let begun = Instant::now();
        loop {
            match self.ended()? {
                None if begun.elapsed() < patience => thread::sleep(POLL),
                ended => return Ok(ended),
            }
        }
    }
}

/// Asks all to stop, waits, and ends those that do not; gives the number of those.
///
/// # Errors
/// When the system does not tell.
pub fn stop_all<'a>(nodes: impl IntoIterator<Item = &'a mut NodeProcess>) -> Result<usize, Failure> {
    let mut nodes: Vec<&mut NodeProcess> = nodes.into_iter().collect();
    let mut running = Vec::new();
    for node in &mut nodes {
        if node.ended()?.is_none() {
            node.terminate();
            running.push(node);
        }
    }
    let begun = Instant::now();
    let mut killed = 0;
    for node in running {
        if node.wait(STOP_PATIENCE.saturating_sub(begun.elapsed()))?.is_none() {
            node.kill();
            node.wait(STOP_PATIENCE)?;
            killed += 1;
        }
    }
    Ok(killed)
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        // Whoever drops it without stopping it is on the way out after an error: no node may outlive that.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            if !matches!(self.wait(STOP_PATIENCE), Ok(Some(_))) {
                self.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// A log file that begins anew when it is full.
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = append(path).doing(|| format!("cannot write the log `{}`", path.display()))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// Copies line by line until the node has closed its end. A full disk loses lines, not the node.
    fn keep(mut self, from: impl Read) {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = lines.by_ref().take(NODE_LOG_BYTES_MAX).read_until(b'\n', &mut line) {
            if self.file.write_all(&line).is_ok() {
                self.bytes = self.bytes.saturating_add(line.len() as u64);
            }
            if self.bytes >= NODE_LOG_BYTES_MAX {
                let _ = self.begin_anew();
            }
            line.clear();
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&self.path, aside)?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a log, oldest first; none when it cannot be read.
pub fn tail(path: &Path, lines_max: usize) -> Vec<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(NODE_LOG_TAIL_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(NODE_LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(lines_max)).map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_log_is_bounded_and_its_end_can_be_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let line = format!("{}\n", "x".repeat(1023));
        let text = line.repeat(9 * 1024) + "one\ntwo\n";
        Log::open(&path).unwrap().keep(text.as_bytes());
        assert!(path.metadata().unwrap().len() < NODE_LOG_BYTES_MAX);
        assert_eq!(dir.path().join("node.log.1").metadata().unwrap().len(), NODE_LOG_BYTES_MAX);
        assert_eq!(tail(&path, 2), ["one", "two"]);
        assert!(tail(&dir.path().join("none"), 2).is_empty());
    }
}
