"""What the traced guests do, and what has to be on this machine for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.settings import BenchError, work_folder
from lab.packages import ensure_packages

PACKAGES = {
    "qemu-system-x86": "/usr/bin/qemu-system-x86_64",
    "seabios": "/usr/share/seabios/bios-256k.bin",
    "busybox-static": "/usr/bin/busybox",
    "linux-image-amd64": "/lib/modules/*-[0-9]*-amd64/kernel/drivers/xen/xen-privcmd.ko",
    "kmod": "/usr/sbin/depmod",
    "gcc": "/usr/bin/gcc",
    "make": "/usr/bin/make",
    "bc": "/usr/bin/bc",
    "flex": "/usr/bin/flex",
    "bison": "/usr/bin/bison",
    "libelf-dev": "/usr/include/gelf.h",
    "xz-utils": "/usr/bin/xz",
    "linux-source-6.1": "/usr/src/linux-source-6.1.tar.xz",
    "redis-server": "/usr/bin/redis-server",
    "redis-tools": "/usr/bin/redis-benchmark",
}
_SOURCE_ARCHIVE = Path("/usr/src/linux-source-6.1.tar.xz")
# A processor of 2 to 3 GHz at the 0.7 to 1 instructions per cycle that such work reaches.
INSTRUCTIONS_PER_NS = 2


@dataclass(frozen=True)
class Workload:
    """One kind of work. `script` runs as root in the guest; `ready` is what its console shows once it is at work."""

    name: str
    title: str
    script: Callable[[], str]
    ready: str
    # Idle guests pass their epochs waiting, busy ones computing.
    is_busy: bool = True

    def epoch_guest_us(self, interval_us: int) -> int:
        """How much of the guest's clock, which counts an instruction a nanosecond, is an epoch."""
        return interval_us * (INSTRUCTIONS_PER_NS if self.is_busy else 1)


_READY = "workload: ready"


def prepare() -> None:
    """Installs and builds what the workloads need."""
    ensure_packages(PACKAGES)


def _idle() -> str:
    return f"echo '{_READY}'\nwhile :; do sleep 3600; done\n"


def _kernel_build() -> str:
    source, output = _kernel_source()
    make = f"make -C {source} O={output}"
    return f"while {make} kernel/ mm/ fs/ lib/ && {make} clean; do :; done\n"


def _redis() -> str:
    """Random keys of 50 000 with values of 200 bytes, read and written by 20 clients in the same guest."""
    common = "redis-benchmark -q -r 50000 -d 200"
    return (
        "redis-server --save '' --appendonly no --maxmemory 64mb --daemonize yes\n"
        "until redis-cli ping; do sleep 0.1; done\n"
        f"{common} -t set -n 60000 -P 32 -c 4\n"
        f"echo '{_READY}'\n"
        f"{common} -l -t get -n 1000000 -c 10 >/dev/null &\n"
        f"{common} -l -t set -n 1000000 -c 10 >/dev/null\n"
    )


def _kernel_source() -> tuple[Path, Path]:
    """A kernel tree that is configured and prepared, so that the guest has only C files to compile."""
    source, output = work_folder() / "linux-source-6.1", work_folder() / "kernel-build"
    if (output / "prepared").exists():
        return source, output
    print("preparing a kernel tree", flush=True)
    shutil.rmtree(output, ignore_errors=True)
    _run(["tar", "-C", str(work_folder()), "-xf", str(_SOURCE_ARCHIVE)])
    for target in ("tinyconfig", "prepare"):
        _run(["make", "-C", str(source), f"O={output}", target])
    (output / "prepared").touch()
    return source, output


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    if result.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {result.stderr.strip()[-400:]}")


WORKLOADS = [
    Workload("idle", "idle guest", _idle, _READY, is_busy=False),
    Workload("kernel-build", "kernel build", _kernel_build, "  CC  "),
    Workload("redis", "redis under load", _redis, _READY),
]
