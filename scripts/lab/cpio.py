"""Writes initramfs archives (cpio, format `newc`) in memory, without touching the file system.

An archive made here depends on its content only: no times, owners or inode numbers of this machine enter,
so its hash can name it in a cache.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class _Entry:
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


@dataclass
class Archive:
    """A file tree; later additions of the same path replace earlier ones."""

    _entries: dict[str, _Entry] = field(default_factory=dict)

    def folder(self, path: str) -> None:
        """Adds a folder and its parents."""
        parts = PurePosixPath(path.strip("/")).parts
        for depth in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:depth]), _Entry(stat.S_IFDIR | 0o755))

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a regular file."""
        self._add(path, _Entry(stat.S_IFREG | mode, content))

    def link(self, path: str, to: str) -> None:
        """Adds a symbolic link."""
        self._add(path, _Entry(stat.S_IFLNK | 0o777, to.encode()))

    def character_device(self, path: str, major: int, minor: int) -> None:
        """Adds a device node; only /dev/console is needed before devtmpfs is there."""
        self._add(path, _Entry(stat.S_IFCHR | 0o600, device=(major, minor)))

    def _add(self, path: str, entry: _Entry) -> None:
        name = path.strip("/")
        self.folder(str(PurePosixPath(name).parent))
        self._entries[name] = entry

    def content(self) -> bytes:
        """The whole archive; entries are sorted, so folders come before what they hold."""
        parts = [
            _record(name, number, entry)
            for number, (name, entry) in enumerate(sorted(self._entries.items()), start=1)
            if name != "."
        ]
        parts.append(_record("TRAILER!!!", 0, _Entry(0)))
        return b"".join(parts)


def _record(name: str, number: int, entry: _Entry) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (
        number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(encoded), 0,
    )
    header = b"070701" + b"".join(b"%08x" % value for value in fields)
    return _padded(header + encoded) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def short_hash(content: bytes) -> str:
    """A name for content, short enough for a file name."""
    return hashlib.sha256(content).hexdigest()[:16]
