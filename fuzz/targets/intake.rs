//! What opens a session: the domain's description and configuration, from a half that may be an enemy.

#![no_main]

use fuzz::hostile::HostileHalf;
use fuzz::input::Input;
use fuzz::sample;
use fuzz::seeds::Seeds;
use pollux::codec::encode;
use pollux::commit::Intake;
use pollux::limits::{GFN_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX, XL_CONFIG_SIZE_MAX};
use pollux::ring::{Entry, EntryKind, Producer, Ring};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut producer, mut consumer) =
        Ring::create(64).expect("address space").into_both().expect("address space");
    producer.reset(64);
    consumer.begin().expect("a possible capacity");
    let hostile = HostileHalf::of(&mut producer);
    let mut intake = Intake::new();
    let mut config_size = 0;
    while !input.is_empty() {
        match input.below(7) {
            0 => {
                let mut bytes = [0; PAGE_SIZE];
                let size = encode(&sample::description(input.u16().into()), &mut bytes);
                push(&mut producer, EntryKind::Description, 0, &bytes[..size.expect("it fits")]);
            }
            1 => push(&mut producer, EntryKind::Description, 0, input.counted(300)),
            2 => {
                let length = usize::from(input.u16()) % (PAGE_SIZE + 1);
                push(&mut producer, EntryKind::Config, config_size, &[b'#'; PAGE_SIZE][..length]);
                config_size += length as u64;
            }
            3 => push(&mut producer, EntryKind::Config, input.near(config_size), input.counted(64)),
            4 => hostile.write_chosen(input.u16(), input.near(4)),
            5 => hostile.scribble(input.u8().into(), input.u16(), input.u8()),
            _ => match intake.turn(&mut consumer) {
                Ok(false) => {}
                Ok(true) => return check(&intake),
                Err(fault) => return assert!(!fault.to_string().is_empty()),
            },
        }
    }
}

fn push(producer: &mut Producer, kind: EntryKind, address: u64, bytes: &[u8]) {
    // An enemy at the ring makes indexes impossible; then nothing can be produced.
    if producer.free_entries().is_ok_and(|count| count > 0) {
        producer.slot_mut()[..bytes.len()].copy_from_slice(bytes);
        let length = u16::try_from(bytes.len()).expect("a page at most");
        producer.push(&Entry::raw(kind, 0, address, length));
        producer.publish();
    }
}

/// What the twin is built from has been judged.
fn check(intake: &Intake) {
    let description = intake.description().expect("it is whole");
    assert!((1..=VCPU_COUNT_MAX).contains(&(description.vcpu_count as usize)));
    assert!((1..=GFN_COUNT_MAX).contains(&description.gfn_count));
    assert!(description.page_count <= description.gfn_count);
    // The name becomes a file's.
    let name = &description.name;
    assert!(!name.is_empty() && !name.contains(['/', '\0', ' ', '\n']) && !name.starts_with('.'));
    assert!(intake.config().len() <= XL_CONFIG_SIZE_MAX);
    assert!(intake.config().len() >= description.config_size as usize);
    assert!((1..=64).contains(&intake.entry_count()));
}

fn seeds() -> Seeds {
    let whole = [0, 11, 0, 6, 2, 8, 0, 6, 2, 3, 0, 6, 6];
    let long = [0, 0, 0x40, 2, 0, 0x10, 2, 0, 0x10, 6, 2, 0, 0x10, 2, 0, 0x10, 6];
    let mut bytes = [0; 256];
    let size = encode(&sample::description(3), &mut bytes).expect("it fits");
    let mut raw = vec![1, u8::try_from(size).expect("it is short"), 0];
    raw.extend(&bytes[..size]);
    raw.extend([3, 0, 3, 0, b'a', b'=', b'1', 6]);
    Seeds::from([("whole", whole.to_vec()), ("long", long.to_vec()), ("raw", raw)])
}
