"""The methods that are measured: Pollux's rehearsal and the baselines, each a run over a link."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures, parse_subjects
from bench.load import Load
from bench.network import BACKUP_ADDRESS, INTERFACE, Link, within
from bench.settings import BenchError, program
from lab.processes import die_with_parent, end

_PORT = 7999
# The measured machine may be busy with other things; a benchmark is no place to lose a link for that.
_TIMEOUT = ["--timeout-ms", "5000"]
# An epoch of 10000 pages fits into it.
_RING = ["--ring", "128M"]
# A rehearsal copies the whole guest first; a busy machine may take long for it.
_START_SECONDS_MAX = 240


@dataclass(frozen=True)
class Method:
    """One way to take a guest's checkpoints."""

    name: str
    measure: Callable[[Link, Load], Figures]


def pollux(link: Link, load: Load) -> Figures:
    """Pollux with an invented guest."""
    return rehearse(link, [*load.options(), *_RING], load.seconds)


def rehearse(link: Link, options: Sequence[str], seconds: int) -> Figures:
    """`primary-helper rehearse` against a backup that stands by for rehearsals; it measures for `seconds`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        key = Path(folder) / "key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32))
        backup = [
            program("backup-helper"), "stand-by", "--rehearse-only", "--link", f"{INTERFACE}={link.primary_mac}",
            "--key-file", str(key), "--state-dir", folder, *_TIMEOUT,
        ]
        primary = [
            program("primary-helper"), "rehearse", "--link", f"{INTERFACE}={link.backup_mac}",
            "--key-file", str(key), *_TIMEOUT, *options,
        ]
        with _beside(within(link.backup, backup), Path(folder) / "backup.log"):
            return _figures(within(link.primary, primary), seconds)


def remus(link: Link, load: Load) -> Figures:
    """What `xl remus` does in its pause, over TCP on the same link."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "receive.log"
        receive = [program("remus-pause"), "receive", "--listen", f"{BACKUP_ADDRESS}:{_PORT}"]
        send = [program("remus-pause"), "send", "--to", f"{BACKUP_ADDRESS}:{_PORT}", *load.options()]
        with _beside(within(link.backup, receive), log, ready="listening"):
            return _figures(within(link.primary, send), load.seconds)


def copy(link: Link, load: Load) -> Figures:
    """A bare copy of as many pages."""
    return _figures(within(link.primary, [program("copy-pause"), *load.options()]), load.seconds)


POLLUX = Method("Pollux", pollux)
REMUS = Method("xl remus, emulated", remus)
COPY = Method("bare copy of the pages", copy)


@contextmanager
def _beside(command: Sequence[str], log: Path, ready: str | None = None) -> Iterator[None]:
    """Runs the other end while the block runs; waits for its first word if it has one to say."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            preexec_fn=die_with_parent,
        )
    assert process.stdout is not None
    try:
        if ready is not None and ready.encode() not in process.stdout.readline():
            raise BenchError(f"{' '.join(command)} did not start: {log.read_text().strip()}")
        yield
    except BenchError as error:
        said = log.read_text(errors="replace").strip()
        raise BenchError(f"{error}\nthe other end said: {said[-400:] or 'nothing'}") from error
    finally:
        end(process)
        process.stdout.close()


def _figures(command: Sequence[str], seconds: int) -> Figures:
    limit = seconds + _START_SECONDS_MAX
    try:
        result = subprocess.run(
            list(command), capture_output=True, text=True, timeout=limit, check=False, preexec_fn=die_with_parent
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command)} did not end within {limit} s") from error
    if result.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {result.stderr.strip()[-400:]}")
    return parse_subjects(result.stdout)
