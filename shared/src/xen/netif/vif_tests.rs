//! Tests of the negotiation: against a backend that does as Linux's, one that goes and comes, and one
//! that writes anything.

use core::sync::atomic::Ordering;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::model_backend::{BACKEND, Memory, Piece};
use super::model_host::{ALL_GRANTS, BACK, FRONT, Host, Scene};
use super::{BackendLie, Vif, VifError};
use crate::limits::VIF_LOOK_INTERVAL_US;
use crate::link::{FrameBatch, FramePort, Interface};
use crate::xen::Errno;
use crate::xen::grant_access::GrantError;
use crate::xen::xenstore::XenstoreError;

#[test]
fn an_interface_connects_and_carries_frames_both_ways() {
    let mut scene = Scene::connected();
    assert_eq!(scene.host.states(), ["4", "4"]);
    for name in ["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-no-csum-offload"] {
        assert_eq!(scene.host.number(name), 1);
    }
    assert_eq!(scene.host.number("event-channel"), 7);
    assert_eq!(scene.vif.mac().unwrap().to_string(), "00:16:3e:01:02:03");
    assert_eq!(scene.vif.mtu(), 9000);
    assert_eq!(scene.free_count(), ALL_GRANTS - 514);
    // Once, since the backend may have looked too early.
    assert_eq!(scene.host.0.borrow().notified, [7]);

    let mut backend = scene.backend();
    backend.ask_for_events();
    let mut batch = FrameBatch::default();
    batch.add(|area| {
        area[..9014].fill(6);
        Some(9014)
    });
    batch.add(|area| {
        area[..60].fill(7);
        Some(60)
    });
    assert_eq!(FramePort::send(&mut scene.vif, 0, &mut batch, 0..2, 0), Ok(2));
    assert_eq!(scene.host.0.borrow().notified, [7, 7]);
    assert_eq!(backend.take().unwrap().bytes, std::vec![6; 9014]);
    assert_eq!(backend.take().unwrap().bytes, std::vec![7; 60]);

    backend.deliver(&[Piece { offset: 3, bytes: std::vec![8; 1000] }], 0, &[]);
    backend.show();
    batch.clear();
    FramePort::wait(&mut scene.vif, 1000).unwrap();
    assert!(scene.host.0.borrow().waits.is_empty());
    FramePort::receive(&mut scene.vif, &mut batch).unwrap();
    assert_eq!(batch.frames().collect::<Vec<_>>(), [&[8; 1000]]);
    FramePort::wait(&mut scene.vif, 1000).unwrap();
    Interface::wait_for_any(core::slice::from_mut(&mut scene.vif), 1000).unwrap();
    assert_eq!(scene.host.0.borrow().waits, [[7], [7]]);
}

#[test]
fn a_backend_that_closes_is_left_and_met_again() {
    let mut scene = Scene::connected();
    // It has a ring mapped, as long as it likes.
    let (page, offset) = scene.entry("tx-ring-ref");
    page.word64(offset).fetch_or(0x18, Ordering::Relaxed);
    scene.host.set(&std::format!("{BACK}/state"), "5");
    scene.settle();
    assert_eq!(scene.host.states(), ["5", "5"]);
    assert!(!scene.vif.is_connected() && scene.host.0.borrow().ports.is_empty());
    assert_eq!(scene.free_count(), ALL_GRANTS - 1);
    let mut batch = FrameBatch::default();
    batch.add(|_| Some(60));
    assert_eq!(FramePort::send(&mut scene.vif, 0, &mut batch, 0..1, 0), Ok(0));

    page.word64(offset).fetch_and(!0x18, Ordering::Relaxed);
    scene.settle();
    assert_eq!(scene.host.states(), ["4", "4"]);
    assert!(scene.vif.is_connected());
    assert_eq!(scene.free_count(), ALL_GRANTS - 514);
    assert_eq!(scene.vif.take_lie(), None);
}

#[test]
fn an_interface_that_is_detached_stays_closed() {
    let mut scene = Scene::connected();
    scene.host.set(&std::format!("{BACK}/online"), "0");
    scene.host.set(&std::format!("{BACK}/state"), "5");
    scene.settle();
    assert_eq!(scene.host.states(), ["6", "6"]);
    scene.host.remove(BACK);
    scene.host.remove(FRONT);
    scene.settle();
    // Nothing is written where nothing is.
    assert!(scene.host.0.borrow().nodes.is_empty());
    assert_eq!(scene.free_count(), ALL_GRANTS);
    scene.host.attach();
    scene.settle();
    assert!(scene.vif.is_connected());
}

#[test]
fn a_backend_domain_that_dies_is_replaced_by_another() {
    let mut scene = Scene::connected();
    scene.host.remove(BACK);
    scene.settle();
    assert!(!scene.vif.is_connected());
    assert_eq!(scene.free_count(), ALL_GRANTS);
    const OTHER: &str = "/local/domain/9/backend/vif/5/0";
    for (name, value) in [("feature-rx-copy", "1"), ("online", "1"), ("state", "2")] {
        scene.host.set(&std::format!("{OTHER}/{name}"), value);
    }
    scene.host.set(&std::format!("{FRONT}/backend-id"), "9");
    scene.host.set(&std::format!("{FRONT}/state"), "1");
    scene.host.set(&std::format!("{FRONT}/backend"), OTHER);
    scene.settle();
    let (page, offset) = scene.entry("tx-ring-ref");
    assert_eq!(page.read_u64(offset) >> 16 & 0xffff, 9);
    assert!(!scene.vif.is_connected());
    scene.host.set(&std::format!("{OTHER}/state"), "4");
    scene.settle();
    assert!(scene.vif.is_connected());
    // It takes no frames of several pieces.
    assert_eq!(scene.vif.mtu(), 4096 - 14);
    let watches = &scene.host.0.borrow().watches;
    let watched: Vec<_> = watches.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(watched, ["/local/domain/5/device/vif/0/backend", &std::format!("{OTHER}/state")]);
}

#[test]
fn a_backend_that_lies_is_left_until_the_interface_is_attached_anew() {
    let mut scene = Scene::connected();
    let backend = scene.backend();
    backend.receive.word32(8).store(257, Ordering::Relaxed);
    let mut batch = FrameBatch::default();
    FramePort::receive(&mut scene.vif, &mut batch).unwrap();
    assert!(batch.is_empty() && !scene.vif.is_connected());
    assert_eq!(scene.vif.take_lie(), Some(BackendLie::ResponseIndex));
    assert_eq!(scene.vif.take_lie(), None);
    scene.settle();
    assert_eq!(scene.host.states(), ["6", "6"]);
    scene.host.set(&std::format!("{BACK}/state"), "2");
    scene.settle();
    assert_eq!(
        (scene.host.states(), scene.free_count()),
        (["6", "6"].map(String::from), ALL_GRANTS)
    );
    scene.host.attach();
    scene.settle();
    assert!(scene.vif.is_connected());
}

#[test]
fn a_lie_is_also_seen_before_waiting() {
    let mut scene = Scene::connected();
    scene.backend().receive.word32(8).store(257, Ordering::Relaxed);
    FramePort::wait(&mut scene.vif, 1000).unwrap();
    assert_eq!(scene.vif.take_lie(), Some(BackendLie::ResponseIndex));
    assert_eq!(scene.host.states()[0], "5");
}

#[test]
fn what_is_missing_is_named() {
    let error = |name: &str, value: &str| {
        let mut scene = Scene::new(|host| {
            host.attach();
            host.set(&std::format!("{BACK}/state"), "2");
            host.set(name, value);
        });
        let error = scene.vif.attend().unwrap_err();
        assert_eq!(scene.free_count(), ALL_GRANTS);
        assert!(scene.host.0.borrow().ports.is_empty());
        error
    };
    let front = |name: &str| std::format!("{FRONT}/{name}");
    assert_eq!(error(&front("mac"), "x"), VifError::Node("mac"));
    assert_eq!(error(&front("mtu"), "-1"), VifError::Node("mtu"));
    assert_eq!(error(&front("backend-id"), "32752"), VifError::Node("backend-id"));
    assert_eq!(error(&std::format!("{BACK}/feature-rx-copy"), "0"), VifError::NoCopy);
    assert!(VifError::Node("mac").to_string().contains("check vif="));
}

#[test]
fn an_offer_that_fails_is_taken_back_and_made_again() {
    let mut scene = Scene::new(|host| {
        host.attach();
        host.set(&std::format!("{BACK}/state"), "2");
    });
    scene.host.0.borrow_mut().is_full = true;
    assert_eq!(scene.vif.attend(), Err(VifError::EventChannel(Errno::ENOSPC)));
    // The backend has guessed a grant's number.
    scene.memory.table[0].word64(10 * 8).fetch_or(0x8, Ordering::Relaxed);
    scene.vif.attend().unwrap();
    assert_eq!(scene.free_count(), ALL_GRANTS - 1);
    scene.memory.table[0].word64(10 * 8).fetch_and(!0x8, Ordering::Relaxed);
    scene.host.0.borrow_mut().is_full = false;

    scene.host.0.borrow_mut().is_read_only = true;
    for _ in 0..9 {
        let _ = scene.vif.attend();
    }
    assert!(!scene.vif.is_connected());
    scene.host.0.borrow_mut().is_read_only = false;
    scene.settle();
    assert!(scene.vif.is_connected());
    assert_eq!(scene.free_count(), ALL_GRANTS - 514);
}

#[test]
fn two_interfaces_may_be_more_than_the_table_has_room_for() {
    let mut scene = Scene::connected();
    let (host, pages) = (Host::default(), Memory::new().interface());
    host.0.borrow_mut().tick_us = VIF_LOOK_INTERVAL_US;
    host.attach();
    host.react();
    let mut second = Vif::new(0, pages, scene.table, host.clone(), host.clone()).unwrap();
    assert_eq!(second.attend(), Err(VifError::Grant(GrantError::Full)));
    assert_eq!(scene.free_count(), ALL_GRANTS - 514);
    scene.host.set(&std::format!("{BACK}/state"), "5");
    scene.vif.attend().unwrap();
    scene.vif.attend().unwrap();
    assert_eq!(second.attend(), Ok(()));
}

#[test]
fn a_backend_that_is_never_still_does_not_take_all_of_the_time() {
    let mut scene = Scene::connected();
    scene.host.0.borrow_mut().tick_us = VIF_LOOK_INTERVAL_US / 100;
    let before = scene.host.0.borrow().read_count;
    for _ in 0..1000 {
        scene.host.set(&std::format!("{BACK}/state"), "4");
        scene.vif.attend().unwrap();
    }
    // Ten looks, of two nodes each.
    let read_count = scene.host.0.borrow().read_count - before;
    assert!((18..=22).contains(&read_count), "{read_count}");
}

#[test]
fn a_silent_store_is_asked_again() {
    let mut scene = Scene::new(Host::attach);
    scene.host.0.borrow_mut().is_silent = true;
    assert_eq!(scene.vif.attend(), Err(VifError::Store(XenstoreError::Silent)));
    scene.host.0.borrow_mut().is_silent = false;
    scene.settle();
    assert!(scene.vif.is_connected());
}

#[test]
fn an_interface_left_by_an_earlier_life_is_closed_first() {
    let mut scene = Scene::new(|host| {
        host.attach();
        host.set(&std::format!("{FRONT}/state"), "4");
        host.set(&std::format!("{BACK}/state"), "4");
    });
    scene.settle();
    assert!(scene.vif.is_connected());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_stands_in_xenstore_nothing_is_leaked(
        turns in proptest::collection::vec(
            (0usize..12, prop_oneof!["[0-9]", "[0-9]{1,6}", "\\PC{0,200}"], any::<bool>()), 1..60,
        ),
    ) {
        let mut scene = Scene::new(Host::attach);
        for (which, value, is_reacting) in turns {
            match which {
                0 => scene.host.remove(BACK),
                1 => scene.host.attach(),
                2 => scene.host.set(&std::format!("{FRONT}/state"), &value),
                3 => scene.host.set(&std::format!("{FRONT}/backend-id"), &value),
                4 => scene.host.set(&std::format!("{FRONT}/backend"), &value),
                5 => scene.host.set(&std::format!("{BACK}/feature-sg"), &value),
                6 => scene.host.set(&std::format!("{BACK}/feature-rx-copy"), &value),
                7 => scene.host.set(&std::format!("{BACK}/online"), &value),
                _ => scene.host.set(&std::format!("{BACK}/state"), &value),
            }
            let _ = scene.vif.attend();
            if is_reacting {
                scene.host.react();
                let _ = scene.vif.attend();
            }
            let port_count = scene.host.0.borrow().ports.len();
            // What is being withdrawn is no offer any more, and still granted.
            let granted = ALL_GRANTS - scene.free_count();
            prop_assert!(granted == 514 || (granted, port_count) == (0, 0));
            prop_assert!(port_count <= 1 && port_count >= usize::from(scene.vif.is_connected()));
            prop_assert!(scene.host.0.borrow().watches.len() <= 2);
        }
        // The toolstack sets it right again.
        scene.host.remove(BACK);
        scene.host.remove(FRONT);
        let _ = scene.vif.attend();
        scene.settle();
        scene.host.attach();
        scene.settle();
        prop_assert!(scene.vif.is_connected());
    }
}

#[test]
fn the_model_s_backend_is_the_one_of_the_store() {
    assert!(BACK.starts_with(&std::format!("/local/domain/{BACKEND}/")));
}
