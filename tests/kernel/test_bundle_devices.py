"""Which devices a bundle has that says nothing of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelbox import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def run(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Words that a script of the machine's root with the right to make nodes says, under these rules."""

    def begin(script: str, rules: list[dict[str, object]] | None) -> list[str]:
        subprocess.run(["cp", "-a", busybox_rootfs, tmp_path / "rootfs"], check=True)
        rights = {kind: ["CAP_MKNOD"] for kind in ("bounding", "effective", "permitted")}
        process = {
            "args": ["sh", "-c", script], "cwd": "/tmp", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
            "capabilities": rights,
        }  # fmt: skip
        linux: dict[str, object] = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
        if rules is not None:
            linux["resources"] = {"devices": rules}
        config = {"ociVersion": "1.2.0", "root": {"path": "rootfs"}, "process": process, "linux": linux}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return engine.run(f"bundle:{tmp_path}").stdout.split()

    return begin


def test_without_rules_only_the_usual_ones_are_allowed(run: Callable[..., list[str]]) -> None:
    """runtime-spec, config-linux.md, "Allowed Device list": what is not allowed is denied."""
    assert run("mknod null c 1 3 && echo made; mknod mem c 1 1 || echo refused", None) == ["made", "refused"]


def test_a_list_of_rules_need_not_begin_by_denying(run: Callable[..., list[str]]) -> None:
    rule = {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "m"}
    assert run("mknod mem c 1 1 && echo made; mknod disk b 8 0 || echo refused", [rule]) == ["made", "refused"]
