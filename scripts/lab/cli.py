"""The lab's command line."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from lab import shell, standing
from lab.instance import attach
from lab.machine import Shape
from lab.settings import LabError


def main() -> int:
    """Runs one command; its failure is one line and status 1."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        status: int = arguments.run(arguments)
        return status
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _leave(number: int, _frame: FrameType | None) -> None:
    """Turns a signal into an exception, so that every `with` cleans up behind itself."""
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab.py", description="Two emulated Xen hosts, guests and a client.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_standing(commands)
    _add_access(commands)
    return parser


def _add_standing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = commands.add_parser("up", help="boot hosts and keep them until `down` or Ctrl-C")
    up.add_argument("--name", default="lab", help="name of this lab (default: lab)")
    up.add_argument("--hosts", default="ab", choices=["a", "b", "ab"], help="which hosts to boot")
    up.add_argument("--guest", type=int, metavar="VCPUS", choices=[1, 2, 4], help="also create a guest on host a")
    up.add_argument("--detach", action="store_true", help="return when the hosts are up; they stay")
    _add_shape(up)
    up.set_defaults(run=lambda given: standing.up(given, _shape(given)))

    down = commands.add_parser("down", help="end a lab that is up")
    down.add_argument("--name", default="lab")
    down.set_defaults(run=lambda given: standing.down(given.name))

    listing = commands.add_parser("list", help="list the labs that are up")
    listing.set_defaults(run=lambda given: standing.show())


def _add_shape(command: argparse.ArgumentParser) -> None:
    default = Shape()
    command.add_argument("--pcpus", type=int, default=default.pcpus, help="cores per host")
    command.add_argument("--dom0-vcpus", type=int, default=default.dom0_vcpus, help="vCPUs of dom0, pinned")
    command.add_argument("--memory", type=int, default=default.memory_mb, help="MB per host")
    command.add_argument("--nic", default=default.nic, help="QEMU's NIC model")


def _shape(given: argparse.Namespace) -> Shape:
    return Shape(pcpus=given.pcpus, dom0_vcpus=given.dom0_vcpus, memory_mb=given.memory, nic=given.nic)


def _add_access(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
