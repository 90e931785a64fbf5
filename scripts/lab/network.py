"""The lab's networks, in two network namespaces of its own.

The hosts' namespace holds three bridges, each with a tap per host: `lan` (guests and client), `repl`
(replication, jumbo frames) and `mgmt` (the agent). The client's namespace is joined to `lan` by a veth pair.
Nothing is connected to the machine's own network.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from lab.processes import die_with_parent, run
from lab.settings import CLIENT_ADDRESS, MANAGEMENT_ADDRESS, REPLICATION_MTU, LabError

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)
BRIDGES = ("lan", "repl", "mgmt")


@dataclass(frozen=True)
class Network:
    """The two namespaces of one lab; the prefix makes their names its own."""

    prefix: str

    @property
    def hosts(self) -> str:
        """Namespace of the bridges and of QEMU."""
        return f"{self.prefix}h"

    @property
    def client(self) -> str:
        """Namespace of the client on the LAN."""
        return f"{self.prefix}c"

    def create(self, letters: Sequence[str]) -> None:
        """Makes namespaces, bridges and taps."""
        run(["ip", "netns", "add", self.hosts])
        run(["ip", "netns", "add", self.client])
        self._ip("link", "set", "lo", "up")
        for bridge in BRIDGES:
            self._ip("link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
            # Without it the bridge would hold back frames of unknown groups, and answer some itself.
            self._ip("link", "set", bridge, "type", "bridge", "mcast_snooping", "0")
            for letter in letters:
                self._add_tap(bridge, letter)
            self._ip("link", "set", bridge, "up")
        self._ip("address", "add", f"{MANAGEMENT_ADDRESS}/24", "dev", "mgmt")
        self._join_client()

    def _add_tap(self, bridge: str, letter: str) -> None:
        tap = f"{bridge}-{letter}"
        self._ip("tuntap", "add", "dev", tap, "mode", "tap")
        if bridge == "repl":
            self._ip("link", "set", tap, "mtu", str(REPLICATION_MTU))
        self._ip("link", "set", tap, "master", bridge, "up")

    def _join_client(self) -> None:
        self._ip("link", "add", "lan-client", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        self._ip("link", "set", "lan-client", "master", "lan", "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{CLIENT_ADDRESS}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            run(["ip", "-n", self.client, *words])

    def _ip(self, *words: str) -> None:
        run(["ip", "-n", self.hosts, *words])

    def delete(self) -> None:
        """Removes both namespaces, and with them every bridge and tap."""
        for name in (self.client, self.hosts):
            if name in list_namespaces():
                subprocess.run(["ip", "netns", "delete", name], check=False, timeout=30)

    def forget_places(self) -> None:
        """Makes the client ask anew where the guest is, and so the bridge learn it.

        A guest that boots announces itself; one whose host was started from a file does not know that it moved.
        """
        run(["ip", "-n", self.client, "neighbour", "flush", "dev", "eth0"])

    def set_replication(self, up: bool) -> None:
        """Cuts or mends the replication link, at the switch: both hosts keep their carrier."""
        for letter in "ab":
            tap = f"repl-{letter}"
            if tap in self._links():
                self._ip("link", "set", tap, *(("master", "repl") if up else ("nomaster",)))

    def _links(self) -> set[str]:
        listing = run(["ip", "-n", self.hosts, "-brief", "link"])
        return {line.split()[0].split("@")[0] for line in listing.splitlines()}

    def popen(
        self, namespace: str, command: Sequence[str], stdin: int = subprocess.DEVNULL,
        stdout: IO[bytes] | int | None = None, stderr: IO[bytes] | int | None = None,
    ) -> subprocess.Popen[str]:
        """Starts a program in one of the namespaces; it ends with the lab."""
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command],
            preexec_fn=die_with_parent, text=True, stdin=stdin, stdout=stdout, stderr=stderr,
        )


def list_namespaces() -> set[str]:
    """Names of the machine's network namespaces."""
    listing = run(["ip", "netns", "list"])
    return {line.split()[0] for line in listing.splitlines() if line.strip()}


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Puts the calling thread into a namespace for a moment; sockets made there stay there."""
    with open("/proc/thread-self/ns/net", "rb") as home:
        with open(f"/run/netns/{namespace}", "rb") as target:
            _set_namespace(target.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


def connect(namespace: str, address: str, port: int, timeout: float) -> socket.socket:
    """Opens a TCP connection from inside a namespace."""
    with entered(namespace):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect((address, port))
    except BaseException:
        connection.close()
        raise
    return connection
