"""Output commit, seen from outside: nothing the guest sent after the last acknowledged epoch leaves its host.

The replication link is cut at the lab's switch at a random moment while the guest streams. What the backup has
acknowledged before may still be let out; every frame after that would belong to an epoch that no
backup has. The recording is made at host A's port of the LAN switch, where no helper can have a say.
Host A then dies before its own timeout, so that host B, not host A, decides how the story goes on.
"""

from __future__ import annotations

import random
import time

from lab.capture import Capture, Frame
from lab.instance import Lab
from lab.pollux import Protection
from lab.settings import GUEST_MAC
from lab.testing import expect, expect_more, lab_test, protected_stream

# An acknowledgement that was past the switch before the cut needs this long, emulated, to open the gate.
IN_FLIGHT_SECONDS = 0.25
WATCHED_SECONDS = 2.5
TIMEOUT_MS = 4000


@lab_test("no frame leaves host a after the last acknowledged epoch when the replication link is cut")
def cut_link(lab: Lab) -> None:
    """Then host A dies, host B takes over, and the stream goes on whole."""
    try:
        with protected_stream(lab, Protection(timeout_ms=TIMEOUT_MS), rate=100) as (_, client):
            with Capture(lab.network, "lan-a", f"ether src {GUEST_MAC}", lab.folder / "lan-a.pcap") as capture:
                time.sleep(2.0 + random.random())
                lab.network.set_replication(False)
                cut_at = time.time()
                time.sleep(WATCHED_SECONDS)
                lab.a.kill()
            _check(capture.frames(), cut_at)
            expect_more(client, 100, 60, "the stream does not go on from host b")
    finally:
        lab.network.set_replication(True)


def _check(frames: list[Frame], cut_at: float) -> None:
    before = [frame for frame in frames if frame.at <= cut_at]
    leaked = [frame for frame in frames if frame.at > cut_at + IN_FLIGHT_SECONDS]
    expect(len(before) >= 50, f"only {len(before)} frames were seen before the cut: the recording is not sound")
    expect(
        not leaked,
        f"{len(leaked)} frames left host a, the first {leaked[0].at - cut_at:.3f} s after the cut" if leaked else "",
    )
