//! Payloads that are open already: made here, or judged here when they were delivered. To execute them they need not be read, decrypted
//! and verified once more. What is not among them is on the disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tallystick_protocol::{ParcelId, limits::PAYLOADS_OPEN_BYTES_MAX};
use tallystick_storage::partition::Opened;

/// Open payloads, in the order in which they came: those that came first give way.
#[derive(Default)]
pub(super) struct Payloads {
    came: u64,
    bytes: usize,
    places: HashMap<ParcelId, u64>,
    payloads: BTreeMap<u64, (ParcelId, Arc<Opened>)>,
}

impl Payloads {
    /// Keeps one for a while.
    pub fn keep(&mut self, id: ParcelId, payload: Arc<Opened>) {
        self.forget(&id);
        self.came += 1;
        self.bytes += payload.size();
        self.places.insert(id, self.came);
        self.payloads.insert(self.came, (id, payload));
        while self.bytes > PAYLOADS_OPEN_BYTES_MAX
            && let Some((_, (id, payload))) = self.payloads.pop_first()
        {
            self.places.remove(&id);
            self.bytes -= payload.size();
        }
    }

    /// One, if it is here.
    pub fn get(&self, id: &ParcelId) -> Option<Arc<Opened>> {
        Some(self.payloads.get(self.places.get(id)?)?.1.clone())
    }

    /// Keeps one no longer.
    pub fn forget(&mut self, id: &ParcelId) {
        if let Some((_, payload)) = self.places.remove(id).and_then(|place| self.payloads.remove(&place)) {
            self.bytes -= payload.size();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use tallystick_protocol::{Evidence, NetworkId, Payload};

    fn opened(bytes: usize) -> Arc<Opened> {
        let mut rng = StdRng::seed_from_u64(1);
        let evidence = Evidence { height: 1, rows: BTreeMap::new() };
        let payload = Payload::new(vec![vec![1; bytes].into()], evidence, &mut rng).unwrap();
        Arc::new(Opened::of(payload, NetworkId([1; 16]), "health", &mut rng))
    }

    #[test]
    fn what_came_first_gives_way() {
        let (large, mut payloads) = (opened(60_000), Payloads::default());
        let room = PAYLOADS_OPEN_BYTES_MAX / large.size();
        let id = |number: usize| ParcelId([u8::try_from(number).unwrap(); 32]);
        for number in 0..room + 2 {
            payloads.keep(id(number), large.clone());
            // Once more is once.
            payloads.keep(id(number), large.clone());
        }
        let here = |payloads: &Payloads| (0..room + 2).filter(|number| payloads.get(&id(*number)).is_some()).count();
        assert_eq!((here(&payloads), payloads.get(&id(1)).is_none()), (room, true));
        payloads.forget(&id(2));
        payloads.forget(&id(2));
        assert_eq!((here(&payloads), payloads.bytes), (room - 1, (room - 1) * large.size()));
    }
}
