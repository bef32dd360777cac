"""What is recorded of a container names the same files for whoever starts it again, from whichever folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["whole_image", "whole_options"]

_SOURCES = ("source", "src")


def whole_image(name: str) -> str:
    """`dir:PATH` and `bundle:PATH` with a path from the root; other names as they are."""
    kind, colon, path = name.partition(":")
    if not colon or kind not in ("dir", "bundle") or "\0" in path:
        return name
    return f"{kind}:{os.path.abspath(os.path.expanduser(path or '.'))}"


def whole_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options in their recorded form, the machine's paths in them from the root."""
    return {name: _WHOLE[name](value) if name in _WHOLE else value for name, value in options.items()}


def _whole_source(path: str) -> str:
    """Other words may be names of volumes."""
    if path.startswith("~"):
        return os.path.expanduser(path)
    return os.path.abspath(path) if path in (".", "..") or path.startswith(("./", "../")) else path


def _each(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: [change(each) for each in value] if isinstance(value, list) else change(value)


def _volumes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_whole_source(source): entry for source, entry in value.items()}
    return _each(_volume)(value)


def _volume(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    source, colon, rest = value.partition(":")
    return f"{_whole_source(source)}:{rest}" if colon else value


def _mount(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _whole_source(each) if str(key).lower() in _SOURCES and isinstance(each, str) else each
            for key, each in value.items()
        }
    if not isinstance(value, str):
        return value
    parts = next(csv.reader([value]), [])
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(map(_mount_part, parts))
    return written.getvalue()


def _mount_part(part: str) -> str:
    key, equals, path = part.partition("=")
    return f"{key}={_whole_source(path)}" if equals and key.strip().lower() in _SOURCES else part


def _security(value: Any) -> Any:
    """A profile's file. Docker writes "key:value" too."""
    if not isinstance(value, str):
        return value
    key, sign, path = value.partition("=" if "=" in value else ":")
    is_file = key == "seccomp" and path not in ("", "default", "builtin", "unconfined") and path.lstrip()[:1] != "{"
    return f"{key}{sign}{os.path.abspath(path)}" if is_file else value


def _file(value: Any) -> Any:
    return os.path.abspath(value) if isinstance(value, str) else value


_WHOLE: dict[str, Callable[[Any], Any]] = {
    "volumes": _volumes,
    "mounts": _each(_mount),
    "security_opt": _each(_security),
    "env_file": _each(_file),
}
