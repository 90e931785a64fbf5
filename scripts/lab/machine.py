"""One Xen host: a QEMU process that runs Xen with a Debian dom0 in memory."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.agent import Agent, Result
from lab.images import Images
from lab.monitor import Monitor
from lab.network import Network
from lab.settings import REPLICATION_MTU, SHARED_DISK_FILE, SHARED_DISK_SIZE, HostPlan, LabError

# qemu64 with the extras is what Xen, its nested paging, the AEAD and a stub domain's entropy need; richer models
# crash dom0 under TCG.
CPU_MODEL = "qemu64,+svm,+npt,+aes,+pclmulqdq,+ssse3,+sse4.1,+rdrand"
# QEMU's own default is a gigabyte for each host, which buys nothing here.
TRANSLATION_CACHE_MB = 256
MONITOR_SECONDS_MAX = 10.0
# It reads what nobody writes.
_WAIT_SECONDS = (
    "[[ -p /run/lab-wait ]] || mkfifo /run/lab-wait; exec 9<>/run/lab-wait || exit 2; "
    "wait_seconds() { read -rt $1 -u 9; (($? > 128)) || exit 2; }"
)

# vCPUs of a guest that get a core of their own; more of them share. Every core that waits for another in
# Xen keeps one of the few real cores that emulate them all, and that other may be the one it waits for.
GUEST_CORES_MAX = 2


def cores_for(vcpus: int, dom0_vcpus: int) -> int:
    """Cores of a host whose guest has so many vCPUs."""
    return dom0_vcpus + min(vcpus, GUEST_CORES_MAX)


@dataclass(frozen=True)
class Shape:
    """How a host is built; all hosts of a lab share it."""

    pcpus: int = 2
    dom0_vcpus: int = 1
    memory_mb: int = 1792
    dom0_memory_mb: int = 768
    nic: str = "virtio-net-pci"


class Host:
    """A host that is running or can be started. Commands go through its agent."""

    def __init__(self, plan: HostPlan, network: Network, folder: Path, shape: Shape) -> None:
        self.plan = plan
        self.network = network
        self.folder = folder
        self.shape = shape
        self.agent = Agent(plan.letter, network.hosts, plan.management_address)
        self.process: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        """`a` or `b`."""
        return self.plan.letter

    @property
    def shell_socket(self) -> Path:
        """The second serial port, where an interactive shell waits."""
        return self.folder / f"{self.name}-shell.sock"

    @property
    def shared_disk(self) -> Path:
        """What the disk is that all hosts of a lab see."""
        return self.folder / SHARED_DISK_FILE

    @property
    def console_log(self) -> Path:
        """What Xen and dom0's kernel print."""
        return self.folder / f"{self.name}-console.log"

    @property
    def monitor_socket(self) -> Path:
        """QEMU's control connection."""
        return self.folder / f"{self.name}-monitor.sock"

    @property
    def saved(self) -> Path:
        """Where `save` leaves the host."""
        return self.folder / f"{self.name}-saved"

    def save(self) -> None:
        """Ends the host and leaves it in a file, from which it can be started as it is now, again and again.

        Its guests must be paused: QEMU takes no processor back that was in a guest.
        """
        with Monitor(self.monitor_socket) as monitor:
            monitor.save(self.saved)
        self.kill()

    def start(self, images: Images, saved: bool = False) -> None:
        """Starts QEMU, from nothing or with the host as it was saved; `wait_ready` then waits for the agent."""
        assert self.process is None or self.process.poll() is not None, "the host is running already"
        for path in (self.shell_socket, self.monitor_socket):
            path.unlink(missing_ok=True)
        if not self.shared_disk.exists():
            self.shared_disk.write_bytes(bytes(SHARED_DISK_SIZE))
        with open(self.folder / f"{self.name}-qemu.log", "wb") as log:
            command = self._command(images)
            if saved:
                command += ["-incoming", f"exec:cat {shlex.quote(str(self.saved))}"]
            self.process = self.network.popen(self.network.hosts, command, stdout=log, stderr=log)
        if saved:
            self._wait_for_monitor()
            with Monitor(self.monitor_socket) as monitor:
                monitor.go_on()

    def _wait_for_monitor(self) -> None:
        deadline = time.monotonic() + MONITOR_SECONDS_MAX
        while not self.monitor_socket.exists():
            if not self.running or time.monotonic() > deadline:
                raise LabError(f"host {self.name}: QEMU does not start, see {self.folder}/{self.name}-qemu.log")
            time.sleep(0.02)

    def _command(self, images: Images) -> list[str]:
        shape, plan = self.shape, self.plan
        xen_line = (
            f"console=com1 loglvl=info guest_loglvl=info dom0_mem={shape.dom0_memory_mb}M,max:"
            f"{shape.dom0_memory_mb}M dom0_max_vcpus={shape.dom0_vcpus} dom0_vcpus_pin"
        )
        dom0_line = (
            f"console=hvc0 quiet clocksource=xen lab.host={plan.letter} lab.mgmt={plan.management_address} "
            f"lab.lan={plan.lan_address} lab.repl={plan.replication_address} lab.mtu={REPLICATION_MTU}"
        )
        command = [
            "qemu-system-x86_64", "-name", f"{self.network.prefix}-{plan.letter}",
            "-accel", f"tcg,thread=multi,tb-size={TRANSLATION_CACHE_MB}", "-machine", "q35", "-cpu", CPU_MODEL,
            "-smp", str(shape.pcpus), "-m", str(shape.memory_mb),
            "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", f"file:{self.console_log}",
            "-serial", f"unix:{self.shell_socket},server=on,wait=off",
            "-qmp", f"unix:{self.monitor_socket},server=on,wait=off",
            "-kernel", str(images.xen), "-append", xen_line,
            # QEMU splits multiboot modules at commas: the kernel with its command line, then the initramfs.
            "-initrd", f"{images.kernel} {dom0_line},{images.dom0}",
        ]
        # Written through, so that killing this process loses nothing of what was reported written.
        command += [
            "-drive", f"if=none,id=shared,format=raw,cache=writethrough,file.locking=off,file={self.shared_disk}",
            "-device", "virtio-blk-pci,drive=shared,share-rw=on",
        ]
        for network in ("lan", "repl", "mgmt"):
            command += [
                "-netdev", f"tap,id={network},ifname={network}-{plan.letter},script=no,downscript=no",
                "-device", self._nic(network),
            ]
        return command

    def _nic(self, network: str) -> str:
        options = f"{self.shape.nic},netdev={network},mac={self.plan.mac(network)},romfile="
        if self.shape.nic.startswith("virtio") and network == "repl":
            options += f",host_mtu={REPLICATION_MTU}"
        return options

    def wait_ready(self, timeout: float = 180.0) -> None:
        """Waits until the agent answers; says where to look when it does not."""
        deadline = time.monotonic() + timeout
        while not self.agent.answers():
            if self.process is not None and self.process.poll() is not None:
                raise LabError(f"host {self.name}: QEMU ended while booting, see {self.console_log}")
            if time.monotonic() > deadline:
                raise LabError(f"host {self.name}: not up after {timeout:.0f} s, see {self.console_log}")
            time.sleep(0.25)

    def give_way(self) -> None:
        """Lets this host run only where no other wants a real core: what another emulates then hardly ever
        waits for it, as a real host waits for none.
        """
        assert self.process is not None, "only the lab that started a host knows its threads"
        for folder in Path(f"/proc/{self.process.pid}/task").iterdir():
            # QEMU's helping threads come and go.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(folder.name), os.SCHED_IDLE, os.sched_param(0))

    def run(self, script: str, timeout: float = 60.0, check: bool = True) -> Result:
        """Runs a script in dom0."""
        return self.agent.run(script, timeout, check)

    def waits(self, script: str, timeout: float) -> bool:
        """Runs a bash script that waits for something with `wait_seconds N`, which starts no process: under a
        flood a busy host takes seconds for that. Whether it ended with status 0; 1 is no.
        """
        result = self.run(f"{_WAIT_SECONDS}; {script}", timeout, check=False)
        if result.status > 1:
            raise LabError(f"host {self.name} cannot wait: {result.stderr.strip()}")
        return result.status == 0

    def push(self, source: Path | bytes, path: str, mode: int | None = None) -> None:
        """Writes a file in dom0."""
        self.agent.push(source, path, mode)

    def kill(self) -> float:
        """Pulls the plug: SIGKILL to QEMU. Returns the moment on the monotonic clock."""
        assert self.process is not None, "only the lab that started a host can kill it"
        moment = time.monotonic()
        self.process.kill()
        self.process.wait(timeout=30)
        return moment

    @property
    def running(self) -> bool:
        """Whether QEMU is there."""
        return self.process is not None and self.process.poll() is None
