"""A guest under plain QEMU, without Xen: its memory is a file, this machine's files are its programs.

It boots Debian's kernel. The root file system is this machine's, read-only over 9p, under an overlay in
the guest's memory; so whatever is installed here runs there, and nothing it writes reaches this machine.
"""

from __future__ import annotations

import gzip
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.settings import BenchError
from bench.traces.qmp import Monitor
from lab.images import add_modules, base_archive
from lab.packages import kernel_version
from lab.processes import die_with_parent, end

MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]
READY_SECONDS_MAX = 900.0

_ENDED = "workload: ended"
_INIT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for module in virtio_pci 9pnet_virtio 9p overlay; do modprobe $module; done
ip link set lo up
mkdir -p /host /writes /root-of-all
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose host /host
mount -t tmpfs -o size=70% writes /writes
mkdir /writes/upper /writes/work
mount -t overlay -o lowerdir=/host,upperdir=/writes/upper,workdir=/writes/work overlay /root-of-all
for folder in proc sys dev; do mount --bind /$folder /root-of-all/$folder; done
cp /workload /root-of-all/workload
chroot /root-of-all /bin/sh /workload
echo "{ended}"
while :; do sleep 3600; done
"""


@dataclass(frozen=True)
class TracedGuest:
    """A running guest: its memory's file, its console's file, and the way to stop it."""

    memory: Path
    console: Path
    monitor: Monitor
    process: subprocess.Popen[bytes]

    def wait_for(self, line: str) -> None:
        """Waits until the guest has printed a line."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while line not in self._printed():
            self.check_at_work()
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the guest did not print '{line}': see {self.console}")
            time.sleep(0.2)

    def check_at_work(self) -> None:
        """A workload goes on for ever; one that has ended has failed."""
        if _ENDED in self._printed():
            raise BenchError(f"the guest's work failed: see {self.console}")

    def _printed(self) -> str:
        return self.console.read_text(errors="replace")


@contextmanager
def boot(folder: Path, memory_folder: Path, memory_mb: int, script: str) -> Iterator[TracedGuest]:
    """Starts a guest that runs `script`; it ends with the block."""
    memory = memory_folder / "memory"
    console = folder / "console.log"
    image = folder / "initramfs.img"
    version = kernel_version()
    image.write_bytes(_initramfs(version, script))
    monitor_path = memory_folder / "monitor"
    command = [
        "qemu-system-x86_64", "-M", "pc,memory-backend=ram", "-accel", "tcg,thread=single",
        "-icount", "shift=0,sleep=on", "-cpu", "qemu64", "-m", str(memory_mb),
        "-object", f"memory-backend-file,id=ram,size={memory_mb}M,mem-path={memory},share=on",
        "-kernel", f"/boot/vmlinuz-{version}", "-initrd", str(image),
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-nodefaults", "-display", "none", "-no-reboot",
        "-serial", f"file:{console}", "-qmp", f"unix:{monitor_path},server=on,wait=off",
        "-virtfs", "local,path=/,mount_tag=host,readonly=on,security_model=none,multidevs=remap",
    ]
    console.write_bytes(b"")
    with (folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
    try:
        monitor = Monitor(monitor_path)
        yield TracedGuest(memory, console, monitor, process)
        monitor.close()
    finally:
        end(process)


def _initramfs(version: str, script: str) -> bytes:
    archive = base_archive()
    add_modules(archive, version, MODULES)
    archive.file("/init", _INIT.replace("{ended}", _ENDED).encode(), 0o755)
    archive.file("/workload", script.encode(), 0o755)
    return gzip.compress(archive.content(), compresslevel=1, mtime=0)
