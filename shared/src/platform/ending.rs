//! How a program ends, whatever it runs on. The platform it runs on makes it end.

use core::panic::PanicInfo;

/// How a program ends; the number is its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ExitStatus {
    /// Ended as asked.
    Done = 0,
    /// Failed; one line on stderr has said what and what to do.
    Failed = 1,
    /// The command line was wrong; one line on stderr has said where.
    Usage = 2,
}

impl ExitStatus {
    /// How a program ends whose work came to this: a failure is one line on stderr.
    pub fn of<E: core::fmt::Display>(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => {
                crate::log!("{error}");
                Self::Failed
            }
        }
    }
}

/// Says on one line which assumption of the program was wrong.
pub fn report_panic(info: &PanicInfo<'_>) {
    match info.location() {
        Some(place) => crate::log!(
            "this is a defect of the program, at {}:{}: {}",
            place.file(),
            place.line(),
            info.message()
        ),
        None => crate::log!("this is a defect of the program: {}", info.message()),
    }
}
