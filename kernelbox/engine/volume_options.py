"""Volumes as users write them (`-v NAME:/target`, `--mount type=volume,...`), in a form that a record can hold.

A mount of type "volume" has the volume's name as its source, "" for one that is made for this place. Its options are
words: ro, nocopy, the flags of bind mounts, `volume-subpath=PATH` and `volume-label=KEY=VALUE`. What folder that is is
settled before a launch (`volume_mounts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kernelbox.engine.option_values import flag, near, text, texts
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.runtime_spec import Mount
from kernelbox.oci.value import frozen
from kernelbox.store.volume_names import checked_name

__all__ = [
    "VOLUME_FIELDS",
    "VolumeWords",
    "check_driver",
    "fields_of_object",
    "long_volume",
    "short_volume",
    "volumes_from",
]

BIND_FLAGS = frozenset(["exec", "noexec", "suid", "nosuid", "dev", "nodev"])
IGNORED_FLAGS = {
    "z": "SELinux labels are left as they are",
    "Z": "SELinux labels are left as they are",
    "consistent": "it only means something on macOS",
    "cached": "it only means something on macOS",
    "delegated": "it only means something on macOS",
}
_SUBPATH, _LABEL = "volume-subpath=", "volume-label="
DRIVER = "local"

VOLUME_FIELDS = {
    "volume-nocopy": "nocopy",
    "volume-subpath": "subpath",
    "volume-driver": "driver",
    "volume-label": "volume_labels",
    "volume-opt": "driver_opts",
}
"""The keys of --mount that volumes alone have, each with the name used here. The last two can be given again."""


@frozen
class VolumeWords:
    """What the words of a volume's mount say; `flags` are those of the mount itself."""

    nocopy: bool = False
    subpath: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Iterable[str]) -> VolumeWords:
        nocopy, subpath, labels, flags = False, "", [], []
        for word in words:
            if word == "nocopy":
                nocopy = True
            elif word.startswith(_SUBPATH):
                subpath = word.removeprefix(_SUBPATH)
            elif word.startswith(_LABEL):
                key, _, value = word.removeprefix(_LABEL).partition("=")
                labels.append((key, value))
            else:
                flags.append(word)
        return cls(nocopy, subpath, tuple(labels), tuple(flags))


def short_volume(name: str, target: str, words: Sequence[str], notes: list[str]) -> Mount:
    """Of `-v`. `name` is "" for a volume of this place's own. Raises InvalidOption."""
    options = []
    for word in words:
        if word in ("ro", "readonly"):
            options.append("ro")
        elif word in BIND_FLAGS or word == "nocopy":
            options.append(word)
        elif word in IGNORED_FLAGS:
            notes.append(f"the mount option {word!r} of {target} is ignored: {IGNORED_FLAGS[word]}")
        elif word not in ("rw", "copy", ""):
            known = ("ro", "rw", "nocopy", *BIND_FLAGS, *IGNORED_FLAGS)
            raise InvalidOption(f"unknown option {word!r} for the volume on {target}", hint=near(word, known))
    return Mount(target, "volume", checked_name(name) if name else "", tuple(options))


def long_volume(target: str, read_only: bool, fields: dict[str, object]) -> Mount:
    """Of `--mount`; takes from `fields` what is a volume's. Raises InvalidOption, NotSupported."""
    name = text(fields.pop("source", "") or "")
    check_driver(text(fields.pop("driver", DRIVER) or DRIVER))
    if fields.pop("driver_opts", None):
        raise NotSupported("volume-opt: the driver local takes no options here")
    words = ["ro"] if read_only else []
    if flag(fields.pop("nocopy", False)):
        words.append("nocopy")
    if subpath := text(fields.pop("subpath", "") or ""):
        words.append(_SUBPATH + _checked_subpath(subpath, name))
    words += [f"{_LABEL}{each}" for each in texts(fields.pop("volume_labels", ()))]
    if fields:
        raise InvalidOption(f"{', '.join(sorted(fields))} cannot be given for the volume on {target}")
    return Mount(target, "volume", checked_name(name) if name else "", tuple(words))


def _checked_subpath(path: str, name: str) -> str:
    if not name:
        raise InvalidOption("volume-subpath needs a volume that has a name", hint="source=NAME")
    if path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise InvalidOption(
            f"volume-subpath: {path!r} leads out of the volume", hint="a path below the volume, without '..'"
        )
    return path


def check_driver(name: str) -> None:
    """Raises InvalidOption for one that there is not."""
    if name != DRIVER:
        raise InvalidOption(f"there is no volume driver {name!r}", hint="there is: local")


def volumes_from(value: object) -> tuple[str, ...]:
    """Of the option: names of containers, each with ":ro" or ":rw" behind it or nothing. Raises InvalidOption."""
    found = texts(value)
    for each in found:
        name, _, mode = each.partition(":")
        if not name or mode not in ("", "ro", "rw"):
            raise InvalidOption(f"{each!r} is not CONTAINER or CONTAINER:ro", hint="the mode is ro or rw")
    return found


def fields_of_object(given: object) -> dict[str, object]:
    """The API's VolumeOptions. Raises InvalidOption."""
    if not isinstance(given, Mapping):
        raise InvalidOption(f"VolumeOptions: expected a dict, got {given!r}")
    names = {"NoCopy": "nocopy", "Subpath": "subpath", "Labels": "volume_labels", "DriverConfig": "driver"}
    fields: dict[str, object] = {}
    for key, setting in given.items():
        if key not in names:
            raise InvalidOption(f"unknown key {key!r} in VolumeOptions", hint=near(str(key), names))
        if not setting:
            continue
        if key == "Labels":
            if not isinstance(setting, Mapping):
                raise InvalidOption(f"Labels: expected a dict, got {setting!r}")
            setting = [f"{label}={value}" for label, value in setting.items()]
        elif key == "DriverConfig":
            if not isinstance(setting, Mapping):
                raise InvalidOption(f"DriverConfig: expected a dict, got {setting!r}")
            fields["driver_opts"] = setting.get("Options")
            setting = setting.get("Name")
        fields[names[key]] = setting
    return fields
