"""`lab starts`: protection starts while the guest receives traffic at full rate; how many are clean?

A start is clean when the guest gets protected, goes on receiving the flood, answers when the flood ends,
and its clients' stream stays whole and goes on.
"""

from __future__ import annotations

import time
from dataclasses import replace

from lab.client import Flood, StreamClient
from lab.failover import prepare
from lab.guest import GuestControl, create_guest
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import INTERVAL_MS_BY_VCPUS, Pair, Protection, build_helpers
from lab.settings import LabError

# A stream that a flood held up waits for TCP's next retransmission, whose pauses double, to two minutes at
# most (TCP_RTO_MAX, include/net/tcp.h, Linux 6.1).
ANSWER_SECONDS_MAX = 130.0
STREAM_MESSAGES = 50
# The stream's client alone brings less than 10 kB in a second. Over TCP the flood waits for a guest whose
# acknowledgements are held for an epoch, and brings one window in each; emulated, a guest of several
# vCPUs may stand still for seconds.
FLOOD_SECONDS_MAX = 60
FLOOD_BYTES = 500_000
# What dom0 has handed to its only guest.
_COUNTER = "/sys/class/net/vif*/statistics/tx_bytes"


def starts(name: str, shapes: dict[int, Shape], options: Protection, count: int) -> int:
    """Counts clean starts for each number of vCPUs, each on hosts of its own shape."""
    told = Narrator()
    build_helpers()
    results: dict[int, int] = {}
    for number, shape in shapes.items():
        with Lab(name, "ab", shape) as lab:
            lab.boot()
            interval_ms = INTERVAL_MS_BY_VCPUS[number]
            chosen = replace(options, vcpus=number, interval_ms=interval_ms)
            results[number] = _count(lab, chosen, count, told)
    print("\n vcpus  clean starts")
    for number, clean in results.items():
        print(f"{number:6}  {clean} of {count}")
    return 0 if all(clean == count for clean in results.values()) else 1


def _count(lab: Lab, options: Protection, count: int, told: Narrator) -> int:
    prepare(lab)
    create_guest(lab.a, options.vcpus)
    clean = 0
    for number in range(1, count + 1):
        # Both kinds of traffic in turn: TCP slows down with the guest, UDP does not.
        kind = "udp" if number % 2 else "tcp"
        reason = one_start(lab, options, kind)
        clean += not reason
        told.say(f"{options.vcpus} vCPU, start {number} under {kind}: {reason or 'clean'}")
        if reason and not _alive(lab):
            lab.a.run("xl destroy guest", check=False)
            create_guest(lab.a, options.vcpus)
    return clean


def one_start(lab: Lab, options: Protection, kind: str) -> str:
    """One start and one stop of the protection under load; returns what was not clean about it."""
    pair = Pair(lab, options)
    client = StreamClient(lab.network)
    client.start()
    try:
        with Flood(lab.network, kind):
            time.sleep(1.0)
            pair.stand_by()
            pair.protect()
            pair.wait_told_protected()
            if not _takes_flood(lab):
                return f"the guest takes less than {FLOOD_BYTES} bytes in {FLOOD_SECONDS_MAX} s"
        if not client.wait_for(client.progress.messages + STREAM_MESSAGES, ANSWER_SECONDS_MAX):
            return f"the stream does not go on within {ANSWER_SECONDS_MAX:.0f} s of the flood"
        if not _alive(lab):
            return f"the guest takes no new connection within {ANSWER_SECONDS_MAX:.0f} s of the flood"
    except (LabError, OSError) as error:
        return str(error)
    finally:
        pair.stop()
        verdict = client.finish()
    return "" if verdict.whole else f"the stream is {verdict.word}: {verdict.why}"


def _takes_flood(lab: Lab) -> bool:
    """Whether dom0 counts enough bytes that the guest took from its vif: no question gets through to the
    guest under a flood.
    """
    return lab.a.waits(
        f"read before <{_COUNTER}; for half_second in {{1..{FLOOD_SECONDS_MAX * 2}}}; do "
        f"read now <{_COUNTER}; ((now - before >= {FLOOD_BYTES})) && exit 0; wait_seconds 0.5; done; exit 1",
        timeout=FLOOD_SECONDS_MAX * 6,
    )


def _alive(lab: Lab) -> bool:
    try:
        GuestControl(lab.network).ask("info", timeout=ANSWER_SECONDS_MAX)
        return True
    except (OSError, LabError):
        return False
