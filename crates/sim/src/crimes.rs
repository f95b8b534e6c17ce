//! Crimes: what a lying node does, one file each; and the line by which honest and lying nodes alike reach the others.

pub mod equivocator;
pub mod forger;

use crate::machine::Hardware;
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Recipients, simulated};
use commonware_runtime::{IoBufs, deterministic};
use std::{sync::Arc, time::SystemTime};

type Inner = simulated::Sender<PublicKey, deterministic::Context>;

/// How a node uses its line.
#[derive(Clone, Debug)]
pub enum Manner {
    /// It sends what the node says to whom the node says.
    Honest,
    /// The same, and while the machine's way to others' states is cut, nobody hears it.
    Cut(Arc<Hardware>),
    /// Only these hear it, as a rule.
    Facing(Arc<equivocator::Audience>),
    /// What it sends is not always what the node said.
    Forging(Arc<forger::Forger>),
}

/// A node's end of one channel.
#[derive(Clone, Debug)]
pub struct Line {
    sender: Inner,
    manner: Manner,
    /// The machine that it leads from, if what is sent is looked at.
    watched: Option<Arc<Hardware>>,
    /// Whether it is that on which nodes speak of parcels.
    is_parcels: bool,
}

impl Line {
    /// The same line, used in another manner.
    #[must_use]
    pub fn with(&self, manner: Manner) -> Self {
        Self { sender: self.sender.clone(), manner, watched: self.watched.clone(), is_parcels: self.is_parcels }
    }

    /// A line on a channel.
    pub fn new(sender: Inner, manner: Manner) -> Self {
        Self { sender, manner, watched: None, is_parcels: false }
    }

    /// The same line, where all that is sent from this machine is looked at.
    #[must_use]
    pub fn watched(self, hardware: Arc<Hardware>, is_parcels: bool) -> Self {
        Self { watched: Some(hardware), is_parcels, ..self }
    }
}

impl LimitedSender for Line {
    type PublicKey = PublicKey;
    type Checked<'a> = CheckedLine<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<CheckedLine<'_>, SystemTime> {
        let recipients = match &self.manner {
            Manner::Facing(audience) => audience.of(recipients),
            Manner::Cut(hardware) if hardware.is_state_cut() => Recipients::Some(Vec::new()),
            Manner::Honest | Manner::Cut(_) | Manner::Forging(_) => recipients,
        };
        let (manner, watched, is_parcels) = (self.manner.clone(), self.watched.clone(), self.is_parcels);
        Ok(CheckedLine { inner: self.sender.check(recipients)?, manner, watched, is_parcels })
    }
}

/// A line that may send now.
pub struct CheckedLine<'a> {
    inner: <Inner as LimitedSender>::Checked<'a>,
    manner: Manner,
    watched: Option<Arc<Hardware>>,
    is_parcels: bool,
}

impl CheckedSender for CheckedLine<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let mut message = message.into();
        if let Some(hardware) = &self.watched {
            let bytes = message.coalesce();
            if self.is_parcels && hardware.withholds(bytes.as_ref()) {
                return Unreliable::new(Feedback::Ok);
            }
            hardware.look_at_sent(bytes.as_ref());
            if self.is_parcels {
                hardware.listen(&self.inner.recipients(), bytes.as_ref());
            }
            message = bytes.into();
        }
        match &self.manner {
            Manner::Honest | Manner::Cut(_) | Manner::Facing(_) => self.inner.send(message, priority),
            Manner::Forging(forger) => {
                let forged = forger.forge(message.coalesce().as_ref());
                self.inner.send(forged, priority)
            }
        }
    }
}
