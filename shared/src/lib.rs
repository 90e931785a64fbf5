//! The rooms of Pollux, in the order of a page's way from the primary guest to its twin.
//!
//! `capture` reads the paused guest, `ring` hands its pages to the network half, `wire` and `link`
//! carry them sealed to the backup, `commit` stages and applies whole epochs there, `gate` holds
//! the guest's output until the backup has acknowledged, and `revive` brings the twin to life.
//! `rehearsal` is a guest that is no domain, to try all of it without Xen.
//! `xen` and `platform` are the only rooms that hold `unsafe`; everything else takes time and
//! bytes as arguments, so that a test can run both ends against each other.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod arbiter;
pub mod backup;
pub mod capture;
pub mod codec;
pub mod commit;
pub mod gate;
pub mod idle;
pub mod key_renewal;
pub mod limits;
pub mod link;
pub mod link_half;
pub mod options;
pub mod platform;
pub mod primary;
pub mod rehearsal;
pub mod revive;
pub mod ring;
pub mod start;
pub mod status;
pub mod text;
pub mod wire;
pub mod xen;
