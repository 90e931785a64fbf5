"""A trace that was written is read back; one that is damaged is refused."""

import random
import tempfile
import unittest
from pathlib import Path

from bench.settings import BenchError
from bench.traces import trace_file
from bench.traces.trace_file import PAGE_BYTES, Epoch, TraceHeader


class Traces(unittest.TestCase):
    """Round trips and damage."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "some.trace"

    def _write(self) -> list[Epoch]:
        source = random.Random(7)
        content: list[Epoch] = [
            [(gfn, source.randbytes(PAGE_BYTES)) for gfn in sorted(source.sample(range(64), count))]
            for count in (5, 0, 3)
        ]
        trace_file.write(self.path, 64, 25_000, content)
        return content

    def test_what_was_written_is_read(self) -> None:
        content = self._write()
        self.assertEqual(trace_file.read_header(self.path), TraceHeader(64, 3, 25_000))
        self.assertEqual(list(trace_file.epochs(self.path)), content)
        self.assertEqual(trace_file.page_counts(self.path), [5, 0, 3])

    def test_a_torn_trace_is_refused(self) -> None:
        self._write()
        self.path.write_bytes(self.path.read_bytes()[:-1])
        with self.assertRaisesRegex(BenchError, "within epoch 2"):
            list(trace_file.epochs(self.path))

    def test_a_gfn_outside_the_guest_is_refused(self) -> None:
        trace_file.write(self.path, 8, 25_000, [[(8, bytes(PAGE_BYTES))]])
        with self.assertRaisesRegex(BenchError, "gfn 8 of 8"):
            list(trace_file.epochs(self.path))

    def test_another_file_is_no_trace(self) -> None:
        for other in (b"", b"PLXTRC01", b"#!/bin/sh\n" + bytes(40)):
            self.path.write_bytes(other)
            with self.assertRaisesRegex(BenchError, "no page trace"):
                trace_file.read_header(self.path)


if __name__ == "__main__":
    unittest.main()
