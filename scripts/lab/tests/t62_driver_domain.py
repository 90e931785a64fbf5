"""A driver domain between a stub domain at the network and the replication network."""

from __future__ import annotations

from lab import driver_domain, stub_domain
from lab.arbiter import EtcdArbiter, holder_id
from lab.instance import Lab
from lab.pollux import PROTECTED_SECONDS_MAX
from lab.testing import expect_more, lab_test, streaming
from lab.tests.t13_stub_domain import MESSAGES, STALL_SECONDS, STUB
from lab.tests.t16_arbiter import expect_one_lives


@lab_test("a driver domain serves the receiving stub domain's vif and is destroyed: one host lives, the stream goes on")
def driver_domain_dies(lab: Lab) -> None:
    """Protection works over it, and its death is that of the link, which is all that it can do.

    On host B alone: on host A it would take the guest's core, and four domains are more than an emulator carries.
    """
    with EtcdArbiter(lab) as arbiter, streaming(lab, STUB) as (pair, client):
        driver_domain.create(lab, lab.b)
        stub_domain.install(lab.b, pair.backup.program, backend=driver_domain.NAME)
        stub_domain.create(lab.b, pair.backup.program)
        pair.stand_by()
        pair.protect()
        pair.wait_protected(PROTECTED_SECONDS_MAX * 2)
        arbiter.wait_record((1, holder_id(lab.a, STUB)))
        expect_more(client, MESSAGES, STALL_SECONDS, "the stream stands still under protection over a driver domain")
        lab.b.run(f"xl destroy {driver_domain.NAME}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the stream goes on from neither host")
        expect_one_lives(lab, arbiter, pair)
