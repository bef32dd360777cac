"""Who unpacks an image: this engine with both forms of layers, and every other program that is installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import machine

EROFS, TREE, TAR = "kernelbox", "kernelbox, layers as folders", "tar"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Loader:
    """`begin` gives the command that loads the archive, with a fresh store each time it is entered; its environment has
    `variables` besides. `program` is what must be installed."""

    name: str
    how: str
    program: str
    begin: Callable[[Path, Path], contextlib.AbstractContextManager[list[str]]]
    version: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> bool:
        return machine.program(self.program) is None


@contextlib.contextmanager
def fresh(scratch: Path) -> Iterator[Path]:
    folder = scratch / "store"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


@contextlib.contextmanager
def kernelbox(archive: Path, scratch: Path) -> Iterator[list[str]]:
    with fresh(scratch) as store:
        load = [sys.executable, "-m", "kernelbox.cli", "load", "-q", "-i", str(archive)]
        yield ["env", f"KERNELBOX_ROOT={store}", *load]


@contextlib.contextmanager
def tar(archive: Path, scratch: Path) -> Iterator[list[str]]:
    """Of the layer alone, which lies beside the archive, and on the disk when it is over."""
    with fresh(scratch) as store:
        yield ["sh", "-c", f"tar -C '{store}' -xf '{archive.with_name('layer.tar')}' && sync -f '{store}'"]


@contextlib.contextmanager
def umoci(archive: Path, scratch: Path) -> Iterator[list[str]]:
    with fresh(scratch) as store:
        with tarfile.open(archive) as packed:
            packed.extractall(store / "layout", filter="data")
        yield ["umoci", "unpack", "--image", f"{store / 'layout'}:1", str(store / "bundle")]


@contextlib.contextmanager
def podman(archive: Path, scratch: Path) -> Iterator[list[str]]:
    with fresh(scratch) as store:
        yield ["podman", f"--root={store / 'root'}", f"--runroot={store / 'run'}", "load", "-q", "-i", str(archive)]


@contextlib.contextmanager
def docker(archive: Path, scratch: Path) -> Iterator[list[str]]:
    """With a daemon of its own, which is there before the time is taken."""
    with fresh(scratch) as store:
        socket = f"unix://{store}/socket"
        words = ["dockerd", f"--data-root={store}/data", f"--exec-root={store}/exec", f"--pidfile={store}/pid"]
        words += ["-H", socket, "--bridge=none", "--iptables=false", "--ip-forward=false"]
        with (store / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as daemon:
            try:
                wait_until_it_answers(socket, daemon)
                yield ["docker", "-H", socket, "load", "-q", "-i", str(archive)]
            finally:
                daemon.terminate()
                daemon.wait()


def wait_until_it_answers(socket: str, daemon: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while subprocess.run(["docker", "-H", socket, "version"], capture_output=True).returncode:
        if daemon.poll() is not None or time.monotonic() > end:
            raise RuntimeError("dockerd did not start")
        time.sleep(0.1)


LOADERS = (
    Loader(EROFS, "`kernelbox load`: each layer as one file, where this kernel mounts such", sys.executable, kernelbox),
    Loader(TREE, "the same with KERNELBOX_LAYERS=tree", sys.executable, kernelbox, (), {"KERNELBOX_LAYERS": "tree"}),
    Loader(TAR, "`tar -xf` of the layer alone, and sync of the file system", "tar", tar, ("tar", "--version")),
    Loader("umoci", "`umoci unpack` of the layout, which lies there unpacked", "umoci", umoci, ("umoci", "--version")),
    Loader("podman", "`podman load`", "podman", podman, ("podman", "--version")),
    Loader("docker", "`docker load`, its daemon started before", "dockerd", docker, ("dockerd", "--version")),
)


WATCH = """
import os, resource, sys
status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)[1])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=open(0, "w"))
sys.exit(status)
"""
"""Waits for a command and says how much memory it took: asked from here, that would be at least our own."""


def measured(command: list[str], variables: Mapping[str, str], log: Path) -> tuple[float, int]:
    """Seconds, and the largest resident memory in bytes, of the command or one of its children. Raises RuntimeError
    with its own words where it fails."""
    program = machine.program(command[0]) or command[0]
    reading, writing = os.pipe()
    with log.open("wb") as output, open(reading) as memory:
        begun = time.monotonic()
        words = [sys.executable, "-ISc", WATCH, program, *command[1:]]
        with subprocess.Popen(
            words, stdin=writing, stdout=output, stderr=output, env={**os.environ, **variables}
        ) as process:
            os.close(writing)
            kilobytes = memory.read()
        seconds = time.monotonic() - begun
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit status {process.returncode}")
    return seconds, int(kilobytes) * 1024
