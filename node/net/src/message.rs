//! What goes in and out of the shell.

use libp2p::Multiaddr;

use crate::identity::NodeKey;
use crate::topic::{GossipId, Topic};

/// What to do with a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: pass it on.
    Accept,
    /// Neither passed on nor held against the sender (a duplicate, a kind not understood).
    Ignore,
    /// Invalid: not passed on, and whoever sent it loses score.
    Reject,
}

/// An order to the network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Gossip data on a topic. A failure comes back as [`Event::PublishFailed`].
    Publish {
        /// The topic.
        topic: Topic,
        /// At most [`Topic::bytes_max`] bytes.
        data: Vec<u8>,
    },
    /// The verdict on a message of [`Event::Gossip`]; without one the message goes no further.
    Verdict {
        /// The message.
        message: GossipId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Ask a connected peer. Exactly one [`Event::Response`] follows.
    Request {
        /// Who is asked.
        peer: NodeKey,
        /// The caller's number for the request, returned with the response.
        request: u64,
        /// At most `rpc_bytes_max` bytes.
        data: Vec<u8>,
    },
    /// Answer an [`Event::Request`]. Unknown or expired numbers are ignored.
    Respond {
        /// The number from the event.
        inbound: u64,
        /// At most `rpc_bytes_max` bytes; more is sent as a refusal.
        data: Vec<u8>,
    },
    /// Decline an [`Event::Request`]; the peer sees [`RequestFailure::Refused`].
    Refuse {
        /// The number from the event.
        inbound: u64,
    },
    /// Connect to an address. A failure comes back as [`Event::DialFailed`].
    Dial {
        /// The address, best with `/p2p/<peer id>` at its end.
        addr: Multiaddr,
    },
    /// Close all connections to a peer.
    Disconnect {
        /// The peer.
        peer: NodeKey,
    },
    /// Close all connections to a peer and refuse new ones until [`Command::Unban`] or a restart.
    Ban {
        /// The peer.
        peer: NodeKey,
    },
    /// Allow a banned peer again.
    Unban {
        /// The peer.
        peer: NodeKey,
    },
    /// The application's part of a peer's gossip score, clamped to
    /// [`crate::scoring::APPLICATION_SCORE_RANGE`]; negative when an audit found it withholding messages.
    Score {
        /// The peer.
        peer: NodeKey,
        /// The score.
        score: f64,
    },
}

/// What happened on the network.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An address is listened on; with port 0 this is how the port becomes known.
    Listening {
        /// The address, without the peer id.
        addr: Multiaddr,
    },
    /// A first connection to a peer was made.
    Connected {
        /// The peer.
        peer: NodeKey,
        /// Where it was reached or came from.
        addr: Multiaddr,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: NodeKey,
    },
    /// A gossip message waits for its [`Command::Verdict`].
    Gossip {
        /// Its id.
        message: GossipId,
        /// Its topic.
        topic: Topic,
        /// The neighbour that passed it on; the author is in the data.
        from: NodeKey,
        /// Its bytes, at most [`Topic::bytes_max`].
        data: Vec<u8>,
    },
    /// A message was not published.
    PublishFailed {
        /// The topic.
        topic: Topic,
        /// Why.
        failure: PublishFailure,
    },
    /// A peer asks; answer with [`Command::Respond`] or [`Command::Refuse`] within the request timeout.
    Request {
        /// Who asks.
        peer: NodeKey,
        /// The number to answer with.
        inbound: u64,
        /// The request.
        data: Vec<u8>,
    },
    /// The end of a [`Command::Request`].
    Response {
        /// The caller's number.
        request: u64,
        /// The response, or why there is none.
        result: Result<Vec<u8>, RequestFailure>,
    },
    /// A connection was not made.
    DialFailed {
        /// The peer, where it was known.
        peer: Option<NodeKey>,
        /// The address, where one was ordered.
        addr: Option<Multiaddr>,
        /// libp2p's words.
        cause: String,
    },
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishFailure {
    /// No connected peer follows the topic.
    #[error("no connected peer follows the topic")]
    NoPeers,
    /// The same bytes were published or received before.
    #[error("the message was sent or received before")]
    Duplicate,
    /// The data are over the topic's bound.
    #[error("the message has {bytes} bytes, its topic allows {bytes_max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The topic's bound.
        bytes_max: usize,
    },
    /// Every neighbour's queue is full.
    #[error("the queues of all neighbours are full")]
    QueuesFull,
    /// gossipsub failed in another way.
    #[error("gossipsub failed")]
    Internal,
}

/// Why a request has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFailure {
    /// The peer is not connected; nothing was sent.
    #[error("the peer is not connected")]
    NotConnected,
    /// The request is over the bound; nothing was sent.
    #[error("the request has {bytes} bytes, the most allowed is {bytes_max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// This node has too many requests open; nothing was sent.
    #[error("too many requests are open")]
    TooManyOpen,
    /// No answer in time; the peer may have acted on the request.
    #[error("no answer in time")]
    Timeout,
    /// The connection closed first; the peer may have acted on the request.
    #[error("the connection closed before an answer came")]
    ConnectionClosed,
    /// The peer declined.
    #[error("the peer declined the request")]
    Refused,
    /// The peer does not speak this protocol: another network or version.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The stream broke, or the answer was over the bound or malformed.
    #[error("the stream failed or the answer was malformed")]
    Stream,
}
