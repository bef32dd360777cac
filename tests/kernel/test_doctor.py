"""The doctor on this machine: it tries everything, and leaves nothing (the fixture of all tests sees to that)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ordinary_user import User

from kernelbox.engine import doctor, doctor_isolation

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("store")]

COMMAND = [sys.executable, "-m", "kernelbox.cli", "doctor"]
NAMES = {
    "Linux",
    "user",
    "nested",
    "id ranges",
    "message queues",
    *(f"{kind} namespace" for kind in doctor_isolation.NAMESPACES),
    "mount calls",
    "overlay",
    "mapped ids on /",
    "mapped ids on the store",
    "system call filter",
    "device filter",
    "control groups",
    "open files",
    "processes",
    "store",
    "a container",
}
"""What is always looked at; other checks depend on these."""


def test_every_thing_is_looked_at_once(store: Path) -> None:
    checks = doctor.report()
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert set(names) >= NAMES
    assert not store.exists()
    for check in checks:
        assert check.state in doctor.SIGNS
        assert check.detail
        assert not check.mend or check.state != "works"


@pytest.mark.root
def test_what_the_other_tests_rely_on_works() -> None:
    states = {check.name: check.state for check in doctor.report()}
    needed = ["user", "mnt namespace", "user namespace", "pid namespace", "overlay", "control groups", "a container"]
    assert [name for name in needed if states[name] != "works"] == []


@pytest.mark.root
def test_layers_are_mapped_wherever_the_store_can_map_ids(tmp_path: Path) -> None:
    """Also before Linux 6.15, where they must be attached for it, as they are for a container."""
    states = {check.name: check.state for check in doctor.report()}
    assert states["overlay of mapped layers"] == states["mapped ids on the store"]
    attached = doctor_isolation.attached_overlay_refused(tmp_path)
    assert bool(attached) == (states["mapped ids on the store"] != "works"), attached
    assert not list(tmp_path.iterdir())


@pytest.mark.root
def test_an_ordinary_user_gets_the_same_checks(ordinary_user: User) -> None:
    done = ordinary_user.run([*COMMAND, "--json"])
    assert done.returncode == 0, done.stderr
    checks = {row["name"]: row for row in json.loads(done.stdout)}
    assert checks["user"]["detail"].startswith(f"{ordinary_user.name}, not root")
    assert checks["user namespace"]["state"] == "works"
    assert checks["overlay"]["state"] == "works"
    assert checks["id ranges"]["state"] in ("works", "degraded")
    assert set(checks) >= NAMES - {"mapped ids on /", "mapped ids on the store"}


def test_json_has_four_fields_a_check() -> None:
    rows = json.loads(subprocess.run([*COMMAND, "--json"], capture_output=True, text=True, check=True).stdout)
    assert all(set(row) == {"name", "state", "detail", "mend"} for row in rows)
    assert {row["name"] for row in rows} >= NAMES


def test_the_table_fits_and_names_all_checks() -> None:
    text = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stdout
    assert max(map(len, text.splitlines())) <= 100
    assert all(f" {name} " in text for name in NAMES)
    assert "checks: " in text.splitlines()[-1]
