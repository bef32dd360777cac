"""Device filters in real groups: what is allowed opens, what is not does not, and the kernel takes every program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.linux import cgroups, devices
from kernelbox.linux.devices import DEFAULT_RULES, DENY_ALL, Rule
from kernelbox.native import check, lib

pytestmark = [pytest.mark.kernel, pytest.mark.root]

NAME = f"kernelbox-test-{os.getpid()}-devices"


@pytest.fixture
def group() -> Iterator[cgroups.Cgroup]:
    with cgroups.create(NAME) as made:
        yield made


def v2_path(group: cgroups.Cgroup) -> Path:
    paths = [inner.path for inner in group.groups if inner.version == "v2"]
    if not paths:
        pytest.skip("this machine has no v2 tree")
    return paths[0]


OPEN = """
import os, sys
sys.stdin.read(1)
for path in ("/dev/null", "/dev/zero", "/dev/kmsg"):
    try:
        os.close(os.open(path, os.O_RDONLY))
        print("opened")
    except OSError as error:
        print(error.errno)
"""


def start() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-Ic", OPEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def opened(group: cgroups.Cgroup) -> list[str]:
    process = start()
    group.attach(process.pid)
    return process.communicate("x", timeout=60)[0].split()


def test_a_program_on_the_v2_group(group: cgroups.Cgroup) -> None:
    path = v2_path(group)
    devices.attach(path, DEFAULT_RULES)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert check(lib.kb_bpf_count(fd), "count") == 1
    finally:
        os.close(fd)
    assert opened(group) == ["opened", "opened", "1"]


def test_nothing_allowed(group: cgroups.Cgroup) -> None:
    devices.attach(v2_path(group), [DENY_ALL])
    assert opened(group) == ["1", "1", "1"]


def test_the_same_on_v1() -> None:
    found = cgroups.detect()
    if found.controllers.get("devices") is None:
        pytest.skip("the v1 devices controller is not mounted")
    groups = found.groups(NAME, cgroups.Limits(), devices.v1_lines(DEFAULT_RULES))
    (group,) = (group for group in groups if "devices" in group.controllers)
    group.path.mkdir()
    try:
        for file, value in group.writes:
            (group.path / file).write_text(value)
        process = start()
        (group.path / "cgroup.procs").write_text(str(process.pid))
        assert process.communicate("x", timeout=60)[0].split() == ["opened", "opened", "1"]
    finally:
        group.path.rmdir()


numbers = st.one_of(st.none(), st.integers(0, 2**31 - 1))
rules = st.builds(
    Rule, st.booleans(), st.sampled_from("abc"), numbers, numbers, st.sampled_from(["r", "w", "m", "rw", "rwm"])
)


@settings(max_examples=50, deadline=None)
@given(st.lists(rules, max_size=20))
def test_the_kernel_takes_every_program(rules: list[Rule]) -> None:
    program = devices.filter_program(rules)
    os.close(check(lib.kb_bpf_load_device_filter(program, len(program) // 8), "load"))
