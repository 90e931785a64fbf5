"""Both images boot, check themselves, and end with the status and the words that they should."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path

from stub_domain.boot import IMAGES, Ending, boot_alone, boot_on_xen, build

DONE, FAILED, USAGE = 0, 1, 2
CHECKED = "self-check: clock, entropy, seal and ring work"
Boot = Callable[[Path, str], Ending]

# What is done wrong, and what the report says of it.
DEFECTS = {
    "exception": r"exception 6 \(#UD, invalid opcode\), error code 0x0, rip 0x2\w{5}, rsp 0x\w+, cr2 0x0$",
    "write-code": r"exception 14 \(#PF, page fault\), .*: memory that is read-only was written$",
    "write-constant": r"exception 14 .*: memory that is read-only was written$",
    "execute-data": r"exception 14 .*: memory that holds no code was executed$",
    "null-pointer": r"exception 14 .*: a null pointer was used$",
    "use-up-stack": r"exception 14 .*: the stack is used up$",
    "panic": r"at platform/stubdom/faults.rs:\d+: a deliberate panic$",
}


def setUpModule() -> None:
    build()


class Boots(unittest.TestCase):
    """Each boot is a machine of its own."""

    def expect(self, ending: Ending, status: int, *patterns: str) -> None:
        """One line for each pattern, in order, and this status."""
        self.assertEqual(ending.status, status, ending)
        self.assertEqual(len(ending.lines), len(patterns), ending)
        for line, pattern in zip(ending.lines, patterns, strict=True):
            self.assertRegex(line, pattern)

    def test_each_image_checks_itself_and_is_done(self) -> None:
        kinds: list[tuple[Boot, str]] = [(boot_alone, "no Xen"), (boot_on_xen, r"Xen 4\.\d+")]
        for boot, xen in kinds:
            for name, image in IMAGES.items():
                with self.subTest(xen=xen, image=name):
                    banner = rf"^{name} \d+\.\d+\.\d+: stub domain on {xen}, 64 MiB$"
                    self.expect(boot(image, "self-check"), DONE, banner, f"^{CHECKED}$")

    def test_without_xenstore_no_link_is_offered(self) -> None:
        for name, boot in ("primary-helper", boot_on_xen), ("backup-helper", boot_alone):
            with self.subTest(image=name):
                ending = boot(IMAGES[name], "ring=16M")
                self.expect(ending, USAGE, "on (no )?Xen", CHECKED, "^this domain has no xenstore")

    def test_every_defect_is_reported_and_fails(self) -> None:
        for word, report in DEFECTS.items():
            with self.subTest(defect=word):
                ending = boot_alone(IMAGES["backup-helper"], f"self-check={word}")
                self.expect(ending, FAILED, "on no Xen", f"^this is a defect of the program[:,] {report}")

    def test_xen_takes_no_right_back(self) -> None:
        for word in ("exception", "write-code", "write-constant", "execute-data", "use-up-stack"):
            with self.subTest(defect=word):
                ending = boot_on_xen(IMAGES["primary-helper"], f"self-check={word}")
                self.expect(ending, FAILED, "on Xen", DEFECTS[word])

    def test_a_processor_without_what_is_needed_is_refused(self) -> None:
        image = IMAGES["primary-helper"]
        self.expect(boot_alone(image, "", cpu="qemu64"), FAILED, "on no Xen", "^this processor has no AES")
        without_rdrand = boot_alone(image, "", cpu="qemu64,+aes")
        self.expect(without_rdrand, FAILED, "on no Xen", "^self-check: this processor has no RDRAND")

    def test_what_is_not_known_is_named(self) -> None:
        ending = boot_alone(IMAGES["primary-helper"], "self-chek")
        self.expect(ending, USAGE, "on no Xen", "word self-chek is not known")


if __name__ == "__main__":
    unittest.main()
