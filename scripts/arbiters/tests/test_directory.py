"""The arbiter whose records are files."""

from __future__ import annotations

from arbiters.tests import asking
from arbiters.tests.asking import A, Answer, Shell


class Directory(asking.ContractTest):
    """The contract, and what is this one's own."""

    def asked(self, shell: Shell, *arguments: str) -> Answer:
        return self.ask(shell, "directory", {"POLLUX_ARBITER_DIRECTORY": str(self.folder)}, *arguments)

    def test_garbage_is_no_record(self) -> None:
        shell = self.shells[0]
        self.expect_record(self.asked(shell, "claim", "garbage", "0", A), f"1 {A}")
        (self.folder / "garbage/1").write_text("1 nobody\n")
        self.expect_no_decision(self.asked(shell, "get", "garbage"), "garbage/1", "mend")
        self.expect_no_decision(self.asked(shell, "claim", "garbage", "1", A), "garbage/1", "mend")

    def test_a_missing_folder_is_named(self) -> None:
        for folder in ("", "/nonexistent"):
            answer = self.ask(self.shells[0], "directory", {"POLLUX_ARBITER_DIRECTORY": folder}, "get", "web")
            self.expect_no_decision(answer, "POLLUX_ARBITER_DIRECTORY")
