"""`lab runs`: the failover again and again, with a table."""

from __future__ import annotations

from lab.failover import Outcome, prepare, reset, run_failover
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import Protection, build_helpers
from lab.settings import LabError


def runs(name: str, shape: Shape, options: Protection, count: int) -> int:
    """Repeats the failover. Host A is booted anew each time, since it was killed; host B goes on."""
    told = Narrator()
    build_helpers()
    outcomes: list[Outcome | str] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot()
        for number in range(1, count + 1):
            told.say(f"run {number} of {count}")
            outcomes.append(_one(lab, options, told))
            if number < count:
                reset(lab)
    return _report(outcomes, told)


def _one(lab: Lab, options: Protection, told: Narrator) -> Outcome | str:
    try:
        prepare(lab)
        outcome = run_failover(lab, options, told)
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
