//! How fast the link ships, against what the same wire does at best.
//!
//!     wire-rate [--rounds N] [--csv FILE]
//!
//! Makes two network namespaces with a veth pair between them (as root; both go when it ends), and
//! carries the same frames over it in turns: bare packets in the largest batches the kernel takes, from
//! as much memory as the link reads and from a cache; the link with its seal, reliability and rings;
//! and TCP, from a cache; and copies as many bytes in memory. One
//! core sends, the other receives, whichever method it is. A machine that does other work meanwhile
//! slows down all of them alike, so the ratios, each taken within a round, are worth more than the rates.
//!
//! Prints a line `name value unit` for each figure, medians over the rounds.

mod figures;
mod methods;
mod namespaces;
mod receiver;
mod receiver_process;
mod shipping;

use std::process::ExitCode;

use figures::Figures;
use methods::{Bare, Memory, Method, Tcp};
use namespaces::{RECEIVING, SENDING, Veth};
use pollux::platform::linux::affinity::pin_to_core;
use pollux::platform::linux::priority::take_precedence;
use pollux::platform::vector;
use receiver_process::ReceiverProcess;
use shipping::Shipping;

/// Ethernet payload of every frame, in bytes.
const MTU: u16 = 9000;
/// Pages that a round carries: a whole ring of the primary.
const PAGE_COUNT: u64 = pollux::limits::RING_ENTRY_COUNT_PRIMARY;
const ROUND_COUNT: usize = 20;

struct Options {
    rounds: usize,
    csv: Option<String>,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(receiver::ROLE) {
        receiver::run();
        return ExitCode::SUCCESS;
    }
    let Some(options) = options() else {
        eprintln!("usage: wire-rate [--rounds N] [--csv FILE]");
        return ExitCode::from(2);
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("wire-rate makes network namespaces: run it as root");
        return ExitCode::FAILURE;
    }
    let figures = measure(options.rounds);
    print!("{}", figures.lines());
    if let Some(path) = options.csv
        && let Err(error) = std::fs::write(&path, figures.csv())
    {
        eprintln!("cannot write {path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn options() -> Option<Options> {
    let mut options = Options { rounds: ROUND_COUNT, csv: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => options.rounds = words.next()?.parse().ok().filter(|&it| it > 0)?,
            "--csv" => options.csv = Some(words.next()?),
            _ => return None,
        }
    }
    Some(options)
}

fn measure(rounds: usize) -> Figures {
    vector::choose();
    let veth = Veth::new(MTU);
    let mut receiver = ReceiverProcess::start(&veth.name(RECEIVING));
    veth.enter(SENDING);
    pin_to_core(0).expect("there is a first core");
    // As the helpers do.
    take_precedence();
    let mut shipping = Shipping::new(receiver.mac);
    let mut methods: [Box<dyn Method>; 4] = [
        Box::new(Bare::new(receiver.mac)),
        Box::new(Bare::cached(receiver.mac)),
        Box::new(Tcp::new()),
        Box::new(Memory::new()),
    ];
    let mut figures = Figures::default();
    // The first round warms up: windows open, memory is touched.
    for round in 0..=rounds {
        let shipped = shipping.run(PAGE_COUNT, &mut receiver);
        if round > 0 {
            figures.note("shipping", shipped.frames, shipped.bytes, shipped.seconds);
            figures.note_usage(&shipped.usage, shipped.retransmitted);
        }
        for method in &mut methods {
            let seconds = method.run(shipped.frames, shipped.bytes, &mut receiver);
            if round > 0 {
                figures.note(method.name(), shipped.frames, shipped.bytes, seconds);
            }
        }
    }
    figures
}
