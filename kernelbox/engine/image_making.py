"""Images of one layer from what is no image yet: the archive of a root file system, a folder with one, or Debian's
packages."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kernelbox.engine.image_changes import changed
from kernelbox.engine.image_files import Source, now, opened, own_platform
from kernelbox.engine.image_install import install
from kernelbox.engine.option_values import platform as platform_option
from kernelbox.errors import InvalidOption, KernelError, NotSupported, StoreError
from kernelbox.linux.descriptor import Descriptor as Opened
from kernelbox.oci import image_config, reference
from kernelbox.oci import media_types as types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.image_document import History, ImageDocument
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.store import layer_tree
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.layer_content import compression_of, decompressed
from kernelbox.store.layer_packing import pack

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["bootstrap", "from_dir", "import_"]

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LAYER_TYPES = {"": types.LAYER_TAR, "gzip": types.LAYER_GZIP, "zstd": types.LAYER_ZSTD}
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,40}")
_STABLE = "stable"


def import_(
    box: Engine, source: Source, name: str, changes: Sequence[str], message: str, platform: str | Platform | None
) -> ImageRecord:
    """See Images.import_."""
    wanted = platform_option(platform) if isinstance(platform, str) else platform
    config = changed(image_config.EMPTY, changes)
    names = [reference.parse(name)] if name else []
    box.opened()
    store = box.images.store
    with store.lease() as lease, opened(source) as stream:
        if isinstance(stream, Path):
            hint = f"kernelbox image from-dir {stream}"
            raise InvalidOption(f"{stream} is a folder, and import takes an archive", hint=hint)
        layer, diff_id = _keep_layer(lease.blobs, stream)
        return _made(box, lease.blobs, layer, diff_id, config, message or "Imported from -", names, wanted)


def _made(
    box: Engine,
    blobs: Blobs,
    layer: Descriptor,
    diff_id: Digest,
    config: ImageConfig,
    comment: str,
    names: Sequence[Reference],
    platform: Platform | None = None,
) -> ImageRecord:
    """The image of one layer, which is in the store."""
    moment = now()
    step = History(created=moment, comment=comment)
    document = ImageDocument.build(platform or own_platform(), config, [diff_id], [step], created=moment)
    blobs.put(document.raw)
    return install(box, Manifest.build(document.descriptor(), [layer]), names, action="import")


def _keep_layer(blobs: Blobs, stream: IO[bytes]) -> tuple[Descriptor, Digest]:
    """The archive as a blob, compressed as it came, and the digest of the tar in it."""
    with blobs.writer() as writer:
        while piece := stream.read(_CHUNK):
            writer.write(piece)
        size = writer.offset
        digest = writer.commit()
    with blobs.open(digest) as file:
        kind = compression_of(file.read(4))
    with blobs.open(digest) as file:
        tar, found = decompressed(file), hashlib.sha256()
        while piece := tar.read(_CHUNK):
            found.update(piece)
    return Descriptor(_LAYER_TYPES[kind], digest, size), Digest("sha256", found.hexdigest())


def from_dir(box: Engine, folder: str | Path, name: str, changes: Sequence[str], message: str) -> ImageRecord:
    """See Images.from_dir."""
    config = changed(image_config.EMPTY, changes)
    names = [reference.parse(name)] if name else []
    path = Path(folder).expanduser()
    try:
        descriptor = Opened(os.open(path, _FOLDER))
    except OSError as error:
        raise KernelError(error.errno or 0, "open the folder", os.fspath(path)) from error
    box.opened()
    store = box.images.store
    with store.lease() as lease, descriptor as root:
        packed = pack(lease.blobs, lambda to: layer_tree.diff(root.fileno(), to, with_root=True))
        comment = message or f"from the folder {path.name}"
        return _made(box, lease.blobs, packed.content, packed.diff_id, config, comment, names)


def bootstrap(box: Engine, what: str, name: str, mirror: str, packages: Sequence[str]) -> ImageRecord:
    """See Images.bootstrap."""
    distribution, _, suite = what.partition(":")
    suite = suite or _STABLE
    if distribution != "debian" or not _SUITE.fullmatch(suite):
        raise InvalidOption(f"{what[:60]!r} cannot be made here", hint="debian, or debian:bookworm for a certain suite")
    if any(each.startswith("-") or not each for each in (*packages, mirror or "x")):
        raise InvalidOption("packages and mirrors do not begin with a dash")
    config = ImageConfig(cmd=("bash",))
    names = [reference.parse(name or f"debian:{suite}")]
    box.opened()
    store = box.images.store
    with store.lease() as lease, tempfile.TemporaryFile(dir=store.blobs.folder.parent) as tar:
        _run_mmdebstrap(suite, mirror, packages, tar)
        tar.seek(0)
        layer, diff_id = _keep_layer(lease.blobs, tar)
        return _made(box, lease.blobs, layer, diff_id, config, f"mmdebstrap {suite}", names)


def _run_mmdebstrap(suite: str, mirror: str, packages: Sequence[str], output: IO[bytes]) -> None:
    """Writes the tar of a minimal Debian. As an ordinary user it works in a user namespace of its own."""
    program = shutil.which("mmdebstrap")
    if program is None:
        hint = "apt-get install --no-install-recommends mmdebstrap"
        raise NotSupported("Debian is made by mmdebstrap, which is not installed", hint=hint)
    chosen = [f"--include={','.join(packages)}"] if packages else []
    command = [program, "--quiet", "--variant=minbase", "--format=tar", *chosen, suite, "-"]
    done = subprocess.run(
        [*command, *([mirror] if mirror else [])],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise StoreError(
            f"mmdebstrap could not make {suite}: {said[-1] if said else f'exit status {done.returncode}'}",
            hint="see that the mirror can be reached, and that it has this suite",
        )
