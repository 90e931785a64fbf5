//! Page traces: refused, or replayed for ever without a step beside them.

#![no_main]

use fuzz::seeds::Seeds;
use pollux::limits::PAGE_SIZE;
use pollux::rehearsal::{Trace, TracePlayer};

fuzz::target!(seeds, try_bytes);

fn try_bytes(data: &[u8]) {
    match Trace::parse(data) {
        Ok(trace) => replay(trace),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn replay(trace: Trace<'_>) {
    assert!(trace.image().all(|(gfn, _)| gfn < trace.gfn_count));
    assert!(trace.duration_us() > 0);
    let mut player = TracePlayer::new(trace);
    let mut last_us = 0;
    for _ in 0..20 {
        let due_us = player.due_us();
        assert!(due_us >= last_us);
        last_us = due_us;
        let (gfn, _) = player.next_page();
        assert!(gfn < trace.gfn_count);
    }
}

fn seeds() -> Seeds {
    let mut bytes = b"PLXTRC01".to_vec();
    let epochs: [&[u64]; 4] = [&[0], &[3], &[], &[1]];
    for number in [4, epochs.len() as u64, 25_000] {
        bytes.extend(number.to_le_bytes());
    }
    for pages in epochs {
        bytes.extend((pages.len() as u64).to_le_bytes());
        for gfn in pages {
            bytes.extend(gfn.to_le_bytes());
            bytes.resize(bytes.len() + PAGE_SIZE, 0x5a);
        }
    }
    let mut short = bytes[..32].to_vec();
    short.extend([0; 32]);
    Seeds::from([("epochs", bytes), ("nothing", short)])
}
