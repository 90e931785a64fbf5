"""A whole lab: networks and hosts, their start, their state file and their end.

A lab is owned by one process. Other programs find it by name through its state file, `run/NAME/lab.json` in
the work folder, and can then reach its hosts; only the owner starts and kills them.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from lab.images import Images, build_images
from lab.machine import Host, Shape
from lab.network import Network
from lab.packages import build_programs, ensure_packages
from lab.processes import end, is_alive, require_root
from lab.settings import HostPlan, LabError, work_folder


class Lab:
    """The lab that this process owns. Use it as a context: its end ends everything."""

    def __init__(self, name: str, letters: str = "ab", shape: Shape | None = None) -> None:
        self.name = name
        self.shape = shape or Shape()
        self.folder = _run_folder(name)
        self.network = Network(f"plx{os.getpid()}")
        self.hosts = {
            letter: Host(HostPlan(letter), self.network, self.folder, self.shape) for letter in letters
        }
        self._images: Images | None = None

    @property
    def a(self) -> Host:
        """Host A, the primary in every scenario."""
        return self.hosts["a"]

    @property
    def b(self) -> Host:
        """Host B, the backup."""
        return self.hosts["b"]

    @property
    def images(self) -> Images:
        """What the hosts boot from."""
        assert self._images is not None, "a lab is entered before its images are asked for"
        return self._images

    def __enter__(self) -> Lab:
        require_root()
        sweep_dead_labs()
        _refuse_running(self.name)
        ensure_packages()
        build_programs("guest-programs")
        self._images = build_images()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._write_state(ready=False)
            self.network.create(list(self.hosts))
        except BaseException:
            self.close()
            raise
        return self

    def boot(self, letters: str | None = None) -> None:
        """Boots hosts side by side and waits until their agents answer."""
        chosen = [self.hosts[letter] for letter in (letters or self.hosts)]
        for host in chosen:
            host.start(self.images)
        for host in chosen:
            host.wait_ready()
        self._write_state(ready=True)

    def reboot(self, letter: str) -> None:
        """Boots a killed host again, from nothing."""
        self.hosts[letter].shell_socket.unlink(missing_ok=True)
        self.boot(letter)

    def start_saved(self, letter: str) -> None:
        """Starts a host that was saved, as it was then."""
        host = self.hosts[letter]
        host.start(self.images, saved=True)
        host.wait_ready()
        self.network.forget_places()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the hosts, removes the namespaces and the state file. Logs stay until the next start."""
        for host in self.hosts.values():
            if host.process is not None:
                host.process.kill()
                end(host.process)
            host.saved.unlink(missing_ok=True)
        self.network.delete()
        (self.folder / "lab.json").unlink(missing_ok=True)

    def _write_state(self, ready: bool) -> None:
        state = {
            "pid": os.getpid(),
            "prefix": self.network.prefix,
            "letters": list(self.hosts),
            "shape": asdict(self.shape),
            "ready": ready,
        }
        aside = self.folder / "lab.json.new"
        aside.write_text(json.dumps(state, indent=1))
        aside.rename(self.folder / "lab.json")


def _run_folder(name: str) -> Path:
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise LabError(f"a lab's name is made of letters, digits, - and _, not {name!r}")
    return work_folder() / "run" / name


def read_state(name: str) -> dict[str, object] | None:
    """The state of a lab whose owner is alive, else None."""
    try:
        state: dict[str, object] = json.loads((_run_folder(name) / "lab.json").read_text())
    except (OSError, ValueError):
        return None
    return state if is_alive(int(str(state["pid"]))) else None


def running_labs() -> list[str]:
    """Names of the labs whose owners are alive."""
    files = (work_folder() / "run").glob("*/lab.json")
    return sorted(path.parent.name for path in files if read_state(path.parent.name))


def attach(name: str | None, letter: str) -> Host:
    """Finds a host of a running lab; without a name there must be only one."""
    names = [name] if name else running_labs()
    if len(names) != 1:
        raise LabError(f"say which lab with --name: {' '.join(names) or 'none is running'}")
    state = read_state(names[0])
    if state is None:
        raise LabError(f"no lab named {names[0]} is running (start one with `up`)")
    letters = state["letters"]
    if not isinstance(letters, list) or letter not in letters:
        raise LabError(f"the lab {names[0]} has no host {letter}")
    shape = Shape(**state["shape"])  # type: ignore[arg-type]
    return Host(HostPlan(letter), Network(str(state["prefix"])), _run_folder(names[0]), shape)


def sweep_dead_labs() -> None:
    """Removes namespaces of this work folder's labs whose owners were killed before they could."""
    for path in (work_folder() / "run").glob("*/lab.json"):
        try:
            state = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if not is_alive(int(state["pid"])):
            Network(str(state["prefix"])).delete()
            shutil.rmtree(path.parent, ignore_errors=True)


def _refuse_running(name: str) -> None:
    if read_state(name):
        raise LabError(f"a lab named {name} is running already: end it with `down`, or use --name")
