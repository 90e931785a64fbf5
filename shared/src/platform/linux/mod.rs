//! Linux: a dom0 process without libc.
//!
//! `program` brings what libc would bring to a program's start; the other files are the system
//! calls Pollux needs, each with the kernel's answer turned into a typed value or into one
//! sentence for people. System calls are made through rustix; `syscall` makes the few that rustix
//! does not offer. No file here decides anything about protection.

pub mod affinity;
pub mod arbiter_program;
pub mod available;
pub mod clock;
pub mod command;
pub mod domain_memory;
pub mod errno;
pub mod evtchn;
pub mod file;
pub mod key_file;
pub mod lock;
pub mod log;
pub mod mapped_file;
pub mod memory;
pub mod netlink;
pub mod output_gate;
pub mod packet_socket;
pub mod priority;
pub mod private_memory;
pub mod privcmd;
pub mod privcmd_buffer;
pub mod privcmd_frames;
pub mod privcmd_memory;
pub mod privileges;
pub mod process;
pub mod program;
pub mod random;
pub mod seccomp;
pub mod shared_disk;
pub mod signals;
pub mod status_file;
pub mod status_records;
mod syscall;
pub mod usage;
pub mod xenbus;
