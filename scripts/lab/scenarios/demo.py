"""`lab demo`: one failover, told in a form that is pleasant to watch."""

from __future__ import annotations

import signal
from dataclasses import replace

from lab.arbiter import ETCD, EtcdArbiter, holder_id
from lab.failover import Outcome, prepare, run_failover
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator, narrator
from lab.pollux import Protection, build_helpers
from lab.settings import LabError


def demo(name: str, shape: Shape, options: Protection, stay: bool) -> int:
    """Boots both hosts, protects a guest, pulls host A's plug; 0 when the stream went on whole."""
    told = narrator("Pollux: a guest outlives its host")
    outcome: Outcome | None = None
    try:
        told.say("building the helpers, booting two Xen hosts in QEMU (about half a minute)")
        build_helpers()
        with Lab(name, "ab", shape) as lab:
            lab.boot()
            prepare(lab)
            with EtcdArbiter(lab) as arbiter:
                told.say("an etcd server says which host may live")
                outcome = run_failover(lab, replace(options, arbiter=ETCD), told)
                term, holder = arbiter.record()
                own = holder_id(lab.b, options)
                told.say(f"by the arbiter's term {term} the guest lives on {holder}, host b is {own}")
                told.say(outcome.describe())
                if not outcome.passed:
                    _show_logs(lab, told)
                if stay:
                    _stay(lab, told)
    finally:
        told.close()
    if outcome is None:
        raise LabError("the demo ended without an outcome")
    return 0 if outcome.passed else 1


def _show_logs(lab: Lab, told: Narrator) -> None:
    """What the surviving helper said, for whoever looks for the reason."""
    if lab.b.running:
        for line in lab.b.run("tail -n 15 /var/log/backup-helper.log", check=False).stdout.splitlines():
            told.say(f"backup-helper: {line}")


def _stay(lab: Lab, told: Narrator) -> None:
    told.say(f"host b stays: `scripts/lab.py shell b --name {lab.name}`; Ctrl-C ends it")
    told.tick()
    try:
        signal.pause()
    except KeyboardInterrupt:
        told.say("ended")
