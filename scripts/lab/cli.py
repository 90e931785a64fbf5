"""The lab's command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab import shell, standing, testing
from lab.command import run
from lab.instance import attach
from lab.machine import Shape, cores_for
from lab.pollux import INTERVAL_MS_BY_VCPUS, Protection
from lab.scenarios.demo import demo
from lab.scenarios.deployments import deployments
from lab.scenarios.gaps import gaps
from lab.scenarios.moments import moments
from lab.scenarios.runs import runs
from lab.scenarios.starts import starts
from lab.settings import LabError


def main() -> int:
    """Runs one command; its failure is one line and status 1."""
    return run(_parser(), "lab", (LabError, OSError))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab.py", description="Two emulated Xen hosts, guests and a client.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_scenarios(commands)
    _add_measurements(commands)
    _add_standing(commands)
    _add_access(commands)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_scenarios(commands: Commands[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("demo", help="protect a guest, pull its host's plug, watch its stream go on")
    show.add_argument("--stay", action="store_true", help="keep host b running afterwards")
    _add_protection(show)
    _add_shape(show, name="demo")
    show.set_defaults(
        run=lambda given: demo(given.name, _shape(given), _protection(given), given.stay)
    )

    repeat = commands.add_parser("runs", help="repeat the failover and count the successes")
    repeat.add_argument("--count", type=int, default=10)
    _add_protection(repeat)
    _add_shape(repeat, name="runs")
    repeat.set_defaults(
        run=lambda given: runs(given.name, _shape(given), _protection(given), given.count)
    )

    surprise = commands.add_parser("moments", help="pull the plug at random moments, the first copy's too")
    surprise.add_argument("--count", type=int, default=10)
    surprise.add_argument("--seed", type=int, default=1, help="the moments follow from it")
    _add_protection(surprise)
    _add_shape(surprise, name="moments")
    surprise.set_defaults(
        run=lambda given: moments(given.name, _shape(given), _protection(given), given.count, given.seed)
    )

    test = commands.add_parser("test", help="run the lab's tests")
    test.add_argument("--only", metavar="WORDS", help="only tests whose title or module contains this")
    test.add_argument("--minutes-max", type=float, metavar="N", help="begin no test after so many minutes")
    _add_shape(test, name="test")
    # One core for dom0 and two for the guest that has as many vCPUs.
    test.set_defaults(pcpus=cores_for(2, Shape().dom0_vcpus))
    test.set_defaults(run=lambda given: testing.run_tests(given.name, _shape(given), given.only, given.minutes_max))


def _add_measurements(commands: Commands[argparse.ArgumentParser]) -> None:
    measure = commands.add_parser("gaps", help="the pauses a guest sees, under Pollux and under xl remus")
    measure.add_argument("--intervals-ms", type=_numbers, default=[25, 100], metavar="N,N")
    measure.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    measure.add_argument("--csv", type=Path, metavar="FILE", help="also write the table there")
    _add_shape(measure, name="gaps")
    measure.set_defaults(
        run=lambda given: gaps(
            given.name, _shape(given), given.intervals_ms, given.seconds, given.csv
        )
    )

    compare = commands.add_parser("deployments", help="pause and throughput with dom0's processes and with stub domains")
    compare.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    _add_shape(compare, name="deployments")
    compare.set_defaults(run=lambda given: deployments(given.name, _shape(given), given.seconds))

    start = commands.add_parser("starts", help="start the protection under full traffic and count clean starts")
    start.add_argument("--count", type=int, default=20)
    start.add_argument("--vcpus", type=_numbers, default=[1, 2, 4], metavar="N,N")
    start.add_argument("--timeout-ms", type=int, default=Protection().timeout_ms)
    _add_shape(start, name="starts")
    # All vCPUs on one core: under a flood two of them keep both real cores waiting for each other.
    start.set_defaults(pcpus=cores_for(1, Shape().dom0_vcpus))
    start.set_defaults(
        run=lambda given: starts(
            given.name, {vcpus: _shape(given, vcpus) for vcpus in given.vcpus},
            Protection(timeout_ms=given.timeout_ms), given.count,
        )
    )


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _add_protection(command: argparse.ArgumentParser) -> None:
    default = Protection()
    command.add_argument("--vcpus", type=int, choices=[1, 2, 4], default=default.vcpus, help="of the guest")
    command.add_argument(
        "--interval-ms", type=int, help=f"length of an epoch; by vCPUs, unless given: {INTERVAL_MS_BY_VCPUS}"
    )
    command.add_argument("--timeout-ms", type=int, default=default.timeout_ms, help="silence that means loss")
    command.add_argument("--stub", action="store_true", help="ship and receive in stub domains")


def _protection(given: argparse.Namespace) -> Protection:
    interval_ms = given.interval_ms or INTERVAL_MS_BY_VCPUS[given.vcpus]
    return Protection(
        vcpus=given.vcpus, interval_ms=interval_ms, timeout_ms=given.timeout_ms, stub=given.stub
    )


def _add_standing(commands: Commands[argparse.ArgumentParser]) -> None:
    up = commands.add_parser("up", help="boot hosts and keep them until `down` or Ctrl-C")
    up.add_argument("--hosts", default="ab", choices=["a", "b", "ab"], help="which hosts to boot")
    up.add_argument("--guest", type=int, metavar="VCPUS", choices=[1, 2, 4], help="also create a guest on host a")
    up.add_argument("--detach", action="store_true", help="return when the hosts are up; they stay")
    _add_shape(up, name="lab")
    up.set_defaults(run=lambda given: standing.up(given, _shape(given)))

    down = commands.add_parser("down", help="end a lab that is up")
    down.add_argument("--name", default="lab")
    down.set_defaults(run=lambda given: standing.down(given.name))

    listing = commands.add_parser("list", help="list the labs that are up")
    listing.set_defaults(run=lambda given: standing.show())


def _add_shape(command: argparse.ArgumentParser, name: str) -> None:
    default = Shape()
    command.add_argument("--name", default=name, help=f"name of this lab (default: {name})")
    command.add_argument("--pcpus", type=int, help="cores per host; by the guest's vCPUs, unless given")
    command.add_argument("--dom0-vcpus", type=int, default=default.dom0_vcpus, help="vCPUs of dom0, pinned")
    command.add_argument("--memory", type=int, default=default.memory_mb, help="MB per host")
    command.add_argument("--nic", default=default.nic, help="QEMU's NIC model")


def _shape(given: argparse.Namespace, vcpus: int | None = None) -> Shape:
    vcpus = vcpus or getattr(given, "vcpus", None) or getattr(given, "guest", None) or 1
    pcpus = given.pcpus or cores_for(vcpus, given.dom0_vcpus)
    return Shape(pcpus=pcpus, dom0_vcpus=given.dom0_vcpus, memory_mb=given.memory, nic=given.nic)


def _add_access(commands: Commands[argparse.ArgumentParser]) -> None:
    def host_command(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.add_argument("--name", help="which lab, where several are up")
        command.add_argument("host", choices=["a", "b"])
        return command

    interactive = host_command("shell", "a root shell on a host")
    interactive.set_defaults(run=lambda given: shell.interactive(attach(given.name, given.host)))

    execute = host_command("exec", "run a command on a host")
    execute.add_argument("words", nargs="+", metavar="CMD", help="put -- before it")
    execute.set_defaults(run=lambda given: shell.execute(attach(given.name, given.host), given.words))

    push = host_command("push", "copy a file to a host")
    push.add_argument("source", type=Path, metavar="FILE")
    push.add_argument("destination", metavar="DEST")
    push.set_defaults(
        run=lambda given: shell.push(attach(given.name, given.host), given.source, given.destination)
    )

    pull = host_command("pull", "copy a file from a host")
    pull.add_argument("source", metavar="FILE")
    pull.add_argument("destination", type=Path, metavar="DEST")
    pull.set_defaults(
        run=lambda given: shell.pull(attach(given.name, given.host), given.source, given.destination)
    )
