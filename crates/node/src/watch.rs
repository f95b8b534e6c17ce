//! A value that others wait on: the latest is what counts, and who waits is woken in the order in which it began to wait.
//!
//! As `tokio::sync::watch`, which wakes in an order drawn at random: a simulated network would no longer be a function of its seed.

use std::{
    ops::Deref,
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;

struct Shared<T> {
    value: RwLock<T>,
    /// Changes only while `value` is written to.
    version: AtomicU64,
    closed: AtomicBool,
    changed: Notify,
}

impl<T> Shared<T> {
    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// The value, for a moment: it does not change while this is held. Never hold it across an await.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Who sets the value.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// A value that nobody waits on yet.
    pub fn new(value: T) -> Self {
        let (version, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Shared { value: RwLock::new(value), version, closed, changed: Notify::new() }))
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    /// One more that follows the value; it has seen the present one.
    pub fn subscribe(&self) -> Receiver<T> {
        let value = self.0.borrow();
        let seen = self.0.version();
        drop(value);
        Receiver { shared: self.0.clone(), seen }
    }

    /// Sets the value and wakes who waits.
    pub fn send_replace(&self, value: T) {
        self.send_if_modified(|present| {
            *present = value;
            true
        });
    }

    /// Changes the value, and wakes who waits if it was changed, as `modify` says; says so too.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.0.value.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_modified = modify(&mut value);
        if is_modified {
            self.0.version.fetch_add(1, Ordering::Release);
        }
        drop(value);
        if is_modified {
            self.0.changed.notify_waiters();
        }
        is_modified
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

/// Nobody sets the value any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("nobody sets the value any more")]
pub struct Closed;

/// Who follows the value. A clone has seen what the first has.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Receiver<T> {
    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.borrow();
        self.seen = self.shared.version();
        value
    }

    /// Waits until there is a value that was not seen, which counts as seen from then on.
    ///
    /// # Errors
    /// When there is none, and nobody sets it any more.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // Before the look: what changes after it wakes this.
            let changed = self.shared.changed.notified();
            // First this: what was set before the end is seen before it.
            let is_closed = self.shared.closed.load(Ordering::Acquire);
            let version = self.shared.version();
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if is_closed {
                return Err(Closed);
            }
            changed.await;
        }
    }

    /// Waits for a value that is as `is` says; looks at the present one first. A value that is counts as seen.
    ///
    /// # Errors
    /// When none is, and nobody sets it any more.
    pub async fn wait_for(&mut self, mut is: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        loop {
            if is(&self.borrow_and_update()) {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::{FutureExt as _, future::join_all};
    use std::sync::Mutex;

    #[test]
    fn a_change_is_seen_once_and_what_is_there_already_is_not_waited_for() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        assert_eq!(receiver.changed().now_or_never(), None);
        sender.send_replace(2);
        sender.send_replace(3);
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(())));
        assert_eq!(receiver.changed().now_or_never(), None);
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.changed().now_or_never(), None);
        assert_eq!(receiver.wait_for(|value| *value == 3).now_or_never(), Some(Ok(())));
        assert_eq!(*receiver.borrow(), 3);
    }

    #[test]
    fn the_last_value_is_seen_before_the_end() {
        let sender = Sender::new(1);
        let (mut first, mut second) = (sender.subscribe(), sender.subscribe());
        sender.send_replace(2);
        assert_eq!(*second.borrow_and_update(), 2);
        drop(sender);
        assert_eq!(first.changed().now_or_never(), Some(Ok(())));
        assert_eq!(first.changed().now_or_never(), Some(Err(Closed)));
        assert_eq!(second.wait_for(|value| *value == 1).now_or_never(), Some(Err(Closed)));
    }

    #[tokio::test]
    async fn who_began_to_wait_first_is_woken_first() {
        let sender = Sender::new(0);
        let woken = Mutex::new(Vec::new());
        let waiting = (0..64).map(|place| {
            let (mut receiver, woken) = (sender.subscribe(), &woken);
            async move {
                receiver.changed().await.unwrap();
                woken.lock().unwrap().push(place);
            }
        });
        let all = join_all(waiting);
        tokio::join!(all, async { sender.send_replace(1) });
        assert_eq!(woken.into_inner().unwrap(), (0..64).collect::<Vec<_>>());
    }
}
