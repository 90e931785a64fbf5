"""`lab deployments`: what it costs, and what it brings, to have the halves at the network in stub domains.

The same guest on the same hosts is protected in both ways, one after the other. Its pause is what `status` tells
under a load that a checkpoint carries easily; what is sent in a second is measured under one that keeps the link
busy. In an emulator only the ratios mean something.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.failover import prepare, reset
from lab.guest import GuestControl, create_guest
from lab.instance import Lab
from lab.machine import Host, Shape
from lab.narrator import Narrator
from lab.pollux import Pair, Protection, build_helpers
from lab.settings import LabError
from lab.stub_domain import NAMES, create, install

# What the guest's program is told: pages, milliseconds for them, and pages among which it takes them in turn.
LIGHT_LOAD = "dirty 1000 100 1000"
HEAVY_LOAD = "dirty 4096 50 4096"
SETTLING_SECONDS = 5.0
OFFER_SECONDS_MAX = 60


@dataclass(frozen=True)
class Deployment:
    """What was measured of one way to run the halves at the network."""

    name: str
    pause_us: int
    sent_bytes_per_second: float


def deployments(name: str, shape: Shape, seconds: float) -> int:
    """Measures both, and prints the table, the ratio, and what a stub domain takes."""
    told = Narrator()
    build_helpers()
    rows: list[Deployment] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot()
        for stub in (False, True):
            reset(lab)
            prepare(lab)
            told.say(f"measuring with both halves in {'stub domains' if stub else 'dom0'}")
            if stub:
                told.say(_start_stub_domains(lab))
            rows.append(_measure(lab, Protection(stub=stub), seconds))
    _show(*rows)
    return 0


def _measure(lab: Lab, options: Protection, seconds: float) -> Deployment:
    create_guest(lab.a)
    control = GuestControl(lab.network)
    pair = Pair(lab, options)
    pair.stand_by()
    pair.protect()
    try:
        pair.wait_protected()
        control.ask(LIGHT_LOAD)
        time.sleep(SETTLING_SECONDS + seconds)
        pause_us = int(pair.primary.told_status()["pause_us_p50"])
        control.ask(HEAVY_LOAD, timeout=60)
        time.sleep(SETTLING_SECONDS)
        sent, began = int(pair.primary.told_status()["bytes_sent"]), time.monotonic()
        time.sleep(seconds)
        sent = int(pair.primary.told_status()["bytes_sent"]) - sent
        rate = sent / (time.monotonic() - began)
    finally:
        pair.stop()
    return Deployment("stub domains" if options.stub else "dom0", pause_us, rate)


def _start_stub_domains(lab: Lab) -> str:
    """Starts both; says how long each took from `xl create` to its offer, and its memory as `xl list` shows it."""
    told: list[str] = []
    for host, program in ((lab.a, "primary-helper"), (lab.b, "backup-helper")):
        install(host, program)
        began = time.monotonic()
        create(host, program)
        created = time.monotonic()
        _wait_for_offer(host, NAMES[program])
        offered = time.monotonic()
        listed = host.run(f"xl list {NAMES[program]}").stdout.splitlines()[-1].split()
        told.append(
            f"{NAMES[program]}: xl create {created - began:.1f} s, then {offered - created:.1f} s until it "
            f"offered its ring; {listed[2]} MiB"
        )
    return "; ".join(told)


def _wait_for_offer(host: Host, name: str) -> None:
    host.run(
        f"for i in $(seq {OFFER_SECONDS_MAX * 20}); do "
        f"[ \"$(xenstore-read /local/domain/$(xl domid {name})/data/pollux/state)\" = offered ] && exit 0; "
        "sleep 0.05; done; exit 1",
        timeout=OFFER_SECONDS_MAX * 3,
    )


def _show(dom0: Deployment, stub: Deployment) -> None:
    print("\nhalves at the network   pause p50 (ms)   sent (MB/s)")
    for row in (dom0, stub):
        print(f"{row.name:21}{row.pause_us / 1000:17.2f}{row.sent_bytes_per_second / 1e6:14.2f}")
    print(
        f"In stub domains the pause is {stub.pause_us / max(dom0.pause_us, 1):.2f} times that with dom0's processes, "
        f"and {stub.sent_bytes_per_second / max(dom0.sent_bytes_per_second, 1):.2f} times as much is sent."
    )
