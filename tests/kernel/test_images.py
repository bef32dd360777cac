"""The images `host` and `dir:PATH`: what they show, what they keep back, and that they never change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine import host_image
from kernelbox.errors import CommandNotFound, ImageNotFound, InvalidOption, KernelBoxError
from kernelbox.linux import mounts
from kernelbox.linux.features import probe

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_this_python_runs_in_the_host_image(box: Engine) -> None:
    run = box.run("host", ["python3", "-c", "import sys; print(6 * 7, sys.version)"], check=True)
    assert run.stdout == f"42 {sys.version}\n"
    assert box.run("host", ["python3", "-c", "import numpy; print(numpy.arange(3).sum())"]).stdout == "3\n"


def test_programs_and_libraries_of_the_machine(box: Engine) -> None:
    run = box.run("host", ["bash", "-c", "ls /usr/bin | wc -l; ldd /bin/sh >/dev/null && date +%Z; id -un"], check=True)
    count, _, user = run.stdout.split()
    assert int(count) == len(os.listdir("/usr/bin"))
    assert user == "root"
    assert box.run("host", input="echo read $((6 * 7))").stdout == "read 42\n"


def test_what_the_host_image_keeps_back(box: Engine) -> None:
    """Homes, /var, /run, secrets of /etc and whatever else lies in "/" are empty or absent."""
    run = box.run(
        "host", ["sh", "-c", "ls -A /; for f in root home srv mnt media; do find /$f -xdev -mindepth 1; done"]
    )
    shown = set(run.stdout.splitlines())
    allowed = host_image.SHOWN | {
        "root",
        "home",
        "mnt",
        "media",
        "srv",
        "run",
        "tmp",
        "proc",
        "sys",
        "dev",
        "var",
        "etc",
    }
    allowed |= {folder.parts[1] for folder in host_image.python_folders()}
    for entry in shown:
        if not entry.startswith("/"):
            assert entry in allowed
        else:
            assert any(entry == str(f) or str(f).startswith(entry + "/") or entry.startswith(f"{f}/")
                       for f in host_image.python_folders()), entry  # fmt: skip


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/sudoers", "/etc/ssl/private",
                                  "/etc/machine-id", "/etc/fstab", "/var/lib/dpkg", "/var/log/dpkg.log", "/boot",
                                  "/root/.ssh", "/root/.bashrc", "/lost+found", "/var/lib/kernelbox"])  # fmt: skip
def test_secrets_are_not_there(box: Engine, path: str) -> None:
    assert box.run("host", ["ls", "-d", path]).exit_code != 0


def test_a_secret_of_the_machine_put_anywhere_is_not_seen(engine: Engine) -> None:
    """Also a folder that appears in "/" after an engine has begun."""
    assert engine.run("host", ["true"]).exit_code == 0
    folders = [Path("/kernelbox-secret"), Path("/home/kernelbox-secret"), Path("/var/kernelbox-secret")]
    try:
        for folder in folders:
            folder.mkdir()
            (folder / "file").write_text("secret")
        run = engine.run("host", ["ls", "-d", *map(str, folders)])
        assert run.stdout == ""
        assert "kernelbox-secret" not in engine.run("host", ["ls", "-A", "/", "/home", "/var"]).stdout
    finally:
        for folder in folders:
            shutil.rmtree(folder)


@pytest.fixture
def by_hand() -> Iterator[Path]:
    """A folder of /opt, open to everybody."""
    folder = Path("/opt/kernelbox-test")
    folder.mkdir()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def test_what_others_may_not_read_is_not_in_opt_either(engine: Engine, by_hand: Path) -> None:
    """Root in the container is root to the files of the machine: nothing but hiding keeps them from it."""
    (by_hand / "open").write_text("open\n")
    (by_hand / "key").write_text("secret")
    (by_hand / "key").chmod(0o600)
    (by_hand / "state").mkdir(mode=0o700)
    (by_hand / "state/cookie").write_text("secret")
    run = engine.run("host", ["sh", "-c", f"cat {by_hand}/*; ls -A {by_hand} {by_hand}/state"])
    assert run.stdout.split() == ["open", f"{by_hand}:", "open"], run.stdout
    assert "secret" not in run.stdout


def test_what_is_mounted_below_is_seen_and_read_only(store: Path, by_hand: Path) -> None:
    with mounts.detached("tmpfs", {"mode": "755"}) as mount:
        mount.move(by_hand)
        (by_hand / "program").write_text("#!/bin/sh\necho ran")
        (by_hand / "program").chmod(0o755)
        with Engine(store) as box:
            run = box.run("host", ["sh", "-c", f"{by_hand}/program; touch {by_hand}/new"])
    assert run.stdout == "ran\n"
    assert "Read-only" in run.stderr


WRITES = [
    "/usr/kernelbox-test",
    "/etc/kernelbox-test",
    "/root/kernelbox-test",
    "/kernelbox-test",
    "/var/kernelbox-test",
]


def test_nothing_that_is_written_appears_on_the_machine(box: Engine) -> None:
    if not probe().idmapped_mounts:
        pytest.skip("this kernel cannot map the ids of the file system of /")
    script = 'for f in "$@"; do echo mine > "$f" && cat "$f"; done; rm /usr/bin/env /etc/os-release; env || echo gone'
    run = box.run("host", ["sh", "-c", script, "sh", *WRITES])
    assert run.stdout.split() == ["mine"] * len(WRITES) + ["gone"]
    assert not [path for path in WRITES if os.path.lexists(path)]
    assert os.path.exists("/usr/bin/env")
    assert box.run("host", ["ls", *WRITES]).stdout == "", "one container sees what another wrote"


def test_the_folder_of_python_cannot_be_written(box: Engine) -> None:
    for folder in host_image.python_folders():
        run = box.run("host", ["touch", f"{folder}/kernelbox-test"])
        assert "Read-only" in run.stderr
        assert not (folder / "kernelbox-test").exists()


def contents(root: Path) -> dict[str, tuple[int, int, int, int, str]]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        link = path.is_symlink() or not path.is_file()
        text = "" if link else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, text)
    return found


def test_a_folder_is_an_image_and_stays_as_it_is(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    before = contents(image)
    script = "echo new > /file; rm -rf /home /etc/passwd; chmod 700 /bin; chown 1000 /root; mkdir -p /a/b; ls /"
    run = engine.run(f"dir:{image}", ["sh", "-c", script], check=True)
    assert "file" in run.stdout
    assert contents(image) == before
    assert "file" not in engine.run(f"dir:{image}", ["ls", "/"]).stdout


def test_owners_in_a_folder_are_kept(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    os.chown(image / "home/alice", 1000, 1000)
    (image / "mine").touch()
    run = engine.run(f"dir:{image}", ["stat", "-c", "%u:%g", "/home/alice", "/mine", "/"], check=True)
    assert run.stdout.split() == ["1000:1000", "0:0", "0:0"]


def test_ways_to_write_a_folder(
    engine: Engine, busybox_rootfs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(busybox_rootfs.parent)
    monkeypatch.setenv("HOME", str(busybox_rootfs.parent))
    (tmp_path / "link").symlink_to(busybox_rootfs)
    for name in ("root", "./root", "~/root", f"{busybox_rootfs}/", f"{busybox_rootfs}/../root", f"{tmp_path}/link"):
        assert engine.run(f"dir:{name}", ["echo", "ran"]).stdout == "ran\n"
    monkeypatch.chdir(busybox_rootfs)
    assert engine.run("dir:", ["echo", "ran"]).stdout == "ran\n"


def test_a_folder_with_awkward_names(engine: Engine, tmp_path: Path, busybox_rootfs: Path) -> None:
    """Letters that overlayfs and mount(8) give a meaning to are only letters in a path."""
    for name in ("a,b", "a:b", "a b", "a\\b", "ä\u202e", "-o", "lower+dir=x", "a\nb", 'a"b', "%s"):
        image = tmp_path / name
        subprocess.run(["cp", "-al", "--", busybox_rootfs, image], check=True)
        assert engine.run(f"dir:{image}", ["echo", "ran"]).stdout == "ran\n"


def test_a_folder_below_a_mount_or_on_another_file_system(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with mounts.detached("tmpfs") as mount:
        mount.move(place)
        subprocess.run(["cp", "-a", busybox_rootfs, place / "image"], check=True)
        assert engine.run(f"dir:{place}/image", ["echo", "ran"]).stdout == "ran\n"
        (place / "bin").symlink_to("image/bin")
        assert engine.run(f"dir:{place}", ["echo", "ran"]).stdout == "ran\n"
        engine.close()  # it keeps the mounts of its images


def test_an_image_that_changes_between_runs(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    for text in ("one", "two"):
        (image / "file").write_text(text)
        assert engine.run(f"dir:{image}", ["cat", "/file"]).stdout == text
    image.rename(tmp_path / "old")
    with pytest.raises(ImageNotFound):
        engine.run(f"dir:{image}", ["cat", "/file"])
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    (image / "file").write_text("three")
    assert engine.run(f"dir:{image}", ["cat", "/file"]).stdout == "three"


def test_a_user_of_the_image_whose_passwd_leads_out(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    """Users are looked up beneath the image's own root, whatever its links say."""
    outside = tmp_path / "passwd"
    outside.write_text("mallory:x:0:0::/:/bin/sh\n")
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    (image / "etc/passwd").unlink()
    (image / "etc/passwd").symlink_to(outside)
    with pytest.raises(InvalidOption, match="the container has no user 'mallory'"):
        engine.run(f"dir:{image}", ["true"], user="mallory")
    (image / "etc/passwd").unlink()
    os.mkfifo(image / "etc/passwd")
    with pytest.raises(InvalidOption, match="the image's /etc/passwd is not a regular file"):
        engine.run(f"dir:{image}", ["true"], user="alice")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nonesuch", r"no image is called 'nonesuch'.*host, dir:PATH"),
        ("/tmp", r"no image is called '/tmp'.*dir:/tmp"),
        ("dir:/nonesuch", "/nonesuch does not exist"),
        ("dir:/etc/passwd", "/etc/passwd is not a folder"),
        ("dir:/tmp\0", "NUL"),
        ("bundle:/nonesuch", "/nonesuch does not exist"),
        ("bundle:/etc", "no OCI bundle in /etc"),
        ("", "no image is called ''"),
        ("docker://busybox", "no image is called"),
    ],
)
def test_images_that_are_none(box: Engine, name: str, reason: str) -> None:
    with pytest.raises(KernelBoxError, match=reason) as caught:
        box.run(name, ["true"])
    assert isinstance(caught.value, ImageNotFound | InvalidOption)


def test_an_empty_folder_has_no_programs(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CommandNotFound, match="sh"):
        engine.run(f"dir:{tmp_path}/empty")
    assert list((tmp_path / "empty").iterdir()) == []
