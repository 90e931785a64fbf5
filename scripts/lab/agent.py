"""The command channel into a host: scripts, uploads and downloads through the lab's agent.

Each call is its own connection, so calls may run side by side from several threads and programs.
The other end is guest-programs/src/bin/lab-agent.rs, which describes the frames.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.network import connect
from lab.settings import AGENT_PORT, LabError

_STDOUT, _STDERR, _EXIT, _DATA, _ERROR = 1, 2, 3, 4, 5
Sink = Callable[[bytes], None]


@dataclass(frozen=True)
class Result:
    """How a script ended."""

    status: int
    stdout: str
    stderr: str


class CommandFailed(LabError):
    """A script ended with a status other than 0."""

    def __init__(self, host: str, script: str, result: Result) -> None:
        said = (result.stderr.strip() or result.stdout.strip())[-600:]
        super().__init__(f"host {host}: `{script.strip()[:120]}` gave status {result.status}: {said}")
        self.result = result


@dataclass(frozen=True)
class Agent:
    """The agent of one host, reached from a namespace."""

    name: str
    namespace: str
    address: str

    def run(self, script: str, timeout: float = 60.0, check: bool = True) -> Result:
        """Runs a bash script as root and returns its output; a failure raises unless `check` is off."""
        output, errors = bytearray(), bytearray()
        status = self.stream(script, output.extend, errors.extend, timeout)
        result = Result(status, output.decode(errors="replace"), errors.decode(errors="replace"))
        if check and status != 0:
            raise CommandFailed(self.name, script, result)
        return result

    def stream(self, script: str, stdout: Sink, stderr: Sink, timeout: float | None) -> int:
        """Runs a script and hands on its output as it comes; returns its exit status."""
        body = script.encode()
        request = b"exec %d\n" % len(body) + body
        return self._request(request, {_STDOUT: stdout, _STDERR: stderr}, timeout)

    def push(self, source: Path | bytes, path: str, mode: int | None = None, timeout: float = 60.0) -> None:
        """Writes a file on the host, whole or not at all; the mode is the source's unless given."""
        content = source if isinstance(source, bytes) else source.read_bytes()
        if mode is None:
            mode = 0o644 if isinstance(source, bytes) else source.stat().st_mode & 0o777
        request = f"push {mode:o} {len(content)} {path}\n".encode() + content
        self._request(request, {}, timeout)

    def pull(self, path: str, timeout: float = 60.0) -> bytes:
        """Reads a file of the host."""
        content = bytearray()
        self._request(f"pull {path}\n".encode(), {_DATA: content.extend}, timeout)
        return bytes(content)

    def answers(self, timeout: float = 1.0) -> bool:
        """Whether the agent runs a command right now."""
        try:
            return self.run("true", timeout=timeout, check=False).status == 0
        except (OSError, LabError):
            return False

    def _request(self, request: bytes, sinks: dict[int, Sink], timeout: float | None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        connection = connect(self.namespace, self.address, AGENT_PORT, timeout or 10.0)
        with connection:
            try:
                connection.sendall(request)
                return self._answer(connection, sinks, deadline)
            except TimeoutError:
                shown = request.split(b"\n", 1)[-1][:80].decode(errors="replace").strip()
                raise LabError(f"host {self.name}: no answer after {timeout} s: {shown}") from None

    def _answer(self, connection: socket.socket, sinks: dict[int, Sink], deadline: float | None) -> int:
        while True:
            kind, length = struct.unpack("<BI", self._receive(connection, 5, deadline))
            data = self._receive(connection, length, deadline)
            if kind == _EXIT:
                return int(struct.unpack("<i", data)[0])
            if kind == _ERROR:
                raise LabError(f"host {self.name}: {data.decode(errors='replace')}")
            if kind in sinks:
                sinks[kind](data)

    def _receive(self, connection: socket.socket, length: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < length:
            if deadline is not None:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
            else:
                connection.settimeout(None)
            chunk = connection.recv(min(length - len(data), 1 << 16))
            if not chunk:
                raise LabError(f"host {self.name}: the agent closed the connection (did the host end?)")
            data += chunk
        return bytes(data)
