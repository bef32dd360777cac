"""Images of several layers on a small root file system, and an engine that has them in either form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import image_archives
import pytest
from image_archives import Picture
from layer_archives import Archive

from kernelbox import Engine

__all__ = ["FORMS", "Load", "base", "box", "form", "load"]

FORMS = ("erofs", "tree")
Load = Callable[..., Picture]


@pytest.fixture(scope="module")
def base(busybox_rootfs: Path) -> bytes:
    """The lowest layer."""
    return image_archives.of_folder(busybox_rootfs)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the layers that the test makes."""
    monkeypatch.setenv("KERNELBOX_LAYERS", "tree" if request.param == "tree" else "best")
    return str(request.param)


@pytest.fixture
def box(form: str, engine: Engine) -> Iterator[Engine]:
    """One whose containers are removed at the end, and then no image may need anything any more."""
    features = engine.opened().kernel.features
    if form == "erofs" and not (features.detached_clone and features.overlay_by_fd):
        pytest.skip("this kernel has folders as layers only")
    yield engine
    for container in engine.containers.list(all=True):
        container.remove(force=True, volumes=True)
    for image in engine.images.list():
        engine.images.remove(image.id, force=True)
    engine.images.prune(all=True)
    store = engine.images.store
    assert (list(store.blobs.every()), list(store.layers.every())) == ([], [])


@pytest.fixture
def load(box: Engine, base: bytes, form: str) -> Load:
    """Loads an image of these layers on the lowest one, under a name; its configuration as it stands."""

    def make(name: str, *layers: Archive, config: Mapping[str, Any] | None = None, **more: Any) -> Picture:
        picture = Picture([base, *layers], config or {}, more)
        (image,) = box.images.load(picture.layout(name))
        assert image.id == picture.id
        record = box.images.store.find(name)
        forms: Sequence[str] = [layer.form for layer in box.images.store.layers_of(record)]
        if form == "erofs" and "tree" in forms:
            pytest.skip("the image of a file system cannot be mounted from here")
        assert set(forms) == {form}
        return picture

    return make
