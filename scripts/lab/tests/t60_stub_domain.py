"""Both halves at the network in stub domains: the failover, and stub domains that are destroyed, hang and return."""

from __future__ import annotations

from dataclasses import replace

from lab import stub_domain
from lab.arbiter import ETCD, EtcdArbiter, holder_id
from lab.failover import run_failover
from lab.instance import Lab
from lab.pollux import PROTECTED, PROTECTED_SECONDS_MAX, Helper, Pair, Protection
from lab.stub_domain import NAMES
from lab.testing import expect, expect_more, lab_test, protected_stream, quiet_narrator
from lab.tests.t35_changes import wait_until

STUB = Protection(arbiter=ETCD, stub=True)
# So long a backup waits that host a, which sees at once that its stub domain is gone, has claimed the guest before.
PATIENT_TIMEOUT_MS = 10_000
MESSAGES = 100
# A takeover's time, or a decision's, in an emulator.
STALL_SECONDS = 60
# What a helper says when its stub domain is gone, and nothing says later.
RETURN = "is there again"
# A stub domain's heart may stand still for ten seconds.
HANG_SECONDS_MAX = 60


@lab_test("both halves in stub domains, host a dies: the stream goes on from host b, every byte verified")
def failover(lab: Lab) -> None:
    """As the failover of dom0's processes; the arbiter knows the hosts by their stub domains' addresses."""
    with EtcdArbiter(lab) as arbiter:
        outcome = run_failover(lab, STUB, quiet_narrator())
        expect(outcome.passed, outcome.describe())
        expect(arbiter.record() == (2, holder_id(lab.b, STUB)), f"the record is {arbiter.record()}")


@lab_test("the sending stub domain is destroyed and created anew: the guest runs on and is protected again")
def ship_returns(lab: Lab) -> None:
    """Without it `protect` ends; started again, it takes the new one."""
    with EtcdArbiter(lab), protected_stream(lab, replace(STUB, timeout_ms=PATIENT_TIMEOUT_MS)) as (pair, client):
        lab.a.run(f"xl destroy {NAMES['primary-helper']}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the guest's stream stands still without its stub domain")
        wait_until(
            lambda: pair.primary.exit_status() == 1,
            f"protect goes on without its stub domain: {pair.primary.log(3).strip()}",
            STALL_SECONDS,
        )
        pair.protect()
        pair.wait_protected()
        expect_more(client, MESSAGES, STALL_SECONDS, "the stream stands still under the new protection")


@lab_test("the receiving stub domain is destroyed and created anew: the guest runs on and is protected again")
def receive_returns(lab: Lab) -> None:
    """The same two processes go on."""
    with EtcdArbiter(lab), protected_stream(lab, STUB) as (pair, client):
        lab.b.run(f"xl destroy {NAMES['backup-helper']}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the guest's stream stands still without its backup")
        _expect_said(pair.backup, RETURN, STALL_SECONDS)
        stub_domain.create(lab.b, "backup-helper")
        _expect_protected_again(pair, "UNPROTECTED")


@lab_test("the receiving stub domain hangs, then goes on: the guest runs on and is protected again")
def receive_hangs(lab: Lab) -> None:
    """A paused domain says nothing and is not gone: only its heart tells."""
    with EtcdArbiter(lab), protected_stream(lab, STUB) as (pair, client):
        name = NAMES["backup-helper"]
        lab.b.run(f"xl pause {name}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the guest's stream stands still while the backup hangs")
        _expect_said(pair.backup, "stands still in its stub domain", HANG_SECONDS_MAX)
        lab.b.run(f"xl unpause {name}")
        _expect_protected_again(pair, "UNPROTECTED")


def _expect_said(helper: Helper, words: str, seconds: int) -> None:
    """Waits until a helper says something."""
    expect(helper.says(words, seconds), f"{helper.program} does not say {words!r}: {helper.log(3).strip()}")


def _expect_protected_again(pair: Pair, after: str) -> None:
    """The guest is protected anew by the same two processes, after these words."""
    returned = pair.primary.says(PROTECTED, PROTECTED_SECONDS_MAX, after)
    expect(returned, f"the protection did not return: {pair.primary.log(3).strip()} / {pair.backup.log(3).strip()}")
    for helper in (pair.primary, pair.backup):
        expect(helper.exit_status() is None, f"{helper.program} has ended: {helper.log(3).strip()}")
