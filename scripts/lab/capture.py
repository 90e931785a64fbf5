"""Records frames on the lab's switch, outside of any host, and reads the record."""

from __future__ import annotations

import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.network import Network
from lab.processes import end
from lab.settings import LabError

_MAGIC_NANOSECONDS = 0xA1B23C4D


@dataclass(frozen=True)
class Frame:
    """One recorded frame; the time is the machine's wall clock in seconds."""

    at: float
    data: bytes


class Capture:
    """tcpdump on one tap, seeing only what the host behind it sends."""

    def __init__(self, network: Network, tap: str, expression: str, path: Path) -> None:
        self._path = path
        self._network = network
        self._command = [
            "tcpdump", "-i", tap, "-Q", "in", "-w", str(path), "-U", "-n", "-s", "256",
            "--time-stamp-precision=nano", "-Z", "root", *expression.split(),
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Capture:
        self._path.unlink(missing_ok=True)
        self._process = self._network.popen(
            self._network.hosts, self._command, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        # Its first line comes when the socket is open, so nothing after it is missed.
        line = self._process.stderr.readline()
        if "listening" not in line:
            end(self._process)
            raise LabError(f"tcpdump does not listen: {line.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        time.sleep(0.2)
        end(self._process)

    def frames(self) -> list[Frame]:
        """All frames that were recorded, in order."""
        data = self._path.read_bytes()
        if len(data) < 24 or struct.unpack_from("<I", data)[0] != _MAGIC_NANOSECONDS:
            raise LabError(f"{self._path} is not a capture with nanoseconds")
        frames = []
        offset = 24
        while offset + 16 <= len(data):
            seconds, nanoseconds, length, _ = struct.unpack_from("<IIII", data, offset)
            offset += 16
            frames.append(Frame(seconds + nanoseconds / 1e9, data[offset:offset + length]))
            offset += length
        return frames
