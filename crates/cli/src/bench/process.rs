//! What a process has used, as the kernel counts it (`/proc`, Linux).

use std::{fs, path::Path};

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Seconds of CPU, user and system.
    pub cpu_seconds: f64,
    /// Most memory it ever had resident, in bytes.
    pub memory_peak_bytes: u64,
    /// Memory resident now, in bytes.
    pub memory_bytes: u64,
    /// Bytes it had the disk write.
    pub written_bytes: u64,
}

impl Used {
    /// What the process has used; zeros where the system does not tell.
    pub fn by(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Self {
            cpu_seconds: cpu_seconds(pid),
            memory_peak_bytes: number_after(&status, "VmHWM:").saturating_mul(1_024),
            memory_bytes: number_after(&status, "VmRSS:").saturating_mul(1_024),
            written_bytes: number_after(&io, "write_bytes:")
                .saturating_sub(number_after(&io, "cancelled_write_bytes:")),
        }
    }

    /// What it used since `earlier`; memory as it stands.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_seconds: (self.cpu_seconds - earlier.cpu_seconds).max(0.0),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            ..*self
        }
    }
}

fn number_after(text: &str, label: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Seconds of CPU that a process has used.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields 14 and 15, counted behind the command's name, which may hold anything.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Bytes that a folder's files take on the disk.
pub fn disk_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => std::os::unix::fs::MetadataExt::blocks(&metadata).saturating_mul(512),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let used = Used::by(std::process::id());
        assert!(used.memory_peak_bytes > 1_000_000, "{used:?}");
        assert!(used.memory_bytes <= used.memory_peak_bytes);
        assert_eq!(Used::by(u32::MAX), Used::default());
    }
}
