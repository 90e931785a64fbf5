//! What is complete can be applied, wherever a state puts Xen's frames.

use super::super::intake::tests::{push, ring};
use super::super::staging::tests::{Memory, full_copy, push_end, push_page};
use super::super::staging::{Staging, StagingFault, StagingProgress};
use crate::codec::CheckpointState;
use crate::revive::check::sample;
use crate::ring::{Consumer, Encoding, Entry, EntryKind, Producer};

/// A gfn at which the twin can have memory, and two of the sample's, where it can have none.
const ORDINARY: u64 = 0x80;
const GRANT_FRAME: u64 = 0x9000;
const SHARED_INFO: u64 = 0x8f000;

struct Twin {
    producer: Producer,
    consumer: Consumer,
    memory: Memory,
    staging: Staging,
    epoch: u64,
    page_count: u64,
}

impl Twin {
    /// A full copy has come.
    fn new() -> Self {
        let (mut producer, mut consumer) = ring();
        let mut memory = Memory::default();
        let staging = full_copy(&mut producer, &mut consumer, &mut memory);
        Self { producer, consumer, memory, staging, epoch: 2, page_count: 0 }
    }

    fn send(&mut self, gfn: u64) {
        push_page(&mut self.producer, self.epoch, gfn, 7);
        self.page_count += 1;
    }

    fn send_unchanged(&mut self, gfn: u64) {
        let page = Entry::raw(EntryKind::Page, self.epoch, gfn, 4096);
        push(&mut self.producer, page.encoded(Encoding::Unchanged, 0), &[]);
        self.page_count += 1;
    }

    /// Ends the epoch with the state that `change` makes, and works it off.
    fn end(&mut self, change: impl Fn(&mut CheckpointState)) -> Result<(), StagingFault> {
        let mut state = sample::state(self.epoch);
        change(&mut state);
        push_end(&mut self.producer, &state, self.page_count, 0);
        (self.epoch, self.page_count) = (self.epoch + 1, 0);
        while self.staging.turn(&mut self.consumer, &mut self.memory)? != StagingProgress::Idle {}
        Ok(())
    }

    fn complete_epoch(&self) -> u64 {
        self.staging.complete().unwrap().state.epoch
    }
}

fn grant_frames(gfns: &[u64]) -> impl Fn(&mut CheckpointState) {
    move |state| state.grant_frame_gfns = gfns.iter().copied().collect()
}

#[test]
fn a_page_in_place_of_a_frame_that_moved_away_needs_memory() {
    let mut twin = Twin::new();
    twin.send(GRANT_FRAME);
    assert_eq!(twin.end(|_| {}), Ok(()), "it is Xen's");
    twin.send(GRANT_FRAME);
    assert_eq!(twin.end(grant_frames(&[])), Err(StagingFault::Gfn(GRANT_FRAME)));
    assert_eq!(twin.complete_epoch(), 2, "what cannot be applied is not acknowledged");
}

#[test]
fn where_memory_can_be_had_it_is() {
    let mut twin = Twin::new();
    assert_eq!(twin.end(grant_frames(&[ORDINARY])), Ok(()));
    twin.send(ORDINARY);
    twin.send_unchanged(ORDINARY);
    assert_eq!(twin.end(grant_frames(&[])), Ok(()));
    assert_eq!(twin.memory.pages[&ORDINARY], [7; 4096]);
}

#[test]
fn changes_of_a_frame_that_moved_away_have_no_last_version() {
    let mut twin = Twin::new();
    assert_eq!(twin.end(grant_frames(&[ORDINARY])), Ok(()));
    twin.send(ORDINARY);
    assert_eq!(twin.end(grant_frames(&[ORDINARY])), Ok(()));
    assert!(!twin.memory.pages.contains_key(&ORDINARY));
    twin.send_unchanged(ORDINARY);
    assert_eq!(twin.end(grant_frames(&[])), Err(StagingFault::Base(ORDINARY)));
    assert_eq!(twin.complete_epoch(), 3);
}

#[test]
fn changes_of_a_shared_info_that_never_came_have_no_last_version() {
    let mut twin = Twin::new();
    twin.send_unchanged(SHARED_INFO);
    assert_eq!(twin.end(|_| {}), Err(StagingFault::Base(SHARED_INFO)));
    assert_eq!(twin.complete_epoch(), 1);
}

#[test]
fn a_shared_info_moves_with_its_versions() {
    let mut twin = Twin::new();
    twin.send(SHARED_INFO);
    twin.send_unchanged(SHARED_INFO);
    assert_eq!(twin.end(|_| {}), Ok(()));
    twin.send_unchanged(SHARED_INFO);
    assert_eq!(twin.end(|_| {}), Ok(()));
    let moved = |state: &mut CheckpointState| state.shared_info_gfn = GRANT_FRAME;
    twin.send(GRANT_FRAME);
    twin.send_unchanged(GRANT_FRAME);
    assert_eq!(twin.end(moved), Ok(()));
    assert_eq!(twin.staging.aside().shared_info.bytes(), Some(&[7; 4096]));
    twin.send_unchanged(SHARED_INFO);
    assert_eq!(twin.end(|_| {}), Err(StagingFault::Base(SHARED_INFO)), "it lies elsewhere by now");
    assert_eq!(twin.complete_epoch(), 4);
}
