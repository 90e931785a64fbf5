//! Collects what the rounds came to, and prints medians.

use std::collections::BTreeMap;
use std::fmt::Write;

use pollux::platform::linux::usage::Usage;

/// All rounds' figures, by name; each has its unit.
#[derive(Default)]
pub struct Figures {
    values: BTreeMap<(String, &'static str), Vec<f64>>,
    /// Seconds of each method in the round that is under way.
    round: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// Notes how long a method took in this round. The link's is the round's first.
    #[allow(clippy::cast_precision_loss)]
    pub fn note(&mut self, method: &'static str, frames: u64, bytes: u64, seconds: f64) {
        if method == "shipping" {
            self.round.clear();
        } else if let Some(shipping) = self.round.get("shipping") {
            let ratio = 100.0 * seconds / shipping;
            self.value(format!("shipping_of_{method}"), "%", ratio);
        }
        self.round.insert(method, seconds);
        self.value(format!("{method}_frame"), "us", seconds / frames as f64 * 1e6);
        self.value(format!("{method}_rate"), "MB/s", bytes as f64 / seconds / 1e6);
    }

    /// Notes what the sending process used while it shipped in this round.
    #[allow(clippy::cast_precision_loss)]
    pub fn note_usage(&mut self, usage: &Usage, retransmitted: u64) {
        self.value("shipping_page_faults".to_owned(), "count", usage.minor_faults as f64);
        self.value("shipping_retransmitted".to_owned(), "count", retransmitted as f64);
    }

    fn value(&mut self, name: String, unit: &'static str, value: f64) {
        self.values.entry((name, unit)).or_default().push(value);
    }

    /// A line `name value unit` for the median of each figure.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for ((name, unit), values) in &self.values {
            writeln!(text, "{name} {:.2} {unit}", median(values)).expect("it is memory");
        }
        text
    }

    /// Every round's value of every figure.
    pub fn csv(&self) -> String {
        let mut text = String::from("name,unit,round,value\n");
        for ((name, unit), values) in &self.values {
            for (round, value) in values.iter().enumerate() {
                writeln!(text, "{name},{unit},{round},{value}").expect("it is memory");
            }
        }
        text
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}
