//! Being told to stop: Ctrl-C, SIGTERM, or the terminal going away.

use crate::output::{Doing, Failure};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::signal::unix::{SignalKind, signal};

/// Whether this process has been told to stop.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on; the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn on_signals() -> Result<Self, Failure> {
        let told = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .doing(|| "cannot listen for signals".to_owned())?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals = Vec::new();
        {
            let _inside = runtime.enter();
            for kind in kinds {
                signals.push(signal(kind).doing(|| "cannot listen for signals".to_owned())?);
            }
        }
        let stop = told.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                let [interrupt, terminate, hangup] = signals.as_mut_slice() else { return };
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    stop.store(true, Ordering::Relaxed);
                }
            });
        });
        Ok(Self(told))
    }

    /// Whether it has.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
