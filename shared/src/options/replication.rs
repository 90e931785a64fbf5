//! Options that `protect` and `rehearse` have in common: how epochs are made and sent.

use super::error::UsageError;
use super::links::Links;
use super::values::{Interval, Value};
use crate::capture::drain::DrainOptions;
use crate::codec::page::ShadowCache;
use crate::limits::LINK_COUNT_MAX;

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
    /// Entries of the page ring, a page each.
    pub ring_entry_count: u64,
    /// Bytes of memory for the versions of pages that were sent last; 0 for none.
    pub delta_cache_size: u64,
    /// Core for capture, then polled without pause.
    pub capture_core: Option<u16>,
    /// Core for ship, then polled without pause.
    pub ship_core: Option<u16>,
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

/// The same, before they are read.
#[derive(Debug)]
pub(super) struct ReplicationValues<'a> {
    links: [Value<'a>; LINK_COUNT_MAX],
    key_file: Value<'a>,
    interval: Value<'a>,
    pause_target: Value<'a>,
    timeout: Value<'a>,
    ring: Value<'a>,
    delta_cache: Value<'a>,
    capture_core: Value<'a>,
    ship_core: Value<'a>,
}

impl<'a> ReplicationValues<'a> {
    pub const fn new() -> Self {
        Self {
            links: Links::values(),
            key_file: Value::new("--key-file"),
            interval: Value::new("--interval-ms"),
            pause_target: Value::new("--pause-target-us"),
            timeout: Value::new("--timeout-ms"),
            ring: Value::new("--ring"),
            delta_cache: Value::new("--delta-cache"),
            capture_core: Value::new("--capture-core"),
            ship_core: Value::new("--ship-core"),
        }
    }

    /// All of them, to be filled.
    pub const fn all(&mut self) -> [&mut Value<'a>; 8 + LINK_COUNT_MAX] {
        let [first, second, third, fourth] = &mut self.links;
        [
            first,
            second,
            third,
            fourth,
            &mut self.key_file,
            &mut self.interval,
            &mut self.pause_target,
            &mut self.timeout,
            &mut self.ring,
            &mut self.delta_cache,
            &mut self.capture_core,
            &mut self.ship_core,
        ]
    }

    pub fn read(&self) -> Result<ReplicationOptions<'a>, UsageError> {
        Ok(ReplicationOptions {
            links: Links::read(&self.links)?,
            key_file: self.key_file.required()?,
            interval: self.interval.interval()?,
            pause_target_us: self.pause_target.pause_target_us()?,
            timeout_ms: self.timeout.timeout_ms()?,
            ring_entry_count: self.ring.ring_entry_count()?,
            delta_cache_size: self.delta_cache.delta_cache_size()?,
            capture_core: self.capture_core.core()?,
            ship_core: self.ship_core.core()?,
        })
    }
}
