"""A table of results: printed for people, kept as CSV for other programs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

Cell = str | float | int


@dataclass
class Table:
    """Rows under named columns; a column's name ends with its unit."""

    title: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Adds a row, a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))

    def text(self) -> str:
        """The table in columns; numbers stand to the right."""
        lines = [list(self.columns)] + [[_shown(cell) for cell in row] for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        is_number = [
            bool(self.rows) and not any(isinstance(row[column], str) for row in self.rows)
            for column in range(len(self.columns))
        ]
        shown = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, is_number, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *shown])

    def write_csv(self, path: Path) -> None:
        """Writes columns and rows; the title is the file's name's business."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([[_shown(cell) for cell in row] for row in self.rows])


def _shown(cell: Cell) -> str:
    """Four significant digits at most behind a point; whole numbers whole."""
    if not isinstance(cell, float):
        return str(cell)
    if cell == int(cell) or abs(cell) >= 1000:
        return str(round(cell))
    return f"{cell:.4g}"
