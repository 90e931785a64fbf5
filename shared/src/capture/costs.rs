//! What is known of the price of pauses, copies and cleanings.
//!
//! `pacing` measures what pauses and copies cost this program, `log_policy` weighs what a cleaned log costs
//! the guest. `predrain` asks both when it decides about passes.

use super::log_policy::LogPolicy;
use super::logged_guest::Reading;
use super::pacing::Pacing;

/// The prices, and the decisions that follow from them.
#[derive(Debug)]
pub struct Costs {
    /// What pauses and copies cost.
    pub pacing: Pacing,
    /// Whether to clean the log; none when every checkpoint must.
    pub log_policy: Option<LogPolicy>,
    /// What was decided for the next checkpoint.
    decided: Option<Reading>,
}

impl Costs {
    /// Nothing is decided yet.
    #[must_use]
    pub const fn new(pacing: Pacing, log_policy: Option<LogPolicy>) -> Self {
        Self { pacing, log_policy, decided: None }
    }

    /// What becomes of the log at the next checkpoint, as first asked with `found_count` pages in it.
    /// Without a policy it is kept now: the pause cleans it.
    pub fn decide(&mut self, found_count: u64) -> Reading {
        let Some(policy) = &mut self.log_policy else { return Reading::Keep };
        *self.decided.get_or_insert_with(|| policy.decide(found_count))
    }

    /// The log was cleaned.
    pub fn note_cleaned(&mut self) {
        if let Some(policy) = &mut self.log_policy {
            policy.note_cleaned();
        }
    }

    /// The log begins anew; what pauses and copies cost stays known.
    pub fn start_over(&mut self) {
        self.decided = None;
        if let Some(policy) = &mut self.log_policy {
            *policy = LogPolicy::default();
        }
    }

    /// A checkpoint was taken: the next one is decided about anew.
    pub const fn begin_epoch(&mut self) {
        self.decided = None;
    }

    /// Whether [`Costs::decide`] may yet say that the log is to be cleaned.
    #[must_use]
    pub fn may_clean(&self) -> bool {
        self.log_policy.is_some() && self.decided != Some(Reading::Keep)
    }
}
