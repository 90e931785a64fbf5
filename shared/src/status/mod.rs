//! Status: what a running helper tells about itself, about once a second.
//!
//! A [`StatusRecord`] is the whole truth at one moment, in a slot of fixed size that is overwritten
//! in place; [`StatusReport`] shows it to people. This room reads no clock and no file:
//! `platform::linux::status_file` and `status_records` do.

mod histogram;
mod lines;
mod record;
mod report;
mod slot;

pub use histogram::{Histogram, PERCENTILE_MAX_ERROR_DIVISOR};
pub use record::{PauseSummary, Role, State, StatusRecord};
pub use report::StatusReport;
pub use slot::{RECORD_SIZE, RecordError, SavedRecord, decode_record, encode_record};
