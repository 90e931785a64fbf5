"""Installs what the lab needs and the machine lacks (Debian 12)."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.settings import REPOSITORY, LabError

# What each package is recognised by: a path, or a glob for names that carry a version.
PACKAGES = {
    "qemu-system-x86": "/usr/bin/qemu-system-x86_64",
    "seabios": "/usr/share/seabios/bios-256k.bin",
    "ipxe-qemu": "/usr/lib/ipxe/qemu/efi-e1000.rom",
    "xen-hypervisor-4.17-amd64": "/boot/xen-4.17-amd64.gz",
    "xen-utils-4.17": "/usr/lib/xen-4.17/bin/xl",
    "xen-utils-common": "/etc/xen/scripts/vif-bridge",
    "xenstore-utils": "/usr/bin/xenstore-ls",
    "busybox-static": "/usr/bin/busybox",
    "linux-image-amd64": "/lib/modules/*-[0-9]*-amd64/kernel/drivers/xen/xen-privcmd.ko",
    "kmod": "/usr/sbin/depmod",
    "iproute2": "/usr/sbin/tc",
    "tcpdump": "/usr/bin/tcpdump",
    "util-linux": "/usr/bin/flock",
    "gcc": "/usr/bin/gcc",
}


def missing_packages(packages: Mapping[str, str] = PACKAGES) -> list[str]:
    """Packages whose telling file is absent, or present in another form (a dynamic busybox)."""
    missing = [name for name, path in packages.items() if not glob.glob(path)]
    is_static_asked = "busybox-static" in packages and "busybox-static" not in missing
    if is_static_asked and _is_dynamic("/usr/bin/busybox"):
        missing.append("busybox-static")
    return missing


def _is_dynamic(path: str) -> bool:
    return subprocess.run(["ldd", path], capture_output=True, check=False).returncode == 0


def ensure_packages(packages: Mapping[str, str] = PACKAGES) -> None:
    """Installs the missing packages with apt; says so, since it changes the machine."""
    missing = missing_packages(packages)
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"Debian 12 packages are needed that are missing here: {' '.join(missing)}")
    print(f"installing {' '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        # Without recommendations: xen-utils would otherwise set up a boot loader for this machine.
        ["apt-get", "-qq", "-y", "install", "--no-install-recommends", *missing],
    ):
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        if result.returncode != 0:
            raise LabError(f"{' '.join(command[:3])} failed: {result.stderr.strip()[-400:]}")


def kernel_version() -> str:
    """The newest installed Debian kernel that has Xen's backends as modules."""
    found = glob.glob(PACKAGES["linux-image-amd64"])
    versions = sorted(
        (path.split("/")[3] for path in found if "cloud" not in path),
        key=lambda name: [int(part) if part.isdigit() else 0 for part in name.replace("-", ".").split(".")],
    )
    versions = [name for name in versions if Path(f"/boot/vmlinuz-{name}").exists()]
    if not versions:
        raise LabError("no Debian kernel with Xen modules is installed: install linux-image-amd64")
    return versions[-1]


def cargo() -> str:
    """The cargo of the pinned toolchain; rustup, where it is cargo, fetches the toolchain itself."""
    found = shutil.which("cargo") or shutil.which("cargo", path=str(Path.home() / ".cargo/bin"))
    if not found:
        raise LabError("cargo is missing: install Rust from https://rustup.rs")
    return found


def build_programs(*packages: str, options: tuple[str, ...] = ()) -> None:
    """Builds packages of the workspace in release mode."""
    command = [cargo(), "build", "--release", "--locked", *options]
    for package in packages:
        command += ["-p", package]
    result = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1200, check=False
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(command)} failed:\n{result.stderr.strip()[-3000:]}")
