"""Talks to a running QEMU over its machine protocol (QMP)."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from bench.settings import BenchError

_CONNECT_SECONDS_MAX = 20.0
_ANSWER_SECONDS_MAX = 30.0


class Monitor:
    """One connection; commands are answered in order, events are passed over."""

    def __init__(self, path: Path) -> None:
        self._socket = _connect(path)
        self._socket.settimeout(_ANSWER_SECONDS_MAX)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lines.readline()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Runs a command and returns what it returns."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise BenchError(f"QEMU refused {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise BenchError("QEMU has ended: its guest's console may tell why")

    def close(self) -> None:
        """Ends the connection."""
        self._lines.close()
        self._socket.close()


def _connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_SECONDS_MAX
    while True:
        candidate = socket.socket(socket.AF_UNIX)
        try:
            candidate.connect(str(path))
            return candidate
        except OSError as error:
            candidate.close()
            if time.monotonic() > deadline:
                raise BenchError(f"QEMU does not answer at {path}: {error}") from error
            time.sleep(0.05)
