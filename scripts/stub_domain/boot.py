"""Boots a stub domain's image in QEMU, alone or as the PVH dom0 of Xen, and tells how it ended.

An image that ends as it should says so by QEMU's isa-debug-exit, whose status no other end of QEMU has.
"""

from __future__ import annotations

import functools
import gzip
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASE = REPOSITORY / "target/stub-domain/x86_64-unknown-linux-gnu/release"
IMAGES = {name: RELEASE / name for name in ("primary-helper", "backup-helper")}
XEN = Path("/boot/xen-4.17-amd64.gz")

# A boot takes about half a second alone and one to three with Xen; a machine may be busy.
SECONDS_MAX = 60
DEBUG_EXIT = "debug-exit=0xf4"
QEMU = [
    *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-display", "none", "-serial", "stdio"),
    *("-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
]
# Xen needs SVM and nested paging; the image AES and RDRAND. `max` has AVX2 besides.
XEN_CPU = "qemu64,+svm,+npt,+aes,+rdrand"
XEN_WORDS = "console=com1 dom0=pvh dom0-iommu=none dom0_mem=64M"


@dataclass(frozen=True)
class Ending:
    """The image's exit status, none if it gave none in time, and the lines that it wrote."""

    status: int | None
    lines: list[str]

    def __str__(self) -> str:
        return "\n".join([f"status {self.status}", *self.lines])


def build() -> None:
    """Builds both images."""
    subprocess.run(["cargo", "stub-domain", "--quiet"], cwd=REPOSITORY, check=True)


def boot_alone(image: Path, words: str, cpu: str = "max") -> Ending:
    """Boots without Xen; `words` are the image's command line."""
    return _boot(["-cpu", cpu, "-m", "64", "-kernel", str(image), "-append", f"{DEBUG_EXIT} {words}"])


def boot_on_xen(image: Path, words: str) -> Ending:
    """Boots as Xen's dom0."""
    module = f"{image} {DEBUG_EXIT} {words}"
    machine = ["-cpu", XEN_CPU, "-m", "512", "-kernel", str(_unpacked_xen())]
    return _boot([*machine, "-append", XEN_WORDS, "-initrd", module])


def _boot(arguments: list[str]) -> Ending:
    try:
        ended = subprocess.run(
            [*QEMU, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX, check=False
        )
        output, code = ended.stdout, ended.returncode
    except subprocess.TimeoutExpired as expired:
        output, code = expired.stdout or b"", 0
    lines = output.decode(errors="replace").splitlines()
    # The device makes an odd number of every status.
    status = code // 2 if code > 0 and code % 2 == 1 and not _is_qemu_at_fault(lines, code) else None
    return Ending(status, [line for line in lines if line and not line.startswith("(XEN)")])


def _is_qemu_at_fault(lines: list[str], code: int) -> bool:
    """Whether QEMU itself failed, which it says with the status that is also an image's success."""
    return code == 1 and not any(re.match(r"\S+-helper \S+: stub domain on ", line) for line in lines)


@functools.cache
def _unpacked_xen() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="pollux-xen-")
    _folders.append(folder)
    unpacked = Path(folder.name) / "xen"
    unpacked.write_bytes(gzip.decompress(XEN.read_bytes()))
    return unpacked


# Kept as long as the tests run.
_folders: list[tempfile.TemporaryDirectory[str]] = []
