"""The files of a container that is kept: the part of `Container` that is about them. The methods are docker-py's."""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from kernelbox.engine import files

if TYPE_CHECKING:
    from kernelbox.engine.container import Container
    from kernelbox.engine.image import Image
    from kernelbox.store.changes import Change
    from kernelbox.store.inside import PathStat

__all__ = ["ContainerFiles"]


class ContainerFiles:
    """What can be done with them."""

    @property
    def _whole(self) -> Container:
        return cast("Container", self)

    def stat(self, path: str) -> PathStat:
        """What is at `path` in it; of a link the link itself. Raises NotFound, InvalidOption."""
        return files.stat(self._whole, path)

    def get_archive(self, path: str) -> tuple[Generator[bytes, None, None], PathStat]:
        """What is at `path` in it as a tar archive in pieces, and what it is. Raises NotFound, InvalidOption."""
        return files.read(self._whole, path), files.stat(self._whole, path)

    def put_archive(
        self, path: str, data: bytes | BinaryIO, *, copy_owner: bool = False, keep_kinds: bool = False
    ) -> None:
        """Unpacks a tar archive into the folder `path` of it; `keep_kinds` refuses to put a folder in the place of
        something else, and the reverse. Raises NotFound, InvalidOption, Conflict."""
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        files.write(self._whole, path, stream, copy_owner=copy_owner, keep_kinds=keep_kinds)

    def diff(self) -> list[Change]:
        """What it has changed of its image's files: kind "C", "A" or "D", and path."""
        self._whole.reload()
        return files.changed(self._whole)

    def export(self) -> Generator[bytes, None, None]:
        """All its files as a tar archive in pieces, without what is mounted in it."""
        return files.read(self._whole, "/", whole=True)

    def commit(
        self,
        repository: str = "",
        tag: str = "",
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> Image:
        """A new image: that of the container, and what it has changed as one more layer; not what is mounted in it. Its
        processes stand still meanwhile, unless `pause` is denied. `changes` are instructions as in a Dockerfile.

        Raises NotSupported where its image is not in the store (host, a folder), InvalidOption, StoreError."""
        from kernelbox.engine.commit import commit

        name = f"{repository}:{tag}" if tag else repository
        record = commit(self._whole, name, message=message, author=author, changes=changes, pause=pause)
        return self._whole.box.images.get(record.id)
