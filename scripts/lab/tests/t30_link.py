"""The link: a wrong key, and a backup that dies and comes back."""

from __future__ import annotations

import time

from lab.client import StreamClient
from lab.guest import create_guest, install_configs
from lab.instance import Lab
from lab.pollux import KEY_PATH, Pair, Protection, install, new_key
from lab.settings import LabError
from lab.testing import TestFailed, expect, lab_test

PATIENCE_SECONDS = 15


@lab_test("a backup with another key never gets a guest, and the guest runs on")
def wrong_key(lab: Lab) -> None:
    """Nothing that is not authenticated may be used, and refusing must not harm the guest."""
    lab.b.push(new_key(), KEY_PATH, 0o600)
    create_guest(lab.a)
    client = StreamClient(lab.network)
    client.start()
    pair = Pair(lab, Protection())
    try:
        expect(client.wait_for(50, timeout=30), "the stream does not run")
        pair.stand_by()
        pair.protect()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            state = pair.primary.status().get("state")
            expect(state != "protected", "the guest became protected by a host with another key")
            time.sleep(1)
        before = client.progress.messages
        expect(client.wait_for(before + 50, timeout=10), "the guest's stream stands still")
    finally:
        pair.stop()
        verdict = client.finish()
    expect(verdict.whole, f"the stream is {verdict.word}: {verdict.why}")


@lab_test("the backup's helper is killed and started again: the guest runs on and is protected again")
def backup_helper_returns(lab: Lab) -> None:
    """Losing the backup costs the protection, never the guest."""
    create_guest(lab.a)
    client = StreamClient(lab.network)
    client.start()
    pair = Pair(lab, Protection())
    try:
        expect(client.wait_for(50, timeout=30), "the stream does not run")
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        pair.backup.stop("KILL")
        before = client.progress.messages
        expect(client.wait_for(before + 100, timeout=30), "the guest's stream stands still without its backup")
        _come_back(lab, pair)
        before = client.progress.messages
        expect(client.wait_for(before + 100, timeout=30), "the stream stands still under the new protection")
    finally:
        pair.stop()
        verdict = client.finish()
    expect(verdict.whole, f"the stream is {verdict.word}: {verdict.why}")


@lab_test("the backup host loses its power and boots again: the guest runs on and is protected again")
def backup_host_returns(lab: Lab) -> None:
    """The same with the whole host, which says nothing when it goes."""
    create_guest(lab.a)
    client = StreamClient(lab.network)
    client.start()
    pair = Pair(lab, Protection())
    try:
        expect(client.wait_for(50, timeout=30), "the stream does not run")
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        lab.b.kill()
        before = client.progress.messages
        expect(client.wait_for(before + 100, timeout=30), "the guest's stream stands still without its backup")
        key = lab.a.agent.pull(KEY_PATH)
        lab.reboot("b")
        _install_again(lab, key)
        _come_back(lab, pair)
    finally:
        pair.stop()
        verdict = client.finish()
    expect(verdict.whole, f"the stream is {verdict.word}: {verdict.why}")


def _install_again(lab: Lab, key: bytes) -> None:
    install_configs(lab.b)
    install(lab.b, key)


def _come_back(lab: Lab, pair: Pair) -> None:
    """Starts the backup anew, and the primary too where it has ended, as an init does; waits for protection."""
    pair.stand_by()
    deadline = time.monotonic() + 60
    while True:
        if pair.primary.exit_status() is not None:
            pair.protect()
        try:
            pair.wait_protected(timeout=20)
            return
        except LabError as error:
            if time.monotonic() > deadline:
                raise TestFailed(f"the protection did not return: {error}") from None
