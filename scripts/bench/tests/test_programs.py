"""The measured programs run, and their figures are found; how fast they are is not asked."""

from __future__ import annotations

import csv
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from bench.load import Load
from bench.methods import COPY, POLLUX, REMUS
from bench.network import link
from bench.throughput import throughput
from bench.turns import Extent

SMALL = Load(memory_mb=64, dirty_pages=100, seconds=1)


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class Programs(unittest.TestCase):
    """Each over a link of its own, with programs that cargo built in release mode."""

    def test_every_method_tells_its_pauses(self) -> None:
        for rate_mbit in (None, 1000):
            with self.subTest(rate_mbit=rate_mbit), link(rate_mbit) as standing:
                for method in (POLLUX, REMUS, COPY):
                    figures = method.measure(standing, SMALL)
                    self.assertGreater(figures.value("pause_us", "p50"), 0, method.name)
                    self.assertGreaterEqual(
                        figures.value("pause_us", "p99"), figures.value("pause_us", "p50"), method.name
                    )

    def test_throughput_is_kept_with_all_its_methods(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, BENCH_RESULTS=folder):
            self.assertEqual(throughput(Extent.of(True)), 0)
            rows = list(csv.DictReader((Path(folder) / "throughput.csv").open()))
        rates = {row["method"]: float(row["value"]) for row in rows if row["unit"] == "MB/s"}
        for method in ("shipping", "bare", "bare_cached", "tcp", "memcpy"):
            self.assertGreater(rates[f"{method}_rate"], 0)


if __name__ == "__main__":
    unittest.main()
