"""Two network namespaces joined by a veth pair: the link between two hosts, on one machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.settings import BenchError
from lab.processes import run

MTU = 9000
INTERFACE = "link0"
BACKUP_ADDRESS = "10.79.0.3"
_PRIMARY_ADDRESS = "10.79.0.2"


@dataclass(frozen=True)
class Link:
    """A standing pair of namespaces; each holds one end, named INTERFACE."""

    primary: str
    backup: str
    primary_mac: str
    backup_mac: str


@contextmanager
def link() -> Iterator[Link]:
    """Makes the namespaces and removes them, whatever happens in between."""
    if os.geteuid() != 0:
        raise BenchError("the benchmarks make network namespaces: start them as root (try sudo)")
    prefix = f"bench{os.getpid()}"
    names = [f"{prefix}{role}" for role in ("p", "b")]
    try:
        for name in names:
            run(["ip", "netns", "add", name])
        run([
            "ip", "-n", names[0], "link", "add", INTERFACE, "mtu", str(MTU), "type", "veth",
            "peer", "name", INTERFACE, "mtu", str(MTU), "netns", names[1],
        ])
        for name, address in zip(names, (_PRIMARY_ADDRESS, BACKUP_ADDRESS), strict=True):
            # Nothing but the measured traffic: no router solicitations, no neighbour discovery.
            run(within(name, ["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6"]))
            run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", INTERFACE])
            run(["ip", "-n", name, "link", "set", INTERFACE, "up"])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        yield Link(names[0], names[1], _mac(names[0]), _mac(names[1]))
    finally:
        standing = run(["ip", "netns", "list"]).split()
        for name in names:
            if name in standing:
                run(["ip", "netns", "delete", name])


def within(namespace: str, command: Sequence[str]) -> list[str]:
    """The command that runs another one in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


def _mac(namespace: str) -> str:
    shown = json.loads(run(["ip", "-n", namespace, "-json", "link", "show", INTERFACE]))
    return str(shown[0]["address"])
