//! A histogram of durations that never grows: fine buckets for short ones, wide ones for long.

/// Buckets per doubling of the value, as a power of two.
const SUB_BUCKET_BITS: u32 = 5;

/// A percentile is at most this part of itself too high: 1/32, about 3 %.
pub const PERCENTILE_MAX_ERROR_DIVISOR: u64 = 1 << SUB_BUCKET_BITS;

/// Values from here on share the last bucket: about 19 hours in microseconds.
const VALUE_BITS_MAX: u32 = 36;

const BUCKET_COUNT: usize = ((VALUE_BITS_MAX - SUB_BUCKET_BITS + 1) << SUB_BUCKET_BITS) as usize;

/// Counts of durations in microseconds, or of anything else that is positive. 4 KiB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKET_COUNT],
    count: u64,
    sum: u64,
    maximum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// No values yet.
    pub const fn new() -> Self {
        Self { counts: [0; BUCKET_COUNT], count: 0, sum: 0, maximum: 0 }
    }

    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        let bucket = &mut self.counts[bucket_of(value)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.maximum = self.maximum.max(value);
    }

    /// How many values were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; 0 if there is none.
    pub fn maximum(&self) -> u64 {
        self.maximum
    }

    /// The mean, exactly; 0 if there is no value.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// A value that `percent` of all values do not exceed: never too low, and too high by at most
    /// one part in [`PERCENTILE_MAX_ERROR_DIVISOR`]. 0 if there is no value.
    ///
    /// # Panics
    /// If `percent` is above 100.
    pub fn percentile(&self, percent: u64) -> u64 {
        self.permille(percent * 10)
    }

    /// The same in thousandths.
    ///
    /// # Panics
    /// If `permille` is above 1000.
    pub fn permille(&self, permille: u64) -> u64 {
        assert!(permille <= 1000, "{permille} thousandths");
        let rank = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return upper_end_of(index).min(self.maximum);
            }
        }
        self.maximum
    }
}

/// Values below 2^(SUB_BUCKET_BITS + 1) have a bucket each; above, the bits after the highest one
/// say which bucket of its doubling.
fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS_MAX) - 1);
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(SUB_BUCKET_BITS + 1);
    let index = (u64::from(shift) << SUB_BUCKET_BITS) + (value >> shift);
    usize::try_from(index).expect("the value was bounded")
}

/// The largest value of a bucket.
fn upper_end_of(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index >> SUB_BUCKET_BITS).saturating_sub(1);
    let first = index - (shift << SUB_BUCKET_BITS);
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::{
        BUCKET_COUNT, Histogram, PERCENTILE_MAX_ERROR_DIVISOR, VALUE_BITS_MAX, bucket_of,
        upper_end_of,
    };
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn buckets_touch_and_do_not_overlap() {
        let mut next = 0;
        for index in 0..BUCKET_COUNT {
            assert_eq!(bucket_of(next), index);
            assert_eq!(bucket_of(upper_end_of(index)), index);
            next = upper_end_of(index) + 1;
        }
        assert_eq!(next, 1 << VALUE_BITS_MAX);
        assert_eq!(bucket_of(u64::MAX), BUCKET_COUNT - 1);
    }

    #[test]
    fn nothing_is_zero() {
        let histogram = Histogram::new();
        assert_eq!((histogram.percentile(50), histogram.mean(), histogram.maximum()), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values_within_the_error(
            mut values in proptest::collection::vec(0_u64..3_000_000, 1..300), percent in 0_u64..=100
        ) {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.add(value));
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(percent).unwrap()).div_ceil(100).max(1);
            let exact = values[rank - 1];
            let found = histogram.percentile(percent);
            prop_assert!(found >= exact);
            prop_assert!(found <= exact + exact / PERCENTILE_MAX_ERROR_DIVISOR);
            prop_assert_eq!(histogram.maximum(), values[values.len() - 1]);
            prop_assert_eq!(histogram.mean(), values.iter().sum::<u64>() / values.len() as u64);
        }

        #[test]
        fn any_value_is_taken(value in any::<u64>()) {
            let mut histogram = Histogram::new();
            histogram.add(value);
            prop_assert_eq!(histogram.percentile(100).min(histogram.maximum()),
                            histogram.percentile(100));
        }
    }
}
