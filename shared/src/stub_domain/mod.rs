//! What both programs do as a stub domain: a PVH domain that is to hold the half at the network.
//!
//! So far the platform is there, and is checked at each start; a link is not carried yet.

pub mod options;
#[cfg(stubdom)]
mod self_check;

#[cfg(stubdom)]
pub use entry::run;

#[cfg(stubdom)]
mod entry {
    use super::options::{Options, parse};
    use super::self_check;
    use crate::platform::processor::check_processor;
    use crate::platform::stubdom::faults;
    use crate::platform::stubdom::program::{ExitStatus, Start, end_through};
    use crate::platform::vector;

    /// The program of the name and version, started as `start` says.
    #[must_use]
    pub fn run(name: &str, version: &str, start: Start) -> ExitStatus {
        let memory_mib = start.memory_size.div_ceil(1024 * 1024);
        match start.hypervisor.and_then(|it| it.version().ok()) {
            Some(xen) => {
                crate::log!("{name} {version}: stub domain on Xen {xen}, {memory_mib} MiB");
            }
            None => crate::log!("{name} {version}: stub domain on no Xen, {memory_mib} MiB"),
        }
        let mut options = Options::default();
        let parsed = parse(start.command_line, &mut options);
        if let Some(port) = options.debug_exit_port {
            end_through(port);
        }
        if let Err(error) = parsed {
            crate::log!("{error}");
            return ExitStatus::Usage;
        }
        serve(&options)
    }

    fn serve(options: &Options) -> ExitStatus {
        if let Some(defect) = options.defect {
            faults::commit(defect);
            crate::log!("the defect {defect:?} was not noticed");
            return ExitStatus::Done;
        }
        if let Err(error) = check_processor() {
            crate::log!("{error}");
            return ExitStatus::Failed;
        }
        vector::choose();
        if let Err(error) = self_check::run() {
            crate::log!("self-check: {error}");
            return ExitStatus::Failed;
        }
        crate::log!("self-check: clock, entropy, seal and ring work");
        if options.is_self_check {
            return ExitStatus::Done;
        }
        crate::log!("carrying a link as a stub domain is not built yet: run this program in dom0");
        ExitStatus::Usage
    }
}
