//! The client on the lab's network: verifies the guest's stream, or floods the guest's sinks.
//!
//! `lab-client stream ADDRESS [RATE SIZE]` connects once and never again, prints a line of progress every
//! 200 ms and every stall, and gives its verdict when its stdin ends or the connection does.
//! `lab-client flood tcp|udp ADDRESS` sends until its stdin ends: over TCP as fast as it goes, over UDP more
//! than an emulated guest can take.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use guest_programs::stream::{KIND_RECEIPT, Reader, StreamError, Writer};

const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// The client's own messages: 20 a second, so that both directions are always in use.
const SEND_INTERVAL: Duration = Duration::from_millis(50);
const SEND_PAYLOAD_BYTES: usize = 200;
/// Shorter silences are the ordinary rhythm of the stream and of the emulator.
const STALL_MIN: Duration = Duration::from_millis(100);

/// Three times what an emulated host takes while it protects. More would be dropped before it, and would take
/// the cores that emulate the hosts.
const FLOOD_DATAGRAMS_PER_SECOND: u128 = 6_000;
const FLOOD_REST: Duration = Duration::from_millis(2);

/// What the threads of the stream client share.
struct Stream {
    started: Instant,
    messages: AtomicU64,
    bytes: AtomicU64,
    sent: AtomicU64,
    receipted: AtomicU64,
    last_us: AtomicU64,
    longest_us: AtomicU64,
    ended: AtomicBool,
    failure: Mutex<Option<StreamError>>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["stream", address] => stream(address, "50", "400"),
        ["stream", address, rate, size] => stream(address, rate, size),
        ["flood", "tcp", address] => flood_tcp(address),
        ["flood", "udp", address] => flood_udp(address),
        _ => {
            eprintln!("lab-client stream ADDRESS [RATE SIZE] | flood tcp|udp ADDRESS");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        println!("verdict unconnected error={error:?}");
        ExitCode::FAILURE
    })
}

fn stream(address: &str, rate: &str, size: &str) -> io::Result<ExitCode> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    connection.write_all(format!("{rate} {size}\n").as_bytes())?;
    let state = Arc::new(Stream {
        started: Instant::now(),
        messages: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        receipted: AtomicU64::new(0),
        last_us: AtomicU64::new(0),
        longest_us: AtomicU64::new(0),
        ended: AtomicBool::new(false),
        failure: Mutex::new(None),
    });
    println!("connected local={}", connection.local_addr()?);
    let (receiving, receiver) = (connection.try_clone()?, Arc::clone(&state));
    thread::spawn(move || {
        let failure = receiver.receive(receiving);
        *receiver.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        receiver.ended.store(true, Ordering::Release);
    });
    let sender = Arc::clone(&state);
    thread::spawn(move || sender.send(connection));
    let stdin_ended = watch_stdin();
    while !stdin_ended.load(Ordering::Acquire) && !state.ended.load(Ordering::Acquire) {
        thread::sleep(REPORT_INTERVAL);
        println!("progress {}", state.describe());
    }
    Ok(state.verdict())
}

impl Stream {
    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Verifies until something is wrong; the end of the connection counts as that, since only this side ends it.
    fn receive(&self, connection: TcpStream) -> StreamError {
        let mut reader = Reader::default();
        let mut input = BufReader::with_capacity(256 << 10, connection);
        loop {
            let message = match reader.receive(&mut input) {
                Ok(message) => message,
                Err(error) => return error,
            };
            let now = self.now_us();
            let silence = now - self.last_us.swap(now, Ordering::AcqRel);
            self.longest_us.fetch_max(silence, Ordering::AcqRel);
            if Duration::from_micros(silence) > STALL_MIN {
                println!("stall end_ms={} length_ms={}", now / 1000, silence / 1000);
            }
            self.bytes.fetch_add(message.length as u64, Ordering::AcqRel);
            self.messages.store(reader.verified(), Ordering::Release);
            if message.kind == KIND_RECEIPT {
                let (sent, before) =
                    (self.sent.load(Ordering::Acquire), self.receipted.load(Ordering::Acquire));
                if message.number < before || message.number > sent {
                    return StreamError::Sequence { expected: before, received: message.number };
                }
                self.receipted.store(message.number, Ordering::Release);
            }
        }
    }

    fn send(&self, mut connection: TcpStream) {
        let mut writer = Writer::default();
        for count in 1.. {
            // Counted first: the receipt may be back before this thread runs again.
            self.sent.store(count, Ordering::Release);
            // A broken connection is the receiver's to report.
            if writer.send_data(&mut connection, SEND_PAYLOAD_BYTES).is_err() {
                return;
            }
            thread::sleep(SEND_INTERVAL);
        }
    }

    fn describe(&self) -> String {
        let load = |value: &AtomicU64| value.load(Ordering::Acquire);
        let now = self.now_us();
        let current = now.saturating_sub(load(&self.last_us));
        format!(
            "at_ms={} messages={} bytes={} sent={} receipted={} stall_ms={} longest_stall_ms={}",
            now / 1000,
            load(&self.messages),
            load(&self.bytes),
            load(&self.sent),
            load(&self.receipted),
            current / 1000,
            load(&self.longest_us).max(current) / 1000
        )
    }

    fn verdict(&self) -> ExitCode {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, why) = match failure.as_ref() {
            None => ("whole", String::new()),
            Some(error @ StreamError::Connection(_)) => ("reset", error.to_string()),
            Some(error) => ("damaged", error.to_string()),
        };
        println!("verdict {word} {} why={why:?}", self.describe());
        if word == "whole" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Becomes true at the end of stdin, which is how the lab ends this program.
fn watch_stdin() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&ended);
    thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = io::stdin().read_to_end(&mut rest);
        set.store(true, Ordering::Release);
    });
    ended
}

fn flood_tcp(address: &str) -> io::Result<ExitCode> {
    let mut connection = TcpStream::connect(address)?;
    println!("connected local={}", connection.local_addr()?);
    let stdin_ended = watch_stdin();
    let block = vec![0x5a; 64 << 10];
    let mut bytes = 0;
    while !stdin_ended.load(Ordering::Acquire) {
        connection.write_all(&block)?;
        bytes += block.len();
    }
    println!("verdict flooded bytes={bytes}");
    Ok(ExitCode::SUCCESS)
}

fn flood_udp(address: &str) -> io::Result<ExitCode> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    println!("connected local={}", socket.local_addr()?);
    let stdin_ended = watch_stdin();
    let block = [0x5a; 1400];
    let (started, mut datagrams, mut bytes) = (Instant::now(), 0, 0);
    while !stdin_ended.load(Ordering::Acquire) {
        let due = started.elapsed().as_millis() * FLOOD_DATAGRAMS_PER_SECOND / 1000;
        while datagrams < due {
            datagrams += 1;
            // A full queue, or a guest that is not there yet, loses this one; the flood goes on.
            bytes += socket.send(&block).unwrap_or(0);
        }
        thread::sleep(FLOOD_REST);
    }
    println!("verdict flooded bytes={bytes}");
    Ok(ExitCode::SUCCESS)
}
