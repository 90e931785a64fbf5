//! The link over real packet sockets: two hosts in network namespaces of their own, and between
//! them a relay that drops, duplicates, reorders and corrupts frames. Needs root.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pollux::link::receive::Receive;
use pollux::link::ship::Ship;
use pollux::link::{Ending, Host, LinkEvent, LinkOptions};
use pollux::platform::linux::packet_socket::PacketSocket;
use pollux::ring::{Consumer, GoodbyeReason, LinkCounters, Producer, Ring};
use pollux::wire::EthernetAddress;
use support::halves::{Capture, Commit};
use support::relay::{Relay, RelayDone, RelayFaults};
use support::veth::Hosts;
use support::world::{BACKUP, PRIMARY, encoder, options};

/// A stuck test ends after this; nothing else depends on the time.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longer than a busy machine lets a thread wait.
const TIMEOUT_MS: u32 = 10_000;

/// The machine that the test runs on.
struct TestHost {
    start: Instant,
    other_half: Arc<AtomicBool>,
    events: Vec<LinkEvent>,
}

impl TestHost {
    fn new(other_half: Arc<AtomicBool>) -> Self {
        Self { start: Instant::now(), other_half, events: Vec::new() }
    }
}

impl Host for TestHost {
    fn now_us(&mut self) -> u64 {
        1 + u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    fn yield_core(&mut self) {
        thread::yield_now();
    }

    fn is_other_half_alive(&mut self) -> bool {
        self.other_half.load(Ordering::Relaxed)
    }

    fn report(&mut self, event: LinkEvent) {
        self.events.push(event);
    }
}

fn link_options(side: usize, socket: &PacketSocket, peer: EthernetAddress) -> LinkOptions {
    LinkOptions {
        own_address: EthernetAddress(socket.mac()),
        peer_address: peer,
        timeout_ms: TIMEOUT_MS,
        ..options(side, usize::from(socket.mtu()), u64::from(std::process::id()))
    }
}

/// What a test's link came to.
struct Outcome {
    counters: [LinkCounters; 2],
    events: [Vec<LinkEvent>; 2],
    endings: [Ending; 2],
    relay: RelayDone,
}

/// The two network processes and the relay, each a thread in its namespace.
struct Link {
    ship: JoinHandle<(Ending, LinkCounters, Vec<LinkEvent>)>,
    receive: JoinHandle<(Ending, LinkCounters, Vec<LinkEvent>)>,
    relay: JoinHandle<RelayDone>,
    stop_relay: Arc<AtomicBool>,
    other_halves: [Arc<AtomicBool>; 2],
}

/// Opens a socket in a namespace without moving this thread there.
fn open(hosts: &Hosts, role: &str, interface: &str) -> PacketSocket {
    thread::scope(|scope| scope.spawn(|| hosts.open(role, interface)).join().unwrap())
}

impl Link {
    fn start(hosts: &Hosts, faults: RelayFaults, rings: (Consumer, Producer)) -> Self {
        let sockets = [open(hosts, "primary", "link0"), open(hosts, "backup", "link0")];
        let middle = [open(hosts, "relay", "primary"), open(hosts, "relay", "backup")];
        let macs = sockets.each_ref().map(|socket| EthernetAddress(socket.mac()));
        let [mut primary_socket, mut backup_socket] = sockets;
        let stop_relay = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stop_relay);
        let relay = thread::spawn(move || Relay::new(middle, faults).run(&stop));
        let other_halves = [(); 2].map(|()| Arc::new(AtomicBool::new(true)));
        let [capture_alive, commit_alive] = other_halves.clone();
        let (mut ship_ring, mut receive_ring) = rings;
        let primary_options = link_options(PRIMARY, &primary_socket, macs[BACKUP]);
        let ship = thread::spawn(move || {
            let mut host = TestHost::new(capture_alive);
            let mut ship = Box::new(Ship::new(primary_options, encoder(0), host.now_us()));
            let ending = ship.run(&mut primary_socket, &mut ship_ring, &mut host, false).unwrap();
            (ending, ship_ring.control().counters(), host.events)
        });
        let backup_options = link_options(BACKUP, &backup_socket, macs[PRIMARY]);
        let receive = thread::spawn(move || {
            let mut host = TestHost::new(commit_alive);
            let mut receive = Box::new(Receive::new(backup_options, host.now_us()));
            let ending =
                receive.run(&mut backup_socket, &mut receive_ring, &mut host, false).unwrap();
            (ending, receive_ring.control().counters(), host.events)
        });
        Self { ship, receive, relay, stop_relay, other_halves }
    }

    fn finish(self) -> Outcome {
        let (ship_ending, ship_counters, ship_events) = self.ship.join().unwrap();
        let (receive_ending, receive_counters, receive_events) = self.receive.join().unwrap();
        self.stop_relay.store(true, Ordering::Relaxed);
        Outcome {
            counters: [ship_counters, receive_counters],
            events: [ship_events, receive_events],
            endings: [ship_ending, receive_ending],
            relay: self.relay.join().unwrap(),
        }
    }
}

/// Steps both domain halves until `done`.
fn drive(capture: &mut Capture, commit: &mut Commit, done: impl Fn(&Capture, &Commit) -> bool) {
    let start = Instant::now();
    while !done(capture, commit) {
        assert!(start.elapsed() < PATIENCE, "stuck: {capture:?} {commit:?}");
        capture.step(256);
        commit.step(256);
        thread::sleep(Duration::from_micros(200));
    }
}

/// Protects over a relay with such faults until so many epochs are acknowledged, and ends it.
fn protect(mtu: usize, epochs: u64, faults: RelayFaults) -> Option<Outcome> {
    let hosts = Hosts::new(mtu)?;
    let (producer, ship_ring) = Ring::create(512).unwrap().into_both().unwrap();
    let (receive_ring, consumer) = Ring::create(1024).unwrap().into_both().unwrap();
    let mut capture = Capture::new(producer, 1, 200);
    let mut commit = Commit::new(consumer, 1, 200, 1024);
    let link = Link::start(&hosts, faults, (ship_ring, receive_ring));
    drive(&mut capture, &mut commit, |capture, _| capture.acked_epoch >= epochs);
    capture.ring.control().set_stop(GoodbyeReason::DomainShutDown);
    drive(&mut capture, &mut commit, |_, commit| !commit.losses.is_empty());
    assert_eq!(commit.losses[0].0, Some(GoodbyeReason::DomainShutDown));
    assert!(commit.losses[0].1 >= epochs && commit.epochs >= epochs);
    // The backup answers goodbyes as long as it runs.
    drive(&mut capture, &mut commit, |_, _| link.ship.is_finished());
    commit.ring.control().set_stop(GoodbyeReason::Ended);
    let outcome = link.finish();
    assert_eq!(outcome.endings, [Ending::Asked; 2]);
    assert_eq!(outcome.counters.map(|it| it.sessions), [1; 2]);
    Some(outcome)
}

#[test]
fn epochs_cross_a_clean_relay_with_both_frame_sizes() {
    for mtu in [1500, 9000] {
        let Some(outcome) = protect(mtu, 10, RelayFaults::default()) else { return };
        assert!(outcome.events[PRIMARY].contains(&LinkEvent::Up { frame_size: mtu }));
        assert!(outcome.events[BACKUP].contains(&LinkEvent::Up { frame_size: mtu }));
        let [_, backup] = outcome.counters;
        assert_eq!((backup.frames_unauthentic, backup.frames_malformed), (0, 0));
    }
}

#[test]
fn epochs_cross_a_bad_relay_with_both_frame_sizes() {
    let faults = RelayFaults { loss: 50, duplication: 50, reordering: 100, corruption: 50 };
    for mtu in [1500, 9000] {
        let Some(outcome) = protect(mtu, 10, faults) else { return };
        let RelayDone { lost, duplicated, reordered, corrupted, .. } = outcome.relay;
        assert!(lost > 5 && duplicated > 5 && reordered > 5 && corrupted > 5);
        let [primary, backup] = outcome.counters;
        assert!(primary.frames_retransmitted > 5);
        assert!(backup.frames_unauthentic > 0 && backup.frames_replayed > 0, "{backup:?}");
        assert!(
            primary.frames_unauthentic + backup.frames_unauthentic <= corrupted,
            "what nobody touched is authentic"
        );
    }
}

#[test]
fn the_death_of_capture_is_silence_to_the_backup() {
    let Some(hosts) = Hosts::new(9000) else { return };
    let (producer, ship_ring) = Ring::create(512).unwrap().into_both().unwrap();
    let (receive_ring, consumer) = Ring::create(1024).unwrap().into_both().unwrap();
    let mut capture = Capture::new(producer, 2, 50);
    let mut commit = Commit::new(consumer, 2, 50, 1024);
    let link = Link::start(&hosts, RelayFaults::default(), (ship_ring, receive_ring));
    drive(&mut capture, &mut commit, |capture, _| capture.acked_epoch >= 2);
    link.other_halves[PRIMARY].store(false, Ordering::Relaxed);
    drive(&mut capture, &mut commit, |_, commit| !commit.losses.is_empty());
    assert_eq!(
        commit.losses[0].0, None,
        "nobody lets the guest's output go: the backup is to take over"
    );
    link.other_halves[BACKUP].store(false, Ordering::Relaxed);
    let outcome = link.finish();
    assert_eq!(outcome.endings, [Ending::OtherHalfGone; 2]);
}
