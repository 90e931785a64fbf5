"""How fast pages go over the link: Pollux's own, bare packet sockets, TCP, and a copy in memory."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from bench.bars import Bars
from bench.figures import parse_values
from bench.results import keep
from bench.settings import BenchError, program
from bench.table import Table
from bench.turns import Extent

_SECONDS_MAX = 600


def throughput(_extent: Extent) -> int:
    """Runs `wire-rate`, which makes its own link and lets its methods take turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [program("wire-rate"), "--csv", str(Path(folder) / "wire-rate.csv")]
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
    if result.returncode != 0:
        raise BenchError(f"wire-rate failed: {result.stderr.strip()[-400:]}")
    values = parse_values(result.stdout)
    table = Table("Throughput over a veth pair, MTU 9000", ["method", "value", "unit"])
    for name, (value, unit) in values.items():
        table.add(name, value, unit)
    bars = Bars(table.title, "MB/s", ["rate"])
    for name, (value, unit) in values.items():
        if unit == "MB/s":
            bars.add(name, [value])
    if not bars.groups:
        raise BenchError("wire-rate printed no rate in MB/s")
    keep(table, bars, "throughput")
    return 0
