//! Where those who need a device ask for it: the device serves one at a time, in a thread of its own, and may not answer.
//!
//! Whoever asks waits a bounded time, and holds a thread meanwhile. So only one at a time may find out that the device is silent:
//! from then on everybody is told so at once, until the device answered a probe in its own thread in time.
//!
//! Whoever leaves last waits until the device is put away: a process that ended before would take the software of the device
//! from under its thread.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tallystick_protocol::limits::TOKEN_REQUESTS_MAX;

/// Wait between two probes of a silent device.
const PROBE_AGAIN: Duration = Duration::from_millis(250);

/// Wait between two looks whether the device is put away.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Something to do with the device.
type Job<D> = Box<dyn FnOnce(&mut D) + Send>;

/// The desk in front of a device. Clones share it; the device's thread ends with the last of them.
pub(super) struct Desk<D>(Arc<Counter<D>>);

impl<D> Clone for Desk<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Counter<D> {
    /// None once it is closed.
    jobs: Option<SyncSender<(Instant, Job<D>)>>,
    silent: Arc<AtomicBool>,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

impl<D: Send + 'static> Desk<D> {
    /// Gives the device a thread. Each who asks waits for at most `patience`; `probe` asks the device for something, and returns
    /// when it answered.
    pub fn open(mut device: D, patience: Duration, probe: impl Fn(&mut D) + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<(Instant, Job<D>)>(TOKEN_REQUESTS_MAX);
        let silent = Arc::new(AtomicBool::new(false));
        let told = silent.clone();
        let thread = thread::Builder::new().name("pkcs11".to_owned()).spawn(move || {
            while let Some(job) = next(&inbox, told.load(Ordering::Relaxed)) {
                if told.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    probe(&mut device);
                    // Who still waits for the job gives up by itself: it was asked for before the device fell silent.
                    if asked.elapsed() < patience {
                        told.store(false, Ordering::Relaxed);
                    }
                } else if let Some((until, job)) = job
                    // Nobody waits any more: a signature would be of use to nobody.
                    && Instant::now() < until
                {
                    job(&mut device);
                }
            }
        })?;
        Ok(Self(Arc::new(Counter { jobs: Some(jobs), silent, patience, thread: Some(thread) })))
    }

    /// What the device does with the job; `None` when it is silent.
    pub fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut D) -> T + Send + 'static) -> Option<T> {
        let Counter { jobs, silent, patience, .. } = &*self.0;
        if silent.load(Ordering::Relaxed) {
            return None;
        }
        let (answer, answered) = sync_channel(1);
        // Whoever asked may have gone: then nobody reads the answer.
        let job: Job<D> = Box::new(move |device| drop(answer.send(job(device))));
        // A full queue means that the device has been busy for longer than anybody waits.
        let is_queued = jobs.as_ref().is_some_and(|jobs| jobs.try_send((Instant::now() + *patience, job)).is_ok());
        let done = is_queued.then(|| answered.recv_timeout(*patience).ok()).flatten();
        if done.is_none() {
            silent.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl<D> Drop for Counter<D> {
    /// Waits for the device to be put away, unless it is silent for longer than anybody waits.
    fn drop(&mut self) {
        self.jobs = None;
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + self.patience;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(LOOK_AGAIN);
        }
        if thread.is_finished() {
            // It cannot be helped any more if it failed.
            let _ = thread.join();
        }
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
        let stuck = Arc::new(AtomicBool::new(true));
        let probed = stuck.clone();
        let probe = move |&mut (): &mut ()| {
            if probed.load(Ordering::Relaxed) {
                thread::sleep(2 * PATIENCE);
            }
        };
        let desk = Desk::open((), PATIENCE, probe).unwrap();
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

        // It moves again, and is still too slow.
        wake.send(()).unwrap();
        thread::sleep(2 * PROBE_AGAIN + 2 * PATIENCE);
        assert_eq!(desk.ask(|()| 7), None);
        stuck.store(false, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_secs(10);
        while desk.ask(|()| 7).is_none() {
            assert!(Instant::now() < until, "a device that answers is asked again");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn an_answer_that_is_late_is_of_use_to_nobody() {
        let desk = Desk::open(0_u32, PATIENCE, |_| ()).unwrap();
        assert_eq!(desk.ask(|_| thread::sleep(2 * PATIENCE)), None);
        let until = Instant::now() + Duration::from_secs(10);
        while desk.ask(|count| *count += 1).is_none() {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(desk.ask(|count| *count), Some(1));
    }

    /// Tells when it is put away.
    struct Slow(Arc<AtomicBool>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(PATIENCE / 4);
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_leaves_last_waits_until_the_device_is_put_away() {
        let away = Arc::new(AtomicBool::new(false));
        let desk = Desk::open(Slow(away.clone()), PATIENCE, |_| ()).unwrap();
        let another = desk.clone();
        drop(desk);
        assert_eq!(another.ask(|_| 7), Some(7));
        drop(another);
        assert!(away.load(Ordering::Relaxed));
    }

    #[test]
    fn nobody_waits_for_ever_for_a_device_that_does_not_move() {
        let (wake, asleep) = channel::<()>();
        let desk = Desk::open((), PATIENCE, |_| ()).unwrap();
        assert_eq!(desk.ask(move |()| asleep.recv().is_ok()), None);
        let left = Instant::now();
        drop(desk);
        assert!(left.elapsed() < 10 * PATIENCE);
        drop(wake);
    }
}
