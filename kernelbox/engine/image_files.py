"""Images and archives of images: `load` and `save`."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kernelbox.engine.image_install import install
from kernelbox.engine.option_values import platform as platform_option
from kernelbox.errors import InvalidContent, InvalidOption, KernelError
from kernelbox.oci import media_types as types
from kernelbox.oci import moments, reference
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.platform import Platform, of_machine
from kernelbox.oci.reference import Reference
from kernelbox.store import archive_members, image_archive
from kernelbox.store.image_rows import ImageRecord

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["load", "now", "opened", "own_platform", "save"]

_CHUNK = 1 << 20
_LAYER_TYPES = {"": types.LAYER_TAR, "gzip": types.LAYER_GZIP, "zstd": types.LAYER_ZSTD}

Source = IO[bytes] | bytes | str | Path


def load(box: Engine, source: Source, platform: str | Platform | None) -> list[ImageRecord]:
    """See Images.load."""
    wanted = platform_option(platform) if isinstance(platform, str) else platform
    box.opened()
    store = box.images.store
    with store.lease() as lease, opened(source) as stream:
        if isinstance(stream, Path):
            members = archive_members.of_folder(stream, lease.blobs)
        else:
            members = archive_members.of_stream(stream, lease.blobs)
        found = image_archive.images_in(members, wanted, own_platform())
        if not found:
            raise InvalidContent("there is no image in this archive")
        return [install(box, each.manifest, _true(each.names, each.manifest), action="load") for each in found]


def _true(names: Iterable[Reference], image: Manifest) -> list[Reference]:
    """Tags are whatever an archive says; a name with a digest stays only where that is the digest."""
    tagged = [each.with_tag(each.tag) for each in names if each.tag]
    return [*tagged, *(each for each in names if not each.tag and each.digest == image.digest)]


def save(box: Engine, names: Sequence[str], output: IO[bytes] | str | Path) -> None:
    """See Images.save."""
    store = box.images.store
    chosen: dict[str, tuple[ImageRecord, list[Reference]]] = {}
    for name in names:
        record = store.find(name)
        _, tags = chosen.setdefault(record.id, (record, []))
        tags += [each for each in _tags_meant(record, name) if each not in tags]
    with store.lease() as lease:
        lease.keep(Digest.parse(record.id) for record, _ in chosen.values())
        images = [(store.manifest_of(record), tags) for record, tags in chosen.values()]
        lease.keep(each.digest for image, _ in images for each in (*image.layers, image.config, image.descriptor()))
        if isinstance(output, str | Path):
            with _written_whole(Path(output)) as file:
                image_archive.write(images, store.blobs, file)
        else:
            image_archive.write(images, store.blobs, output)


def _tags_meant(record: ImageRecord, name: str) -> list[Reference]:
    """An id means none of its names; a name without a tag all tags of that repository that the image has."""
    with contextlib.suppress(InvalidOption):
        wanted = reference.parse(name)
        tags = [reference.parse(tag) for tag in record.tags]
        whole = ":" in name.rpartition("/")[2]
        return [each for each in tags if each.name == wanted.name and (not whole or each.tag == wanted.tag)]
    return []


@contextlib.contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    """The file appears under its name when all is in it."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with beside.open("xb") as file:
        try:
            yield file
            file.flush()
            beside.replace(path)
        except BaseException:
            beside.unlink()
            raise


def own_platform() -> Platform:
    return of_machine(os.uname().machine)


def now() -> str:
    """As documents write it."""
    return moments.written(time.time_ns())


@contextlib.contextmanager
def opened(source: Source) -> Iterator[IO[bytes] | Path]:
    """A stream, or the path of a folder."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            yield path
            return
        try:
            file = path.open("rb")
        except OSError as error:
            raise KernelError(error.errno or 0, "open the archive", os.fspath(path)) from error
        with file:
            yield file
    else:
        yield source
