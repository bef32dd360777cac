"""OCI hooks as steps (runtime-spec, config.md, "POSIX-platform Hooks").

`prestart`, `createRuntime` and `createContainer` run when the namespaces and groups exist and the root is not yet
entered, with the machine's files and network; `startContainer` just before the program, with its rights, in the
container; `poststart` and `poststop` beside it. While a hook runs the monitor waits, so each has at most `LONGEST_S`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernelbox.oci.runtime_spec import VERSION, Config
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.process import RunHook
from kernelbox.runtime.target import Target

if TYPE_CHECKING:
    from kernelbox.oci.runtime_spec import Hook

__all__ = ["LONGEST_S", "early", "poststart", "poststop", "start_container"]

LONGEST_S = 30

_PID_PLACE = "@PID@"


def _state(config: Config, target: Target, status: str, pid: int | str = _PID_PLACE) -> bytes:
    document = {
        "ociVersion": VERSION,
        "id": target.id,
        "status": status,
        "pid": pid,
        "bundle": target.bundle,
        "annotations": dict(config.annotations),
    }
    return json.dumps(document).replace(f'"{_PID_PLACE}"', _PID_PLACE).encode()


def _steps(hooks: tuple[Hook, ...], kind: str, state: bytes, *, in_host: bool = True) -> Iterator[Step]:
    for hook in hooks:
        seconds = min(hook.timeout or LONGEST_S, LONGEST_S)
        yield RunHook(hook.path, hook.args, hook.env, state, seconds * 1000, kind, in_host)


def early(config: Config, target: Target) -> Iterator[Step]:
    if config.hooks is None:
        return
    state = _state(config, target, "creating")
    yield from _steps(config.hooks.prestart, "prestart", state)
    yield from _steps(config.hooks.create_runtime, "createRuntime", state)
    yield from _steps(config.hooks.create_container, "createContainer", state)


def start_container(config: Config, target: Target) -> Iterator[Step]:
    if config.hooks is not None:
        own = config.linux and any(space.type == "pid" and not space.path for space in config.linux.namespaces)
        state = _state(config, target, "created", 1 if own else _PID_PLACE)  # as the hook itself sees it
        yield from _steps(config.hooks.start_container, "startContainer", state, in_host=False)


def poststart(config: Config, target: Target) -> Iterator[Step]:
    if config.hooks is not None:
        yield from _steps(config.hooks.poststart, "poststart", _state(config, target, "running"), in_host=False)


def poststop(config: Config, target: Target) -> Iterator[Step]:
    if config.hooks is not None:
        yield from _steps(config.hooks.poststop, "poststop", _state(config, target, "stopped"), in_host=False)
