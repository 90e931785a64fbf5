"""Starts and ends processes so that none outlives the lab."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence

from lab.settings import LabError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this process when the lab ends, however it ends.

    The signal follows the *thread* that started it, so long-lived children are started by the main thread.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command: Sequence[str], timeout: float = 30.0) -> str:
    """Runs a command to its end and returns its output; its failure is the lab's."""
    result = subprocess.run(
        list(command), capture_output=True, text=True, timeout=timeout, check=False
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(command)} failed: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str], grace: float = 3.0) -> None:
    """Ends one process: asks first, then kills."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists (and is not a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as status:
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def require_root() -> None:
    """Namespaces and taps are root's business."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces, so it must be started as root (try sudo)")
