"""Prints a result and keeps it beside the earlier ones."""

from __future__ import annotations

from typing import Protocol
from pathlib import Path

from bench.settings import results_folder
from bench.table import Table


class Drawing(Protocol):
    """Whatever can be written as a picture."""

    def write(self, path: Path) -> None:
        """Writes the picture to a file."""


def keep(table: Table, drawing: Drawing, name: str) -> None:
    """Prints the table; writes it as CSV, and the drawing as SVG."""
    folder = results_folder()
    table.write_csv(folder / f"{name}.csv")
    drawing.write(folder / f"{name}.svg")
    print(f"\n{table.text()}\n{folder / name}.csv, .svg", flush=True)
