//! Frames and their bodies: any bytes are refused, or are what would be written again.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::limits::LINK_WINDOW_FRAMES;
use pollux::ring::{Encoding, Entry, EntryKind, GoodbyeReason, Phase, RehearsalFigures};
use pollux::wire::{
    ACK_BITMAP_WORD_COUNT, Ack, Confirm, DATA_HEADER_SIZE, DataHeader, ETHERNET_HEADER_SIZE,
    ETHERTYPE_DEFAULT, EthernetAddress, EthernetHeader, FRAGMENT_HEADER_SIZE, Figures, Fragment,
    Fragments, Frame, FrameHeader, FrameType, Goodbye, HEADER_SIZE, Hello, HelloReply, Refuse,
    ReplyStatus, TAG_SIZE,
};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    try_frame(data);
    try_handshake(data);
    try_data(data);
    try_ack(data);
    try_notices(data);
    try_address(data);
}

fn try_frame(data: &[u8]) {
    let mut bytes = data.to_vec();
    let Ok(frame) = Frame::parse(&mut bytes) else { return };
    assert_eq!(frame.body.len(), usize::from(frame.header.body_size));
    let mut headers = [0; ETHERNET_HEADER_SIZE + HEADER_SIZE];
    frame.ethernet.emit(&mut headers);
    frame.header.emit(&mut headers[ETHERNET_HEADER_SIZE..]);
    assert_eq!(headers, frame.associated);
    let end = headers.len() + frame.body.len();
    assert_eq!(frame.body, &data[headers.len()..end]);
    assert_eq!(frame.tag, data[end..][..TAG_SIZE]);
}

fn try_handshake(data: &[u8]) {
    let mut again = vec![1; data.len()];
    if let Ok(hello) = Hello::parse(data) {
        hello.emit(&mut again);
        assert_eq!(again, data);
    }
    if let Ok(reply) = HelloReply::parse(data) {
        reply.emit(&mut again);
        assert_eq!(again, data);
    }
    if let Ok(confirm) = Confirm::parse(data) {
        confirm.emit(&mut again);
        assert_eq!(again, data);
    }
}

fn try_data(data: &[u8]) {
    let Ok((header, fragments)) = Fragments::parse(data) else { return };
    let mut again = vec![0; DATA_HEADER_SIZE];
    header.emit(&mut again);
    let mut index = header.first_index;
    for fragment in fragments {
        assert!(fragment.entry.is_consistent() && fragment.index == index);
        index += 1;
        let mut bytes = [0; FRAGMENT_HEADER_SIZE];
        let size = u16::try_from(fragment.bytes.len()).expect("a page at most");
        Fragment::emit_header(&fragment.entry, fragment.offset, size, &mut bytes);
        again.extend(bytes);
        again.extend(fragment.bytes);
    }
    assert_eq!(again, data);
}

fn try_ack(data: &[u8]) {
    let Ok(ack) = Ack::parse(data) else { return };
    let mut again = [0; Ack::SIZE_MAX];
    let size = ack.emit(&mut again);
    assert_eq!(&again[..size], data);
    for ahead in [0, 1, 63, 64, LINK_WINDOW_FRAMES as u64, u64::MAX] {
        if let Some(sequence) = ack.sequence.checked_add(ahead) {
            assert!(!ack.has_come(sequence) || ahead < LINK_WINDOW_FRAMES as u64);
        }
    }
}

fn try_notices(data: &[u8]) {
    let mut again = [0; 256];
    if let Ok(refuse) = Refuse::parse(data) {
        let size = refuse.emit(&mut again);
        assert_eq!(&again[..size], data);
    }
    if let Ok(goodbye) = Goodbye::parse(data) {
        goodbye.emit(&mut again);
        assert_eq!(&again[..Goodbye::SIZE], data);
    }
    if let Ok(figures) = Figures::parse(data) {
        figures.emit(&mut again);
        assert_eq!(&again[..Figures::SIZE], data);
    }
}

fn try_address(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(address) = text.parse::<EthernetAddress>() {
        assert_eq!(address.to_string(), text.to_lowercase());
    }
}

fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    seeds.add("frame", frame(b"a body"));
    seeds.add("address", "52:54:00:ab:34:56");
    let mut hello = [0; Hello::SIZE + 8];
    Hello { protocol: 4, mtu: 9000, timeout_ms: 500, nonce: [7; 32] }.emit(&mut hello);
    seeds.add("hello", hello);
    let reply = HelloReply {
        protocol: 4,
        mtu: 9000,
        timeout_ms: 500,
        status: ReplyStatus::Ready,
        hello_size: 576,
        primary_nonce: [7; 32],
        backup_nonce: [8; 32],
        backup_public: [9; 32],
    };
    let mut bytes = [0; HelloReply::SIZE + 8];
    reply.emit(&mut bytes);
    seeds.add("hello-reply", bytes);
    let confirm = Confirm {
        frame_size: 9000,
        timeout_ms: 500,
        primary_nonce: [7; 32],
        backup_nonce: [8; 32],
        primary_public: [9; 32],
    };
    let mut bytes = [0; Confirm::SIZE];
    confirm.emit(&mut bytes);
    seeds.add("confirm", bytes);
    seeds.add("data", data());
    seeds.add("ack", ack());
    seeds.add("refuse", "the twin needs 4096 MiB");
    seeds.add("goodbye", [GoodbyeReason::Failed as u8]);
    let mut figures = [0; Figures::SIZE];
    Figures(RehearsalFigures::from_words([1, 2, 3, 4, 5])).emit(&mut figures);
    seeds.add("figures", figures);
    seeds
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; Frame::size(body.len())];
    let ethernet = EthernetHeader {
        destination: EthernetAddress([2, 0, 0, 0, 0, 1]),
        source: EthernetAddress([2, 0, 0, 0, 0, 2]),
        ethertype: ETHERTYPE_DEFAULT,
    };
    ethernet.emit(&mut bytes);
    let body_size = u16::try_from(body.len()).expect("a short body");
    let header =
        FrameHeader { frame_type: FrameType::Data, body_size, session: 5, packet_number: 6 };
    header.emit(&mut bytes[ETHERNET_HEADER_SIZE..]);
    bytes[ETHERNET_HEADER_SIZE + HEADER_SIZE..][..body.len()].copy_from_slice(body);
    bytes
}

fn data() -> Vec<u8> {
    let mut bytes = vec![0; DATA_HEADER_SIZE];
    DataHeader { sequence: 3, first_index: 9 }.emit(&mut bytes);
    let page = Entry::raw(EntryKind::Page, 2, 5, 4096);
    let entries = [
        (Entry::raw(EntryKind::State, 2, 0, 50), 40, 10),
        (page.encoded(Encoding::Zero, 0), 0, 0),
        (page.encoded(Encoding::Delta, 17), 0, 17),
        (Entry::raw(EntryKind::EpochEnd, 2, 4, 0), 0, 0),
        (page, 0, 30),
    ];
    for (entry, offset, size) in entries {
        let mut header = [0; FRAGMENT_HEADER_SIZE];
        Fragment::emit_header(&entry, offset, size, &mut header);
        bytes.extend(header);
        bytes.resize(bytes.len() + usize::from(size), 0x5a);
    }
    bytes
}

fn ack() -> Vec<u8> {
    let mut bitmap = [0; ACK_BITMAP_WORD_COUNT];
    bitmap[2] = 0x50;
    let ack = Ack {
        sequence: 7,
        credit: 64,
        complete_epoch: 3,
        phase: Phase::Protected,
        paths: 1,
        packet_end: 12,
        delay_us: 80,
        bitmap,
    };
    let mut bytes = vec![0; Ack::SIZE_MAX];
    let size = ack.emit(&mut bytes);
    bytes.truncate(size);
    bytes
}
