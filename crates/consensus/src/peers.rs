//! The real network: authenticated, encrypted connections to the peers a node is told of, and to nobody else.

use crate::{NodeKey, channel};
use commonware_cryptography::{ChaCha20Poly1305, ed25519::PublicKey};
use commonware_p2p::{
    Address, AddressableManager as _, Ingress,
    authenticated::lookup::{self, Network, Oracle, Receiver, Sender},
};
use commonware_runtime::{Handle, Quota, tokio::Context};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{Hostname, NZU32, NZUsize, ordered::Map};
use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};
use tallystick_protocol::{
    NetworkId,
    limits::{HANDSHAKE_CLOCK_SKEW_MAX, PEERS_MAX},
};

/// Messages queued inside the network's own actors before senders wait.
const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Identities that may be peers at one time. Every channel has room for each.
const PEERS: NonZeroUsize = NonZeroUsize::new(PEERS_MAX + 1).expect("it is not zero");
/// How long a peer that sent a forgery is kept away. Short, because its key may be mended before that; its next forgery
/// blocks it again.
const BLOCK_DURATION: Duration = Duration::from_secs(600);

/// Where a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address and port.
    Socket(SocketAddr),
    /// A host name, looked up at each attempt, and a port.
    Host(String, u16),
}

/// Why an address is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an address: write `192.0.2.1:9000` or `node.example.org:9000`")]
pub struct AddressError(String);

impl std::str::FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(socket) = text.parse() {
            return Ok(Self::Socket(socket));
        }
        let error = || AddressError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        Hostname::new(host).map_err(|_| error())?;
        Ok(Self::Host(host.to_owned(), port.parse().map_err(|_| error())?))
    }
}

impl PeerAddress {
    /// As the engine takes it.
    pub fn to_engine(&self) -> Result<Address, AddressError> {
        Ok(match self {
            Self::Socket(socket) => Address::Symmetric(*socket),
            Self::Host(host, port) => Address::Asymmetric {
                ingress: Ingress::Dns {
                    host: Hostname::new(host).map_err(|_| AddressError(host.clone()))?,
                    port: *port,
                },
                // Not looked at: peers are known by their keys, wherever they call from.
                egress: SocketAddr::from(([0, 0, 0, 0], 0)),
            },
        })
    }
}

/// What a node needs to meet its peers.
pub struct Config {
    /// The network: peers of another one cannot even shake hands.
    pub network: NetworkId,
    /// The key this node is known by.
    pub signer: NodeKey,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Every node it may speak with before it knows the schedule of the validators, itself among them.
    pub peers: Vec<(PublicKey, Address)>,
    /// Bytes of the largest message on any channel.
    pub message_bytes_max: u32,
}

/// A channel's two ends.
pub type Channel = (Sender<PublicKey, Context>, Receiver<PublicKey>);

/// A running network.
pub struct Peers {
    /// Ends when the network does, which is a failure.
    pub task: Handle<()>,
    /// Says who the peers are, and blocks those that lie.
    pub oracle: Oracle<PublicKey>,
    /// One pair for each of [`channel::ALL`], in that order.
    pub channels: Vec<Channel>,
}

/// Starts listening and dialling.
pub fn start(context: Context, config: Config) -> Peers {
    let peers: Map<PublicKey, Address> = Map::from_iter_dedup(config.peers.iter().take(PEERS_MAX).cloned());
    let (mut network, mut oracle) = Network::new(context, network_config(&config));
    let _ = oracle.track(0, peers);
    let channels = channel::ALL.iter().map(|id| network.register(*id, channel::QUOTA)).collect();
    Peers { task: network.start(), oracle, channels }
}

fn network_config(config: &Config) -> lookup::Config<Cups<Sake<NodeKey>, ChaCha20Poly1305>> {
    let sake = Sake {
        signer: config.signer.clone(),
        synchrony_bound: HANDSHAKE_CLOCK_SKEW_MAX,
        max_handshake_age: HANDSHAKE_CLOCK_SKEW_MAX,
        version: sake::Version::V1,
    };
    let namespace = [b"tallystick-peers-".as_slice(), &config.network.0].concat();
    lookup::Config {
        // Several nodes behind one address are ordinary here: a council's two machines, a developer's four processes.
        allow_private_ips: true,
        bypass_ip_check: true,
        peer_connection_cooldown: Duration::from_secs(1),
        allowed_handshake_rate_per_ip: Quota::per_second(NZU32!(16)),
        dial_frequency: Duration::from_millis(500),
        ping_frequency: Duration::from_secs(10),
        block_duration: BLOCK_DURATION,
        tracked_peer_sets: NZUsize!(1),
        ..lookup::Config::recommended(
            Cups::new(sake, cups::Version::V1),
            &namespace,
            config.listen,
            PEERS,
            config.message_bytes_max,
            MAILBOX,
        )
    }
}
