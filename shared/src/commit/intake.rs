//! Intake: the domain's description and xl configuration, which open every session.
//!
//! They are read from the ring and stay in it: nothing may be released before the ring has been
//! made as large as the domain needs. The configuration has no length of its own; it ends where
//! the first entry of another kind begins.

use core::fmt;

use crate::codec::{DomainDescription, decode};
use crate::limits::{GFN_COUNT_MAX, PAGE_SIZE, VCPU_COUNT_MAX, XL_CONFIG_SIZE_MAX};
use crate::ring::{Consumer, EntryKind, RingError};

/// Why a session's opening cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeFault {
    /// The other half broke the ring's rules.
    Ring(RingError),
    /// The first entry is not a description that can be read.
    Description,
    /// The description names what is beyond the limits.
    Limits {
        /// vCPUs of the domain.
        vcpu_count: u32,
        /// One more than its highest gfn.
        gfn_count: u64,
    },
    /// A part of the configuration is out of place, or it is longer than the limit.
    Config,
    /// No configuration came, and the operator named none.
    NoConfig,
}

impl fmt::Display for IntakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Description => f.write_str(
                "the primary's description of the domain is malformed: \
                 run the same Pollux version on both hosts",
            ),
            Self::Limits { vcpu_count, gfn_count } => write!(
                f,
                "the domain is too large: {vcpu_count} vCPUs (at most {VCPU_COUNT_MAX}) and \
                 {gfn_count} page frames"
            ),
            Self::Config => {
                write!(f, "the domain's xl configuration exceeds {XL_CONFIG_SIZE_MAX} bytes")
            }
            Self::NoConfig => {
                f.write_str("the primary sent no xl configuration: name one with --twin-config")
            }
        }
    }
}

/// What opens a session, as far as it has come.
#[derive(Debug)]
pub struct Intake {
    description: Option<DomainDescription>,
    config: [u8; XL_CONFIG_SIZE_MAX],
    config_size: usize,
    /// Index of the entry to look at next.
    next: u64,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

impl Intake {
    /// Nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { description: None, config: [0; XL_CONFIG_SIZE_MAX], config_size: 0, next: 0 }
    }

    /// Forgets everything, for the next session.
    pub fn clear(&mut self) {
        (self.description, self.config_size, self.next) = (None, 0, 0);
    }

    /// Looks at the entries that are new; true once all of the opening is here.
    ///
    /// # Errors
    /// [`IntakeFault`] when the session cannot go on.
    pub fn turn(&mut self, ring: &mut Consumer) -> Result<bool, IntakeFault> {
        let available = ring.available().map_err(IntakeFault::Ring)?;
        while !self.is_whole() && self.next < available.end {
            let entry = ring.entry(self.next).map_err(IntakeFault::Ring)?;
            let mut bytes = [0; PAGE_SIZE];
            let bytes = &mut bytes[..usize::from(entry.length)];
            match (entry.kind, &self.description) {
                (EntryKind::Description, None) => {
                    ring.copy_out(self.next, 0, bytes);
                    self.description = Some(read_description(bytes)?);
                }
                (_, None) | (EntryKind::Description, Some(_)) => {
                    return Err(IntakeFault::Description);
                }
                (EntryKind::Config, Some(_)) => {
                    ring.copy_out(self.next, 0, bytes);
                    self.take_config(entry.address, bytes)?;
                }
                (_, Some(_)) => return Err(IntakeFault::Config),
            }
            self.next += 1;
        }
        Ok(self.is_whole())
    }

    fn is_whole(&self) -> bool {
        let description = self.description.as_ref();
        description.is_some_and(|description| self.config_size >= description.config_size as usize)
    }

    /// The description, once it has come.
    #[must_use]
    pub const fn description(&self) -> Option<&DomainDescription> {
        self.description.as_ref()
    }

    /// The configuration's text as the primary sent it; empty when it sent none.
    #[must_use]
    pub fn config(&self) -> &[u8] {
        &self.config[..self.config_size]
    }

    /// Entries that the opening took: the index of the first one after it.
    #[must_use]
    pub const fn entry_count(&self) -> u64 {
        self.next
    }

    fn take_config(&mut self, offset: u64, bytes: &[u8]) -> Result<(), IntakeFault> {
        let end = self.config_size + bytes.len();
        if offset != self.config_size as u64 || end > XL_CONFIG_SIZE_MAX {
            return Err(IntakeFault::Config);
        }
        self.config[self.config_size..end].copy_from_slice(bytes);
        self.config_size = end;
        Ok(())
    }
}

fn read_description(bytes: &[u8]) -> Result<DomainDescription, IntakeFault> {
    let description: DomainDescription = decode(bytes).map_err(|_| IntakeFault::Description)?;
    let DomainDescription { vcpu_count, gfn_count, page_count, .. } = description;
    let vcpus_fit = vcpu_count >= 1 && vcpu_count as usize <= VCPU_COUNT_MAX;
    if description.config_size as usize > XL_CONFIG_SIZE_MAX {
        return Err(IntakeFault::Config);
    }
    if !vcpus_fit || !(1..=GFN_COUNT_MAX).contains(&gfn_count) || page_count > gfn_count {
        return Err(IntakeFault::Limits { vcpu_count, gfn_count });
    }
    let name = description.name.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+:@".contains(byte);
    if name.is_empty() || !name.iter().all(plain) || name[0] == b'.' {
        return Err(IntakeFault::Description);
    }
    Ok(description)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::ring::{Entry, Producer, Ring};
    use heapless::String;

    pub fn ring() -> (Producer, Consumer) {
        let (mut producer, mut consumer) = Ring::create(4096).unwrap().into_both().unwrap();
        producer.reset(4096);
        consumer.begin().unwrap();
        (producer, consumer)
    }

    pub fn push(producer: &mut Producer, entry: Entry, bytes: &[u8]) {
        assert!(producer.free_entries().unwrap() > 0);
        producer.slot_mut()[..bytes.len()].copy_from_slice(bytes);
        producer.push(&entry);
        producer.publish();
    }

    fn description(name: &str, vcpu_count: u32) -> DomainDescription {
        DomainDescription {
            name: String::try_from(name).unwrap(),
            vcpu_count,
            gfn_count: 0x10_0000,
            page_count: 0x8000,
            grant_version: 1,
            interval_ms: 25,
            config_size: 11,
            term: 3,
            is_rehearsal: false,
        }
    }

    fn push_description(producer: &mut Producer, description: &DomainDescription) {
        let mut bytes = [0; PAGE_SIZE];
        let size = encode(description, &mut bytes).unwrap();
        let entry = Entry::raw(EntryKind::Description, 0, 0, u16::try_from(size).unwrap());
        push(producer, entry, &bytes[..size]);
    }

    #[test]
    fn an_opening_is_whole_with_its_configuration() {
        let (mut producer, mut consumer) = ring();
        let mut intake = Intake::new();
        assert_eq!(intake.turn(&mut consumer), Ok(false));
        push_description(&mut producer, &description("guest", 2));
        assert_eq!(intake.turn(&mut consumer), Ok(false));
        push(&mut producer, Entry::raw(EntryKind::Config, 0, 0, 8), b"name='a'");
        assert_eq!(intake.turn(&mut consumer), Ok(false));
        push(&mut producer, Entry::raw(EntryKind::Config, 0, 8, 3), b"\n#\n");
        push(&mut producer, Entry::raw(EntryKind::Page, 0, 7, 4096), &[]);
        assert_eq!(intake.turn(&mut consumer), Ok(true));
        assert_eq!(intake.config(), b"name='a'\n#\n");
        assert_eq!(intake.entry_count(), 3);
        assert_eq!(intake.description().unwrap().name, "guest");
        assert_eq!(consumer.available(), Ok(0..4), "nothing is released");
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        let opened = |domain: &DomainDescription, entries: &[Entry]| {
            let (mut producer, mut consumer) = ring();
            push_description(&mut producer, domain);
            for entry in entries {
                push(&mut producer, *entry, &[]);
            }
            Intake::new().turn(&mut consumer)
        };
        let good = description("guest", 1);
        assert_eq!(opened(&good, &[]), Ok(false));
        let gap = Entry::raw(EntryKind::Config, 0, 1, 10);
        assert_eq!(opened(&good, &[gap]), Err(IntakeFault::Config));
        let page = Entry::raw(EntryKind::Page, 0, 0, 4096);
        assert_eq!(opened(&good, &[page]), Err(IntakeFault::Config));
        let long: Vec<Entry> =
            (0..5).map(|part| Entry::raw(EntryKind::Config, 0, part * 4096, 4096)).collect();
        let longest = DomainDescription { config_size: 16 * 1024, ..good.clone() };
        assert_eq!(opened(&longest, &long[..3]), Ok(false));
        assert_eq!(opened(&longest, &long[..4]), Ok(true));
        let too_long = DomainDescription { config_size: 16 * 1024 + 1, ..good.clone() };
        assert_eq!(opened(&too_long, &long), Err(IntakeFault::Config));
        for name in ["", "../x", "a b", "a/b"] {
            assert_eq!(opened(&description(name, 1), &[]), Err(IntakeFault::Description));
        }
        let large = opened(&description("guest", 17), &[]);
        assert!(matches!(large, Err(IntakeFault::Limits { vcpu_count: 17, .. })));

        let (mut producer, mut consumer) = ring();
        push(&mut producer, Entry::raw(EntryKind::Page, 0, 0, 4096), &[]);
        assert_eq!(Intake::new().turn(&mut consumer), Err(IntakeFault::Description));
    }
}
