"""Mounts as users write them (`-v`, `--mount`, `--tmpfs` and docker-py's forms) to mounts of `config.json`.

Nothing is looked up on the machine here: `sources.look_up` does that before a launch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from kernelbox.engine import volume_options
from kernelbox.engine.option_values import absolute_path, flag, integer, near, text, texts
from kernelbox.engine.volume_options import BIND_FLAGS, IGNORED_FLAGS
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.runtime_spec import Mount
from kernelbox.oci.units import parse_size

PROPAGATIONS = frozenset(["private", "rprivate", "shared", "rshared", "slave", "rslave"])
_ALTERNATIVES = (
    ("ro", "readonly", "rw"),
    ("bind", "rbind"),
    tuple(sorted(PROPAGATIONS)),
    ("z", "Z"),
    ("consistent", "cached", "delegated"),
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("copy", "nocopy"),
)
"""Of each of these a mount may have one: with two, Docker refuses it, because one of them is not meant."""
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")
TMPFS_FLAGS = BIND_FLAGS | frozenset(
    [
        "ro",
        "rw",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
    ]
)
TMPFS_VALUES = frozenset(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"])
TMPFS_OPTIONS = ("noexec", "nosuid", "nodev")
"""Docker's defaults for --tmpfs, each of which its opposite in the options undoes."""
# runc allows mounts over these files of /proc and refuses all others: lxcfs and container tools put theirs there
PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev"]
)


def volumes(value: object, notes: list[str]) -> tuple[Mount, ...]:
    """`-v` strings, or docker-py's `{"/source": {"bind": "/target", "mode": "ro"}}`. Appends sentences to `notes`."""
    if isinstance(value, Mapping):
        return tuple(_volume_of_entry(text(source), each, notes) for source, each in value.items())
    return tuple(_volume_of_text(each, notes) for each in texts(value))


def _volume_of_entry(source: str, entry: object, notes: list[str]) -> Mount:
    if isinstance(entry, str | os.PathLike):
        return _short(source, absolute_path(entry), (), notes)
    if not isinstance(entry, Mapping) or "bind" not in entry:
        raise InvalidOption(f"{source!r}: expected a target, got {entry!r}", hint='{"bind": "/target", "mode": "ro"}')
    words = [text(entry["mode"])] if entry.get("mode") else []
    if entry.get("propagation"):
        words.append(text(entry["propagation"]))
    return _short(source, absolute_path(entry["bind"]), ",".join(words).split(",") if words else (), notes)


def _volume_of_text(written: str, notes: list[str]) -> Mount:
    parts = written.split(":")
    if len(parts) == 1 and written:
        return _short("", absolute_path(written), (), notes)
    if len(parts) > 3 or not all(parts):
        raise InvalidOption(f"{written!r} is not SOURCE:TARGET or SOURCE:TARGET:OPTIONS, and not a target alone")
    return _short(parts[0], absolute_path(parts[1]), parts[2].split(",") if len(parts) == 3 else (), notes)


def _short(source: str, target: str, words: Sequence[str], notes: list[str]) -> Mount:
    """A path of the machine, or the name of a volume."""
    if source.startswith(("/", "~", "./", "../")) or source in (".", ".."):
        return _bind(source, target, words, notes)
    _check_alternatives(words, target)
    return volume_options.short_volume(source, checked_target(target), words, notes)


def _bind(source: str, target: str, words: Iterable[str], notes: list[str]) -> Mount:
    """A bind mount of `source`; read-only reaches the mounts below it too, as in Docker since 25."""
    base, propagation, options = "rbind", "rprivate", []
    words = tuple(words)
    _check_alternatives(words, target)
    for word in words:
        if word in ("bind", "rbind"):
            base = word
        elif word in PROPAGATIONS:
            propagation = word
        elif word in ("ro", "readonly"):
            options += ["ro", "rro"]
        elif word in BIND_FLAGS:
            options.append(word)
        elif word in IGNORED_FLAGS:
            notes.append(f"the mount option {word!r} of {target} is ignored: {IGNORED_FLAGS[word]}")
        elif word not in ("rw", ""):
            known = ("ro", "rw", "bind", "rbind", *PROPAGATIONS, *BIND_FLAGS, *IGNORED_FLAGS)
            raise InvalidOption(f"unknown mount option {word!r} for {target}", hint=near(word, known))
    if base == "bind" and "rro" in options:
        options.remove("rro")
    return Mount(checked_target(target), "bind", host_path(source), (base, propagation, *options))


def _check_alternatives(words: Sequence[str], target: str) -> None:
    for group in _ALTERNATIVES:
        given = [word for word in words if word in group]
        if len(given) > 1:
            raise InvalidOption(f"only one of {' and '.join(map(repr, given))} can be given for {target}")


def host_path(source: str) -> str:
    """A path of the machine, made absolute. Raises InvalidOption for a bare word, which is the name of a volume."""
    if source.startswith("~"):
        source = os.path.expanduser(source)  # no pathlib import for a launch
    if source.startswith("/"):
        return os.path.normpath("/" + source.lstrip("/"))
    if source.startswith(("./", "../")) or source in (".", ".."):
        return os.path.abspath(source)
    raise InvalidOption(
        f"{source!r} is no path of the machine",
        hint=f"one begins with / or ./: ./{source}; a volume has type=volume",
    )


def checked_target(target: str) -> str:
    """Refuses what would hide the container's own root or /proc."""
    if target == "/":
        raise InvalidOption("the target '/' is the container's root", hint="use a directory below it")
    if (target == "/proc" or target.startswith("/proc/")) and target not in PROC_FILES:
        raise InvalidOption(f"the target {target!r} is inside /proc, which is the kernel's")
    return target


def tmpfs(value: object) -> tuple[Mount, ...]:
    """`["/run", "/tmp:size=64m"]` or `{"/tmp": "size=64m"}`."""
    if isinstance(value, Mapping):
        given = [(text(target), text(options or "")) for target, options in value.items()]
    else:
        given = [(target, options) for target, _, options in (each.partition(":") for each in texts(value))]
    return tuple(_tmpfs(absolute_path(target), [word for word in words.split(",") if word]) for target, words in given)


def _tmpfs(target: str, words: Iterable[str], propagation: str = "rprivate") -> Mount:
    options = dict.fromkeys(TMPFS_OPTIONS)
    for word in words:
        key, equals, setting = word.partition("=")
        if equals and key in TMPFS_VALUES:
            options[_tmpfs_setting(key, setting)] = None
        elif word in TMPFS_FLAGS:
            options.pop("no" + word, None)
            options.pop(word.removeprefix("no"), None)
            options[word] = None
        elif word in PROPAGATIONS:
            propagation = word
        else:
            raise InvalidOption(
                f"unknown tmpfs option {word!r} for {target}", hint=near(key, TMPFS_FLAGS | TMPFS_VALUES)
            )
    return Mount(checked_target(target), "tmpfs", "tmpfs", (*options, propagation))


def _tmpfs_setting(key: str, setting: str) -> str:
    if key == "size" and setting.endswith("%"):
        return f"size={integer(setting[:-1], 1, 100)}%"
    if key == "size":
        return f"size={parse_size(setting)}"
    if key == "mode":
        if not setting or len(setting) > 5 or not frozenset("01234567").issuperset(setting):
            raise InvalidOption(f"{setting!r} is not an octal mode", hint="like mode=1777")
        return f"mode={setting}"
    if key == "mpol":
        return f"mpol={setting}"
    return f"{key}={integer(setting, 0, (1 << 32) - 2)}"


def mounts(value: object, notes: list[str]) -> tuple[Mount, ...]:
    """`--mount` strings or docker-py's Mount objects (dicts)."""
    several = [value] if isinstance(value, str | Mapping) else value
    if not isinstance(several, Iterable):
        raise InvalidOption(f"expected mounts, got {value!r}")
    return tuple(_mount(each, notes) for each in several)


# --mount keys and docker-py's, each with the one name used below
_MOUNT_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "read_only",
    "ro": "read_only",
    "read_only": "read_only",
    "consistency": "consistency",
    "bind-propagation": "propagation",
    "bind-recursive": "recursive",
    "bind-nonrecursive": "not_recursive",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
    **volume_options.VOLUME_FIELDS,
}
_FLAG_KEYS = frozenset({"read_only", "not_recursive", "nocopy"})
_REPEATED = frozenset({"volume_labels", "driver_opts"})


def _mount(given: object, notes: list[str]) -> Mount:
    fields = _fields_of_text(given) if isinstance(given, str) else _fields_of_object(given)
    kind = fields.pop("type", "volume")
    if "target" not in fields:
        raise InvalidOption(f"{given!r} has no target", hint="target=/directory/in/the/container")
    target = absolute_path(fields.pop("target"))
    read_only = flag(fields.pop("read_only", False))
    fields.pop("consistency", None)
    if kind == "bind":
        return _long_bind(target, read_only, fields, notes)
    if kind == "tmpfs":
        return _long_tmpfs(target, read_only, fields)
    if kind == "volume":
        return volume_options.long_volume(checked_target(target), read_only, fields)
    if kind in ("image", "npipe", "cluster"):
        raise NotSupported(f"a mount of type {kind!r} is not possible yet", hint="type=volume, bind or tmpfs")
    raise InvalidOption(f"unknown mount type {kind!r}", hint="type=volume, bind or tmpfs")


def _fields_of_text(given: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    for part in _split_commas(text(given)):
        key, equals, setting = part.partition("=")
        name = _MOUNT_KEYS.get(key.strip().lower())
        if name is None:
            raise InvalidOption(f"unknown key {key!r} in {given!r}", hint=near(key, _MOUNT_KEYS))
        if not equals and name not in _FLAG_KEYS:
            raise InvalidOption(f"{key!r} in {given!r} has no value")
        if name in _REPEATED:
            before = fields.get(name, [])
            fields[name] = [*(before if isinstance(before, list) else []), setting]
        else:
            fields[name] = setting if equals else True
    return fields


def _split_commas(given: str) -> list[str]:
    if '"' not in given:
        return given.split(",")
    import csv

    try:
        return next(csv.reader([given], strict=True))
    except csv.Error as error:
        raise InvalidOption(
            f"{given!r} is not a list with commas: {error}",
            hint='quote a whole part: type=bind,"source=/a,b",target=/c',
        ) from None


def _fields_of_object(given: object) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise InvalidOption(f"expected a mount, got {given!r}")
    fields: dict[str, object] = {}
    for key, setting in given.items():
        if setting is None:
            continue
        if key == "VolumeOptions":
            fields |= volume_options.fields_of_object(setting)
        elif key in ("BindOptions", "TmpfsOptions"):
            if not isinstance(setting, Mapping):
                raise InvalidOption(f"{key}: expected a dict, got {setting!r}")
            fields |= _bind_options(setting) if key == "BindOptions" else _tmpfs_options(setting)
        else:
            name = _MOUNT_KEYS.get("read_only" if key == "ReadOnly" else str(key).lower())
            if name is None:
                raise InvalidOption(f"unknown key {key!r} in a mount", hint=near(str(key), _MOUNT_KEYS))
            fields[name] = setting
    return fields


def _bind_options(given: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {"propagation": given["Propagation"]} if given.get("Propagation") else {}
    if flag(given.get("NonRecursive") or False):
        fields["not_recursive"] = True
    words = {"ReadOnlyNonRecursive": "writable", "ReadOnlyForceRecursive": "readonly"}
    chosen = [word for key, word in words.items() if flag(given.get(key) or False)]
    if len(chosen) > 1:
        raise InvalidOption(f"only one of {' and '.join(words)} can be given")
    return fields | ({"recursive": chosen[0]} if chosen else {})


def _tmpfs_options(given: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {"size": given["SizeBytes"]} if given.get("SizeBytes") else {}
    return fields | ({"mode": f"{integer(given['Mode'], 0, 0o7777):o}"} if given.get("Mode") else {})


def _long_bind(target: str, read_only: bool, fields: dict[str, object], notes: list[str]) -> Mount:
    if "source" not in fields:
        raise InvalidOption(f"the bind mount on {target} has no source", hint="source=/path/on/the/machine")
    source = text(fields.pop("source"))
    recursive = _recursion(fields, read_only)
    words = [text(fields.pop("propagation"))] if "propagation" in fields else []
    if recursive == "disabled":
        words.append("bind")
    if read_only:
        words.append("ro")
    if fields:
        raise InvalidOption(f"{', '.join(sorted(fields))} cannot be given for the bind mount on {target}")
    mount = _bind(source, target, words, notes)
    if recursive == "writable":  # only the top is read-only
        return Mount(mount.destination, "bind", mount.source, tuple(word for word in mount.options if word != "rro"))
    return mount


def _recursion(fields: dict[str, object], read_only: bool) -> str:
    """What becomes of the mounts below: one of _RECURSIVE, by the rules of Docker's command line."""
    given = fields.pop("recursive", None)
    if given is not None and given not in _RECURSIVE:
        raise InvalidOption(
            f"bind-recursive={given} is none of {', '.join(_RECURSIVE)}", hint=near(str(given), _RECURSIVE)
        )
    if flag(fields.pop("not_recursive", False)):
        if given not in (None, "disabled"):
            raise InvalidOption(f"bind-nonrecursive and bind-recursive={given} contradict each other")
        given = "disabled"
    if given in ("writable", "readonly") and not read_only:
        raise InvalidOption(f"bind-recursive={given} needs readonly too")
    if given == "readonly" and fields.get("propagation", "rprivate") != "rprivate":
        raise InvalidOption("bind-recursive=readonly needs bind-propagation=rprivate")
    return str(given or "enabled")


def _long_tmpfs(target: str, read_only: bool, fields: dict[str, object]) -> Mount:
    fields.pop("source", None)
    words = ["ro"] if read_only else []
    for key in ("size", "mode"):
        if key in fields:
            words.append(f"{key}={fields.pop(key)}")
    if fields:
        raise InvalidOption(f"{', '.join(sorted(fields))} cannot be given for the tmpfs on {target}")
    return _tmpfs(target, words)
