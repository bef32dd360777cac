"""`commit`: what a container has changed is one more layer of a new image, which runs as the container did."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.image import Image
from kernelbox.errors import InvalidOption, NotSupported

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SCRIPT = """
echo new > /new; echo more >> /etc/group; rm /bin/wc; rm -r /home; mkdir -p /data/in; chmod 750 /data; chown 5:6 /data
ln /new /same; ln -s /nowhere /link; mkfifo /pipe; mkdir /bin/../opq; chmod 4755 /new; touch /ready; sleep 600
"""


@pytest.fixture
def base(engine: Engine, busybox_rootfs: Path) -> Image:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(busybox_rootfs, arcname=".")
    changes = ['CMD ["sh"]', "ENV A=image", "WORKDIR /srv", "LABEL of=image", "EXPOSE 80"]
    return engine.images.import_(packed.getvalue(), "lab:1", changes=changes)


@pytest.fixture
def changed(engine: Engine, base: Image) -> Iterator[Container]:
    """One that has changed something of everything, and runs on."""
    made = engine.containers.run("lab:1", ["sh", "-c", SCRIPT], env=["B=container"], labels={"by": "me"})
    wait_until(lambda: made.exec(["test", "-e", "/ready"]).exit_code == 0)
    yield made
    made.remove(force=True)


def test_what_it_changed_is_in_the_image(engine: Engine, changed: Container) -> None:
    changed.commit("lab", "2")
    look = (
        "cat /new; tail -n 1 /etc/group; ls /bin/wc /home; stat -c '%a %u:%g %h' /data /new; readlink /link; ls -l /p*"
    )
    run = engine.run("lab:2", ["sh", "-c", look])
    assert run.stdout.splitlines()[:2] == ["new", "more"]
    assert run.stdout.splitlines()[2:5] == ["750 5:6 3", "4755 0:0 2", "/nowhere"]
    assert run.stdout.splitlines()[5].startswith("prw")
    assert "/bin/wc" in run.stderr
    assert "/home" in run.stderr


def test_the_image_it_was_made_from_stays(engine: Engine, changed: Container) -> None:
    before = engine.images.get("lab:1").id
    made = changed.commit("lab", "2")
    assert engine.images.get("lab:1").id == before != made.id
    assert made.layers[1:] == engine.images.get("lab:1").layers
    assert engine.run("lab:1", ["ls", "/bin/wc", "/home"]).exit_code == 0


def test_it_runs_as_the_container_did(changed: Container) -> None:
    config = changed.commit().config
    assert config.cmd == ("sh", "-c", SCRIPT)
    assert {"A=image", "B=container"} <= set(config.env)
    assert config.labels == {"of": "image", "by": "me"} | config.labels
    assert (config.working_dir, config.exposed_ports) == ("/srv", {"80/tcp": {}})


def test_changes_come_last(engine: Engine, changed: Container) -> None:
    made = changed.commit("lab", "2", changes=["CMD cat /new", "ENV B=change", "WORKDIR /"])
    assert made.config.working_dir == "/"
    assert engine.run("lab:2").stdout == "new\n"
    assert engine.run("lab:2", ["sh", "-c", "echo $B"]).stdout == "change\n"


def test_its_history_says_so(changed: Container) -> None:
    made = changed.commit(message="tools added", author="Ada")
    last, first = made.history()
    assert (last.CreatedBy, last.Comment) == (f"sh -c {SCRIPT}", "tools added")
    assert (first.Id, last.Id) == ("<missing>", made.id)
    assert made.attrs["Author"] == "Ada"


def test_without_a_name(engine: Engine, changed: Container) -> None:
    made = changed.commit()
    assert made.tags == ()
    assert engine.run(made.short_id, ["cat", "/new"]).stdout == "new\n"
    assert [each.id for each in engine.images.list(filters={"dangling": True})] == [made.id]


def test_the_same_change_is_the_same_layer(changed: Container) -> None:
    assert changed.commit().layers == changed.commit().layers


def test_it_goes_on_or_stands_still_as_before(changed: Container) -> None:
    changed.commit()
    assert changed.reload().status == "running"
    changed.pause().commit()
    assert changed.reload().status == "paused"
    changed.unpause()


@pytest.mark.parametrize("go", ["never started", "ended"])
def test_one_that_does_not_run(engine: Engine, base: Image, go: str) -> None:
    made = engine.containers.create("lab:1", ["touch", "/x"])
    if go == "ended":
        made.start().wait()
    image = made.commit("lab", "2")
    assert len(image.layers) == 2
    assert (engine.run("lab:2", ["ls", "/x"]).exit_code == 0) == (go == "ended")
    made.remove()


def test_what_is_mounted_is_not_in_it(engine: Engine, base: Image, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    volumes = [f"{tmp_path}:/host:ro", "/anonymous"]
    made = engine.containers.create(
        "lab:1", ["sh", "-c", "echo x > /anonymous/x; echo x > /tmp/x"], volumes=volumes, tmpfs=["/tmp"]
    )
    made.start().wait()
    made.commit("lab", "2")
    made.remove(volumes=True)
    assert engine.run("lab:2", ["ls", "/host", "/anonymous", "/tmp"]).stdout.split() == [
        "/anonymous:",
        "/host:",
        "/tmp:",
    ]


@pytest.mark.parametrize("image", ["host", "dir"])
def test_of_an_image_that_is_not_in_the_store(engine: Engine, busybox_rootfs: Path, image: str) -> None:
    made = engine.containers.create("host" if image == "host" else f"dir:{busybox_rootfs}", ["true"])
    with pytest.raises(NotSupported, match="not in the store"):
        made.commit("lab")
    made.remove()
    assert not engine.images.list()


@pytest.mark.parametrize(("name", "changes"), [("UPPER", ()), ("lab:", ()), ("lab", ("RUN true",))])
def test_what_cannot_be_meant_changes_nothing(changed: Container, name: str, changes: tuple[str, ...]) -> None:
    before = len(changed.box.images.list())
    with pytest.raises(InvalidOption):
        changed.commit(name, changes=changes)
    assert len(changed.box.images.list()) == before
    assert changed.reload().status == "running"


def test_by_the_command_line(engine: Engine, changed: Container) -> None:
    words = ["commit", "-m", "said", "-a", "me", "-c", 'CMD ["cat", "/new"]', changed.name, "lab:2"]
    done = subprocess.run(
        [sys.executable, "-m", "kernelbox.cli", *words], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.stdout, done.stderr) == (f"{engine.images.get('lab:2').id}\n", "")
    assert engine.run("lab:2").stdout == "new\n"
