"""The doctor's table as text."""

from __future__ import annotations

from kernelbox.cli.doctor import table
from kernelbox.engine.doctor import Check

CHECKS = (
    Check("Linux", "works", "6.18 on x86_64"),
    Check(
        "disk weight", "missing", "--blkio-weight: " + "long words " * 20, "echo bfq > /sys/block/DISK/queue/scheduler"
    ),
    Check("id ranges", "degraded", "only root exists in a container", "apt-get install uidmap"),
)


def plain(width: int = 100) -> list[str]:
    import click

    return click.unstyle(table(CHECKS, width)).splitlines()


def test_a_line_has_a_sign_and_a_word() -> None:
    lines = plain()
    assert lines[0] == "✔ works    Linux        6.18 on x86_64"
    assert any(line.startswith("✘ missing  disk weight  --blkio-weight:") for line in lines)
    assert any(line.startswith("~ degraded id ranges    only root exists") for line in lines)


def test_what_mends_it_stands_below() -> None:
    lines = plain()
    at = next(i for i, line in enumerate(lines) if "id ranges" in line)
    assert lines[at + 1].strip() == "→ apt-get install uidmap"


def test_it_fits_and_ends_with_a_count() -> None:
    lines = plain(100)
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "3 checks: 1 work, 1 work in part, 1 are missing"
