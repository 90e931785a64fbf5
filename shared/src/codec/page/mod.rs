//! Pages: how one page of guest memory is made small for the link, and read again.
//!
//! ship encodes each page once, where it lies in its ring, after the guest runs again
//! ([`PageEncoder`]); commit decodes it ([`unpack`], [`PageUpdate`]). In the order of what they cost:
//!
//! * **raw**, as the page is; **zero**, no bytes at all.
//! * **unchanged** and **delta**, against the page as it was sent last in this session. ship keeps
//!   a bounded number of those versions ([`ShadowCache`]); commit needs no copy, since the twin's
//!   memory is one. The rule that both keep: *ship's shadow of a page is what commit has for it once
//!   every entry before the next one of that page is applied.*
//! * **LZ4**, of the whole page, or of the delta where there is one that is not small.
//!
//! Which of these pays depends on the link and on the core's speed; an [`Explorer`] finds out by
//! measuring. Nothing here does IO or knows frames: bytes, indexes and the time come in as arguments.

mod compression;
mod delta;
mod encoder;
mod explorer;
mod shadow;
mod update;

pub use compression::unpack;
pub use delta::Delta;
pub use encoder::PageEncoder;
pub use explorer::{Explorer, Level, Progress};
pub use shadow::ShadowCache;
pub use update::PageUpdate;
