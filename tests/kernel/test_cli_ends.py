"""How commands end that are interrupted, that nobody listens to, or that find a machine which is closed to them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from ordinary_user import User

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("store")]

COMMAND = [sys.executable, "-m", "kernelbox.cli"]


# -- the doctor ------------------------------------------------------------------------------------------------------


def doctor(user: User, root: Path) -> dict[str, dict[str, str]]:
    done = user.run([*COMMAND, "doctor", "--json"], env={"KERNELBOX_ROOT": str(root)})
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_the_doctor_finds_that_the_store_is_below_a_closed_folder(ordinary_user: User) -> None:
    closed = ordinary_user.home / "closed"
    closed.mkdir(mode=0o700)
    checks = doctor(ordinary_user, closed / "store")
    assert checks["store"]["detail"] == f"{closed}/store cannot be written: permission denied"
    assert checks["a container"]["state"] == "missing"
    assert checks["a container"]["detail"].endswith("permission denied")
    assert checks["user namespace"]["state"] == "works"


def test_the_doctor_tries_a_container_where_the_store_is(ordinary_user: User) -> None:
    kept = ordinary_user.home / "kept"
    store = kept / "store"
    store.mkdir(parents=True)
    os.chown(store, ordinary_user.uid, ordinary_user.gid)  # the folder around it is root's
    checks = doctor(ordinary_user, store)
    assert checks["store"]["state"] == "works"
    assert checks["a container"]["state"] == "works"
    assert list(store.iterdir()) == []
