"""Tests of the benchmarks' own parts: no root, no QEMU, a few seconds."""
