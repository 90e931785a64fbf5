"""Both halves at the network in stub domains: the failover, and stub domains that somebody has taken over."""

from __future__ import annotations

from lab import stub_domain
from lab.arbiter import ETCD, EtcdArbiter, holder_id
from lab.failover import run_failover
from lab.instance import Lab
from lab.pollux import Protection
from lab.settings import GUEST_NAME
from lab.testing import expect, expect_more, lab_test, quiet_narrator, streaming, wait_until

STUB = Protection(arbiter=ETCD, stub=True)
MESSAGES = 100
# A takeover's time, or a decision's, in an emulator.
STALL_SECONDS = 60
LIE_SECONDS_MAX = 150


@lab_test("both halves in stub domains, host a dies: the stream goes on from host b, every byte verified")
def failover(lab: Lab) -> None:
    """As the failover of dom0's processes; the arbiter knows the hosts by their stub domains' addresses."""
    with EtcdArbiter(lab) as arbiter:
        outcome = run_failover(lab, STUB, quiet_narrator())
        expect(outcome.passed, outcome.describe())
        expect(arbiter.record() == (2, holder_id(lab.b, STUB)), f"the record is {arbiter.record()}")


@lab_test("stub domains on both hosts write nonsense into their rings: protect ends with an error, the guest runs on")
def both_lie(lab: Lab) -> None:
    """Somebody has taken them over, and gets no further than an error in dom0."""
    with EtcdArbiter(lab), streaming(lab, STUB) as (pair, client):
        for helper in (pair.backup, pair.primary):
            stub_domain.install(helper.host, helper.program, "ring=64M scribble")
            stub_domain.create(helper.host, helper.program)
        pair.stand_by()
        pair.protect()
        wait_until(
            lambda: pair.primary.exit_status() is not None, "protect goes on with a stub domain that lies", LIE_SECONDS_MAX
        )
        # stand-by may wait for a stub domain that does not lie.
        for helper, allowed in ((pair.primary, {1}), (pair.backup, {None, 1})):
            status = helper.exit_status()
            expect(status in allowed, f"{helper.program} ended with {status}: {helper.log(3).strip()}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the guest's stream stands still")
        revived = lab.b.run(f"xl domid {GUEST_NAME}", check=False).status == 0
        expect(not revived, f"host b has a guest: {pair.backup.log(3).strip()}")
