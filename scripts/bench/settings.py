"""Places that the benchmarks agree on."""

from __future__ import annotations

import os
from pathlib import Path

from lab.settings import REPOSITORY, release_folder


class BenchError(Exception):
    """Something a benchmark needs did not work; the text is one line for a person."""


def results_folder() -> Path:
    """Where tables and plots are kept (`BENCH_RESULTS` overrides it)."""
    folder = Path(os.environ.get("BENCH_RESULTS") or REPOSITORY / "docs/bench").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def work_folder() -> Path:
    """Where traces, and what their guests build, are kept (`BENCH_WORK` overrides it)."""
    folder = Path(os.environ.get("BENCH_WORK") or REPOSITORY / "bench-work").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def program(name: str) -> str:
    """The path of a program that cargo built in release mode."""
    path = release_folder() / name
    if not path.exists():
        raise BenchError(f"{path} is missing: run cargo build --workspace --release")
    return str(path)
