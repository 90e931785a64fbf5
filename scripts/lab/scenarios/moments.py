"""`lab moments`: the plug is pulled at random moments, during the first copy and while commits are applied too.

A guest that was protected must go on from the backup, whole. One whose first copy was not complete is lost with
its host: then nothing may be brought to life, and the backup must stand by for the next guest.

Host A is killed each time. So that it need not boot anew, it is saved once with its guest running, and started
from that file; after some runs it is booted and saved anew, so that guests differ in where their memory is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from lab.client import StreamClient
from lab.failover import create_busy_guest, prepare, pull_plug, reset, see_takeover, start_protection
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import PROTECTED, Pair, Protection, build_helpers
from lab.settings import GUEST_NAME, LabError
from lab.stub_domain import NAMES

RUNS_PER_BOOT = 20
# Of all moments, how many fall into the time from the protection's start on, and how long that is: it has
# the first copy in it. All others come after the first epochs that can be revived.
EARLY_SHARE = 0.2
EARLY_SECONDS_MAX = 50.0
LATE_SECONDS_MAX = 6.0
# Before a guest is protected, a backup bears twenty timeouts of silence.
DECISION_SECONDS_MAX = 90
# What the helpers' logs say.
CALLED = "a primary has called"
REVIVES, NOTHING_TO_REVIVE = "is LOST: reviving", "there is nothing to revive"


@dataclass(frozen=True)
class Moment:
    """When the plug is pulled: so long after the protection's start, or after it protects."""

    early: bool
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:6.3f} s after {'the start' if self.early else 'PROTECTED'}"


@dataclass(frozen=True)
class Shown:
    """What one run showed; without a reason it is as it must be."""

    moment: Moment
    what: str
    takeover_ms: int | None
    stream_bytes: int
    reason: str


def moments(name: str, shape: Shape, options: Protection, count: int, seed: int) -> int:
    """Pulls the plug `count` times; the moments follow from the seed."""
    told = Narrator()
    build_helpers()
    drawn = [_draw(random.Random(f"{seed}/{number}")) for number in range(count)]
    shown: list[Shown] = []
    with Lab(name, "ab", shape) as lab:
        lab.boot("b")
        for number, moment in enumerate(drawn):
            try:
                _stage(lab, options, told, anew=number % RUNS_PER_BOOT == 0)
                shown.append(_one(lab, options, told, moment))
            except (LabError, OSError) as error:
                shown.append(Shown(moment, "error", None, 0, str(error)))
            told.say(f"run {number + 1} of {count}: {_describe(shown[-1])}")
    return _report(shown, told)


def _draw(chance: random.Random) -> Moment:
    early = chance.random() < EARLY_SHARE
    return Moment(early, chance.uniform(0, EARLY_SECONDS_MAX if early else LATE_SECONDS_MAX))


def _stage(lab: Lab, options: Protection, told: Narrator, anew: bool) -> None:
    """Host A with its guest, host B with nothing."""
    if lab.a.running:
        lab.a.kill()
    reset(lab, needed="b")
    if anew or not lab.a.saved.exists():
        lab.reboot("a")
        prepare(lab)
        create_busy_guest(lab, options, told)
        lab.a.run(f"xl pause {GUEST_NAME}")
        lab.a.save()
    lab.start_saved("a")
    lab.a.run(f"xl unpause {GUEST_NAME}")


def _one(lab: Lab, options: Protection, told: Narrator, moment: Moment) -> Shown:
    pair = Pair(lab, options)
    client = StreamClient(lab.network)
    client.start()
    try:
        start_protection(pair, client, told)
        if not moment.early:
            pair.wait_told_protected()
        told.watch(lambda: client.ended, moment.seconds)
        killed_at = pull_plug(lab, told)
        if CALLED in pair.backup.log():
            pair.backup.says(f"{REVIVES}|{NOTHING_TO_REVIVE}", DECISION_SECONDS_MAX, after=CALLED)
        # An earlier session may have been lost, too: only the last one counts.
        log = pair.backup.log(lines=50)
        log = log[max(log.rfind(CALLED), 0):]
        if REVIVES in log:
            outcome = see_takeover(lab, client, told, killed_at)
            return Shown(moment, "goes on", outcome.takeover_ms, outcome.verdict.progress.bytes, outcome.reason)
        return Shown(moment, "lost", None, client.progress.bytes, _wrong_about_loss(lab, pair, client, log))
    finally:
        if client.verdict is None:
            client.finish()


def _wrong_about_loss(lab: Lab, pair: Pair, client: StreamClient, log: str) -> str:
    """Why a guest should not have been lost, or what the backup did wrong about one that had to be."""
    if PROTECTED in log:
        return f"the backup had a whole image and did not revive it: {log.strip().splitlines()[-3:]}"
    if pair.backup.exit_status() is not None:
        return f"the backup's helper ended: {pair.backup.log(2).strip()}"
    if CALLED in log and NOTHING_TO_REVIVE not in log:
        return f"the backup did not notice the loss within {DECISION_SECONDS_MAX} s"
    domains = set(lab.b.run("xl list | awk 'NR > 1 && $2 > 0 { print $1 }'").stdout.split()) - set(NAMES.values())
    if domains:
        return f"half a guest was left on host b: {', '.join(sorted(domains))}"
    verdict = client.finish()
    return f"the stream was damaged: {verdict.why}" if verdict.word == "damaged" else ""


def _describe(shown: Shown) -> str:
    word = "ok    " if not shown.reason else "FAILED"
    takeover = f"takeover {shown.takeover_ms} ms" if shown.takeover_ms is not None else ""
    return f"{word} {shown.moment}: {shown.what:8} {shown.stream_bytes:8} bytes {takeover} {shown.reason}".rstrip()


def _report(shown: list[Shown], told: Narrator) -> int:
    for number, one in enumerate(shown, start=1):
        print(f"{number:4}  {_describe(one)}")
    failed = sum(bool(one.reason) for one in shown)
    went_on = sum(one.what == "goes on" for one in shown)
    told.say(
        f"{went_on} guests went on, {len(shown) - went_on} were lost in their first copy; "
        f"{failed} of {len(shown)} runs failed"
    )
    return 1 if failed else 0
