//! Tests of `control`.

use super::super::{ProcessFigures, Ring};
use super::*;

#[test]
fn words_reach_the_other_half() {
    let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
    let (domain, link) = (producer.control(), consumer.control());
    assert_eq!((domain.link_session(), domain.goodbye(), link.stop()), (0, None, None));
    assert_eq!(domain.join_session(), None);
    link.announce_session(7);
    link.set_acked_epoch(41);
    link.set_peer_phase(Phase::Protected);
    let counters = LinkCounters { frames_sent: 3, round_trip_us: 99, ..Default::default() };
    link.set_counters(&counters);
    assert_eq!((domain.link_session(), domain.acked_epoch()), (7, 41));
    assert_eq!(domain.peer_phase(), Phase::Protected);
    assert_eq!(domain.counters(), counters);
    domain.set_complete_epoch(5);
    assert_eq!((domain.join_session(), link.domain_session()), (Some(7), 7));
    assert_eq!((link.complete_epoch(), link.phase()), (0, Phase::Idle));
    domain.set_stop(GoodbyeReason::Ended);
    assert_eq!(link.stop(), Some(GoodbyeReason::Ended));
    assert_eq!(link.rehearsal_figures(), None);
    let process = |processor_us| ProcessFigures { processor_us, fault_count: 7 };
    let figures = RehearsalFigures { receive: process(1), commit: process(2), verified_epoch: 3 };
    domain.set_rehearsal_figures(&figures);
    link.set_peer_figures(&figures);
    assert_eq!((link.rehearsal_figures(), domain.peer_figures()), (Some(figures), figures));
    link.drop_session(Some(GoodbyeReason::DomainDestroyed));
    assert_eq!(domain.goodbye(), Some(GoodbyeReason::DomainDestroyed));
    domain.leave_session();
    link.announce_session(8);
    assert_eq!((link.domain_session(), domain.goodbye(), domain.acked_epoch()), (0, None, 0));
}

#[test]
fn texts_are_cut_at_a_character() {
    let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
    let (domain, link) = (producer.control(), consumer.control());
    assert_eq!(link.refusal().as_str(), "");
    domain.set_refusal("the twin needs 2 GiB, 1 GiB is free");
    assert_eq!(link.refusal().as_str(), "the twin needs 2 GiB, 1 GiB is free");
    domain.set_refusal(&"ä".repeat(101));
    assert_eq!(link.refusal().as_str(), "ä".repeat(100));
    domain.set_refusal("");
    assert_eq!(link.refusal().as_str(), "");
}

#[test]
fn a_text_of_a_hostile_half_is_no_text() {
    let (producer, consumer) = Ring::create(4).unwrap().into_both().unwrap();
    let (domain, link) = (producer.control(), consumer.control());
    for length in [201, u64::MAX] {
        link.store(PEER_REFUSAL + 8, length);
        assert_eq!(domain.peer_refusal().as_str(), "");
    }
    link.store(PEER_REFUSAL + 8, 8);
    link.store(PEER_REFUSAL + 16, u64::MAX);
    assert_eq!(domain.peer_refusal().as_str(), "");
    link.store(PEER_REFUSAL, 1);
    assert_eq!(domain.peer_refusal().as_str(), "");
    link.store(PEER_PHASE, 259);
    link.store(GOODBYE, u64::MAX);
    assert_eq!((domain.peer_phase(), domain.goodbye()), (Phase::Idle, None));
}
