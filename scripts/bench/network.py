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
# Bytes that a port keeps for a link that is slower than what comes; larger switches have as much.
_SWITCH_QUEUE_SIZE = 4 << 20


@dataclass(frozen=True)
class Link:
    """A standing pair of namespaces; each holds one end, named INTERFACE."""

    primary: str
    backup: str
    primary_mac: str
    backup_mac: str


@contextmanager
def link(rate_mbit: int | None = None) -> Iterator[Link]:
    """Makes the namespaces and removes them, whatever happens in between.

    With a rate, a switch in a third namespace lets no more than that through, in each direction.
    """
    if os.geteuid() != 0:
        raise BenchError("the benchmarks make network namespaces: start them as root (try sudo)")
    prefix = f"bench{os.getpid()}"
    primary, backup, switch = (f"{prefix}{role}" for role in ("p", "b", "s"))
    names = [primary, backup] if rate_mbit is None else [primary, backup, switch]
    try:
        for name in names:
            run(["ip", "netns", "add", name])
        if rate_mbit is None:
            _join(primary, INTERFACE, backup, INTERFACE)
        else:
            _add_switch(switch, (primary, backup), rate_mbit)
        for name, address in ((primary, _PRIMARY_ADDRESS), (backup, BACKUP_ADDRESS)):
            # Nothing but the measured traffic: no router solicitations, no neighbour discovery.
            run(within(name, ["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6"]))
            run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", INTERFACE])
            run(["ip", "-n", name, "link", "set", INTERFACE, "up"])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        yield Link(primary, backup, _mac(primary), _mac(backup))
    finally:
        standing = run(["ip", "netns", "list"]).split()
        for name in names:
            if name in standing:
                run(["ip", "netns", "delete", name])


def _join(one: str, one_interface: str, other: str, other_interface: str) -> None:
    """A veth pair between two namespaces."""
    run([
        "ip", "-n", one, "link", "add", one_interface, "mtu", str(MTU), "type", "veth",
        "peer", "name", other_interface, "mtu", str(MTU), "netns", other,
    ])


def _add_switch(switch: str, hosts: Sequence[str], rate_mbit: int) -> None:
    """Joins both hosts by a bridge whose ports send at a rate; packet sockets pass by their own queues."""
    run(["ip", "-n", switch, "link", "add", "switch", "mtu", str(MTU), "type", "bridge"])
    run(["ip", "-n", switch, "link", "set", "switch", "up"])
    for number, host in enumerate(hosts):
        port = f"port{number}"
        _join(host, INTERFACE, switch, port)
        run(["ip", "-n", switch, "link", "set", port, "master", "switch", "up"])
        run(within(switch, [
            "tc", "qdisc", "add", "dev", port, "root", "tbf",
            "rate", f"{rate_mbit}mbit", "burst", "64kb", "limit", str(_SWITCH_QUEUE_SIZE),
        ]))


def within(namespace: str, command: Sequence[str]) -> list[str]:
    """The command that runs another one in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


def _mac(namespace: str) -> str:
    shown = json.loads(run(["ip", "-n", namespace, "-json", "link", "show", INTERFACE]))
    return str(shown[0]["address"])
