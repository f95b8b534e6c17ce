//! Runs any number of seeds: `cargo run --release -p tallystick-sim --example seeds -- --from 0 --count 1000`.
//!
//! Prints one line for every failure with its seed, what broke and what happened before; `--seed N` runs one and shows its trace.
//! Leaves with 1 if any failed.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};
use tallystick_sim::{Plan, run};

const USAGE: &str = "usage: seeds [--from N] [--count N] [--threads N] | --seed N";

struct Arguments {
    from: u64,
    count: u64,
    threads: usize,
    shows: bool,
}

fn arguments() -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut read = Arguments { from: 0, count: 100, threads, shows: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("`{word}` needs a number\n{USAGE}"))?;
        match word.as_str() {
            "--from" => read.from = number,
            "--count" => read.count = number,
            "--threads" => read.threads = usize::try_from(number).unwrap_or(threads).max(1),
            "--seed" => (read.from, read.count, read.shows) = (number, 1, true),
            other => return Err(format!("unknown option `{other}`\n{USAGE}")),
        }
    }
    Ok(read)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (next, failed, done) = (AtomicU64::new(arguments.from), AtomicU64::new(0), AtomicU64::new(0));
    let end = arguments.from + arguments.count;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if !one(seed, arguments.shows) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(20) || done == arguments.count {
                        let failed = failed.load(Ordering::Relaxed);
                        println!(
                            "{done} of {} seeds, {failed} failed, {} s",
                            arguments.count,
                            start.elapsed().as_secs()
                        );
                    }
                }
            });
        }
    });
    if failed.into_inner() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one; true when it kept every promise.
fn one(seed: u64, shows: bool) -> bool {
    if shows {
        println!("{:#?}", Plan::new(seed));
    }
    let start = Instant::now();
    match run(seed) {
        Ok(report) => {
            if shows {
                println!("{report:#?}\n{} ms", start.elapsed().as_millis());
            }
            true
        }
        Err(failure) => {
            println!("FAILED {failure}\n    {}", failure.trace.join("\n    "));
            false
        }
    }
}
