//! Options that `protect` and `rehearse` have in common: how epochs are made and sent.

use super::given::Given;
use super::links::Links;
use super::values::{Interval, LinkHalfPlace};
use crate::capture::drain::DrainOptions;
use crate::codec::page::ShadowCache;
use crate::limits::{
    DELTA_CACHE_SIZE_DEFAULT, DELTA_CACHE_SIZE_MAX, PAGE_SIZE, PAUSE_TARGET_US_MAX,
    PAUSE_TARGET_US_MIN, RING_ENTRY_COUNT_PRIMARY, RING_ENTRY_COUNT_PRIMARY_MAX,
    RING_ENTRY_COUNT_PRIMARY_MIN,
};

/// How epochs are made and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationOptions<'a> {
    /// The replication links.
    pub links: Links<'a>,
    /// Path of the key file.
    pub key_file: &'a str,
    /// Time between checkpoints.
    pub interval: Interval,
    /// Longest pause that is wanted, in microseconds.
    pub pause_target_us: u32,
    /// Silence after which the backup counts as lost, in milliseconds.
    pub timeout_ms: u32,
    /// Somebody decides who lives after a silence, so that it may be cut short.
    pub has_arbiter: bool,
    /// Entries of the page ring, a page each.
    pub ring_entry_count: u64,
    /// Bytes of memory for the versions of pages that were sent last; 0 for none.
    pub delta_cache_size: u64,
    /// Core for capture, then polled without pause.
    pub capture_core: Option<u16>,
    /// Core for ship, then polled without pause.
    pub ship_core: Option<u16>,
    /// Where ship runs.
    pub ship: LinkHalfPlace<'a>,
}

impl ReplicationOptions<'_> {
    /// What they say to capture.
    #[must_use]
    pub const fn drain_options(&self) -> DrainOptions {
        DrainOptions {
            pause_target_us: self.pause_target_us,
            may_keep_log: self.delta_cache_size >= ShadowCache::SIZE_LEAST as u64,
        }
    }
}

/// The options.
pub(super) const REPLICATION: &str = "--link=* --key-file= --interval-ms= --pause-target-us= --timeout-ms= --ring= --delta-cache= \
     --capture-core= --ship-core= ";

/// Options of the process that ships, and what a stub domain has in place of them.
const PROCESS_ONLY: [(&str, &str); 2] = [
    ("--ring", "ring=SIZE on the stub domain's own command line instead"),
    ("--ship-core", "cpus= in the stub domain's own configuration instead"),
];

impl<'a> ReplicationOptions<'a> {
    // Both commands that take them call it.
    #[inline(never)]
    pub(super) fn read(given: &mut Given<'a>) -> Self {
        let page_size = PAGE_SIZE as u64;
        let ship = given.place("--ship", &PROCESS_ONLY);
        let ring_bounds =
            RING_ENTRY_COUNT_PRIMARY_MIN * page_size..=RING_ENTRY_COUNT_PRIMARY_MAX * page_size;
        let ring_default = RING_ENTRY_COUNT_PRIMARY * page_size;
        let cache_expected = "a size of at most 16G, as in 64M, or 0 for none";
        let cache_bounds = 0..=DELTA_CACHE_SIZE_MAX;
        let pause_bounds = (PAUSE_TARGET_US_MIN, PAUSE_TARGET_US_MAX);
        let pause_expected = "50 to 1000000 microseconds";
        Self {
            links: Links::read(given, ship),
            key_file: given.required("--key-file"),
            interval: given.interval(),
            pause_target_us: given.number("--pause-target-us", pause_bounds, 500, pause_expected),
            timeout_ms: given.timeout_ms(),
            has_arbiter: given.has("--arbiter"),
            ring_entry_count: given.size(
                "--ring",
                ring_bounds,
                ring_default,
                "a size from 16M to 4G, as in 64M",
            ) / page_size,
            delta_cache_size: given.size(
                "--delta-cache",
                cache_bounds,
                DELTA_CACHE_SIZE_DEFAULT,
                cache_expected,
            ),
            capture_core: given.core("--capture-core"),
            ship_core: given.core("--ship-core"),
            ship,
        }
    }
}
