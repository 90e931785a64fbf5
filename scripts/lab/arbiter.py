"""The lab's arbiters: an etcd server that both hosts reach over the management network and that none of them is,
and a disk that both hosts see."""

from __future__ import annotations

import struct
import time

from lab.etcd import Etcd
from lab.instance import Lab
from lab.machine import Host
from lab.pollux import ARBITER_PATH, Protection
from lab.settings import (
    ETCD_PEER_PORT, ETCD_PORT, GUEST_NAME, MANAGEMENT_ADDRESS, SHARED_DISK_DEVICE, SHARED_DISK_SIZE, LabError,
)

# What `Protection.arbiter` takes.
ETCD = f"exec:{ARBITER_PATH}"
SHARED_DISK = f"disk:{SHARED_DISK_DEVICE}"

# From one host's sector to the other's, and what begins each; see the helpers' `arbiter::disk`.
SECTOR_DISTANCE = 4096
SECTOR_HEAD = struct.Struct("<8s6s2x6s2xQ6s2x")
SECTOR_MAGIC = b"pollux-1"

Record = tuple[int, str]
NO_RECORD: Record = (0, "-")


def holder_id(host: Host, options: Protection | None = None) -> str:
    """What a record calls a host: the MAC address of its end of the first replication link."""
    return (options or Protection()).mac(host)


class Arbiter:
    """What any arbiter offers; it begins without any record. Use it as a context."""

    def record(self, domain: str = GUEST_NAME) -> Record:
        """The record of a domain, as term and holder; read without the helpers' programs."""
        raise NotImplementedError

    def wait_record(self, expected: Record, timeout: float = 10.0) -> None:
        """Waits until the guest's record is this one."""
        deadline = time.monotonic() + timeout
        while (found := self.record()) != expected:
            if time.monotonic() > deadline:
                raise LabError(f"the arbiter's record is {found}, not {expected}")
            time.sleep(0.2)


class EtcdArbiter(Arbiter):
    """An etcd server."""

    def __init__(self, lab: Lab) -> None:
        self._etcd = Etcd(
            lab.folder / "etcd", MANAGEMENT_ADDRESS, ETCD_PORT, ETCD_PEER_PORT, namespace=lab.network.hosts
        )

    def __enter__(self) -> EtcdArbiter:
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


class SharedDisk(Arbiter):
    """The lab's shared disk."""

    def __init__(self, lab: Lab) -> None:
        self._path = lab.a.shared_disk

    def __enter__(self) -> SharedDisk:
        self._path.write_bytes(bytes(SHARED_DISK_SIZE))
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self, domain: str = GUEST_NAME) -> Record:
        content = self._path.read_bytes()
        records = [NO_RECORD]
        for offset in (0, SECTOR_DISTANCE):
            magic, _, _, term, holder = SECTOR_HEAD.unpack_from(content, offset)
            if magic == SECTOR_MAGIC and term > 0:
                records.append((term, holder.hex(":")))
        return max(records)
