//! A runtime whose waits for a moment are never longer than consensus ever means to wait.
//!
//! The engine keeps its deadlines as dates, and a wait for a date is measured when it begins. A clock that is set back by an
//! hour makes such a wait an hour long, also when it is set right a second later; a network of the fewest validators stands
//! still for that hour. To end a view's wait too early costs that view; to end it too late costs the network.

use commonware_runtime::{
    BlobVersion, Clock, Error, Handle, Metrics, Name, Spawner, Storage, Supervisor,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
};
use rand_core::{TryCryptoRng, TryRng};
use std::{
    convert::Infallible,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

/// `E`, with waits for a moment of at most `longest`.
pub(crate) struct Bounded<E> {
    inner: E,
    longest: Duration,
}

impl<E> Bounded<E> {
    /// Bounds the waits of a runtime.
    pub fn new(inner: E, longest: Duration) -> Self {
        Self { inner, longest }
    }
}

impl<E: Supervisor> Supervisor for Bounded<E> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { inner: self.inner.child(label), longest: self.longest }
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        Self { inner: self.inner.with_attribute(key, value), longest: self.longest }
    }
}

impl<E: Spawner> Spawner for Bounded<E> {
    fn shared(self, blocking: bool) -> Self {
        Self { inner: self.inner.shared(blocking), longest: self.longest }
    }

    fn dedicated(self) -> Self {
        Self { inner: self.inner.dedicated(), longest: self.longest }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let longest = self.longest;
        self.inner.spawn(move |inner| f(Self { inner, longest }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.inner.stopped()
    }
}

impl<E: Metrics> Metrics for Bounded<E> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: Clock> governor::clock::Clock for Bounded<E> {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.inner.current()
    }
}

impl<E: Clock> governor::clock::ReasonablyRealtime for Bounded<E> {}

impl<E: Clock> Clock for Bounded<E> {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<E> {
        let left = deadline.duration_since(self.inner.current()).unwrap_or_default();
        self.inner.sleep(left.min(self.longest))
    }
}

impl<E: TryRng<Error = Infallible>> TryRng for Bounded<E> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl<E: TryCryptoRng<Error = Infallible>> TryCryptoRng for Bounded<E> {}

impl<E: Storage> Storage for Bounded<E> {
    type Blob = E::Blob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(E::Blob, u64, BlobVersion), Error> {
        self.inner.open_versioned(partition, name, versions).await
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.inner.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}
