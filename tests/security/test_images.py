"""Images that somebody made to harm whoever loads, pulls or runs them: a folder of the machine is as it was, the store
is sound, and what an image says of itself is data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import image_archives
import pytest
from hostile_layers import GROUPS, corpus
from image_archives import Picture
from layer_archives import Archive
from layer_folders import listing

from kernelbox import Engine
from kernelbox.errors import InvalidContent, InvalidOption, KernelBoxError, RunTimeout, StartError
from kernelbox.registry.server.serving import registry

pytestmark = [pytest.mark.kernel, pytest.mark.root]

TAKEN = {"nothing at all", "no end", "gzip when imported"}
"""By themselves these are cut off and no tar; a layer is whole by its digest, and `import` takes compressed ones."""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder of the machine, which is the same afterwards."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "secret").write_text("secret of the machine")
    (folder / "folder").mkdir(0o700)
    before = listing(folder, changed=True)
    yield folder
    assert listing(folder, changed=True) == before


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_layers(engine: Engine, victim: Path, group: str) -> None:
    """By every way that a layer comes in."""
    before, wrong, store = listing(victim, changed=True), [], engine.images.store
    with registry() as running:
        for name, case in corpus(victim, group).items():
            picture = Picture([case.archive])
            picture.push(running.address, "lab", "1")
            for way, bring in (
                ("loaded", lambda picture=picture: engine.images.load(picture.layout("lab"))),
                ("imported", lambda layer=case.archive: engine.images.import_(layer, "lab")),
                ("pulled", lambda: engine.images.pull(f"{running.address}/lab:1")),
            ):
                said = ""
                try:
                    bring()
                except InvalidContent as error:
                    said = error.message
                if bool(said) != (bool(case.verdict) and not TAKEN & {name, f"{name} when {way}"}):
                    wrong.append((name, way, case.verdict, said))
                assert said.isprintable()
                assert listing(victim, changed=True) == before, (name, way)
                assert bool(engine.images.list()) != bool(said), (name, way)
                store.collect()
                for image in engine.images.list():
                    engine.images.remove(image.id, force=True)
                assert (list(store.blobs.every()), list(store.layers.every())) == ([], []), (name, way)
    assert not wrong


@pytest.fixture(scope="module")
def base(busybox_rootfs: Path) -> bytes:
    return image_archives.of_folder(busybox_rootfs)


Load = Callable[..., str]


@pytest.fixture
def load(engine: Engine, base: bytes) -> Load:
    def make(*layers: Archive, config: Mapping[str, Any] | None = None, **more: Any) -> str:
        engine.images.load(Picture([base, *layers], config or {}, more).layout("lab:1"))
        return "lab:1"

    return make


PLACES = ("dev", "proc", "sys", "etc", "etc/resolv.conf", "etc/hosts", "etc/mtab", "etc/passwd", "dev/shm", "run")


@pytest.mark.parametrize("place", PLACES)
def test_folders_that_are_links(engine: Engine, load: Load, victim: Path, place: str) -> None:
    target = f"{victim}/secret" if place.startswith("etc/") else str(victim)
    for link in (target, "../" * 40 + target[1:]):
        image = load(Archive().symlink(place, link))
        try:
            run = engine.run(image, ["sh", "-c", f"cat /{place} /{place}/secret; echo x > /{place}/new; true"])
            assert "secret of" not in run.stdout
        except StartError:  # a link that leads through itself
            pass
        assert str(victim) not in Path("/proc/self/mountinfo").read_text(), "nothing is mounted there"


@pytest.mark.parametrize("place", ["dev", "proc", "sys", "etc", "etc/resolv.conf", "etc/passwd", "etc/group", "tmp"])
def test_places_that_never_answer(engine: Engine, load: Load, place: str) -> None:
    """A FIFO waits for nobody: the container starts, or it is said why not."""
    image = load(Archive().add(place, kind="6"))
    try:
        engine.run(image, ["true"], user="alice", timeout=30)
    except RunTimeout:
        raise
    except KernelBoxError as error:
        said = error.message
    else:
        said = place
    assert place.partition("/")[0] in said or "no user 'alice'" in said


@pytest.mark.parametrize("size", [(1 << 30), (1 << 20) + 1])
def test_accounts_that_are_too_large(engine: Engine, load: Load, size: int) -> None:
    image = load(Archive().sparse("etc/passwd", [(size - 1, b"\n")], size))
    with pytest.raises(InvalidOption, match="/etc/passwd is larger than 1 MiB"):
        engine.run(image, ["true"], user="alice")


LABELS = {
    "containerd.io/restart.loguri": "binary:///bin/touch?/tmp/kernelbox-harm",
    "io.containers.capabilities": "SYS_ADMIN",
    "io.kernelbox.privileged": "true",
    "io.kubernetes.cri.untrusted-workload": "true",
    "cdi.k8s.io/x": "vendor.example/device=all",
    "a" * 5000: "b" * 5000,
    "\x1b[2J": "\n",
}


def test_what_it_says_of_itself_is_data(engine: Engine, load: Load) -> None:
    """Labels, variables and fields that other engines obeyed give it no right and start nothing on the machine."""
    config = {
        "Labels": LABELS,
        "Env": ["PATH=/bin", "LD_PRELOAD=/lab.so", "KERNELBOX_ROOT=/x", "DOCKER_HOST=unix:///x"],
        "Privileged": True,
        "HostConfig": {"Binds": ["/:/machine"], "Privileged": True},
        "Runtime": "/bin/sh",
    }
    image = load(config=config, config_annotations={"run.oci.handler": "krun"})
    script = "grep CapBnd /proc/self/status; ls -d /machine; cat /proc/self/uid_map"
    run = engine.run(image, ["sh", "-c", script])
    (bound,) = re.findall(r"CapBnd:\s*(\w+)", run.stdout)
    assert not int(bound, 16) & 1 << 21, "no right over the machine"
    assert "/machine" not in run.stdout
    made = engine.containers.create(image, ["true"])
    assert made.attrs["Config"]["Labels"] == LABELS  # type: ignore[index]
    made.remove()
    assert not os.path.exists("/tmp/kernelbox-harm")


REFUSED: list[dict[str, Any]] = [
    {"User": "0:0:0"},
    {"User": "4294967296"},
    {"User": "-1"},
    {"User": "root\nx"},
    {"User": "nobody-here"},
    {"Env": ["A=\x00"]},
    {"WorkingDir": "/a\x00b"},
    {"Cmd": ["a\x00b"]},
    {"Volumes": {"/proc": {}}},
    {"Volumes": {"/": {}}},
]


HARMLESS: list[dict[str, Any]] = [
    {"Env": ["=x", "no sign"]},
    {"StopSignal": "SIGNONE"},
    {"Healthcheck": {"Test": ["NONSENSE", "x"]}},
    {"Healthcheck": {"Test": ["CMD", "x"], "Interval": -1}},
]


def test_what_cannot_be_meant_is_a_sentence(engine: Engine, load: Load) -> None:
    """Where it is loaded or where it is run; and nothing runs then."""
    for config in REFUSED:
        with pytest.raises(KernelBoxError) as refused:
            engine.containers.run(load(config=config), ["true"])
        assert str(refused.value).isprintable(), config
        for container in engine.containers.list(all=True):
            assert not container.record.living
            container.remove(force=True)


def test_what_means_nothing_does_nothing(engine: Engine, load: Load) -> None:
    for config in HARMLESS:
        made = engine.containers.run(load(config=config), ["sleep", "1000"])
        made.stop(0)
        assert made.wait() == 137, config
        made.remove()


def test_volumes_lie_inside(engine: Engine, load: Load, victim: Path) -> None:
    for place in ("/../../etc", "//etc/../../x", "data/../../../y", "/absolute", "/dots/new"):
        lies_inside(engine, load, victim, place)


def lies_inside(engine: Engine, load: Load, victim: Path, place: str) -> None:
    links = Archive().symlink("absolute", str(victim)).symlink("dots", "../" * 40 + str(victim)[1:])
    image = load(links, config={"Volumes": {place: {}}})
    where = os.path.normpath(f"/{place.lstrip('/')}")
    made = engine.containers.run(image, ["sh", "-c", f"touch {where}/new; cat {where}/secret; ls {where}"])
    made.wait()
    assert "secret of" not in made.logs()
    assert "new" in made.logs()
    made.remove(volumes=True)
    assert engine.volumes.list() == []
