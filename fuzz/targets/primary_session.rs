//! The primary's end of the link against a backup that holds the key and says whatever it likes, while
//! capture works, leaves and stops at any moment.
//!
//! Whatever comes: no acknowledgement is taken back, no frame is sent without need or twice in one
//! moment, the same sequence number always means the same bytes, and the ring's rules are kept.

#![no_main]

use fuzz::input::Input;
use fuzz::primary::Primary;
use fuzz::seeds::Seeds;

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let mut primary = Primary::new(choice);
    if choice & 1 == 0 {
        primary.meet();
    }
    for _ in 0..400 {
        if input.is_empty() || primary.has_ended() {
            break;
        }
        primary.step(&mut input);
        primary.transmit();
        primary.check();
    }
}

fn seeds() -> Seeds {
    // Pages, and honest acknowledgements of them, over and over.
    let work = [9, 20, 2, 0, 1, 1, 10, 30, 4, 0, 2, 1, 9, 5, 3, 1, 0, 3, 1];
    let goodbye = [9, 9, 2, 1, 5, 4, 3, 0, 1, 12, 0, 3, 0, 3, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let loss = [9, 40, 0, 0, 3, 0, 5, 0, 6, 1, 0, 5, 0, 6, 0, 7, 0, 7];
    let partly =
        [9, 60, 0, 0, 1, 2, 1, 0, 0xfe, 1, 1, 1, 129, 130, 200, 3, 0, 1, 0, 0, 0, 0, 0, 2, 1];
    let notices =
        [5, 0, 5, 2, 1, 5, 6, 4, 1, 3, 0, 1, 2, 3, 7, 254, 5, 6, 8, 13, 255, 0, 3, 5, 5, 0, 7];
    let with = |choice: u8, parts: &[&[u8]]| [&[choice], &parts.concat()[..]].concat();
    Seeds::from([
        ("work", with(0, &[&work, &work])),
        ("work-large", with(10, &[&work, &work, &goodbye])),
        ("loss", with(4, &[&work, &loss, &work])),
        ("partly", with(2, &[&partly, &work])),
        ("notices", with(0, &[&work, &notices])),
        ("unmet", with(1, &[&[0, 1, 6, 0, 0, 0, 0, 0, 244, 1, 0, 0, 0, 4, 0, 4], &work])),
    ])
}
