"""What options name on the machine must be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.engine import sources
from kernelbox.engine.options import RunOptions
from kernelbox.engine.sources import DeviceNode
from kernelbox.errors import InvalidOption


def test_nothing_named() -> None:
    assert sources.look_up(RunOptions()) is sources.NONE


def test_bind_sources_exist(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    options = RunOptions.make(volumes=[f"{tmp_path}:/a"], mounts=[f"type=bind,src={file},dst=/b", "type=tmpfs,dst=/c"])
    assert sources.look_up(options) is sources.NONE


@pytest.mark.parametrize("option", ["volumes", "mounts"])
def test_a_missing_source_is_named_and_not_made(option: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    given = f"{missing}:/a" if option == "volumes" else f"type=bind,src={missing},dst=/a"
    with pytest.raises(InvalidOption, match=rf"{option}: the source '{missing}' cannot be mounted: no such file"):
        sources.look_up(RunOptions.make(**{option: given}))
    assert not missing.exists()


def test_devices() -> None:
    found = sources.look_up(RunOptions.make(devices=["/dev/null:/dev/nothing:r"])).devices
    node = found["/dev/null"]
    assert (node.type, node.major, node.minor, node.mode & 0o666) == ("c", 1, 3, 0o666)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devices": "/dev/none"}, "devices: the device '/dev/none' cannot be used: no such file or directory"),
        ({"devices": "/etc/passwd"}, "devices: '/etc/passwd' is not a device"),
        ({"device_read_bps": "/dev/null:1m"}, "device_read_bps: '/dev/null' is not a disk"),
        ({"device_write_iops": "/dev/none:1"}, "device_write_iops: the device '/dev/none' cannot be used"),
    ],
)
def test_what_is_no_device(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        sources.look_up(RunOptions.make(**given))
    assert str(caught.value).startswith(message)


def test_privileged_with_the_machines_ids_has_its_devices() -> None:
    found = sources.look_up(RunOptions.make(privileged=True, userns="host"))
    assert set(found.every) == set(found.devices)
    assert not {"/dev/null", "/dev/tty", "/dev/console"} & set(found.every)
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/", "/dev/mqueue/")) for path in found.every)
    assert all(isinstance(node, DeviceNode) for node in found.devices.values())
    assert sources.look_up(RunOptions.make(privileged=True)) is sources.NONE
