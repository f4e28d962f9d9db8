//! Frames between the roles and the process that plays the network.
//!
//! A frame is to u8 ‖ from u8 ‖ kind u8 ‖ id u64 ‖ peer 32 ‖ length u32 ‖ bytes, little endian.

use std::io::{self, Read, Write};

use fieldmark_protocol::PublicKey;

/// The number of the process that plays the network and the contributors.
pub(crate) const NETWORK: u8 = 255;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// A request; the peer is who asks.
    Request,
    /// The response to the request with this id.
    Response,
    /// An announcement; the id is the topic's place in `Topic::ALL`.
    Gossip,
    /// The phase of the batch, in words; the id is the number of reports.
    Phase,
}

#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) to: u8,
    pub(crate) from: u8,
    pub(crate) carries: Carries,
    pub(crate) id: u64,
    pub(crate) peer: PublicKey,
    pub(crate) data: Vec<u8>,
}

const ORDER: [Carries; 4] = [
    Carries::Request,
    Carries::Response,
    Carries::Gossip,
    Carries::Phase,
];
const HEAD: usize = 3 + 8 + 32 + 4;

impl Frame {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let kind = ORDER.iter().position(|c| *c == self.carries).unwrap_or(0) as u8;
        let mut head = vec![self.to, self.from, kind];
        head.extend(self.id.to_le_bytes());
        head.extend(self.peer.as_bytes());
        head.extend((self.data.len() as u32).to_le_bytes());
        out.write_all(&head)?;
        out.write_all(&self.data)
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let length = u32::from_le_bytes(head[43..].try_into().expect("4 bytes"));
        let mut data = vec![0; length as usize];
        from.read_exact(&mut data)?;
        Ok(Self {
            to: head[0],
            from: head[1],
            carries: ORDER[usize::from(head[2])],
            id: number(&head[3..11]),
            peer: PublicKey::from_slice(&head[11..43]).expect("32 bytes"),
            data,
        })
    }
}
