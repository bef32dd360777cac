"""The same questions to v1, v2 and hybrid trees: which directories, which writes, which counters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from unit.linux.cgroups import trees

from kernelbox.errors import InvalidOption
from kernelbox.linux.cgroups import Group, Limits, detect
from kernelbox.linux.cgroups.hybrid import Hybrid
from kernelbox.linux.cgroups.v1 import KNOBS as V1_KNOBS
from kernelbox.linux.cgroups.v1 import V1
from kernelbox.linux.cgroups.v2 import KNOBS as V2_KNOBS
from kernelbox.linux.cgroups.v2 import V2

DISK = (254, 0)
ALL = Limits(
    cpus=1.5,
    cpu_shares=1024,
    cpuset_cpus="0-1",
    cpuset_mems="0",
    memory=256 << 20,
    memory_swap=384 << 20,
    memory_reservation=128 << 20,
    pids=100,
    blkio_weight=500,
    device_read_bps=((*DISK, 1000),),
    device_write_bps=((*DISK, 2000),),
    device_read_iops=((*DISK, 30),),
    device_write_iops=((*DISK, 40), (8, 0, 50)),
)


def found(tmp_path: Path, kind: Callable[[Path], trees.Machine]) -> V1 | V2 | Hybrid:
    machine = kind(tmp_path)
    return detect(machine.root, machine.proc)


def writes(groups: tuple[Group, ...]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for group in groups:
        for file, value in group.writes:
            table.setdefault(file, []).append(value)
    return table


def test_v1_writes(tmp_path: Path) -> None:
    assert writes(found(tmp_path, trees.v1).groups("k/x", ALL)) == {
        "cpu.cfs_period_us": ["100000"],
        "cpu.cfs_quota_us": ["150000"],
        "cpu.shares": ["1024"],
        "cpuset.cpus": ["0-1"],
        "cpuset.mems": ["0"],
        "memory.limit_in_bytes": [str(256 << 20)],
        "memory.memsw.limit_in_bytes": [str(384 << 20)],
        "memory.soft_limit_in_bytes": [str(128 << 20)],
        "pids.max": ["100"],
        "blkio.bfq.weight": ["500"],
        "blkio.throttle.read_bps_device": ["254:0 1000"],
        "blkio.throttle.write_bps_device": ["254:0 2000"],
        "blkio.throttle.read_iops_device": ["254:0 30"],
        "blkio.throttle.write_iops_device": ["254:0 40", "8:0 50"],
    }


def test_v2_writes(tmp_path: Path) -> None:
    machine = trees.v2(tmp_path)
    (machine.root / "io.cost.qos").touch()
    assert writes(detect(machine.root, machine.proc).groups("k/x", ALL)) == {
        "cpu.max": ["150000 100000"],
        "cpu.weight": ["39"],
        "cpuset.cpus": ["0-1"],
        "cpuset.mems": ["0"],
        "memory.max": [str(256 << 20)],
        "memory.swap.max": [str(128 << 20)],
        "memory.low": [str(128 << 20)],
        "pids.max": ["100"],
        "io.weight": ["4950"],
        "io.max": ["254:0 rbps=1000 wbps=2000 riops=30 wiops=40", "8:0 wiops=50"],
    }


def test_memory_comes_before_memory_and_swap(tmp_path: Path) -> None:
    groups = found(tmp_path, trees.v1).groups("x", ALL)
    files = [file for group in groups for file, _ in group.writes]
    assert files.index("memory.limit_in_bytes") < files.index("memory.memsw.limit_in_bytes")


@pytest.mark.parametrize(
    ("limits", "v1", "v2"),
    [
        (Limits(cpu_quota=50_000), {"cpu.cfs_quota_us": ["50000"]}, {"cpu.max": ["50000 100000"]}),
        (Limits(cpu_period=20_000), {"cpu.cfs_period_us": ["20000"]}, {"cpu.max": ["max 20000"]}),
        (Limits(cpu_shares=2), {"cpu.shares": ["2"]}, {"cpu.weight": ["1"]}),
        (Limits(cpu_shares=262_144), {"cpu.shares": ["262144"]}, {"cpu.weight": ["10000"]}),
        (Limits(pids=-1), {"pids.max": ["max"]}, {"pids.max": ["max"]}),
        (
            Limits(memory=1 << 20, memory_swap=-1),
            {"memory.limit_in_bytes": [str(1 << 20)], "memory.memsw.limit_in_bytes": ["-1"]},
            {"memory.max": [str(1 << 20)], "memory.swap.max": ["max"]},
        ),
        (
            Limits(memory=1 << 20, memory_swap=1 << 20),
            {"memory.limit_in_bytes": [str(1 << 20)], "memory.memsw.limit_in_bytes": [str(1 << 20)]},
            {"memory.max": [str(1 << 20)], "memory.swap.max": ["0"]},
        ),
    ],
)
def test_special_values(tmp_path: Path, limits: Limits, v1: dict[str, list[str]], v2: dict[str, list[str]]) -> None:
    assert writes(found(tmp_path / "1", trees.v1).groups("x", limits)) == v1
    assert writes(found(tmp_path / "2", trees.v2).groups("x", limits)) == v2


def test_hybrid_makes_only_what_is_needed(tmp_path: Path) -> None:
    hierarchy = found(tmp_path, trees.hybrid)
    root = tmp_path / "sys fs cgroup"
    plain = hierarchy.groups("k/x", Limits())
    assert [group.path for group in plain] == [root / f"{tree}/k/x" for tree in ("unified", "memory", "pids", "blkio")]
    limited = hierarchy.groups("k/x", Limits(cpus=1, cpuset_cpus="0"), ("c 1:3 rwm",))
    assert [group.controllers for group in limited[4:]] == [("cpu",), ("cpuset",), ("devices",)]


def test_v1_alone_needs_cpuacct_and_the_freezer(tmp_path: Path) -> None:
    groups = found(tmp_path, trees.v1).groups("x", Limits())
    assert [group.controllers[0] for group in groups] == ["memory", "pids", "blkio", "cpuacct", "freezer"]


def test_cpuset_on_v1_takes_what_is_not_asked_from_above(tmp_path: Path) -> None:
    hierarchy = found(tmp_path, trees.v1)
    assert writes(hierarchy.groups("x", Limits(cpuset_cpus="3"))) == {"cpuset.cpus": ["3"], "cpuset.mems": ["0"]}
    above = {group.path.name: group.writes for group in hierarchy.parents("k") if "cpuset" in group.controllers}
    assert above == {"k": (("cpuset.cpus", "0-7"), ("cpuset.mems", "0"))}


def test_device_lines(tmp_path: Path) -> None:
    groups = found(tmp_path, trees.hybrid).groups("x", Limits(), ("c 1:3 rwm", "c 1:5 rwm"))
    assert groups[-1].writes == (
        ("devices.deny", "a"),
        ("devices.allow", "c 1:3 rwm"),
        ("devices.allow", "c 1:5 rwm"),
    )


def test_parents_on_v2_delegate_level_by_level(tmp_path: Path) -> None:
    hierarchy = found(tmp_path, trees.v2)
    root = tmp_path / "sys fs cgroup"
    every = "+cpu +cpuset +io +memory +pids"
    assert [(group.path, group.writes) for group in hierarchy.parents("kernelbox/ab12")] == [
        (root, (("cgroup.subtree_control", "+cpuset +io"),)),
        (root / "kernelbox", (("cgroup.subtree_control", every),)),
        (root / "kernelbox/ab12", (("cgroup.subtree_control", every),)),
    ]


def test_parents_on_hybrid_have_every_tree_at_every_level(tmp_path: Path) -> None:
    paths = [group.path for group in found(tmp_path, trees.hybrid).parents("kernelbox/ab12")]
    for tree in ("unified", "memory", "pids", "blkio", "cpu", "cpuset", "devices"):
        upper, lower = (tmp_path / "sys fs cgroup" / tree / name for name in ("kernelbox", "kernelbox/ab12"))
        assert paths.index(upper) < paths.index(lower)


@pytest.mark.parametrize("kind", [trees.v1, trees.v2, trees.hybrid])
def test_counters_name_files_of_their_groups(tmp_path: Path, kind: Callable[[Path], trees.Machine]) -> None:
    hierarchy = found(tmp_path, kind)
    groups = hierarchy.groups("x", ALL)
    counters = hierarchy.counters(groups)
    assert len({counter.key for counter in counters}) == len(counters)
    for counter in counters:
        version, _, file = counter.key.partition("/")
        assert file == counter.file
        assert groups[counter.group_index].version == version
    cpu = {counter.key for counter in counters} & {"v2/cpu.stat", "v1/cpuacct.usage"}
    assert len(cpu) == 1


def test_twins_know_the_same_limits() -> None:
    assert [knob.limit for knob in V1_KNOBS] == [knob.limit for knob in V2_KNOBS]
    assert set(ALL.asked()) | {"cpu_period", "cpu_quota"} == {knob.limit for knob in V1_KNOBS}


@pytest.mark.parametrize("kind", [trees.v1, trees.v2, trees.hybrid])
def test_a_complete_machine_supports_everything(tmp_path: Path, kind: Callable[[Path], trees.Machine]) -> None:
    machine = kind(tmp_path)
    (machine.root / "io.cost.qos").touch()
    assert detect(machine.root, machine.proc).unsupported(ALL) == ()


def test_v1_without_swap_accounting(tmp_path: Path) -> None:
    machine = trees.hybrid(tmp_path)
    (machine.root / "memory/memory.memsw.limit_in_bytes").unlink()
    hierarchy = detect(machine.root, machine.proc)
    limits = Limits(memory=1 << 20, memory_swap=1 << 21)
    assert hierarchy.unsupported(limits) == ("memory_swap: this kernel has no memory.memsw.limit_in_bytes",)
    assert "memory.memsw.limit_in_bytes" not in writes(hierarchy.groups("x", limits))


def test_v2_without_swap_accounting_is_seen_in_a_child_of_the_top(tmp_path: Path) -> None:
    machine = trees.v2(tmp_path)
    (machine.group_v2(machine.root / "system.slice") / "memory.max").touch()
    limits = Limits(memory=1 << 20, memory_swap=1 << 21)
    hierarchy = detect(machine.root, machine.proc)
    assert hierarchy.unsupported(limits) == ("memory_swap: this kernel has no memory.swap.max",)
    assert writes(hierarchy.groups("x", limits)) == {"memory.max": [str(1 << 20)]}


def test_v2_weight_by_bfq(tmp_path: Path) -> None:
    machine = trees.v2(tmp_path)
    (machine.group_v2(machine.root / "system.slice") / "io.bfq.weight").touch()
    hierarchy = detect(machine.root, machine.proc)
    assert hierarchy.unsupported(Limits(blkio_weight=500)) == ()
    assert writes(hierarchy.groups("x", Limits(blkio_weight=500))) == {"io.bfq.weight": ["500"]}


def test_a_missing_controller_is_said(tmp_path: Path) -> None:
    machine = trees.machine(tmp_path)
    machine.mount_v1("pids")
    machine.mount_v2(machine.root / "unified", "hugetlb")
    reasons = detect(machine.root, machine.proc).unsupported(Limits(cpus=1, pids=7))
    assert reasons == ("cpus: the kernel's cpu controller is not mounted or not compiled in",)


@pytest.mark.parametrize(
    "name", ["", "/x", "x/", "../x", "a/./b", "a//b", "memory.max", "k/cgroup.procs", "a\nb", "a b"]
)
def test_names_that_cannot_be_groups(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidOption, match="cannot be the name"):
        found(tmp_path, trees.hybrid).groups(name, Limits())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"cpus": 0}, "cpus must be"),
        ({"cpus": -1}, "cpus must be"),
        ({"cpus": float("nan")}, "cpus must be"),
        ({"cpus": 1, "cpu_quota": 1000}, "one or the other"),
        ({"cpu_shares": 1}, "cpu_shares must be"),
        ({"memory": 0}, "memory must be"),
        ({"memory_swap": 1 << 20}, "needs a memory limit"),
        ({"memory": 2 << 20, "memory_swap": 1 << 20}, "is less than memory"),
        ({"pids": 0}, "pids must be"),
        ({"blkio_weight": 9}, "blkio_weight must be"),
    ],
)
def test_limits_that_cannot_be_meant(limits: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        Limits(**limits)  # type: ignore[arg-type]


def disk(block: Path, name: str, number: str, *, real: bool = True, removable: str = "0") -> None:
    (block / name).mkdir(parents=True)
    (block / name / "dev").write_text(f"{number}\n")
    (block / name / "removable").write_text(f"{removable}\n")
    if real:
        (block / name / "device").mkdir()


def test_v1_has_disks_count_bytes(tmp_path: Path) -> None:
    machine = trees.hybrid(tmp_path)
    block = tmp_path / "block"
    disk(block, "vda", "254:0")
    disk(block, "vdb", "254:16")
    disk(block, "loop0", "7:0", real=False)
    disk(block, "sr0", "11:0", removable="1")
    counter = machine.root / "blkio/blkio.throttle.io_service_bytes_recursive"
    counter.write_text("254:16 Read 0\nTotal 0\n")
    base = next(g for g in detect(machine.root, machine.proc, block).parents("k") if g.path == machine.root / "blkio")
    assert base.writes == (("blkio.throttle.read_bps_device", "254:0 0"),)
    counter.write_text("254:16 Read 0\n254:0 Read 0\nTotal 0\n")
    assert machine.root / "blkio" not in [g.path for g in detect(machine.root, machine.proc, block).parents("k")]


def test_v1_disks_that_have_no_number(tmp_path: Path) -> None:
    machine = trees.hybrid(tmp_path)
    block = tmp_path / "block"
    for name in ("nvme0c0n1", "nvme0n1", "sdz"):
        disk(block, name, "259:0")
    (block / "nvme0c0n1/dev").unlink()  # a path of the multipath disk nvme0n1
    (block / "sdz/removable").unlink()  # pulled out
    (machine.root / "blkio/blkio.throttle.io_service_bytes_recursive").write_text("Total 0\n")
    base = next(g for g in detect(machine.root, machine.proc, block).parents("k") if g.path == machine.root / "blkio")
    assert base.writes == (("blkio.throttle.read_bps_device", "259:0 0"),)
