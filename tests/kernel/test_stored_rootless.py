"""Images of an ordinary user: loaded, pulled and run, all their files being this user's own."""

from __future__ import annotations

from pathlib import Path

import image_archives
import ordinary_user
import pytest
from image_archives import Picture
from layer_archives import Archive

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SCRIPT = """
import os, sys
import kernelbox as kb
from kernelbox.registry.server.serving import registry
with kb.Engine() as box, registry() as running:
    (image,) = box.images.load(sys.argv[1])
    name = f"{running.address}/lab:1"
    box.images.tag("lab:1", name)
    box.images.push(name)
    box.images.remove(image.id, force=True)
    assert box.images.pull(name).id == image.id
    record = box.images.store.find(name)
    for layer in box.images.store.layers_of(record):
        assert layer.form == "tree"
        for path in [layer.path, *layer.path.rglob("*")]:
            assert path.lstat().st_uid == os.getuid(), path
    run = box.run(name, ["sh", "-c", "cd /; ls full a; cat file kept; id -u; echo x > kept; rm -r full; ls -d full"])
    print(run.stdout)
    assert box.run(name, ["cat", "/kept"]).stdout == "first"
    kept = box.containers.create(name, ["cat", "/kept"])
    box.images.remove(image.id, force=True)
    kept.start()
    kept.wait()
    print(kept.logs())
    kept.remove()
    box.images.prune(all=True)
    assert not list(box.images.store.layers.every())
"""


def test_load_push_pull_and_run(container_user: ordinary_user.User, busybox_rootfs: Path) -> None:
    first = Archive().folder("full").add("full/old").folder("a").add("a/gone").add("file", b"old ")
    first.add("kept", b"first", owner=(1000, 50))
    second = Archive().folder("full").add("full/.wh..wh..opq").add("full/new").folder("a").add("a/.wh.gone")
    second.add("file", b"new ")
    path = container_user.home / "lab.tar"
    path.write_bytes(Picture([image_archives.of_folder(busybox_rootfs), first, second]).layout("lab:1"))
    path.chmod(0o644)
    done = container_user.python(SCRIPT, str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a:\n\nfull:\nnew\nnew first0\n\nfirst\n"
