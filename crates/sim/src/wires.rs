//! The links between machines.

use crate::node::Network;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::Link;
use commonware_utils::Probability;
use std::time::Duration;

/// All links of a world.
#[derive(Clone)]
pub struct Wires {
    /// The network that they are of.
    pub network: Network,
    /// The machines at their ends.
    pub keys: Vec<PublicKey>,
    /// The mean and the deviation of how long a message takes, in milliseconds.
    pub delay_ms: (u64, u64),
    /// How many of a hundred messages are lost when nothing is wrong.
    pub loss_percent: u64,
}

impl Wires {
    /// A link that loses as many of a hundred messages.
    pub fn link(&self, lost_percent: u64) -> Link {
        let (mean, deviation) = self.delay_ms;
        Link {
            latency: Duration::from_millis(mean),
            jitter: Duration::from_millis(deviation),
            success_rate: Probability::new(100 - lost_percent.min(100), 100).expect("at most all arrive"),
        }
    }

    /// Sets every link, or takes it away.
    pub async fn set(&self, link: impl Fn(usize, usize) -> Option<Link>) {
        for (from, sender) in self.keys.iter().enumerate() {
            for (to, receiver) in self.keys.iter().enumerate().filter(|(to, _)| *to != from) {
                // None where there was none.
                let _ = self.network.remove_link(sender.clone(), receiver.clone()).await;
                if let Some(link) = link(from, to) {
                    let added = self.network.add_link(sender.clone(), receiver.clone(), link).await;
                    added.expect("the network runs, and the link was just removed");
                }
            }
        }
    }

    /// Cuts a machine off from all others.
    pub async fn cut(&self, node: usize) {
        self.set(|from, to| (from != node && to != node).then(|| self.link(self.loss_percent))).await;
    }

    /// Links all machines.
    pub async fn mend(&self) {
        self.set(|_, _| Some(self.link(self.loss_percent))).await;
    }
}
