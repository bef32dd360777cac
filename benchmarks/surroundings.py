"""The machine made fit for peers, and afterwards as it was. What goes wrong there is noted, and costs no sample."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import machine

PEER_GROUPS = ("docker", "libpod_parent")
"""Control groups that peers make and keep."""
HUGETLB = Path("/sys/fs/cgroup/hugetlb")
PATIENCE = 5.0
"""Seconds in which the last process of a peer must have left its control group."""


def own_mount_namespace() -> None:
    """Start over in a mount namespace of our own, as root."""
    if os.geteuid() == 0 and "KERNELBOX_BENCHMARK" not in os.environ:
        os.environ["KERNELBOX_BENCHMARK"] = "private"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def prepare(stack: ExitStack, note: Callable[[str], None]) -> None:
    """As root: /run is empty, crun starts on a hybrid machine; the end of `stack` puts things back."""
    if os.geteuid():
        return
    mount(note, "-t", "tmpfs", "run", "/run")
    for place in machine.cgroup_mounts():
        for name in PEER_GROUPS:
            if not (place / name).exists():
                stack.callback(remove_groups, place / name, note)
    if machine.cgroup_version() == "hybrid" and not HUGETLB.exists():
        mount_hugetlb(stack, note)


def mount(note: Callable[[str], None], *words: str) -> bool:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        note(done.stderr.strip())
    return not done.returncode


def mount_hugetlb(stack: ExitStack, note: Callable[[str], None]) -> None:
    """crun refuses a hybrid machine whose hugetlb controller is not mounted as v1. The folder is on a shared tmpfs."""
    try:
        HUGETLB.mkdir()
    except OSError as error:
        note(f"{HUGETLB}: {error.strerror}")
        return
    stack.callback(remove_groups, HUGETLB, note)
    if mount(note, "-t", "cgroup", "-o", "hugetlb", "cgroup", str(HUGETLB)):
        stack.callback(subprocess.run, ["umount", str(HUGETLB)], capture_output=True)


def remove_groups(group: Path, note: Callable[[str], None]) -> None:
    """The group and all below it; it need not exist, and a process that is just ending may still be in it."""
    end = time.monotonic() + PATIENCE
    while group.exists():
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        except OSError as error:
            if time.monotonic() > end:
                note(f"left behind: {error.filename}: {error.strerror}")
                return
            time.sleep(0.05)
