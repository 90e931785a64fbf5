"""The link: a wrong key, and a backup that dies and comes back."""

from __future__ import annotations

import time

from lab.guest import install_configs
from lab.instance import Lab
from lab.pollux import KEY_PATH, Pair, Protection, install, new_key
from lab.settings import LabError
from lab.testing import TestFailed, expect, expect_more, lab_test, protected_stream, streaming

PATIENCE_SECONDS = 15
# A first copy takes minutes where two hosts are emulated on a loaded machine.
RETURN_PATIENCE_SECONDS = 240


@lab_test("a backup with another key never gets a guest, and the guest runs on")
def wrong_key(lab: Lab) -> None:
    """Nothing that is not authenticated may be used, and refusing must not harm the guest."""
    lab.b.push(new_key(), KEY_PATH, 0o600)
    with streaming(lab, Protection()) as (pair, client):
        pair.stand_by()
        pair.protect()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            state = pair.primary.status().get("state")
            expect(state != "protected", "the guest became protected by a host with another key")
            time.sleep(1)
        expect_more(client, 50, 10, "the guest's stream stands still")


@lab_test("the backup's helper is killed and started again: the guest runs on and is protected again")
def backup_helper_returns(lab: Lab) -> None:
    """Losing the backup costs the protection, never the guest."""
    with protected_stream(lab, Protection()) as (pair, client):
        pair.backup.stop("KILL")
        expect_more(client, 100, 30, "the guest's stream stands still without its backup")
        _come_back(lab, pair)
        expect_more(client, 100, 30, "the stream stands still under the new protection")


@lab_test("the backup host loses its power and boots again: the guest runs on and is protected again")
def backup_host_returns(lab: Lab) -> None:
    """The same with the whole host, which says nothing when it goes."""
    with protected_stream(lab, Protection()) as (pair, client):
        lab.b.kill()
        expect_more(client, 100, 30, "the guest's stream stands still without its backup")
        key = lab.a.agent.pull(KEY_PATH)
        lab.reboot("b")
        install_configs(lab.b)
        install(lab.b, key)
        _come_back(lab, pair)


def _come_back(lab: Lab, pair: Pair) -> None:
    """Starts the backup anew, and the primary too where it has ended, as an init does; waits for protection."""
    pair.stand_by()
    deadline = time.monotonic() + RETURN_PATIENCE_SECONDS
    while True:
        if pair.primary.exit_status() is not None:
            pair.protect()
        try:
            pair.wait_protected(timeout=deadline - time.monotonic())
            return
        except LabError as error:
            if time.monotonic() > deadline or pair.backup.exit_status() is not None:
                raise TestFailed(f"the protection did not return: {error}") from None
            time.sleep(1)
