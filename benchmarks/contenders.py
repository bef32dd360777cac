"""Everything that is measured, and what is inside and outside of each one's time."""

from __future__ import annotations

import ours
import peers
from starting import Contender

KERNELBOX = "kernelbox"
SHELL_COMMAND = "kernelbox run"
WHOLE_ENGINES = ("podman", "docker")
"""Whose commands do what our shell command does."""
FAT = 500
"""Megabytes in use by the interpreter of "500 MB heap"."""

_RUN = "the call of box.run until its result: the container has gone and its counters are read"
_READY = "Outside: import, engine and monitor; deleting the container's folder, which is waited for afterwards"
_FIRST = "Engine() and its first run: the kernel is asked what it can do, a monitor starts. Outside: Python, import"
_PROGRAM = "the program from its start to its end, what it deletes included"

CONTENDERS = (
    Contender(
        "fork+exec, no container",
        peers.plain_process,
        "busybox true, started and waited for by Python: the least of all rows that are programs",
    ),
    Contender(KERNELBOX, ours.running(), f"{_RUN}. {_READY}"),
    Contender(
        f"kernelbox, {FAT} MB heap",
        ours.running(heap=FAT),
        f"the same, called by an interpreter with {FAT} MB in small pages",
        rated=False,
    ),
    Contender(
        "kernelbox, busy thread",
        ours.running(busy=True),
        "the same, while another thread of the interpreter computes: Python hands over every 5 ms",
        rated=False,
    ),
    Contender("kernelbox, first start", ours.first(), _FIRST, rated=False),
    Contender(
        f"kernelbox, first, {FAT} MB",
        ours.first(heap=FAT),
        f"the same in an interpreter with {FAT} MB in small pages",
        rated=False,
    ),
    Contender(
        SHELL_COMMAND,
        ours.shell_command,
        "`kernelbox run dir:ROOT true` as a program: Python, import, engine, monitor, container, and deleting its "
        "folder. Outside: the end of the monitor, which is waited for afterwards",
    ),
    Contender(
        "podman",
        peers.podman,
        f"`podman run --rm`: {_PROGRAM}. Outside: the import of the image",
        ("podman", "--version"),
    ),
    Contender(
        "docker",
        peers.docker,
        f"`docker run --rm`: {_PROGRAM}. Outside: the daemon, started before, and what it does afterwards",
        ("dockerd", "--version"),
    ),
    Contender(
        "crun",
        peers.crun,
        f"`crun run`: {_PROGRAM}. Its own default specification: no layer to write on, no system call filter, and as "
        "root no user namespace",
        ("crun", "--version"),
    ),
    Contender("runc", peers.runc, "`runc run`, as crun", ("runc", "--version")),
    Contender(
        "bwrap",
        peers.bubblewrap,
        f"{_PROGRAM}. No control groups, no layer to write on, no system call filter",
        ("bwrap", "--version"),
    ),
)
