//! What an end knows of the links to its peer: on which ones it hears it, and over which one data goes.
//!
//! Everything but data goes over every link, so each link must bring what the others bring: one that
//! brings nothing while others do is lost. Comparing the links with one another, and not with the
//! clock, keeps apart a link that is cut from a host that stood still.
//!
//! Whether data *arrives* is the backup's to say: its acknowledgements tell on which links it hears the
//! primary. Data goes over the first of these, in the order in which the operator gave them. A link that
//! hears heartbeats but does not carry data shows by the lack of progress; it is not tried again for a
//! while, which grows each time.

use super::event::{EventQueue, LinkEvent};
use crate::limits::LINK_COUNT_MAX;

/// A link is lost when others brought something so many heartbeats after it did last.
const LOST_HEARTBEATS: u64 = 6;
/// A lost link is used again when it was heard without a gap for so many heartbeats.
const STEADY_HEARTBEATS: u64 = 20;
/// A link on which data did not arrive is avoided for so many heartbeats at first,
const AVOIDED_HEARTBEATS: u64 = 20;
/// and for so many times as long at last.
const AVOIDED_FACTOR_MAX: u64 = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Path {
    /// One more than the highest packet number that was heard on it.
    packet_end: u64,
    heard_us: u64,
    /// Since when a lost one is heard without a gap.
    steady_us: Option<u64>,
    /// No data goes there before this time, if it can go elsewhere; and for how long that was.
    avoided_until_us: u64,
    avoided_us: u64,
}

/// The links of one end.
#[derive(Clone, Copy, Debug)]
pub struct Paths {
    paths: [Path; LINK_COUNT_MAX],
    count: usize,
    heartbeat_us: u64,
    /// When something was heard on any of them.
    heard_us: u64,
    data: usize,
    /// Sets of links, a bit for each.
    lost: u8,
    heard_by_peer: u8,
}

impl Paths {
    pub fn new(count: usize) -> Self {
        assert!((1..=LINK_COUNT_MAX).contains(&count), "there are 1 to {LINK_COUNT_MAX} links");
        let paths = [Path::default(); LINK_COUNT_MAX];
        Self { paths, count, heartbeat_us: 0, heard_us: 0, data: 0, lost: 0, heard_by_peer: 0 }
    }

    pub fn are_several(&self) -> bool {
        self.count > 1
    }

    /// A session begins. What was lost in the last one is lost until it is heard.
    pub fn start_session(&mut self, now_us: u64, heartbeat_us: u64) {
        (self.heartbeat_us, self.heard_us) = (heartbeat_us, now_us);
        self.paths = [Path { heard_us: now_us, ..Path::default() }; LINK_COUNT_MAX];
        self.heard_by_peer = self.heard();
        self.data = self.best(now_us);
    }

    /// Whether a packet that has come already is not known to have come on this link: it may be a copy.
    pub fn may_be_copy(&self, path: usize, packet_number: u64) -> bool {
        packet_number >= self.paths[path].packet_end
    }

    /// An authentic packet came.
    pub fn note_heard(&mut self, path: usize, packet_number: u64, now_us: u64) {
        let path = &mut self.paths[path];
        // A peer that damages itself may count to the end.
        path.packet_end = path.packet_end.max(packet_number.saturating_add(1));
        (path.heard_us, self.heard_us) = (now_us, now_us);
    }

    /// Judges which links are lost; to be called when all that has come was taken in.
    pub fn judge(&mut self, events: &mut EventQueue) {
        if !self.are_several() {
            return;
        }
        let (heard_us, heartbeat_us) = (self.heard_us, self.heartbeat_us);
        for (number, path) in self.paths[..self.count].iter_mut().enumerate() {
            let bit = 1 << number;
            let is_silent = heard_us - path.heard_us > LOST_HEARTBEATS * heartbeat_us;
            if is_silent {
                path.steady_us = None;
                if self.lost & bit == 0 {
                    self.lost |= bit;
                    events.report(LinkEvent::PathLost { path: number });
                }
            } else if self.lost & bit != 0 {
                let since_us = *path.steady_us.get_or_insert(path.heard_us);
                if path.heard_us - since_us >= STEADY_HEARTBEATS * heartbeat_us {
                    self.lost &= !bit;
                    events.report(LinkEvent::PathBack { path: number });
                }
            }
        }
    }

    /// The links that are not lost, as the peer is told.
    pub fn heard(&self) -> u8 {
        !self.lost & ((1 << self.count) - 1)
    }

    /// The peer told on which links it hears us.
    pub fn note_heard_by_peer(&mut self, set: u8) {
        self.heard_by_peer = set;
    }

    /// The sets of links that [`LinkCounters::links`](crate::ring::LinkCounters::links) shows.
    pub fn shown(&self) -> u64 {
        if !self.are_several() {
            return 0;
        }
        u64::from_le_bytes([self.heard(), self.heard_by_peer, 1 << self.data, 0, 0, 0, 0, 0])
    }

    /// Backup: data has come on this link.
    pub fn note_data(&mut self, path: usize) {
        self.data = path;
    }

    /// Where data goes.
    pub fn data(&self) -> usize {
        self.data
    }

    /// Data does not arrive, although the peer is heard.
    pub fn avoid_data_path(&mut self, now_us: u64) {
        let (first_us, path) = (AVOIDED_HEARTBEATS * self.heartbeat_us, &mut self.paths[self.data]);
        // One that has carried data for longer than it was avoided starts anew.
        let was_good = now_us.saturating_sub(path.avoided_until_us) > path.avoided_us;
        let longer_us = (2 * path.avoided_us).clamp(first_us, AVOIDED_FACTOR_MAX * first_us);
        path.avoided_us = if was_good { first_us } else { longer_us };
        path.avoided_until_us = now_us + path.avoided_us;
    }

    /// Lets data go over the best link from now on. Says whether what is under way on another one is
    /// taken for lost: a link that is left only because a better one is back still carries it.
    pub fn choose(&mut self, now_us: u64, events: &mut EventQueue) -> bool {
        let (before, best) = (self.data, self.best(now_us));
        if best == before {
            return false;
        }
        self.data = best;
        events.report(LinkEvent::DataPath { path: best });
        self.demerit(before, now_us) > 0
    }

    fn best(&self, now_us: u64) -> usize {
        (0..self.count).min_by_key(|&number| self.demerit(number, now_us)).unwrap_or(0)
    }

    /// 0 for a link that carries data as far as is known. Of those that do not, the one that was avoided
    /// first is tried first, so that none is left untried.
    // Apart: the programs are smaller so.
    #[inline(never)]
    fn demerit(&self, number: usize, now_us: u64) -> u64 {
        let path = &self.paths[number];
        match now_us >= path.avoided_until_us {
            true if self.heard_by_peer >> number & 1 != 0 => 0,
            true => 1,
            false => path.avoided_until_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT_US: u64 = 50_000;

    #[test]
    fn the_last_packet_number_is_one_like_others() {
        let mut paths = Paths::new(2);
        paths.start_session(0, HEARTBEAT_US);
        paths.note_heard(0, u64::MAX, 1);
        assert!(!paths.may_be_copy(0, u64::MAX - 1) && paths.may_be_copy(1, 7));
    }

    /// Two links, and what becomes of their frames.
    struct Run {
        paths: Paths,
        events: EventQueue,
        now_us: u64,
        packet: u64,
    }

    impl Run {
        fn new() -> Self {
            let mut paths = Paths::new(2);
            paths.start_session(0, HEARTBEAT_US);
            Self { paths, events: EventQueue::default(), now_us: 0, packet: 0 }
        }

        /// Heartbeats that come on these links; what there is to report.
        fn beats(&mut self, count: u64, on: &[usize]) -> Vec<LinkEvent> {
            for _ in 0..count {
                self.now_us += HEARTBEAT_US;
                self.packet += 1;
                for &path in on {
                    self.paths.note_heard(path, self.packet, self.now_us);
                }
                self.paths.judge(&mut self.events);
                self.paths.choose(self.now_us, &mut self.events);
            }
            core::iter::from_fn(|| self.events.pop()).collect()
        }
    }

    #[test]
    fn a_link_that_brings_nothing_while_another_does_is_lost_and_comes_back() {
        let mut run = Run::new();
        assert_eq!(run.beats(50, &[0, 1]), []);
        assert_eq!(run.beats(6, &[1]), []);
        assert_eq!(run.beats(1, &[1]), [LinkEvent::PathLost { path: 0 }]);
        assert_eq!(run.paths.heard(), 0b10);
        // Not at its first sign of life, and anew after a gap.
        assert_eq!(run.beats(19, &[0, 1]), []);
        assert_eq!(run.beats(7, &[1]), []);
        assert_eq!(run.beats(20, &[0, 1]), []);
        assert_eq!(run.paths.heard(), 0b10);
        assert_eq!(run.beats(1, &[0, 1]), [LinkEvent::PathBack { path: 0 }]);
        assert_eq!(run.paths.heard(), 0b11);
    }

    #[test]
    fn several_links_are_shown_and_one_is_not() {
        let mut run = Run::new();
        run.paths.note_heard_by_peer(0b01);
        run.beats(10, &[1]);
        assert_eq!(run.paths.shown(), 0x01_01_02);
        run.paths.note_data(1);
        assert_eq!(run.paths.shown(), 0x02_01_02);
        assert_eq!(Paths::new(1).shown(), 0);
    }

    #[test]
    fn silence_on_all_links_is_no_link_s_fault() {
        let mut run = Run::new();
        run.beats(5, &[0, 1]);
        assert_eq!(run.beats(100, &[]), []);
        assert_eq!(run.beats(5, &[0, 1]), []);
        assert_eq!(run.paths.heard(), 0b11);
    }

    #[test]
    fn a_lost_link_stays_lost_over_sessions_and_is_not_reported_again() {
        let mut run = Run::new();
        assert_eq!(run.beats(10, &[1]), [LinkEvent::PathLost { path: 0 }]);
        run.paths.start_session(run.now_us, HEARTBEAT_US);
        assert_eq!(run.paths.data(), 1);
        assert_eq!(run.beats(10, &[1]), []);
        assert_eq!(run.beats(21, &[0, 1]), [LinkEvent::PathBack { path: 0 }]);
    }

    #[test]
    fn data_goes_where_the_peer_hears_us() {
        let mut run = Run::new();
        assert_eq!(run.paths.data(), 0);
        run.paths.note_heard_by_peer(0b10);
        assert!(run.paths.choose(1, &mut run.events), "what is under way is lost");
        assert_eq!(run.paths.data(), 1);
        run.paths.note_heard_by_peer(0b11);
        assert!(!run.paths.choose(2, &mut run.events), "what is under way still comes");
        assert_eq!(run.paths.data(), 0);
        run.paths.note_heard_by_peer(0);
        assert!(!run.paths.choose(3, &mut run.events), "nothing better is known");
    }

    #[test]
    fn a_link_that_carries_no_data_is_avoided_ever_longer() {
        let mut run = Run::new();
        let mut tried_us = Vec::new();
        for now_us in (0..300_000_000).step_by(10_000) {
            run.paths.choose(now_us, &mut run.events);
            if run.paths.data() == 0 {
                tried_us.push(now_us / 1_000_000);
                run.paths.avoid_data_path(now_us);
            }
        }
        assert_eq!(tried_us, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
    }

    #[test]
    fn links_that_carry_no_data_take_turns() {
        let mut run = Run::new();
        let turns = [10, 20, 30, 40, 50].map(|now_us| {
            run.paths.avoid_data_path(now_us);
            assert!(run.paths.choose(now_us, &mut run.events));
            run.paths.data()
        });
        assert_eq!(turns, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_packet_is_a_copy_once_on_each_link() {
        let mut run = Run::new();
        run.paths.note_heard(0, 7, 1);
        assert!(!run.paths.may_be_copy(0, 7) && run.paths.may_be_copy(1, 7));
        run.paths.note_heard(1, 7, 2);
        assert!(!run.paths.may_be_copy(1, 7) && run.paths.may_be_copy(1, 8));
    }
}
