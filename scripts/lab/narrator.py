"""Tells a person what happens: lines with a time, or a dashboard that repaints itself on a terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.client import StreamClient
from lab.machine import Host
from lab.pollux import Pair, StatusPoller

_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 60
_EVENTS_SHOWN = 9
_PLAIN_INTERVAL = 5.0
_FULL_STALL_MS = 1000


class Narrator:
    """Plain lines, for logs and pipes: every event, and the figures every few seconds."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.events: list[str] = []
        self.scene: Scene | None = None
        self._told = 0.0

    def say(self, text: str) -> None:
        """Notes an event."""
        line = f"{time.monotonic() - self.began:7.2f} s  {text}"
        self.events.append(line)
        self.show_event(line)

    def show_event(self, line: str) -> None:
        """Makes one event visible."""
        print(line, flush=True)

    def tick(self) -> None:
        """Called often while something is awaited."""
        if self.scene and time.monotonic() - self._told > _PLAIN_INTERVAL:
            self._told = time.monotonic()
            for line in self.scene.lines():
                print(f"           {line}", flush=True)

    def watch(self, until: Callable[[], bool], timeout: float) -> bool:
        """Ticks until the condition holds; false when time runs out first."""
        deadline = time.monotonic() + timeout
        while not until():
            if time.monotonic() > deadline:
                return False
            self.tick()
            time.sleep(0.1)
        return True

    def close(self) -> None:
        """Gives the terminal back."""


class Dashboard(Narrator):
    """The same on a terminal: one screen that is painted over."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        self._paint()

    def show_event(self, line: str) -> None:
        self._paint()

    def tick(self) -> None:
        self._paint()

    def _paint(self) -> None:
        width = shutil.get_terminal_size().columns
        lines = [f"\x1b[1m{self._title}\x1b[0m", ""]
        lines += self.scene.lines() if self.scene else []
        lines += ["", *self.events[-_EVENTS_SHOWN:]]
        # The escape codes of colour make a line longer than it looks; nothing else is cut.
        text = "".join(f"{line[:width + 20]}\x1b[K\r\n" for line in lines)
        sys.stdout.write(f"\x1b[H{text}\x1b[J")
        sys.stdout.flush()

    def close(self) -> None:
        """Leaves the screen and prints the events again, so that they stay in the scroll-back."""
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        for line in self.events:
            print(line)
        sys.stdout.flush()


def narrator(title: str) -> Narrator:
    """A dashboard where stdout is a terminal, lines otherwise."""
    return Dashboard(title) if sys.stdout.isatty() else Narrator()


@dataclass
class Scene:
    """What the dashboard shows: the two hosts, the replication and the client's stream."""

    pair: Pair
    poller: StatusPoller
    client: StreamClient
    taken_over: bool = False
    _history: list[int] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The figures of this moment."""
        primary, backup = self.poller.primary, self.poller.backup
        progress = self.client.progress
        verdict = self.client.verdict
        self._remember()
        stream = verdict.word if verdict else "whole so far"
        pauses = (primary.get("pause_us_p50"), primary.get("pause_us_p99"))
        return [
            self._host_line("primary", primary, self.pair.primary.host),
            self._host_line("backup ", backup, self.pair.backup.host),
            f"pauses      p50 {_milliseconds(pauses[0])}, p99 {_milliseconds(pauses[1])}, "
            f"{primary.get('dirty_pages', '-')} dirty pages an epoch, {_size(primary.get('bytes_sent'))} sent",
            f"client      {stream}: {progress.messages} messages, {_size(str(progress.bytes))} verified, "
            f"{progress.receipted} of {progress.sent} of its own receipted",
            f"stall       now {progress.stall_ms} ms, longest {progress.longest_stall_ms} ms",
            f"            {''.join(_bar(stall) for stall in self._history)}",
        ]

    def _remember(self) -> None:
        self._history.append(self.client.progress.stall_ms)
        del self._history[:-_HISTORY]

    def _host_line(self, role: str, status: dict[str, str], host: Host) -> str:
        if not host.running:
            return f"host {host.name}      {role}  \x1b[31mdead\x1b[0m"
        if self.taken_over:
            return f"host {host.name}      {role}  \x1b[32mruns the guest\x1b[0m"
        acknowledged = f", acknowledged {status['acknowledged']}" if "acknowledged" in status else ""
        return (
            f"host {host.name}      {role}  {status.get('state', 'up'):<22}  "
            f"epoch {status.get('epoch', '-')}{acknowledged}"
        )


def _bar(stall_ms: int) -> str:
    return _BARS[min(stall_ms * (len(_BARS) - 1) // _FULL_STALL_MS, len(_BARS) - 1)]


def _milliseconds(microseconds: str | None) -> str:
    return f"{int(microseconds) / 1000:.1f} ms" if microseconds else "-"


def _size(count: str | None) -> str:
    return f"{int(count) / 1e6:.1f} MB" if count else "-"
