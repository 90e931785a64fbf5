//! Which epoch the gate holds, and what the plugs must do next.

/// What every plug of the guest is told to do (TCQ_PLUG_* of include/uapi/linux/pkt_sched.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum PlugAction {
    /// End the epoch: what comes from now on belongs to the next one.
    Buffer = 0,
    /// Let the frames of the epoch that ended go.
    ReleaseOne = 1,
    /// Let all frames go, those to come as well.
    ReleaseIndefinite = 2,
    /// Set how many bytes a plug holds before it drops.
    Limit = 3,
}

/// The order of epochs at the gate. It decides; the caller tells the plugs.
#[derive(Clone, Copy, Debug)]
pub struct EpochOrder {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Frames pass: the guest is not protected yet, or no longer.
    PassThrough,
    /// Frames wait. `ended` is the last epoch that ended, `acknowledged` whether the backup has it.
    Holding { ended: u64, acknowledged: bool },
}

impl EpochOrder {
    /// A gate through which everything passes.
    pub const fn new() -> Self {
        Self { phase: Phase::PassThrough }
    }

    /// Whether frames pass as if there were no gate.
    pub fn is_pass_through(&self) -> bool {
        self.phase == Phase::PassThrough
    }

    /// The epoch that has ended and waits for its acknowledgement, if there is one.
    pub fn in_flight(&self) -> Option<u64> {
        match self.phase {
            Phase::Holding { ended, acknowledged: false } => Some(ended),
            _ => None,
        }
    }

    /// Ends epoch `epoch`, at the pause that ends it. The first call ends the pass-through: what
    /// the guest sends from now on is held.
    ///
    /// # Panics
    /// If the epoch before is not acknowledged, or `epoch` is not the next one.
    #[must_use]
    pub fn end_epoch(&mut self, epoch: u64) -> PlugAction {
        if let Phase::Holding { ended, acknowledged } = self.phase {
            assert!(acknowledged, "epoch {epoch} ended before epoch {ended} was acknowledged");
            assert!(epoch == ended + 1, "epochs end in order, not {epoch} after {ended}");
        }
        self.phase = Phase::Holding { ended: epoch, acknowledged: false };
        PlugAction::Buffer
    }

    /// The backup has epoch `epoch`: its frames may leave.
    ///
    /// # Panics
    /// If `epoch` is not the one in flight: a frame would leave too early.
    #[must_use]
    pub fn acknowledge(&mut self, epoch: u64) -> PlugAction {
        assert!(
            self.in_flight() == Some(epoch),
            "only the epoch in flight can be acknowledged, not epoch {epoch}"
        );
        self.phase = Phase::Holding { ended: epoch, acknowledged: true };
        PlugAction::ReleaseOne
    }

    /// Protection ends: everything passes from now on.
    #[must_use]
    pub fn release_all(&mut self) -> PlugAction {
        self.phase = Phase::PassThrough;
        PlugAction::ReleaseIndefinite
    }
}

impl Default for EpochOrder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochOrder, PlugAction};
    use proptest::prelude::{Just, Strategy, any, prop_assert, proptest};
    use proptest::prop_oneof;
    use std::collections::VecDeque;

    /// The counters of net/sched/sch_plug.c in Linux 6.1, over frames that know their epoch.
    #[derive(Default)]
    struct Plug {
        queue: VecDeque<u64>,
        is_indefinite: bool,
        current: usize,
        last: usize,
        to_release: usize,
    }

    impl Plug {
        fn tell(&mut self, action: PlugAction) {
            match action {
                PlugAction::Buffer => {
                    self.last = self.current;
                    self.current = 0;
                    self.is_indefinite = false;
                }
                PlugAction::ReleaseOne => {
                    self.to_release += self.last;
                    self.last = 0;
                }
                PlugAction::ReleaseIndefinite => {
                    self.is_indefinite = true;
                    (self.to_release, self.last, self.current) = (0, 0, 0);
                }
                PlugAction::Limit => {}
            }
        }

        fn enqueue(&mut self, epoch: u64) {
            self.queue.push_back(epoch);
            if !self.is_indefinite {
                self.current += 1;
            }
        }

        fn dequeue_all(&mut self) -> Vec<u64> {
            let count = if self.is_indefinite { self.queue.len() } else { self.to_release };
            self.to_release -= count.min(self.to_release);
            self.queue.drain(..count).collect()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send(u8),
        Checkpoint,
        Acknowledge,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u8>().prop_map(Step::Send),
            Just(Step::Checkpoint),
            Just(Step::Acknowledge)
        ]
    }

    proptest! {
        #[test]
        fn no_frame_leaves_before_its_epoch_is_acknowledged(
            steps in proptest::collection::vec(step(), 1..200)
        ) {
            let (mut order, mut plug) = (EpochOrder::new(), Plug::default());
            let (mut epoch, mut acknowledged, mut left) = (1, 0, Vec::new());
            plug.tell(PlugAction::ReleaseIndefinite);
            plug.tell(order.end_epoch(1));
            epoch += 1;
            for step in steps {
                match step {
                    Step::Send(count) => (0..count % 4).for_each(|_| plug.enqueue(epoch)),
                    Step::Checkpoint if order.in_flight().is_none() => {
                        plug.tell(order.end_epoch(epoch));
                        epoch += 1;
                    }
                    Step::Acknowledge if order.in_flight().is_some() => {
                        acknowledged = epoch - 1;
                        plug.tell(order.acknowledge(acknowledged));
                    }
                    Step::Checkpoint | Step::Acknowledge => {}
                }
                left.extend(plug.dequeue_all());
                prop_assert!(left.iter().all(|&frame| frame <= acknowledged));
                // And none of an acknowledged epoch stays behind.
                prop_assert!(plug.queue.iter().all(|&frame| frame > acknowledged));
            }
            plug.tell(order.release_all());
            left.extend(plug.dequeue_all());
            prop_assert!(plug.queue.is_empty());
            prop_assert!(left.is_sorted());
        }
    }

    #[test]
    #[should_panic(expected = "ended before epoch 5 was acknowledged")]
    fn a_second_epoch_in_flight_is_refused() {
        let mut order = EpochOrder::new();
        let _ = order.end_epoch(5);
        let _ = order.end_epoch(6);
    }

    #[test]
    #[should_panic(expected = "only the epoch in flight")]
    fn an_epoch_that_did_not_end_cannot_be_acknowledged() {
        let mut order = EpochOrder::new();
        let _ = order.end_epoch(5);
        let _ = order.acknowledge(6);
    }

    #[test]
    #[should_panic(expected = "epochs end in order")]
    fn an_epoch_cannot_be_left_out() {
        let mut order = EpochOrder::new();
        let _ = order.end_epoch(5);
        let _ = order.acknowledge(5);
        let _ = order.end_epoch(7);
    }
}
