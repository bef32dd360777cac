"""Devices, rates of disks, and kernel settings."""

from __future__ import annotations

import pytest

from kernelbox.engine.device_options import DeviceRate, DeviceRequest
from kernelbox.engine.options import RunOptions
from kernelbox.errors import InvalidOption
from kernelbox.oci.runtime_spec import DeviceRule


@pytest.mark.parametrize(
    ("given", "request_"),
    [
        ("/dev/fuse", DeviceRequest("/dev/fuse", "/dev/fuse", "rwm")),
        ("/dev/fuse:r", DeviceRequest("/dev/fuse", "/dev/fuse", "r")),
        ("/dev/sda:/dev/disk", DeviceRequest("/dev/sda", "/dev/disk", "rwm")),
        ("/dev/sda:/dev/disk:rw", DeviceRequest("/dev/sda", "/dev/disk", "rw")),
        (
            {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/disk", "CgroupPermissions": "r"},
            DeviceRequest("/dev/sda", "/dev/disk", "r"),
        ),
    ],
)
def test_devices(given: object, request_: DeviceRequest) -> None:
    assert RunOptions.make(devices=given).devices == (request_,)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("c 10:200 rwm", DeviceRule(True, "c", 10, 200, "rwm")),
        ("b *:* r", DeviceRule(True, "b", None, None, "r")),
        ("c 10:* w", DeviceRule(True, "c", 10, None, "w")),
        ("a *:* rwm", DeviceRule(True, access="rwm")),
        ("a", DeviceRule(True, access="rwm")),
    ],
)
def test_device_rules(given: str, rule: DeviceRule) -> None:
    assert RunOptions.make(device_cgroup_rules=[given]).device_cgroup_rules == (rule,)


@pytest.mark.parametrize(
    ("option", "given", "rate"),
    [
        ("device_read_bps", "/dev/sda:1mb", 1 << 20),
        ("device_write_bps", {"/dev/sda": 4096}, 4096),
        ("device_write_bps", [{"Path": "/dev/sda", "Rate": 4096}], 4096),
        ("device_read_iops", ["/dev/sda:100"], 100),
        ("device_write_iops", {"/dev/sda": 100}, 100),
    ],
)
def test_rates(option: str, given: object, rate: int) -> None:
    options = RunOptions.make(**{option: given})
    assert options.device_rates == ((option, (DeviceRate("/dev/sda", rate),)),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devices": "dev/sda"}, "devices: 'dev/sda' is not an absolute path"),
        ({"devices": "/dev/sda:/x:rx"}, "devices: 'rx' is not a part of 'rwm'"),
        ({"devices": "/dev/sda:/x:r:w"}, "devices: '/dev/sda:/x:r:w' is not PATH"),
        ({"devices": "/dev/../etc"}, "devices: '/dev/../etc' contains '..'"),
        ({"device_cgroup_rules": "c 1:2"}, "device_cgroup_rules: 'c 1:2' is not a device rule"),
        ({"device_cgroup_rules": "d 1:2 r"}, "device_cgroup_rules: 'd 1:2 r' is not a device rule"),
        ({"device_cgroup_rules": "c 1:2 x"}, "device_cgroup_rules: 'c 1:2 x': 'x' is not a part of 'rwm'"),
        ({"device_cgroup_rules": "c 1:99999999999 r"}, "device_cgroup_rules: 99999999999 is not between"),
        ({"device_cgroup_rules": "c 1:2 r\nc 3:4 r"}, "device_cgroup_rules: 'c 1:2 r\\nc 3:4 r' is not a device rule"),
        ({"device_read_bps": "/dev/sda"}, "device_read_bps: '/dev/sda' has no rate"),
        ({"device_read_bps": "/dev/sda:0"}, "device_read_bps: a rate of 0 would stop the disk"),
        ({"device_read_iops": "/dev/sda:1.5"}, "device_read_iops: expected a whole number, got '1.5'"),
        ({"sysctls": {"kernel.core_pattern": "|/x"}}, "sysctls: kernel.core_pattern: '|/x' cannot be the value"),
        (
            {"sysctls": {"kernel.core_pattern": "core"}},
            "sysctls: kernel.core_pattern is a setting of the whole",
        ),
        ({"sysctls": {"vm.swappiness": 1}}, "sysctls: vm.swappiness is a setting of the whole machine"),
        ({"sysctls": {"net..core": 1}}, "sysctls: 'net..core' cannot be the name of a kernel setting"),
        ({"sysctls": {"net/../kernel/core_pattern": 1}}, "sysctls: 'net/../kernel/core_pattern' cannot be the name"),
        ({"sysctls": {"net.core.somaxconn": "1\n2"}}, "sysctls: net.core.somaxconn: '1\\n2' cannot be the value"),
        ({"sysctls": {"net.core.somaxconn": ""}}, "sysctls: net.core.somaxconn: '' cannot be the value"),
        ({"sysctls": {"net.core.somaxconn": "A+B"}}, "sysctls: net.core.somaxconn: 'A+B' cannot be the value"),
        ({"sysctls": "=1"}, "sysctls: is empty"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        RunOptions.make(**given)
    assert str(caught.value).startswith(message)
