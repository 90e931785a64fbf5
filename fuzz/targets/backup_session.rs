//! The backup's end of the link against a primary that holds the key and says whatever it likes, while
//! commit works, leaves and stops at any moment.
//!
//! Whatever comes: what is published stays and makes sense, acknowledgements tell no more than what
//! commit said and never less than before, and the answers are few.

#![no_main]

use fuzz::backup::Backup;
use fuzz::input::Input;
use fuzz::seeds::Seeds;

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let mut backup = Backup::new(choice);
    if choice & 1 == 0 {
        backup.meet();
    }
    for _ in 0..400 {
        if input.is_empty() || backup.has_ended() {
            break;
        }
        backup.step(&mut input);
        backup.transmit();
        backup.check();
    }
}

fn seeds() -> Seeds {
    let work = [13, 4, 1, 5, 1, 9, 13, 0, 1, 12, 9, 0, 1, 13, 1, 2, 1, 3, 12, 30, 13, 0, 1, 0, 3];
    let piece = [
        4, 0, 0, 1, 2, 0, 0, 16, 0, 16, 0, 0, 0, 0, 200, 100, 0, 1, 4, 1, 0, 0, 2, 0, 0, 16, 0, 16,
        0, 0, 200, 100, 0, 0, 1,
    ];
    let again = [7, 0, 1, 15, 0, 3, 8, 0, 64, 2, 9, 64, 2, 244, 1, 0, 0, 14, 1, 7, 12, 4];
    let refuse = [13, 2, 13, 1, 4, 0, 3, 0, 3, 13, 3, 9, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 5];
    let end = [7, 2, 0, 10, 254, 7, 2, 0, 0, 6, 0, 7, 16, 255, 0, 0, 0, 3, 0, 4, 7, 1];
    let with = |choice: u8, parts: &[&[u8]]| [&[choice], &parts.concat()[..]].concat();
    Seeds::from([
        ("work", with(0, &[&work, &work])),
        ("pieces", with(2, &[&work, &piece, &work])),
        ("again", with(4, &[&work, &again, &work])),
        ("refuse", with(0, &[&refuse, &work])),
        ("end", with(0, &[&work, &end])),
        ("unmet", with(1, &[&[0, 1], &again[6..], &work])),
    ])
}
