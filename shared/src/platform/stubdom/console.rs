//! Where log lines go: to the domain's console ring; in dom0, which has none, to Xen's own console; without
//! Xen to the first serial port.
//!
//! A console that nobody empties holds up nothing: its lines are lost, and counted.

use spin::Once;

use super::builder_ring::find_ring;
use super::console_ring::ConsoleRing;
use super::{clock, ports, shared_info};
use crate::limits::{STUB_DOMAIN_CONSOLE_DRAIN_US_MAX, STUB_DOMAIN_CONSOLE_WAIT_US_MAX};
use crate::xen::Hypervisor;
use crate::xen::params::{CONSOLE_EVTCHN, CONSOLE_PFN};

/// Data and line status registers of the first serial port, and the bit that says that it takes a byte.
const SERIAL: u16 = 0x3f8;
const SERIAL_STATUS: u16 = SERIAL + 5;
const SERIAL_IS_EMPTY: u8 = 1 << 5;
/// A serial port that takes nothing for so many looks is not there.
const SERIAL_LOOKS_MAX: u32 = 100_000;

#[derive(Debug)]
enum Console {
    Ring { ring: ConsoleRing, hypervisor: Hypervisor, port: u32 },
    Hypervisor(Hypervisor),
}

static CONSOLE: Once<Console> = Once::new();

/// From here on lines go to the console that Xen gives this domain.
pub fn open(hypervisor: Hypervisor) {
    CONSOLE.call_once(|| match find_ring(hypervisor, CONSOLE_PFN, CONSOLE_EVTCHN) {
        Some((page, port)) => Console::Ring { ring: ConsoleRing::new(page), hypervisor, port },
        None => Console::Hypervisor(hypervisor),
    });
}

/// Writes one log line, which ends with its line break.
pub fn write_log(line: &[u8]) {
    match CONSOLE.get() {
        Some(Console::Ring { ring, hypervisor, port }) => {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            // Waiting once is enough: a console that has lost a line is not waited for.
            if !ring.is_losing() {
                wait_until(*port, STUB_DOMAIN_CONSOLE_WAIT_US_MAX, || ring.has_room_for(text));
            }
            ring.write_line(text);
            // A port that cannot be notified is no reason to stop.
            let _ = hypervisor.send_event(*port);
        }
        Some(Console::Hypervisor(hypervisor)) => hypervisor.write_console(line),
        None => write_serial(line),
    }
}

/// Waits until the lines so far have been taken, for a while: what a domain leaves when it ends may be lost.
pub fn drain() {
    if let Some(Console::Ring { ring, port, .. }) = CONSOLE.get() {
        wait_until(*port, STUB_DOMAIN_CONSOLE_DRAIN_US_MAX, || ring.is_empty());
    }
}

/// xenconsoled notifies the port when it has taken something; a step is short in case it does not.
fn wait_until(port: u32, duration_us: u64, is_so: impl Fn() -> bool) {
    const STEP_US: u64 = 1_000;
    let deadline_us = clock::monotonic_us() + duration_us;
    while !is_so() && clock::monotonic_us() < deadline_us {
        shared_info::take_event(port);
        if is_so() || clock::wait(&[port], STEP_US).is_err() {
            break;
        }
    }
}

fn write_serial(line: &[u8]) {
    for byte in line {
        if *byte == b'\n' {
            write_serial_byte(b'\r');
        }
        write_serial_byte(*byte);
    }
}

fn write_serial_byte(byte: u8) {
    for _ in 0..SERIAL_LOOKS_MAX {
        // SAFETY: the serial port touches no memory.
        if unsafe { ports::read(SERIAL_STATUS) } & SERIAL_IS_EMPTY != 0 {
            break;
        }
    }
    // SAFETY: as above.
    unsafe { ports::write(SERIAL, byte) };
}
