"""Finds and runs the lab's tests: functions marked `@lab_test` in the modules of `lab.tests`.

A test takes the running lab and raises on failure. Tests run in the order of their modules' names and of
their places in them; each starts on hosts without guest and helpers, which is seen to here.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lab import tests
from lab.client import StreamClient
from lab.failover import prepare, reset
from lab.guest import create_guest
from lab.instance import Lab
from lab.machine import Shape
from lab.narrator import Narrator
from lab.pollux import Pair, Protection, build_helpers
from lab.settings import LabError

TestBody = Callable[[Lab], None]
# What an emulated host may take for something that is done at once.
PATIENCE_SECONDS = 30


class TestFailed(LabError):
    """What a test expected did not hold."""


@dataclass(frozen=True)
class LabTest:
    """A test, the line that names it, and the hosts it needs."""

    title: str
    body: TestBody
    hosts: str


_registered: list[LabTest] = []


def lab_test(title: str, hosts: str = "ab") -> Callable[[TestBody], TestBody]:
    """Marks a function as a test; the hosts it names are up when it starts."""

    def register(body: TestBody) -> TestBody:
        _registered.append(LabTest(title, body, hosts))
        return body

    return register


def expect(condition: bool, otherwise: str) -> None:
    """Fails the test, with what was seen instead."""
    if not condition:
        raise TestFailed(otherwise)


def expect_more(client: StreamClient, messages: int, seconds: float, otherwise: str) -> None:
    """Fails the test when the stream does not bring so many more messages in time."""
    expect(client.wait_for(client.progress.messages + messages, seconds), otherwise)


def wait_until(condition: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Fails the test with this text when the condition does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TestFailed(otherwise)
        time.sleep(0.5)


@contextmanager
def streaming(lab: Lab, options: Protection, rate: int = 50) -> Iterator[tuple[Pair, StreamClient]]:
    """A guest, a client whose stream runs and must be whole at the end, and helpers that are yet to be started."""
    create_guest(lab.a)
    client = StreamClient(lab.network, rate)
    client.start()
    pair = Pair(lab, options)
    try:
        expect(client.wait_for(50, timeout=30), "the stream does not run")
        yield pair, client
    except BaseException:
        # What went wrong is told, and not what goes wrong after it.
        with suppress(LabError, OSError):
            pair.stop()
        client.finish()
        raise
    try:
        pair.stop()
    finally:
        verdict = client.finish()
    expect(verdict.whole, f"the stream is {verdict.word}: {verdict.why}")


@contextmanager
def protected_stream(lab: Lab, options: Protection, rate: int = 50) -> Iterator[tuple[Pair, StreamClient]]:
    """The same, with the guest protected."""
    with streaming(lab, options, rate) as (pair, client):
        pair.stand_by()
        pair.protect()
        pair.wait_protected()
        yield pair, client


def collect(chosen: str | None) -> list[LabTest]:
    """All tests, or those whose title or module contains the chosen words."""
    for module in sorted(pkgutil.iter_modules(tests.__path__), key=lambda found: found.name):
        importlib.import_module(f"lab.tests.{module.name}")
    # A module that takes something from another one has imported that earlier.
    _registered.sort(key=lambda test: test.body.__module__)
    return [test for test in _registered if not chosen or chosen in test.title or chosen in test.body.__module__]


def run_tests(name: str, shape: Shape, chosen: str | None, minutes_max: float | None) -> int:
    """Runs the tests on one pair of hosts; prints a line for each and the count alone on the last.

    After `minutes_max` no test is begun: what is left is said to be skipped. Emulated hosts can be several
    times slower on a machine that is busy or throttled.
    """
    selected = collect(chosen)
    deadline = time.monotonic() + minutes_max * 60 if minutes_max else float("inf")
    failed = skipped = 0
    if not selected:
        raise LabError(f"no test's title or module contains {chosen!r}")
    build_helpers()
    with Lab(name, "ab", shape) as lab:
        lab.boot("".join(sorted({letter for test in selected for letter in test.hosts})))
        for test in selected:
            began = time.monotonic()
            if began > deadline:
                skipped += 1
                print(f"{'skip':6} {test.title} (after {minutes_max:.0f} minutes)", flush=True)
                continue
            problem = _run(lab, test)
            seconds = time.monotonic() - began
            print(f"{'FAILED' if problem else 'ok':6} {test.title} ({seconds:.0f} s)", flush=True)
            if problem:
                failed += 1
                print(f"       {problem}", flush=True)
                _show_logs(lab)
    left_out = f", {skipped} skipped" if skipped else ""
    print(f"{len(selected) - failed - skipped} passed, {failed} failed{left_out}", flush=True)
    return 1 if failed else 0


def _run(lab: Lab, test: LabTest) -> str:
    try:
        reset(lab, test.hosts)
        prepare(lab)
        test.body(lab)
    except (LabError, OSError, AssertionError) as error:
        return f"{error}"
    except Exception:  # A fault of the test itself must not hide the tests that follow.
        return traceback.format_exc(limit=4)
    return ""


def _show_logs(lab: Lab) -> None:
    """The helpers' last words, which is where most failures explain themselves."""
    for host in lab.hosts.values():
        if host.running and host.agent.answers(timeout=3):
            said = host.run("tail -n 8 /var/log/*-helper.log /var/log/xen/console/guest-pollux-*.log 2>/dev/null; xl list", check=False).stdout
            print("".join(f"       host {host.name}: {line}\n" for line in said.splitlines()), end="")


def quiet_narrator() -> Narrator:
    """For tests that use the scenarios: only failures are told."""

    class _Quiet(Narrator):
        def show_event(self, line: str) -> None:
            pass

        def tick(self) -> None:
            pass

    return _Quiet()
