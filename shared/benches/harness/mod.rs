//! Measures small pieces of work, and says next to each what bounds it.
//!
//! It is not criterion: that one brings serde with `std` into the dependency tree, and a build of the whole
//! workspace would give it to the helpers, which have none.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pollux::limits::PAGE_SIZE;

/// Time for one sample of a measurement, and samples of each; their median counts.
const SAMPLE: Duration = Duration::from_millis(2);
const SAMPLE_COUNT: usize = 31;
/// Memory that no cache holds, as large as the primary's ring.
const COLD_SIZE: usize = 64 << 20;

/// Measures, and compares with a plain copy of memory measured in the same run.
pub struct Harness {
    cycles_per_ns: f64,
    /// Bytes per nanosecond of a plain copy from a cache, and of one from memory to memory.
    hot_copy: f64,
    cold_copy: f64,
}

impl Harness {
    pub fn new() -> Self {
        let mut harness = Self { cycles_per_ns: cycles_per_ns(), hot_copy: 0.0, cold_copy: 0.0 };
        let (source, mut target) = ([1_u8; PAGE_SIZE], [0_u8; PAGE_SIZE]);
        let nanoseconds = harness.measure(|| {
            target.copy_from_slice(black_box(&source));
            black_box(&mut target);
        });
        harness.hot_copy = as_f64(PAGE_SIZE) / nanoseconds;
        let (source, mut target) = (vec![1_u8; COLD_SIZE], vec![2_u8; COLD_SIZE]);
        let mut places = Places::default();
        let nanoseconds = harness.measure(|| {
            let place = places.next();
            target[place..][..PAGE_SIZE].copy_from_slice(&source[place..][..PAGE_SIZE]);
            black_box(&mut target);
        });
        harness.cold_copy = as_f64(PAGE_SIZE) / nanoseconds;
        let (hot, cold) = (harness.hot_copy, harness.cold_copy);
        println!(
            "memcpy of a page: {hot:.1} GB/s in the cache, {cold:.1} GB/s from memory to memory"
        );
        harness
    }

    /// Measures `work` on so many bytes and prints a line; cold work is compared with memory's speed.
    pub fn report(&self, name: &str, bytes: usize, is_cold: bool, work: impl FnMut()) {
        self.line(name, bytes, is_cold, self.measure(work));
    }

    /// Prints a line for work that was measured.
    pub fn line(&self, name: &str, bytes: usize, is_cold: bool, nanoseconds: f64) {
        let rate = as_f64(bytes) / nanoseconds;
        let (bound, what) =
            if is_cold { (self.cold_copy, "memory") } else { (self.hot_copy, "the cache") };
        println!(
            "{name:40} {nanoseconds:12.1} ns {rate:8.2} GB/s {:7.2} bytes/cycle {:6.0} % of memcpy in {what}",
            rate / self.cycles_per_ns,
            100.0 * rate / bound,
        );
    }

    /// Median nanoseconds of one run of `work`.
    pub fn measure(&self, mut work: impl FnMut()) -> f64 {
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < SAMPLE {
            work();
            count += 1;
        }
        let mut samples: Vec<f64> = (0..SAMPLE_COUNT)
            .map(|_| {
                let start = Instant::now();
                (0..count).for_each(|_| work());
                start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
            })
            .collect();
        samples.sort_by(f64::total_cmp);
        samples[SAMPLE_COUNT / 2]
    }
}

/// Places of pages in [`COLD_SIZE`] bytes, in an order that no prefetcher guesses.
#[derive(Default)]
pub struct Places(u64);

impl Places {
    pub fn next(&mut self) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let page = usize::try_from(self.0 >> 40).expect("24 bits");
        page % (COLD_SIZE / PAGE_SIZE) * PAGE_SIZE
    }
}

fn cycles_per_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    let megahertz = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    megahertz.map_or(f64::NAN, |it| it / 1000.0)
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}
