"""`cp`, `export` and `diff` as a shell uses them: Docker's rules, and that nothing leads out of where it belongs."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, kernelbox, printed, refused

pytestmark = [pytest.mark.kernel, pytest.mark.root]

CONTENT = """
mkdir -p /src/deep; echo a > /src/a; echo d > /src/deep/d; chmod 640 /src/a; ln /src/a /src/deep/same
ln -s a /src/link; ln -s /src /to-src; ln -s ../a /src/deep/up; echo done
sleep 1000
"""
HOSTILE = """
mkdir -p /evil/deep; echo fine > /evil/fine; cp /bin/busybox /evil/su; chmod 6755 /evil/su
ln -s /etc/passwd /evil/absolute; ln -s ../../outside /evil/deep/up; ln -s deep/../../outside /evil/around
mkfifo /evil/fifo; ln /evil/fifo /evil/same; echo done
sleep 1000
"""


@pytest.fixture(params=["running", "stopped"])
def web(request: pytest.FixtureRequest, store: Path, busybox_rootfs: Path) -> Iterator[str]:
    """The name of a container with files in /src."""
    yield from _container("web", busybox_rootfs, CONTENT, stopped=request.param == "stopped")


@pytest.fixture
def evil(store: Path, busybox_rootfs: Path) -> Iterator[str]:
    yield from _container("evil", busybox_rootfs, HOSTILE, stopped=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder of the machine, without the store beside."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def _container(name: str, rootfs: Path, script: str, *, stopped: bool) -> Iterator[str]:
    printed("create", "--name", name, f"dir:{rootfs}", "sh", "-c", script)
    with subprocess.Popen([*COMMAND, "start", "-a", name], stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == "done\n"
        starting.kill()
    if stopped:
        printed("stop", name)
    yield name
    printed("rm", "-f", name)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def within(container: str, path: str) -> list[str]:
    """The names in an archive of it."""
    done = subprocess.run([*COMMAND, "cp", f"{container}:{path}", "-"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return sorted(archive.getnames())


SRC = ["a", "deep", "deep/d", "deep/same", "deep/up", "link"]


def test_a_folder_out_of_a_container(web: str, place: Path) -> None:
    printed("cp", f"{web}:/src", str(place))
    assert tree(place) == ["src", *(f"src/{name}" for name in SRC)]
    printed("cp", f"{web}:/src", str(place / "new"))
    assert tree(place / "new") == SRC
    printed("cp", f"{web}:/src/.", str(place / "other"))
    assert tree(place / "other") == SRC
    (place / "there").mkdir()
    printed("cp", f"{web}:src/.", str(place / "there"))
    assert tree(place / "there") == SRC
    file = place / "new/a"
    assert (file.read_text(), file.stat().st_mode & 0o7777, file.stat().st_uid) == ("a\n", 0o640, 0)
    assert os.readlink(place / "new/link") == "a"
    assert os.path.samefile(file, place / "new/deep/same")


def test_a_file_out_of_a_container(web: str, place: Path) -> None:
    printed("cp", f"{web}:/src/a", str(place))
    printed("cp", f"{web}:/src/a", str(place / "new"))
    printed("cp", f"{web}:/src/deep/d", str(place / "a"))
    assert [(place / name).read_text() for name in ("a", "new")] == ["d\n", "a\n"]


def test_links_are_copied_or_followed(web: str, place: Path) -> None:
    printed("cp", f"{web}:/src/link", str(place))
    assert os.readlink(place / "link") == "a"
    printed("cp", "-L", f"{web}:/src/link", str(place / "followed"))
    assert (place / "followed").read_text() == "a\n"
    printed("cp", "-L", f"{web}:/to-src", str(place))
    assert tree(place / "to-src") == SRC
    printed("cp", f"{web}:/to-src/.", str(place / "content"))
    assert tree(place / "content") == SRC


def test_into_a_container(web: str, place: Path) -> None:
    source = place / "site"
    (source / "sub").mkdir(parents=True)
    (source / "index").write_text("hello\n")
    (source / "index").chmod(0o600)
    (source / "sub/link").symlink_to("../index")
    printed("cp", str(source), f"{web}:/tmp")
    assert within(web, "/tmp/site") == ["site", "site/index", "site/sub", "site/sub/link"]
    printed("cp", f"{source}/.", f"{web}:/tmp/new")
    assert within(web, "/tmp/new") == ["new", "new/index", "new/sub", "new/sub/link"]
    printed("cp", f"{source}/index", f"{web}:/src/link")
    assert within(web, "/src/link") == ["link"], "what the link leads to was replaced, not the link"
    printed("cp", f"{web}:/src/a", str(place / "back"))
    assert (place / "back").read_text() == "hello\n"
    printed("cp", str(source / "index"), f"{web}:/tmp/site/sub/")
    assert "site/sub/index" in within(web, "/tmp/site")


def test_owners_are_kept_where_that_is_asked_for(web: str, place: Path) -> None:
    (place / "file").write_text("x")
    os.chown(place / "file", 1234, 1234)

    def owner(*options: str) -> int:
        printed("cp", *options, str(place / "file"), f"{web}:/tmp/file")
        done = subprocess.run([*COMMAND, "cp", f"{web}:/tmp/file", "-"], capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return archive.getmember("file").uid

    assert (owner(), owner("-a")) == (0, 1234)


def test_an_archive_through_standard_input(web: str, place: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writing:
        info = tarfile.TarInfo("made/file")
        info.size = 3
        writing.addfile(info, io.BytesIO(b"abc"))
    done = subprocess.run([*COMMAND, "cp", "-", f"{web}:/tmp"], input=archive.getvalue(), capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert within(web, "/tmp/made") == ["made", "made/file"]


def test_what_cannot_be_copied(web: str, place: Path) -> None:
    (place / "file").write_text("x")
    (place / "folder").mkdir()
    here = str(place)
    mistakes = [
        ([f"{web}:/nosuch", here], "no such file or directory in the container: /nosuch"),
        ([f"{web}:/src/a/", here], "not a directory: /src/a/"),
        ([f"{web}:/src/a", f"{here}/nosuch/"], f"no such folder: {here}/nosuch"),
        ([f"{web}:/src/a", f"{here}/nosuch/name"], f"no such folder: {here}/nosuch"),
        ([f"{web}:/src/a", f"{here}/file/"], f"not a folder: {here}/file"),
        ([f"{web}:/src", f"{here}/file"], f"a folder cannot be copied onto a file: {here}/file"),
        ([f"{web}:/src/a", "/dev/null"], "a copy cannot take the place of /dev/null"),
        ([f"{here}/nosuch", f"{web}:/tmp"], f"no such file or folder: {here}/nosuch"),
        ([f"{here}/file/", f"{web}:/tmp"], f"not a folder: {here}/file/"),
        ([f"{here}/file", f"{web}:/nosuch/name"], "no such file or directory in the container: /nosuch"),
        ([f"{here}/file", f"{web}:/nosuch/"], "no such folder: /nosuch/"),
        ([f"{here}/folder", f"{web}:/src/a"], "a folder cannot be copied onto a file: /src/a"),
        (["-", f"{web}:/src/a"], "web:/src/a is no folder"),
        ([f"{web}:/src", f"{web}:/tmp"], "files are not copied from one container to another"),
        ([here, here], "one side has to be a container"),
        (["nosuch:/src", here], "no such container: nosuch"),
        ([f"{web}:", here], "a path in the container is needed"),
    ]
    for words, sentence in mistakes:
        assert refused("cp", *words).startswith(sentence), words
    assert tree(place) == ["file", "folder"]
    assert (place / "file").read_text() == "x"


# -- what is hostile -------------------------------------------------------------------------------------------------


def test_what_leads_out_stays_in_the_container(evil: str, place: Path) -> None:
    done = kernelbox("cp", f"{evil}:/evil", str(place))
    assert (done.returncode, done.stdout) == (1, "")
    assert tree(place) == ["evil", "evil/deep", "evil/fine", "evil/su"]
    assert (place / "evil/su").stat().st_mode & 0o7777 == 0o755
    left = [line.removeprefix("kernelbox: left out ") for line in done.stderr.splitlines()]
    assert left[:5] == [
        "evil/absolute: a link that leads out of there, to /etc/passwd",
        "evil/around: a link that leads out of there, to deep/../../outside",
        "evil/deep/up: a link that leads out of there, to ../../outside",
        "evil/fifo: a FIFO",
        "evil/same: another name of evil/fifo",
    ]
    assert kernelbox("cp", f"{evil}:/evil/absolute", str(place / "link")).returncode == 1
    assert not os.path.lexists(place / "link")


def test_a_path_of_a_container_does_not_lead_to_the_machine(evil: str, place: Path) -> None:
    secret = place / "secret"
    secret.write_text("secret\n")
    printed("exec", evil, "ln", "-s", str(place), "/out")
    printed("exec", evil, "ln", "-s", str(secret), "/file")
    assert refused("cp", f"{evil}:/out/secret", str(place / "copy")).startswith("no such file or directory in the")
    assert refused("cp", "-L", f"{evil}:/file", str(place / "copy")).startswith("no such file or directory in the")
    assert refused("cp", f"{evil}:/../../../..{secret}", str(place / "copy")).startswith("no such file or directory")
    (place / "mine").write_text("mine\n")
    assert refused("cp", str(place / "mine"), f"{evil}:/file").startswith("no such file or directory in the")
    assert refused("cp", str(place / "mine"), f"{evil}:/out/secret").startswith("no such file or directory in the")
    assert secret.read_text() == "secret\n"
    assert tree(place) == ["mine", "secret"]


def test_links_in_our_own_folder_are_not_written_through(evil: str, place: Path) -> None:
    """One that was there, under the name of a folder that is copied."""
    (place / "outside").mkdir()
    (place / "here/evil").mkdir(parents=True)
    (place / "here/evil/deep").symlink_to(place / "outside")
    printed("exec", evil, "sh", "-c", "rm /evil/deep/up; echo x > /evil/deep/file")
    done = kernelbox("cp", f"{evil}:/evil", str(place / "here"))
    assert (done.returncode, tree(place / "outside")) == (1, [])


# -- diff and export -------------------------------------------------------------------------------------------------


def test_diff(web: str) -> None:
    lines = printed("diff", web).splitlines()
    assert {"A /src", "A /src/a", "A /to-src"} <= set(lines)


def test_export(web: str, place: Path) -> None:
    assert printed("export", "-o", str(place / "web.tar"), web) == ""
    with tarfile.open(place / "web.tar") as archive:
        names = set(archive.getnames())
    assert {"bin/busybox", "src/a", "etc/passwd"} <= names
    assert subprocess.run([*COMMAND, "export", web], capture_output=True).stdout == (place / "web.tar").read_bytes()
    assert tree(place) == ["web.tar"]
    assert refused("export", "-o", str(place), web) == f"--output: {place} is a folder"


@pytest.mark.parametrize("words", [["export", "WEB"], ["cp", "WEB:/src", "-"]])
def test_an_archive_is_not_written_to_a_terminal(web: str, words: list[str]) -> None:
    controller, terminal = pty.openpty()
    try:
        command = [*COMMAND, *(word.replace("WEB", web) for word in words)]
        done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 1
    assert done.stderr.startswith("kernelbox: an archive is not written to a terminal\n")
