"""Who is measured with containers that are kept, and what is inside and outside of each one's time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import peers
from contenders import FAT, KERNELBOX
from ours import OurProcess, our_process
from starting import Command, Contender, Ready, Timed, timed

PROGRAM = Path(__file__).with_name("kept_process.py")
IDLE = ["sleep", "1000000"]
PLAIN = "fork+exec, no container"


@dataclass(frozen=True, slots=True)
class Asked:
    """Our interpreter, asked for one thing, and for many of them where it can do that."""

    process: OurProcess
    one: str
    many: str = ""

    def start(self) -> Timed:
        return self.process.time(do=self.one)

    def burst(self, threads: int, count: int) -> Timed:
        return self.process.time(do=self.many, threads=threads, count=count)


def asked(
    one: str, many: str = "", *, heap: int = 0, busy: bool = False
) -> Callable[[Path, Path], AbstractContextManager[Ready]]:
    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Ready]:
        with our_process(rootfs, folder, heap=heap, busy=busy, program=PROGRAM) as process:
            yield Asked(process, one, many)

    return opened


@dataclass(frozen=True, slots=True)
class Detached:
    """A program that starts a container in the background, by its name, and one that removes it, outside of the
    time."""

    begin: Callable[[str], Sequence[str]]
    remove: Callable[[str], Sequence[str]]
    names: Iterator[str]
    env: dict[str, str] | None = None

    def start(self) -> Timed:
        name = next(self.names)
        try:
            return Timed(timed(self.begin(name), self.env))
        finally:
            timed(self.remove(name), self.env)

    def burst(self, threads: int, count: int) -> Timed:
        names = list(itertools.islice(self.names, count))
        with ThreadPoolExecutor(threads) as pool:
            begun = perf_counter()
            try:
                list(pool.map(lambda name: timed(self.begin(name), self.env), names))
                return Timed(perf_counter() - begun)
            finally:
                list(pool.map(lambda name: timed(self.remove(name), self.env), names))


def new_names() -> Iterator[str]:
    return (f"benchmark-{os.getpid()}-{number}" for number in itertools.count())


def low_level(runtime: str) -> Callable[[Path, Path], Detached]:
    """crun or runc, whose containers have no log: what they write goes nowhere."""

    def made(rootfs: Path, folder: Path) -> Detached:
        peers.write_bundle(runtime, rootfs, folder, IDLE)
        base = [runtime, "--root", str(folder / "state")]
        begin = [*base, "run", "--detach", "--bundle", str(folder)]
        return Detached(lambda name: [*begin, name], lambda name: [*base, "delete", "--force", name], new_names())

    return made


@contextmanager
def whole(runtime: str, rootfs: Path, folder: Path) -> Iterator[tuple[list[str], str, dict[str, str] | None]]:
    """The command of podman or docker, its image and its environment."""
    if runtime == "podman":
        base, env = peers.podman_ready(rootfs, folder)
        yield base, "localhost/busybox", env
    else:
        with peers.docker_daemon(rootfs, folder) as client:
            yield client, "busybox", None


def detached(runtime: str) -> Callable[[Path, Path], AbstractContextManager[Ready]]:
    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Ready]:
        if runtime in ("crun", "runc"):
            yield low_level(runtime)(rootfs, folder)
            return
        with whole(runtime, rootfs, folder) as (base, image, env):
            begin = [*base, "run", "-d", "--network", "none", "--name"]
            yield Detached(
                lambda name: [*begin, name, image, *IDLE], lambda name: [*base, "rm", "-f", name], new_names(), env
            )

    return opened


def executed(runtime: str) -> Callable[[Path, Path], AbstractContextManager[Ready]]:
    """`RUNTIME exec true` in one container that runs."""

    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Ready]:
        with detached(runtime)(rootfs, folder) as ready:
            assert isinstance(ready, Detached)
            name = next(ready.names)
            timed(ready.begin(name), ready.env)
            words = list(ready.begin(name))
            base = words[: words.index("run")]
            try:
                yield Command(lambda: [*base, "exec", name, "true"], ready.env)
            finally:
                timed(ready.remove(name), ready.env)

    return opened


def versions(name: str) -> tuple[str, ...]:
    return ("dockerd" if name == "docker" else name, "--version")


_PEERS = ("crun", "runc", "podman", "docker")
_FROM = "the program from its start to its end"

EXECS = (
    Contender(
        PLAIN,
        peers.plain_process,
        "busybox true, started and waited for by Python: the least of all rows that are programs",
    ),
    Contender(KERNELBOX, asked("exec"), "the call of Container.exec until its result, its monitor running"),
    Contender(
        f"kernelbox, {FAT} MB heap",
        asked("exec", heap=FAT),
        f"the same, called by an interpreter with {FAT} MB in small pages",
    ),
    Contender(
        "kernelbox, busy thread",
        asked("exec", busy=True),
        "the same, while another thread of the interpreter computes: Python hands over every 5 ms",
    ),
    *(Contender(name, executed(name), f"`{name} exec`: {_FROM}", versions(name)) for name in _PEERS),
)

KEEPS = (
    Contender(
        KERNELBOX,
        asked("keep", "keep many"),
        "box.containers.run: made, recorded on disk and started, with a log. Outside: removing it",
    ),
    *(
        Contender(
            name, detached(name), f"`{name} run` in the background: {_FROM}. Outside: removing it", versions(name)
        )
        for name in _PEERS
    ),
)

STOPS = (
    Contender(
        KERNELBOX,
        asked("stop"),
        "Container.stop of a shell that handles SIGTERM and ends, until its end is recorded. Outside: its start, and "
        "removing it",
    ),
)
