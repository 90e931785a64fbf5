"""Do the lab's own instruments notice what they are for? A test that cannot fail proves nothing."""

from __future__ import annotations

from lab.client import StreamClient
from lab.guest import create_guest, destroy_guest
from lab.instance import Lab
from lab.settings import GUEST_NAME
from lab.testing import expect, lab_test

IMAGE = "/root/checkpoint.img"


@lab_test("a client's stream is verified whole without any protection", hosts="a")
def stream_is_whole(lab: Lab) -> None:
    """The stream itself is sound."""
    create_guest(lab.a)
    client = StreamClient(lab.network)
    client.start()
    expect(client.wait_for(150, timeout=30), "the stream does not run")
    verdict = client.finish()
    expect(verdict.whole, f"{verdict.word}: {verdict.why}")
    expect(verdict.progress.receipted > 0, "nothing of what the client sent was receipted")


@lab_test("a guest that is rolled back after its output was sent is found out", hosts="a")
def rollback_is_noticed(lab: Lab) -> None:
    """The opposite of output commit, made with the toolstack's own checkpoint."""
    create_guest(lab.a)
    client = StreamClient(lab.network)
    client.start()
    try:
        expect(client.wait_for(50, timeout=30), "the stream does not run")
        lab.a.run(f"xl save -c {GUEST_NAME} {IMAGE}", timeout=120)
        checkpoint = client.progress.messages
        expect(client.wait_for(checkpoint + 100, timeout=60), "the guest did not go on after its checkpoint")
        destroy_guest(lab.a)
        lab.a.run(f"xl restore {IMAGE}", timeout=120)
        # Either the other history arrives and breaks the chain, or TCP, whose client is ahead of its
        # server, stands still. Both fail a failover; a stream that runs on whole would not.
        runs_on = client.wait_for(client.progress.messages + 100, timeout=20)
    finally:
        verdict = client.finish()
        lab.a.run(f"rm -f {IMAGE}")
    expect(not (verdict.whole and runs_on), "the client did not notice that the guest was rolled back")
