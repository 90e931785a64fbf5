//! Linux: system calls without libc.
