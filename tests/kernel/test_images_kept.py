"""Images of the store beside containers: what runs keeps its image, whoever removes, prunes and loads meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import ordinary_user
import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.errors import Conflict, ImageNotFound

pytestmark = [pytest.mark.kernel, pytest.mark.root]

NAME = "busy:1"


@pytest.fixture(scope="module")
def archive(busybox_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tar of a small root file system."""
    path = tmp_path_factory.mktemp("image") / "root.tar"
    subprocess.run(["tar", "-C", busybox_rootfs, "-cf", path, "."], check=True)
    return path


@pytest.fixture
def box(engine: Engine, archive: Path) -> Engine:
    """With that image."""
    engine.images.import_(archive, NAME, changes=['CMD ["sh", "-c", "echo well"]'])
    return engine


def is_empty(box: Engine) -> bool:
    return not list(box.images.store.blobs.every()) and not list(box.images.store.layers.every())


def test_run_and_removed(box: Engine) -> None:
    assert box.run(NAME).stdout == "well\n"
    box.images.remove(NAME)
    assert is_empty(box)
    with pytest.raises(ImageNotFound):
        box.run(NAME)


def test_a_run_keeps_its_image(box: Engine) -> None:
    seen: list[str] = []

    def run() -> None:
        with Engine(root=box.paths.root) as own:
            seen.append(own.run(NAME, ["sh", "-c", "touch /began; sleep 0.5; ls /bin/busybox"]).stdout)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: any(box.paths.runs.glob("*")), "it runs")
    identity = box.images.get(NAME).digest
    while thread.is_alive():
        try:
            box.images.remove(identity, force=True)
        except (Conflict, ImageNotFound):
            continue
    thread.join()
    assert seen == ["/bin/busybox\n"]


def test_a_stopped_container_starts_again_without_its_image(box: Engine) -> None:
    container = box.containers.create(NAME, name="one")
    with pytest.raises(Conflict, match=f"the stopped container {container.short_id} has it"):
        box.images.remove(NAME)
    box.images.remove(NAME, force=True)
    assert not list(box.images.list())
    box.images.prune(all=True)
    for _ in range(2):
        container.start()
        container.wait()
    assert container.logs() == "well\nwell\n"
    container.remove()
    box.images.prune()
    assert is_empty(box)


def test_a_running_container_keeps_its_image(box: Engine) -> None:
    container = box.containers.run(NAME, ["sleep", "1000"], name="one")
    identity = box.images.get(NAME).digest
    with pytest.raises(Conflict, match=f"not even by force: the running container {container.short_id} has it"):
        box.images.remove(identity, force=True)
    box.images.prune(all=True)
    assert container.exec(["ls", "/bin/busybox"]).stdout == "/bin/busybox\n"
    container.remove(force=True)
    box.images.remove(identity)
    assert is_empty(box)


LIVES = """
import sys
import kernelbox as kb
from kernelbox.errors import Conflict, ImageNotFound
what, archive = sys.argv[1:]
box = kb.Engine()
for number in range(8):
    if what == "bring":
        box.images.import_(archive, "busy:1")
    elif what == "prune":
        box.images.prune(all=bool(number % 3 == 0))
    else:
        try:
            run = box.run("busy:1", ["ls", "/bin/busybox"])
        except ImageNotFound:
            continue
        assert (run.exit_code, run.stdout) == (0, "/bin/busybox\\n"), run
box.close()
"""


def test_loads_prunes_and_runs_at_once(box: Engine, archive: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LIVES, what, archive], stderr=subprocess.PIPE, text=True, env=os.environ
        )
        for what in ("bring", "bring", "prune", "run", "run")
    ]
    for process in processes:
        with process:
            _, errors = process.communicate()
            assert (process.returncode, errors) == (0, "")
    box.images.import_(archive, NAME)
    assert box.run(NAME, ["true"]).exit_code == 0
    for image in box.images.list():
        box.images.remove(image.id, force=True)
    box.images.prune(all=True)
    assert is_empty(box)


OF_SOMEBODY = """
import os, sys
from pathlib import Path
import kernelbox as kb
with kb.Engine() as box:
    box.images.import_(sys.argv[1], "busy:1")
    assert box.run("busy:1", ["cat", "/closed/closed/file"]).stdout == "x"
    box.images.remove("busy:1")
    left = [path for path in box.paths.root.glob("*/sha256/*")]
    assert not left, left
    box._open().wait_swept()
    assert not os.listdir(box.paths.trash), "what is closed to its owner goes too"
print("done")
"""


def test_of_an_ordinary_user(container_user: ordinary_user.User, busybox_rootfs: Path) -> None:
    root, archive = container_user.home / "root", container_user.home / "root.tar"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    (root / "closed/closed").mkdir(parents=True)
    (root / "closed/closed/file").write_text("x")
    for folder in (root / "closed/closed", root / "closed"):
        folder.chmod(0o555)
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    done = container_user.python(OF_SOMEBODY, str(archive))
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
