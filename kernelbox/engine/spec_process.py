"""What runs: arguments, environment, working directory and rights of the first process."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence

from kernelbox.engine import hardening
from kernelbox.engine.init_program import INIT
from kernelbox.engine.machine import Machine
from kernelbox.engine.option_values import absolute_path, text
from kernelbox.engine.options import RunOptions
from kernelbox.engine.users import ResolvedUser
from kernelbox.errors import InvalidOption
from kernelbox.oci import capability_names
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Capabilities, Process, Rlimit, User

MAX_STRING = 128 << 10
"""MAX_ARG_STRLEN: the kernel's bound on one argument or variable, its NUL included (execve(2))."""
MAX_TOTAL = 6 << 20
"""Three quarters of the kernel's 8 MiB: its bound on all of them, however large the stack may grow."""
MIN_TOTAL = 128 << 10


def build(
    options: RunOptions,
    image: ImageConfig,
    command: Sequence[str],
    machine: Machine,
    user: ResolvedUser,
    hostname: str,
) -> Process:
    """The process section. Raises InvalidOption."""
    args, env = _arguments(options, image, command), _environment(options, image, user, hostname)
    rlimits = _rlimits(options.ulimits)
    _check_size(args, env, machine, rlimits)
    return Process(
        cwd=options.workdir or _image_directory(image),
        user=User(user.uid, user.gid, hardening.UMASK if options.umask is None else options.umask, user.groups),
        terminal=options.tty,
        args=args,
        env=env,
        capabilities=capabilities(options.privileged, options.cap_add, options.cap_drop, user.uid == 0),
        rlimits=rlimits,
        no_new_privileges=options.security.no_new_privileges,
        oom_score_adj=_oom_score_adj(options, machine),
    )


def _arguments(options: RunOptions, image: ImageConfig, command: Sequence[str]) -> tuple[str, ...]:
    """As Docker: an entry point of the user's drops the image's command too."""
    try:
        given = tuple(text(each) for each in command)
    except InvalidOption as error:
        raise InvalidOption(f"command: {error.message}", hint=error.hint) from None
    if options.entrypoint is not None:
        args = (*options.entrypoint, *given)
    else:
        args = (*image.entrypoint, *(given or image.cmd))
    if not args or not args[0]:
        raise InvalidOption("no command to run", hint="the image names none, so one must be given")
    return (INIT.destination, *args) if options.init else args


def _environment(options: RunOptions, image: ImageConfig, user: ResolvedUser, hostname: str) -> tuple[str, ...]:
    entries = {"PATH": "PATH=" + hardening.PATH, "HOSTNAME": "HOSTNAME=" + hostname}
    if options.tty:
        entries["TERM"] = "TERM=xterm"
    for entry in image.env:
        name, equals, _ = entry.partition("=")
        if name and equals:  # an image may say anything; what is no variable is left out
            entries[name] = entry
    for entry in options.env:
        entries[entry.partition("=")[0]] = entry
    entries.setdefault("HOME", "HOME=" + user.home)
    return tuple(entries.values())


def _image_directory(image: ImageConfig) -> str:
    directory = image.working_dir
    if not directory:
        return "/"
    try:
        return absolute_path(directory if directory.startswith("/") else "/" + directory)
    except InvalidOption as error:
        raise InvalidOption(f"the image's working directory: {error.message}", hint="workdir= sets another") from None


@functools.lru_cache(maxsize=128)
def capabilities(privileged: bool, add: tuple[str, ...], drop: tuple[str, ...], root: bool) -> Capabilities:
    """The five sets. As in Docker a user other than root has none in force; the bounding set lets setuid programs work.

    Inheritable and ambient stay empty: with inheritable ones a file capability would give more than it should."""
    if privileged or "CAP_ALL" in add:
        wanted = set(capability_names.ALL)
    else:
        wanted = set() if "CAP_ALL" in drop else set(capability_names.DEFAULT)
    if not privileged:
        wanted = (wanted - set(drop)) | (set(add) - {"CAP_ALL"})
    return with_bounding(tuple(name for name in capability_names.ALL if name in wanted), root=root)


def with_bounding(bounding: tuple[str, ...], *, root: bool) -> Capabilities:
    """The sets of a user who can come to have these."""
    effective = bounding if root else ()
    return Capabilities(bounding=bounding, effective=effective, permitted=effective)


def _rlimits(ulimits: tuple[Rlimit, ...]) -> tuple[Rlimit, ...]:
    if not ulimits:
        return _ONLY_CORE
    if any(limit.type == "RLIMIT_CORE" for limit in ulimits):
        return ulimits
    return (hardening.NO_CORE, *ulimits)


_ONLY_CORE = (hardening.NO_CORE,)


def _oom_score_adj(options: RunOptions, machine: Machine) -> int:
    asked = options.oom_score_adj
    if asked is None:
        return max(hardening.OOM_SCORE_ADJ, machine.oom_score_adj)
    if asked < machine.oom_score_adj:
        raise InvalidOption(
            f"oom_score_adj: {asked} would keep the container alive longer than the engine itself",
            hint=f"at least {machine.oom_score_adj}",
        )
    return asked


def _check_size(args: Sequence[str], env: Iterable[str], machine: Machine, rlimits: Iterable[Rlimit]) -> None:
    """The kernel's bounds on execve(2), said before anything is launched."""
    total = len(args[0]) + 1  # the path of the program counts, too
    for what, strings in (("argument", args), ("variable", env)):
        for each in strings:
            length = len(each) if each.isascii() else len(os.fsencode(each))
            if length >= MAX_STRING:
                raise InvalidOption(
                    f"the {what} {each[:30]!r}... is {length} bytes long; the kernel takes {MAX_STRING - 1}",
                    hint="pass it as a file or as input=",
                )
            total += length + 9  # its NUL, and a pointer
    stack = next((limit.soft for limit in rlimits if limit.type == "RLIMIT_STACK"), machine.stack_limit)
    allowed = max(min(MAX_TOTAL, stack // 4), MIN_TOTAL)
    if total > allowed:
        raise InvalidOption(
            f"arguments and environment are {total} bytes; the kernel takes {allowed} in all",
            hint="pass them as a file or as input=",
        )
