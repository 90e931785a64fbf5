//! The program as a process of dom0.

use pollux::backup::stand_by;
use pollux::options::{BACKUP_HELP, BackupRequest, parse_backup};
use pollux::platform::linux::log::print;
use pollux::platform::linux::program::{Arguments, ExitStatus, text_arguments};
use pollux::platform::linux::shared_disk::print_record;
use pollux::platform::linux::status_records::print_status;
use pollux::status::Role;

pollux::linux_program!(main);

fn main(arguments: Arguments) -> ExitStatus {
    let words = match text_arguments(arguments) {
        Ok(words) => words,
        Err(place) => {
            pollux::log!("argument {place} is not UTF-8 text: see --help");
            return ExitStatus::Usage;
        }
    };
    match parse_backup(words) {
        Ok(BackupRequest::Help) => print(format_args!("{BACKUP_HELP}")),
        Ok(BackupRequest::Version) => {
            print(format_args!("backup-helper {}\n", env!("CARGO_PKG_VERSION")))
        }
        Ok(BackupRequest::Status(options)) => {
            let shown = print_status(options.state_directory, options.domain, Role::Backup);
            return ExitStatus::of(shown);
        }
        Ok(BackupRequest::StandBy(options)) => return ExitStatus::of(stand_by(&options)),
        Ok(BackupRequest::DiskArbiter(options)) => return ExitStatus::of(print_record(&options)),
        Err(error) => {
            pollux::log!("{error}");
            return ExitStatus::Usage;
        }
    }
    ExitStatus::Done
}
