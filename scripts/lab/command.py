"""How a command line of this folder runs one command, and ends."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType


def run(parser: argparse.ArgumentParser, name: str, failures: tuple[type[Exception], ...]) -> int:
    """Runs the command that the arguments name; its failure is one line and status 1."""
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    try:
        status: int = arguments.run(arguments)
        return status
    except failures as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _leave(number: int, _frame: FrameType | None) -> None:
    """Turns a signal into an exception, so that every `with` cleans up behind itself."""
    raise SystemExit(128 + number)
