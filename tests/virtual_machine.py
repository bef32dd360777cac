"""A virtual machine with Debian's stock kernel and pure cgroup v2, whose programs are the outer machine's.

Nothing is installed: the kernel comes from an unpacked package, the root file system is this machine's over 9p,
read-only under a tmpfs. Under emulation (tcg) it boots in some 10 s and runs Python about ten times slower.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import busybox
import debian
from sources import SOURCES

QEMU = "qemu-system-x86_64"
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("netfs", "fscache", "9pnet", "9pnet_virtio", "9p", "overlay"),
    *("virtio_blk", "crc16", "crc32c_generic", "mbcache", "jbd2", "ext4"),
    *("loop", "libcrc32c", "erofs"),
    *("llc", "stp", "bridge", "veth"),
)
"""In the order in which they need each other."""

BOOTED = re.compile(r"kernelbox: booted (\S+)")
ENDED = re.compile(r"kernelbox: exit status (\d+)")
DISK_BYTES = 2 << 30
KVM_DEADLINE = 20.0
"""Seconds in which a machine under KVM must have booted; a host that is a virtual machine itself may hang there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended in the virtual machine: `status` is None where the machine ended or was ended before."""

    status: int | None
    kernel: str
    accelerator: str
    transcript: str


def kernel_files() -> Path:
    """The unpacked kernel package. Raises debian.Unavailable."""
    return debian.unpacked(debian.dependency("linux-image-amd64", "linux-image-"))


def initramfs(folder: Path, kernel: Path, command: Sequence[str]) -> Path:
    """A cpio archive of busybox, the modules and tests/vm/init. Raises busybox.Missing."""
    root = busybox.build(folder / "root")
    (root / "modules").mkdir()
    for name in MODULES:
        (found,) = kernel.rglob(f"{name}.ko")
        shutil.copy(found, root / "modules")
    shutil.copy(SOURCES / "tests/vm/init", root / "init")
    (root / "init").chmod(0o755)
    (root / "environment").write_text(
        f"SOURCES={shlex.quote(str(SOURCES))}\nMODULES={shlex.quote(' '.join(MODULES))}\n"
    )
    (root / "arguments").write_text("".join(f"{argument}\n" for argument in command))
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = folder / "initramfs"
    with archive.open("wb") as output:
        pack = [str(busybox.find()), "cpio", "-o", "-H", "newc"]
        subprocess.run(pack, cwd=root, input=names.encode(), stdout=output, stderr=subprocess.PIPE, check=True)
    return archive


def empty_disk(folder: Path) -> Path:
    """A sparse ext4 image: stores lie on a disk there, as they do on most machines. Raises debian.Unavailable."""
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not mkfs:
        raise debian.Unavailable("mkfs.ext4 is not installed (Debian's package e2fsprogs)")
    disk = folder / "disk"
    with disk.open("wb") as image:
        image.truncate(DISK_BYTES)
    subprocess.run([mkfs, "-q", "-F", "-m", "0", str(disk)], check=True)
    return disk


def qemu_command(kernel: Path, archive: Path, disk: Path, accelerator: str) -> list[str]:
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    return [
        *(QEMU, "-M", "q35", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", "1536"),
        *("-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio", "-no-reboot"),
        *("-kernel", str(image), "-initrd", str(archive), "-append", "console=ttyS0 quiet reboot=t panic=-1"),
        *("-fsdev", "local,id=outer,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=outer,mount_tag=outer"),
        *("-drive", f"if=virtio,format=raw,cache=unsafe,file={disk}"),
    ]  # fmt: skip


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def transcript_of(
    process: subprocess.Popen[bytes], boot: float, whole: float, echo: Callable[[bytes], object] | None
) -> str:
    """What the machine prints until it ends, or until it has not booted in `boot` or not ended in `whole` seconds."""
    assert process.stdout
    text, begun = b"", time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            booted = BOOTED.search(text.decode(errors="replace").replace("\r", ""))
            left = begun + (whole if booted else boot) - time.monotonic()
            if left <= 0 or not selector.select(left):
                break
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            text += chunk
            if echo:
                echo(chunk.replace(b"\r", b""))
    return text.decode(errors="replace").replace("\r", "")


def run(command: Sequence[str], *, timeout: float, echo: Callable[[bytes], object] | None = None) -> Outcome:
    """Run `command` in the source tree's folder, as root of a new machine, which has `timeout` seconds in all. `echo`
    gets what it prints while it does.

    Raises debian.Unavailable or busybox.Missing."""
    if not shutil.which(QEMU):
        raise debian.Unavailable(f"{QEMU} is not installed")
    kernel = kernel_files()
    accelerators = ["kvm", "tcg"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else ["tcg"]
    with tempfile.TemporaryDirectory() as folder:
        archive = initramfs(Path(folder), kernel, command)
        for accelerator in accelerators:
            disk = empty_disk(Path(folder))
            boot = KVM_DEADLINE if accelerator == "kvm" else timeout
            with started(qemu_command(kernel, archive, disk, accelerator)) as process:
                transcript = transcript_of(process, boot, timeout, echo)
            if booted := BOOTED.search(transcript):
                break
    ended = ENDED.search(transcript)
    return Outcome(int(ended[1]) if ended else None, booted[1] if booted else "", accelerator, transcript)
