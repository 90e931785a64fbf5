"""Names, addresses and places that several rooms of the lab must agree on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ARBITERS = REPOSITORY / "scripts/arbiters"
ROOTFS = Path(__file__).resolve().parent / "rootfs"
TARGET_TRIPLE = "x86_64-unknown-linux-gnu"

AGENT_PORT = 7100
GUEST_CONTROL_PORT = 7000
GUEST_STREAM_PORT = 7001
GUEST_TCP_SINK_PORT = 7002
GUEST_UDP_SINK_PORT = 7003
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380

GUEST_NAME = "guest"
GUEST_ADDRESS = "10.77.0.10"
GUEST_MAC = "00:16:3e:77:00:10"
CLIENT_ADDRESS = "10.77.0.1"
MANAGEMENT_ADDRESS = "10.78.0.1"

REPLICATION_MTU = 9000

# A disk that both hosts see, and what it is called in dom0.
SHARED_DISK_FILE = "shared-disk.img"
SHARED_DISK_SIZE = 1 << 20
SHARED_DISK_DEVICE = "/dev/vda"


class LabError(Exception):
    """Something the lab needs did not work; the text is one line for a person."""


@dataclass(frozen=True)
class HostPlan:
    """What is fixed about a host: its letter decides its addresses."""

    letter: str

    @property
    def _number(self) -> int:
        return {"a": 2, "b": 3}[self.letter]

    @property
    def management_address(self) -> str:
        """Where the agent listens."""
        return f"10.78.0.{self._number}"

    @property
    def lan_address(self) -> str:
        """dom0's own address on the LAN bridge."""
        return f"10.77.0.{self._number}"

    @property
    def replication_address(self) -> str:
        """For tools that need IP between the hosts, such as `xl migrate`; Pollux does not."""
        return f"10.79.0.{self._number}"

    def mac(self, network: str) -> str:
        """The host's MAC address on `lan`, `repl` or `mgmt`, or that of its `stub` or `driver` domain on the
        replication network.
        """
        network_number = {"lan": 1, "repl": 2, "mgmt": 3, "stub": 4, "driver": 5}[network]
        return f"52:54:00:{self._number:02x}:00:{network_number:02x}"

    @property
    def peer(self) -> "HostPlan":
        """The other host."""
        return HostPlan("b" if self.letter == "a" else "a")


def work_folder() -> Path:
    """Where images, logs and the state of running labs are kept (`LAB_WORK` overrides it)."""
    folder = Path(os.environ.get("LAB_WORK") or REPOSITORY / "lab-work").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def release_folder() -> Path:
    """Where cargo puts the release binaries."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    return target / TARGET_TRIPLE / "release"
