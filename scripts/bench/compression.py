"""What goes over the wire for each dirty byte, with pages of real work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Way:
    """A link, and the options of a rehearsal over it."""

    text: str
    rate_mbit: int | None
    options: Sequence[str] = ()


# A veth pair is faster than LZ4; on a link of 1 Gbit/s the choice is another one.
WAYS = (
    Way("veth pair", None),
    Way("1 Gbit/s", 1000),
    Way("1 Gbit/s, without the delta cache", 1000, ("--delta-cache", "0")),
)


def compression(_extent: Extent) -> int:
    """Wire bytes per dirty byte, of each trace over each link."""
    present = [workload for workload in WORKLOADS if trace_path(workload).exists()]
    if not present:
        raise BenchError("there are no traces yet: make them with scripts/bench.py traces")
    table = Table(
        "Bytes on the wire per byte of dirty pages",
        ["trace", "link", "wire_bytes_per_dirty_byte", *(f"{name}_pages" for name in ENCODINGS)],
    )
    bars = Bars(table.title, "wire bytes / dirty bytes", [way.text for way in WAYS])
    for workload in present:
        trace, ratios = trace_path(workload), []
        for way in WAYS:
            print(f"{workload.title}, {way.text}", flush=True)
            with link(way.rate_mbit) as standing:
                figures = rehearse(standing, ["--trace", str(trace), *way.options], _seconds(trace))
            ratios.append(figures.value("wire", "bytes") / figures.value("wire", "dirty_bytes"))
            counts = figures.of("encodings")
            table.add(workload.title, way.text, ratios[-1], *(int(counts.get(kind, 0)) for kind in ENCODINGS))
        bars.add(workload.title, ratios)
    keep(table, bars, "wire-bytes")
    return 0


def _seconds(trace: Path) -> int:
    """How long once through a trace takes."""
    header = read_header(trace)
    return header.epoch_count * header.interval_us // 1_000_000 + 1
