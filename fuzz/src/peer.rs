//! A peer that holds the key: what it signs and seals is authentic, whatever it says.

use pollux::link::LinkOptions;
use pollux::wire::{
    ETHERNET_HEADER_SIZE, ETHERTYPE_DEFAULT, Entropy, EphemeralSecret, EthernetAddress,
    EthernetHeader, Frame, FrameHeader, FrameType, HEADER_SIZE, HandshakeKey, Nonce, PublicKey,
    Sealer, SecretKey, SessionKeys, SessionParts,
};

/// Bytes before a body.
const BODY_OFFSET: usize = ETHERNET_HEADER_SIZE + HEADER_SIZE;

/// Which end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one with the guest.
    Primary,
    /// The one with the twin.
    Backup,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Backup,
            Self::Backup => Self::Primary,
        }
    }

    const fn address(self) -> EthernetAddress {
        EthernetAddress([2, 0, 0, 0, 0, 1 + self as u8])
    }
}

fn key() -> SecretKey {
    SecretKey::new([0x77; 32])
}

/// What an end of the link is told at start.
#[must_use]
pub fn options(side: Side, mtu: usize) -> LinkOptions {
    LinkOptions {
        own_address: side.address(),
        peer_address: side.other().address(),
        ethertype: ETHERTYPE_DEFAULT,
        path_count: 1,
        mtu,
        timeout_ms: 500,
        silence_memory_us: u64::MAX,
        key: key(),
        entropy: Entropy::new([0x5a + side as u8; 32]),
    }
}

/// A session as the peer sees it.
#[derive(Debug)]
struct Session {
    number: u64,
    outgoing: Sealer,
    incoming: Sealer,
    /// The packet number that the end under test must use next.
    wanted: u64,
}

/// What the end under test has sent.
#[derive(Debug)]
pub struct Heard {
    /// What it is.
    pub frame_type: FrameType,
    /// Its packet number.
    pub packet_number: u64,
    /// Its body, readable.
    pub body: Vec<u8>,
    /// Ethernet payload.
    pub size: usize,
}

/// The peer of the end under test.
#[derive(Debug)]
pub struct Peer {
    side: Side,
    handshake: HandshakeKey,
    session: Option<Session>,
    /// The number of the next packet.
    pub next_packet: u64,
    /// The other half of the end under test is hostile, and may give it another key.
    pub may_be_left: bool,
    /// It did: nothing of what follows can be read.
    pub is_left: bool,
}

impl Peer {
    /// A peer at this side, in no session.
    #[must_use]
    pub fn new(side: Side) -> Self {
        let handshake = HandshakeKey::new(&key());
        Self { side, handshake, session: None, next_packet: 0, may_be_left: false, is_left: false }
    }

    /// The secret with which it takes part in every exchange.
    fn secret(&self) -> EphemeralSecret {
        EphemeralSecret::new([0x33 + self.side as u8; 32])
    }

    /// Its public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.secret().public_key()
    }

    /// Takes up the session of these nonces with the end whose public key is `other`; not if that is none.
    pub fn begin(&mut self, primary_nonce: Nonce, backup_nonce: Nonce, other: PublicKey) {
        let Some(agreed) = self.secret().agree(&other) else { return };
        let own = self.public_key();
        let (primary_public, backup_public) = match self.side {
            Side::Primary => (own, other),
            Side::Backup => (other, own),
        };
        let parts = SessionParts {
            primary: Side::Primary.address(),
            backup: Side::Backup.address(),
            primary_nonce,
            backup_nonce,
            primary_public,
            backup_public,
        };
        let keys = SessionKeys::derive(&key(), &parts, &agreed);
        let (outgoing, incoming) = match self.side {
            Side::Primary => (keys.to_backup, keys.to_primary),
            Side::Backup => (keys.to_primary, keys.to_backup),
        };
        self.session = Some(Session { number: keys.session, outgoing, incoming, wanted: 0 });
        self.next_packet = 0;
    }

    /// Whether it is in a session.
    #[must_use]
    pub const fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// A handshake frame with the right signature.
    #[must_use]
    pub fn signed(&self, frame_type: FrameType, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.headers(frame_type, 0, 0, body);
        let (associated, body) = bytes.split_at(BODY_OFFSET);
        let tag = self.handshake.sign(associated, body);
        bytes.extend(tag);
        bytes
    }

    /// A sealed frame of the session; none without one.
    pub fn sealed(&mut self, frame_type: FrameType, body: &[u8]) -> Option<Vec<u8>> {
        let session = self.session.as_ref()?;
        let number = self.next_packet;
        self.next_packet = number.wrapping_add(1);
        let mut bytes = self.headers(frame_type, session.number, number, body);
        let (associated, body) = bytes.split_at_mut(BODY_OFFSET);
        let tag = session.outgoing.seal(number, associated, body);
        bytes.extend(tag);
        Some(bytes)
    }

    fn headers(&self, frame_type: FrameType, session: u64, number: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; BODY_OFFSET];
        let ethernet = EthernetHeader {
            destination: self.side.other().address(),
            source: self.side.address(),
            ethertype: ETHERTYPE_DEFAULT,
        };
        ethernet.emit(&mut bytes);
        let body_size = u16::try_from(body.len()).expect("bodies are short");
        FrameHeader { frame_type, body_size, session, packet_number: number }
            .emit(&mut bytes[ETHERNET_HEADER_SIZE..]);
        bytes.extend(body);
        bytes
    }

    /// Reads what the end under test has sent, and panics if it is not as every frame must be:
    /// addressed, signed or sealed, and no packet number used twice or left out.
    pub fn hear(&mut self, bytes: &mut [u8]) -> Heard {
        let size = bytes.len() - ETHERNET_HEADER_SIZE;
        let mut frame = Frame::parse(bytes).expect("its own frames are well-formed");
        assert_eq!(frame.ethernet.destination, self.side.address());
        assert_eq!(frame.ethernet.source, self.side.other().address());
        let FrameHeader { frame_type, packet_number, .. } = frame.header;
        if frame_type.is_handshake() {
            self.is_left = !self.handshake.is_signed(&frame);
            assert!(!self.is_left || self.may_be_left, "its handshake is signed");
        } else {
            let session = self.session.as_mut().expect("it sends under a session's keys");
            assert_eq!((frame.header.session, packet_number), (session.number, session.wanted));
            assert!(session.incoming.open(&mut frame));
            session.wanted += 1;
        }
        Heard { frame_type, packet_number, body: frame.body.to_vec(), size }
    }
}
