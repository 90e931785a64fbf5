"""Puts the two helpers on the hosts, starts them, and follows what they say."""

from __future__ import annotations

import re
import secrets
import shlex
import threading
import time
from dataclasses import dataclass, field

from lab import stub_domain
from lab.guest import config_path
from lab.instance import Lab
from lab.machine import Host
from lab.packages import build_programs
from lab.settings import ARBITERS, ETCD_PORT, GUEST_NAME, MANAGEMENT_ADDRESS, LabError, release_folder

KEY_PATH = "/etc/pollux/key"
STATE_FOLDER = "/run/pollux"
ARBITER_PATH = "/usr/sbin/pollux-etcd"
ARBITER_CONFIGURATION = f"http://{MANAGEMENT_ADDRESS}:{ETCD_PORT}\n"
HELPERS = ("primary-helper", "backup-helper")
SAYS_SECONDS_MAX = 20
# For so long an emulated host may be too busy to give an answer that it has.
BUSY_SECONDS_MAX = 120
STATUS_TRIES = 10
PROTECTED_SECONDS_MAX = 240
# What the primary's helper, and the backup's, say of a guest whose backup is complete.
PROTECTED = "PROTECTED"


# After each checkpoint a guest touches its pages anew through Xen. Emulated, and with several vCPUs in
# turns at one lock, that takes so long that shorter epochs leave such a guest no time of its own.
INTERVAL_MS_BY_VCPUS = {1: 25, 2: 400, 4: 800}


@dataclass(frozen=True)
class Protection:
    """How a guest is protected: the options of the two helpers."""

    vcpus: int = 1
    interval_ms: int = INTERVAL_MS_BY_VCPUS[1]
    timeout_ms: int = 2000
    gate: str = "plug"
    # What decides which host lives: one of `lab.arbiter`, or each host by itself.
    arbiter: str | None = None
    # Seconds until Xen resets a host whose protect stands still; none without the option.
    watchdog: int | None = None
    # The halves at the network are stub domains, on both hosts.
    stub: bool = False

    @property
    def _arbiter_option(self) -> str:
        return f"--arbiter {self.arbiter}" if self.arbiter else "--no-arbiter"

    def mac(self, host: Host) -> str:
        """The address of a host's end of the link."""
        return host.plan.mac("stub" if self.stub else "repl")

    def _link_options(self, host: Host, place_option: str, program: str) -> str:
        peer = host.plan.peer
        if not self.stub:
            return f"--link repl0={peer.mac('repl')}"
        return f"--link vif0={peer.mac('stub')} {place_option} stub:{stub_domain.NAMES[program]}"

    def protect_command(self, primary: Host) -> str:
        """`primary-helper protect` for the lab's guest."""
        watchdog = f"--watchdog {self.watchdog} " if self.watchdog else ""
        return (
            f"primary-helper protect --domain {GUEST_NAME} --config {config_path(self.vcpus)} "
            f"{self._link_options(primary, '--ship', 'primary-helper')} --key-file {KEY_PATH} "
            f"--interval-ms {self.interval_ms} --timeout-ms {self.timeout_ms} --gate {self.gate} "
            f"{self._arbiter_option} {watchdog}--state-dir {STATE_FOLDER}"
        )

    def stand_by_command(self, backup: Host) -> str:
        """`backup-helper stand-by` for the lab's guest."""
        return (
            f"backup-helper stand-by {self._link_options(backup, '--receive', 'backup-helper')} "
            f"--key-file {KEY_PATH} "
            f"--twin-config {config_path(self.vcpus)} --timeout-ms {self.timeout_ms} "
            f"{self._arbiter_option} --state-dir {STATE_FOLDER}"
        )


@dataclass
class Helper:
    """One helper on one host. It runs in the foreground of a script that the agent keeps."""

    host: Host
    program: str

    @property
    def log_path(self) -> str:
        """Its stderr, on the host."""
        return f"/var/log/{self.program}.log"

    def start(self, command: str) -> None:
        """Starts it as an init would: detached, stderr to a log, the exit status kept beside it."""
        self.host.run(
            f"rm -f {self.log_path} {self.log_path}.status; "
            f"( {command} >{self.log_path} 2>&1; echo $? >{self.log_path}.status ) >/dev/null 2>&1 &"
        )

    def says(self, pattern: str, seconds: int, after: str = "") -> bool:
        """Waits on the host, which costs it next to nothing, until the log matches an extended expression,
        or what of it comes after the last of some words does.

        False when the helper has ended without it, or the time is over.
        """
        forget = f"log=${{log##*{shlex.quote(after)}}}; " if after else ""
        return self.host.waits(
            f"pattern={shlex.quote(pattern)}; for ((SECONDS = 0; SECONDS < {seconds}; )); do "
            f"IFS= read -rd '' log <{self.log_path}; {forget}[[ $log =~ $pattern ]] && exit 0; "
            f"[[ -e {self.log_path}.status ]] && exit 1; wait_seconds 0.1; done; exit 1",
            timeout=seconds + BUSY_SECONDS_MAX,
        )

    def exit_status(self) -> int | None:
        """Its exit status once it has ended, else None."""
        text = self.host.run(f"cat {self.log_path}.status 2>/dev/null", check=False).stdout.strip()
        return int(text) if text else None

    def status(self, timeout: float = 10.0) -> dict[str, str]:
        """What `status` prints, as names and values; empty when there is nothing to say, or a host too busy."""
        try:
            result = self.host.run(f"{self.program} status --state-dir {STATE_FOLDER}", timeout, check=False)
        except (LabError, OSError):
            return {}
        return parse_status(result.stdout) if result.status == 0 else {}

    def told_status(self) -> dict[str, str]:
        """What `status` prints, of a helper that has something to say: a busy host is asked again."""
        for _ in range(STATUS_TRIES):
            if status := self.status():
                return status
            time.sleep(0.5)
        raise LabError(f"no status: {self.log(3).strip()}")

    def log(self, lines: int = 12) -> str:
        """The end of its log."""
        return self.host.run(f"tail -n {lines} {self.log_path} 2>/dev/null", check=False).stdout

    def stop(self, signal: str = "TERM") -> None:
        """Ends it with a signal to every process of the program, and waits until none is left.

        A `protect` that is killed would have its guest revived, so an emulated one is given time.
        """
        self.host.run(
            f"killall -{signal} {self.program} 2>/dev/null; "
            f"for i in $(seq 300); do pidof {self.program} >/dev/null || exit 0; sleep 0.1; done; "
            f"killall -KILL {self.program}; sleep 0.3; ! pidof {self.program} >/dev/null",
            timeout=180,
        )


def parse_status(text: str) -> dict[str, str]:
    """Reads `name=value` or `name: value`, one to a line or several."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        pairs = re.findall(r"([A-Za-z_][\w-]*)=(\S*)", line)
        if not pairs and ":" in line:
            name, _, value = line.partition(":")
            pairs = [(name.strip().replace(" ", "_"), value.strip())]
        values.update({name.replace("-", "_"): value for name, value in pairs})
    return values


def build_helpers() -> None:
    """Builds both helpers from the workspace."""
    build_programs(*HELPERS)


def install(host: Host, key: bytes) -> None:
    """Puts both helpers, the shared key and the arbiter's program on a host."""
    for program in HELPERS:
        host.push(release_folder() / program, f"/usr/sbin/{program}", 0o755)
    host.push(key, KEY_PATH, 0o600)
    host.push(ARBITERS / "etcd", ARBITER_PATH, 0o755)
    host.push(ARBITER_CONFIGURATION.encode(), "/etc/pollux/etcd")


def new_key() -> bytes:
    """A key file's content."""
    return secrets.token_hex(32).encode() + b"\n"


@dataclass
class Pair:
    """Both helpers of a lab, with host `primary` protected by host `backup`."""

    lab: Lab
    options: Protection
    primary_letter: str = "a"
    primary: Helper = field(init=False)
    backup: Helper = field(init=False)

    def __post_init__(self) -> None:
        other = "b" if self.primary_letter == "a" else "a"
        self.primary = Helper(self.lab.hosts[self.primary_letter], "primary-helper")
        self.backup = Helper(self.lab.hosts[other], "backup-helper")

    def stand_by(self) -> None:
        """Starts the backup's helper."""
        self._ensure_stub_domain(self.backup)
        self.backup.start(self.options.stand_by_command(self.backup.host))

    def protect(self) -> None:
        """Starts the primary's helper."""
        self._ensure_stub_domain(self.primary)
        self.primary.start(self.options.protect_command(self.primary.host))

    def _ensure_stub_domain(self, helper: Helper) -> None:
        if self.options.stub:
            stub_domain.ensure(helper.host, helper.program)

    def wait_told_protected(self) -> None:
        """Waits until the primary's helper says that the guest is protected, and asks the host nothing else."""
        if not self.primary.says(PROTECTED, PROTECTED_SECONDS_MAX):
            raise LabError(f"not protected within {PROTECTED_SECONDS_MAX} s: {self.primary.log(3).strip()}")

    def wait_protected(self, timeout: float = PROTECTED_SECONDS_MAX, epochs: int = 5) -> dict[str, str]:
        """Waits until the backup has acknowledged some epochs; a helper that ends is an error at once."""
        deadline = time.monotonic() + timeout
        while True:
            self.primary.says(PROTECTED, SAYS_SECONDS_MAX)
            status = self.primary.status()
            if status.get("state") == "protected" and int(status.get("acknowledged", "0")) >= epochs:
                return status
            for helper in (self.primary, self.backup):
                if (code := helper.exit_status()) is not None:
                    raise LabError(f"{helper.program} ended with status {code}: {helper.log(3).strip()}")
            if time.monotonic() > deadline:
                raise LabError(
                    f"not protected after {timeout:.0f} s (primary says {status}): {self.primary.log(3).strip()}"
                    f" / {self.backup.log(3).strip()}"
                )
            time.sleep(0.5)

    def stop(self) -> None:
        """Ends both helpers where their hosts run."""
        for helper in (self.primary, self.backup):
            if helper.host.running:
                helper.stop()


class StatusPoller:
    """Asks both helpers for their status now and then, beside the main thread.

    Each question costs dom0 some milliseconds of the core that capture runs on, so it is asked rarely.
    """

    def __init__(self, pair: Pair, interval: float = 1.0) -> None:
        self.primary: dict[str, str] = {}
        self.backup: dict[str, str] = {}
        self._pair = pair
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> StatusPoller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _poll(self) -> None:
        while not self._stop.wait(self._interval):
            for helper, name in ((self._pair.primary, "primary"), (self._pair.backup, "backup")):
                setattr(self, name, helper.status() if helper.host.running else {})
