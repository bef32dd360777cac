from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.linux import mountinfo

LINES = rb"""22 27 0:21 / /proc rw,nosuid - proc proc rw
36 35 98:0 /mnt1 /a\040b\011c rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue
37 36 0:40 / /x rw shared:3 - overlay none rw,lowerdir=/l\134:1
"""


def test_parse() -> None:
    proc, disk, overlay = mountinfo.parse(LINES)
    assert (proc.id, proc.parent, proc.device, proc.fstype, proc.propagation) == (22, 27, (0, 21), "proc", ())
    assert disk.target == "/a b\tc"
    assert disk.root == "/mnt1"
    assert disk.propagation == ("master:1", "propagate_from:2")
    assert disk.super_options == ("rw", "errors=continue")
    assert overlay.source == "none"


def test_not_a_line() -> None:
    with pytest.raises(ValueError, match="not a line of mountinfo"):
        mountinfo.parse(b"22 27 0:21 / /proc rw proc proc rw\n")


def test_root_is_a_parameter(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/mountinfo").write_bytes(LINES)
    assert len(mountinfo.read(7, proc=tmp_path)) == 3


def test_this_process_has_a_proc() -> None:
    assert "/proc" in [mount.target for mount in mountinfo.read()]
