//! The program as a domain of its own.

use pollux::platform::stubdom::program::{ExitStatus, Start};

pollux::stubdom_program!(main);

fn main(start: Start) -> ExitStatus {
    pollux::stub_domain::run("backup-helper", env!("CARGO_PKG_VERSION"), start)
}
