"""Steps that take rights and resources away before the program begins: limits, ids, capabilities, system calls."""

from __future__ import annotations

import struct
from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import MAY_FAIL, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = [
    "DropBounding",
    "KeepCapabilities",
    "LoadSeccomp",
    "NewKeyring",
    "NoNewPrivileges",
    "RaiseAmbient",
    "RestoreFileLimit",
    "SetCapabilities",
    "SetGroups",
    "SetLimit",
    "SetOomScore",
    "SetUmask",
    "SetUser",
]


@frozen
class SetOomScore(Step):
    """How soon the kernel kills this process when memory runs out: before the notebook."""

    syscall: ClassVar[str] = "openat2 write"
    score: int
    proc: str
    optional: bool = False

    def describe(self) -> str:
        return f"set the out-of-memory score {self.score}"

    def encode(self, out: Encoder) -> None:
        raw = str(self.score).encode()
        texts = (out.string("self/oom_score_adj"), out.string(raw))
        out.add(
            lib.KB_OP_WRITE,
            len(raw),
            lib.O_WRONLY,
            0,
            lib.RESOLVE_BENEATH,
            at=self.proc,
            text=texts,
            flags=MAY_FAIL if self.optional else 0,
        )


@frozen
class SetLimit(Step):
    """A resource limit of setrlimit(2)."""

    syscall: ClassVar[str] = "setrlimit"
    resource: int
    soft: int
    hard: int
    name: str

    def describe(self) -> str:
        return f"limit {self.name} to {self.soft}:{self.hard}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_RLIMIT, self.resource, self.soft, self.hard)


@frozen
class SetUmask(Step):
    """The permissions that new files do not get."""

    syscall: ClassVar[str] = "umask"
    mask: int

    def describe(self) -> str:
        return f"set the umask {self.mask:04o}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UMASK, self.mask)


@frozen
class RestoreFileLimit(Step):
    """How many files a program may have open is what the monitor was started with; its own limit is higher, as it holds
    descriptors for every container."""

    syscall: ClassVar[str] = "setrlimit"

    def describe(self) -> str:
        return "limit open files as for the caller"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_FILE_LIMIT)


@frozen
class NewKeyring(Step):
    """A session keyring of its own: keys of whoever started the monitor stay outside."""

    syscall: ClassVar[str] = "keyctl"

    def describe(self) -> str:
        return "begin a session keyring"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_KEYRING)


@frozen
class DropBounding(Step):
    """Capabilities outside `mask` can never be had again, by no program (capabilities(7), bounding set)."""

    syscall: ClassVar[str] = "prctl"
    mask: int

    def describe(self) -> str:
        return "drop capabilities from the bounding set"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_BOUNDING, self.mask)


@frozen
class KeepCapabilities(Step):
    """A change of user id shall not clear the permitted set, which the next steps set as the configuration says."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "keep capabilities over the change of user"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_KEEPCAPS, 1)


@frozen
class SetGroups(Step):
    """Supplementary groups."""

    syscall: ClassVar[str] = "setgroups"
    groups: tuple[int, ...]

    def describe(self) -> str:
        return "set groups " + (" ".join(map(str, self.groups)) or "to none")

    def encode(self, out: Encoder) -> None:
        raw = struct.pack(f"={len(self.groups)}I", *self.groups)
        out.add(lib.KB_OP_GROUPS, len(self.groups), text=(out.string(raw) if raw else 0,))


@frozen
class SetUser(Step):
    """Real, effective and saved ids."""

    syscall: ClassVar[str] = "setresgid setresuid"
    uid: int
    gid: int

    def describe(self) -> str:
        return f"become user {self.uid}:{self.gid}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_USER, self.uid, self.gid)


@frozen
class SetCapabilities(Step):
    """Effective, permitted and inheritable sets."""

    syscall: ClassVar[str] = "capset"
    effective: int
    permitted: int
    inheritable: int

    def describe(self) -> str:
        return f"set {self.permitted.bit_count()} capabilities"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CAPSET, self.effective, self.permitted, self.inheritable)


@frozen
class RaiseAmbient(Step):
    """Capabilities that survive exec of an ordinary program."""

    syscall: ClassVar[str] = "prctl"
    mask: int

    def describe(self) -> str:
        return f"raise {self.mask.bit_count()} ambient capabilities"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_AMBIENT, self.mask)


@frozen
class NoNewPrivileges(Step):
    """Setuid programs and file capabilities give nothing any more (no_new_privs)."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "forbid new privileges"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_NO_NEW_PRIVS, 1)


@frozen
class LoadSeccomp(Step):
    """The filter of system calls: classic BPF, compiled before."""

    syscall: ClassVar[str] = "seccomp"
    code: bytes

    def describe(self) -> str:
        return f"load the system call filter ({len(self.code) // 8} instructions)"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SECCOMP, len(self.code) // 8, text=(out.string(self.code),))
