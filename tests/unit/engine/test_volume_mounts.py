"""Which volumes a container has: those that are asked for, and those that its image wants."""

from __future__ import annotations

import pytest

from kernelbox.engine.image import Image
from kernelbox.engine.options import RunOptions
from kernelbox.engine.volume_mounts import uses_for, volumes_in
from kernelbox.errors import InvalidOption
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Config, Mount, Root


def image(*volumes: str) -> Image:
    return Image("test", ImageConfig(volumes={path: {} for path in volumes}))


def test_what_is_asked_for() -> None:
    options = RunOptions.make(volumes=["web:/a:ro", "/machine:/b"], mounts=["dst=/c"], tmpfs=["/d"])
    assert volumes_in(options, image()) == (Mount("/a", "volume", "web", ("ro",)), Mount("/c", "volume", "", ()))


def test_what_the_image_wants_where_nothing_else_is() -> None:
    options = RunOptions.make(volumes=["web:/a", "/machine:/b"], tmpfs=["/d"])
    found = volumes_in(options, image("/a", "/b", "/d", "/e/", "f", "/../../g"))
    assert [(mount.destination, mount.source) for mount in found] == [("/a", "web"), ("/e", ""), ("/f", ""), ("/g", "")]


@pytest.mark.parametrize("path", ["/", "", "/proc", "/proc/self", "/x/../proc/1", "..", "//proc"])
def test_an_image_cannot_hide_what_is_the_kernel_s(path: str) -> None:
    with pytest.raises(InvalidOption):
        volumes_in(RunOptions.make(), image(path))


def test_a_bundle_says_itself_what_is_mounted() -> None:
    bundle = Image("bundle:x", ImageConfig(), bundle=Config("1.2.0", Root("rootfs")))
    assert volumes_in(RunOptions.make(volumes="/a"), bundle) == ()


def test_rows_of_a_container() -> None:
    mounts = (Mount("/a", "volume", "web", ("nocopy",)), Mount("/b", "volume"), Mount("/c", "volume", "f" * 64))
    web, own, other = uses_for("id", mounts, frozenset({"f" * 64}))
    assert (web.volume, web.anonymous, web.filled) == ("web", False, True)
    assert (len(own.volume), own.anonymous, own.filled) == (64, True, False)
    assert (other.volume, other.anonymous, other.filled) == ("f" * 64, True, False)
