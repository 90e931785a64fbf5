"""The lab's arbiter: an etcd server that both hosts reach over the management network, and none of them is."""

from __future__ import annotations

import time

from lab.etcd import Etcd
from lab.instance import Lab
from lab.machine import Host
from lab.settings import ETCD_PEER_PORT, ETCD_PORT, GUEST_NAME, MANAGEMENT_ADDRESS, LabError

Record = tuple[int, str]
NO_RECORD: Record = (0, "-")


def holder_id(host: Host) -> str:
    """What a record calls a host: the MAC address of its first replication interface."""
    return host.plan.mac("repl")


class Arbiter:
    """An arbiter that begins without any record. Use it as a context."""

    def __init__(self, lab: Lab) -> None:
        self._etcd = Etcd(
            lab.folder / "etcd", MANAGEMENT_ADDRESS, ETCD_PORT, ETCD_PEER_PORT, namespace=lab.network.hosts
        )

    def __enter__(self) -> Arbiter:
        self._etcd.forget()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts the server, with the records that it had."""
        self._etcd.start()

    def kill(self) -> None:
        """Ends the server at once; it keeps its records."""
        self._etcd.kill()

    def record(self, domain: str = GUEST_NAME) -> Record:
        """The record of a domain, as term and holder; read without the helpers' script."""
        text = self._etcd.get(f"/pollux/{domain}")
        if text is None:
            return NO_RECORD
        term, _, holder = text.partition(" ")
        if not term.isdigit():
            raise LabError(f"the arbiter's record of {domain} is {text!r}")
        return int(term), holder

    def set_record(self, term: int, holder: str, domain: str = GUEST_NAME) -> None:
        """Writes a record by hand, as an operator would with etcdctl."""
        self._etcd.put(f"/pollux/{domain}", f"{term} {holder}")

    def wait_record(self, expected: Record, timeout: float = 10.0) -> None:
        """Waits until the guest's record is this one."""
        deadline = time.monotonic() + timeout
        while (found := self.record()) != expected:
            if time.monotonic() > deadline:
                raise LabError(f"the arbiter's record is {found}, not {expected}")
            time.sleep(0.2)
