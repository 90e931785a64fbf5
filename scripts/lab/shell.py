"""`shell`, `exec`, `push` and `pull`: working with a lab that another process owns."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from pathlib import Path

from lab.agent import Sink
from lab.machine import Host

_LEAVE = b"\x1d"  # Ctrl-]


def interactive(host: Host) -> int:
    """Joins this terminal to the host's second serial port until Ctrl-] is pressed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(str(host.shell_socket))
        if not sys.stdin.isatty():
            return _pump(line, raw=False)
        print(f"lab: shell on host {host.name}; Ctrl-] leaves", file=sys.stderr)
        rows, columns = os.get_terminal_size()[1], os.get_terminal_size()[0]
        line.sendall(f"stty rows {rows} columns {columns}; clear\n".encode())
        saved = termios.tcgetattr(sys.stdin)
        try:
            tty.setraw(sys.stdin)
            return _pump(line, raw=True)
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def _pump(line: socket.socket, raw: bool) -> int:
    """Copies both ways; an emulated serial port loses what comes too fast, so input goes in small pieces."""
    while True:
        readable, _, _ = select.select([line, sys.stdin], [], [])
        if line in readable:
            data = line.recv(4096)
            if not data:
                return 1
            os.write(sys.stdout.fileno(), data)
        if sys.stdin in readable:
            data = os.read(sys.stdin.fileno(), 16)
            if not data or (raw and _LEAVE in data):
                return 0
            line.sendall(data)


def execute(host: Host, words: list[str]) -> int:
    """Runs a command on the host, its output here as it comes; returns its status.

    A single word is a script of its own; several are joined by blanks, as ssh does.
    """
    return host.agent.stream(
        " ".join(words), _writer(sys.stdout.fileno()), _writer(sys.stderr.fileno()), timeout=None
    )


def _writer(descriptor: int) -> Sink:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data):]

    return write


def push(host: Host, source: Path, destination: str) -> int:
    """Copies a file to the host; a destination that ends in / is a folder."""
    path = destination + source.name if destination.endswith("/") else destination
    host.agent.push(source, path)
    return 0


def pull(host: Host, source: str, destination: Path) -> int:
    """Copies a file from the host."""
    destination.write_bytes(host.agent.pull(source))
    return 0
