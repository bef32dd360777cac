"""Fixtures of every test. `nothing_left` is the one that all tests run under: see leaks.py."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import busybox
import leaks
import ordinary_user as users
import pytest
from waiting import wait_until

if TYPE_CHECKING:
    from kernelbox import Engine

# Where the suite runs in the background interrupts and hang-ups are ignored, and so would every program of a test
# ignore them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# numpy's linear algebra would start threads when it is first imported, in whichever test that is.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["KERNELBOX_PULL"] = "never"  # tests talk to nobody but themselves


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "leaves(*kinds, reason): it may leave such things (the fields of leaks.Snapshot)"
    )
    leaks.become_subreaper()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid():
        pytest.skip("needs to be root")


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that left a mount, process, namespace, cgroup, interface, descriptor, thread or folder."""
    marks = list(request.node.iter_markers("leaves"))
    excused = frozenset(kind for mark in marks for kind in mark.args)
    assert excused <= leaks.KINDS, f"no such kind of leak: {excused - leaks.KINDS}"
    before = leaks.snapshot()
    yield
    fail_unless_empty(lambda: leaks.snapshot().left_since(before, excused), "the test left behind")


def fail_unless_empty(find: Callable[[], list[str]], sentence: str) -> None:
    """Wait for what is still ending; fail with the list of what does not."""
    if not find():
        return
    gc.collect()
    with suppress(AssertionError):
        wait_until(lambda: not find())
        return
    pytest.fail("\n  ".join([f"{sentence}:", *find()]), pytrace=False)


@pytest.fixture
def root_only() -> None:
    """Skips where the tests do not run as root."""
    if os.geteuid():
        pytest.skip("needs to be root")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a store of this test's own, which engines, commands and notebooks started by it use too.

    When they have closed, nothing of a container may be left in it, nor anything that waits to be deleted."""
    root = tmp_path / "store"
    monkeypatch.setenv("KERNELBOX_ROOT", str(root))
    monkeypatch.delenv("KERNELBOX_HOST", raising=False)
    yield root
    fail_unless_empty(lambda: leaks.left_in_store(root), "left in the store")


@pytest.fixture
def engine(store: Path) -> Iterator[Engine]:
    """An engine on `store`, closed at the end."""
    from kernelbox import Engine

    with Engine(root=store) as box:
        yield box


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete small root file system, for reading only: a test that writes into one builds its own."""
    folder = tmp_path_factory.mktemp("busybox")
    folder.chmod(0o755)
    try:
        return busybox.build(folder / "root")
    except busybox.Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def _test_user() -> Iterator[users.User]:
    try:
        user, made = users.make()
    except FileNotFoundError as reason:
        pytest.skip(f"no ordinary user can be made: {reason}")
    yield user
    if made:
        users.remove()


@pytest.fixture
def ordinary_user(_test_user: users.User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[users.User]:
    """Somebody who is not root, with a home folder of this test's own: `.run(argv)`, `.python(code)`."""
    base = tmp_path_factory.getbasetemp()
    home = tmp_path_factory.mktemp("home")
    modes = {folder: folder.stat().st_mode for folder in (base, base.parent)}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o011)  # pytest makes them for root alone; the user has to pass through
    (home / "run").mkdir()
    for folder in (home, home / "run"):
        os.chown(folder, _test_user.uid, _test_user.gid)
    yield replace(_test_user, home=home)
    for folder, mode in modes.items():
        folder.chmod(mode)


@pytest.fixture
def container_user(ordinary_user: users.User, busybox_rootfs: Path) -> users.User:
    """An ordinary user who may make user namespaces, which their containers need, and pass to the folder of busybox."""
    if reason := ordinary_user.refusal():
        pytest.skip(f"an ordinary user may make no user namespace here: {reason}")
    for folder in list(busybox_rootfs.parents)[:2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    return ordinary_user


@pytest.fixture
def own_busybox(container_user: users.User, busybox_rootfs: Path) -> str:
    """The name of a copy of busybox that belongs to `container_user`."""
    copy = container_user.home / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, copy], check=True)
    subprocess.run(["chown", "-Rh", f"{container_user.uid}:{container_user.gid}", copy], check=True)
    return f"dir:{copy}"
