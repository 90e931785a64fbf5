"""The arbiter that powers the peer off, with commands that pretend to."""

from __future__ import annotations

import shlex
import subprocess
import time

from arbiters.tests import asking
from arbiters.tests.asking import A, B, Answer, Shell
from lab.settings import ARBITERS


class Stonith(asking.ArbiterTest):
    """Both hosts' scripts, each with records of its own."""

    def setUp(self) -> None:
        self.scratch = self.folder / self.id().rpartition(".")[2]
        self.shots = self.scratch / "shots"
        self.scratch.mkdir()

    def environment(self, host: str, command: str) -> dict[str, str]:
        """What the script of a host is told; each shot leaves a line."""
        return {
            "POLLUX_STONITH": f"echo {host} >>{self.shots}; {command}",
            "POLLUX_STONITH_RECORDS": str(self.scratch / f"records-{host}"),
            "POLLUX_STONITH_RUNNING": str(self.scratch / f"running-{host}"),
        }

    def asked(self, shell: Shell, host: str, command: str, *arguments: str) -> Answer:
        """Asks the script of a host."""
        return self.ask(shell, "stonith", self.environment(host, command), *arguments)

    def shot_count(self) -> int:
        """How often a command was started."""
        return len(self.shots.read_text().splitlines()) if self.shots.exists() else 0

    def test_a_claim_wants_the_peer_off(self) -> None:
        """Also one whose term the own record has not seen: the peer held the domain meanwhile."""
        for term, shell in ((0, self.shells[0]), (7, self.shells[1])):
            with self.subTest(shell=shell.name):
                self.expect_no_decision(
                    self.asked(shell, "a", "echo no route; exit 3", "claim", "web", str(term), A), "3", "no route"
                )
                self.expect_record(self.asked(shell, "a", "true", "claim", "web", str(term), A), f"{term + 1} {A}")
                # Read by hand: a `get` of this process would make its next claim that of a start.
                self.assertEqual((self.scratch / "records-a/web").read_text(), f"{term + 1} {A}\n")
        self.assertEqual(self.shot_count(), 4)
        self.expect_record(self.asked(self.shells[0], "a", "true", "claim", "web", "3", A), f"8 {A}")
        self.assertEqual(self.shot_count(), 4, "a claim from the past shot the peer")

    def test_a_slow_command_is_started_once(self) -> None:
        """The helper asks again until it has ended."""
        shell = self.shells[1]
        self.expect_no_decision(self.asked(shell, "a", "sleep 6", "claim", "web", "1", A), "not off yet")
        self.expect_record(self.asked(shell, "a", "sleep 6", "claim", "web", "1", A), f"2 {A}")
        self.assertEqual(self.shot_count(), 1)

    def test_a_peer_that_was_off_long_ago_is_shot_again(self) -> None:
        """It may run again by now."""
        shot = self.scratch / "running-a/web.shot-1"
        shot.mkdir(parents=True)
        (shot / "log").touch()
        (shot / "ended").write_text(f"0 {int(time.time()) - 60}\n")
        self.expect_no_decision(self.asked(self.shells[0], "a", "true", "claim", "web", "1", A), "too long ago")
        self.expect_record(self.asked(self.shells[0], "a", "true", "claim", "web", "1", A), f"2 {A}")
        self.assertEqual(self.shot_count(), 1)

    def test_taking_a_domain_up_shoots_nobody(self) -> None:
        """`get` and then `claim` by one process is how protect starts; a `get` of another one changes nothing."""
        for shell in self.shells:
            with self.subTest(shell=shell.name):
                domain = f"up-{shell.name}"
                script = shlex.join([*shell.command, str(ARBITERS / "stonith")])
                result = subprocess.run(
                    ["/bin/sh", "-c", f"{script} get {domain}; {script} claim {domain} 0 {A}; exit 0"],
                    env={"PATH": shell.path, **self.environment("a", "true")},
                    capture_output=True, text=True, check=True,
                )
                self.assertEqual(result.stdout, f"0 -\n1 {A}\n")
                self.assertEqual(self.shot_count(), 0)
        subprocess.run(
            ["/bin/sh", "-c", f"/bin/sh {ARBITERS}/stonith get other; exit 0"],
            env={"PATH": self.shells[0].path, **self.environment("b", "true")}, capture_output=True, check=True,
        )
        self.expect_record(self.asked(self.shells[0], "b", "true", "claim", "other", "0", B), f"1 {B}")
        self.assertEqual(self.shot_count(), 1)

    def test_after_a_check_a_claim_shoots(self) -> None:
        """A helper that only wants to know whether there is an arbiter begins nothing by that."""
        script = f"/bin/sh {ARBITERS}/stonith"
        result = subprocess.run(
            ["/bin/sh", "-c", f"{script} check checked; {script} claim checked 0 {A}; exit 0"],
            env={"PATH": self.shells[0].path, **self.environment("a", "true")},
            capture_output=True, text=True, check=True,
        )
        self.assertEqual(result.stdout, f"0 -\n1 {A}\n")
        self.assertEqual(self.shot_count(), 1)

    def test_without_a_command_nothing_is_decided(self) -> None:
        self.expect_no_decision(self.ask(self.shells[0], "stonith", {}, "claim", "web", "0", A), "POLLUX_STONITH")
