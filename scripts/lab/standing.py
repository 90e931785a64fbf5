"""`up`, `down` and `list`: labs that stand while a person or another program works in them."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

from lab.guest import create_guest, install_configs
from lab.instance import Lab, read_state, running_labs
from lab.machine import Shape
from lab.processes import is_alive
from lab.settings import LabError, work_folder


def up(given: argparse.Namespace, shape: Shape) -> int:
    """Boots the hosts and stays; with --detach, another process does and this one returns when they are up."""
    if given.detach:
        return _detach(given.name)
    began = time.monotonic()
    with Lab(given.name, given.hosts, shape) as lab:
        lab.boot()
        for host in lab.hosts.values():
            install_configs(host)
        if given.guest:
            create_guest(lab.a, given.guest)
        (lab.folder / "standing").touch()
        print(f"lab: {given.name} is up after {time.monotonic() - began:.0f} s; Ctrl-C or `down` ends it", flush=True)
        while all(host.running for host in lab.hosts.values()):
            time.sleep(0.5)
        print("lab: a host ended; so does the lab", flush=True)
        return 1


def _detach(name: str) -> int:
    """Starts the same command without --detach in a session of its own and waits for the hosts."""
    words = [word for word in sys.argv if word != "--detach"]
    folder = work_folder() / "run" / name
    if read_state(name):
        raise LabError(f"a lab named {name} is running already")
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "standing"
    mark.unlink(missing_ok=True)
    log_path = folder / "up.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    while not mark.exists():
        if process.poll() is not None:
            raise LabError(f"the lab did not come up: {log_path.read_text().strip()[-500:]}")
        time.sleep(0.2)
    print(f"lab: {name} is up (process {process.pid}); `down --name {name}` ends it")
    return 0


def down(name: str) -> int:
    """Asks the owner of a lab to end it and waits until it has."""
    state = read_state(name)
    if state is None:
        raise LabError(f"no lab named {name} is running")
    pid = int(str(state["pid"]))
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while is_alive(pid):
        if time.monotonic() > deadline:
            raise LabError(f"the lab {name} (process {pid}) does not end")
        time.sleep(0.1)
    return 0


def show() -> int:
    """Lists the labs that are up."""
    for name in running_labs():
        state = read_state(name) or {}
        print(f"{name}: hosts {state.get('letters')}, process {state.get('pid')}, {state.get('shape')}")
    return 0
