"""The client on the LAN: starts guest-programs' `lab-client` and follows what it reports."""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from dataclasses import dataclass, field

from lab.network import Network
from lab.processes import end
from lab.settings import (
    GUEST_ADDRESS, GUEST_STREAM_PORT, GUEST_TCP_SINK_PORT, GUEST_UDP_SINK_PORT, LabError, release_folder,
)


@dataclass(frozen=True)
class Progress:
    """Where the stream is; times are in milliseconds since the client connected."""

    at_ms: int = 0
    messages: int = 0
    bytes: int = 0
    sent: int = 0
    receipted: int = 0
    stall_ms: int = 0
    longest_stall_ms: int = 0


@dataclass(frozen=True)
class Stall:
    """A silence of the stream of more than 100 ms; the end is on this machine's monotonic clock."""

    end: float
    length_ms: int


@dataclass(frozen=True)
class Verdict:
    """How the stream ended: `whole`, `reset`, `damaged` or `unconnected`."""

    word: str
    why: str
    progress: Progress

    @property
    def whole(self) -> bool:
        """Every byte came, once, in order, and the connection never broke."""
        return self.word == "whole"


@dataclass
class StreamClient:
    """One connection to the guest's stream. The client never reconnects: a reset is a failure."""

    network: Network
    rate: int = 50
    size: int = 400
    progress: Progress = field(default_factory=Progress)
    stalls: list[Stall] = field(default_factory=list)
    verdict: Verdict | None = None
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None
    _connected_at: float = 0.0

    def start(self) -> None:
        """Connects; the stream then runs until `finish`."""
        address = f"{GUEST_ADDRESS}:{GUEST_STREAM_PORT}"
        self._process = self.network.popen(
            self.network.client,
            [str(release_folder() / "lab-client"), "stream", address, str(self.rate), str(self.size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "connected":
                self._connected_at = time.monotonic()
            elif word == "progress":
                self.progress = _progress(rest)
            elif word == "stall":
                values = _values(rest)
                end_at = self._connected_at + int(values["end_ms"]) / 1000
                self.stalls.append(Stall(end_at, int(values["length_ms"])))
            elif word == "verdict":
                kind, _, values_text = rest.partition(" ")
                values = _values(values_text)
                why = values.get("why", "") or values.get("error", "")
                self.verdict = Verdict(kind, why, _progress(values_text))

    @property
    def ended(self) -> bool:
        """Whether the connection has ended by itself, which is never good."""
        return self.verdict is not None

    def wait_for(self, messages: int, timeout: float) -> bool:
        """Waits until that many messages were verified; false when time runs out or the stream ended."""
        deadline = time.monotonic() + timeout
        while self.progress.messages < messages:
            if self.ended or time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def finish(self) -> Verdict:
        """Ends the client and returns its verdict."""
        assert self._process is not None and self._reader is not None, "the client was never started"
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._reader.join(timeout=10)
        end(self._process)
        return self.verdict or Verdict("reset", "the client gave no verdict", self.progress)


class Flood:
    """Traffic at full rate to the guest's sinks, over TCP or UDP, for as long as the context lasts."""

    def __init__(self, network: Network, kind: str) -> None:
        assert kind in ("tcp", "udp"), kind
        port = GUEST_TCP_SINK_PORT if kind == "tcp" else GUEST_UDP_SINK_PORT
        self._network = network
        self._command = [str(release_folder() / "lab-client"), "flood", kind, f"{GUEST_ADDRESS}:{port}"]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Flood:
        self._process = self._network.popen(
            self._network.client, self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("connected"):
            end(self._process)
            raise LabError("the flood could not connect to the guest")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        # A sender that waits in a full socket does not see the end of its stdin: it is simply ended.
        end(self._process)


def _values(text: str) -> dict[str, str]:
    """Reads `name=value` words; values may be quoted."""
    words = shlex.split(text)
    return dict(word.split("=", 1) for word in words if "=" in word)


def _progress(text: str) -> Progress:
    values = _values(text)
    names = Progress.__dataclass_fields__
    return Progress(**{name: int(values[name]) for name in names if name in values})
