"""Volumes in `-v`, `--mount` and docker-py's forms: all say the same, and what cannot be meant is refused."""

from __future__ import annotations

import pytest

from kernelbox.engine.options import RunOptions
from kernelbox.engine.volume_options import VolumeWords
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.runtime_spec import Mount

WEB = Mount("/data", "volume", "web", ("ro",))


@pytest.mark.parametrize(
    "given",
    [
        {"volumes": ["web:/data:ro"]},
        {"volumes": {"web": {"bind": "/data", "mode": "ro"}}},
        {"mounts": ["type=volume,src=web,dst=/data,readonly"]},
        {"mounts": ["source=web,target=/data,ro"]},
        {"mounts": [{"Type": "volume", "Source": "web", "Target": "/data", "ReadOnly": True}]},
    ],
)
def test_a_volume_with_a_name(given: dict[str, object]) -> None:
    options = RunOptions.make(**given)
    assert (*options.volumes, *options.mounts) == (WEB,)


@pytest.mark.parametrize(
    "given",
    [
        {"volumes": ["/data"]},
        {"volumes": "/data/"},
        {"mounts": ["type=volume,dst=/data"]},
        {"mounts": ["dst=/data"]},
        {"mounts": [{"Type": "volume", "Target": "/data", "Source": ""}]},
    ],
)
def test_a_volume_of_its_own(given: dict[str, object]) -> None:
    options = RunOptions.make(**given)
    assert (*options.volumes, *options.mounts) == (Mount("/data", "volume", "", ()),)


def test_what_a_volume_can_be_told() -> None:
    text = "src=web,dst=/d,volume-nocopy,volume-subpath=a/b,volume-label=x=1,volume-label=y,volume-driver=local"
    volume = {"NoCopy": True, "Subpath": "a/b", "Labels": {"x": "1", "y": ""}, "DriverConfig": {"Name": "local"}}
    thing = {"Type": "volume", "Source": "web", "Target": "/d", "VolumeOptions": volume}
    for given in (text, thing):
        (mount,) = RunOptions.make(mounts=[given]).mounts
        assert VolumeWords.of(mount.options) == VolumeWords(True, "a/b", (("x", "1"), ("y", "")))
    (short,) = RunOptions.make(volumes="web:/d:nocopy,nosuid,z").volumes
    assert VolumeWords.of(short.options) == VolumeWords(True, flags=("nosuid",))


NAMES = ["../etc", "a/b", ".hidden", "-x", "_x", "ä", "a b", "a\n", "a" * 256, "a:b"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name(name: str) -> None:
    for given in ({"Source": name, "Target": "/d"}, {"Type": "volume", "Source": name, "Target": "/d"}):
        with pytest.raises(InvalidOption, match="not a name for a volume"):
            RunOptions.make(mounts=[given])
    if not name.startswith("../"):  # which is a folder of the machine
        with pytest.raises(InvalidOption):
            RunOptions.make(volumes=[f"{name}:/d"])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"volumes": "web:/"}, "the container's root"),
        ({"volumes": "web:/proc"}, "inside /proc"),
        ({"volumes": "/"}, "the container's root"),
        ({"volumes": "web:/d:rshared"}, "unknown option 'rshared' for the volume on /d"),
        ({"volumes": "web:/d:ro,rw"}, "only one of 'ro' and 'rw'"),
        ({"volumes": "web:/d:copy,nocopy"}, "only one of 'copy' and 'nocopy'"),
        ({"volumes": ["a:/d", "b:/d"]}, "the target of two mounts"),
        ({"mounts": "src=web,dst=/d,volume-subpath=../x"}, "leads out of the volume"),
        ({"mounts": "src=web,dst=/d,volume-subpath=/x"}, "leads out of the volume"),
        ({"mounts": "dst=/d,volume-subpath=x"}, "needs a volume that has a name"),
        ({"mounts": "src=web,dst=/d,volume-driver=nfs"}, "no volume driver 'nfs'"),
        ({"mounts": "src=web,dst=/d,bind-propagation=shared"}, "propagation cannot be given for the volume on /d"),
        ({"mounts": "type=bind,src=/a,dst=/d,volume-nocopy"}, "nocopy cannot be given for the bind mount"),
        ({"mounts": "type=tmpfs,dst=/d,volume-nocopy"}, "nocopy cannot be given for the tmpfs"),
        ({"mounts": [{"Target": "/d", "VolumeOptions": {"NoCoppy": True}}]}, "unknown key 'NoCoppy'"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        RunOptions.make(**given)


def test_the_driver_takes_no_options() -> None:
    with pytest.raises(NotSupported, match="takes no options"):
        RunOptions.make(mounts="src=web,dst=/d,volume-opt=type=nfs")
