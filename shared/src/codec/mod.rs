//! Codec: how guest memory and the state beside it are written down for the backup.
//!
//! Pages are made small in [`page`]; what Xen holds for a domain (event channels, where its structures
//! lie, time) travels as a [`CheckpointState`], and what the backup must know before the first
//! page as a [`DomainDescription`]. These two are postcard messages of bounded size. This room gives
//! no meaning to the values: capture fills them, commit checks them against the limits, revive
//! uses them.

pub mod page;
mod state;

pub use state::{
    CheckpointState, DecodeError, DomainDescription, EncodeError, EventChannel, EventChannelKind,
    GFN_NONE, TscInfo, VcpuState, decode, encode,
};
