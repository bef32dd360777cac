"""`--platform`: the machine's own is there, in every spelling; another is refused with a sentence."""

from __future__ import annotations

import os

import pytest
from commands import printed, refused

from kernelbox import Engine
from kernelbox.engine.containers import Containers
from kernelbox.errors import ImageNotFound
from kernelbox.oci.platform import of_machine

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]

OWN = of_machine(os.uname().machine)
OTHER = "linux/s390x"
SPELLINGS = [str(OWN), f"linux/{os.uname().machine}", OWN.architecture, "linux", ""]


@pytest.mark.parametrize("image", ["host", "dir"])
def test_a_run(engine: Engine, busybox_image: str, image: str) -> None:
    name = busybox_image if image == "dir" else image
    for spelling in SPELLINGS:
        assert engine.run(name, ["true"], platform=spelling).exit_code == 0
    with pytest.raises(ImageNotFound) as caught:
        engine.run(name, ["true"], platform=OTHER)
    assert caught.value.message == f"the image {name} is not there for the platform {OTHER}"
    assert caught.value.hint == f"it is for {OWN}, as this machine is"


def test_one_that_is_kept(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["true"], platform=str(OWN))
    assert container.start().wait() == 0
    assert container.attrs["Platform"] == "linux", "Docker shows the operating system"
    assert container.start().wait() == 0
    with pytest.raises(ImageNotFound, match=OTHER):
        containers.create(busybox_image, ["true"], platform=OTHER)
    assert len(containers.list(all=True)) == 1


def test_the_command_line(store: object, busybox_image: str) -> None:
    assert printed("run", "--rm", "--platform", str(OWN), busybox_image, "echo", "well") == "well\n"
    name = printed("create", "--platform", f"linux/{os.uname().machine}", busybox_image, "true").strip()
    printed("rm", name)
    for verb, code in (("run", 125), ("create", 1)):
        said = refused(verb, "--platform", OTHER, busybox_image, "true", code=code)
        assert said.startswith(f"the image {busybox_image} is not there for the platform {OTHER}")
    assert "is no platform" in refused("run", "--platform", "linux/6502", busybox_image, "true", code=125)
    assert printed("ps", "-aq") == ""
