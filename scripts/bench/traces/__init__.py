"""Page traces of real work: which pages change from one epoch to the next, and to what.

A guest without Xen runs under plain QEMU with its memory in a file. It is stopped once an epoch, its
memory is compared with the last time's, and what changed is appended to the trace
(`scripts/bench/programs/src/trace.rs` says how). Traces are made here, not shipped: they hold whatever
was in the guest's memory.
"""
