"""Containers of images of the store start as the policy of now says, and a digest is exactly that content."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.errors import ImageNotFound, UntrustedImage
from kernelbox.registry import keys
from kernelbox.registry.server.serving import Running, registry

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture(scope="module")
def archive(busybox_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "root.tar"
    subprocess.run(["tar", "-C", busybox_rootfs, "-cf", path, "."], check=True)
    return path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private key; another stands beside it, and the public ones."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    for name in ("lab", "other"):
        keys.make(tmp_path / name, "")
    return tmp_path / "lab"


@pytest.fixture
def name(engine: Engine, archive: Path, served: Running) -> str:
    """Of an image that is in the store and not yet in the registry."""
    called = f"{served.address}/lab/tool:1"
    engine.images.import_(archive, called, changes=['CMD ["echo", "well"]'])
    return called


@pytest.fixture
def policy(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = lab.with_name("policy.toml")
    path.write_text("")
    monkeypatch.setenv("KERNELBOX_POLICY", str(path))
    return path


def want_signed(policy: Path, name: str, key: str = "lab.pub") -> None:
    where = name.rpartition(":")[0]
    policy.write_text(f'[[rule]]\npattern = "{where}"\nrequire = "signed"\nkeys = ["{key}"]\n')


def test_signed_pulled_and_run(engine: Engine, name: str, lab: Path, policy: Path) -> None:
    engine.images.push(name, sign=lab)
    engine.images.remove(name)
    want_signed(policy, name)
    image = engine.images.pull(name)
    assert engine.run(name).stdout == "well\n"
    assert engine.run(image.repo_digests[0]).stdout == "well\n"
    assert engine.run(image.short_id).stdout == "well\n"
    container = engine.containers.run(name, name="kept")
    container.wait()
    want_signed(policy, name, "other.pub")  # who is trusted no longer is not, also where it was verified once
    with pytest.raises(UntrustedImage, match="wants it signed"):
        engine.run(name)
    with pytest.raises(UntrustedImage, match="wants it signed"):
        container.start()
    container.remove()


def test_unsigned_is_not_pulled(engine: Engine, name: str, policy: Path) -> None:
    engine.images.push(name)
    engine.images.remove(name)
    want_signed(policy, name)
    with pytest.raises(UntrustedImage, match="is not signed"):
        engine.images.pull(name)
    with pytest.raises(ImageNotFound):
        engine.images.get(name)
    assert not list(engine.images.store.layers.every())
    with pytest.raises(UntrustedImage, match="is not signed"):
        engine.run(name, pull="missing")


def test_what_was_made_or_loaded_here_has_no_signature(
    engine: Engine, name: str, lab: Path, policy: Path, tmp_path: Path
) -> None:
    engine.images.push(name, sign=lab)
    engine.images.save(name, tmp_path / "saved.tar")
    engine.images.remove(name)
    want_signed(policy, name)
    (loaded,) = engine.images.load(tmp_path / "saved.tar")
    for called in (name, loaded.id, loaded.short_id):
        with pytest.raises(UntrustedImage, match="nobody has verified that it is") as caught:
            engine.run(called)
        assert caught.value.status == 403
        assert "kernelbox pull" in (caught.value.hint or "")
    with pytest.raises(UntrustedImage):
        engine.containers.create(name)
    engine.images.pull(name)  # moves nothing, and asks who has signed
    assert engine.run(name).stdout == "well\n"
    engine.images.remove(name)  # what was known of it goes with it
    engine.images.load(tmp_path / "saved.tar")
    with pytest.raises(UntrustedImage):
        engine.run(name)


def test_another_name_is_another_question(engine: Engine, name: str, lab: Path, policy: Path) -> None:
    """A signature is for a repository; nobody signed it as one of the other."""
    other = name.replace("lab/tool", "lab/other")
    engine.images.push(name, sign=lab)
    engine.images.pull(name, verify=lab.with_name("lab.pub"))
    engine.images.tag(name, other)
    want_signed(policy, other)
    assert engine.run(name).stdout == "well\n"
    with pytest.raises(UntrustedImage):
        engine.run(other)
    assert engine.run(engine.images.get(name).id).stdout == "well\n"  # by its id it is what either name allows


def test_rejected(engine: Engine, name: str, policy: Path, busybox_image: str) -> None:
    engine.images.push(name)
    identity = engine.images.get(name).id
    policy.write_text('[[rule]]\npattern = "*"\nrequire = "reject"\n')
    for act in (lambda: engine.run(name), lambda: engine.run(identity), lambda: engine.images.pull(name)):
        with pytest.raises(UntrustedImage, match="not accepted here"):
            act()
    assert engine.run(busybox_image, ["echo", "files"]).stdout == "files\n"


def test_a_digest_is_exactly_that_content(engine: Engine, name: str, archive: Path, tmp_path: Path) -> None:
    """Neither a tag that has moved nor an archive that lies changes what a digest means."""
    pinned = f"{name.rpartition(':')[0]}@{engine.images.push(name).digest}"
    engine.images.import_(archive, name, changes=['CMD ["echo", "other"]'])
    engine.images.push(name)
    assert engine.images.pull(pinned).id != engine.images.get(name).id
    assert engine.run(pinned).stdout == "well\n"
    assert engine.run(name).stdout == "other\n"
    lying, index = tmp_path / "lying", tmp_path / "lying/index.json"
    engine.images.save(name, tmp_path / "saved.tar")
    lying.mkdir()
    subprocess.run(["tar", "-C", lying, "-xf", tmp_path / "saved.tar"], check=True)
    assert name in index.read_text()
    index.write_text(index.read_text().replace(name, pinned))
    (lying / "manifest.json").unlink()
    engine.images.load(lying)
    assert engine.run(pinned).stdout == "well\n"
    with pytest.raises(ImageNotFound):
        engine.images.pull(pinned[:-4] + ("0000" if not pinned.endswith("0000") else "1111"))
