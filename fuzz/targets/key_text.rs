//! Key files: 64 hexadecimal digits with white space around them, and nothing else, are a key.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::wire::{HandshakeKey, SecretKey};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let digits = data.trim_ascii();
    let is_key = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    let read = SecretKey::from_text(data);
    assert_eq!(read.is_ok(), is_key);
    let Ok(key) = read else { return };
    let pairs = digits.chunks(2).map(|pair| core::str::from_utf8(pair).expect("digits are text"));
    let bytes: Vec<u8> =
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("they are digits")).collect();
    let expected = SecretKey::new(bytes.try_into().expect("64 digits are 32 bytes"));
    let sign = |key| HandshakeKey::new(key).sign(b"headers", b"body");
    assert_eq!(sign(&key), sign(&expected));
}

fn seeds() -> Seeds {
    let text = b"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    Seeds::from([("key", text.to_vec()), ("line", [&text[..], b"\n"].concat())])
}
