"""QEMU's control connection (QMP): saves a running host to a file, and lets one that came from a file go on.

Only what a saved host needs is here; the hosts themselves are `lab.machine`'s.
"""

from __future__ import annotations

import json
import shlex
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.settings import LabError

_ANSWER_SECONDS_MAX = 30.0
_SAVE_SECONDS_MAX = 120.0
# Bytes a second, beyond what any disk writes: nothing else is done meanwhile.
_BANDWIDTH_MAX = 1 << 40


class Monitor:
    """One connection to one QEMU. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_SECONDS_MAX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r")
        self._lines.readline()
        self._ask("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def save(self, path: Path) -> None:
        """Stops the host and writes all of its state to a file. It stays stopped."""
        self._ask("stop")
        self._ask("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH_MAX})
        self._ask("migrate", {"uri": f"exec:cat > {shlex.quote(str(path))}"})
        self._wait("query-migrate", "completed", _SAVE_SECONDS_MAX)

    def go_on(self) -> None:
        """Waits until a host that is read from a file is complete, and lets it run."""
        self._wait("query-status", "paused", _SAVE_SECONDS_MAX)
        self._ask("cont")

    def _wait(self, question: str, status: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (now := self._ask(question).get("status")) != status:
            if now == "failed" or time.monotonic() > deadline:
                raise LabError(f"QEMU's {question} is {now}, not {status}")
            time.sleep(0.05)

    def _ask(self, command: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        request = {"execute": command, "arguments": arguments or {}}
        self._socket.sendall(json.dumps(request).encode())
        # What QEMU tells unasked comes in between.
        while line := self._lines.readline():
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise LabError(f"QEMU refuses {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return dict(answer["return"])
        raise LabError(f"QEMU ended before it answered {command}")
