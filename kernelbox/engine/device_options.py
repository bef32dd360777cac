"""Devices, rates of disks, and kernel settings as users write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kernelbox.engine.option_values import absolute_path, integer, pairs, text, texts
from kernelbox.errors import InvalidOption
from kernelbox.oci.runtime_spec import DeviceRule
from kernelbox.oci.sysctl_names import namespace_of
from kernelbox.oci.units import parse_size
from kernelbox.oci.value import frozen

_ACCESS = frozenset("rwm")
_SYSCTL_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_SYSCTL_VALUE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789 ._-")


@frozen
class DeviceRequest:
    """A device of the machine at `source`, to appear at `target`, usable for `access` (part of "rwm")."""

    source: str
    target: str
    access: str


@frozen
class DeviceRate:
    """At most `rate` bytes, or operations, per second on the disk `path`."""

    path: str
    rate: int


def devices(value: object) -> tuple[DeviceRequest, ...]:
    """`["/dev/fuse", "/dev/sda:/dev/disk:r"]` or the API's dicts."""
    several = [value] if isinstance(value, str | Mapping) else value
    if not isinstance(several, Iterable):
        raise InvalidOption(f"expected devices, got {value!r}")
    return tuple(_device(each) for each in several)


def _device(given: object) -> DeviceRequest:
    if isinstance(given, Mapping):
        parts = [given.get(key) for key in ("PathOnHost", "PathInContainer", "CgroupPermissions")]
        source, target, access = (text(part or "") for part in parts)
    else:
        source, *rest = text(given).split(":")
        target, access = "", ""
        if len(rest) == 1 and _ACCESS.issuperset(rest[0]):
            access = rest[0]
        elif rest:
            target, access = rest[0], rest[1] if len(rest) > 1 else ""
        if len(rest) > 2:
            raise InvalidOption(f"{given!r} is not PATH[:TARGET[:rwm]]")
    if not _ACCESS.issuperset(access) or len(access) > 3:
        raise InvalidOption(f"{access!r} is not a part of 'rwm'", hint="r read, w write, m make the node")
    source = absolute_path(source)
    return DeviceRequest(source, absolute_path(target) if target else source, access or "rwm")


def device_rules(value: object) -> tuple[DeviceRule, ...]:
    """Lines of the device controller: "c 10:200 rwm", "b *:* r", "a"."""
    return tuple(_device_rule(each) for each in texts(value))


def _device_rule(written: str) -> DeviceRule:
    kind, *rest = written.split() or [""]
    if kind == "a" and (not rest or rest == ["*:*", "rwm"]):
        return DeviceRule(allow=True, access="rwm")
    if kind not in ("a", "b", "c") or len(rest) != 2 or rest[0].count(":") != 1:
        raise InvalidOption(f"{written!r} is not a device rule", hint="like 'c 10:200 rwm'")
    if not rest[1] or not _ACCESS.issuperset(rest[1]) or len(rest[1]) > 3:
        raise InvalidOption(f"{written!r}: {rest[1]!r} is not a part of 'rwm'")
    major, minor = (None if part == "*" else integer(part, 0, (1 << 32) - 1) for part in rest[0].split(":"))
    return DeviceRule(allow=True, type="" if kind == "a" else kind, major=major, minor=minor, access=rest[1])


def rates(read: Callable[[object], int]) -> Callable[[object], tuple[DeviceRate, ...]]:
    """The reader of `["/dev/sda:1mb"]`, `{"/dev/sda": "1mb"}` or the API's dicts; `read` takes the rate."""

    def read_rates(value: object) -> tuple[DeviceRate, ...]:
        if isinstance(value, Mapping) and "Path" not in value:
            given: list[tuple[str, object]] = [(text(path), rate) for path, rate in value.items()]
        else:
            several = [value] if isinstance(value, str | Mapping) else value
            if not isinstance(several, Iterable):
                raise InvalidOption(f"expected rates, got {value!r}")
            given = [_split_rate(each) for each in several]
        return tuple(DeviceRate(absolute_path(path), read(rate)) for path, rate in given)

    return read_rates


def _split_rate(given: object) -> tuple[str, object]:
    if isinstance(given, Mapping):
        return text(given.get("Path")), given.get("Rate")
    path, colon, rate = text(given).rpartition(":")
    if not colon:
        raise InvalidOption(f"{given!r} has no rate", hint="like /dev/sda:1mb")
    return path, rate


def bytes_per_second(value: object) -> int:
    rate = parse_size(value)  # type: ignore[arg-type]  # refuses other types itself
    if rate == 0:
        raise InvalidOption("a rate of 0 would stop the disk")
    return rate


def operations_per_second(value: object) -> int:
    return integer(value, 1, (1 << 32) - 1)


def sysctls(value: object) -> dict[str, str]:
    """Kernel settings that belong to a namespace of the container's own; anything else is the machine's and refused."""
    result = pairs(value)
    for name, setting in result.items():
        if not _SYSCTL_NAME.issuperset(name) or not all(part for part in name.split(".")):
            raise InvalidOption(f"{name!r} cannot be the name of a kernel setting", hint="like net.core.somaxconn")
        if not setting or not _SYSCTL_VALUE.issuperset(setting) or len(setting) > 256:
            raise InvalidOption(f"{name}: {setting[:60]!r} cannot be the value of a kernel setting")
        if namespace_of(name) is None:
            raise InvalidOption(
                f"{name} is a setting of the whole machine, not of a container",
                hint="net.*, fs.mqueue.* and kernel.shm*, kernel.msg*, kernel.sem are a container's own",
            )
    return result
