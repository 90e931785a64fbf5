//! What runs in a guest: the stream server, the memory dirtier, the gap meter and the sinks.
//!
//! All state is in this process's memory, so that a guest that was brought back on another host either goes
//! on where its clients were, or is found out by them.
//! Ports: 7000 control (lines of text), 7001 stream, 7002 TCP sink, 7003 UDP sink.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guest_programs::dirtier::{Dirtier, Inspection, POOL_PAGES_MAX};
use guest_programs::gaps::Report;
use guest_programs::stream::{PAYLOAD_BYTES_MAX, Reader, Writer};

const SINK_BUFFER_BYTES: usize = 64 << 10;

/// What the whole program shares.
struct Guest {
    dirtier: Arc<Dirtier>,
    sunk_bytes: AtomicU64,
    started: Instant,
}

fn main() -> io::Result<()> {
    let guest = Arc::new(Guest {
        dirtier: Dirtier::start(),
        sunk_bytes: AtomicU64::new(0),
        started: Instant::now(),
    });
    let control = Arc::clone(&guest);
    listen(7000, move |stream| serve_control(&control, stream))?;
    listen(7001, |stream| serve_stream(&stream))?;
    let sink = Arc::clone(&guest);
    listen(7002, move |stream| drain_stream(&sink, stream))?;
    println!("guest-load: ready");
    drain_datagrams(&guest)
}

/// Accepts connections for ever, a thread for each.
fn listen<F>(port: u16, serve: F) -> io::Result<()>
where
    F: Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                if let Err(error) = serve(stream) {
                    println!("guest-load: port {port}: {error}");
                }
            });
        }
    });
    Ok(())
}

/// One command per line; each answer ends with a line that holds only a dot.
fn serve_control(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream.try_clone()?).lines() {
        let mut answer = answer(guest, &line?);
        answer.push_str(".\n");
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn answer(guest: &Guest, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    match (words.first().copied(), words.get(1).copied()) {
        (Some("info"), _) => info(guest),
        (Some("dirty"), _) => match (number(1), number(2)) {
            (Some(pages), Some(interval_ms)) => {
                guest.dirtier.set(pages, interval_ms, number(3).unwrap_or(POOL_PAGES_MAX));
                "ok\n".to_owned()
            }
            _ => "error: dirty PAGES INTERVAL_MS [POOL_PAGES]\n".to_owned(),
        },
        (Some("inspect"), _) => match guest.dirtier.inspect() {
            Some(Inspection { written, wrong }) => format!("written={written} wrong={wrong}\n"),
            None => "error: the dirtier has ended\n".to_owned(),
        },
        (Some("gaps"), Some("start")) => {
            guest.dirtier.start_meter(number(2).unwrap_or(2000));
            "ok\n".to_owned()
        }
        (Some("gaps"), Some("stop")) => {
            let report = guest.dirtier.stop_meter();
            report.map_or("error: no measurement\n".to_owned(), |report| describe(&report))
        }
        _ => "error: info | dirty PAGES INTERVAL_MS [POOL_PAGES] | inspect | gaps start [THRESHOLD_US] | \
              gaps stop\n"
            .to_owned(),
    }
}

fn info(guest: &Guest) -> String {
    let (pages, interval_ms, rounds) = guest.dirtier.state();
    format!(
        "up_ms={} dirty_pages={pages} dirty_interval_ms={interval_ms} dirty_rounds={rounds} sunk_bytes={}\n",
        guest.started.elapsed().as_millis(),
        guest.sunk_bytes.load(Ordering::Relaxed)
    )
}

fn describe(report: &Report) -> String {
    let Report { elapsed_us, page_count, count, .. } = report;
    let mut text = format!("elapsed_us={elapsed_us} pages={page_count} count={count}\n");
    for hole in &report.holes {
        text.push_str(&format!("{} {}\n", hole.at_us, hole.length_us));
    }
    text
}

/// Sends numbered messages at the client's chosen rate, and receipts for what the client sends.
///
/// The client's first line says `RATE SIZE`: messages a second (0: as fast as it goes) and payload bytes.
fn serve_stream(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    reader.read_line(&mut greeting)?;
    let mut numbers = greeting.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(rate)), Some(Ok(size))) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other("the first line is not RATE SIZE"));
    };
    let size = usize::try_from(size).map_err(io::Error::other)?.min(PAYLOAD_BYTES_MAX);
    let verified = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let (verified_seen, ended_seen) = (Arc::clone(&verified), Arc::clone(&ended));
    let receiving = stream.try_clone()?;
    thread::spawn(move || {
        let mut messages = Reader::default();
        while messages.receive(&mut reader).is_ok() {
            verified.store(messages.verified(), Ordering::Release);
        }
        // Damage and end of file look the same to the client: the connection closes.
        ended.store(true, Ordering::Release);
        let _ = receiving.shutdown(Shutdown::Both);
    });
    send_messages(stream, rate, size, &verified_seen, &ended_seen)
}

fn send_messages(
    mut stream: &TcpStream,
    rate: u64,
    size: usize,
    verified: &AtomicU64,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut writer = Writer::default();
    let interval = Duration::from_micros(1_000_000_u64.checked_div(rate).unwrap_or(0));
    let mut due = Instant::now();
    let mut receipted = 0;
    while !ended.load(Ordering::Acquire) {
        writer.send_data(&mut stream, size)?;
        let count = verified.load(Ordering::Acquire);
        if count != receipted {
            writer.send_receipt(&mut stream, count)?;
            receipted = count;
        }
        due += interval;
        match due.checked_duration_since(Instant::now()) {
            Some(rest) => thread::sleep(rest),
            None => due = Instant::now(),
        }
    }
    Ok(())
}

fn drain_stream(guest: &Guest, mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; SINK_BUFFER_BYTES];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        guest.sunk_bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}

fn drain_datagrams(guest: &Guest) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 7003))?;
    let mut buffer = vec![0; SINK_BUFFER_BYTES];
    loop {
        let length = socket.recv(&mut buffer)?;
        guest.sunk_bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}
