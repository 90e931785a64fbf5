"""Stub domains at the network that are destroyed, hang and return."""

from __future__ import annotations

from dataclasses import replace

from lab import stub_domain
from lab.arbiter import EtcdArbiter
from lab.instance import Lab
from lab.pollux import PROTECTED, PROTECTED_SECONDS_MAX, Helper, Pair
from lab.stub_domain import NAMES
from lab.testing import expect, expect_more, lab_test, protected_stream
from lab.tests.t13_stub_domain import MESSAGES, STALL_SECONDS, STUB

# So long a backup waits that host a, which sees at once that its stub domain is gone, has claimed the guest before.
PATIENT_TIMEOUT_MS = 10_000
# What a helper says when its stub domain is gone, and nothing says later.
RETURN = "is there again"
# A stub domain's heart may stand still for ten seconds.
HANG_SECONDS_MAX = 60


@lab_test("the sending stub domain is destroyed and created anew: the guest runs on and is protected again")
def ship_returns(lab: Lab) -> None:
    """The same two processes go on."""
    with EtcdArbiter(lab), protected_stream(lab, replace(STUB, timeout_ms=PATIENT_TIMEOUT_MS)) as (pair, client):
        lab.a.run(f"xl destroy {NAMES['primary-helper']}")
        expect_more(client, MESSAGES, STALL_SECONDS, "the guest's stream stands still without its stub domain")
        _expect_said(pair.primary, RETURN, STALL_SECONDS)
        stub_domain.create(lab.a, "primary-helper")
        _expect_protected_again(pair, RETURN)
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
