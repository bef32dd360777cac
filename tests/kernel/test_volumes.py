"""Volumes: folders that outlive containers, with the owners that containers see."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.containers import Containers
from kernelbox.errors import Conflict, InvalidOption, StartError, VolumeNotFound

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def image(busybox_rootfs: Path, tmp_path: Path) -> str:
    """One of this test's own, with something at /srv: owners, modes, links, attributes, capabilities, a FIFO."""
    root = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    srv = root / "srv"
    (srv / "deep").mkdir(parents=True)
    (srv / "file").write_text("from the image\n")
    (srv / "program").write_text("#!/bin/sh\n")
    os.chown(srv / "file", 1000, 50)
    os.chmod(srv / "program", 0o4755)
    os.link(srv / "file", srv / "deep/twin")
    (srv / "link").symlink_to("/etc/passwd")
    os.mkfifo(srv / "pipe", 0o640)
    os.mknod(srv / "whiteout", 0o020000)
    os.setxattr(srv / "file", "user.note", b"kept")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
    os.setxattr(srv / "deep", "user.folder", b"x")
    os.setxattr(srv / "program", "security.capability", capability)
    os.chown(srv, 7, 8)
    os.chmod(srv, 0o2751)
    os.symlink("srv", root / "relative")
    os.symlink("/srv", root / "absolute")
    return f"dir:{root}"


SHOW = "stat -c '%u:%g %a %F %n' /v /v/*"
COPIED = """\
7:8 2751 directory /v
0:0 755 directory /v/deep
1000:50 644 regular file /v/file
0:0 777 symbolic link /v/link
0:0 640 fifo /v/pipe
0:0 4755 regular file /v/program
"""


def srv(text: str) -> str:
    return text.replace("/v", "/srv")


def test_what_a_run_writes_stays_in_a_volume_with_a_name(engine: Engine, busybox_image: str) -> None:
    script = "touch /v/roots /v/users; chown 1000:50 /v/users; chmod 4711 /v/users"
    assert engine.run(busybox_image, ["sh", "-c", script], volumes=["web:/v"]).exit_code == 0
    folder = Path(engine.volumes.get("web").mountpoint)
    found = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert found == {"roots": (0, 0), "users": (1000, 50)}, "on the disk the ids are those of inside"
    run = engine.run(busybox_image, ["sh", "-c", "stat -c '%u:%g %a %n' /w/*"], mounts=["src=web,dst=/w,ro"])
    assert run.stdout == "0:0 644 /w/roots\n1000:50 4711 /w/users\n"
    engine.volumes.get("web").remove()
    assert not folder.parent.exists()


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_a_run_s_own_volume_goes_with_it(engine: Engine, busybox_image: str, userns: str) -> None:
    script = "grep -c ' /v ' /proc/mounts; stat -c '%u:%g %a' /v; touch /v/x && echo written; touch /x || echo refused"
    run = engine.run(busybox_image, ["sh", "-c", script], volumes=["/v"], read_only=True, userns=userns)
    assert run.stdout == "1\n0:0 755\nwritten\nrefused\n"
    assert engine.volumes.list() == []
    assert os.listdir(engine.paths.runs) == []


def test_read_only(engine: Engine, busybox_image: str) -> None:
    engine.run(busybox_image, ["touch", "/v/file"], volumes=["web:/v"])
    run = engine.run(busybox_image, ["sh", "-c", "ls /v; touch /v/x; mount -o remount,rw /v"], volumes=["web:/v:ro"])
    assert run.stdout == "file\n"
    assert run.stderr.startswith("touch: /v/x: Read-only file system\n")
    assert os.listdir(engine.volumes.get("web").mountpoint) == ["file"]


@pytest.mark.parametrize("target", ["/srv", "/relative", "/absolute"])
@pytest.mark.parametrize("volume", ["web:", ""])
def test_an_empty_volume_gets_what_the_image_has(engine: Engine, image: str, target: str, volume: str) -> None:
    script = f"cd {target} && {srv(SHOW)}; cat file; echo changed > file; cat deep/twin"
    run = engine.run(image, ["sh", "-c", script], volumes=[f"{volume}{target}"])
    assert run.stdout == srv(COPIED) + "from the image\nchanged\n", run.stderr
    assert (Path(image[4:]) / "srv/file").read_text() == "from the image\n"
    if volume:
        folder = Path(engine.volumes.get("web").mountpoint)
        assert os.getxattr(folder / "file", "user.note") == b"kept"
        assert os.getxattr(folder / "deep", "user.folder") == b"x"
        assert os.getxattr(folder / "program", "security.capability").hex().startswith("01000002")
        assert sorted(os.listdir(folder.parent)) == ["_data", "lock"]


def test_only_when_it_is_empty_and_only_once(engine: Engine, containers: Containers, image: str) -> None:
    engine.run("host", ["touch", "/v/mine"], volumes=["web:/v"])
    assert engine.run(image, ["ls", "/srv"], volumes=["web:/srv"]).stdout == "mine\n"
    one = containers.run(image, ["sh", "-c", "ls -A /srv | wc -l; rm -rf /srv/*"], volumes=["other:/srv"])
    assert one.wait() == 0
    one.start().wait()
    assert one.logs() == "5\n0\n", "what a container has removed does not come back"
    again = engine.run(image, ["sh", "-c", "ls /srv | wc -l"], volumes=["other:/srv"])
    assert again.stdout == "5\n", "for another one it is an empty volume"


@pytest.mark.parametrize("given", [{"volumes": ["web:/srv:nocopy"]}, {"mounts": ["src=web,dst=/srv,volume-nocopy"]}])
def test_nothing_is_copied_unless_it_is_wanted(engine: Engine, image: str, given: dict[str, list[str]]) -> None:
    run = engine.run(image, ["stat", "-c", "%u:%g %a %h", "/srv"], **given)
    assert run.stdout == "0:0 755 2\n"


def test_the_host_image_s_files(engine: Engine) -> None:
    run = engine.run("host", ["sh", "-c", "ls /etc/passwd; ls /etc/shadow"], volumes=["web:/etc"])
    assert run.stdout == "/etc/passwd\n"
    assert "No such file" in run.stderr, "what the image hides is not copied either"


def test_a_file_of_the_image_in_the_way(engine: Engine, image: str) -> None:
    with pytest.raises(StartError, match="not a directory"):
        engine.run(image, ["true"], volumes=["web:/srv/file"])
    engine.volumes.get("web").remove()


def test_a_place_that_is_a_link_to_the_machine(engine: Engine, image: str, tmp_path: Path) -> None:
    """It leads to the same path of the image's: nothing of the machine's is copied, mounted on or written to."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("of the machine\n")
    place = tmp_path / "image/trap"
    place.symlink_to(victim)
    run = engine.run(image, ["sh", "-c", "ls -A /trap; echo x > /trap/new"], volumes=["web:/trap"])
    assert (run.stdout, run.stderr) == ("", "")
    assert os.listdir(engine.volumes.get("web").mountpoint) == ["new"]
    assert os.listdir(victim) == ["secret"]
    assert place.is_symlink()


def test_a_part_of_a_volume(engine: Engine, busybox_image: str) -> None:
    engine.run(busybox_image, ["sh", "-c", "mkdir -p /v/a/b; echo below > /v/a/b/file"], volumes=["web:/v"])
    for path, script, said in (("a/b", "cat /in/file", "below\n"), ("a/b/file", "cat /in", "below\n")):
        run = engine.run(busybox_image, ["sh", "-c", script], mounts=[f"src=web,dst=/in,volume-subpath={path}"])
        assert (run.stdout, run.stderr) == (said, "")
    with pytest.raises(InvalidOption, match="'nonesuch' of the volume web cannot be mounted: no such file"):
        engine.run(busybox_image, ["true"], mounts=["src=web,dst=/in,volume-subpath=nonesuch"])


@pytest.mark.parametrize("link", ["/", "/etc", "../..", "../../../../../../etc", "inside/../../../.."])
def test_a_part_that_is_a_link_outwards(engine: Engine, busybox_image: str, link: str) -> None:
    script = f"mkdir /v/inside; ln -s {link} /v/out; ln -s inside /v/well"
    engine.run(busybox_image, ["sh", "-c", script], volumes=["web:/v"])
    for path in ("out", "out/etc"):
        with pytest.raises(InvalidOption, match="leads out of the volume web"):
            engine.run(busybox_image, ["true"], mounts=[f"src=web,dst=/in,volume-subpath={path}"])
    assert engine.run(busybox_image, ["ls", "/in"], mounts=["src=web,dst=/in,volume-subpath=well"]).exit_code == 0


def test_a_part_is_looked_up_by_the_plan_again(
    engine: Engine, containers: Containers, busybox_image: str, tmp_path: Path
) -> None:
    """Somebody may put a link in the way after we have looked."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/secret").touch()
    engine.run(busybox_image, ["mkdir", "/v/part"], volumes=["web:/v"])
    mount = ["src=web,dst=/in,volume-subpath=part"]
    one = containers.run(busybox_image, ["ls", "/in"], mounts=mount, restart="always", name="again")
    wait_until(lambda: one.reload().record.restart_count > 0)
    folder = Path(engine.volumes.get("web").mountpoint)
    (folder / "part").rmdir()
    (folder / "part").symlink_to(tmp_path / "victim")
    wait_until(lambda: "could not be started again: invalid cross-device link" in one.reload().record.error)
    assert "secret" not in one.logs()


def test_a_container_that_is_kept(engine: Engine, containers: Containers, busybox_image: str) -> None:
    script = "echo line >> /own/log; echo line >> /named/log; wc -l < /own/log"
    one = containers.create(busybox_image, ["sh", "-c", script], volumes=["/own", "web:/named"], name="one")
    (own,) = [volume for volume in engine.volumes.list() if volume.name != "web"]
    assert len(own.name) == 64
    for count in (1, 2):
        assert one.start().wait() == 0
        assert one.logs().split()[-1] == str(count), "its volumes are the same at each start"
    mounts = {str(mount["Destination"]): mount for mount in one.attrs["Mounts"]}  # type: ignore[attr-defined]
    assert mounts["/own"] == {
        "Type": "volume", "Name": own.name, "Source": own.mountpoint, "Destination": "/own", "Driver": "local",
        "Mode": "", "RW": True, "Propagation": "",
    }  # fmt: skip
    assert (mounts["/named"]["Name"], mounts["/named"]["Mode"]) == ("web", "z")
    for name in ("web", own.name):
        with pytest.raises(Conflict, match="is in use by the container one"):
            engine.volumes.get(name).remove()
    assert engine.volumes.list(filters={"dangling": True}) == []
    one.remove(volumes=True)
    assert [volume.name for volume in engine.volumes.list()] == ["web"]
    assert (Path(engine.volumes.get("web").mountpoint) / "log").read_text() == "line\nline\n"


def test_without_v_they_stay(engine: Engine, containers: Containers, busybox_image: str) -> None:
    containers.run(busybox_image, ["true"], volumes=["/own"]).remove(force=True)
    (own,) = engine.volumes.list()
    assert own.labels == {"com.docker.volume.anonymous": ""}
    assert engine.volumes.list(filters={"dangling": "true"}) == [own]
    assert engine.volumes.prune() == {"VolumesDeleted": [own.name], "SpaceReclaimed": 0}
    assert os.listdir(engine.paths.volumes) == []


@pytest.mark.parametrize("forced", [False, True])
def test_one_that_removes_itself_takes_them_along(
    engine: Engine, containers: Containers, busybox_image: str, forced: bool
) -> None:
    command = ["sleep", "infinity"] if forced else ["true"]
    one = containers.run(busybox_image, command, volumes=["/own", "web:/v"], auto_remove=True)
    if forced:
        one.remove(force=True)
    wait_until(lambda: not containers.list(all=True))
    assert os.listdir(engine.paths.volumes) == ["web"]


def test_what_a_run_has_is_not_removed(engine: Engine, busybox_image: str) -> None:
    job = engine.start(busybox_image, ["sh", "-c", "touch /v/started; sleep 60"], volumes=["web:/v"], name="busy")
    try:
        volume = wait_for_file(engine, "web", "started")
        with pytest.raises(Conflict, match="the volume web is in use by the container busy"):
            engine.volumes.get("web").remove()
        assert engine.volumes.prune(all=True)["VolumesDeleted"] == []
        assert (volume / "started").exists()
    finally:
        job.kill()
        job.wait()
    assert engine.volumes.prune(all=True)["VolumesDeleted"] == ["web"]


def wait_for_file(engine: Engine, volume: str, name: str) -> Path:
    folder = engine.paths.volumes / volume / "_data"
    wait_until((folder / name).exists)
    return folder


def test_two_at_once(engine: Engine, image: str) -> None:
    """Both find it empty: what the image has is there once, whole, for both."""
    jobs = [engine.start(image, ["sh", "-c", "ls /srv | wc -l; echo >> /srv/both"], volumes=["web:/srv"]) for _ in "ab"]
    assert sorted(job.wait().stdout for job in jobs)[0] == "5\n"
    assert (engine.paths.volumes / "web/_data/both").read_text() == "\n\n"


def test_something_mounted_in_it_is_left_alone(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/precious").touch()
    engine.run(busybox_image, ["mkdir", "/v/below"], volumes=["web:/v"])
    place = Path(engine.volumes.get("web").mountpoint) / "below"
    subprocess.run(["mount", "--bind", tmp_path / "victim", place], check=True)
    try:
        with pytest.raises(Conflict, match="something is mounted in the volume web"):
            engine.volumes.get("web").remove()
    finally:
        subprocess.run(["umount", place], check=True)
    engine.volumes.get("web").remove()
    assert (tmp_path / "victim/precious").exists()


def test_what_is_deleted_ends_at_a_mount(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    """Also where somebody mounts it after we have looked, and where it is of the same file system."""
    engine.run(busybox_image, ["sh", "-c", "mkdir -p /v/below; touch /v/file"], volumes=["web:/v"])
    (tmp_path / "victim/folder").mkdir(parents=True)
    (tmp_path / "victim/folder/precious").touch()
    gone = engine.paths.trash / ("f" * 64)
    engine.volumes.store.folder("web").rename(gone)
    subprocess.run(["mount", "--bind", tmp_path / "victim", gone / "_data/below"], check=True)
    below = next(engine.paths.trash.iterdir()) / "_data/below"
    try:
        engine.volumes._sweep(gone.name, "@trash")
        engine._open().wait_swept()
        (left,) = engine.paths.trash.iterdir()
        below = left / "_data/below"
        assert not (left / "_data/file").exists()
        assert (below / "folder/precious").exists()
    finally:
        subprocess.run(["umount", below], check=True)
        engine.volumes._sweep(below.parent.parent.name, "@trash")
    assert (tmp_path / "victim/folder/precious").exists()
    engine.volumes.remove("web")


def test_a_tree_that_is_deeper_than_anybody_goes(engine: Engine, busybox_image: str) -> None:
    script = "cd /v; mkdir a; for i in $(seq 600); do mkdir b && mv a b/a && mv b a || exit 1; done"
    assert engine.run(busybox_image, ["sh", "-c", script], volumes=["web:/v"]).exit_code == 0
    engine.volumes.get("web").remove()
    engine._open().wait_swept()
    assert os.listdir(engine.paths.trash) == []


def test_a_plan_is_shown_without_making_any(engine: Engine, busybox_image: str) -> None:
    from kernelbox.engine.options import RunOptions

    options = RunOptions.make(volumes=["web:/v", "/own"])
    steps = [step.describe() for step in engine.plan(busybox_image, ["true"], options).steps]
    assert any("volumes/web/_data on /v" in step for step in steps)
    assert not engine.paths.volumes.exists()
    assert os.listdir(engine.paths.runs) == []


def test_a_launch_that_fails_leaves_nothing(engine: Engine, busybox_image: str) -> None:
    with pytest.raises(StartError):
        engine.run(busybox_image, ["/nonesuch"], volumes=["/own", "web:/v"])
    with pytest.raises(InvalidOption):
        engine.run(busybox_image, ["true"], volumes=["/own", "/nonesuch:/x"])
    engine._open().wait_swept()
    assert os.listdir(engine.paths.runs) == []
    engine.volumes.get("web").remove()
    with pytest.raises(VolumeNotFound):
        engine.volumes.get("web")
