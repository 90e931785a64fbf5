//! Stub: a few pages of code that make hypercalls inside the twin, where no one else can.
//!
//! Event channels, the FIFO control blocks and the place of vcpu_info can only be set up by the
//! domain itself. So the paused twin gets a handful of pages at guest-physical addresses it has
//! no memory at, with a table of hypercalls, the code that walks the table, and page tables that
//! map these pages where they lie. Its first vCPU is started there, marks the table as done, and
//! spins until it is paused. This room holds the layout and the code; what is in the table is the
//! business of `revive`.

mod call;
mod code;
mod layout;

pub use call::{DOMID_SELF, StubCall, StubEntry, StubFault};
pub use code::{HypercallInstruction, stub_code};
pub use layout::{STUB_BASE_GFNS, STUB_CALL_COUNT_MAX, STUB_PAGE_COUNT_MAX, StubLayout};
