"""What the helpers must refuse, with status 1 (2 for usage) and a line that says why; the guest is left alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from lab.guest import GuestControl, config_text, create_guest
from lab.instance import Lab
from lab.machine import Host
from lab.pollux import KEY_PATH, Protection
from lab.settings import GUEST_NAME
from lab.testing import expect, lab_test

REFUSAL_SECONDS = 40


def refused(host: Host, command: str, status: int, *words: str) -> None:
    """Runs a helper that must end by itself with this status, and one of the words in what it says."""
    script = f"timeout -s KILL {REFUSAL_SECONDS} {command}"
    result = host.run(script, timeout=REFUSAL_SECONDS + 20, check=False)
    said = result.stderr.strip()
    expect(result.status == status, f"status {result.status} instead of {status}; it said: {said[-300:]}")
    expect(bool(said), "it said nothing on stderr")
    expect("panicked" not in said, f"it panicked: {said[-300:]}")
    last = said.splitlines()[-1].lower()
    expect(not words or any(word.lower() in last for word in words), f"the last line names none of {words}: {last}")


def changed_guest(host: Host, **changes: str) -> None:
    """A guest that was just started, with some lines of its configuration replaced."""
    text = config_text(1, host.shape.pcpus)
    for name, value in changes.items():
        text = "\n".join(line for line in text.splitlines() if not line.startswith(f"{name} "))
        text += f"\n{name} = {value}\n"
    host.push(text.encode(), "/root/changed.cfg")
    host.run("xl create /root/changed.cfg", timeout=90)


def protect(host: Host, **options: str) -> str:
    """The ordinary command with some options replaced (underscores stand for dashes)."""
    words = shlex.split(Protection().protect_command(host))
    for name, value in options.items():
        words[words.index(f"--{name.replace('_', '-')}") + 1] = value
    return shlex.join(words)


@lab_test("usage errors end with status 2", hosts="a")
def usage(lab: Lab) -> None:
    """Both programs, with an option they do not have and with none at all."""
    for program in ("primary-helper", "backup-helper"):
        for arguments in ("", "--no-such-option", "no-such-command"):
            refused(lab.a, f"{program} {arguments}", 2)
    refused(lab.a, "primary-helper protect --domain guest", 2)


@lab_test("--help and --version end with status 0", hosts="a")
def help_and_version(lab: Lab) -> None:
    """They are how a person meets the programs."""
    for program in ("primary-helper", "backup-helper"):
        expect("--link" in lab.a.run(f"{program} --help").stdout, f"{program} --help does not explain --link")
        expect(bool(lab.a.run(f"{program} --version").stdout.strip()), f"{program} --version prints nothing")


@lab_test("a domain that does not exist is refused", hosts="a")
def no_domain(lab: Lab) -> None:
    """By name and by number."""
    refused(lab.a, protect(lab.a, domain="nobody"), 1, "nobody", "domain")
    refused(lab.a, protect(lab.a, domain="4711"), 1, "4711", "domain")


@lab_test("key files that others can read, that are malformed or absent are refused", hosts="a")
def key_files(lab: Lab) -> None:
    """A key that leaks or is mistyped must not be used."""
    changed_guest(lab.a)
    key = lab.a.agent.pull(KEY_PATH)
    for path, content, mode in (
        ("/root/open-key", key, 0o644), ("/root/group-key", key, 0o640),
        ("/root/short-key", key[:40] + b"\n", 0o600), ("/root/letters-key", b"z" * 64 + b"\n", 0o600),
    ):
        lab.a.push(content, path, mode)
        refused(lab.a, protect(lab.a, key_file=path), 1, path, "key")
        stand_by = Protection().stand_by_command(lab.a).replace(KEY_PATH, path)
        refused(lab.a, stand_by, 1, path, "key")
    refused(lab.a, protect(lab.a, key_file="/root/absent"), 1, "/root/absent", "key")


@lab_test("a link over an interface that does not exist is refused", hosts="a")
def no_interface(lab: Lab) -> None:
    """The interface is named in the message."""
    changed_guest(lab.a)
    refused(lab.a, protect(lab.a, link=f"nic7={lab.a.plan.peer.mac('repl')}"), 1, "nic7")


@lab_test("a PV guest is refused", hosts="a")
def pv_guest(lab: Lab) -> None:
    """Debian's Xen cannot log the dirty pages of one."""
    changed_guest(lab.a, type='"pv"')
    refused(lab.a, protect(lab.a), 1, "pv", "hvm", "pvh")


BLOCK_SCRIPT = """#!/bin/sh
xenstore-write $XENBUS_PATH/physical-device 7:0 $XENBUS_PATH/hotplug-status connected
"""


@contextmanager
def loop_disk(host: Host) -> Iterator[None]:
    """A disk for the guest at /dev/loop0, and a script for it; the guest is destroyed with it."""
    # Xen's own script looks for other users of the disk for longer than an emulated host has patience.
    host.push(BLOCK_SCRIPT.encode(), "/etc/xen/scripts/block-direct", 0o755)
    host.run("dd if=/dev/zero of=/root/disk.img bs=1M count=4 2>/dev/null; losetup /dev/loop0 /root/disk.img")
    try:
        yield
    finally:
        host.run(f"xl destroy {GUEST_NAME}; losetup -d /dev/loop0", check=False)


@lab_test("a guest with a disk is refused", hosts="a")
def guest_with_disk(lab: Lab) -> None:
    """In-flight disk requests are not carried over, so such a guest must not be protected."""
    with loop_disk(lab.a):
        changed_guest(lab.a, disk='["script=block-direct,vdev=xvda,target=/dev/loop0"]')
        refused(lab.a, protect(lab.a, config="/root/changed.cfg"), 1, "disk", "vbd")


@lab_test("a guest with a vif that the gate does not know is refused, whatever its other one is", hosts="a")
def unknown_vif(lab: Lab) -> None:
    """What it sends there would not be held."""
    mac = "mac=00:16:3e:77:00:1"
    changed_guest(lab.a, vif=f'["{mac}0,bridge=xenbr0", "{mac}1,bridge=xenbr0,vifname=other0"]')
    GuestControl(lab.network).wait_ready()
    refused(lab.a, protect(lab.a), 1, "vif")
    plugs = lab.a.run("tc qdisc show | grep -c plug", check=False).stdout.strip()
    expect(plugs == "0", f"{plugs} plugs are left behind")


@lab_test("a kernel without sch_plug is refused before the guest is touched", hosts="a")
def missing_module(lab: Lab) -> None:
    """Without it nothing could hold the guest's output back."""
    create_guest(lab.a)
    hide = (
        "rmmod sch_plug; path=$(find /usr/lib/modules/ -name 'sch_plug.ko'); mv $path $path.hidden"
    )
    lab.a.run(hide)
    try:
        refused(lab.a, protect(lab.a), 1, "sch_plug", "plug")
    finally:
        lab.a.run("path=$(find /usr/lib/modules/ -name 'sch_plug.ko.hidden'); mv $path ${path%.hidden}; modprobe sch_plug")


@lab_test("a backup without xl says so")
def missing_xl(lab: Lab) -> None:
    """The empty twin is the toolstack's to build: stand-by refuses, or does at the latest when it needs it."""
    changed_guest(lab.a)
    lab.b.run("mv /usr/lib/xen-4.17/bin/xl /usr/lib/xen-4.17/bin/xl.hidden")
    try:
        lab.a.run(f"( {protect(lab.a)} ) >/var/log/primary-helper.log 2>&1 &")
        refused(lab.b, Protection().stand_by_command(lab.b), 1, "xl")
    finally:
        lab.b.run("mv /usr/lib/xen-4.17/bin/xl.hidden /usr/lib/xen-4.17/bin/xl")


@lab_test("an interface that is down is refused", hosts="a")
def interface_down(lab: Lab) -> None:
    """The interface is named, and what to do."""
    changed_guest(lab.a)
    lab.a.run("ip link set repl0 down")
    try:
        refused(lab.a, protect(lab.a), 1, "repl0")
        refused(lab.a, Protection().stand_by_command(lab.a), 1, "repl0")
    finally:
        lab.a.run("ip link set repl0 up")


@lab_test("a paused guest is refused", hosts="a")
def paused_guest(lab: Lab) -> None:
    """Whoever paused it would find it running again after a checkpoint."""
    changed_guest(lab.a)
    lab.a.run(f"xl pause {GUEST_NAME}")
    refused(lab.a, protect(lab.a), 1, "paused")


@lab_test("a configuration file that does not exist is refused", hosts="a")
def missing_config(lab: Lab) -> None:
    """The primary sends it to the backup, so it is read first of all."""
    changed_guest(lab.a)
    refused(lab.a, protect(lab.a, config="/root/absent.cfg"), 1, "/root/absent.cfg")
