//! Durations of many pauses, and the one line that tells of them.

use std::fmt;
use std::time::Duration;

/// Every duration that was seen, in the order of their coming.
#[derive(Clone, Debug, Default)]
pub struct Durations(Vec<Duration>);

impl Durations {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The line `NAME p50=93 p90=120 p99=310 p99.9=702 max=1020 mean=101`, in microseconds: the
    /// form of `primary-helper rehearse`, with a digit behind the point.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let total: Duration = sorted.iter().sum();
        let mean = total / u32::try_from(sorted.len().max(1)).expect("fewer than 2^32 pauses");
        format!(
            "{name} p50={} p90={} p99={} p99.9={} max={} mean={}",
            Microseconds(permille(&sorted, 500)),
            Microseconds(permille(&sorted, 900)),
            Microseconds(permille(&sorted, 990)),
            Microseconds(permille(&sorted, 999)),
            Microseconds(permille(&sorted, 1000)),
            Microseconds(mean),
        )
    }
}

struct Microseconds(Duration);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        write!(f, "{}.{}", nanoseconds / 1000, nanoseconds / 100 % 10)
    }
}

/// The smallest value that `part` thousandths of all values do not exceed; 0 of none.
fn permille(sorted: &[Duration], part: usize) -> Duration {
    let rank = (sorted.len() * part).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Durations;
    use std::time::Duration;

    #[test]
    fn a_line_holds_exact_percentiles_of_unsorted_values() {
        let mut durations = Durations::default();
        for value in (1..=1000).rev() {
            durations.add(Duration::from_micros(value));
        }
        let line = durations.line("pause_us");
        let figures = "p50=500.0 p90=900.0 p99=990.0 p99.9=999.0 max=1000.0 mean=500.5";
        assert_eq!(line, format!("pause_us {figures}"));
    }

    #[test]
    fn nothing_measured_is_zero() {
        let line = Durations::default().line("map_us");
        assert_eq!(line, "map_us p50=0.0 p90=0.0 p99=0.0 p99.9=0.0 max=0.0 mean=0.0");
    }
}
