//! Where those who need a device ask for it: the device serves one at a time, in a thread of its own, and may not answer.
//!
//! Whoever asks waits a bounded time, and holds a thread meanwhile. So only one at a time may find out that the device is silent:
//! from then on everybody is told so at once, until a probe in the device's own thread was answered in time.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};
use tallystick_protocol::limits::TOKEN_REQUESTS_MAX;

/// Wait between two probes of a silent device.
const PROBE_AGAIN: Duration = Duration::from_millis(250);

/// Something to do with the device.
type Job<D> = Box<dyn FnOnce(&mut D) + Send>;

/// The desk in front of a device. Clones share it; the device's thread ends with the last of them.
pub(super) struct Desk<D> {
    jobs: SyncSender<(Instant, Job<D>)>,
    silent: Arc<AtomicBool>,
    patience: Duration,
}

impl<D> Clone for Desk<D> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), silent: self.silent.clone(), patience: self.patience }
    }
}

impl<D: Send + 'static> Desk<D> {
    /// Gives the device a thread. Each who asks waits for at most `patience`; `probe` says whether the device answers.
    pub fn open(
        mut device: D,
        patience: Duration,
        probe: impl Fn(&mut D) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel(TOKEN_REQUESTS_MAX);
        let silent = Arc::new(AtomicBool::new(false));
        let desk = Self { jobs, silent: silent.clone(), patience };
        thread::Builder::new().name("pkcs11".to_owned()).spawn(move || {
            while let Some(job) = next(&inbox, silent.load(Ordering::Relaxed)) {
                if silent.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    // Who still waits for the job gives up by itself: it was asked for before the device fell silent.
                    if probe(&mut device) && asked.elapsed() < patience {
                        silent.store(false, Ordering::Relaxed);
                    }
                } else if let Some((until, job)) = job
                    // Nobody waits any more: a signature would be of use to nobody.
                    && Instant::now() < until
                {
                    job(&mut device);
                }
            }
        })?;
        Ok(desk)
    }

    /// What the device does with the job; `None` when it is silent.
    pub fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut D) -> T + Send + 'static) -> Option<T> {
        if self.silent.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, answered) = sync_channel(1);
        // Whoever asked may have gone: then nobody reads the answer.
        let job: Job<D> = Box::new(move |device| drop(answer.send(job(device))));
        // A full queue means that the device has been busy for longer than anybody waits.
        let waited = match self.jobs.try_send((Instant::now() + self.patience, job)) {
            Ok(()) => answered.recv_timeout(self.patience),
            Err(_) => Err(RecvTimeoutError::Timeout),
        };
        if waited.is_err() {
            self.silent.store(true, Ordering::Relaxed);
        }
        waited.ok()
    }
}

/// The next thing to do: a job, or nothing but a probe. `None` when nobody can ask any more.
#[expect(clippy::option_option, reason = "the end is not the same as a moment without a job")]
fn next<J>(inbox: &Receiver<J>, silent: bool) -> Option<Option<J>> {
    if !silent {
        return inbox.recv().ok().map(Some);
    }
    match inbox.recv_timeout(PROBE_AGAIN) {
        Ok(job) => Some(Some(job)),
        Err(RecvTimeoutError::Timeout) => Some(None),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[test]
    fn one_waits_for_a_silent_device_and_the_rest_are_told_at_once() {
        let answers = Arc::new(AtomicBool::new(false));
        let probed = answers.clone();
        let desk = Desk::open((), PATIENCE, move |()| probed.load(Ordering::Relaxed)).unwrap();
        assert_eq!(desk.ask(|()| 7), Some(7));

        let (wake, asleep) = channel::<()>();
        let asked = Instant::now();
        assert_eq!(desk.ask(move |()| asleep.recv().is_ok()), None);
        assert!(asked.elapsed() >= PATIENCE);
        let asked = Instant::now();
        for _ in 0..100 {
            assert_eq!(desk.ask(|()| 7), None);
        }
        assert!(asked.elapsed() < PATIENCE, "a hundred votes may not wait for the device one after another");

        // It moves again, and still does not do what it should.
        wake.send(()).unwrap();
        thread::sleep(2 * PROBE_AGAIN);
        assert_eq!(desk.ask(|()| 7), None);
        answers.store(true, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_secs(10);
        while desk.ask(|()| 7).is_none() {
            assert!(Instant::now() < until, "a device that answers is asked again");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn an_answer_that_is_late_is_of_use_to_nobody() {
        let desk = Desk::open(0_u32, PATIENCE, |_| true).unwrap();
        assert_eq!(desk.ask(|_| thread::sleep(2 * PATIENCE)), None);
        let until = Instant::now() + Duration::from_secs(10);
        while desk.ask(|count| *count += 1).is_none() {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(desk.ask(|count| *count), Some(1));
    }
}
