//! The program as a domain of its own.

use pollux::platform::stubdom::program::{ExitStatus, Start};
use pollux::stub_domain::{ShipHalf, run};

pollux::stubdom_program!(main);

fn main(start: Start) -> ExitStatus {
    run::<ShipHalf>(env!("CARGO_PKG_VERSION"), start)
}
