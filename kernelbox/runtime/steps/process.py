"""Steps that make the process what it is to be: namespaces, ids, rights, limits, and at last the program."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from kernelbox.native import lib
from kernelbox.runtime.encoder import IN_HOST, MAY_FAIL, NONE, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = [
    "ActAs",
    "ChangeFolder",
    "CloseDescriptors",
    "DropBounding",
    "EndWithMonitor",
    "Exec",
    "JoinNamespace",
    "KeepCapabilities",
    "LoadSeccomp",
    "NewKeyring",
    "NewNamespaces",
    "NewSession",
    "NoNewPrivileges",
    "RaiseAmbient",
    "RunHook",
    "SendNetlink",
    "SetCapabilities",
    "SetDomainname",
    "SetGroups",
    "SetHostname",
    "SetLimit",
    "SetOomScore",
    "SetStandardStreams",
    "SetSysctl",
    "SetTimeOffsets",
    "SetUmask",
    "SetUser",
    "TakeNetworkNamespace",
    "UnshareNamespaces",
]

_NAMES = {
    lib.CLONE_NEWUSER: "user",
    lib.CLONE_NEWNS: "mnt",
    lib.CLONE_NEWPID: "pid",
    lib.CLONE_NEWNET: "net",
    lib.CLONE_NEWIPC: "ipc",
    lib.CLONE_NEWUTS: "uts",
    lib.CLONE_NEWCGROUP: "cgroup",
    lib.CLONE_NEWTIME: "time",
}


def names(flags: int) -> str:
    return " ".join(name for flag, name in _NAMES.items() if flags & flag)


@dataclass(frozen=True, slots=True)
class TakeNetworkNamespace(Step):
    """A network namespace with its loopback up, from the monitor's pool of ready ones."""

    syscall: ClassVar[str] = ""
    to: str

    def describe(self) -> str:
        return "take a network namespace"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_TAKE_NETNS, to=self.to)


@dataclass(frozen=True, slots=True)
class NewNamespaces(Step):
    """The new process, in new namespaces (`flags`: CLONE_NEW*) and, on v2, at once in its group."""

    syscall: ClassVar[str] = "clone3"
    flags: int
    cgroup: str = NONE

    def describe(self) -> str:
        return f"start a process in new namespaces: {names(self.flags)}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CLONE, self.flags, at=self.cgroup)


@dataclass(frozen=True, slots=True)
class JoinNamespace(Step):
    """An existing namespace."""

    syscall: ClassVar[str] = "setns"
    descriptor: str
    flag: int

    def describe(self) -> str:
        return f"join the {names(self.flag)} namespace"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SETNS, self.flag, at=self.descriptor)


@dataclass(frozen=True, slots=True)
class UnshareNamespaces(Step):
    """New namespaces for the process itself. A cgroup namespace shows the groups of the moment it is made as the
    top."""

    syscall: ClassVar[str] = "unshare"
    flags: int

    def describe(self) -> str:
        return f"unshare namespaces: {names(self.flags)}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UNSHARE, self.flags)


@dataclass(frozen=True, slots=True)
class SendNetlink(Step):
    """rtnetlink requests, each of which asks for an acknowledgement."""

    syscall: ClassVar[str] = "sendmsg recvmsg"
    requests: bytes
    title: str

    def describe(self) -> str:
        return self.title

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_NETLINK, len(self.requests), text=(out.string(self.requests),))


@dataclass(frozen=True, slots=True)
class ActAs(Step):
    """What is made from here on in the file system belongs to this id; our capabilities stay."""

    syscall: ClassVar[str] = "prctl setfsuid setfsgid"
    uid: int
    gid: int

    def describe(self) -> str:
        return f"act as id {self.uid}:{self.gid} on files"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_FSIDS, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class SetHostname(Step):
    """The name of the machine as the container sees it."""

    syscall: ClassVar[str] = "sethostname"
    name: str

    def describe(self) -> str:
        return f"set the host name {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_HOSTNAME, text=(out.string(self.name),))


@dataclass(frozen=True, slots=True)
class SetDomainname(Step):
    """The NIS domain name."""

    syscall: ClassVar[str] = "setdomainname"
    name: str

    def describe(self) -> str:
        return f"set the domain name {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_DOMAINNAME, text=(out.string(self.name),))


@dataclass(frozen=True, slots=True)
class SetSysctl(Step):
    """A kernel parameter, written through a procfs that is ours: no link and no other mount on the way."""

    syscall: ClassVar[str] = "openat2 write"
    name: str
    value: str
    proc: str
    optional: bool = False

    def describe(self) -> str:
        return f"set the kernel parameter {self.name}"

    def encode(self, out: Encoder) -> None:
        raw = self.value.encode()
        resolve = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_SYMLINKS | lib.RESOLVE_NO_XDEV
        path = "sys/" + self.name.replace(".", "/")
        texts = (out.string(path), out.string(raw))
        flags = MAY_FAIL if self.optional else 0
        out.add(lib.KB_OP_WRITE, len(raw), lib.O_WRONLY, 0, resolve, at=self.proc, text=texts, flags=flags)


@dataclass(frozen=True, slots=True)
class SetTimeOffsets(Step):
    """How far the clocks of the new time namespace are from the machine's: (clock, seconds, nanoseconds). It is
    entered by exec (time_namespaces(7))."""

    syscall: ClassVar[str] = "unshare openat2 write"
    offsets: tuple[tuple[str, int, int], ...]
    proc: str

    def describe(self) -> str:
        return "make a time namespace" + "".join(f" with {clock} {seconds:+d} s" for clock, seconds, _ in self.offsets)

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UNSHARE, lib.CLONE_NEWTIME)
        raw = "".join(f"{clock} {seconds} {nanoseconds}\n" for clock, seconds, nanoseconds in self.offsets).encode()
        if raw:
            texts = (out.string("self/timens_offsets"), out.string(raw))
            out.add(lib.KB_OP_WRITE, len(raw), lib.O_WRONLY, 0, lib.RESOLVE_BENEATH, at=self.proc, text=texts)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class SetUmask(Step):
    """The permissions that new files do not get."""

    syscall: ClassVar[str] = "umask"
    mask: int

    def describe(self) -> str:
        return f"set the umask {self.mask:04o}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UMASK, self.mask)


@dataclass(frozen=True, slots=True)
class NewSession(Step):
    """A session of its own; with `terminal`, that is its controlling one."""

    syscall: ClassVar[str] = "setsid ioctl"
    terminal: str = NONE

    def describe(self) -> str:
        return "begin a session" + (" on the terminal" if self.terminal else "")

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SESSION)
        if self.terminal:
            out.add(lib.KB_OP_TERMINAL, at=self.terminal)


@dataclass(frozen=True, slots=True)
class SetStandardStreams(Step):
    """Descriptors that become 0, 1 and 2."""

    syscall: ClassVar[str] = "dup2"
    streams: tuple[str, str, str]

    def describe(self) -> str:
        return "set standard input, output and error"

    def encode(self, out: Encoder) -> None:
        for number, name in enumerate(self.streams):
            out.add(lib.KB_OP_DUP, number, at=name)


@dataclass(frozen=True, slots=True)
class CloseDescriptors(Step):
    """Everything above standard error closes when the program starts."""

    syscall: ClassVar[str] = "close_range"

    def describe(self) -> str:
        return "close all other descriptors"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CLOSE_FROM, 3)


@dataclass(frozen=True, slots=True)
class NewKeyring(Step):
    """A session keyring of its own: keys of whoever started the monitor stay outside."""

    syscall: ClassVar[str] = "keyctl"

    def describe(self) -> str:
        return "begin a session keyring"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_KEYRING)


@dataclass(frozen=True, slots=True)
class ChangeFolder(Step):
    """The working directory."""

    syscall: ClassVar[str] = "openat2 fchdir"
    path: str

    def describe(self) -> str:
        return f"change to the folder {self.path}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CHDIR, text=(out.string(self.path),))


@dataclass(frozen=True, slots=True)
class DropBounding(Step):
    """Capabilities outside `mask` can never be had again, by no program (capabilities(7), bounding set)."""

    syscall: ClassVar[str] = "prctl"
    mask: int

    def describe(self) -> str:
        return "drop capabilities from the bounding set"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_BOUNDING, self.mask)


@dataclass(frozen=True, slots=True)
class KeepCapabilities(Step):
    """A change of user id shall not clear the permitted set, which the next steps set as the configuration says."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "keep capabilities over the change of user"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_KEEPCAPS, 1)


@dataclass(frozen=True, slots=True)
class SetGroups(Step):
    """Supplementary groups."""

    syscall: ClassVar[str] = "setgroups"
    groups: tuple[int, ...]

    def describe(self) -> str:
        return "set groups " + (" ".join(map(str, self.groups)) or "to none")

    def encode(self, out: Encoder) -> None:
        raw = struct.pack(f"={len(self.groups)}I", *self.groups)
        out.add(lib.KB_OP_GROUPS, len(self.groups), text=(out.string(raw) if raw else 0,))


@dataclass(frozen=True, slots=True)
class SetUser(Step):
    """Real, effective and saved ids."""

    syscall: ClassVar[str] = "setresgid setresuid"
    uid: int
    gid: int

    def describe(self) -> str:
        return f"become user {self.uid}:{self.gid}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_USER, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class RaiseAmbient(Step):
    """Capabilities that survive exec of an ordinary program."""

    syscall: ClassVar[str] = "prctl"
    mask: int

    def describe(self) -> str:
        return f"raise {self.mask.bit_count()} ambient capabilities"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_AMBIENT, self.mask)


@dataclass(frozen=True, slots=True)
class NoNewPrivileges(Step):
    """Setuid programs and file capabilities give nothing any more (no_new_privs)."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "forbid new privileges"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_NO_NEW_PRIVS, 1)


@dataclass(frozen=True, slots=True)
class EndWithMonitor(Step):
    """A temporary container ends when the monitor is killed. A change of user clears this, so it comes after it."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "end with the monitor"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_PDEATHSIG, 9)


@dataclass(frozen=True, slots=True)
class LoadSeccomp(Step):
    """The filter of system calls: classic BPF, compiled before."""

    syscall: ClassVar[str] = "seccomp"
    code: bytes

    def describe(self) -> str:
        return f"load the system call filter ({len(self.code) // 8} instructions)"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SECCOMP, len(self.code) // 8, text=(out.string(self.code),))


@dataclass(frozen=True, slots=True)
class RunHook(Step):
    """An OCI hook: a program of the host, given the container's state on standard input."""

    syscall: ClassVar[str] = "vfork execve"
    path: str
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    state: bytes
    timeout_ms: int
    kind: str
    in_host: bool = True

    def describe(self) -> str:
        return f"run the {self.kind} hook {self.path}"

    def encode(self, out: Encoder) -> None:
        arguments = (self.path, *(self.arguments or (self.path,)))
        texts = (out.strings(arguments), out.strings(self.environment), out.string(self.state))
        counts = (len(arguments), len(self.environment), len(self.state), self.timeout_ms)
        out.add(lib.KB_OP_HOOK, *counts, text=texts, flags=IN_HOST if self.in_host else 0)


@dataclass(frozen=True, slots=True)
class Exec(Step):
    """The program takes the process over: the first of `candidates` that exists."""

    syscall: ClassVar[str] = "execve"
    candidates: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: tuple[str, ...]

    def describe(self) -> str:
        return f"run {self.arguments[0]}"

    def encode(self, out: Encoder) -> None:
        texts = (out.strings(self.arguments), out.strings(self.environment), out.strings(self.candidates))
        out.add(lib.KB_OP_EXEC, len(self.arguments), len(self.environment), len(self.candidates), text=texts)
