"""Puts the halves at the network into stub domains: their images, their configurations, and a bridge for them."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from lab.machine import Host
from lab.packages import build_programs
from lab.settings import REPLICATION_MTU, REPOSITORY, TARGET_TRIPLE

TEMPLATES = REPOSITORY / "scripts/stub_domain"
BRIDGE = "replbr0"
# By the program that uses it: what the domain is called, and its memory in MB. Receive's ring holds the guest, what
# was written since the last epoch, and room for the rest of an epoch.
NAMES = {"primary-helper": "pollux-ship", "backup-helper": "pollux-receive"}
MEMORY_MB = {"primary-helper": 192, "backup-helper": 400}
CREATE_SECONDS_MAX = 90


@functools.cache
def build_images() -> dict[str, Path]:
    """Builds the images, and says where they are."""
    folder = REPOSITORY / "target/stub-domain"
    build_programs(*NAMES, options=("--config", ".cargo/stub-domain.toml", "--target-dir", str(folder)))
    folder = folder / TARGET_TRIPLE / "release"
    return {program: folder / program for program in NAMES}


@functools.cache
def build_helpers() -> Path:
    """Builds the helpers that use stub domains, which are builds of their own, and says where they are."""
    folder = REPOSITORY / "target/with-stub-domain"
    build_programs(*NAMES, options=("--features", "stub-domain", "--target-dir", str(folder)))
    return folder / TARGET_TRIPLE / "release"


def configuration(template: str, values: dict[str, str]) -> str:
    """An xl configuration made from a template: the named values in place of its own, or added to it."""
    for name, value in values.items():
        line = f"{name} = {value}"
        template, count = re.subn(rf"(?m)^{re.escape(name)}\s*=.*$", lambda _: line, template)
        if count == 0:
            template = f"{template.rstrip()}\n{line}\n"
    return template


def install(host: Host, program: str, words: str = "", backend: str = "") -> None:
    """Gives a host the image and the configuration of a program's stub domain, and the bridge for it.

    `words` come in place of those that the template has on its command line; `backend` names the driver domain of
    its vif, dom0 unless given.
    """
    image = f"/usr/lib/pollux/{program}"
    host.run("mkdir -p /usr/lib/pollux")
    host.push(build_images()[program], image)
    host.push(build_helpers() / program, f"/usr/sbin/{program}", 0o755)
    values = {
        "name": f'"{NAMES[program]}"',
        "kernel": f'"{image}"',
        "memory": str(MEMORY_MB[program]),
        # The guest's, which is idle more than dom0's.
        "cpus": f'"{host.shape.pcpus - 1}"',
        "vif": vif(host, "stub", backend),
    }
    if words:
        values["extra"] = f'"{words}"'
    template = (TEMPLATES / f"{program}.cfg").read_text()
    host.push(configuration(template, values).encode(), _configuration_path(program))
    put_into_bridge(host)


def vif(host: Host, name: str, backend: str = "") -> str:
    """The value of `vif` for a domain on the replication network; the host's plan has its address by this name."""
    served_by = f",backend={backend}" if backend else ""
    return f'["mac={host.plan.mac(name)},bridge={BRIDGE},mtu={REPLICATION_MTU}{served_by}"]'


def put_into_bridge(host: Host) -> None:
    """Makes the replication interface a port of a bridge, unless it is one."""
    host.run(_INTO_BRIDGE.format(bridge=BRIDGE, mtu=REPLICATION_MTU, address=host.plan.replication_address))


def ensure(host: Host, program: str) -> None:
    """Starts a program's stub domain, unless it is there."""
    if host.run(f"xl domid {NAMES[program]}", check=False).status != 0:
        install(host, program)
        create(host, program)


def create(host: Host, program: str) -> None:
    """Starts a program's stub domain, which was installed."""
    host.run(f"xl create {_configuration_path(program)}", timeout=CREATE_SECONDS_MAX)


def give_interface_back(host: Host) -> None:
    """Takes the replication interface out of the bridge, where frames do not reach dom0's own programs."""
    host.run(_OUT_OF_BRIDGE.format(bridge=BRIDGE, address=host.plan.replication_address))


def _configuration_path(program: str) -> str:
    return f"/etc/xen/{NAMES[program]}.cfg"


# The bridge is given the interface's address, so that it keeps it when others join.
_INTO_BRIDGE = """
[ -e /sys/class/net/{bridge} ] && exit 0
ip link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0 || exit 1
ip link set {bridge} address "$(cat /sys/class/net/repl0/address)" mtu {mtu} || exit 1
ip address flush dev repl0
ip link set repl0 master {bridge} || exit 1
ip address add {address}/24 dev {bridge}
ip link set {bridge} up
"""
_OUT_OF_BRIDGE = """
[ -e /sys/class/net/{bridge} ] || exit 0
ip link set repl0 nomaster || exit 1
ip link delete {bridge} || exit 1
ip address add {address}/24 dev repl0
"""
