"""The verbs about images: what they print, what they refuse and what they exit with, as Docker's do."""

from __future__ import annotations

import json
from pathlib import Path

import image_archives
import pytest
from commands import kernelbox, printed, refused
from image_archives import Picture
from layer_archives import Archive

from kernelbox import Engine
from kernelbox.registry.server.serving import registry

pytestmark = [pytest.mark.kernel, pytest.mark.root]

CONFIG = {"Cmd": ["cat", "/version"], "Labels": {"tier": "web"}}


@pytest.fixture
def picture(busybox_rootfs: Path) -> Picture:
    return Picture([image_archives.of_folder(busybox_rootfs), Archive().add("version", b"one")], CONFIG)


@pytest.fixture
def archive(store: Path, picture: Picture, tmp_path: Path) -> Path:
    """Of that image, called lab:1; nothing is loaded yet."""
    path = tmp_path / "lab.tar"
    path.write_bytes(picture.layout("lab:1"))
    return path


def test_load_list_and_remove(archive: Path, picture: Picture) -> None:
    assert printed("images") == "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n"
    assert printed("load", "-i", str(archive)) == "Loaded image: lab:1\n"
    short = picture.id.partition(":")[2][:12]
    head, line = printed("images").splitlines()
    assert line.split()[:3] == ["lab", "1", short]
    assert head.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert printed("images", "-q") == f"{short}\n"
    assert printed("images", "-q", "--no-trunc") == f"{picture.id}\n"
    assert printed("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}") == f"lab:1 {short}\n"
    assert json.loads(printed("images", "--format", "json"))["Repository"] == "lab"
    assert "<none>" in printed("images", "--digests")
    assert printed("tag", "lab:1", "lab:2") == ""
    assert printed("images", "-q") == f"{short}\n", "an image is one, whatever it is called"
    for given, shown in (
        ("reference=lab:2", "2\n"), ("label=tier=web", "1\n2\n"), ("label=tier=db", ""), ("dangling=true", ""),
        ("before=lab:1", ""), ("until=1h", "1\n2\n"),
    ):  # fmt: skip
        found = printed("images", "--filter", given, "--format", "{{.Tag}}")
        assert set(found.split()) >= set(shown.split()), given
        assert bool(found) == bool(shown), given
    assert printed("run", "--rm", "lab:2") == "one"
    assert printed("rmi", "lab:2") == "Untagged: lab:2\n"
    gone = printed("rmi", "lab:1").splitlines()
    assert gone[:2] == ["Untagged: lab:1", f"Deleted: {picture.id}"]
    assert len(gone) == 4, "and its two layers"
    assert printed("images", "-q") == ""


def test_what_is_told_of_one(archive: Path, picture: Picture) -> None:
    printed("load", "-i", str(archive))
    (whole,) = json.loads(printed("image", "inspect", "lab:1"))
    assert (whole["Id"], whole["RepoTags"], whole["Config"]["Labels"]) == (picture.id, ["lab:1"], {"tier": "web"})
    assert len(whole["RootFS"]["Layers"]) == 2
    said = printed("inspect", "--type", "image", "-f", "{{.Os}} {{json .Config.Cmd}}", "lab:1")
    assert said == 'linux ["cat","/version"]\n'
    steps = printed("history", "--format", "{{.CreatedBy}}", "lab:1")
    assert steps == "step 1\nstep 0\n"
    head, *lines = printed("history", "lab:1").splitlines()
    assert head.split()[:3] == ["IMAGE", "CREATED", "CREATED"]
    assert [line.split()[0] for line in lines] == [picture.id.partition(":")[2][:12], "<missing>"]
    assert printed("history", "-q", "--no-trunc", "lab:1") == f"{picture.id}\n<missing>\n"


def test_archives(archive: Path, picture: Picture, tmp_path: Path) -> None:
    printed("load", "-i", str(archive))
    saved = tmp_path / "saved.tar"
    assert printed("save", "-o", str(saved), "lab:1") == ""
    printed("rmi", "lab:1")
    assert printed("load", "-q", "-i", str(saved)) == "Loaded image: lab:1\n"
    assert printed("images", "-q", "--no-trunc") == f"{picture.id}\n"
    printed("save", "-o", str(saved), picture.id)
    printed("rmi", "lab:1")
    assert printed("load", "-i", str(saved)) == f"Loaded image ID: {picture.id}\n"
    assert printed("images", "--format", "{{.Repository}} {{.Tag}}") == "<none> <none>\n"
    root = tmp_path / "root.tar"
    root.write_bytes(picture.contents[0])
    (made,) = printed("import", "-c", 'CMD ["echo", "made"]', "-c", "ENV PATH=/bin", str(root), "flat").splitlines()
    assert made.startswith("sha256:")
    assert printed("run", "--rm", "flat") == "made\n"


def test_prune(archive: Path, picture: Picture) -> None:
    printed("load", "-i", str(archive))
    assert printed("image", "prune", "-f").startswith("Total reclaimed space: ")
    assert printed("images", "-q") != ""
    assert printed("image", "prune", "-a", "-f", "--filter", "label=tier=db") == "Total reclaimed space: 0B\n"
    printed("create", "--name", "one", "lab:1")
    assert printed("image", "prune", "-a", "-f") == "Total reclaimed space: 0B\n"
    printed("rm", "one")
    said = printed("image", "prune", "-a", "-f").splitlines()
    assert said[:3] == ["Deleted Images:", "untagged: lab:1", f"deleted: {picture.id}"]
    assert said[-1].startswith("Total reclaimed space: ")
    assert printed("images", "-q") == ""


def test_registries(archive: Path, picture: Picture) -> None:
    printed("load", "-i", str(archive))
    with registry() as running:
        name = f"{running.address}/team/lab"
        printed("tag", "lab:1", f"{name}:1")
        said = printed("push", f"{name}:1").splitlines()
        assert said[0] == f"The push refers to repository [{name}]"
        assert [line.partition(": ")[2] for line in said[1:-1]] == ["Pushed", "Pushed"]
        digest = said[-1].split()[2]
        assert said[-1] == f"1: digest: {digest} size: {len(picture.manifest)}"
        again = printed("push", f"{name}:1").splitlines()
        assert {line.partition(": ")[2] for line in again[1:-1]} == {"Layer already exists"}
        assert printed("push", "-q", f"{name}:1") == f"{name}:1\n"
        printed("rmi", "-f", picture.id)
        said = printed("pull", f"{name}:1").splitlines()
        assert said[0] == "1: Pulling from team/lab"
        assert [line.partition(": ")[2] for line in said[1:3]] == ["Pull complete", "Pull complete"]
        assert said[3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}:1", f"{name}:1"]
        assert f"Status: Image is up to date for {name}:1" in printed("pull", f"{name}:1")
        assert printed("pull", "-q", f"{name}@{digest}") == f"{name}@{digest}\n"
        assert digest in printed("images", "--digests")
        printed("rmi", "-f", picture.id)
        done = kernelbox("run", "--rm", "--pull", "missing", f"{name}:1")
        assert (done.returncode, done.stdout) == (0, "one")
        assert done.stderr.startswith(f"Unable to find image '{name}:1' locally\n")
        for verb in (("pull", f"{name}:2"), ("push", f"{name}:9")):
            assert kernelbox(*verb).returncode == 1
    printed("rmi", "-f", picture.id)


def test_refusals(archive: Path, engine: Engine) -> None:
    printed("load", "-i", str(archive))
    printed("create", "--name", "one", "lab:1")
    assert "must be removed by force" in refused("rmi", "lab:1")
    for verb in (("rmi",), ("history",), ("image", "inspect"), ("save", "-o", "/dev/null"), ("tag", "nonesuch")):
        sentence = kernelbox(*verb, "nonesuch")
        assert sentence.returncode == 1, verb
        assert "nonesuch" in sentence.stderr, verb
    assert "invalid filter 'colour'" in refused("images", "--filter", "colour=red")
    archive.write_bytes(bytes(10240))
    assert "no archive of images" in refused("load", "-i", str(archive))
    assert kernelbox("load", "-i", "/nonesuch").returncode == 1
    done = kernelbox("run", "--rm", "nonesuch")
    assert (done.returncode, done.stdout) == (125, "")
    printed("rm", "one")
    assert kernelbox("images", "--nonsense").returncode == 125
