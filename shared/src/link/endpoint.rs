//! What an end of the link knows before any session, and how it builds frames.

use super::channel::Channel;
use super::event::{EventQueue, LinkEvent};
use crate::limits::{FRAME_SIZE_MAX, FRAME_SIZE_MIN};
use crate::ring::Control;
use crate::wire::{
    ETHERNET_HEADER_SIZE, Entropy, EthernetAddress, EthernetHeader, Frame, FrameHeader, FrameType,
    HEADER_SIZE, HandshakeKey, Malformed, Nonce, OVERHEAD_SIZE, PublicKey, Sealing, SecretKey,
    SessionKeys, SessionParts, TAG_SIZE,
};

/// What an end of the link is told at start.
#[derive(Debug)]
pub struct LinkOptions {
    /// This host's address on the first link.
    pub own_address: EthernetAddress,
    /// The peer's address there; no other is listened to. With several links a [`MultiPort`] puts the
    /// others' in place of these two.
    ///
    /// [`MultiPort`]: super::MultiPort
    pub peer_address: EthernetAddress,
    /// EtherType of all frames, usually [`ETHERTYPE_DEFAULT`](crate::wire::ETHERTYPE_DEFAULT).
    pub ethertype: u16,
    /// Links to the peer, at most [`LINK_COUNT_MAX`](crate::limits::LINK_COUNT_MAX).
    pub path_count: usize,
    /// MTU of this host's interface in bytes, the smallest one with several links. At least [`FRAME_SIZE_MIN`]; what is above
    /// [`FRAME_SIZE_MAX`] is not used.
    pub mtu: usize,
    /// Longest silence before the peer is taken for lost, in milliseconds; not 0.
    pub timeout_ms: u32,
    /// For how long the first silences are remembered from which this end learns to wait for less, usually
    /// [`memory_us`](super::Silence::memory_us). With `u64::MAX` the timeout is always waited for, as it must be
    /// where no arbiter decides who lives.
    pub silence_memory_us: u64,
    /// The secret that both hosts share.
    pub key: SecretKey,
    /// Random bytes of this process, from which all its nonces and ephemeral secrets follow.
    pub entropy: Entropy,
}

/// What one end brings to an attempt at a session; all of it travels.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// New in each attempt.
    pub nonce: Nonce,
    /// Its secret stays with the [`Endpoint`].
    pub public_key: PublicKey,
}

/// Handshake frames in a row with another signature after which the log tells of it: one or two may
/// be damaged, and a primary sends four at once.
const UNSIGNED_COUNT_TOLD: u32 = 8;

/// Bytes before a frame's body, both headers.
const BODY_OFFSET: usize = ETHERNET_HEADER_SIZE + HEADER_SIZE;

/// A size of a frame, as it travels.
pub fn frame_size(size: usize) -> u16 {
    const { assert!(FRAME_SIZE_MAX <= u16::MAX as usize) };
    // Not `expect`, which would bring the error's text into the programs.
    let Ok(size) = u16::try_from(size) else { panic!("bounded by FRAME_SIZE_MAX") };
    size
}

/// One end of the link, without its state.
#[derive(Debug)]
pub struct Endpoint {
    pub options: LinkOptions,
    handshake: HandshakeKey,
    /// Handshake frames since the last one that was signed with our key.
    unsigned_count: u32,
}

impl Endpoint {
    pub fn new(mut options: LinkOptions) -> Self {
        assert!(options.mtu >= FRAME_SIZE_MIN, "a link carries {FRAME_SIZE_MIN} bytes at least");
        assert!(options.timeout_ms > 0, "silence has a limit");
        assert!(options.own_address != options.peer_address, "a link has two ends");
        options.mtu = options.mtu.min(FRAME_SIZE_MAX);
        let handshake = HandshakeKey::new(&options.key);
        Self { options, handshake, unsigned_count: 0 }
    }

    /// Gives the last attempt up, with its secret, and begins another one.
    pub fn begin_attempt(&mut self) -> Attempt {
        let entropy = &mut self.options.entropy;
        entropy.advance();
        Attempt { nonce: entropy.nonce(), public_key: entropy.ephemeral_secret().public_key() }
    }

    /// The keys of the session that the current attempt leads to, and the end of the attempt: its secret
    /// is gone. None if the peer's public key is one that leads to no secret.
    pub fn session_keys(&mut self, parts: &SessionParts, peer: &PublicKey) -> Option<SessionKeys> {
        let secret = self.options.entropy.ephemeral_secret();
        self.options.entropy.advance();
        let agreed = secret.agree(peer)?;
        Some(SessionKeys::derive(&self.options.key, parts, &agreed))
    }

    /// The MTU as it travels.
    pub fn mtu(&self) -> u16 {
        frame_size(self.options.mtu)
    }

    /// Takes a frame apart if it is for us, from our peer.
    pub fn parse<'a>(&self, bytes: &'a mut [u8]) -> Result<Frame<'a>, Malformed> {
        let frame = Frame::parse(bytes)?;
        let ethernet = frame.ethernet;
        let ours = ethernet.destination == self.options.own_address
            && ethernet.source == self.options.peer_address
            && ethernet.ethertype == self.options.ethertype;
        if ours { Ok(frame) } else { Err(Malformed) }
    }

    /// Whether a handshake frame is signed with our key; tells once of a peer that has another one.
    pub fn is_signed(&mut self, frame: &Frame<'_>, events: &mut EventQueue) -> bool {
        let is_signed = self.handshake.is_signed(frame);
        self.unsigned_count = if is_signed { 0 } else { self.unsigned_count.saturating_add(1) };
        if self.unsigned_count == UNSIGNED_COUNT_TOLD {
            events.report_once(LinkEvent::OtherKey);
        }
        is_signed
    }

    /// Takes the key that the other half has read again, if it has; says whether. What was begun under
    /// the old one must be begun anew.
    pub fn renew_key(&mut self, control: Control<'_>, events: &mut EventQueue) -> bool {
        let Some(key) = control.take_key() else { return false };
        self.options.key = SecretKey::new(*key);
        self.handshake = HandshakeKey::new(&self.options.key);
        self.unsigned_count = 0;
        events.forget_condition();
        true
    }

    /// Builds a signed frame with an Ethernet payload of `payload_size` bytes and returns its
    /// size; `emit` fills the body.
    pub fn emit_handshake(
        &self,
        frame_type: FrameType,
        payload_size: usize,
        out: &mut [u8],
        emit: impl FnOnce(&mut [u8]),
    ) -> usize {
        assert!(frame_type.is_handshake());
        let body_size = payload_size - OVERHEAD_SIZE;
        self.emit_headers(frame_type, body_size, 0, 0, out);
        let (associated, rest) = out.split_at_mut(BODY_OFFSET);
        let (body, rest) = rest.split_at_mut(body_size);
        emit(body);
        rest[..TAG_SIZE].copy_from_slice(&self.handshake.sign(associated, body));
        Frame::size(body_size)
    }

    /// Where the body of a sealed frame is to be written; as large as the session allows.
    pub fn body<'a>(&self, channel: &Channel, out: &'a mut [u8]) -> &'a mut [u8] {
        &mut out[BODY_OFFSET..][..self.body_size_max(channel)]
    }

    /// Largest body of a sealed frame that the session allows, in bytes.
    pub fn body_size_max(&self, channel: &Channel) -> usize {
        channel.frame_size - OVERHEAD_SIZE
    }

    /// Builds a sealed frame with a body of `body_size` bytes, which `write` puts together, and returns its
    /// size. The body is encrypted as it comes.
    ///
    /// # Errors
    /// Those of `write`. The packet number is used up all the same.
    ///
    /// # Panics
    /// If `write` puts another number of bytes together.
    pub fn seal<E>(
        &self,
        channel: &mut Channel,
        now_us: u64,
        frame_type: FrameType,
        body_size: usize,
        out: &mut [u8],
        write: impl FnOnce(&mut Sealing<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let packet_number = self.begin_sealed(channel, now_us, frame_type, body_size, out);
        let (associated, rest) = out.split_at_mut(BODY_OFFSET);
        let (body, rest) = rest.split_at_mut(body_size);
        let mut sealing = channel.sealing(packet_number, associated, body);
        write(&mut sealing)?;
        rest[..TAG_SIZE].copy_from_slice(&sealing.finish());
        Ok(Frame::size(body_size))
    }

    /// Seals the frame whose body of `body_size` bytes was written, and returns its size.
    pub fn finish(
        &self,
        channel: &mut Channel,
        now_us: u64,
        frame_type: FrameType,
        body_size: usize,
        out: &mut [u8],
    ) -> usize {
        let packet_number = self.begin_sealed(channel, now_us, frame_type, body_size, out);
        let (associated, rest) = out.split_at_mut(BODY_OFFSET);
        let (body, rest) = rest.split_at_mut(body_size);
        rest[..TAG_SIZE].copy_from_slice(&channel.seal(packet_number, associated, body));
        Frame::size(body_size)
    }

    /// Writes the headers of a sealed frame, and returns its packet number.
    fn begin_sealed(
        &self,
        channel: &mut Channel,
        now_us: u64,
        frame_type: FrameType,
        body_size: usize,
        out: &mut [u8],
    ) -> u64 {
        let fits = !frame_type.is_handshake() && body_size + OVERHEAD_SIZE <= channel.frame_size;
        assert!(fits, "a sealed frame fits");
        let packet_number = channel.take_packet_number(now_us);
        self.emit_headers(frame_type, body_size, channel.session(), packet_number, out);
        packet_number
    }

    fn emit_headers(
        &self,
        frame_type: FrameType,
        body_size: usize,
        session: u64,
        packet_number: u64,
        out: &mut [u8],
    ) {
        let ethernet = EthernetHeader {
            destination: self.options.peer_address,
            source: self.options.own_address,
            ethertype: self.options.ethertype,
        };
        ethernet.emit(out);
        let body_size = frame_size(body_size);
        let header = FrameHeader { frame_type, body_size, session, packet_number };
        header.emit(&mut out[ETHERNET_HEADER_SIZE..]);
    }
}
