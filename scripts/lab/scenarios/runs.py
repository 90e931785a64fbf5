"""`lab runs`: the failover again and again, with a table."""

from __future__ import annotations

import random

from lab.failover import STEADY_SECONDS, Outcome, prepare, reset, run_failover
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import Protection, build_helpers
from lab.settings import LabError


# At random moments: from the first epoch that can be revived on, and at any place within an epoch.
RANDOM_SECONDS_MAX = 8.0


def runs(name: str, shape: Shape, options: Protection, count: int, seed: int | None) -> int:
    """Repeats the failover. Host A is booted anew each time, since it was killed; host B goes on.

    With a seed the plug is pulled after random times, which follow from it.
    """
    moments = random.Random(seed)
    told = Narrator()
    build_helpers()
    outcomes: list[Outcome | str] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot()
        for number in range(1, count + 1):
            steady = STEADY_SECONDS if seed is None else moments.uniform(0, RANDOM_SECONDS_MAX)
            told.say(f"run {number} of {count}: the plug is pulled after {steady:.3f} s of protection")
            outcomes.append(_one(lab, options, told, steady))
            if number < count:
                reset(lab)
    return _report(outcomes, told)


def _one(lab: Lab, options: Protection, told: Narrator, steady: float) -> Outcome | str:
    try:
        prepare(lab)
        outcome = run_failover(lab, options, told, steady)
    except LabError as error:
        told.say(f"failed: {error}")
        return str(error)
    told.say(outcome.describe())
    return outcome


def _report(outcomes: list[Outcome | str], told: Narrator) -> int:
    passed = 0
    print("\n run  result  takeover ms  late suspend ms  longest stall ms  bytes verified")
    for number, outcome in enumerate(outcomes, start=1):
        if isinstance(outcome, str):
            print(f"{number:4}  failed  {outcome}")
            continue
        passed += outcome.passed
        progress = outcome.verdict.progress
        takeover = outcome.takeover_ms if outcome.takeover_ms is not None else "-"
        suspend = outcome.late_suspend_ms if outcome.late_suspend_ms is not None else "-"
        print(
            f"{number:4}  {'ok' if outcome.passed else 'failed':6}  {takeover:>11}  {suspend:>15}  "
            f"{progress.longest_stall_ms:16}  {progress.bytes:14}  {outcome.reason}"
        )
    told.say(f"{passed} of {len(outcomes)} failovers succeeded")
    return 0 if passed == len(outcomes) else 1
