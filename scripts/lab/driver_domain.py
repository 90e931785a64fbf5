"""A driver domain on a host: it serves the vif of the stub domain at the network, as dom0 does elsewhere."""

from __future__ import annotations

from lab.images import DRIVER_DOMAIN_INIT
from lab.instance import Lab
from lab.machine import Host
from lab.settings import REPLICATION_MTU, LabError
from lab.stub_domain import BRIDGE, CREATE_SECONDS_MAX, put_into_bridge, vif

NAME = "driver"
MEMORY_MB = 192
IMAGE = "/boot/driver-domain.img"
CONFIGURATION = "/etc/xen/driver.cfg"
READY_SECONDS_MAX = 60


def create(lab: Lab, host: Host) -> None:
    """Starts it, and waits until it serves vifs."""
    put_into_bridge(host)
    host.push(lab.images.dom0, IMAGE)
    host.push(_configuration(host).encode(), CONFIGURATION)
    host.run(f"xl create {CONFIGURATION}", timeout=CREATE_SECONDS_MAX)
    ready = host.waits(
        f"for ((SECONDS = 0; SECONDS < {READY_SECONDS_MAX}; )); do "
        f"xenstore-read /local/domain/$(xl domid {NAME})/data/driver-domain 2>/dev/null && exit 0; "
        "wait_seconds 0.5; done; exit 1",
        timeout=READY_SECONDS_MAX * 2,
    )
    if not ready:
        log = host.run(f"tail -n 5 /var/log/xen/console/guest-{NAME}.log", check=False).stdout.strip()
        raise LabError(f"host {host.name}: the driver domain is not ready after {READY_SECONDS_MAX} s: {log}")


def _configuration(host: Host) -> str:
    return f"""name = "{NAME}"
type = "pvh"
kernel = "/boot/vmlinuz"
ramdisk = "{IMAGE}"
extra = "console=hvc0 quiet rdinit={DRIVER_DOMAIN_INIT} lab.bridge={BRIDGE} lab.mtu={REPLICATION_MTU}"
memory = {MEMORY_MB}
vcpus = 1
cpus = "1"
driver_domain = 1
vif = {vif(host, "driver")}
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
"""
