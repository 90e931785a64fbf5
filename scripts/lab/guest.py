"""The lab's guests: their xl configurations, their creation and their control connection."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.machine import Host
from lab.network import Network, connect
from lab.settings import GUEST_ADDRESS, GUEST_CONTROL_PORT, GUEST_MAC, GUEST_NAME, LabError

GUEST_MEMORY_MB = 128


def config_path(vcpus: int) -> str:
    """Where the configuration of a guest with so many vCPUs is, on both hosts."""
    return "/etc/xen/guest.cfg" if vcpus == 1 else f"/etc/xen/guest-{vcpus}.cfg"


def config_text(vcpus: int, pcpus: int) -> str:
    """A guest as anyone would write it; nothing in it is there for Pollux.

    Several vCPUs are pinned, in turn to the cores after dom0's: the emulator can crash unpinned ones.
    """
    cores = [str(1 + index % max(pcpus - 1, 1)) for index in range(vcpus)]
    cpus = ", ".join(f'"{core}"' for core in cores)
    return f"""name = "{GUEST_NAME}"
type = "pvh"
kernel = "/boot/vmlinuz"
ramdisk = "/boot/guest.img"
extra = "console=hvc0 quiet lab.address={GUEST_ADDRESS}"
memory = {GUEST_MEMORY_MB}
vcpus = {vcpus}
cpus = [{cpus}]
vif = ["mac={GUEST_MAC},bridge=xenbr0"]
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
"""


def install_configs(host: Host) -> None:
    """Writes the configurations for 1, 2 and 4 vCPUs; the pinning follows the host's cores."""
    for vcpus in (1, 2, 4):
        host.push(config_text(vcpus, host.shape.pcpus).encode(), config_path(vcpus))


@dataclass(frozen=True)
class GuestControl:
    """The guest's control port, reached from the client's namespace: see guest-load."""

    network: Network

    def ask(self, line: str, timeout: float = 20.0) -> list[str]:
        """Sends one command and returns the lines of its answer."""
        with connect(self.network.client, GUEST_ADDRESS, GUEST_CONTROL_PORT, timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(line.encode() + b"\n")
            answer = bytearray()
            while not answer.endswith(b".\n") or (len(answer) > 2 and not answer.endswith(b"\n.\n")):
                chunk = connection.recv(1 << 16)
                if not chunk:
                    raise LabError(f"the guest closed the control connection at `{line}`")
                answer += chunk
        lines = answer.decode().splitlines()[:-1]
        if lines and lines[0].startswith("error"):
            raise LabError(f"the guest answered `{line}` with: {lines[0]}")
        return lines

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Waits until the guest's programs answer."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.ask("info", timeout=2.0)
                return
            except (OSError, LabError):
                if time.monotonic() > deadline:
                    raise LabError(f"the guest does not answer after {timeout:.0f} s") from None
                time.sleep(0.25)


def create_guest(host: Host, vcpus: int = 1, wait: bool = True) -> None:
    """Creates the guest on a host and waits for its programs."""
    host.run(f"xl create {config_path(vcpus)}", timeout=90)
    if wait:
        GuestControl(host.network).wait_ready()


def destroy_guest(host: Host) -> None:
    """Removes the guest if it is there."""
    host.run(f"xl destroy {GUEST_NAME}", timeout=60, check=False)
