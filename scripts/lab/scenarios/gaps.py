"""`lab gaps`: what a guest sees of its checkpoints, under Pollux and under `xl remus`, in one run.

The guest spins on its clock and notes every hole. Both are measured on the same host, with the same guest and
the same load; a measurement without any protection comes first, as the noise of the emulator.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from lab.failover import prepare
from lab.guest import GuestControl, create_guest, destroy_guest
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import Pair, Protection, build_helpers
from lab.settings import GUEST_NAME, LabError

THRESHOLD_US = 2000
REMUS_LOG = "/var/log/remus.log"
# It sends the whole memory first, which it goes on doing while the guest dirties it.
REMUS_START_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Measurement:
    """The holes of one period; `checkpoints` is None when nothing was protecting the guest."""

    name: str
    elapsed_us: int
    holes_us: list[int]
    checkpoints: int | None

    def row(self) -> str:
        """A line of the table. The longest holes, one per checkpoint, are taken for the checkpoints'."""
        share = 100 * sum(self.holes_us) / max(self.elapsed_us, 1)
        cells = f"{self.name:28} {len(self.holes_us):6} {share:6.1f} %"
        longest = sorted(self.holes_us, reverse=True)
        if self.checkpoints is None:
            return f"{cells}  {'-':>11}  {'-':>8}  {'-':>8}  {_ms(longest[:1]):>8}"
        taken = sorted(longest[: self.checkpoints])
        return (
            f"{cells}  {self.checkpoints:11}  {_ms(taken):>8}  {_ms(taken, 0.99):>8}  {_ms(longest[:1]):>8}"
        )


HEADER = f"{'':28} {'gaps':>6} {'share':>8}  checkpoints  p50 (ms)  p99 (ms)  max (ms)"


def gaps(name: str, shape: Shape, intervals_ms: list[int], seconds: float) -> int:
    """Measures and prints the table."""
    told = Narrator()
    build_helpers()
    rows: list[Measurement] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot()
        prepare(lab)
        create_guest(lab.a)
        control = GuestControl(lab.network)
        told.say("measuring the guest alone")
        rows.append(_measure(control, "no protection", seconds))
        for interval_ms in intervals_ms:
            told.say(f"measuring Pollux, an epoch every {interval_ms} ms")
            rows.append(_under_pollux(lab, control, interval_ms, seconds))
        destroy_guest(lab.a)
        for interval_ms in intervals_ms:
            told.say(f"measuring xl remus, a checkpoint every {interval_ms} ms")
            rows.append(_under_remus(lab, control, interval_ms, seconds))
    print(f"\nGaps over {THRESHOLD_US / 1000} ms seen by the guest, about 1000 dirty pages per 100 ms\n{HEADER}")
    for row in rows:
        print(row.row())
    return 0


def _measure(control: GuestControl, name: str, seconds: float) -> Measurement:
    control.ask(f"gaps start {THRESHOLD_US}")
    time.sleep(seconds)
    lines = control.ask("gaps stop", timeout=60)
    head = dict(word.split("=") for word in lines[0].split())
    holes = [int(line.split()[1]) for line in lines[1:]]
    return Measurement(name, int(head["elapsed_us"]), holes, None)


def _under_pollux(lab: Lab, control: GuestControl, interval_ms: int, seconds: float) -> Measurement:
    pair = Pair(lab, Protection(interval_ms=interval_ms))
    pair.stand_by()
    pair.protect()
    try:
        before = int(pair.wait_protected()["epoch"])
        plain = _measure(control, f"Pollux, {interval_ms} ms", seconds)
        after = int(pair.primary.status()["epoch"])
    finally:
        pair.stop()
    # The epochs were counted over a little more than the measured time.
    return Measurement(plain.name, plain.elapsed_us, plain.holes_us, after - before)


def _under_remus(lab: Lab, control: GuestControl, interval_ms: int, seconds: float) -> Measurement:
    """`-b` sends to nowhere, which is Remus at its best: nothing is sent inside the pause."""
    create_guest(lab.a)
    lab.a.run(f"xl remus -F -n -d -i {interval_ms} -b {GUEST_NAME} nowhere >{REMUS_LOG} 2>&1 &")
    try:
        deadline = time.monotonic() + REMUS_START_SECONDS_MAX
        while _remus_checkpoints(lab) < 3:
            if time.monotonic() > deadline:
                raise LabError(f"xl remus takes no checkpoints: {lab.a.run(f'tail -n 3 {REMUS_LOG}').stdout}")
            time.sleep(1)
        before = _remus_checkpoints(lab)
        plain = _measure(control, f"xl remus -b, {interval_ms} ms", seconds)
        taken = _remus_checkpoints(lab) - before
    finally:
        lab.a.run("killall -KILL xl libxl-save-helper 2>/dev/null; true")
        destroy_guest(lab.a)
    return Measurement(plain.name, plain.elapsed_us, plain.holes_us, taken)


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
