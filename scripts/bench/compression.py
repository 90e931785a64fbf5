"""What goes over the wire for each dirty byte, with pages of real work."""

from __future__ import annotations

from pathlib import Path

from bench.bars import Bars
from bench.methods import rehearse
from bench.network import link
from bench.results import keep
from bench.settings import BenchError
from bench.table import Table
from bench.traces.recording import trace_path
from bench.traces.trace_file import read_header
from bench.traces.workloads import WORKLOADS
from bench.turns import Extent

ENCODINGS = ("raw", "zero", "unchanged", "delta", "lz4")
# The legend's words and the options behind them.
ENCODING_SETS: dict[str, list[str]] = {
    "all encodings": [],
    "without the cache of earlier pages": ["--delta-cache", "0"],
}


def compression(_extent: Extent) -> int:
    """Wire bytes per dirty byte, of each trace and encoding set."""
    present = [workload for workload in WORKLOADS if trace_path(workload).exists()]
    if not present:
        raise BenchError("there are no traces yet: make them with scripts/bench.py traces")
    table = Table(
        "Bytes on the wire per byte of dirty pages",
        ["trace", "encodings", "wire_bytes_per_dirty_byte", *(f"{name}_pages" for name in ENCODINGS)],
    )
    bars = Bars(table.title, "wire bytes / dirty bytes", list(ENCODING_SETS))
    with link() as standing:
        for workload in present:
            trace, ratios = trace_path(workload), []
            for name, options in ENCODING_SETS.items():
                print(f"{workload.title}, {name}", flush=True)
                figures = rehearse(standing, ["--trace", str(trace), *options], _seconds(trace))
                ratios.append(figures.value("wire", "bytes") / figures.value("wire", "dirty_bytes"))
                counts = figures.of("encodings")
                table.add(workload.title, name, ratios[-1], *(int(counts.get(kind, 0)) for kind in ENCODINGS))
            bars.add(workload.title, ratios)
    keep(table, bars, "wire-bytes")
    return 0


def _seconds(trace: Path) -> int:
    """How long once through a trace takes."""
    header = read_header(trace)
    return header.epoch_count * header.interval_us // 1_000_000 + 1
