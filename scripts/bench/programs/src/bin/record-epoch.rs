//! Adds one epoch to a page trace: `record-epoch MEMORY PREVIOUS TRACE INTERVAL_US`.
//!
//! MEMORY is a stopped guest's memory as a file, PREVIOUS a file of the recorder's own. Prints the
//! epoch's number and its page count.

use std::path::Path;
use std::process::ExitCode;

use bench_programs::trace::record;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [memory, previous, trace, interval_us] = words.as_slice() else {
        eprintln!("usage: record-epoch MEMORY PREVIOUS TRACE INTERVAL_US");
        return ExitCode::from(2);
    };
    let Ok(interval_us) = interval_us.parse() else {
        eprintln!("record-epoch: {interval_us} is no number of microseconds");
        return ExitCode::from(2);
    };
    match record(Path::new(memory), Path::new(previous), Path::new(trace), interval_us) {
        Ok(recorded) => {
            println!("epoch number={} pages={}", recorded.epoch, recorded.page_count);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("record-epoch: cannot add {memory} to {trace}: {error}");
            ExitCode::FAILURE
        }
    }
}
