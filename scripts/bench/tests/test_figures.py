"""What programs print is read as it was meant."""

import unittest

from bench.figures import parse_subjects, parse_values
from bench.settings import BenchError

REHEARSAL = """\
rehearse: guest of 1024 MiB, 1000 pages per epoch
pause_us p50=93 p90=120 p99=310 p99.9=702 max=1020 mean=101
commit_us p50=2100.5 p99=9000
epochs count=400 interval_us_mean=25003 stretched=0
wire bytes=123 dirty_bytes=456 ratio=0.123
cpu_percent capture=4.5% ship=31%
faults capture=0 ship=0

"""


class Subjects(unittest.TestCase):
    """Lines of a subject and its figures."""

    def test_every_figure_is_found(self) -> None:
        figures = parse_subjects(REHEARSAL)
        self.assertEqual(figures.value("pause_us", "p99.9"), 702)
        self.assertEqual(figures.value("commit_us", "p50"), 2100.5)
        self.assertEqual(figures.value("epochs", "interval_us_mean"), 25003)
        self.assertEqual(figures.of("cpu_percent"), {"capture": 4.5, "ship": 31})
        self.assertEqual(figures.of("absent"), {})

    def test_prose_is_no_figure(self) -> None:
        self.assertEqual(parse_subjects(REHEARSAL).of("rehearse:"), {})

    def test_a_missing_figure_is_named(self) -> None:
        with self.assertRaisesRegex(BenchError, "pause_us p75.*commit_us"):
            parse_subjects(REHEARSAL).value("pause_us", "p75")


class Values(unittest.TestCase):
    """Lines of a name, a value and a unit."""

    def test_values_keep_their_units(self) -> None:
        text = "bare_packet_sockets 11.2 Gbit/s\nratio 0.93\nnot a line of figures\nmemcpy fast GB/s\n"
        self.assertEqual(
            parse_values(text), {"bare_packet_sockets": (11.2, "Gbit/s"), "ratio": (0.93, "")}
        )


if __name__ == "__main__":
    unittest.main()
