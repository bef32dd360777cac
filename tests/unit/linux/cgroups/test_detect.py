from __future__ import annotations

from pathlib import Path

from unit.linux.cgroups import trees

from kernelbox.linux.cgroups import Limits, detect


def test_v1(tmp_path: Path) -> None:
    machine = trees.v1(tmp_path)
    found = detect(machine.root, machine.proc)
    assert found.version == "v1"
    assert found.unified is None
    assert found.controllers["memory"].base == machine.root / "memory"


def test_v2(tmp_path: Path) -> None:
    machine = trees.v2(tmp_path)
    found = detect(machine.root, machine.proc)
    assert found.version == "v2"
    assert found.unified == machine.root
    assert set(found.controllers) >= {"cpu", "memory", "pids", "io", "cpuset"}


def test_hybrid_with_an_empty_v2_tree(tmp_path: Path) -> None:
    machine = trees.hybrid(tmp_path)
    found = detect(machine.root, machine.proc)
    assert found.version == "hybrid"
    assert found.unified == machine.root / "unified"
    assert {name: mount.version for name, mount in found.controllers.items()}["memory"] == "v1"
    assert found.controllers["hugetlb"].version == "v2"


def test_mounts_elsewhere_are_not_looked_at(tmp_path: Path) -> None:
    machine = trees.hybrid(tmp_path)
    found = detect(tmp_path / "other", machine.proc)
    assert found.version == "v1"
    assert found.controllers == {}


def test_controllers_mounted_together_share_a_group(tmp_path: Path) -> None:
    machine = trees.machine(tmp_path)
    machine.mount_v1("cpu", "cpuacct")
    groups = detect(machine.root, machine.proc).groups("k/x", Limits(cpus=1))
    assert [group.controllers for group in groups] == [("cpu", "cpuacct")]


def delegated(tmp_path: Path, *, procs_in_own: str = "17\n") -> trees.Machine:
    """What systemd gives to a user: the tree below user@1000.service; the groups above cannot be written."""
    machine = trees.machine(tmp_path)
    top = machine.mount_v2(machine.root, "cpu memory pids", "cpu memory pids")
    service = machine.group_v2(top / "user.slice/user@1000.service", "cpu memory pids", "memory pids")
    machine.group_v2(service / "app.slice", "memory pids", "pids")
    machine.group_v2(service / "app.slice/lab.scope", "pids", procs=procs_in_own)
    for unwritable in (top, top / "user.slice"):
        (unwritable / "cgroup.subtree_control").unlink(missing_ok=True)
    machine.own_groups("0::/user.slice/user@1000.service/app.slice/lab.scope\n")
    return machine


def test_an_ordinary_user_gets_the_nearest_delegated_group(tmp_path: Path) -> None:
    machine = delegated(tmp_path)
    found = detect(machine.root, machine.proc)
    (group,) = found.groups("kernelbox/x", Limits(memory=1 << 20))
    assert group.path == machine.root / "user.slice/user@1000.service/app.slice/kernelbox/x"
    assert group.controllers == ("memory", "pids")
    assert group.writes == (("memory.max", str(1 << 20)),)
    assert found.unsupported(Limits(cpus=1)) == (
        f"cpus: the cpu controller is not delegated to {group.path.parent.parent}",
    )


def test_a_group_with_processes_delegates_only_what_it_already_gives(tmp_path: Path) -> None:
    machine = trees.machine(tmp_path)
    top = machine.mount_v2(machine.root, "cpu memory pids")
    (top / "cgroup.subtree_control").unlink()
    machine.group_v2(top / "job", "cpu memory pids", procs="1\n2\n")
    machine.own_groups("0::/job\n")
    found = detect(machine.root, machine.proc)
    (group,) = found.groups("x", Limits(memory=1 << 20))
    assert group.path == top / "job/x"
    assert group.controllers == ()
    assert group.writes == ()
    assert [reason.split(":")[0] for reason in found.unsupported(Limits(memory=1 << 20))] == ["memory"]


def test_nothing_writable_means_no_groups_and_a_sentence_for_each_limit(tmp_path: Path) -> None:
    machine = trees.machine(tmp_path)
    (machine.mount_v2(machine.root, "cpu memory") / "cgroup.subtree_control").unlink()
    found = detect(machine.root, machine.proc)
    assert found.groups("x", Limits(memory=1 << 20)) == ()
    assert found.parents("kernelbox") == ()
    assert found.counters(()) == ()
    assert found.unsupported(Limits(cpus=2, memory=1 << 20)) == (
        f"cpus: the control groups of {machine.root} cannot be written by this user",
        f"memory: the control groups of {machine.root} cannot be written by this user",
    )


def test_a_mount_that_shows_only_a_subtree(tmp_path: Path) -> None:
    """In a container without cgroup namespace the mount's root is the container's group."""
    machine = trees.machine(tmp_path)
    path = machine.mount_v1("pids")
    text = machine.mountinfo().read_text().replace(" / " + str(path).replace(" ", "\\040"), " /docker/ab XX", 1)
    machine.mountinfo().write_text(text.replace("XX", str(path).replace(" ", "\\040")))
    (path / "cgroup.procs").unlink()
    (path / "inner").mkdir()
    (path / "inner/cgroup.procs").touch()
    machine.own_groups("8:pids:/docker/ab/inner\n")
    assert detect(machine.root, machine.proc).controllers["pids"].base == path / "inner"
