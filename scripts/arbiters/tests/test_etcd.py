"""The arbiter that keeps its records in etcd, against real servers on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arbiters.tests import asking
from arbiters.tests.asking import A, ANSWER_SECONDS_MAX, B, Answer, Shell
from lab.etcd import Etcd

LOOPBACK = "127.0.0.1"
CLOSED = f"http://{LOOPBACK}:1"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def server(folder: Path) -> Etcd:
    """A server of one's own; it is not started yet."""
    port, peer_port = free_ports(2)
    return Etcd(folder, LOOPBACK, port, peer_port)


@contextmanager
def fake_server(answer: bytes) -> Iterator[str]:
    """Something that answers everything with the same bytes: no etcd, or one that is ill. Yields its URL."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def http_answer(body: str, status: str = "200 OK") -> bytes:
    """An answer as a server sends it."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


class OneServer(asking.ContractTest):
    """The contract, and what can be wrong with a record or a server."""

    etcd: Etcd

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.etcd = server(cls.folder / "etcd")
        cls.etcd.start()
        cls.addClassCleanup(cls.etcd.kill)

    def asked(self, shell: Shell, *arguments: str) -> Answer:
        return self.asked_of(self.etcd.url, shell, *arguments)

    def asked_of(self, urls: str, shell: Shell, *arguments: str) -> Answer:
        """Asks the script to ask these servers."""
        return self.ask(shell, "etcd", {"POLLUX_ETCD": urls}, *arguments)

    def test_the_record_is_text_for_etcdctl(self) -> None:
        """An operator reads it, and may write it."""
        self.expect_record(self.asked(self.shells[0], "claim", "text", "0", A), f"1 {A}")
        self.assertEqual(self.etcd.get("/pollux/text"), f"1 {A}")
        self.etcd.put("/pollux/text", f"41 {B}")
        self.expect_record(self.asked(self.shells[0], "claim", "text", "41", A), f"42 {A}")

    def test_a_holder_is_a_mac_address(self) -> None:
        for holder in ("-", "", "a", f"{A} {B}", f"{A}:00", "52:54:00:02:00:0g", "52:54:0:02:00:002"):
            self.expect_no_decision(self.asked(self.shells[0], "claim", "holder", "0", holder), "holder")
        self.assertIsNone(self.etcd.get("/pollux/holder"))

    def test_garbage_is_no_record(self) -> None:
        """Whoever wrote it is told where, and it is left alone."""
        for shell in self.shells:
            for text in (
                "", " ", "1", A, f"x {A}", f"01 {A}", f"1  {A}", f" 1 {A}", f"1 {A} 2", "1 -", f"0 {A}", "0 -",
                f"1 {A}\n2 {B}", f"{'9' * 25} {A}", "1 host-a", '"}', "$(id)", "`id`", "* *", "ä\x01",
            ):
                with self.subTest(shell=shell.name, text=text):
                    self.etcd.put("/pollux/garbage", text)
                    answers = [self.asked(shell, "get", "garbage")]
                    answers += [self.asked(shell, "claim", "garbage", term, B) for term in ("0", "1")]
                    for answer in answers:
                        self.expect_no_decision(answer, "/pollux/garbage", "etcdctl")
                    self.assertEqual(self.etcd.get("/pollux/garbage"), text)

    def test_the_greatest_term_is_the_last(self) -> None:
        self.etcd.put("/pollux/great", f"{'9' * 18} {A}")
        self.expect_record(self.asked(self.shells[0], "get", "great"), f"{'9' * 18} {A}")
        self.expect_no_decision(self.asked(self.shells[0], "claim", "great", "9" * 18, A), "reset")

    def test_what_is_no_answer_of_etcd_is_no_decision(self) -> None:
        """Errors, nonsense, nothing, half of it: never a record, and above all never "there is none"."""
        header = '{"header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"4"}'
        for body in (
            "", "{}", "[]", "<html>", "0 -", '{"error":"etcdserver: no leader","code":14}', header,
            header + ',"kvs":[', header + ',"kvs":[{}],"count":"1"}', header + ',"count":"1"}',
            header + ',"more":true}',
            header + ',"kvs":[{"key":"eA==","mod_revision":"2","value":"MSBhOmI="}],"count":"1"}',
        ):
            with fake_server(http_answer(body)) as url:
                for shell in self.shells:
                    with self.subTest(shell=shell.name, body=body):
                        self.expect_no_decision(self.asked_of(url, shell, "get", "web"))
                        self.expect_no_decision(self.asked_of(url, shell, "claim", "web", "0", A))
        for answer in (
            b"", b"220 smtp\r\n", http_answer(header + "}", "503 Service Unavailable")[:60],
            http_answer('{"error":"x"}', "500 Internal Server Error"),
            http_answer(header + "}").replace(b"Content-Length: ", b"Content-Length: 1"),
        ):
            with fake_server(answer) as url:
                for shell in self.shells:
                    with self.subTest(shell=shell.name, answer=answer):
                        self.expect_no_decision(self.asked_of(url, shell, "get", "web"), url)

    def test_json_with_blanks_is_understood(self) -> None:
        """Newer servers put some in."""
        body = '{"header": {"cluster_id": "1",\n "revision": "3"}, "kvs": [{"key": "L3BvbGx1eC93ZWI=", '
        body += '"mod_revision":  "2", "value": "NyA1Mjo1NDowMDowMjowMDowMg=="}], "count": "1"}\n'
        with fake_server(http_answer(body)) as url:
            for shell in self.shells:
                self.expect_record(self.asked_of(url, shell, "get", "web"), f"7 {A}")

    def test_servers_are_asked_in_turn(self) -> None:
        """One that refuses, and one that is silent for ever, cost time and no decision."""
        with socket.create_server((LOOPBACK, 0)) as silent:
            silent_url = f"http://{LOOPBACK}:{silent.getsockname()[1]}"
            for shell in self.shells:
                urls = f"{CLOSED}\n{silent_url}/\n{self.etcd.url}/\n"
                answer = self.asked_of(urls, shell, "claim", f"turn-{shell.name}", "0", A)
                self.expect_record(answer, f"1 {A}")
                self.assertLess(answer.seconds, ANSWER_SECONDS_MAX - 1)

    def test_configurations_that_are_wrong_are_named(self) -> None:
        for urls, word in (("10.0.0.1:2379", "10.0.0.1:2379"), (" \n", "URL"), ("ftp://x", "ftp://x")):
            self.expect_no_decision(self.asked_of(urls, self.shells[0], "get", "web"), word)
        self.expect_no_decision(self.asked_of("https://10.0.0.1:2379", self.shells[1], "get", "web"), "curl")


class ServerStopped(asking.ArbiterTest):
    """A server that is dead or frozen, and comes back."""

    def test_no_decision_without_a_server(self) -> None:
        etcd = server(self.folder / "etcd")
        etcd.start()
        self.addCleanup(etcd.kill)

        def asked(shell: Shell, *arguments: str) -> Answer:
            return self.ask(shell, "etcd", {"POLLUX_ETCD": etcd.url}, *arguments)

        for term, shell in enumerate(self.shells):
            with self.subTest(shell=shell.name):
                self.expect_record(asked(shell, "claim", "web", str(term), A), f"{term + 1} {A}")
                etcd.freeze(True)
                self.expect_no_decision(asked(shell, "get", "web"), etcd.url)
                etcd.freeze(False)
                etcd.kill()
                self.expect_no_decision(asked(shell, "claim", "web", str(term + 1), B), etcd.url, "start")
                etcd.start()
                self.expect_record(asked(shell, "get", "web"), f"{term + 1} {A}")

    def test_a_claim_that_was_lost_on_its_way_back_is_granted_again(self) -> None:
        """The server got the claim while it was frozen, and did it afterwards."""
        etcd = server(self.folder / "frozen")
        etcd.start()
        self.addCleanup(etcd.kill)
        etcd.freeze(True)
        environment = {"POLLUX_ETCD": etcd.url}
        self.expect_no_decision(self.ask(self.shells[0], "etcd", environment, "claim", "web", "0", A))
        etcd.freeze(False)
        self.expect_record(self.ask(self.shells[0], "etcd", environment, "claim", "web", "0", A), f"1 {A}")
        self.expect_record(self.ask(self.shells[0], "etcd", environment, "claim", "web", "0", B), f"1 {A}")


class Cluster(asking.ArbiterTest):
    """Three members: one may be down, two may not."""

    def test_a_majority_decides(self) -> None:
        ports = free_ports(6)
        members = [
            Etcd(self.folder / name, LOOPBACK, ports[2 * number], ports[2 * number + 1], name=name)
            for number, name in enumerate(("one", "two", "three"))
        ]
        for member in members:
            member.cluster = {other.name: other.peer_url for other in members}
            self.addCleanup(member.kill)
            member.start(wait=False)
        for member in members:
            member.wait_ready()
        urls = " ".join(member.url for member in members)

        def asked(*arguments: str) -> Answer:
            return self.ask(self.shells[1], "etcd", {"POLLUX_ETCD": urls}, *arguments)

        self.expect_record(asked("claim", "web", "0", A), f"1 {A}")
        members[0].kill()
        members[1].wait_ready()
        self.expect_record(asked("claim", "web", "0", B), f"1 {A}")
        self.expect_record(asked("claim", "web", "1", B), f"2 {B}")
        members[1].kill()
        self.expect_no_decision(asked("get", "web"))
        self.expect_no_decision(asked("claim", "web", "2", A))
        members[0].start(wait=False)
        members[2].wait_ready()
        # What the two that were away together had said is still so.
        answer = asked("get", "web")
        self.expect_record(answer, f"2 {B}")
