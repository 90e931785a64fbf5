"""What the guest's output waits for: the commit of its epoch, against the interval."""

from __future__ import annotations

from bench.load import Load
from bench.methods import POLLUX
from bench.network import link
from bench.plot import Plot, Series
from bench.results import keep
from bench.table import Table
from bench.turns import Extent, take_turns

DIRTY_PAGES_PER_SECOND = 40_000
# What is measured, and how it is called in the legend.
SUBJECTS = {
    "output_latency_us": "a frame of the guest, from leaving it to its release",
    "commit_us": "end of the pause to the acknowledgement",
}


def latency(extent: Extent) -> int:
    """Commit and output latency against the interval, at the same dirty pages per second."""
    intervals_ms = (10, 25) if extent.is_quick else (5, 10, 25, 50, 100)
    loads = {
        float(interval_ms): Load(
            interval_ms=interval_ms, dirty_pages=DIRTY_PAGES_PER_SECOND * interval_ms // 1000,
            seconds=extent.seconds,
        )
        for interval_ms in intervals_ms
    }
    with link() as standing:
        found = take_turns(standing, [POLLUX], loads, extent.rounds)
    title = f"Latency of a 1 GiB guest, {DIRTY_PAGES_PER_SECOND} dirty pages per second"
    names = ("p50", "p99")
    table = Table(title, ["interval_ms", *(f"{subject}_{name}" for subject in SUBJECTS for name in names)])
    for at in loads:
        rounds = found[POLLUX.name, at]
        table.add(at, *(rounds.median(subject, name) for subject in SUBJECTS for name in names))
    plot = Plot(title, "interval (ms)", "latency (us)", is_x_log=True, is_y_log=True)
    for number, (subject, text) in enumerate(SUBJECTS.items()):
        for name in names:
            points = [(at, found[POLLUX.name, at].median(subject, name)) for at in loads]
            plot.series.append(Series(f"{text}, {name}", points, number, name == "p99"))
    keep(table, plot, "latency-interval")
    return 0
