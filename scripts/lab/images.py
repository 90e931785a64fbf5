"""Builds the two initramfs images: dom0's and the guest's, from Debian's own files.

Both run in memory only. The guest's image is a file inside dom0's, at /boot/guest.img, beside the kernel
that both use. Images are kept under a name made from their content, so a second start finds them.

Debian packs its kernel with xz, whose unpacking takes half a minute of an emulated core, for dom0 and each
guest and twin anew. The same kernel is taken out of its package here, once.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.cpio import Archive, short_hash
from lab.packages import kernel_version
from lab.settings import ROOTFS, LabError, release_folder, work_folder

# Three of each build, and a build beside it.
IMAGES_KEPT = 6
SECTOR_BYTES = 512

DOM0_PROGRAMS = [
    "/bin/bash", "/usr/bin/flock", "/sbin/ip", "/sbin/tc", "/sbin/bridge",
    *(f"/usr/bin/xenstore-{verb}" for verb in ("read", "write", "ls", "list", "rm", "exists", "chmod", "watch")),
    *(f"/usr/lib/xen-4.17/bin/{name}" for name in (
        "xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "libxl-save-helper",
        "xen-hvmctx", "xenctx", "lsevtchn", "xen-hvmcrash", "xen-diag",
    )),
]
# pthread_cancel loads this one by name, so ldd does not show it; xl aborts without it.
DOM0_EXTRA_LIBRARIES = ["/lib/x86_64-linux-gnu/libgcc_s.so.1"]
DOM0_MODULES = [
    "xen-privcmd", "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xenfs", "xen-netback", "xen-blkback",
    "bridge", "ifb", "sch_plug", "sch_ingress", "act_mirred", "act_gact", "cls_matchall", "cls_u32",
    "sch_netem", "veth", "tun", "loop", "e1000", "virtio_pci", "virtio_net", "virtio_blk", "aesni-intel",
    "xen-netfront", "xen-blkfront",
]
GUEST_MODULES = ["xen-netfront", "xen-blkfront"]
# The first process of a driver domain, which boots dom0's image.
DRIVER_DOMAIN_INIT = "/driver-domain-init"
# Xen's scripts would prefer brctl over iproute2, where it exists.
APPLETS_LEFT_OUT = {"brctl", "busybox"}
TERMINFO = "/lib/terminfo"


@dataclass(frozen=True)
class Images:
    """Files a host boots from."""

    xen: Path
    kernel: Path
    dom0: Path


def build_images() -> Images:
    """Builds what is not yet in the cache and returns the files."""
    version = kernel_version()
    kernel = unpacked_kernel(Path(f"/boot/vmlinuz-{version}").read_bytes())
    guest = _guest_archive(version)
    dom0 = _dom0_archive(version)
    dom0.file("/boot/guest.img", gzip.compress(guest.content(), compresslevel=1, mtime=0))
    dom0.file("/boot/vmlinuz", gzip.compress(kernel, compresslevel=1, mtime=0))
    xen = gzip.decompress(Path("/boot/xen-4.17-amd64.gz").read_bytes())
    folder = work_folder() / "images"
    folder.mkdir(exist_ok=True)
    images = Images(
        xen=_store(folder, "xen", xen),
        kernel=_store(folder, "kernel", kernel),
        dom0=_store(folder, "dom0", dom0.content()),
    )
    _forget_old_images(folder)
    return images


def unpacked_kernel(image: bytes) -> bytes:
    """The ELF file within a bzImage whose payload is packed with xz, as Debian's is.

    Where it lies is told by the boot protocol, version 2.08 (Documentation/x86/boot.rst, Linux 6.1).
    """
    setup_sectors = image[0x1F1] or 4
    payload_offset, payload_length = struct.unpack_from("<II", image, 0x248)
    start = (1 + setup_sectors) * SECTOR_BYTES + payload_offset
    # The last four bytes are the unpacked length, which is not part of xz's stream.
    try:
        kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[start:start + payload_length])
    except lzma.LZMAError as error:
        raise LabError(f"this kernel is not packed with xz, as Debian 12's are: {error}") from None
    return kernel


def _store(folder: Path, name: str, content: bytes) -> Path:
    path = folder / f"{name}-{short_hash(content)}.img"
    if path.exists():
        os.utime(path)
        return path
    # Two labs may build the same image at once: each writes its own file, the rename decides.
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_bytes(content)
    aside.rename(path)
    return path


def _forget_old_images(folder: Path) -> None:
    by_age = sorted(folder.glob("*.img"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[IMAGES_KEPT:]:
        path.unlink(missing_ok=True)


def _dom0_archive(version: str) -> Archive:
    archive = base_archive()
    for program in DOM0_PROGRAMS:
        _add_program(archive, program)
    for library in DOM0_EXTRA_LIBRARIES:
        _add_as_is(archive, library)
    for name in ("xl", "xenstored", "xenconsoled", "xen-init-dom0"):
        archive.link(f"/usr/sbin/{name}", f"/usr/lib/xen-4.17/bin/{name}")
    # libxl looks for the private programs where Debian's package has them.
    for path in sorted(Path("/etc/xen/scripts").iterdir()):
        archive.file(str(path), path.read_bytes(), 0o755)
    archive.file("/etc/xen/xl.conf", b"autoballoon=0\nrun_hotplug_scripts=1\n")
    for folder in ("/run/xen", "/var/log/xen/console", "/var/lib/xen", "/var/lib/xenstored", "/etc/pollux"):
        archive.folder(folder)
    _add_terminfo(archive)
    add_modules(archive, version, DOM0_MODULES)
    archive.file("/init", (ROOTFS / "dom0-init").read_bytes(), 0o755)
    archive.file(DRIVER_DOMAIN_INIT, (ROOTFS / "driver-domain-init").read_bytes(), 0o755)
    archive.file("/etc/profile", (ROOTFS / "dom0-profile").read_bytes())
    archive.file("/usr/bin/lab-agent", (release_folder() / "lab-agent").read_bytes(), 0o755)
    return archive


def _guest_archive(version: str) -> Archive:
    archive = base_archive()
    add_modules(archive, version, GUEST_MODULES)
    archive.file("/init", (ROOTFS / "guest-init").read_bytes(), 0o755)
    # What a kernel runs when its host asks for a shutdown; an init of busybox would listen to it.
    archive.file("/usr/sbin/poweroff", b"#!/bin/sh\nexec busybox poweroff -f\n", 0o755)
    archive.file("/usr/bin/guest-load", (release_folder() / "guest-load").read_bytes(), 0o755)
    return archive


def base_archive() -> Archive:
    """Folders, /dev/console and busybox: what both images begin with."""
    archive = Archive()
    for folder in ("/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/etc", "/var/log", "/usr/bin", "/usr/sbin"):
        archive.folder(folder)
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.folder(f"/usr/{name}")
        archive.link(f"/{name}", f"usr/{name}")
    archive.link("/var/run", "/run")
    archive.character_device("/dev/console", 5, 1)
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("/etc/group", b"root:x:0:\n")
    archive.file("/usr/bin/busybox", Path("/usr/bin/busybox").read_bytes(), 0o755)
    applets = subprocess.run(
        ["/usr/bin/busybox", "--list"], capture_output=True, text=True, check=True, timeout=20
    ).stdout.split()
    for applet in applets:
        if applet not in APPLETS_LEFT_OUT:
            archive.link(f"/usr/bin/{applet}", "busybox")
    return archive


def _add_program(archive: Archive, path: str) -> None:
    """Adds a program and the libraries ldd names."""
    _add_as_is(archive, path)
    listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=False, timeout=20)
    for line in listing.stdout.splitlines():
        if "not found" in line:
            raise LabError(f"{path} needs a library that is missing here: {line.strip()}")
        for word in line.split():
            if word.startswith("/"):
                _add_as_is(archive, word)


def _add_as_is(archive: Archive, path: str) -> None:
    """Adds a file under its own name in its folder's real place (Debian's /lib is a link to /usr/lib)."""
    place = f"{os.path.realpath(os.path.dirname(path))}/{os.path.basename(path)}"
    archive.file(place, Path(path).read_bytes(), 0o755)


def _add_terminfo(archive: Archive) -> None:
    for name in ("l/linux", "x/xterm", "x/xterm-256color", "s/screen", "v/vt100"):
        path = Path(TERMINFO) / name
        if path.exists():
            archive.file(f"/usr/lib/terminfo/{name}", path.read_bytes())


def add_modules(archive: Archive, version: str, names: list[str]) -> None:
    """Adds modules with all they depend on, and an index made for just these."""
    root = Path("/lib/modules") / version
    wanted = _with_dependencies(root, names)
    with tempfile.TemporaryDirectory(prefix="lab-modules-") as scratch:
        copy = Path(scratch) / "lib/modules" / version
        for path in wanted:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, copy / path)
        for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copyfile(root / name, copy / name)
        subprocess.run(["depmod", "-b", scratch, version], check=True, timeout=60)
        for file in sorted(copy.rglob("*")):
            # The binary indexes are kmod's; busybox reads the text ones.
            if file.is_file() and not file.name.endswith(".bin"):
                archive.file(f"/usr/lib/modules/{version}/{file.relative_to(copy)}", file.read_bytes())


def _with_dependencies(root: Path, names: list[str]) -> list[str]:
    paths: dict[str, str] = {}
    needs: dict[str, list[str]] = {}
    for line in (root / "modules.dep").read_text().splitlines():
        path, _, dependencies = line.partition(":")
        paths[_module_name(path)] = path
        needs[path] = dependencies.split()
    wanted: dict[str, None] = {}
    for name in names:
        found = paths.get(_module_name(name))
        if found is None:
            raise LabError(f"the kernel {root.name} has no module {name}")
        wanted.update(dict.fromkeys([found, *needs[found]]))
    return sorted(wanted)


def _module_name(path: str) -> str:
    return os.path.basename(path).split(".ko")[0].replace("-", "_")
