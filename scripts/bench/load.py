"""What a measured guest is and does: the same words for every method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """The options that `rehearse` and the baselines share."""

    memory_mb: int = 1024
    dirty_pages: int = 1000
    hot_percent: int = 90
    change_bytes: int = 256
    interval_ms: int = 25
    seconds: int = 4

    def options(self) -> list[str]:
        """As a command's words."""
        return [
            "--memory", f"{self.memory_mb}M", "--dirty-pages", str(self.dirty_pages),
            "--hot-percent", str(self.hot_percent), "--change-bytes", str(self.change_bytes),
            "--interval-ms", str(self.interval_ms), "--seconds", str(self.seconds),
        ]
