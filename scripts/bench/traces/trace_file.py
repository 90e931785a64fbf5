"""Reads and writes page traces; the format is told in scripts/bench/programs/src/trace.rs."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench.settings import BenchError

MAGIC = b"PLXTRC01"
PAGE_BYTES = 4096
_HEADER = struct.Struct("<8sQQQ")
_NUMBER = struct.Struct("<Q")

Epoch = list[tuple[int, bytes]]


@dataclass(frozen=True)
class TraceHeader:
    """What stands at a trace's beginning."""

    gfn_count: int
    epoch_count: int
    interval_us: int


def read_header(path: Path) -> TraceHeader:
    """The header alone; anything but a trace is an error."""
    with path.open("rb") as file:
        return _header(file, path)


def epochs(path: Path) -> Iterator[Epoch]:
    """Each epoch's pages, as (gfn, bytes); the first is the image."""
    with path.open("rb") as file:
        header = _header(file, path)
        for number in range(header.epoch_count):
            (page_count,) = _NUMBER.unpack(_exactly(file, _NUMBER.size, path, number))
            pages: Epoch = []
            for _ in range(page_count):
                (gfn,) = _NUMBER.unpack(_exactly(file, _NUMBER.size, path, number))
                if gfn >= header.gfn_count:
                    raise BenchError(f"{path}: epoch {number} names gfn {gfn} of {header.gfn_count}: record it anew")
                pages.append((gfn, _exactly(file, PAGE_BYTES, path, number)))
            yield pages


def page_counts(path: Path) -> list[int]:
    """How many pages each epoch holds, without reading them."""
    counts = []
    with path.open("rb") as file:
        for number in range(_header(file, path).epoch_count):
            (page_count,) = _NUMBER.unpack(_exactly(file, _NUMBER.size, path, number))
            counts.append(page_count)
            file.seek(page_count * (_NUMBER.size + PAGE_BYTES), 1)
    return counts


def write(path: Path, gfn_count: int, interval_us: int, content: Sequence[Epoch]) -> None:
    """Writes a whole trace at once."""
    with path.open("wb") as file:
        file.write(_HEADER.pack(MAGIC, gfn_count, len(content), interval_us))
        for pages in content:
            file.write(_NUMBER.pack(len(pages)))
            for gfn, page in pages:
                if len(page) != PAGE_BYTES:
                    raise BenchError(f"{path}: the page of gfn {gfn} has {len(page)} bytes, not {PAGE_BYTES}")
                file.write(_NUMBER.pack(gfn) + page)


def _header(file: BinaryIO, path: Path) -> TraceHeader:
    start = file.read(_HEADER.size)
    if len(start) < _HEADER.size or not start.startswith(MAGIC):
        raise BenchError(f"{path} is no page trace: make one with scripts/bench.py traces")
    _, gfn_count, epoch_count, interval_us = _HEADER.unpack(start)
    return TraceHeader(gfn_count, epoch_count, interval_us)


def _exactly(file: BinaryIO, size: int, path: Path, epoch: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise BenchError(f"{path} ends within epoch {epoch}: record it anew")
    return data
