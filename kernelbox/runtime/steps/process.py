"""Steps that make the process what it is to be: namespaces, names, session, and at last the program."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import IN_HOST, MAY_FAIL, NONE, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = [
    "ActAs",
    "ChangeFolder",
    "CloseDescriptors",
    "EndWithMonitor",
    "Exec",
    "FindProcess",
    "JoinNamespace",
    "NewNamespaces",
    "NewProcessBeside",
    "NewSession",
    "NoteRunning",
    "RunHook",
    "SendNetlink",
    "SetDomainname",
    "SetHostname",
    "SetStandardStreams",
    "SetSysctl",
    "SetTimeOffsets",
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


@frozen
class TakeNetworkNamespace(Step):
    """A network namespace with its loopback up, from the monitor's pool of ready ones."""

    syscall: ClassVar[str] = ""
    to: str

    def describe(self) -> str:
        return "take a network namespace"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_TAKE_NETNS, to=self.to)


@frozen
class NewNamespaces(Step):
    """The new process, in new namespaces (`flags`: CLONE_NEW*) and, on v2, at once in its group."""

    syscall: ClassVar[str] = "clone3"
    flags: int
    cgroup: str = NONE
    pid_of: str = NONE
    """A process whose pid namespace it is put into."""

    def describe(self) -> str:
        return f"start a process in new namespaces: {names(self.flags)}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CLONE, self.flags, at=self.cgroup, second=self.pid_of)


@frozen
class FindProcess(Step):
    """The first process of a running container: `to` is its pidfd, `root` its root folder."""

    syscall: ClassVar[str] = "openat fcntl pidfd_send_signal"
    container: str
    to: str
    root: str = NONE

    def describe(self) -> str:
        return f"find the first process of {self.container}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PROCESS, third=self.root, to=self.to, text=(out.string(bytes.fromhex(self.container)),))


@frozen
class NewProcessBeside(Step):
    """The new process, in the pid namespace of another one, in those of its mounts and its network that `spaces` names
    (CLONE_NEWNS, CLONE_NEWNET), and on v2 in its group."""

    syscall: ClassVar[str] = "setns clone3 setns"
    process: str
    cgroup: str = NONE
    spaces: int = 0

    def describe(self) -> str:
        return "start a process in the container's pid namespace"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CLONE, 0, self.spaces, at=self.cgroup, second=self.process)


@frozen
class NoteRunning(Step):
    """Which process it is, into the container's folder: whoever comes after a monitor that was killed finds it."""

    syscall: ClassVar[str] = "openat read write"
    folder: str
    name: str = "running"

    def describe(self) -> str:
        return "note that it runs"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_NOTE, at=self.folder, text=(out.string(self.name),))


@frozen
class JoinNamespace(Step):
    """An existing namespace."""

    syscall: ClassVar[str] = "setns"
    descriptor: str
    flag: int

    def describe(self) -> str:
        return f"join the {names(self.flag)} namespace{'s' if self.flag & (self.flag - 1) else ''}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SETNS, self.flag, at=self.descriptor)


@frozen
class UnshareNamespaces(Step):
    """New namespaces for the process itself. A cgroup namespace shows the groups of the moment it is made as the
    top."""

    syscall: ClassVar[str] = "unshare"
    flags: int

    def describe(self) -> str:
        return f"unshare namespaces: {names(self.flags)}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UNSHARE, self.flags)


@frozen
class SendNetlink(Step):
    """rtnetlink requests, each of which asks for an acknowledgement."""

    syscall: ClassVar[str] = "sendmsg recvmsg"
    requests: bytes
    title: str

    def describe(self) -> str:
        return self.title

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_NETLINK, len(self.requests), text=(out.string(self.requests),))


@frozen
class ActAs(Step):
    """What is made from here on in the file system belongs to this id; our capabilities stay."""

    syscall: ClassVar[str] = "prctl setfsuid setfsgid"
    uid: int
    gid: int

    def describe(self) -> str:
        return f"act as id {self.uid}:{self.gid} on files"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_FSIDS, self.uid, self.gid)


@frozen
class SetHostname(Step):
    """The name of the machine as the container sees it."""

    syscall: ClassVar[str] = "sethostname"
    name: str

    def describe(self) -> str:
        return f"set the host name {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_HOSTNAME, text=(out.string(self.name),))


@frozen
class SetDomainname(Step):
    """The NIS domain name."""

    syscall: ClassVar[str] = "setdomainname"
    name: str

    def describe(self) -> str:
        return f"set the domain name {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_DOMAINNAME, text=(out.string(self.name),))


@frozen
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


@frozen
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


@frozen
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


@frozen
class SetStandardStreams(Step):
    """Descriptors that become 0, 1 and 2."""

    syscall: ClassVar[str] = "dup2"
    streams: tuple[str, str, str]

    def describe(self) -> str:
        return "set standard input, output and error"

    def encode(self, out: Encoder) -> None:
        for number, name in enumerate(self.streams):
            out.add(lib.KB_OP_DUP, number, at=name)


@frozen
class CloseDescriptors(Step):
    """Everything above standard error closes when the program starts."""

    syscall: ClassVar[str] = "close_range"

    def describe(self) -> str:
        return "close all other descriptors"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CLOSE_FROM, 3)


@frozen
class ChangeFolder(Step):
    """The working directory."""

    syscall: ClassVar[str] = "openat2 fchdir"
    path: str

    def describe(self) -> str:
        return f"change to the folder {self.path}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_CHDIR, text=(out.string(self.path),))


@frozen
class EndWithMonitor(Step):
    """A temporary container ends when the monitor is killed. A change of user clears this, so it comes after it."""

    syscall: ClassVar[str] = "prctl"

    def describe(self) -> str:
        return "end with the monitor"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PRCTL, lib.PR_SET_PDEATHSIG, 9)


@frozen
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


@frozen
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
