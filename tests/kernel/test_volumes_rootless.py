"""Volumes of an ordinary user: no ids are mapped, so the container's root is that user on the disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ordinary_user
import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.outside]

LIFE = """
import io, json, os, sys, tarfile
import kernelbox as kb
with kb.Engine() as box:
    image, said = sys.argv[1], {}
    def sh(script, **options):
        run = box.run(image, ["sh", "-c", script], **options)
        return run.stdout if run.exit_code == 0 else run.stderr
    said["own"] = sh("touch /v/x; stat -c %u:%g /v /v/x; ls -A /v | wc -l", volumes=["/v"])
    sh("touch /w/roots; mkdir /w/dir; chown 5:6 /w/dir /w && chmod 700 /w/dir /w; true", volumes=["web:/w"])
    said["kept"] = sh("stat -c %u:%g /w/roots /w/dir; touch /w/dir/x && echo written", volumes=["web:/w"])
    said["part"] = sh("ls /p", mounts=["src=web,dst=/p,volume-subpath=dir"])
    said["copied"] = sh("ls /srv; stat -c '%u:%g %a' /srv/file; cat /srv/file", volumes=["copy:/srv"])
    container = box.containers.run(image, ["sh", "-c", "ls /w /own"], volumes=["web:/w", "/own"], name="one")
    said["exit"] = container.wait()
    said["logs"] = container.logs()
    container.put_archive("/own", b"".join(container.get_archive("/srv/file")[0]))
    archive = io.BytesIO(b"".join(container.get_archive("/own")[0]))
    said["stopped"] = [each.name for each in tarfile.open(fileobj=archive)]
    try:
        box.volumes.get("web").remove()
    except kb.errors.Conflict as error:
        said["refused"] = error.message
    container.remove(volumes=True)
    said["left"] = [each.name for each in box.volumes.list()]
    said["pruned"] = box.volumes.prune(all=True)["VolumesDeleted"]
    box._open().wait_swept()
    said["folders"] = [os.listdir(folder) for folder in (box.paths.volumes, box.paths.trash, box.paths.runs)]
    print(json.dumps(said))
"""


def test_a_whole_life(container_user: ordinary_user.User, own_busybox: str) -> None:
    srv = Path(own_busybox[4:]) / "srv"
    srv.mkdir()
    (srv / "file").write_text("from the image\n")
    for path in (srv, srv / "file"):
        os.chown(path, container_user.uid, container_user.gid)
    (srv / "file").chmod(0o640)
    done = container_user.python(LIFE, own_busybox)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["own"] == "0:0\n0:0\n1\n"
    owner = "5:6" if "5:6" in said["kept"] else "0:0"  # where the user has one id only
    assert said["kept"] == f"0:0\n{owner}\nwritten\n"
    assert said["part"] == "x\n"
    assert said["copied"] == "file\n0:0 640\nfrom the image\n"
    assert (said["exit"], said["logs"]) == (0, "/own:\n\n/w:\ndir\nroots\n")
    assert said["stopped"] == ["own", "own/file"]
    assert said["refused"] == "the volume web is in use by the container one"
    assert said["left"] == ["copy", "web"]
    assert said["pruned"] == ["copy", "web"]
    assert said["folders"] == [[], [], []], "also what belonged to other ids of the user's"
