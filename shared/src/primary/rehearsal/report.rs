//! The figures of a rehearsal, for people and for scripts: a line for each family of figures.

use core::fmt;

use super::measured::{Measured, Reading};
use crate::platform::linux::log::print as print_text;
use crate::ring::{LinkCounters, ProcessFigures};
use crate::status::Histogram;

/// Prints all figures on stdout.
pub fn print(measured: &Measured) {
    let Some((first, last)) = measured.readings() else { return };
    print_text(format_args!("{}", Report { measured, first, last }));
}

/// Prints a line about how it goes on stderr.
pub fn print_progress(measured: &Measured, epoch: u64, page_count: u64) {
    if measured.has_begun() {
        crate::log!(
            "rehearsal: epoch {epoch}: {page_count} pages, pause p50 {} us, commit p50 {} us",
            measured.pause_us.percentile(50),
            measured.commit_us.percentile(50),
        );
    } else {
        crate::log!("rehearsal: epoch {epoch}: {page_count} pages, warming up");
    }
}

struct Report<'m> {
    measured: &'m Measured,
    first: Reading,
    last: Reading,
}

struct Percentiles<'h>(&'h Histogram);

impl fmt::Display for Percentiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let histogram = self.0;
        for (name, permille) in [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999)] {
            write!(f, "{name}={} ", histogram.permille(permille))?;
        }
        write!(f, "max={} mean={}", histogram.maximum(), histogram.mean())
    }
}

/// A part of a whole with `DECIMALS` digits after the point.
struct Part<const DECIMALS: u32>(u64, u64);

impl<const DECIMALS: u32> fmt::Display for Part<DECIMALS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(DECIMALS);
        let parts = self.0.saturating_mul(unit) / self.1.max(1);
        write!(f, "{}.{:0width$}", parts / unit, parts % unit, width = DECIMALS as usize)
    }
}

impl Report<'_> {
    /// What each of the four processes used.
    fn processes(&self) -> [(&'static str, ProcessFigures); 4] {
        let (first, last) = (&self.first, &self.last);
        let used = |first: ProcessFigures, last: ProcessFigures| ProcessFigures {
            processor_us: last.processor_us.saturating_sub(first.processor_us),
            fault_count: last.fault_count.saturating_sub(first.fault_count),
        };
        [
            ("capture", used(first.capture, last.capture)),
            ("ship", used(first.link.usage, last.link.usage)),
            ("receive", used(first.backup.receive, last.backup.receive)),
            ("commit", used(first.backup.commit, last.backup.commit)),
        ]
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measured, first, last } = self;
        let count = measured.pause_us.count();
        writeln!(f, "pause_us {}", Percentiles(&measured.pause_us))?;
        writeln!(f, "commit_us {}", Percentiles(&measured.commit_us))?;
        writeln!(f, "output_latency_us {}", Percentiles(&measured.output_latency_us))?;
        let interval_us = measured.interval_us.mean();
        let stretched_count = measured.stretched_count;
        writeln!(
            f,
            "epochs count={count} interval_us_mean={interval_us} stretched={stretched_count}"
        )?;
        let dirty_count = last.distinct_page_count - first.distinct_page_count;
        writeln!(
            f,
            "pages dirty={dirty_count} copied={} tail_mean={} passes={}",
            measured.copied_page_count,
            measured.tail_page_count / count.max(1),
            measured.pass_count
        )?;
        let wire_size = last.link.bytes_sent - first.link.bytes_sent;
        let dirty_size = last.dirty_size_since(first);
        let ratio = Part::<3>(wire_size, dirty_size);
        writeln!(f, "wire bytes={wire_size} dirty_bytes={dirty_size} ratio={ratio}")?;
        let pages = |field: fn(&LinkCounters) -> u64| field(&last.link) - field(&first.link);
        writeln!(
            f,
            "encodings raw={} zero={} unchanged={} delta={} lz4={}",
            pages(|link| link.pages_raw),
            pages(|link| link.pages_zero),
            pages(|link| link.pages_unchanged),
            pages(|link| link.pages_delta),
            pages(|link| link.pages_lz4)
        )?;
        let duration_us = last.at_us - first.at_us;
        let processes = self.processes();
        f.write_str("cpu_percent")?;
        for (name, used) in &processes {
            write!(f, " {name}={}", Part::<1>(used.processor_us * 100, duration_us))?;
        }
        f.write_str("\nfaults")?;
        for (name, used) in &processes {
            write!(f, " {name}={}", used.fault_count)?;
        }
        // One that differs ends the rehearsal with an error.
        writeln!(f, "\ndigest verified={} mismatched=0", measured.verified_count)
    }
}
