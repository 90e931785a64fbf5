//! The program as a process of dom0.

use pollux::options::{PRIMARY_HELP, PrimaryRequest, WithStubDomains, parse_primary};
use pollux::platform::linux::log::print;
use pollux::platform::linux::program::{Arguments, ExitStatus, text_arguments};
use pollux::platform::linux::status_records::print_status;
use pollux::primary::{protect, rehearse, switch_over};
use pollux::status::Role;

pollux::linux_program!(main);

/// Built to give ship to a stub domain: what rehearses has no room beside that.
const HAS_STUB_DOMAINS: bool = WithStubDomains::BUILT.is_some();

fn main(arguments: Arguments) -> ExitStatus {
    let words = match text_arguments(arguments) {
        Ok(words) => words,
        Err(place) => {
            pollux::log!("argument {place} is not UTF-8 text: see --help");
            return ExitStatus::Usage;
        }
    };
    match parse_primary(words) {
        Ok(PrimaryRequest::Help) => print(format_args!("{PRIMARY_HELP}")),
        Ok(PrimaryRequest::Version) => {
            print(format_args!("primary-helper {}\n", env!("CARGO_PKG_VERSION")))
        }
        Ok(PrimaryRequest::Status(options)) => {
            let shown = print_status(options.state_directory, options.domain, Role::Primary);
            return ExitStatus::of(shown);
        }
        Ok(PrimaryRequest::SwitchOver(options)) => return ExitStatus::of(switch_over(&options)),
        Ok(PrimaryRequest::Rehearse(_)) if HAS_STUB_DOMAINS => {
            pollux::log!(
                "rehearse: use a primary-helper that was built without the feature stub-domain"
            );
            return ExitStatus::Usage;
        }
        Ok(PrimaryRequest::Rehearse(options)) => return ExitStatus::of(rehearse(&options)),
        Ok(PrimaryRequest::Protect(options)) => return ExitStatus::of(protect(&options)),
        Err(error) => {
            pollux::log!("{error}");
            return ExitStatus::Usage;
        }
    }
    ExitStatus::Done
}
