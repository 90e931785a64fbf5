//! Page traces: which pages of a guest changed from one point in time to the next, and to what.
//!
//! A trace begins with the guest's non-zero pages (epoch 0, the image); each later epoch holds the
//! pages that differ from the epoch before. Little endian:
//!
//! | bytes | what |
//! |------:|------|
//! |     8 | `PLXTRC01` |
//! |     8 | gfns of the guest |
//! |     8 | epochs in the file, the image among them |
//! |     8 | length of an epoch, in microseconds |
//!
//! then for each epoch 8 bytes, its page count, and for each page 8 bytes gfn and 4096 bytes. The
//! epoch count is written last, so a recorder that is stopped leaves whole epochs.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use pollux::limits::PAGE_SIZE;

/// The first bytes of a trace.
pub const MAGIC: [u8; 8] = *b"PLXTRC01";

const HEADER_BYTES: usize = 32;
const EPOCH_COUNT_OFFSET: u64 = 16;
/// Pages that are read at once.
const CHUNK_PAGE_COUNT: usize = 256;

/// What one more epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number of the epoch; 0 is the image.
    pub epoch: u64,
    /// Pages that it holds.
    pub page_count: u64,
}

/// Adds to `trace` the pages of `memory` that differ from `previous`, and brings `previous` up to
/// date. An absent `trace` is begun, with `interval_us` in its header and an image as its epoch 0.
///
/// `memory` must not change meanwhile. `previous` is this function's own file.
///
/// # Errors
/// Those of the three files; a trace that is none, or of another guest's size.
pub fn record(
    memory: &Path,
    previous: &Path,
    trace: &Path,
    interval_us: u64,
) -> io::Result<Recorded> {
    let mut memory = File::open(memory)?;
    let memory_bytes = memory.metadata()?.len();
    let gfn_count = memory_bytes / PAGE_SIZE as u64;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut trace = options.open(trace)?;
    let is_new = trace.metadata()?.len() == 0;
    let epoch = if is_new {
        begin(&mut trace, gfn_count, interval_us)?;
        0
    } else {
        epoch_count(&mut trace, gfn_count)?
    };
    let previous = options.truncate(is_new).open(previous)?;
    previous.set_len(memory_bytes)?;
    let end = trace.seek(SeekFrom::End(0))?;
    let mut output = BufWriter::with_capacity(1 << 20, &trace);
    output.write_all(&0_u64.to_le_bytes())?;
    let page_count = write_changes(&mut memory, &previous, &mut output)?;
    output.flush()?;
    drop(output);
    trace.write_all_at(&page_count.to_le_bytes(), end)?;
    trace.write_all_at(&(epoch + 1).to_le_bytes(), EPOCH_COUNT_OFFSET)?;
    Ok(Recorded { epoch, page_count })
}

fn begin(trace: &mut File, gfn_count: u64, interval_us: u64) -> io::Result<()> {
    trace.write_all(&MAGIC)?;
    for number in [gfn_count, 0, interval_us] {
        trace.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

/// Checks the header and tells how many epochs the trace holds.
fn epoch_count(trace: &mut File, gfn_count: u64) -> io::Result<u64> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut header = [0; HEADER_BYTES];
    trace.read_exact(&mut header)?;
    let number = |offset: usize| {
        u64::from_le_bytes(header[offset..offset + 8].try_into().expect("eight bytes"))
    };
    if header[..8] != MAGIC {
        return Err(invalid("this is no page trace: name another file"));
    }
    if number(8) != gfn_count {
        return Err(invalid("the trace is of a guest of another size: name another file"));
    }
    Ok(number(16))
}

/// Compares page by page; a page that `previous` never held is a zero page there.
fn write_changes(memory: &mut File, previous: &File, output: &mut impl Write) -> io::Result<u64> {
    let mut current = vec![0; CHUNK_PAGE_COUNT * PAGE_SIZE];
    let mut before = current.clone();
    let mut page_count = 0;
    let mut offset = 0;
    loop {
        let length = read_up_to(memory, &mut current)?;
        if length == 0 {
            return Ok(page_count);
        }
        previous.read_exact_at(&mut before[..length], offset)?;
        let pages = current[..length].chunks_exact(PAGE_SIZE);
        for (page, old) in pages.zip(before.chunks_exact(PAGE_SIZE)) {
            if page != old {
                output.write_all(&(offset / PAGE_SIZE as u64).to_le_bytes())?;
                output.write_all(page)?;
                previous.write_all_at(page, offset)?;
                page_count += 1;
            }
            offset += PAGE_SIZE as u64;
        }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, MAGIC, Recorded, record};
    use pollux::limits::PAGE_SIZE;
    use std::fs;
    use std::path::PathBuf;

    /// A folder of one test's own, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("trace-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn record(&self, memory: &[u8]) -> std::io::Result<Recorded> {
            let file = |name| self.0.join(name);
            fs::write(file("memory"), memory).unwrap();
            record(&file("memory"), &file("previous"), &file("trace"), 25_000)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_image_holds_what_is_not_zero_and_an_epoch_what_changed() {
        let scratch = Scratch::new("changes");
        let mut memory = vec![0; 600 * PAGE_SIZE];
        memory[3 * PAGE_SIZE + 1] = 1;
        memory[599 * PAGE_SIZE] = 2;
        assert_eq!(scratch.record(&memory).unwrap(), Recorded { epoch: 0, page_count: 2 });
        assert_eq!(scratch.record(&memory).unwrap(), Recorded { epoch: 1, page_count: 0 });
        memory[599 * PAGE_SIZE] = 0;
        assert_eq!(scratch.record(&memory).unwrap(), Recorded { epoch: 2, page_count: 1 });

        let trace = fs::read(scratch.0.join("trace")).unwrap();
        let numbers: Vec<u64> = trace[8..32]
            .chunks_exact(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_eq!(trace[..8], MAGIC);
        assert_eq!(numbers, [600, 3, 25_000]);
        let page_bytes = 8 + PAGE_SIZE;
        assert_eq!(trace.len(), HEADER_BYTES + 3 * 8 + 3 * page_bytes);
        let last = &trace[trace.len() - page_bytes..];
        assert_eq!(last[..8], 599_u64.to_le_bytes());
        assert!(last[8..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn another_guests_trace_is_left_alone() {
        let scratch = Scratch::new("other");
        scratch.record(&vec![1; 2 * PAGE_SIZE]).unwrap();
        let before = fs::read(scratch.0.join("trace")).unwrap();
        assert!(scratch.record(&vec![2; 3 * PAGE_SIZE]).is_err());
        assert_eq!(fs::read(scratch.0.join("trace")).unwrap(), before);
    }
}
