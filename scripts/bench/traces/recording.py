"""Records traces: runs a guest to its work, then stops it once an epoch and keeps what changed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.settings import BenchError, program, work_folder
from bench.traces.clock import GuestClock
from bench.traces.guest import TracedGuest, boot
from bench.traces.trace_file import page_counts
from bench.traces.workloads import WORKLOADS, Workload, prepare
from lab.packages import build_programs

INTERVAL_US = 25_000
# The guest's own seconds between its being ready and the image: caches fill, loads get going.
SETTLE_GUEST_US = 2_000_000


def trace_path(workload: Workload) -> Path:
    """Where a workload's trace is kept."""
    folder = work_folder() / "traces"
    folder.mkdir(exist_ok=True)
    return folder / f"{workload.name}.trace"


def record_all(names: list[str], epoch_count: int, memory_mb: int) -> int:
    """Records the traces named, or all."""
    unknown = set(names) - {workload.name for workload in WORKLOADS}
    if unknown:
        raise BenchError(f"there is no workload {', '.join(sorted(unknown))}: bench.py traces --help lists them")
    prepare()
    build_programs("bench-programs")
    for workload in WORKLOADS:
        if not names or workload.name in names:
            _record(workload, epoch_count, memory_mb)
    return 0


def _record(workload: Workload, epoch_count: int, memory_mb: int) -> None:
    print(f"{workload.title}: booting a guest of {memory_mb} MB", flush=True)
    folder = work_folder() / "guests" / workload.name
    folder.mkdir(parents=True, exist_ok=True)
    # In memory: the guest's every store goes to this file.
    memory_folder = Path(tempfile.mkdtemp(prefix="bench-", dir="/dev/shm"))
    try:
        with boot(folder, memory_folder, memory_mb, workload.script()) as guest:
            guest.wait_for(workload.ready)
            _record_epochs(workload, guest, memory_folder, epoch_count)
    finally:
        shutil.rmtree(memory_folder, ignore_errors=True)


def _record_epochs(workload: Workload, guest: TracedGuest, scratch: Path, epoch_count: int) -> None:
    aside = trace_path(workload).with_suffix(".part")
    aside.unlink(missing_ok=True)
    clock = GuestClock(guest.monitor)
    guest.monitor.execute("stop")
    clock.run_for(SETTLE_GUEST_US)
    lengths_us = []
    _append(guest, scratch, aside)
    for number in range(1, epoch_count + 1):
        lengths_us.append(clock.run_for(workload.epoch_guest_us(INTERVAL_US)))
        _append(guest, scratch, aside)
        if number % 50 == 0:
            print(f"{workload.title}: {number} of {epoch_count} epochs", flush=True)
    guest.check_at_work()
    aside.rename(trace_path(workload))
    _, *counts = page_counts(trace_path(workload))
    mean_ms = sum(lengths_us) / len(lengths_us) / 1000
    print(
        f"{workload.title}: {trace_path(workload)}: {epoch_count} epochs of {mean_ms:.1f} ms on the guest's clock, "
        f"{sum(counts) / len(counts):.0f} dirty pages each ({min(counts)} to {max(counts)})",
        flush=True,
    )


def _append(guest: TracedGuest, scratch: Path, trace: Path) -> None:
    command = [program("record-epoch"), str(guest.memory), str(scratch / "previous"), str(trace), str(INTERVAL_US)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode != 0:
        raise BenchError(result.stderr.strip())
