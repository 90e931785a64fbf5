"""The main scenario: protect a guest, pull its host's plug, and see its clients' stream go on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lab.client import StreamClient, Verdict
from lab.guest import GuestControl, create_guest, destroy_guest, install_configs
from lab.instance import Lab
from lab.narrator import Narrator, Scene
from lab.pollux import Pair, Protection, StatusPoller, install, new_key
from lab.settings import LabError
from lab.stub_domain import give_interface_back

STEADY_SECONDS = 5.0
TAKEOVER_SECONDS_MAX = 60.0
# Pages dirtied per 100 ms. Two hosts that are emulated on two cores seal and send a few hundred pages in
# that time; more would measure the emulator.
DIRTY_PAGES = 100
AFTERWARDS_SECONDS = 5.0
# At 50 messages a second, this many after the takeover show a stream that runs, not a last gasp.
MESSAGES_AFTERWARDS = 100
RECEIPTS_AFTERWARDS = 20


@dataclass(frozen=True)
class Outcome:
    """What one failover showed."""

    verdict: Verdict
    takeover_ms: int | None
    reason: str
    # Milliseconds from the guest's first instruction on host B to its late suspend, as the helper tells.
    late_suspend_ms: float | None = None

    @property
    def passed(self) -> bool:
        """The stream is whole and went on from the other host."""
        return not self.reason

    def describe(self) -> str:
        """One line for a person."""
        takeover = f"{self.takeover_ms} ms" if self.takeover_ms is not None else "never"
        progress = self.verdict.progress
        word = "passed" if self.passed else f"failed ({self.reason})"
        return (
            f"{word}: {progress.bytes} bytes in {progress.messages} messages verified, stream "
            f"{self.verdict.word}, takeover {takeover}, longest stall {progress.longest_stall_ms} ms"
        )


def prepare(lab: Lab) -> None:
    """Gives every running host the guest's configurations, the helpers and one new key."""
    key = new_key()
    for host in lab.hosts.values():
        if host.running:
            install_configs(host)
            install(host, key)


def reset(lab: Lab, needed: str = "ab") -> None:
    """Leaves every running host without guest and helpers; boots the needed ones that are not running."""
    for host in lab.hosts.values():
        if host.running:
            for program in ("primary-helper", "backup-helper"):
                host.run(f"killall -KILL {program} 2>/dev/null; true")
            destroy_guest(host)
            give_interface_back(host)
            # The youngest first: a vif goes before the driver domain that serves it.
            host.run("for name in $(xl list | awk 'NR > 1 && $2 > 0 { print $2 }' | tac); do xl destroy $name; done")
    for letter in needed:
        if not lab.hosts[letter].running:
            lab.reboot(letter)


def create_busy_guest(lab: Lab, options: Protection, told: Narrator) -> None:
    """Creates the guest on host A and has it write memory."""
    told.say(f"creating the guest on host a ({options.vcpus} vCPU)")
    create_guest(lab.a, options.vcpus)
    GuestControl(lab.network).ask(f"dirty {DIRTY_PAGES} 100")


def run_failover(lab: Lab, options: Protection, told: Narrator) -> Outcome:
    """Runs the scenario on freshly prepared hosts and leaves host B with the guest."""
    create_busy_guest(lab, options, told)
    pair = Pair(lab, options)
    client = StreamClient(lab.network)
    client.start()
    try:
        with StatusPoller(pair) as poller:
            told.scene = Scene(pair, poller, client)
            start_protection(pair, client, told)
            pair.wait_protected()
            told.say(f"protected: an epoch every {pair.options.interval_ms} ms")
            told.watch(lambda: client.ended, STEADY_SECONDS)
            if client.ended:
                outcome = _outcome(client, None, "the stream ended before the plug was pulled")
            else:
                outcome = see_takeover(lab, client, told, pull_plug(lab, told))
            return replace(outcome, late_suspend_ms=_late_suspend_ms(pair))
    finally:
        told.scene = None
        if client.verdict is None:
            client.finish()


def _late_suspend_ms(pair: Pair) -> float | None:
    found = re.search(r"suspended after another ([0-9.]+) ms", pair.backup.log())
    return float(found[1]) if found else None


def start_protection(pair: Pair, client: StreamClient, told: Narrator) -> None:
    """Starts both helpers once the stream runs."""
    if not client.wait_for(20, timeout=30):
        raise LabError("the guest's stream did not start")
    told.say("the client's stream runs; host b stands by")
    pair.stand_by()
    pair.protect()
    told.say("host a starts the protection")


def pull_plug(lab: Lab, told: Narrator) -> float:
    """Kills host A; returns the moment on the monotonic clock."""
    moment = lab.a.kill()
    told.say("pulled the plug: host a's QEMU killed with SIGKILL")
    return moment


def see_takeover(lab: Lab, client: StreamClient, told: Narrator, moment: float) -> Outcome:
    """Whether the guest goes on from host B, whole, after host A was killed at that moment."""
    before = client.progress

    def resumed() -> bool:
        # What host a sent last may still be on its way; the stall that ends after the kill is the takeover.
        return client.ended or any(stall.end > moment for stall in client.stalls)

    if not told.watch(resumed, TAKEOVER_SECONDS_MAX) or client.ended:
        return _outcome(client, None, "the stream did not go on")
    takeover_ms = round((max(stall.end for stall in client.stalls if stall.end > moment) - moment) * 1000)
    if told.scene:
        told.scene.taken_over = True
    told.say(f"host b has taken over: the stream goes on {takeover_ms} ms after the plug was pulled")
    after = client.progress
    reached = told.watch(
        lambda: client.ended or (
            client.progress.messages >= after.messages + MESSAGES_AFTERWARDS
            and client.progress.receipted >= max(after.receipted, before.receipted) + RECEIPTS_AFTERWARDS
        ),
        AFTERWARDS_SECONDS * 6,
    )
    reason = "" if reached and not client.ended else "the stream did not keep running on host b"
    return _outcome(client, takeover_ms, reason or _wrong_guest(lab))


def _wrong_guest(lab: Lab) -> str:
    """The revived guest must take new connections too, and its memory hold what the guest wrote to it."""
    try:
        [found] = GuestControl(lab.network).ask("inspect", timeout=10)
    except (OSError, LabError) as error:
        return f"the guest takes no new connection: {error}"
    return "" if found.endswith(" wrong=0") else f"the guest's memory is not what it wrote: {found}"


def _outcome(client: StreamClient, takeover_ms: int | None, reason: str) -> Outcome:
    verdict = client.finish()
    if not verdict.whole:
        reason = reason or f"the stream is {verdict.word}: {verdict.why}"
    return Outcome(verdict, takeover_ms, reason)
