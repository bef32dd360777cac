"""Control group trees as plain folders: what `detect` reads of a machine, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

V1_FILES = {
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpu.stat"),
    "cpuacct": ("cpuacct.usage",),
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"),
    "devices": ("devices.allow", "devices.deny"),
    "freezer": (),
    "blkio": (
        "blkio.bfq.io_service_bytes",
        "blkio.throttle.read_bps_device",
        "blkio.throttle.write_bps_device",
        "blkio.throttle.read_iops_device",
        "blkio.throttle.write_iops_device",
    ),
    "pids": (),
}


@dataclass
class Machine:
    root: Path
    proc: Path

    def mountinfo(self) -> Path:
        return self.proc / "self/mountinfo"

    def own_groups(self, text: str) -> None:
        (self.proc / "self/cgroup").write_text(text)

    def mount_v1(self, *controllers: str) -> Path:
        """One v1 tree for these controllers, at the place where systemd puts it."""
        path = self.root / ",".join(controllers)
        path.mkdir(parents=True)
        (path / "cgroup.procs").touch()
        for controller in controllers:
            for file in V1_FILES[controller]:
                (path / file).touch()
        if "cpuset" in controllers:
            (path / "cpuset.cpus").write_text("0-7\n")
            (path / "cpuset.mems").write_text("0\n")
        self._mounted(path, "cgroup", f"rw,{','.join(controllers)}")
        return path

    def mount_v2(self, path: Path, controllers: str = "", given: str = "") -> Path:
        self.group_v2(path, controllers, given)
        (path / "cgroup.type").unlink()
        self._mounted(path, "cgroup2", "rw")
        return path

    def group_v2(self, path: Path, controllers: str = "", given: str = "", procs: str = "") -> Path:
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.type").write_text("domain\n")
        (path / "cgroup.procs").write_text(procs)
        (path / "cgroup.controllers").write_text(controllers + "\n")
        (path / "cgroup.subtree_control").write_text(given + "\n")
        return path

    def _mounted(self, path: Path, fstype: str, options: str) -> None:
        target = str(path).replace(" ", "\\040")
        with self.mountinfo().open("a") as file:
            file.write(f"40 31 0:37 / {target} rw,relatime shared:5 - {fstype} {fstype} {options}\n")


def machine(folder: Path) -> Machine:
    made = Machine(folder / "sys fs cgroup", folder / "proc")
    (made.proc / "self").mkdir(parents=True)
    made.root.mkdir()
    made.mountinfo().write_text("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n")
    made.own_groups("0::/\n")
    return made


def v1(folder: Path) -> Machine:
    made = machine(folder)
    for controller in V1_FILES:
        made.mount_v1(controller)
    return made


def v2(folder: Path) -> Machine:
    made = machine(folder)
    made.mount_v2(made.root, "cpuset cpu io memory hugetlb pids rdma misc", "cpu memory pids")
    return made


def hybrid(folder: Path) -> Machine:
    made = v1(folder)
    made.mount_v2(made.root / "unified", "hugetlb")
    return made
