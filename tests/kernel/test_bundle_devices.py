"""Which devices a bundle has that says nothing of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bundles import Bundle

from kernelbox import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def run(engine: Engine, bundle: Bundle) -> Callable[..., list[str]]:
    """Words that a script of the machine's root with the right to make nodes says, under these rules."""

    def begin(script: str, rules: list[dict[str, object]] | None) -> list[str]:
        def change(config: dict[str, Any]) -> None:
            config["root"]["readonly"] = False
            config["process"]["args"] = ["sh", "-c", script]
            config["process"]["cwd"] = "/tmp"
            for kind in ("bounding", "effective", "permitted"):
                config["process"]["capabilities"][kind] = ["CAP_MKNOD"]
            del config["linux"]["resources"]
            if rules is not None:
                config["linux"]["resources"] = {"devices": rules}

        return engine.run(bundle(change)).stdout.split()

    return begin


def test_without_rules_only_the_usual_ones_are_allowed(run: Callable[..., list[str]]) -> None:
    """runtime-spec, config-linux.md, "Allowed Device list": what is not allowed is denied."""
    assert run("mknod null c 1 3 && echo made; mknod mem c 1 1 || echo refused", None) == ["made", "refused"]


def test_a_list_of_rules_need_not_begin_by_denying(run: Callable[..., list[str]]) -> None:
    rule = {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "m"}
    assert run("mknod mem c 1 1 && echo made; mknod disk b 8 0 || echo refused", [rule]) == ["made", "refused"]
