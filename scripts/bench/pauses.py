"""How long the guest stands still: against its dirty pages, and against its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load
from bench.methods import COPY, POLLUX, REMUS, Method
from bench.network import link
from bench.plot import Plot, Series
from bench.results import keep
from bench.table import Table
from bench.turns import Extent, Rounds, take_turns

PAUSE_TARGET_US = 1000
# Long enough for the most dirty pages of an epoch to go over the link: what lasts cannot be dirtied faster.
SWEEP_INTERVAL_MS = 100
GUEST_SIZES_MIB = (128, 512, 2048, 4096, 6144, 8192)
# Both hosts are this machine: the guest, its replica, and a ring for all of it and some early copies.
GUEST_COPIES = 3
RESERVE_MIB = 2048


@dataclass(frozen=True)
class Sweep:
    """A comparison along one property of the load."""

    file: str
    title: str
    column: str
    x_label: str
    loads: Mapping[float, Load]


def dirty_pages(extent: Extent) -> int:
    """Pause against dirty pages."""
    counts = (100, 1000, 4000) if extent.is_quick else (100, 300, 1000, 3000, 10_000)
    loads = {
        float(count): Load(dirty_pages=count, interval_ms=SWEEP_INTERVAL_MS, seconds=extent.seconds)
        for count in counts
    }
    return _compare(
        Sweep(
            "pause-dirty-pages", f"Pause of a 1 GiB guest, epochs of {SWEEP_INTERVAL_MS} ms", "dirty_pages",
            "dirty pages per epoch", loads,
        ),
        extent,
    )


def guest_size(extent: Extent) -> int:
    """Pause against the guest's size."""
    sizes = (128, 1024) if extent.is_quick else tuple(filter(_fits, GUEST_SIZES_MIB))
    loads = {float(size): Load(memory_mb=size, seconds=extent.seconds) for size in sizes}
    return _compare(
        Sweep(
            "pause-guest-size", "Pause with 1000 dirty pages per epoch of 25 ms", "guest_mib",
            "guest memory (MiB)", loads,
        ),
        extent,
    )


def _fits(size_mib: int) -> bool:
    """Whether this machine has the memory for a guest of this size, thrice."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    available_kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return GUEST_COPIES * size_mib + RESERVE_MIB <= available_kib // 1024


METHODS: Sequence[Method] = (POLLUX, REMUS, COPY)


def _compare(sweep: Sweep, extent: Extent) -> int:
    with link() as standing:
        found = take_turns(standing, METHODS, sweep.loads, extent.rounds)
    keep(_table(sweep, found), _plot(sweep, found), sweep.file)
    return 0


def _table(sweep: Sweep, found: Mapping[tuple[str, float], Rounds]) -> Table:
    table = Table(sweep.title, [sweep.column, "method", "p50_us", "p99_us", "max_us"])
    for at in sweep.loads:
        for method in METHODS:
            rounds = found[method.name, at]
            table.add(at, method.name, *(rounds.median("pause_us", name) for name in ("p50", "p99", "max")))
    return table


def _plot(sweep: Sweep, found: Mapping[tuple[str, float], Rounds]) -> Plot:
    plot = Plot(
        sweep.title, sweep.x_label, "pause (us)", is_x_log=True, is_y_log=True,
        marks_y=[("1 ms", PAUSE_TARGET_US)],
    )
    for subject, method in enumerate(METHODS):
        for name in ("p50", "p99"):
            points = [(at, found[method.name, at].median("pause_us", name)) for at in sweep.loads]
            plot.series.append(Series(f"{method.name}, {name}", points, subject, name == "p99"))
    return plot
