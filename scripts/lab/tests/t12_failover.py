"""The main job: the host dies, the guest's stream goes on, byte for byte."""

from __future__ import annotations

from lab.arbiter import ETCD, EtcdArbiter, holder_id
from lab.failover import run_failover
from lab.instance import Lab
from lab.pollux import INTERVAL_MS_BY_VCPUS, Protection
from lab.testing import expect, lab_test, quiet_narrator


@lab_test("host a dies: the client's stream goes on from host b, by the arbiter's word, every byte verified")
def failover(lab: Lab) -> None:
    """The default interval. Protection has taken term 1, host b claims the next one."""
    with EtcdArbiter(lab) as arbiter:
        _fail_over(lab, Protection(arbiter=ETCD))
        expect(arbiter.record() == (2, holder_id(lab.b)), f"the record is {arbiter.record()}")


@lab_test("host a dies: a guest with 2 pinned vCPUs goes on from host b, every byte verified")
def failover_two_vcpus(lab: Lab) -> None:
    """Each vCPU has events, timers and a place in the event array of its own."""
    _fail_over(lab, Protection(vcpus=2, interval_ms=INTERVAL_MS_BY_VCPUS[2]))


@lab_test("host a dies: a guest with 4 pinned vCPUs goes on from host b, every byte verified")
def failover_four_vcpus(lab: Lab) -> None:
    """Four control blocks, timers and vcpu_infos to find and to set up again."""
    _fail_over(lab, Protection(vcpus=4, interval_ms=INTERVAL_MS_BY_VCPUS[4]))


def _fail_over(lab: Lab, options: Protection) -> None:
    outcome = run_failover(lab, options, quiet_narrator())
    expect(outcome.passed, outcome.describe())
