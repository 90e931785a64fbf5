"""The watchdog: Xen resets a host whose protect stands still, and leaves alone one whose protect has ended."""

from __future__ import annotations

import time
from dataclasses import replace

from lab.arbiter import EtcdArbiter, holder_id
from lab.instance import Lab
from lab.testing import expect, expect_more, lab_test, protected_stream, streaming, wait_until
from lab.tests.t16_arbiter import ARBITRATED, DECISION_SECONDS, MESSAGES

WATCHDOG_SECONDS = 10
GUARDED = replace(ARBITRATED, watchdog=WATCHDOG_SECONDS)
# So long a backup waits that protect can be started again before it claims the guest, emulated.
PATIENT_TIMEOUT_MS = 10_000
# Xen's clock and the lab's may differ by the emulation's stalls, and protect sets the watchdog anew once a second.
SLACK_SECONDS = 2


@lab_test("protect stands still for good: Xen resets its host, host b takes over by the arbiter")
def stands_still(lab: Lab) -> None:
    """dom0 and the sending half go on, so host b has no reason to take over: only Xen can give it one."""
    with EtcdArbiter(lab) as arbiter, protected_stream(lab, GUARDED) as (pair, client):
        status = pair.wait_protected()
        expect(status.get("watchdog") in ("1", "2"), f"no watchdog is armed: {status}")
        lab.a.run(f"kill -STOP {status['pid']}")
        stopped_at = time.monotonic()
        wait_until(
            lambda: not lab.a.running,
            f"host a is not reset although its protect stands still: {pair.backup.log(3)}",
            WATCHDOG_SECONDS * 3,
        )
        seconds = time.monotonic() - stopped_at
        expect(seconds > WATCHDOG_SECONDS - SLACK_SECONDS, f"host a was reset after {seconds:.1f} s already")
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on from host b")
        expect(arbiter.record() == (2, holder_id(lab.b)), f"the record is {arbiter.record()}")


@lab_test("protect is ended, or killed and started again: Xen resets nothing")
def goes_on(lab: Lab) -> None:
    """An orderly end gives the watchdog back; the next helper takes that of a killed one over."""
    options = replace(GUARDED, timeout_ms=PATIENT_TIMEOUT_MS)
    with EtcdArbiter(lab) as arbiter, streaming(lab, options) as (pair, client):
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        pair.primary.stop("KILL")
        killed_at = time.monotonic()
        pair.protect()
        pair.wait_protected()
        expect(arbiter.record() == (2, holder_id(lab.a)), f"the record is {arbiter.record()}")
        _expect_no_reset(lab, killed_at)
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on under the next helper")
        pair.primary.stop()
        ended_at = time.monotonic()
        expect(pair.primary.exit_status() == 0, f"protect did not end as asked: {pair.primary.log(3)}")
        _expect_no_reset(lab, ended_at)
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream stands still without protection")


def _expect_no_reset(lab: Lab, since: float) -> None:
    """Host a runs when the watchdog of that moment has expired, if there still is one."""
    time.sleep(max(0.0, since + WATCHDOG_SECONDS + SLACK_SECONDS - time.monotonic()))
    expect(lab.a.running, "host a was reset")
