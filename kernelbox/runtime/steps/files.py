"""Steps on folders and files, those of control groups among them."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import MAY_FAIL, NONE, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = [
    "AttachDeviceFilter",
    "HideLower",
    "JoinCgroup",
    "MakeCgroup",
    "MakeFifo",
    "MakeFolder",
    "MakeLink",
    "MakeOpaque",
    "OpenBeneath",
    "OpenFifo",
    "OpenFolder",
    "OpenNamespace",
    "OpenPlace",
    "OpenShared",
    "WriteFile",
]

_WRITE_ONLY = lib.O_WRONLY
_CREATE = lib.O_WRONLY | lib.O_CREAT | lib.O_EXCL | lib.O_NOFOLLOW
_OPEN_FOLDER = lib.O_PATH | lib.O_DIRECTORY
_READ_FOLDER = lib.O_RDONLY | lib.O_DIRECTORY


@frozen
class MakeFolder(Step):
    """A folder `name` in the folder `parent`, owned by `owner` where that is not 0."""

    syscall: ClassVar[str] = "mkdirat"
    name: str
    parent: str = NONE
    mode: int = 0o755
    owner: int = 0
    exists_ok: bool = False

    def describe(self) -> str:
        return f"make the folder {self.name}"

    def encode(self, out: Encoder) -> None:
        name = out.string(self.name)
        out.add(lib.KB_OP_MKDIR, self.mode, self.exists_ok, at=self.parent, text=(name,))
        if self.owner:
            out.add(lib.KB_OP_CHOWN, self.owner, self.owner, at=self.parent, text=(name,))


@frozen
class WriteFile(Step):
    """`content` into the new file `name` of `parent`, owned by `owner` where that is not 0."""

    syscall: ClassVar[str] = "openat2 write"
    name: str
    content: str | bytes
    parent: str = NONE
    mode: int = 0o644
    owner: int = 0

    def describe(self) -> str:
        return f"write {self.name}"

    def encode(self, out: Encoder) -> None:
        raw = self.content if isinstance(self.content, bytes) else self.content.encode()
        name = out.string(self.name)
        out.add(lib.KB_OP_WRITE, len(raw), _CREATE, self.mode, at=self.parent, text=(name, out.string(raw)))
        if self.owner:
            out.add(lib.KB_OP_CHOWN, self.owner, self.owner, at=self.parent, text=(name,))


@frozen
class MakeLink(Step):
    """A symbolic link `name` in `parent` to `target`."""

    syscall: ClassVar[str] = "symlinkat"
    name: str
    target: str
    parent: str = NONE

    def describe(self) -> str:
        return f"link {self.name} to {self.target}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SYMLINK, at=self.parent, text=(out.string(self.name), out.string(self.target)))


@frozen
class HideLower(Step):
    """In an overlay's layer: the lower entry `name` is not there (a whiteout, which is a device 0:0)."""

    syscall: ClassVar[str] = "mknodat"
    name: str
    parent: str

    def describe(self) -> str:
        return f"hide {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_MKNOD, lib.S_IFCHR, 0, at=self.parent, text=(out.string(self.name),))


@frozen
class MakeOpaque(Step):
    """In an overlay's layer: nothing of the lower folder `name` shows through. `attribute` is trusted.overlay.opaque,
    or user.overlay.opaque for a mount with userxattr."""

    syscall: ClassVar[str] = "fsetxattr"
    name: str
    parent: str
    attribute: str

    def describe(self) -> str:
        return f"make {self.name} opaque"

    def encode(self, out: Encoder) -> None:
        texts = (out.string(self.name), out.string(self.attribute), out.string("y"))
        out.add(lib.KB_OP_SETXATTR, 1, at=self.parent, text=texts)


@frozen
class OpenFolder(Step):
    """A descriptor `to` of the folder `name` of `parent`; links are not followed. `readable` lets it be more than a
    place."""

    syscall: ClassVar[str] = "openat2"
    name: str
    to: str
    parent: str = NONE
    readable: bool = False
    on_adoption: bool = False
    """Done too for a container that runs already, when its monitor was killed."""

    def describe(self) -> str:
        return f"open the folder {self.name}"

    def encode(self, out: Encoder) -> None:
        flags = (_READ_FOLDER if self.readable else _OPEN_FOLDER) | lib.O_NOFOLLOW
        adopts = lib.KB_ON_ADOPTION if self.on_adoption else 0
        text = (out.string(self.name),)
        out.add(lib.KB_OP_OPEN, flags, 0, 0, at=self.parent, to=self.to, text=text, flags=adopts)


@frozen
class MakeFifo(Step):
    """A new FIFO `name` in `parent`, owned by `owner`. It replaces the one of an earlier start."""

    syscall: ClassVar[str] = "unlinkat mknodat fchownat"
    name: str
    parent: str
    owner: tuple[int, int] = (0, 0)

    def describe(self) -> str:
        return f"make the FIFO {self.name}"

    def encode(self, out: Encoder) -> None:
        name = out.string(self.name)
        out.add(lib.KB_OP_UNLINK, at=self.parent, text=(name,))
        out.add(lib.KB_OP_MKNOD, lib.S_IFIFO | 0o600, 0, at=self.parent, text=(name,))
        if self.owner != (0, 0):
            out.add(lib.KB_OP_CHOWN, *self.owner, at=self.parent, text=(name,))


@frozen
class OpenFifo(Step):
    """One end of a FIFO, or (`flags` O_RDWR) both at once."""

    syscall: ClassVar[str] = "openat2"
    name: str
    parent: str
    to: str
    flags: int
    on_adoption: bool = False

    def describe(self) -> str:
        return f"open the FIFO {self.name}"

    def encode(self, out: Encoder) -> None:
        adopts = lib.KB_ON_ADOPTION if self.on_adoption else 0
        text = (out.string(self.name),)
        out.add(lib.KB_OP_OPEN, self.flags | lib.O_NOFOLLOW, 0, 0, at=self.parent, to=self.to, text=text, flags=adopts)


@frozen
class OpenPlace(Step):
    """A descriptor `to` that stands for `name` of `parent`, whatever that is, and can only be mounted from."""

    syscall: ClassVar[str] = "openat2"
    name: str
    to: str
    parent: str = NONE

    def describe(self) -> str:
        return f"open {self.name}"

    def encode(self, out: Encoder) -> None:
        flags = lib.O_PATH | lib.O_NOFOLLOW
        out.add(lib.KB_OP_OPEN, flags, 0, 0, at=self.parent, to=self.to, text=(out.string(self.name),))


@frozen
class OpenBeneath(Step):
    """A descriptor `to` of what is at `path` of the folder `parent`, to mount it; no link may lead out of that
    folder."""

    syscall: ClassVar[str] = "openat2"
    path: str
    to: str
    parent: str

    def describe(self) -> str:
        return f"open {self.path} of the volume"

    def encode(self, out: Encoder) -> None:
        resolve = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_MAGICLINKS
        out.add(lib.KB_OP_OPEN, lib.O_PATH, 0, resolve, at=self.parent, to=self.to, text=(out.string(self.path),))


@frozen
class OpenNamespace(Step):
    """A descriptor `to` of the namespace at `path`, to be joined later."""

    syscall: ClassVar[str] = "openat2"
    path: str
    to: str

    def describe(self) -> str:
        return f"open the namespace {self.path}"

    def encode(self, out: Encoder) -> None:
        flags = lib.O_RDONLY | lib.O_NONBLOCK  # the path may be a FIFO, for which the monitor would wait
        out.add(lib.KB_OP_OPEN, flags, 0, 0, to=self.to, text=(out.string(self.path),))


@frozen
class OpenShared(OpenFolder):
    """The same for the monitor itself, which keeps it."""


@frozen
class MakeCgroup(Step):
    """A control group `name` below `parent`, with its limits: (file, value) pairs in their order."""

    syscall: ClassVar[str] = "mkdirat write"
    name: str
    parent: str
    title: str
    writes: tuple[tuple[str, str], ...] = ()
    exists_ok: bool = False
    optional_writes: bool = False

    def describe(self) -> str:
        limits = " ".join(f"{file}={value}" for file, value in self.writes)
        return f"make the {self.title} group" + (f" with {limits}" if limits else "")

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_MKDIR, 0o755, self.exists_ok, at=self.parent, text=(out.string(self.name),))
        for file, value in self.writes:
            raw = value.encode()
            texts = (out.string(f"{self.name}/{file}"), out.string(raw))
            flags = MAY_FAIL if self.optional_writes else 0
            out.add(lib.KB_OP_WRITE, len(raw), _WRITE_ONLY, 0, at=self.parent, text=texts, flags=flags)


@frozen
class JoinCgroup(Step):
    """The process moves itself. Written by another process, or into `cgroup.procs`, the same costs an RCU grace period
    (5 to 10 ms): cgroup_threadgroup_rwsem is not taken for a single thread that moves itself through v1 `tasks`."""

    syscall: ClassVar[str] = "openat2 write"
    name: str
    parent: str
    title: str

    def describe(self) -> str:
        return f"join the {self.title} group"

    def encode(self, out: Encoder) -> None:
        texts = (out.string(f"{self.name}/tasks"), out.string("0"))
        out.add(lib.KB_OP_WRITE, 1, _WRITE_ONLY, 0, at=self.parent, text=texts)


@frozen
class AttachDeviceFilter(Step):
    """The loaded device program `program` on the v2 group `group`: which devices may be opened or made."""

    syscall: ClassVar[str] = "bpf"
    group: str
    program: str

    def describe(self) -> str:
        return "attach the device filter"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_BPF_ATTACH, at=self.group, second=self.program)
