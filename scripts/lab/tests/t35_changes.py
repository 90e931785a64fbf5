"""What changes around a protected guest: it ends or is started anew, its host is misconfigured or runs full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.guest import GuestControl, config_text, create_guest
from lab.instance import Lab
from lab.pollux import STATE_FOLDER, Pair, Protection
from lab.settings import GUEST_NAME
from lab.testing import expect, expect_more, lab_test, protected_stream, streaming, wait_until
from lab.tests.t20_refusals import loop_disk

ELSEWHERE = "52:54:00:99:99:99"
FILL_STATE_FOLDER = (
    f"mkdir -p {STATE_FOLDER}; mount -t tmpfs -o size=4k none {STATE_FOLDER}; head -c 4096 /dev/zero >{STATE_FOLDER}/f"
)


@contextmanager
def protected(lab: Lab) -> Iterator[Pair]:
    """A pair of helpers that protect the guest; they are ended afterwards."""
    create_guest(lab.a)
    pair = Pair(lab, Protection())
    try:
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        yield pair
    finally:
        pair.stop()


def _plug_count(lab: Lab) -> int:
    return int(lab.a.run("tc qdisc show | grep -c plug", check=False).stdout)


def _expect_twin_gone(lab: Lab, pair: Pair) -> None:
    wait_until(lambda: "standing by" in pair.backup.log(1), f"the backup does not stand by again: {pair.backup.log(2)}")
    expect(GUEST_NAME not in lab.b.run("xl list").stdout, "the twin is still there")
    expect(pair.backup.exit_status() is None, "the backup's helper has ended")


@lab_test("a protected guest that powers off ends its protection, and its twin is not revived")
def power_off(lab: Lab) -> None:
    """It ended because somebody wanted it to."""
    with protected(lab) as pair:
        lab.a.run(f"xl shutdown {GUEST_NAME}")
        wait_until(lambda: pair.primary.exit_status() is not None, "protect goes on without a domain")
        expect(pair.primary.exit_status() == 1, f"exit status {pair.primary.exit_status()} instead of 1")
        said = pair.primary.log(1)
        expect("powered off" in said or "no longer exists" in said, f"the last line names no reason: {said}")
        _expect_twin_gone(lab, pair)


@lab_test("a protected guest that reboots ends its protection; it has its network, and can be protected again")
def reboot(lab: Lab) -> None:
    """xl starts it anew, under another domid."""
    text = config_text(1, lab.a.shape.pcpus).replace('on_reboot = "destroy"', 'on_reboot = "restart"')
    lab.a.push(text.encode(), "/etc/xen/guest.cfg")
    with protected(lab) as pair:
        lab.a.run(f"xl reboot {GUEST_NAME}")
        wait_until(lambda: pair.primary.exit_status() is not None, "protect goes on without its domain")
        said = pair.primary.log(1)
        expect("rebooted" in said or "no longer exists" in said, f"the last line names no reason: {said}")
        _expect_twin_gone(lab, pair)
        GuestControl(lab.network).wait_ready()
        pair.protect()
        pair.wait_protected()


@lab_test("a killed protect leaves the gate closed, and the next one opens it, also after a reboot of the guest")
def left_gate(lab: Lab) -> None:
    """Held output must not leak when its keeper dies; nor may it be forgotten."""
    with protected(lab) as pair:
        pair.backup.stop()
        wait_until(lambda: pair.primary.status().get("state") == "unprotected", "the backup's end was not noticed")
        pair.stand_by()
        pair.wait_protected()
        pair.backup.stop("KILL")
        pair.primary.stop("KILL")
        expect(_plug_count(lab) == 1, f"{_plug_count(lab)} plugs are there after the kill, not 1")
        lab.a.run(f"xl destroy {GUEST_NAME}")
        create_guest(lab.a)
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        pair.primary.stop()
        expect(_plug_count(lab) == 0, f"{_plug_count(lab)} plugs are left behind")


@lab_test("a primary whose guest lives on the backup by now does not open its gate, and the stream goes on there")
def left_gate_of_a_lost_guest(lab: Lab) -> None:
    """Its helper was killed, the backup took over, and supervisors have started both helpers again."""
    with protected_stream(lab, Protection()) as (pair, client):
        pair.primary.stop("KILL")
        wait_until(lambda: "lives here now" in pair.backup.log(), f"no takeover: {pair.backup.log(3)}")
        pair.stand_by()
        pair.protect()
        wait_until(lambda: pair.primary.exit_status() is not None, "protect goes on against a guest's own host", 60)
        said = pair.primary.log(3)
        expect("refuses" in said and "still closed" in said, f"the last lines do not say so: {said}")
        expect(_plug_count(lab) == 1, f"{_plug_count(lab)} plugs are there, not 1")
        expect_more(client, 100, 30, "the stream stands still")


@lab_test("an interface that is attached while protected is noticed: its output would not be held")
def attached_interface(lab: Lab) -> None:
    """Protection ends with a line; the guest runs on."""
    with protected(lab) as pair:
        # By another name than a vif's, which the host's list of interfaces does not show as the guest's.
        lab.a.run(f"xl network-attach {GUEST_NAME} mac=00:16:3e:77:00:99 bridge=xenbr0 vifname=other0", timeout=90)
        wait_until(lambda: pair.primary.exit_status() is not None, "protect goes on without holding it")
        expect("interface" in pair.primary.log(1), f"the last line names no interface: {pair.primary.log(1)}")
        GuestControl(lab.network).wait_ready()


@lab_test("a disk that is attached while protected ends protection: it would be missing after a failover")
def attached_disk(lab: Lab) -> None:
    """As a guest that has one from the start is refused; this one runs on."""
    with protected(lab) as pair, loop_disk(lab.a):
        lab.a.run(f"xl block-attach {GUEST_NAME} script=block-direct,vdev=xvda,target=/dev/loop0", timeout=90)
        wait_until(lambda: pair.primary.exit_status() is not None, "protect goes on with a disk")
        expect("disk" in pair.primary.log(1), f"the last line names no disk: {pair.primary.log(1)}")
        GuestControl(lab.network).wait_ready()


@lab_test("a peer that does not answer is named, and the guest runs on unprotected", hosts="a")
def wrong_peer(lab: Lab) -> None:
    """A mistyped MAC address looks like a dead backup."""
    create_guest(lab.a)
    pair = Pair(lab, Protection())
    try:
        command = pair.options.protect_command(lab.a).replace(lab.a.plan.peer.mac("repl"), ELSEWHERE)
        pair.primary.start(command)
        wait_until(
            lambda: "does not answer" in pair.primary.log(), f"nothing is said: {pair.primary.log(2)}"
        )
        GuestControl(lab.network).wait_ready()
        expect(pair.primary.exit_status() is None, "protect does not wait for its backup")
    finally:
        pair.primary.stop()


@lab_test("different MTUs are said, and the smaller one is used")
def mtu_mismatch(lab: Lab) -> None:
    """Half of a pair without jumbo frames."""
    lab.b.run("ip link set repl0 mtu 1500")
    try:
        with protected(lab) as pair:
            said = pair.primary.log(100)
            expect("MTU" in said and "1500" in said, f"no line names the MTUs: {said}")
    finally:
        lab.b.run("ip link set repl0 mtu 9000")


@lab_test("full state folders cost the status, not the protection")
def full_state_folder(lab: Lab) -> None:
    """Both hosts' are a tmpfs without a free page."""
    for host in (lab.a, lab.b):
        host.run(FILL_STATE_FOLDER)
    try:
        with streaming(lab, Protection()) as (pair, client):
            pair.stand_by()
            pair.protect()
            for helper in (pair.primary, pair.backup):
                wait_until(lambda: "PROTECTED" in helper.log(), f"not protected: {helper.log(3)}", 120)
                expect("no space left" in helper.log().lower(), f"{helper.program} does not say so: {helper.log()}")
            expect_more(client, 50, 30, "the guest's stream stands still")
    finally:
        for host in (lab.a, lab.b):
            host.run(f"umount {STATE_FOLDER}")


@lab_test("a full state folder where the twin's configuration is to be kept refuses the guest, which runs on")
def full_state_folder_refuses(lab: Lab) -> None:
    """Without --twin-config the primary sends the configuration."""
    create_guest(lab.a)
    lab.b.run(FILL_STATE_FOLDER)
    pair = Pair(lab, Protection())
    try:
        command = pair.options.stand_by_command(lab.b).split(" --twin-config ")
        pair.backup.start(command[0] + " " + command[1].split(" ", 1)[1])
        pair.protect()
        wait_until(lambda: pair.primary.exit_status() is not None, "protect waits for ever", 60)
        said = pair.primary.log(1)
        expect("refuses" in said and "space" in said, f"the last line names no reason: {said}")
        GuestControl(lab.network).wait_ready()
    finally:
        pair.stop()
        lab.b.run(f"umount {STATE_FOLDER}")


@lab_test("a waiting twin has memory set aside for its revival")
def twin_claims_memory(lab: Lab) -> None:
    """At a failover it would be too late to find that the host has none."""
    with protected(lab):
        claimed = lab.b.run(f"xl claims | awk '$1 == \"{GUEST_NAME}\" {{ print $NF }}'").stdout.strip()
        expect(claimed not in ("", "0"), f"host b has set aside {claimed or 'nothing'}")
