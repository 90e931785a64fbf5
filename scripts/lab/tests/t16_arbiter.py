"""Arbitration: when the hosts have lost each other, an authority that is neither of them says which one lives.

The arbiter is an etcd server at the lab's switch, reached over the management network, which is not cut.
Each test begins with an arbiter that has no record, so terms count from 1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from lab.arbiter import ETCD, Arbiter, EtcdArbiter, holder_id
from lab.capture import Capture
from lab.client import StreamClient
from lab.guest import GuestControl, create_guest, install_configs
from lab.instance import Lab
from lab.machine import Host
from lab.pollux import ARBITER_PATH, KEY_PATH, STATE_FOLDER, Pair, Protection, install
from lab.settings import GUEST_MAC, GUEST_NAME
from lab.testing import expect, expect_more, lab_test, protected_stream, wait_until
from lab.tests.t20_refusals import refused

ARBITRATED = Protection(arbiter=ETCD)
# From the loss of the link to a stream that runs again: the silence, two claims and a revival, emulated.
DECISION_SECONDS = 60
# Without an arbiter nothing may change, however long it takes.
UNDECIDED_SECONDS = 6.0
# An acknowledgement that was past the switch before the cut needs this long, emulated, to open the gate.
IN_FLIGHT_SECONDS = 0.25
MESSAGES = 100
# So long neither helper misses the other one that was killed.
PATIENT_TIMEOUT_MS = 20_000
NO_CORE = 900
# A frame carries as many messages as wait to be sent, so these are fewer.
FRAMES_MIN = 20


@contextmanager
def arbitrated_stream(lab: Lab) -> Iterator[tuple[EtcdArbiter, Pair, StreamClient]]:
    """A guest that is protected under etcd, with a stream that must be whole at the end."""
    with EtcdArbiter(lab) as arbiter, protected_stream(lab, ARBITRATED) as (pair, client):
        arbiter.wait_record((1, holder_id(lab.a)))
        yield arbiter, pair, client


@contextmanager
def link_mended_afterwards(lab: Lab) -> Iterator[None]:
    """For tests that cut the link: it comes back after the helpers have ended, which else would protect anew."""
    try:
        yield
    finally:
        lab.network.set_replication(True)


class Outputs:
    """What either host lets out of the guest, recorded at the LAN switch. Use it as a context."""

    def __init__(self, lab: Lab) -> None:
        self._captures = {
            letter: Capture(lab.network, f"lan-{letter}", f"ether src {GUEST_MAC}", lab.folder / f"lan-{letter}.pcap")
            for letter in lab.hosts
        }

    def __enter__(self) -> Outputs:
        for capture in self._captures.values():
            capture.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for capture in self._captures.values():
            capture.__exit__()

    def count(self, host: Host, since: float) -> int:
        """Frames that left a host after a moment of the wall clock."""
        return sum(frame.at > since for frame in self._captures[host.name].frames())


def is_paused(host: Host) -> bool:
    """Whether the guest, or its twin, is there and held; a checkpoint's own pause is gone at the second look."""
    for _ in range(3):
        row = host.run(f"xl list {GUEST_NAME} 2>/dev/null | tail -n 1", check=False).stdout.split()
        if len(row) != 6 or "p" not in row[4]:
            return False
        time.sleep(0.05)
    return True


def has_domain(host: Host) -> bool:
    """Whether the guest, or its twin, is there."""
    return host.run(f"xl list {GUEST_NAME}", check=False).status == 0


def plug_count(host: Host) -> int:
    """How many of a host's gates hold output back, or would."""
    return int(host.run("tc qdisc show | grep -c plug", check=False).stdout)


def expect_one_lives(lab: Lab, arbiter: Arbiter, pair: Pair) -> Host:
    """The holder of the record has the guest, the other one holds or has destroyed its own; returns the holder."""
    term, holder = arbiter.record()
    expect(term == 2, f"the record has term {term}: {holder}, not 2")
    hosts_by_id = {holder_id(host, pair.options): host for host in lab.hosts.values()}
    expect(holder in hosts_by_id, f"the record names {holder}, which is no host")
    if hosts_by_id[holder] is lab.b:
        wait_until(lambda: is_paused(lab.a), f"host b lives, and host a's guest is not paused: {pair.primary.log(3)}")
        expect(plug_count(lab.a) == 1, f"host b lives, and host a has {plug_count(lab.a)} closed gates, not 1")
        expect(has_domain(lab.b) and not is_paused(lab.b), "host b lives, and its guest does not run")
        return lab.b
    wait_until(lambda: not has_domain(lab.b), f"host a lives, and host b keeps its twin: {pair.backup.log(3)}")
    expect(has_domain(lab.a) and not is_paused(lab.a), "host a lives, and its guest does not run")
    return lab.a


@lab_test("protect refuses a guest that lives on the other host by the arbiter's record", hosts="a")
def lives_elsewhere(lab: Lab) -> None:
    """Two of it would be there otherwise. The record stays as it is, and the guest is left alone."""
    create_guest(lab.a)
    record = (5, lab.a.plan.peer.mac("repl"))
    with EtcdArbiter(lab) as arbiter:
        arbiter.set_record(*record)
        refused(lab.a, ARBITRATED.protect_command(lab.a), 1, record[1], "arbiter", "lives")
        expect(arbiter.record() == record, f"the record became {arbiter.record()}")
    expect(plug_count(lab.a) == 0, f"{plug_count(lab.a)} plugs are left behind")
    GuestControl(lab.network).wait_ready()


@lab_test("a helper wants to be told who decides: an arbiter, or that there is none", hosts="a")
def neither_and_both(lab: Lab) -> None:
    """Whether both hosts may live when the link is cut is nothing to be left to a default."""
    option = f"--arbiter {ETCD}"
    for command in (ARBITRATED.protect_command(lab.a), ARBITRATED.stand_by_command(lab.a)):
        for wrong in ("", f"{option} --no-arbiter", f"--arbiter {ARBITER_PATH}"):
            refused(lab.a, command.replace(option, wrong), 2, "arbiter")


@lab_test("the replication link is cut between two healthy hosts: the arbiter's choice lives, the other one stops")
def link_is_cut(lab: Lab) -> None:
    """Without an arbiter both would live. From the cut on, no frame leaves the host that is not chosen."""
    with link_mended_afterwards(lab), arbitrated_stream(lab) as (arbiter, pair, client):
        cut_link(lab, arbiter, pair, client)


def cut_link(lab: Lab, arbiter: Arbiter, pair: Pair, client: StreamClient) -> None:
    """Exactly one host goes on, by the arbiter's record; from the cut on, no frame leaves the other."""
    with Outputs(lab) as outputs:
        time.sleep(1.0)
        lab.network.set_replication(False)
        cut_at = time.time()
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on from either host")
        chosen = expect_one_lives(lab, arbiter, pair)
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream stands still after the decision")
    _expect_output_of(outputs, lab, chosen, cut_at)


@lab_test("the arbiter is dead when the link is cut: nobody lives until it is back, and then one does")
def arbiter_is_dead(lab: Lab) -> None:
    """No decision is no permission. The stream waits, and loses nothing."""
    with link_mended_afterwards(lab), arbitrated_stream(lab) as (arbiter, pair, client):
        arbiter.kill()
        expect_more(client, MESSAGES, 30, "the stream needs the arbiter while the link is up")
        with Outputs(lab) as outputs:
            lab.network.set_replication(False)
            cut_at = time.time()
            wait_until(lambda: is_paused(lab.a), f"host a's guest runs on undecided: {pair.primary.log(3)}")
            deadline = time.monotonic() + UNDECIDED_SECONDS
            while time.monotonic() < deadline:
                _expect_nobody_lives(lab, pair)
                time.sleep(1.0)
            undecided_until = time.time()
            arbiter.start()
            expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on when the arbiter is back")
            chosen = expect_one_lives(lab, arbiter, pair)
        for host in lab.hosts.values():
            early = outputs.count(host, cut_at + IN_FLIGHT_SECONDS) - outputs.count(host, undecided_until)
            expect(early == 0, f"{early} frames left host {host.name} before there was a decision")
        _expect_output_of(outputs, lab, chosen, cut_at)


def _expect_nobody_lives(lab: Lab, pair: Pair) -> None:
    expect(is_paused(lab.a), f"host a's guest runs without a decision: {pair.primary.log(3)}")
    expect(is_paused(lab.b), f"host b's twin is gone or runs without a decision: {pair.backup.log(3)}")
    expect(plug_count(lab.a) == 1, f"host a has {plug_count(lab.a)} closed gates, not 1")
    for helper in (pair.primary, pair.backup):
        expect(helper.exit_status() is None, f"{helper.program} has given up: {helper.log(3)}")


def _expect_output_of(outputs: Outputs, lab: Lab, chosen: Host, cut_at: float) -> None:
    """The recording is sound, and only the host that was chosen let anything out after the cut."""
    for host in lab.hosts.values():
        count = outputs.count(host, cut_at + IN_FLIGHT_SECONDS)
        if host is chosen:
            expect(count >= FRAMES_MIN, f"only {count} frames of host {host.name}, which lives, were recorded")
        else:
            expect(count == 0, f"{count} frames left host {host.name}, which was not chosen, after the cut")


@lab_test("a guest is handed over on purpose: its stream goes on from host b, and nothing leaves host a any more")
def handed_over(lab: Lab) -> None:
    """The operator empties host a. Its copy of the guest stays, paused, for whoever wants to be sure."""
    with arbitrated_stream(lab) as (arbiter, pair, client), Outputs(lab) as outputs:
        lab.a.run(f"primary-helper switch-over --domain {GUEST_NAME} --state-dir {STATE_FOLDER}", timeout=120)
        handed_over_at = time.time()
        expect(pair.primary.exit_status() == 0, f"protect did not end as asked: {pair.primary.log(3)}")
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on from host b")
        expect(arbiter.record() == (2, holder_id(lab.b)), f"the record is {arbiter.record()}")
        expect(is_paused(lab.a), "host a's guest is not paused")
        expect(plug_count(lab.a) == 1, f"host a has {plug_count(lab.a)} closed gates, not 1")
    _expect_output_of(outputs, lab, lab.b, handed_over_at)


@lab_test("a guest cannot be handed over without the arbiter, and the command says so though protect ends as asked")
def not_handed_over(lab: Lab) -> None:
    """Whoever empties host a by a script must not destroy the only guest."""
    command = f"primary-helper switch-over --domain {GUEST_NAME} --state-dir {STATE_FOLDER}"
    with arbitrated_stream(lab) as (arbiter, pair, client):
        arbiter.kill()
        lab.a.run(f"rm -f /run/asked; ( {command}; echo $? >/run/asked ) >/dev/null 2>&1 &")
        wait_until(lambda: "not handed over" in pair.primary.log(), f"it does not say so: {pair.primary.log(3)}")
        expect_more(client, MESSAGES, 30, "the stream stands still after a hand-over that was refused")
        # Not by its name, which is the command's too.
        lab.a.run(f"kill {pair.primary.status()['pid']}")
        wait_until(lambda: pair.primary.exit_status() == 0, f"protect did not end as asked: {pair.primary.log(3)}")
        wait_until(lambda: lab.a.run("cat /run/asked", check=False).stdout.strip() != "", "switch-over waits on")
        expect(lab.a.run("cat /run/asked").stdout.strip() == "1", "switch-over says that the guest was handed over")
        expect_more(client, MESSAGES, 30, "the stream stands still after protection")


@lab_test("a protect that is started again, and fails after the arbiter's word, has let go the output that was held")
def restart_fails(lab: Lab) -> None:
    """Its predecessor was killed. No backup may take the guest over any more, so nobody else would let it go."""
    options = replace(ARBITRATED, timeout_ms=PATIENT_TIMEOUT_MS)
    others = plug_count(lab.a)
    with EtcdArbiter(lab), protected_stream(lab, options) as (pair, client):
        for helper in (pair.backup, pair.primary):
            helper.stop("KILL")
        left = plug_count(lab.a) - others
        expect(left == 1, f"{left} plugs are there after the kill, not 1")
        refused(lab.a, f"{options.protect_command(lab.a)} --capture-core {NO_CORE}", 1, "core")
        left = plug_count(lab.a) - others
        expect(left == 0, f"{left} plugs are left behind")
        expect_more(client, MESSAGES, 30, "the stream stands still")


@lab_test("over and back: host a dies, boots, backs host b up, and takes over when that dies, all in one stream")
def over_and_back(lab: Lab) -> None:
    """A host that was lost takes part again, as the backup of the one that took over."""
    with arbitrated_stream(lab) as (arbiter, there, client):
        lab.a.kill()
        expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on from host b")
        key = lab.b.agent.pull(KEY_PATH)
        lab.reboot("a")
        install_configs(lab.a)
        install(lab.a, key)
        back = Pair(lab, there.options, primary_letter="b")
        try:
            back.stand_by()
            back.protect()
            back.wait_protected()
            expect(arbiter.record() == (3, holder_id(lab.b)), f"the record is {arbiter.record()} under protection")
            expect_more(client, MESSAGES, 30, "the stream stands still under the new protection")
            lab.b.kill()
            expect_more(client, MESSAGES, DECISION_SECONDS, "the stream does not go on from host a")
            expect(arbiter.record() == (4, holder_id(lab.a)), f"the record is {arbiter.record()}")
        finally:
            back.stop()
