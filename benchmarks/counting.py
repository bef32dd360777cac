"""What a store's containers cost the machine, counted from outside of the engine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import machine
from our_process import monitors, private_bytes

from kernelbox.store.paths import StorePaths


def numbers(store: Path) -> dict[str, int]:
    """By name. What is closed to this user is left out: an ordinary one does not see into the monitor."""
    found = {
        "engine bytes": private_bytes(Path("/proc/self")),
        "engine descriptors": descriptors(Path("/proc/self")),
        "control groups": control_groups(store),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "folders": sum(len(list(folder.iterdir())) for folder in folders(store)),
    }
    with suppress(PermissionError):
        processes = monitors(store)
        if processes:
            found["monitor bytes"] = sum(map(private_bytes, processes))
            found["monitor descriptors"] = sum(map(descriptors, processes))
            found["monitor mounts"] = max(len(mounts_of(process)) for process in processes)
            found["monitor ticks"] = sum(map(ticks, processes))
    return found


def descriptors(process: Path) -> int:
    return len(os.listdir(process / "fd"))


def ticks(process: Path) -> int:
    """Processor time, in ticks (proc_pid_stat(5))."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def folders(store: Path) -> list[Path]:
    """Where the store has a folder for each container, and what is to be deleted."""
    paths = StorePaths.of(store)
    return [folder for folder in (paths.containers, paths.runs, paths.trash) if folder.is_dir()]


def control_groups(store: Path) -> int:
    """Of the store's containers, in all hierarchies."""
    name = StorePaths.of(store).name
    count = 0
    for mount in machine.cgroup_mounts():
        for folder, below, _ in os.walk(mount):
            if os.path.basename(folder) == name and os.path.basename(os.path.dirname(folder)) == "kernelbox":
                count += len(below)
                below.clear()
    return count


def mounts_of(process: Path) -> list[str]:
    """The device numbers (st_dev) of its mounts (proc_pid_mountinfo(5)); none where it has ended."""
    with suppress(OSError):
        return [line.split()[2] for line in (process / "mountinfo").read_text().splitlines()]
    return []


def superblocks(pids: list[int]) -> tuple[float, float]:
    """How many file systems each of these containers has that are only its own, and how many mounts it sees."""
    mounts = [mounts_of(Path("/proc") / str(pid)) for pid in pids]
    mounts = [each for each in mounts if each]
    if not mounts:
        return 0.0, 0.0
    owners: dict[str, int] = {}
    for each in mounts:
        for device in set(each):
            owners[device] = owners.get(device, 0) + 1
    own = sum(1 for count in owners.values() if count == 1)
    return own / len(mounts), sum(map(len, mounts)) / len(mounts)
