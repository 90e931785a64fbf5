"""The benchmarks' command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench.compression import compression
from bench.latency import latency
from bench.pauses import dirty_pages, guest_size
from bench.settings import BenchError
from bench.throughput import throughput
from bench.traces.recording import record_all
from bench.traces.workloads import WORKLOADS
from bench.turns import Extent
from lab.command import run
from lab.packages import build_programs
from lab.settings import LabError

BENCHMARKS: dict[str, tuple[Callable[[Extent], int], str]] = {
    "dirty-pages": (dirty_pages, "pause against dirty pages, beside an emulated xl remus and a bare copy"),
    "guest-size": (guest_size, "pause against the guest's size, beside the same"),
    "throughput": (throughput, "pages over the link, beside bare packet sockets, TCP and a copy in memory"),
    "latency": (latency, "commit and output latency against the interval"),
    "compression": (compression, "wire bytes per dirty byte of each trace (see `traces`)"),
}


def main() -> int:
    """Runs one command; its failure is one line and status 1."""
    return run(_parser(), "bench", (BenchError, LabError, OSError))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Benchmarks; each prints a table and writes it to docs/bench, with a plot.",
        epilog="Against the real xl remus, on emulated Xen hosts: scripts/lab.py gaps",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (run, text) in BENCHMARKS.items():
        command = commands.add_parser(name, help=text)
        _add_quick(command)
        command.set_defaults(run=lambda given, run=run: _measure([run], given))
    everything = commands.add_parser("all", help="all of these, one after the other; compression needs traces")
    _add_quick(everything)
    everything.set_defaults(run=lambda given: _measure([run for run, _ in BENCHMARKS.values()], given))

    traces = commands.add_parser("traces", help="record page traces of guests at work, under plain QEMU")
    names = ", ".join(workload.name for workload in WORKLOADS)
    traces.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}; all, unless named")
    traces.add_argument("--epochs", type=int, default=150, help="of 25 ms, after the image")
    traces.add_argument("--memory", type=int, default=256, help="MB of the guest")
    traces.set_defaults(run=lambda given: record_all(given.names, given.epochs, given.memory))
    return parser


def _add_quick(command: argparse.ArgumentParser) -> None:
    command.add_argument("--quick", action="store_true", help="few points, one round: to see that all works")


def _measure(benchmarks: list[Callable[[Extent], int]], given: argparse.Namespace) -> int:
    """Goes on after a failure, so that one missing program or trace does not cost the other results."""
    build_programs("primary-helper", "backup-helper", "bench-programs")
    failed = 0
    for run in benchmarks:
        try:
            run(Extent.of(given.quick))
        except (BenchError, LabError) as error:
            print(f"bench: {error}", file=sys.stderr, flush=True)
            failed += 1
    return 1 if failed else 0
