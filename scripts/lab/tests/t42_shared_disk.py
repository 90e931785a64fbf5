"""Arbitration by a disk that both hosts see, and no server: over neither the LAN nor the replication network."""

from __future__ import annotations

from lab.arbiter import SHARED_DISK, SharedDisk, holder_id
from lab.instance import Lab
from lab.pollux import Protection
from lab.settings import GUEST_NAME, SHARED_DISK_DEVICE
from lab.testing import expect, lab_test, protected_stream
from lab.tests.t16_arbiter import cut_link, link_mended_afterwards


@lab_test("the replication link is cut between two healthy hosts that share a disk: one lives, as they agree there")
def link_is_cut_disk(lab: Lab) -> None:
    """First, both hosts see one record."""
    options = Protection(arbiter=SHARED_DISK)
    with SharedDisk(lab) as disk, link_mended_afterwards(lab), protected_stream(lab, options) as (pair, client):
        expect(disk.record() == (1, holder_id(lab.a)), f"the record is {disk.record()} under protection")
        told = lab.b.run(
            f"backup-helper disk-arbiter {SHARED_DISK_DEVICE} {holder_id(lab.b)} {holder_id(lab.a)} get {GUEST_NAME}"
        ).stdout.strip()
        expect(told == f"1 {holder_id(lab.a)}", f"host b reads '{told}' from the disk")
        cut_link(lab, disk, pair, client)
