//! The rooms of Pollux, in the order of a page's way from the primary guest to its twin.
//!
//! `capture` reads the paused guest, `ring` hands its pages to the network half, `wire` and `link`
//! carry them sealed to the backup, `commit` stages and applies whole epochs there, `gate` holds
//! the guest's output until the backup has acknowledged, and `revive` brings the twin to life.
//! `rehearsal` is a guest that is no domain, to try all of it without Xen. `stub_domain` is what the
//! programs do when they are domains of their own instead of dom0 processes, and `other_half` how the half
//! that stays in dom0 sees such a domain, or the process in its place.
//! `xen` and `platform` are the only rooms that hold `unsafe`; everything else takes time and
//! bytes as arguments, so that a test can run both ends against each other.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(not(stubdom))]
pub mod arbiter;
#[cfg(not(stubdom))]
pub mod backup;
#[cfg(not(stubdom))]
pub mod capture;
pub mod codec;
#[cfg(not(stubdom))]
pub mod commit;
#[cfg(not(stubdom))]
pub mod gate;
pub mod idle;
#[cfg(not(stubdom))]
pub mod key_renewal;
pub mod limits;
pub mod link;
#[cfg(not(stubdom))]
pub mod link_half;
#[cfg(not(stubdom))]
pub mod options;
#[cfg(not(stubdom))]
pub mod other_half;
pub mod platform;
#[cfg(not(stubdom))]
pub mod primary;
#[cfg(not(stubdom))]
pub mod rehearsal;
#[cfg(not(stubdom))]
pub mod revive;
pub mod ring;
#[cfg(not(stubdom))]
pub mod start;
pub mod status;
#[cfg(any(stubdom, test))]
pub mod stub_domain;
pub mod text;
pub mod wire;
pub mod xen;
