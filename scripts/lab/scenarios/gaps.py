"""`lab gaps`: what a guest sees of its checkpoints, under Pollux and under `xl remus`, in one run.

The guest spins on its clock, writes to a page now and then, and notes every hole. Both are measured on the same
host, with the same guest and the same load; a measurement without any protection comes first, as the noise of the
emulator. There are two loads of 1000 pages dirtied per 100 ms, or as many as the guest can: the same pages again
and again, and pages taken in turn from four times as many.

The other host gives way to the one that is measured: a hole must not be one that its emulation makes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab.failover import prepare
from lab.guest import GuestControl, create_guest, destroy_guest
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import Pair, Protection, build_helpers
from lab.settings import GUEST_NAME, LabError

THRESHOLD_US = 2000
# Pages among which the guest takes 1000 per 100 ms.
POOLS = {"same pages": 1000, "in turn": 4096}
REMUS_LOG = "/var/log/remus.log"
# It sends the whole memory first, which it goes on doing while the guest dirties it.
REMUS_START_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Measurement:
    """The holes of one period; `checkpoints` is None when nothing was protecting the guest."""

    load: str
    name: str
    interval_ms: int
    elapsed_us: int
    # Pages that the guest wrote.
    page_count: int
    holes_us: list[int]
    checkpoints: int | None = None
    # What `status` said of the pauses.
    pause_us: int | None = None

    @property
    def taken_us(self) -> list[int]:
        """The longest holes, one per checkpoint, are taken for the checkpoints'."""
        return sorted(self.holes_us, reverse=True)[: self.checkpoints or 0]

    def cells(self) -> list[str]:
        """The cells of the table and of the CSV."""
        share = 100 * sum(self.holes_us) / self.elapsed_us
        pages = 100_000 * self.page_count / self.elapsed_us
        return [
            self.load, self.name, str(self.interval_ms or "-"),
            f"{self.elapsed_us / self.checkpoints / 1000:.0f}" if self.checkpoints else "-",
            f"{pages:.0f}", str(len(self.holes_us)), f"{share:.1f}", _ms(self.taken_us), _ms(self.taken_us, 0.9),
            _ms(sorted(self.holes_us)[-1:]), "-" if self.pause_us is None else f"{self.pause_us / 1000:.2f}",
        ]


COLUMNS = [
    "load", "protection", "interval_ms", "epoch_ms", "pages_per_100_ms", "gaps", "share_percent", "gap_ms_p50",
    "gap_ms_p90", "gap_ms_max", "status_pause_ms_p50",
]


def gaps(name: str, shape: Shape, intervals_ms: list[int], seconds: float, csv_path: Path | None) -> int:
    """Measures, prints the table and its ratios, and writes the CSV."""
    told = Narrator()
    build_helpers()
    rows: list[Measurement] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot()
        prepare(lab)
        lab.b.give_way()
        control = GuestControl(lab.network)
        for load, pool in POOLS.items():
            create_guest(lab.a)
            control.ask(f"dirty 1000 100 {pool}")
            told.say(f"measuring the guest alone, {load}")
            rows.append(_measure(control, load, "none", 0, seconds))
            for interval_ms in intervals_ms:
                told.say(f"measuring Pollux, an epoch every {interval_ms} ms, {load}")
                rows.append(_under_pollux(lab, control, load, interval_ms, seconds))
            destroy_guest(lab.a)
            for interval_ms in intervals_ms:
                told.say(f"measuring xl remus, a checkpoint every {interval_ms} ms, {load}")
                rows.append(_under_remus(lab, control, load, interval_ms, seconds))
    _show(rows)
    if csv_path:
        lines = [",".join(cells) for cells in [COLUMNS, *(row.cells() for row in rows)]]
        csv_path.write_text("\n".join(lines) + "\n")
    return 0


def _show(rows: list[Measurement]) -> None:
    print(f"\nGaps over {THRESHOLD_US / 1000} ms seen by the guest, which wants to dirty 1000 pages per 100 ms")
    table = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(COLUMNS))]
    for cells in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(cells, widths)))
    for row in rows:
        same_case = [it for it in rows if (it.load, it.interval_ms) == (row.load, row.interval_ms)]
        peer = next((it for it in same_case if "remus" in it.name), None)
        if row.pause_us and peer and row.taken_us and peer.taken_us:
            remus_us = statistics.median(peer.taken_us)
            gap_us = statistics.median(row.taken_us)
            print(
                f"{row.load}, {row.interval_ms} ms: the guest's gap is 1/{remus_us / gap_us:.1f} of xl remus', "
                f"the pause that status tells 1/{remus_us / row.pause_us:.1f}"
            )


def _measure(
    control: GuestControl, load: str, name: str, interval_ms: int, seconds: float,
    checkpoints: Callable[[], int] | None = None,
) -> Measurement:
    before = checkpoints() if checkpoints else 0
    began = time.monotonic()
    control.ask(f"gaps start {THRESHOLD_US}")
    time.sleep(seconds)
    lines = control.ask("gaps stop", timeout=60)
    head = {key: int(value) for key, value in (word.split("=") for word in lines[0].split())}
    holes = [int(line.split()[1]) for line in lines[1:]]
    plain = Measurement(load, name, interval_ms, head["elapsed_us"], head["pages"], holes)
    if not checkpoints:
        return plain
    taken = checkpoints() - before
    # They were counted over a little more than the measured time.
    return replace(plain, checkpoints=round(taken * head["elapsed_us"] / 1e6 / (time.monotonic() - began)))


def _under_pollux(
    lab: Lab, control: GuestControl, load: str, interval_ms: int, seconds: float
) -> Measurement:
    pair = Pair(lab, Protection(interval_ms=interval_ms))
    pair.stand_by()
    pair.protect()
    try:
        pair.wait_protected()
        plain = _measure(
            control, load, "Pollux", interval_ms, seconds, lambda: int(pair.primary.told_status()["epoch"])
        )
        return replace(plain, pause_us=int(pair.primary.told_status()["pause_us_p50"]))
    finally:
        pair.stop()


def _under_remus(
    lab: Lab, control: GuestControl, load: str, interval_ms: int, seconds: float
) -> Measurement:
    """`-b` sends to nowhere, which is Remus at its best: nothing is sent inside the pause."""
    create_guest(lab.a)
    control.ask(f"dirty 1000 100 {POOLS[load]}")
    lab.a.run(f"xl remus -F -n -d -i {interval_ms} -b {GUEST_NAME} nowhere >{REMUS_LOG} 2>&1 &")
    try:
        deadline = time.monotonic() + REMUS_START_SECONDS_MAX
        while _remus_checkpoints(lab) < 3:
            if time.monotonic() > deadline:
                raise LabError(f"xl remus takes no checkpoints: {lab.a.run(f'tail -n 3 {REMUS_LOG}').stdout}")
            time.sleep(1)
        return _measure(control, load, "xl remus -b", interval_ms, seconds, lambda: _remus_checkpoints(lab))
    finally:
        lab.a.run("killall -KILL xl libxl-save-helper 2>/dev/null; true")
        destroy_guest(lab.a)


def _remus_checkpoints(lab: Lab) -> int:
    count = lab.a.run(f"grep -c 'Domain now suspended' {REMUS_LOG}", check=False).stdout
    return int(count or 0)


def _ms(holes_us: list[int], quantile: float = 0.5) -> str:
    if not holes_us:
        return "-"
    if quantile == 0.5:
        return f"{statistics.median(holes_us) / 1000:.1f}"
    ordered = sorted(holes_us)
    return f"{ordered[min(int(len(ordered) * quantile), len(ordered) - 1)] / 1000:.1f}"
