//! Runs commands and moves files in a lab host, over TCP on the management network.
//!
//! One connection is one request: a header line, then its body. The answer is a row of frames of one type
//! byte, a little-endian u32 length and that many bytes. Whoever reaches the port is root here; it listens
//! only inside the lab's own network namespace, which no one else can reach.
//!
//! Requests: `exec LENGTH\n` + script, `push MODE LENGTH PATH\n` + content, `pull PATH\n`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const FRAME_STDOUT: u8 = 1;
const FRAME_STDERR: u8 = 2;
const FRAME_EXIT: u8 = 3;
const FRAME_DATA: u8 = 4;
const FRAME_ERROR: u8 = 5;

/// A push or a script larger than this is a mistake of the caller.
const BODY_BYTES_MAX: usize = 256 << 20;
/// The answering half of a connection: stdout and stderr take turns, a frame at a time.
type Caller = Arc<Mutex<TcpStream>>;

const CHUNK_BYTES: usize = 64 << 10;
/// How long output is awaited after the command ended: a daemon it started may hold the pipe for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:7100".to_owned());
    let listener = TcpListener::bind(&address)?;
    for stream in listener.incoming() {
        let stream = stream?;
        let caller = Arc::new(Mutex::new(stream.try_clone()?));
        thread::spawn(move || {
            if let Err(error) = serve(&stream, &caller) {
                // The connection is the only place to report to; it may be the thing that broke.
                let _ = send_frame(&caller, FRAME_ERROR, error.to_string().as_bytes());
            }
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, caller: &Caller) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    reader.read_line(&mut header)?;
    let header = header.trim_end_matches('\n');
    let (verb, rest) = header.split_once(' ').ok_or_else(|| invalid("a header without a verb"))?;
    match verb {
        "exec" => {
            let script = read_body(&mut reader, rest)?;
            execute(stream, caller, &script)
        }
        "push" => push(caller, &mut reader, rest),
        "pull" => pull(caller, rest),
        _ => Err(invalid("the verb is not exec, push or pull")),
    }
}

fn read_body(reader: &mut impl Read, length: &str) -> io::Result<Vec<u8>> {
    let length: usize = length.parse().map_err(|_| invalid("the length is not a number"))?;
    if length > BODY_BYTES_MAX {
        return Err(invalid("the body is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn push(caller: &Caller, reader: &mut impl Read, arguments: &str) -> io::Result<()> {
    let mut words = arguments.splitn(3, ' ');
    let (Some(mode), Some(length), Some(path)) = (words.next(), words.next(), words.next()) else {
        return Err(invalid("push wants MODE LENGTH PATH"));
    };
    let mode = u32::from_str_radix(mode, 8).map_err(|_| invalid("the mode is not octal"))?;
    let content = read_body(reader, length)?;
    if let Some(parent) = std::path::Path::new(path).parent() {
        fs::create_dir_all(parent)?;
    }
    // Written aside and renamed, so that a program that is running can be replaced.
    let aside = format!("{path}.pushed");
    fs::write(&aside, content)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(mode))?;
    fs::rename(&aside, path)?;
    send_frame(caller, FRAME_EXIT, &0_i32.to_le_bytes())
}

fn pull(caller: &Caller, path: &str) -> io::Result<()> {
    let mut file = fs::File::open(path)?;
    forward(caller, &mut file, FRAME_DATA)?;
    send_frame(caller, FRAME_EXIT, &0_i32.to_le_bytes())
}

/// Runs the script and streams its output as it comes; ends the whole process group when the caller leaves.
fn execute(stream: &TcpStream, caller: &Caller, script: &[u8]) -> io::Result<()> {
    let script = std::str::from_utf8(script).map_err(|_| invalid("the script is not UTF-8"))?;
    let mut child = Command::new("/bin/bash")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = child.id();
    let (done, finished) = mpsc::channel();
    let mut pipes = 0;
    if let Some(pipe) = child.stdout.take() {
        forward_in_background(Arc::clone(caller), pipe, FRAME_STDOUT, done.clone());
        pipes += 1;
    }
    if let Some(pipe) = child.stderr.take() {
        forward_in_background(Arc::clone(caller), pipe, FRAME_STDERR, done);
        pipes += 1;
    }
    let watched = stream.try_clone()?;
    thread::spawn(move || end_group_when_caller_leaves(&watched, group));
    let status = child.wait()?;
    for _ in 0..pipes {
        if finished.recv_timeout(OUTPUT_GRACE).is_err() {
            break;
        }
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    send_frame(caller, FRAME_EXIT, &code.to_le_bytes())
}

fn forward_in_background<R>(caller: Caller, mut pipe: R, kind: u8, done: Sender<()>)
where
    R: Read + Send + 'static,
{
    thread::spawn(move || {
        // A caller that left is noticed elsewhere; what cannot be sent is dropped.
        let _ = forward(&caller, &mut pipe, kind);
        let _ = done.send(());
    });
}

fn forward(caller: &Caller, source: &mut impl Read, kind: u8) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = source.read(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        send_frame(caller, kind, &chunk[..length])?;
    }
}

/// Waits for the caller's end of file. After the answer the socket is shut down here, which looks the
/// same; the group is then empty, or holds only daemons that were meant to stay, so it is asked first.
fn end_group_when_caller_leaves(mut stream: &TcpStream, group: u32) {
    let mut byte = [0];
    let left = !matches!(stream.read(&mut byte), Ok(length) if length > 0);
    if left && fs::metadata(format!("/proc/{group}")).is_ok() {
        let _ = Command::new("/bin/kill").args(["-9", &format!("-{group}")]).status();
    }
}

fn send_frame(caller: &Caller, kind: u8, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(|_| invalid("a frame over 4 GiB"))?;
    let mut frame = Vec::with_capacity(5 + data.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(data);
    caller.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
