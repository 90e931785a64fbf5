"""How a test asks an arbiter, and what each of them must answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.settings import ARBITERS

A = "52:54:00:02:00:02"
B = "52:54:00:03:00:02"
# What the helpers give an arbiter; then they kill it.
ANSWER_SECONDS_MAX = 5.0
BUSYBOX = "/usr/bin/busybox"


@dataclass(frozen=True)
class Shell:
    """An interpreter, and the only folders in which it finds programs."""

    name: str
    command: tuple[str, ...]
    path: str


@dataclass(frozen=True)
class Answer:
    """How an arbiter ended, its last line, and how long it took."""

    status: int
    line: str
    seconds: float


class ArbiterTest(unittest.TestCase):
    """A test with a scratch folder and the shells that every script must do with."""

    folder: Path
    shells: list[Shell]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="arbiters-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        applets = cls.folder / "applets"
        applets.mkdir()
        listing = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        for applet in listing.stdout.split():
            (applets / applet).symlink_to(BUSYBOX)
        cls.shells = [
            Shell("sh", ("/bin/sh",), os.environ.get("PATH", os.defpath)),
            # As in a dom0 of busybox alone: its wget, its base64, no curl.
            Shell("busybox", (BUSYBOX, "sh"), str(applets)),
        ]

    def ask(self, shell: Shell, script: str, environment: dict[str, str], *arguments: str) -> Answer:
        """Runs a script as a helper does, for as long as a helper waits."""
        began = time.monotonic()
        result = subprocess.run(
            [*shell.command, str(ARBITERS / script), *arguments], env={"PATH": shell.path, **environment},
            capture_output=True, text=True, timeout=ANSWER_SECONDS_MAX, check=False,
        )
        lines = result.stdout.splitlines()
        return Answer(result.returncode, lines[-1] if lines else "", time.monotonic() - began)

    def expect_record(self, answer: Answer, record: str) -> None:
        """It decided, and this is the record."""
        self.assertEqual((answer.status, answer.line), (0, record))

    def expect_no_decision(self, answer: Answer, *words: str) -> None:
        """It did not decide, and its last line, which the helper shows, has these words."""
        self.assertNotEqual(answer.status, 0, answer.line)
        for word in words:
            self.assertIn(word, answer.line)


class ContractTest(ArbiterTest):
    """What an arbiter that decides must do.

    Modules of tests name it with its module: unittest would otherwise take it for a test of theirs.
    """

    def asked(self, shell: Shell, *arguments: str) -> Answer:
        """Asks the arbiter that is tested."""
        raise NotImplementedError

    def test_claims_in_turn(self) -> None:
        """The first one passes, one from the past does not, and one whose answer was lost is granted again."""
        for shell in self.shells:
            with self.subTest(shell=shell.name):
                domain = f"in-turn.{shell.name}"
                self.expect_record(self.asked(shell, "get", domain), "0 -")
                self.expect_record(self.asked(shell, "claim", domain, "0", A), f"1 {A}")
                self.expect_record(self.asked(shell, "claim", domain, "0", B), f"1 {A}")
                self.expect_record(self.asked(shell, "claim", domain, "0", A), f"1 {A}")
                self.expect_record(self.asked(shell, "claim", domain, "1", B), f"2 {B}")
                self.expect_record(self.asked(shell, "claim", domain, "0", A), f"2 {B}")
                self.expect_record(self.asked(shell, "claim", domain, "7", A), f"2 {B}")
                self.expect_record(self.asked(shell, "get", domain), f"2 {B}")

    def test_domains_are_apart(self) -> None:
        """Also those whose names begin alike."""
        shell = self.shells[0]
        self.expect_record(self.asked(shell, "claim", "apart", "0", A), f"1 {A}")
        for other in ("apart.1", "apart-", "apar", "a" * 100):
            self.expect_record(self.asked(shell, "get", other), "0 -")
            self.expect_record(self.asked(shell, "claim", other, "0", B), f"1 {B}")
        self.expect_record(self.asked(shell, "get", "apart"), f"1 {A}")

    def test_one_of_many_claims_wins(self) -> None:
        """Ten hosts claim the same term at the same time, three terms in a row."""
        for shell in self.shells:
            domain = f"many-{shell.name}"
            for term in range(3):
                with self.subTest(shell=shell.name, term=term), ThreadPoolExecutor(10) as pool:
                    hosts = [f"52:54:00:00:00:{number:02x}" for number in range(10)]
                    asked = [pool.submit(self.asked, shell, "claim", domain, str(term), host) for host in hosts]
                    answers = [one.result() for one in asked]
                    # All were told the same, and who holds it is one of them.
                    self.assertEqual({answer.status for answer in answers}, {0}, answers)
                    self.assertEqual(len({answer.line for answer in answers}), 1, answers)
                    self.assertIn(answers[0].line, [f"{term + 1} {host}" for host in hosts])

    def test_wrong_arguments_are_refused(self) -> None:
        """With a line; none of them may look like a decision."""
        for shell in self.shells:
            for arguments in (
                (), ("get",), ("get", "web", "0"), ("claim", "web", "0"), ("put", "web"),
                ("get", ""), ("get", "a b"), ("get", "a/b"), ("get", "ä"), ("get", 'a"b'), ("get", "a\nb"),
                ("claim", "web", "-1", A), ("claim", "web", "01", A), ("claim", "web", "1 ", A),
                ("claim", "web", "x", A), ("claim", "web", "1" * 30, A),
            ):
                with self.subTest(shell=shell.name, arguments=arguments):
                    answer = self.asked(shell, *arguments)
                    self.expect_no_decision(answer)
                    self.assertGreater(len(answer.line.split()), 2, answer.line)
