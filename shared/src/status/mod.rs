//! Status: what a running helper tells about itself, about once a second.
//!
//! A [`StatusRecord`] is the whole truth at one moment, in a slot of fixed size that is overwritten
//! in place; [`StatusReport`] shows it to people. This room reads no clock and no file:
//! `platform::linux::status_file` does.

mod histogram;
mod record;
mod report;

pub use histogram::{Histogram, PERCENTILE_MAX_ERROR_DIVISOR};
pub use record::{
    PauseSummary, RECORD_SIZE, RecordError, Role, State, StatusRecord, decode_record, encode_record,
};
pub use report::StatusReport;
