//! Keeps a running guest's twin ready on another host.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use pollux::platform::linux::program::{Arguments, ExitStatus};

pollux::linux_program!(main);

fn main(arguments: Arguments) -> ExitStatus {
    pollux::log!("{} argument(s)", arguments.iter().count());
    ExitStatus::Done
}
