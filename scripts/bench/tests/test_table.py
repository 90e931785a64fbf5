"""Tables read the same for people and programs."""

import csv
import tempfile
import unittest
from pathlib import Path

from bench.table import Table


class Tables(unittest.TestCase):
    """Text and CSV."""

    def setUp(self) -> None:
        self.table = Table("Pauses", ["method", "p50_us"])
        self.table.add("ours, by far", 93.456)
        self.table.add("theirs", 12345.6)

    def test_numbers_stand_to_the_right(self) -> None:
        lines = self.table.text().splitlines()
        self.assertEqual(lines, ["Pauses", "method        p50_us", "ours, by far   93.46", "theirs         12346"])

    def test_csv_is_read_back(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            self.table.write_csv(path)
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
        self.assertEqual(rows, [["method", "p50_us"], ["ours, by far", "93.46"], ["theirs", "12346"]])

    def test_a_row_has_a_cell_for_each_column(self) -> None:
        with self.assertRaises(ValueError):
            self.table.add("alone")


if __name__ == "__main__":
    unittest.main()
