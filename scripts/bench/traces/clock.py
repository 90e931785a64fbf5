"""The guest's own clock, and letting it run for a length of its own time.

QEMU's `-icount shift=0` gives the guest a processor of one instruction per nanosecond, however long an
instruction takes here; while the guest is idle its clock follows the wall's. The ACPI timer tells that
clock to 0.28 us even while the guest is stopped.
"""

from __future__ import annotations

import time

from bench.traces.qmp import Monitor

_ACPI_TIMER_PORT = 0x608
_ACPI_TIMER_HZ = 3_579_545
_ACPI_TIMER_BITS = 24
# An epoch may fall short of its length by this part.
_TOLERANCE = 0.02
_SLEEP_SECONDS_MIN = 0.001
# Shorter than the timer's turn (4.7 s), however fast the guest's clock goes.
_SLEEP_SECONDS_MAX = 2.0


class GuestClock:
    """Stops and starts a guest by its own time."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._seconds_per_us = 1e-6

    def run_for(self, length_us: float) -> float:
        """Lets the stopped guest run for about `length_us` of its time; returns how long it was."""
        begin = self._ticks()
        passed_us = 0.0
        while passed_us < length_us * (1 - _TOLERANCE):
            wanted = (length_us - passed_us) * self._seconds_per_us
            asleep = min(max(wanted, _SLEEP_SECONDS_MIN), _SLEEP_SECONDS_MAX)
            self._monitor.execute("cont")
            time.sleep(asleep)
            self._monitor.execute("stop")
            before_us, passed_us = passed_us, self._since_us(begin)
            # Of the sleep alone: what the guest does until it really stops, the next sleep is shorter by.
            pace = asleep / max(passed_us - before_us, 1.0)
            self._seconds_per_us = (self._seconds_per_us + pace) / 2
        return passed_us

    def _ticks(self) -> int:
        line = self._monitor.execute(
            "human-monitor-command", **{"command-line": f"i /w {_ACPI_TIMER_PORT:#x}"}
        )
        return int(line.split("=")[1], 16) % (1 << _ACPI_TIMER_BITS)

    def _since_us(self, begin: int) -> float:
        ticks = (self._ticks() - begin) % (1 << _ACPI_TIMER_BITS)
        return ticks * 1e6 / _ACPI_TIMER_HZ
