"""Copying into and out of a container that does not run: its volumes and what it binds of the machine are there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelbox.engine.kernel as kernel
from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption, KernelBoxError, KernelError, NotFound
from kernelbox.linux import mounts
from kernelbox.linux.features import probe

pytestmark = [pytest.mark.kernel, pytest.mark.root]

AGES: dict[str, dict[str, bool]] = {
    "this kernel": {},
    "6.12": {"detached_clone": False},
    "6.1": {"detached_clone": False, "overlay_by_fd": False, "idmapped_tmpfs": False},
}
"""Before Linux 6.15 nothing can be attached to a mount that is attached nowhere itself."""


@pytest.fixture(params=AGES)
def box(request: pytest.FixtureRequest, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that believes to be on such a kernel; its containers and volumes go at the end."""
    monkeypatch.setattr(kernel, "probe", lambda: dataclasses.replace(probe(), **AGES[request.param]))
    with Engine(root=store) as engine:
        yield engine
        for container in engine.containers.list(all=True):
            container.remove(force=True, volumes=True)
        engine.volumes.prune(all=True)


@pytest.fixture
def image(busybox_rootfs: Path, tmp_path: Path) -> str:
    """One of this test's own, with files at /srv that a volume is filled with."""
    root = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    (root / "srv").mkdir()
    (root / "srv/page").write_text("from the image\n")
    os.chown(root / "srv/page", 1000, 50)
    return f"dir:{root}"


def archive(name: str, content: bytes = b"mine\n") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def entries(container: Container, path: str) -> dict[str, tuple[int, bytes]]:
    """Owner and content of what is there, by name."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.get_archive(path)[0]))) as tar:
        files = ((entry, tar.extractfile(entry)) for entry in tar.getmembers())
        return {entry.name: (entry.uid, file.read() if file else b"") for entry, file in files}


def finished(box: Engine, image: str, script: str, **options: object) -> Container:
    """One that has run and ended."""
    container = box.containers.run(image, ["sh", "-c", script], **options)
    assert container.wait() == 0, container.logs()
    return container


def test_volumes(box: Engine, image: str) -> None:
    script = "echo kept > /v/file; chown 7 /v/file; echo own > /own/file; echo -n part > /srv/part"
    container = finished(box, image, script, volumes=["web:/v", "/own", "pages:/srv"])
    assert entries(container, "/v/file") == {"file": (7, b"kept\n")}
    assert entries(container, "/own/file") == {"file": (0, b"own\n")}
    assert entries(container, "/srv/page") == {"page": (1000, b"from the image\n")}
    container.put_archive("/v", archive("new"))
    run = box.run(image, ["sh", "-c", "stat -c %u /w/new; cat /w/new"], volumes=["web:/w"])
    assert run.stdout == "0\nmine\n"
    container.start().wait()
    assert entries(container, "/v/new") == {"new": (0, b"mine\n")}


def test_a_part_of_a_volume_and_one_in_another(box: Engine, image: str) -> None:
    box.run(image, ["mkdir", "-p", "/v/part/below"], volumes=["web:/v"], check=True)
    mounts = ["src=web,dst=/p,volume-subpath=part", "src=inner,dst=/p/below/inner"]
    container = finished(box, image, "echo x > /p/below/inner/file", mounts=mounts)
    assert entries(container, "/p/below/inner/file") == {"file": (0, b"x\n")}
    assert set(entries(container, "/p")) == {"p", "p/below", "p/below/inner", "p/below/inner/file"}


def test_one_that_has_never_run(box: Engine, image: str) -> None:
    """What the image has there comes first, as it would with the first start."""
    container = box.containers.create(image, ["ls", "/srv"], volumes=["pages:/srv", "/not/there"])
    container.put_archive("/srv", archive("mine"))
    container.put_archive("/not/there", archive("mine"))
    assert set(entries(container, "/srv")) == {"srv", "srv/page", "srv/mine"}
    container.start().wait()
    assert container.logs() == "mine\npage\n"


def test_what_is_bound_of_the_machine(box: Engine, image: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "folder").mkdir(parents=True)
    (shared / "file").write_text("of the machine\n")
    container = finished(
        box, image, "true", volumes=[f"{shared}:/data", f"{shared}/file:/etc/file", f"{shared}:/fixed:ro"]
    )
    assert entries(container, "/etc/file")["file"][1] == b"of the machine\n"
    container.put_archive("/data/folder", archive("new"))
    assert (shared / "folder/new").read_bytes() == b"mine\n"
    with pytest.raises(KernelError, match="copy to /fixed/folder of the container: read-only") as caught:
        container.put_archive("/fixed/folder", archive("refused"))
    assert caught.value.errno == errno.EROFS
    assert os.listdir(shared / "folder") == ["new"]
    assert entries(container, "/fixed/folder/new")["new"][1] == b"mine\n"


def test_what_is_not_there_any_more(box: Engine, image: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    container = finished(box, image, "true", volumes=[f"{tmp_path}/shared:/data"])
    (tmp_path / "shared").rmdir()
    with pytest.raises(InvalidOption, match="cannot be mounted"):
        container.stat("/etc/passwd")


def test_they_do_not_belong_to_its_own_files(box: Engine, image: str) -> None:
    container = finished(box, image, "echo x > /v/file; echo x > /mine", volumes=["web:/v"])
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as tar:
        names = set(tar.getnames())
    assert {"v", "mine"} <= names
    assert "v/file" not in names


def test_a_mount_in_a_shared_one_reaches_nobody(box: Engine, image: str, tmp_path: Path) -> None:
    """What is attached below for a moment must not arrive where the machine's mount has its twin."""
    shared = tmp_path / "shared"
    shared.mkdir()
    box.run(image, ["touch", "/v/x"], volumes=["web:/v"], check=True)
    with mounts.bind(shared, shared, "shared"):
        (shared / "inner").mkdir()
        volumes = [f"{shared}:/data:rshared", "web:/data/inner"]
        container = box.containers.create(image, ["true"], volumes=volumes)
        with contextlib.closing(container.get_archive("/data/inner")[0]) as pieces:
            assert b"inner/x" in next(pieces)
            assert os.listdir(shared / "inner") == []
        assert Path("/proc/self/mountinfo").read_text().count(f" {shared} ") == 1


def test_a_link_to_the_root(box: Engine, image: str) -> None:
    container = box.containers.create(image, ["true"], volumes=["web:/v"])
    upper = container.folder.path / "upper"
    upper.mkdir(exist_ok=True)
    (upper / "v").symlink_to("/")
    with pytest.raises(KernelBoxError):
        container.stat("/etc/passwd")
    (upper / "v").unlink()
    assert container.stat("/v").is_folder, "nothing of the failure is in the way"


def test_other_ids(box: Engine, image: str) -> None:
    script = "echo x > /v/file; chown 7 /v/file"
    container = finished(box, image, script, volumes=["web:/v"], userns="host")
    assert entries(container, "/v/file") == {"file": (7, b"x\n")}
    with pytest.raises(NotFound):
        container.stat("/v/nosuch")


def test_what_belongs_to_a_start_is_not_there(box: Engine, image: str) -> None:
    """But for what was asked for: the machine's processes are no files of a container's."""
    options = {"pid": "host", "ipc": "host", "cgroupns": "host", "network": "host", "init": True}
    container = finished(box, image, "touch /dev/shm/of-the-test; rm /dev/shm/of-the-test", **options)
    for path in ("/proc/1", "/sys/kernel", "/dev/shm"):
        with pytest.raises(NotFound):
            container.stat(path)
    asked = finished(box, image, "true", volumes=["/sys:/sys:ro", "/dev/null:/null"], pid="host")
    assert asked.stat("/sys/kernel").is_folder
    assert asked.stat("/null").is_device
