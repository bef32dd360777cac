"""What a container is made from: layers, or a bundle's root file system, and what the image says about running it.

`box.images.get` gives it to people too, with docker-py's attributes and methods; those of `host`, folders and bundles,
which no store has, are few.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.runtime.encoder import NONE

if TYPE_CHECKING:
    from kernelbox.engine.image_inspect import HistoryList
    from kernelbox.engine.images import Images
    from kernelbox.engine.layer_picture import LayerPicture
    from kernelbox.oci.image_document import ImageDocument
    from kernelbox.store.image_rows import ImageRecord

__all__ = ["Image", "ImageLayer", "Stored", "read_beneath"]

_MOST_PASSWD = 1 << 20
"""The bound of what is read of /etc/passwd and /etc/group: users.py gets no more."""


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A folder of the machine, the image of a file system (`erofs`), or the mask of `host`."""

    path: str = ""
    source: str = NONE
    erofs: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store knows of an image: its row and its configuration file, as they were when it was looked up."""

    images: Images
    record: ImageRecord
    document: ImageDocument


@dataclass(frozen=True, slots=True, repr=False)
class Image:
    """What a container is made from; `layers` has the topmost first. A bundle has its own configuration and its root
    file system, written to in place. `digest` is the id of one of the store, and `stored` what that knows of it.
    `open_root` gives a descriptor of the whole root, where it takes more than a look into the topmost layer."""

    name: str
    config: ImageConfig
    layers: tuple[ImageLayer, ...] = ()
    digest: str = ""
    mounts: tuple[Mount, ...] = ()
    bundle: Config | None = None
    root: str = ""
    bundle_path: str = ""
    accounts: tuple[bytes, bytes] | None = field(default=None, repr=False)
    open_root: Callable[[], AbstractContextManager[int]] | None = field(default=None, repr=False, compare=False)
    stored: Stored | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<Image: {', '.join(map(repr, self.tags or (self.name,)))}>"

    @property
    def id(self) -> str:
        """Its digest with the algorithm in front; of what no store has, its name."""
        return self.digest or self.name

    @property
    def short_id(self) -> str:
        """The twelve digits that Docker shows."""
        return self.digest.partition(":")[2][:12] or self.name

    @property
    def tags(self) -> tuple[str, ...]:
        """What it is called in the store, as people write it ("debian:12")."""
        return self.stored.images.familiar(self.stored.record.tags) if self.stored else ()

    @property
    def repo_digests(self) -> tuple[str, ...]:
        """What registries call it ("debian@sha256:...")."""
        return self.stored.images.familiar(self.stored.record.digests) if self.stored else ()

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.labels)

    @property
    def size(self) -> int:
        """The bytes of its layers on this disk; 0 for what no store has."""
        return self.stored.record.size if self.stored else 0

    @property
    def created_at(self) -> float:
        """In seconds since 1970; 0 where nobody knows."""
        return self.stored.record.created_at if self.stored else 0.0

    @property
    def platform(self) -> str:
        """What it runs on, "linux/amd64"; empty for what no store has."""
        return self.stored.record.platform if self.stored else ""

    @property
    def attrs(self) -> dict[str, Any]:
        """Everything known of it, as docker image inspect has it."""
        from kernelbox.engine import image_inspect

        return image_inspect.attrs(self)

    def history(self) -> HistoryList:
        """How it was made, the latest step first. Raises NotSupported for what no store has."""
        return self.known.images.history(self.id)

    def tag(self, name: str) -> None:
        """Gives it one more name. Raises InvalidOption, NotSupported for what no store has."""
        self.known.images.tag(self.id, name)

    def save(self, output: IO[bytes] | str | Path) -> None:
        """Writes it to an archive that Docker and others read; see Images.save."""
        self.known.images.save(self.tags or [self.id], output)

    def remove(self, *, force: bool = False) -> None:
        """With all its names; see Images.remove."""
        self.known.images.remove(self.id, force=force)

    def picture(self) -> LayerPicture:
        """Its layers, and which other images of the store have them, drawn in a notebook. Raises NotSupported for what
        no store has."""
        from kernelbox.engine.layer_picture import picture

        own = set(self.layers)
        others = (each for each in self.known.images.list() if each.id != self.id and own & set(each.layers))
        return picture([self, *others])

    @property
    def known(self) -> Stored:
        """What the store knows of it. Raises NotSupported for what no store has."""
        if self.stored is None:
            raise NotSupported(
                f"the image {self.name} is not in the store", hint="kernelbox images lists those that are"
            )
        return self.stored

    def read_accounts(self) -> tuple[bytes, bytes]:
        """The image's /etc/passwd and /etc/group; empty where there is none. Raises InvalidOption for what is no such
        file."""
        if self.accounts is not None:
            return self.accounts
        with self.open_root() if self.open_root else _folder(self.root or self.layers[0].path) as root:
            return read_beneath(root, "/etc/passwd"), read_beneath(root, "/etc/group")


@contextlib.contextmanager
def _folder(path: str) -> Iterator[int]:
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


def read_beneath(root: int, path: str, whose: str = "user: the image's") -> bytes:
    """A regular file of at most 1 MiB, resolved beneath the root: an image's link cannot lead to the machine's file.
    Empty where there is none; one that is there and cannot be read must not pass for that, or a user has group 0."""
    what, resolve = f"{whose} {path}", lib.RESOLVE_IN_ROOT | lib.RESOLVE_NO_MAGICLINKS
    descriptor = lib.kb_openat2(root, path.encode(), os.O_RDONLY | os.O_NONBLOCK, 0, resolve)
    if descriptor in (-errno.ENOENT, -errno.ENOTDIR):
        return b""
    if descriptor == -errno.ENXIO:  # a socket
        raise InvalidOption(f"{what} is not a regular file")
    if descriptor < 0:
        raise InvalidOption(f"{what} cannot be read: {os.strerror(-descriptor).lower()}")
    with Descriptor(descriptor):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidOption(f"{what} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_MOST_PASSWD + 1)
    if len(content) > _MOST_PASSWD:
        raise InvalidOption(f"{what} is larger than {_MOST_PASSWD >> 20} MiB")
    return content
