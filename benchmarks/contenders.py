"""The programs that are measured: each is a context manager that makes ready and yields "one start", in seconds.

All run `true` in the same busybox root file system, without a network. A peer's files lie in a folder of its own, and
what is started is ended by its process id.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Start = Callable[[], float]
READY_DEADLINE = 60.0
"""Seconds in which a daemon must answer."""


class CannotStart(Exception):
    """The contender does not work on this machine; the message is its own."""


@dataclass(frozen=True, slots=True)
class Contender:
    """`open(rootfs, folder)` makes it ready; `version` is a command that says its own."""

    name: str
    open: Callable[[Path, Path], AbstractContextManager[Start]]
    version: tuple[str, ...] = ()

    def installed(self) -> bool:
        return not self.version or bool(shutil.which(self.version[0]))


def timed(command: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Seconds of one run of a command. Raises CannotStart with its last words where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env)
    seconds = time.perf_counter() - begun
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise CannotStart(f"{command[0]}: {words.splitlines()[-1]}")
    return seconds


@contextmanager
def plain_process(rootfs: Path, folder: Path) -> Iterator[Start]:
    program = str(rootfs / "bin/busybox")
    yield lambda: timed([program, "true"])


@contextmanager
def bubblewrap(rootfs: Path, folder: Path) -> Iterator[Start]:
    command = ["bwrap", "--unshare-all", "--ro-bind", str(rootfs), "/", "--proc", "/proc", "--dev", "/dev", "true"]
    yield lambda: timed(command)


def bundle_start(runtime: str, rootfs: Path, folder: Path) -> Start:
    """The runtime's own default specification with `true` and the root file system."""
    timed([runtime, "spec", "--bundle", str(folder)])
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(terminal=False, args=["true"])
    config["root"] = {"path": str(rootfs), "readonly": True}
    path.write_text(json.dumps(config))
    command = [runtime, "--root", str(folder / "state"), "run", "--bundle", str(folder)]
    numbers = itertools.count()
    return lambda: timed([*command, f"benchmark-{os.getpid()}-{next(numbers)}"])


@contextmanager
def crun(rootfs: Path, folder: Path) -> Iterator[Start]:
    yield bundle_start("crun", rootfs, folder)


@contextmanager
def runc(rootfs: Path, folder: Path) -> Iterator[Start]:
    yield bundle_start("runc", rootfs, folder)


def archive(rootfs: Path, folder: Path) -> str:
    path = folder / "rootfs.tar"
    timed(["tar", "-C", str(rootfs), "-cf", str(path), "."])
    return str(path)


@contextmanager
def podman(rootfs: Path, folder: Path) -> Iterator[Start]:
    settings = folder / "containers.conf"
    settings.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    env = {**os.environ, "CONTAINERS_CONF": str(settings)}
    base = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    timed([*base, "import", "-q", archive(rootfs, folder), "localhost/busybox"], env)
    yield lambda: timed([*base, "run", "--rm", "--network", "none", "localhost/busybox", "true"], env)


@contextmanager
def docker(rootfs: Path, folder: Path) -> Iterator[Start]:
    socket = folder / "docker.sock"
    daemon = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    daemon += ["--pidfile", f"{folder}/pid", "-H", f"unix://{socket}"]
    daemon += ["--bridge", "none", "--iptables=false", "--ip-forward=false"]
    client = ["docker", "-H", f"unix://{socket}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(daemon, stdout=log, stderr=log) as process:
        try:
            wait_for_daemon(process, [*client, "version"], folder / "log")
            timed([*client, "import", archive(rootfs, folder), "busybox"])
            yield lambda: timed([*client, "run", "--rm", "--network", "none", "busybox", "true"])
        finally:
            process.terminate()


def wait_for_daemon(process: subprocess.Popen[bytes], question: Sequence[str], log: Path) -> None:
    end = time.monotonic() + READY_DEADLINE
    while subprocess.run(question, capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > end:
            raise CannotStart(f"dockerd: {(log.read_text().strip() or 'no answer').splitlines()[-1]}")
        time.sleep(0.1)


class OurProcess:
    """A Python interpreter with an engine in it: see our_process.py, which says what may be asked."""

    def __init__(self, rootfs: Path, folder: Path, *, heap: int = 0, busy: bool = False) -> None:
        program = Path(__file__).with_name("our_process.py")
        command = [sys.executable, str(program), str(rootfs), str(folder / "store"), str(heap), str(int(busy))]
        self.errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def ask(self, **question: object) -> dict[str, object]:
        """One question, one answer. Raises CannotStart with the interpreter's last words where there is none."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            answer: dict[str, object] = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.process.wait()
            self.errors.seek(0)
            words = self.errors.read().strip() or f"exit status {self.process.returncode}"
            raise CannotStart(words.splitlines()[-1]) from None
        return answer

    def number(self, key: str, **question: object) -> float:
        answer = self.ask(**question)[key]
        assert isinstance(answer, int | float)
        return float(answer)

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):  # it has ended, and ask() has said why
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


@contextmanager
def our_process(rootfs: Path, folder: Path, *, heap: int = 0, busy: bool = False) -> Iterator[OurProcess]:
    process = OurProcess(rootfs, folder, heap=heap, busy=busy)
    try:
        yield process
    finally:
        process.close()


def ours(*, heap: int = 0, busy: bool = False) -> Callable[[Path, Path], AbstractContextManager[Start]]:
    """`box.run` timed inside its interpreter, whose heap holds `heap` MB and in which another thread may be `busy`."""

    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Start]:
        with our_process(rootfs, folder, heap=heap, busy=busy) as process:
            yield lambda: process.number("seconds", do="run")

    return opened


KERNELBOX = "kernelbox"
CONTENDERS = (
    Contender("fork+exec, no container", plain_process),
    Contender(KERNELBOX, ours()),
    Contender("kernelbox, 500 MB heap", ours(heap=500)),
    Contender("kernelbox, busy thread", ours(busy=True)),
    Contender("bwrap", bubblewrap, ("bwrap", "--version")),
    Contender("crun", crun, ("crun", "--version")),
    Contender("runc", runc, ("runc", "--version")),
    Contender("podman", podman, ("podman", "--version")),
    Contender("docker", docker, ("dockerd", "--version")),
)
