//! The records that Xen's migration stream (version 3) carries pages in, written as libxc does.
//!
//! Field sizes and types are those of Xen's `docs/specs/libxc-migration-stream`. A PAGE_DATA record
//! is one `writev` of its header, its page numbers and the pages where they lie, so that nothing
//! is copied but by the kernel.

use std::io::{self, IoSlice, Write};

use pollux::limits::PAGE_SIZE;

/// Pages in a PAGE_DATA record at most: libxc's MAX_BATCH_SIZE.
pub const BATCH_PAGE_COUNT_MAX: usize = 1024;

const RECORD_PAGE_DATA: u32 = 0x0000_0001;
const RECORD_CHECKPOINT: u32 = 0x0000_000e;
/// Record type and length, then count and a reserved word.
const PAGE_DATA_HEADER_BYTES: usize = 16;

/// Writes one batch: `gfns` and the pages that belong to them, at most [`BATCH_PAGE_COUNT_MAX`].
///
/// # Errors
/// Those of the stream.
///
/// # Panics
/// When there is not a page for each gfn.
pub fn write_pages(
    stream: &mut impl Write,
    gfns: &[u64],
    pages: &[&[u8; PAGE_SIZE]],
) -> io::Result<()> {
    assert_eq!(gfns.len(), pages.len(), "each gfn has its page");
    let numbers: Vec<u8> = gfns.iter().flat_map(|gfn| gfn.to_le_bytes()).collect();
    let body_bytes = PAGE_DATA_HEADER_BYTES - 8 + numbers.len() + pages.len() * PAGE_SIZE;
    let mut header = [0; PAGE_DATA_HEADER_BYTES];
    header[..4].copy_from_slice(&RECORD_PAGE_DATA.to_le_bytes());
    header[4..8].copy_from_slice(&length_of(body_bytes).to_le_bytes());
    header[8..12].copy_from_slice(&length_of(gfns.len()).to_le_bytes());
    let mut parts = Vec::with_capacity(2 + pages.len());
    parts.push(IoSlice::new(&header));
    parts.push(IoSlice::new(&numbers));
    parts.extend(pages.iter().map(|page| IoSlice::new(*page)));
    write_all_vectored(stream, &mut parts)
}

/// Writes the record that ends a checkpoint's pages.
///
/// # Errors
/// Those of the stream.
pub fn write_checkpoint(stream: &mut impl Write) -> io::Result<()> {
    let mut record = [0; 8];
    record[..4].copy_from_slice(&RECORD_CHECKPOINT.to_le_bytes());
    stream.write_all(&record)
}

fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is a few MiB")
}

/// Goes on until all is written; one `writev` takes 1024 parts at most.
fn write_all_vectored(stream: &mut impl Write, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !parts.is_empty() {
        match stream.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PAGE_DATA_HEADER_BYTES, write_checkpoint, write_pages};
    use pollux::limits::PAGE_SIZE;
    use std::io::{self, Write};

    /// Takes a few bytes at a time, as a full socket does.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(1000);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_header_then_numbers_then_pages_and_its_length_is_true() {
        let pages = [[1; PAGE_SIZE], [2; PAGE_SIZE]];
        let mut stream = Slow(Vec::new());
        write_pages(&mut stream, &[7, 9], &[&pages[0], &pages[1]]).unwrap();
        write_checkpoint(&mut stream).unwrap();
        let bytes = stream.0;
        let (record, checkpoint) = bytes.split_at(bytes.len() - 8);
        assert_eq!(checkpoint, [0x0e, 0, 0, 0, 0, 0, 0, 0]);
        let length = u32::from_le_bytes(record[4..8].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), record.len() - 8);
        assert_eq!(record[8..16], [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record[PAGE_DATA_HEADER_BYTES], 7);
        assert_eq!(record[PAGE_DATA_HEADER_BYTES + 8], 9);
        let body = &record[PAGE_DATA_HEADER_BYTES + 16..];
        assert_eq!(body, [[1; PAGE_SIZE], [2; PAGE_SIZE]].concat());
    }
}
