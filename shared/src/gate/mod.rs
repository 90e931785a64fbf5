//! Gate: holds the guest's outbound frames until the backup has acknowledged what produced them.
//!
//! Everything that enters the host from one of the guest's interfaces, of every EtherType, is
//! redirected by the kernel to an `ifb` device of our own, whose queue is a `plug`. The kernel
//! counts frames into epochs; this room says when an epoch ends and when one may leave
//! ([`EpochOrder`]), and how the kernel is told so in netlink's words ([`requests`]). It opens no
//! socket: `platform::linux::output_gate` does.
//!
//! A `plug` remembers the size of one ended epoch only, so at most one epoch may be waiting for its
//! acknowledgement: the next checkpoint waits, and [`EpochOrder`] asserts it.

mod epoch_order;
pub mod message;
pub mod names;
pub mod replies;
pub mod requests;

pub use epoch_order::{EpochOrder, PlugAction};
