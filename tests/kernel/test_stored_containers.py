"""Containers that are kept, and what becomes of the names and layers of their images meanwhile: each has its own image,
whatever is called so by now. And who is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from commands import printed
from kernel.stored import Load, base, box, form, load
from layer_archives import Archive

from kernelbox import Engine
from kernelbox.errors import ImageNotFound

__all__ = ["base", "box", "form", "load"]

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def version(text: str) -> Archive:
    return Archive().add("version", text.encode()).folder("folder").add(f"folder/{text}")


def test_the_name_moves_on(box: Engine, load: Load) -> None:
    old = load("lab:1", version("old"), config={"Cmd": ["cat", "/version"]})
    kept = box.containers.create("lab:1", name="kept")
    load("lab:1", version("new"), config={"Cmd": ["echo", "new command"]})
    assert box.run("lab:1").stdout == "new command\n"
    for _ in range(2):
        kept.start()
        kept.wait()
    assert kept.logs() == "oldold"
    assert kept.attrs["Image"] == old.id
    assert kept.diff() == []
    stream, _ = kept.get_archive("/version")
    assert b"old" in b"".join(stream)
    (image,) = [image for image in box.images.list() if not image.tags]
    assert image.id == old.id


def test_restarts_and_exec_after_the_image_was_removed_by_force(box: Engine, load: Load) -> None:
    load("lab:1", version("one"), config={"Cmd": ["sleep", "1000"], "User": "alice"})
    kept = box.containers.run("lab:1", name="kept")
    kept.stop(0)
    box.images.remove("lab:1", force=True)
    box.images.prune(all=True)
    assert not box.images.list()
    with pytest.raises(ImageNotFound):
        box.run("lab:1")
    kept.start()
    assert kept.exec(["sh", "-c", "cat /version; id -un"]).stdout == "onealice\n"
    kept.restart(timeout=0)
    assert kept.exec(["ls", "/folder"]).stdout == "one\n"
    kept.stop(0)
    assert {f"{each.kind} {each.path}" for each in kept.diff()} == set()
    assert kept.stat("/version").size == 3
    made = kept.commit("again", "1")
    assert box.run("again:1", ["cat", "/version"]).stdout == "one"
    kept.remove()
    assert box.run("again:1", ["cat", "/version"]).stdout == "one"
    assert len(made.layers) == 3


def test_the_same_image_comes_again(box: Engine, load: Load) -> None:
    """One that was removed while a container had it is shown again."""
    picture = load("lab:1", version("one"))
    kept = box.containers.create("lab:1", ["cat", "/version"], name="kept")
    box.images.remove("lab:1", force=True)
    assert load("lab:1", version("one")).id == picture.id
    assert [image.tags for image in box.images.list()] == [("lab:1",)]
    kept.start()
    kept.wait()
    assert kept.logs() == "one"


OTHER = """
import sys
import kernelbox as kb
with kb.Engine() as box:
    (image,) = box.images.load(sys.stdin.buffer)
    print(box.run("lab:2", ["cat", "/version"]).stdout, [each.name for each in box.containers.list(all=True)])
    box.images.tag("lab:2", "lab:1")
"""


def test_two_engines(box: Engine, load: Load, base: bytes) -> None:
    """What one does the other sees at once, and its containers keep what they were made from."""
    from image_archives import Picture

    load("lab:1", version("one"))
    kept = box.containers.create("lab:1", ["cat", "/version"], name="kept")
    archive = Picture([base, version("two")]).layout("lab:2")
    done = subprocess.run([sys.executable, "-c", OTHER], input=archive, capture_output=True, env=os.environ)
    assert (done.returncode, done.stdout) == (0, b"two ['kept']\n"), done.stderr
    assert box.run("lab:1", ["cat", "/version"]).stdout == "two"
    kept.start()
    kept.wait()
    assert kept.logs() == "one"
    box.images.remove("lab:2")
    assert box.run("lab:1", ["cat", "/version"]).stdout == "two"


def test_which_containers_are_of_an_image(box: Engine, load: Load) -> None:
    old = load("lab:1", version("old"))
    box.images.tag("lab:1", "alias")
    made = [box.containers.create(name, ["true"], name=name[:3]) for name in ("lab:1", old.id, "alias")]
    load("lab:1", version("new"))
    box.containers.create("lab:1", ["true"], name="new")
    box.containers.create("host", ["true"], name="other")

    def of(value: str) -> list[str]:
        return sorted(each.name for each in box.containers.list(all=True, filters={"ancestor": [value]}))

    mine = sorted(each.name for each in made)
    assert of(old.id) == mine
    assert of(old.id.partition(":")[2][:12]) == mine
    assert of("alias") == mine, "it is the image that is meant, not the word that was typed"
    assert of("lab:1") == ["new"]
    assert of("lab") == []
    assert of("nonesuch") == []
    assert printed("ps", "-a", "--filter", "ancestor=lab:1", "--format", "{{.Names}}") == "new\n"


def test_what_is_told_of_images(box: Engine, load: Load) -> None:
    picture = load("lab:1", version("one"))
    box.images.tag("lab:1", "lab:2")
    box.images.remove("lab:2")
    box.images.remove("lab:1")
    lines = printed("events", "--since", "0", "--until", "0s", "--filter", "type=image", "--format", "json")
    told = [json.loads(line) for line in lines.splitlines()]
    assert [each["Action"] for each in told] == ["load", "tag", "untag", "untag", "delete"]
    assert {each["Type"] for each in told} == {"image"}
    assert {each["Actor"]["ID"] for each in told} <= {picture.id, "lab:1"}
    assert told[1]["Actor"]["Attributes"]["name"] == "lab:2"
    only = printed("events", "--since", "0", "--until", "0s", "--filter", "event=delete", "--format", "{{.ID}}")
    assert only == f"{picture.id}\n"


def test_the_names_that_can_be_typed(box: Engine, load: Load) -> None:
    load("lab:1", version("one"))
    box.images.tag("lab:1", "localhost:5000/lab/tool:2")
    assert box.images.names() == ["host", "dir:", "bundle:", "lab:1", "localhost:5000/lab/tool:2"]
