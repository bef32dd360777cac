"""The other programs: each is a context manager that makes ready and yields what can be started.

All run `true` in the same busybox root file system, without a network. A peer's files lie in a folder of its own, and
what is started is ended by its process id.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from starting import CannotStart, Command, last_line, timed, wait_for

READY_DEADLINE = 60.0
"""Seconds in which a daemon must answer."""
END_DEADLINE = 20.0


@contextmanager
def plain_process(rootfs: Path, folder: Path) -> Iterator[Command]:
    program = str(rootfs / "bin/busybox")
    yield Command(lambda: [program, "true"])


@contextmanager
def bubblewrap(rootfs: Path, folder: Path) -> Iterator[Command]:
    command = ["bwrap", "--unshare-all", "--ro-bind", str(rootfs), "/", "--proc", "/proc", "--dev", "/dev", "true"]
    yield Command(lambda: command)


def write_bundle(runtime: str, rootfs: Path, folder: Path, args: Sequence[str]) -> None:
    """The runtime's own default specification with this program and the root file system."""
    spec = [runtime, "spec", "--bundle", str(folder)]
    timed([*spec, "--rootless"] if os.geteuid() else spec)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=list(args))
    config["root"] = {"path": str(rootfs), "readonly": True}
    path.write_text(json.dumps(config))


def bundle(runtime: str, rootfs: Path, folder: Path) -> Command:
    write_bundle(runtime, rootfs, folder, ["true"])
    command = [runtime, "--root", str(folder / "state"), "run", "--bundle", str(folder)]
    numbers = itertools.count()
    return Command(lambda: [*command, f"benchmark-{os.getpid()}-{next(numbers)}"])


@contextmanager
def crun(rootfs: Path, folder: Path) -> Iterator[Command]:
    yield bundle("crun", rootfs, folder)


@contextmanager
def runc(rootfs: Path, folder: Path) -> Iterator[Command]:
    yield bundle("runc", rootfs, folder)


def archive(rootfs: Path, folder: Path) -> str:
    path = folder / "rootfs.tar"
    timed(["tar", "-C", str(rootfs), "-cf", str(path), "."])
    return str(path)


def podman_ready(rootfs: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Its command with a store of its own that has the image localhost/busybox, and the environment for it."""
    settings = folder / "containers.conf"
    settings.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    env = {**os.environ, "CONTAINERS_CONF": str(settings)}
    base = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    timed([*base, "import", "-q", archive(rootfs, folder), "localhost/busybox"], env)
    return base, env


@contextmanager
def podman(rootfs: Path, folder: Path) -> Iterator[Command]:
    base, env = podman_ready(rootfs, folder)
    yield Command(lambda: [*base, "run", "--rm", "--network", "none", "localhost/busybox", "true"], env)


@contextmanager
def docker_daemon(rootfs: Path, folder: Path) -> Iterator[list[str]]:
    """The command of a client whose daemon has the image busybox."""
    socket = folder / "docker.sock"
    daemon = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    daemon += ["--pidfile", f"{folder}/pid", "-H", f"unix://{socket}"]
    daemon += ["--bridge", "none", "--iptables=false", "--ip-forward=false"]
    client = ["docker", "-H", f"unix://{socket}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(daemon, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for_daemon(process, [*client, "version"], folder / "log")
            timed([*client, "import", archive(rootfs, folder), "busybox"])
            yield client
        finally:
            process.terminate()
            wait_for(process, END_DEADLINE)


@contextmanager
def docker(rootfs: Path, folder: Path) -> Iterator[Command]:
    with docker_daemon(rootfs, folder) as client:
        yield Command(lambda: [*client, "run", "--rm", "--network", "none", "busybox", "true"])


def wait_for_daemon(process: subprocess.Popen[bytes], question: Sequence[str], log: Path) -> None:
    end = time.monotonic() + READY_DEADLINE
    while subprocess.run(question, stdin=subprocess.DEVNULL, capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > end:
            with log.open("rb") as said:
                raise CannotStart(f"dockerd: {last_line(said) or 'no answer'}")
        time.sleep(0.1)
