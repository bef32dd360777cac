"""Folders and files of the machine in a container: who owns what, what can be written, what escapes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelbox import Engine, RunResult
from kernelbox.errors import InvalidOption, KernelBoxError, StartError
from kernelbox.linux import mounts

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Sh = Callable[..., RunResult]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of root's, and one of somebody's."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "roots").write_text("root's\n")
    (folder / "somebodys").write_text("somebody's\n")
    os.chown(folder / "somebodys", 1000, 50)
    return folder


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_the_owners_of_files_are_the_same_on_both_sides(
    engine: Engine, busybox_image: str, folder: Path, userns: str
) -> None:
    script = (
        "cd /in; stat -c %u:%g roots somebodys; touch new; chown 1000:50 new; touch by-root; echo more >> somebodys"
    )
    run = engine.run(busybox_image, ["sh", "-c", script], volumes=[f"{folder}:/in"], userns=userns)
    assert run.stdout.split() == ["0:0", "1000:50"]
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert owners == {"roots": (0, 0), "somebodys": (1000, 50), "new": (1000, 50), "by-root": (0, 0)}
    assert (folder / "somebodys").read_text() == "somebody's\nmore\n"


def test_a_user_inside_has_that_users_rights(sh: Sh, folder: Path) -> None:
    script = "cd /in; echo x >> somebodys && echo wrote; echo x 2>/dev/null >> roots || echo refused"
    assert sh(script, volumes=[f"{folder}:/in"], user="alice").stdout.split() == ["wrote", "refused"]


VOLUMES = {
    "text": lambda path: {"volumes": [f"{path}:/in:ro"]},
    "docker-py": lambda path: {"volumes": {str(path): {"bind": "/in", "mode": "ro"}}},
    "mount": lambda path: {"mounts": [f"type=bind,source={path},target=/in,readonly"]},
    "mount object": lambda path: {"mounts": [{"Type": "bind", "Source": str(path), "Target": "/in", "ReadOnly": True}]},
}


@pytest.mark.parametrize("form", VOLUMES)
def test_read_only(sh: Sh, folder: Path, form: str) -> None:
    script = """
cat /in/roots
for change in 'echo >> /in/roots' 'touch /in/new' 'rm /in/roots' 'chmod 777 /in/roots' 'mount -o remount,rw /in'; do
    sh -c "$change" 2>/dev/null && echo "$change worked"
done; true"""
    assert sh(script, **VOLUMES[form](folder)).stdout == "root's\n"
    assert sorted(path.name for path in folder.iterdir()) == ["roots", "somebodys"]


def test_read_only_reaches_the_mounts_below(sh: Sh, folder: Path) -> None:
    (folder / "below").mkdir()
    with mounts.detached("tmpfs") as inner:
        inner.move(folder / "below")
        script = "touch /in/below/file 2>/dev/null && echo wrote; stat -f -c %T /in/below"
        assert sh(script, volumes=[f"{folder}:/in:ro"]).stdout.split() == ["tmpfs"]
        assert sh(script, volumes=[f"{folder}:/in"]).stdout.split() == ["wrote", "tmpfs"]


def test_one_file(sh: Sh, folder: Path) -> None:
    script = "cat /etc/passwd /new/place; echo added >> /new/place; echo x 2>/dev/null >> /etc/passwd || echo refused"
    run = sh(script, volumes=[f"{folder}/roots:/etc/passwd:ro", f"{folder}/somebodys:/new/place"])
    assert run.stdout == "root's\nsomebody's\nrefused\n"
    assert (folder / "somebodys").read_text() == "somebody's\nadded\n"


def test_a_relative_source_and_ones_home(sh: Sh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder))
    assert sh("cat /in/roots", volumes=["./shared:/in"]).stdout == "root's\n"
    assert sh("cat /in", volumes=["~/roots:/in"]).stdout == "root's\n"


def test_a_source_that_is_a_link_is_followed_as_the_caller_would(sh: Sh, folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert sh("cat /in/roots", volumes=[f"{folder.parent}/link:/in"]).stdout == "root's\n"


def test_a_socket_and_a_pipe(sh: Sh, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert sh("test -p /in/pipe && echo pipe", volumes=[f"{folder}:/in"]).stdout == "pipe\n"
    assert sh("test -p /pipe && echo pipe", volumes=[f"{folder}/pipe:/pipe"]).stdout == "pipe\n"


def test_devices_in_a_folder_do_not_work(sh: Sh, folder: Path) -> None:
    os.mknod(folder / "memory", 0o600 | 0o020000, os.makedev(1, 1))
    run = sh("head -c 1 /in/memory >/dev/null 2>&1 || echo refused", volumes=[f"{folder}:/in"])
    assert run.stdout == "refused\n"


def test_below_its_own_folders(sh: Sh, folder: Path) -> None:
    targets = ["/dev/shm/here", "/etc/here", "/tmp/a/b/c", "/run/here"]
    script = " && ".join(f"cat {target}/roots" for target in targets)
    assert sh(script, volumes=[f"{folder}:{target}" for target in targets]).stdout == "root's\n" * 4


ESCAPES = ["/out", "/out/deep/er", "/abs", "/abs/new", "/dots", "/dots/new", "/chain/x", "/fd/x"]


@pytest.mark.leaves("descriptors", reason="the engine keeps the mount of an image for its next run")
@pytest.mark.parametrize("target", ESCAPES)
def test_a_target_behind_a_link_stays_in_the_container(
    box: Engine, busybox_rootfs: Path, tmp_path: Path, folder: Path, target: str
) -> None:
    """What an image's links say about the machine is resolved inside, or refused; the victim stays as it is."""
    victim = tmp_path / "victim"
    victim.mkdir()
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    (image / "out").symlink_to(victim)
    (image / "abs").symlink_to("/")
    (image / "dots").symlink_to("../../../../../../.." + str(victim))
    (image / "chain").symlink_to("out")
    (image / "fd").symlink_to("/proc/self/fd")
    before = sorted(os.listdir("/"))
    script = f"cat {target}/roots; touch {target}/written"
    found = target
    try:
        found = box.run(f"dir:{image}", ["sh", "-c", script], volumes=[f"{folder}:{target}"]).stdout
    except StartError as error:
        found = str(error)
    assert found == "root's\n" or target in found
    assert list(victim.iterdir()) == []
    assert sorted(os.listdir("/")) == before


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A mount whose peers see what is mounted below it."""
    place = tmp_path / "place"
    place.mkdir()
    with mounts.detached("tmpfs") as mount:
        mount.move(place)
        subprocess.run(["mount", "--make-shared", place], check=True)
        (place / "below").mkdir()
        yield place


@pytest.mark.parametrize(
    ("propagation", "word"), [("rshared", "shared:"), ("rslave", "master:"), ("rprivate", None), ("private", None)]
)
def test_propagation(sh: Sh, shared: Path, propagation: str, word: str | None) -> None:
    run = sh("grep ' /in ' /proc/self/mountinfo", volumes=[f"{shared}:/in:{propagation}"])
    for tag in ("shared:", "master:"):
        assert (tag in run.stdout) == (tag == word)


def test_without_the_mounts_below(sh: Sh, folder: Path) -> None:
    (folder / "below").mkdir()
    with mounts.detached("tmpfs") as inner:
        inner.move(folder / "below")
        (folder / "below/deep").touch()
        assert sh("ls /in/below", mounts=[f"type=bind,src={folder},dst=/in"]).stdout == "deep\n"
        assert sh("ls /in/below", mounts=[f"type=bind,src={folder},dst=/in,bind-recursive=disabled"]).stdout == ""


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        ("/nonesuch:/in", "volumes: the source '/nonesuch' cannot be mounted: no such file"),
        ("/etc/passwd/below:/in", "cannot be mounted: not a directory"),
        ("/tmp:in", "'in' is not an absolute path"),
        ("/tmp:/in/../../etc", r"contains '\.\.'"),
        ("/tmp:/", "the target '/' is the container's root"),
        ("/tmp:/proc/self", "inside /proc"),
        ("/tmp:/in:rz", "unknown mount option 'rz'"),
        ("na:me:/in", "'me' is not an absolute path"),
        ("a/b:/in", "'a/b' is not a name for a volume"),
        ("/tmp:/in:ro:x", "is not SOURCE:TARGET"),
        ("/tmp:/in\0", "NUL"),
    ],
)
def test_volumes_that_cannot_be(box: Engine, busybox_image: str, volume: str, reason: str) -> None:
    with pytest.raises(KernelBoxError, match=reason):
        box.run(busybox_image, ["true"], volumes=[volume])


def test_two_mounts_on_one_place(box: Engine, busybox_image: str, folder: Path) -> None:
    with pytest.raises(InvalidOption, match="'/in' is the target of two mounts"):
        box.run(busybox_image, ["true"], volumes=[f"{folder}:/in"], tmpfs=["/in"])


def test_a_folder_on_a_file_of_the_image(box: Engine, busybox_image: str, folder: Path) -> None:
    with pytest.raises(StartError, match=r"could not .*/etc/passwd.*: not a directory"):
        box.run(busybox_image, ["true"], volumes=[f"{folder}:/etc/passwd"])
    with pytest.raises(StartError, match=r"could not .*/etc.*: is a directory"):
        box.run(busybox_image, ["true"], volumes=[f"{folder}/roots:/etc"])
