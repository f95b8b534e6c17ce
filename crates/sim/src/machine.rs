//! A node's own machine: the world's runtime with a clock that can be set wrong and a disk that can be slow.
//!
//! Everything a node does passes through here, because a node knows nothing but its runtime. Waits are told by the world's time,
//! as real timers are; only the date is the machine's own.

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_runtime::{
    Blob, BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Name, ReadOptions, Spawner, Storage,
    Supervisor, WriteOptions, deterministic,
    signal::Signal,
    telemetry::metrics::{Metric, Registered},
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tallystick_node::parcels::message::Message;

/// Time that passed at once, for all clocks of the world: as if nobody had looked for so long. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Leap(Arc<AtomicU64>);

impl Leap {
    /// So much more time has passed.
    pub fn pass(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How much has passed.
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What can be wrong with a machine. Shared by all that runs on it.
#[derive(Debug, Default)]
pub struct Hardware {
    leap: Leap,
    clock_ahead_ms: AtomicI64,
    disk_delay_ms: AtomicU64,
    state_cut: AtomicBool,
    /// What is looked for beside [`SECRET`], on a machine that is watched.
    watched: OnceLock<Blindings>,
    written: AtomicBool,
    sent: AtomicBool,
    bared: AtomicBool,
    said: Mutex<Vec<Said>>,
    withholds: AtomicBool,
    withheld: AtomicU64,
    shuts_rooms: AtomicBool,
    /// The partitions of its disk in which it keeps what some may see alone.
    rooms: Mutex<BTreeSet<String>>,
}

/// A message of parcels that a machine sent: to whom, and what it says. The parcels themselves, and openings, are left out.
pub type Said = (PublicKey, Message);

/// What is looked for on a machine that is watched. A name can be this.
pub const SECRET: &str = "for-members-eyes-only";

/// Bytes of a blinding.
const BLINDING: usize = 32;

/// Blindings of which the world knows, which are in the clear nowhere. Clones are the same.
#[derive(Clone, Default)]
pub struct Blindings(Arc<Mutex<Vec<[u8; BLINDING]>>>);

impl fmt::Debug for Blindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("blindings")
    }
}

impl Blindings {
    /// From now on looks for that which an encoding ends with.
    pub fn look_for_last(&self, encoding: &[u8]) {
        let last = encoding.last_chunk().expect("an encoding that ends with a blinding");
        self.lock().push(*last);
    }

    /// How many are looked for.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        let known = self.lock();
        let mut begins = [false; 256];
        known.iter().for_each(|blinding| begins[usize::from(blinding[0])] = true);
        let is_one = |window: &[u8]| begins[usize::from(window[0])] && known.iter().any(|one| one == window);
        bytes.windows(BLINDING).any(is_one)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<[u8; BLINDING]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

impl Hardware {
    /// Sound hardware in a world in which time passes so.
    pub fn new(leap: Leap) -> Self {
        Self { leap, ..Self::default() }
    }

    /// Sets the clock this far ahead of the world's (behind, if negative).
    pub fn set_clock_ahead_ms(&self, ms: i64) {
        self.clock_ahead_ms.store(ms, Ordering::Relaxed);
    }

    /// Makes every write and sync take this much longer.
    pub fn set_disk_delay_ms(&self, ms: u64) {
        self.disk_delay_ms.store(ms, Ordering::Relaxed);
    }

    /// From now on looks for [`SECRET`], and for blindings, in all that is written and sent.
    pub fn watch(&self, blindings: &Blindings) {
        self.watched.get_or_init(|| blindings.clone());
    }

    /// Whether that is looked for.
    pub fn is_watched(&self) -> bool {
        self.watched.get().is_some()
    }

    fn look_for_blindings(&self, bytes: &[u8]) {
        if self.watched.get().is_some_and(|blindings| blindings.are_in(bytes)) {
            self.bared.store(true, Ordering::Relaxed);
        }
    }

    /// Looks at what is sent.
    pub fn look_at_sent(&self, bytes: &[u8]) {
        if holds_secret(bytes) {
            self.sent.store(true, Ordering::Relaxed);
        }
        self.look_for_blindings(bytes);
    }

    /// Looks at what is written.
    fn look_at_written(&self, bytes: &[u8]) {
        if holds_secret(bytes) {
            self.written.store(true, Ordering::Relaxed);
        }
        self.look_for_blindings(bytes);
    }

    /// Listens to what is said of parcels.
    pub fn listen(&self, to: &[PublicKey], bytes: &[u8]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for to in to {
            let Ok(mut message) = Message::decode(bytes) else { continue };
            if let Message::Deliver { parcels, openings, .. } | Message::Fetched { parcels, openings, .. } =
                &mut message
            {
                parcels.clear();
                *openings = openings.take().map(|_| Bytes::new());
            }
            said.push((to.clone(), message));
        }
    }

    /// Looks at all that was said of parcels.
    pub fn said<T>(&self, look: impl FnOnce(&[Said]) -> T) -> T {
        look(&self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was written, whether it was sent, and whether a blinding was either.
    pub fn found(&self) -> [bool; 3] {
        [&self.written, &self.sent, &self.bared].map(|found| found.load(Ordering::Relaxed))
    }

    /// Makes the machine answer nobody who asks for payloads, or answer again.
    pub fn set_withholding(&self, withholds: bool) {
        self.withholds.store(withholds, Ordering::Relaxed);
    }

    /// Whether this is an answer that is withheld now.
    pub fn withholds(&self, bytes: &[u8]) -> bool {
        let is_withheld = self.withholds.load(Ordering::Relaxed)
            && matches!(Message::decode(bytes), Ok(Message::Fetched { .. } | Message::Deliver { order: None, .. }));
        self.withheld.fetch_add(u64::from(is_withheld), Ordering::Relaxed);
        is_withheld
    }

    /// How many answers it has withheld.
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Makes the disk fail where it is to say which payloads it has, or work again.
    pub fn set_shutting_rooms(&self, shuts: bool) {
        self.shuts_rooms.store(shuts, Ordering::Relaxed);
    }

    /// The partitions of its disk in which it has kept what only some may see, and that begin with this.
    pub fn rooms(&self, prefix: &str) -> Vec<String> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.iter().filter(|room| room.starts_with(prefix)).cloned().collect()
    }

    fn enters(&self, partition: &str) {
        if ["-partition-", "-parcels-"].iter().any(|kind| partition.contains(kind)) {
            self.rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(partition.to_owned());
        }
    }

    /// Cuts the way by which the machine asks others for their state, or joins it.
    pub fn set_state_cut(&self, cut: bool) {
        self.state_cut.store(cut, Ordering::Relaxed);
    }

    /// Whether that way is cut.
    pub fn is_state_cut(&self) -> bool {
        self.state_cut.load(Ordering::Relaxed)
    }

    fn date(&self, world: SystemTime) -> SystemTime {
        shift(world, self.ahead_ms())
    }

    fn world_time(&self, date: SystemTime) -> SystemTime {
        shift(date, -self.ahead_ms())
    }

    fn ahead_ms(&self) -> i64 {
        let passed = i64::try_from(self.leap.passed().as_millis()).unwrap_or(i64::MAX);
        passed.saturating_add(self.clock_ahead_ms.load(Ordering::Relaxed))
    }
}

fn shift(time: SystemTime, by_ms: i64) -> SystemTime {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    let shifted = if by_ms < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    // Before 1970 the runtime's own arithmetic ends.
    shifted.unwrap_or(time).max(SystemTime::UNIX_EPOCH)
}

/// The runtime of one node.
pub struct Machine {
    world: deterministic::Context,
    hardware: Arc<Hardware>,
}

impl Machine {
    /// A machine in the world.
    pub fn new(world: deterministic::Context, hardware: Arc<Hardware>) -> Self {
        Self { world, hardware }
    }

    /// What can be wrong with it.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.world.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { world: self.world.child(label), hardware: self.hardware.clone() }
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        Self { world: self.world.with_attribute(key, value), hardware: self.hardware }
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        Self { world: self.world.shared(blocking), hardware: self.hardware }
    }

    fn dedicated(self) -> Self {
        Self { world: self.world.dedicated(), hardware: self.hardware }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let hardware = self.hardware;
        self.world.spawn(move |world| f(Self { world, hardware }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.world.stop(value, timeout).await
    }

    fn stopped(&self) -> Signal {
        self.world.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.world.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.world.encode()
    }
}

impl governor::clock::Clock for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.current()
    }
}

impl governor::clock::ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.hardware.date(self.world.current())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.world.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.world.sleep_until(self.hardware.world_time(deadline))
    }
}

impl rand_core::TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.world.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.world.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.world.try_fill_bytes(bytes)
    }
}

impl rand_core::TryCryptoRng for Machine {}

impl Storage for Machine {
    type Blob = Disk;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Disk, u64, BlobVersion), Error> {
        self.hardware.enters(partition);
        let (blob, size, version) = self.world.open_versioned(partition, name, versions).await?;
        let disk = Disk { blob, world: self.world.child("disk"), hardware: self.hardware.clone() };
        Ok((disk, size, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.world.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        if self.hardware.shuts_rooms.load(Ordering::Relaxed) && partition.contains("-parcels-") {
            return Err(Error::ReadFailed);
        }
        self.world.scan(partition).await
    }
}

/// A file on the machine's disk.
pub struct Disk {
    blob: deterministic::Blob,
    world: deterministic::Context,
    hardware: Arc<Hardware>,
}

impl Disk {
    async fn delay(&self) {
        let ms = self.hardware.disk_delay_ms.load(Ordering::Relaxed);
        if ms > 0 {
            self.world.sleep(Duration::from_millis(ms)).await;
        }
    }
}

impl Blob for Disk {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.blob.read_at_buf(offset, len, bufs, options).await
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        self.blob.read_at(offset, len, options).await
    }

    async fn write_at(&self, offset: u64, bufs: impl Into<IoBufs> + Send, options: WriteOptions) -> Result<(), Error> {
        let mut bufs = bufs.into();
        if self.hardware.is_watched() {
            let bytes = bufs.coalesce();
            self.hardware.look_at_written(bytes.as_ref());
            bufs = bytes.into();
        }
        self.delay().await;
        self.blob.write_at(offset, bufs, options).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        self.delay().await;
        self.blob.resize(len).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.delay().await;
        self.blob.sync().await
    }

    async fn start_sync(&self) -> Handle<()> {
        self.delay().await;
        self.blob.start_sync().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_runtime::Runner as _;

    #[test]
    fn the_date_is_the_machines_and_the_waits_are_the_worlds() {
        deterministic::Runner::seeded(1).start(|world| async move {
            let hardware = Arc::new(Hardware::default());
            let machine = Machine::new(world.child("machine"), hardware.clone());
            let hour = Duration::from_secs(3600);
            hardware.set_clock_ahead_ms(3_600_000);
            assert_eq!(machine.current(), world.current() + hour);
            let before = world.current();
            machine.sleep(Duration::from_secs(1)).await;
            machine.sleep_until(machine.current() + Duration::from_secs(1)).await;
            let passed = world.current().duration_since(before).unwrap();
            assert!(passed >= Duration::from_secs(2) && passed < Duration::from_secs(3), "{passed:?}");
            hardware.set_clock_ahead_ms(-3_600_000_000);
            assert_eq!(machine.current(), SystemTime::UNIX_EPOCH);
        });
    }

    #[test]
    fn time_that_passes_passes_for_every_machine() {
        deterministic::Runner::seeded(1).start(|world| async move {
            let (leap, day) = (Leap::default(), Duration::from_secs(86_400));
            let [right, wrong] = [(); 2].map(|()| Arc::new(Hardware::new(leap.clone())));
            wrong.set_clock_ahead_ms(-1_000);
            let [right, wrong] = [right, wrong].map(|hardware| Machine::new(world.child("machine"), hardware));
            let before = world.current() + day;
            leap.pass(day);
            right.sleep_until(right.current() + Duration::from_secs(1)).await;
            assert_eq!(right.current(), world.current() + day);
            assert_eq!(wrong.current(), right.current() - Duration::from_secs(1));
            assert!(right.current() < before + Duration::from_secs(2), "waits are the world's");
        });
    }

    #[test]
    fn a_blinding_in_the_clear_is_found_and_so_is_a_value() {
        let (blindings, blinding) = (Blindings::default(), [7; BLINDING]);
        let found = |bytes: &[u8]| {
            let hardware = Hardware::default();
            hardware.watch(&blindings);
            hardware.look_at_sent(bytes);
            hardware.found()
        };
        let bytes = [b"before".as_slice(), &blinding, b"after"].concat();
        assert_eq!(found(&bytes), [false; 3], "nobody looks for it");
        blindings.look_for_last(&[b"encoding".as_slice(), &blinding].concat());
        assert_eq!(found(&bytes), [false, false, true]);
        assert_eq!(found(&bytes[..20]), [false; 3]);
        assert_eq!(found(SECRET.as_bytes()), [false, true, false]);
    }

    #[test]
    fn a_slow_disk_takes_its_time_and_loses_nothing() {
        deterministic::Runner::seeded(1).start(|world| async move {
            let hardware = Arc::new(Hardware::default());
            let machine = Machine::new(world.child("machine"), hardware.clone());
            let (disk, _) = machine.open("partition", b"file").await.unwrap();
            hardware.set_disk_delay_ms(500);
            let before = world.current();
            disk.write_at(0, b"kept".to_vec(), WriteOptions::default()).await.unwrap();
            disk.sync().await.unwrap();
            assert!(world.current().duration_since(before).unwrap() >= Duration::from_secs(1));
            let read = disk.read_at(0, 4, ReadOptions::default()).await.unwrap();
            assert_eq!(read.coalesce().as_ref(), b"kept");
        });
    }
}
