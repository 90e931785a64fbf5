"""An etcd server of one's own: in a folder, on an address of this machine or of one of the lab's namespaces."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.network import connect
from lab.packages import ensure_packages
from lab.processes import die_with_parent
from lab.settings import LabError

PROGRAM = "/usr/bin/etcd"
START_SECONDS_MAX = 30.0
_ANSWER_SECONDS_MAX = 5.0


@dataclass
class Etcd:
    """One server, alone or a member of a cluster whose members all have their peer URLs in `cluster`."""

    folder: Path
    address: str
    port: int
    peer_port: int
    namespace: str | None = None
    name: str = "one"
    cluster: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What its clients are told."""
        return f"http://{self.address}:{self.port}"

    @property
    def peer_url(self) -> str:
        """What the other members are told."""
        return f"http://{self.address}:{self.peer_port}"

    def start(self, wait: bool = True) -> None:
        """Starts it, on the data that it left behind, and waits until it decides."""
        ensure_packages({"etcd-server": PROGRAM})
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command(), preexec_fn=die_with_parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            self.wait_ready()

    def _command(self) -> list[str]:
        members = self.cluster or {self.name: self.peer_url}
        entered = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return [
            *entered, PROGRAM, "--name", self.name, "--data-dir", str(self.folder / "data"),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", ",".join(f"{name}={url}" for name, url in members.items()),
        ]

    def wait_ready(self) -> None:
        """Waits until it answers a question that needs a majority."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.get("/")
                return
            except (OSError, LabError) as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise LabError(f"etcd is not up, see {self.folder}/log: {error}") from None
                time.sleep(0.1)

    def kill(self) -> None:
        """Ends it with SIGKILL; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def freeze(self, frozen: bool) -> None:
        """Stops it in its tracks, with its connections open, or lets it go on."""
        assert self._process is not None, "the server was never started"
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def forget(self) -> None:
        """Removes its data."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, key: str) -> str | None:
        """A key's value."""
        answer = self._request("/v3/kv/range", {"key": _encoded(key)})
        found = answer.get("kvs")
        if not isinstance(found, list):
            return None
        return base64.b64decode(found[0].get("value", "")).decode()

    def put(self, key: str, value: str) -> None:
        """Writes a key, whatever it was before."""
        self._request("/v3/kv/put", {"key": _encoded(key), "value": _encoded(value)})

    def _request(self, path: str, body: dict[str, str]) -> dict[str, object]:
        client = http.client.HTTPConnection(self.address, self.port, timeout=_ANSWER_SECONDS_MAX)
        client.sock = self._connect()
        try:
            client.request("POST", path, json.dumps(body))
            answer = client.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise LabError(f"{self.url}{path}: {error!r}") from None
        finally:
            client.close()
        if answer.status != 200:
            raise LabError(f"{self.url}{path}: {text.decode(errors='replace').strip()}")
        decoded: dict[str, object] = json.loads(text)
        return decoded

    def _connect(self) -> socket.socket:
        if self.namespace:
            return connect(self.namespace, self.address, self.port, _ANSWER_SECONDS_MAX)
        return socket.create_connection((self.address, self.port), _ANSWER_SECONDS_MAX)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
