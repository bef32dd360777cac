"""The storage of a registry: one folder.

blobs/            content under its digest, manifests too: a `Blobs`, as in the store of an engine
uploads/          what is on its way here
registry.db       which repository has what

With `shared`, the blobs of an engine's store on the same file system, what both have is on disk once (one file with
two names), and each forgets it without the other.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from kernelbox.errors import BlobNotFound, InvalidContent
from kernelbox.linux.descriptor import Closing
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.registry.server import records
from kernelbox.registry.server.failures import refusal
from kernelbox.registry.server.records import ManifestRow
from kernelbox.registry.server.state import State
from kernelbox.registry.server.uploads import Upload, Uploads
from kernelbox.store import held_files
from kernelbox.store.blobs import Blobs

__all__ = ["Storage"]


class Storage(Closing):
    """Safe for several threads and processes; close it. Nothing is made before something comes."""

    def __init__(self, folder: Path, shared: Blobs | None = None) -> None:
        self.folder = folder
        self.blobs = Blobs(folder / "blobs")
        self.uploads = Uploads(folder / "uploads")
        self.state = State(folder / "registry.db")
        self._shared = shared

    def close(self) -> None:
        """Idempotent."""
        self.state.close()

    def blob(self, repository: str, digest: Digest, *, relied_on: bool = False) -> int:
        """How many bytes it has. `relied_on`: whoever asks may now put a manifest that needs it, so it is not collected
        for a while. Raises the refusal BLOB_UNKNOWN."""
        with self.state.reading() as cursor:
            size = records.blob_size(cursor, repository, digest)
            fresh = not relied_on or records.is_fresh(cursor, repository, digest)
        if size is not None and not fresh:
            with self.state.transaction() as cursor:
                size = size if records.see_blob(cursor, repository, digest) else None
        with contextlib.suppress(BlobNotFound):
            if size is not None and self.blobs.size(digest) == size:
                return size
        raise refusal("BLOB_UNKNOWN", f"{repository} has no blob {digest}")

    def keep(self, upload: Upload, repository: str, digest: Digest) -> None:
        """An upload becomes a blob. Raises the refusal DIGEST_INVALID where it is something else, and then there is no
        such upload any more; StoreError."""
        try:
            upload.check(digest)
        except InvalidContent as error:
            upload.remove()
            raise refusal("DIGEST_INVALID", error.message) from None
        os.fsync(upload.file.fileno())  # here and not while everybody waits for the transaction
        with self.state.transaction() as cursor:
            if self._linked_shared(digest, upload.offset):
                upload.remove()
            else:
                self.blobs.adopt(upload.path, upload.file, digest)
                upload.taken()
            records.add_blob(cursor, repository, digest, upload.offset)

    def mount(self, repository: str, digest: Digest, sources: Sequence[str]) -> bool:
        """Whether one of the `sources` had it, and `repository` has it now too."""
        with self.state.transaction() as cursor:
            for source in sources:
                size = records.blob_size(cursor, source, digest)
                if size is not None and self.blobs.has(digest):
                    records.add_blob(cursor, repository, digest, size)
                    return True
        return False

    def holders(self, digest: Digest) -> list[str]:
        """The repositories that have this blob."""
        with self.state.reading() as cursor:
            return records.repositories_with(cursor, digest)

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Raises the refusals BLOB_UNKNOWN, and UNSUPPORTED where a manifest needs it: an image stays whole."""
        with self.state.transaction() as cursor:
            if user := records.needing(cursor, repository, digest):
                raise refusal("UNSUPPORTED", f"the manifest {user} needs this blob", hint="delete the manifest first")
            if not records.delete_blob(cursor, repository, digest):
                raise refusal("BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        self.drop([digest])

    def put_manifest(
        self, repository: str, digest: Digest, manifest: Manifest | Index, tags: Sequence[str], *, whole: bool = True
    ) -> None:
        """With its tags, all at once. `whole`: what it needs is to be there, or the refusal MANIFEST_BLOB_UNKNOWN is
        raised. Raises StoreError."""
        with self.state.transaction() as cursor:
            lacking = records.missing(cursor, repository, manifest) if whole else []
            if lacking:
                several = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
                raise refusal("MANIFEST_BLOB_UNKNOWN", f"{repository} does not have {lacking[0]}{several}")
            self.blobs.put(manifest.raw, digest)
            records.add_manifest(cursor, repository, digest, manifest)
            records.set_tags(cursor, repository, digest, tags)

    def manifest(self, repository: str, reference: Digest | str) -> ManifestRow:
        """Raises the refusals MANIFEST_UNKNOWN, NAME_UNKNOWN."""
        with self.state.reading() as cursor:
            found = records.manifest(cursor, repository, reference)
            if found is None and not records.is_repository(cursor, repository):
                raise refusal("NAME_UNKNOWN", f"there is no repository {repository}")
        if found is None or not self.blobs.has(found.digest):
            raise refusal("MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        return found

    def delete_manifest(self, repository: str, reference: Digest | str) -> None:
        """A tag alone, or a manifest with all its tags. Raises the refusal MANIFEST_UNKNOWN, NAME_UNKNOWN."""
        with self.state.transaction() as cursor:
            if isinstance(reference, Digest):
                found = records.delete_manifest(cursor, repository, reference)
            else:
                found = records.delete_tag(cursor, repository, reference)
        if not found:
            self.check_repository(repository)
            raise refusal("MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        if isinstance(reference, Digest):
            self.drop([reference])

    def check_repository(self, repository: str) -> None:
        """Raises the refusal NAME_UNKNOWN."""
        with self.state.reading() as cursor:
            if not records.is_repository(cursor, repository):
                raise refusal("NAME_UNKNOWN", f"there is no repository {repository}")

    def drop(self, digests: Iterable[Digest]) -> int:
        """Removes of this content what no repository has any more, and says how many bytes that freed. In a transaction
        of its own, so that nobody brings it back meanwhile, and after the one that took it from the last repository:
        whoever is killed in between leaves content without a name, and never a name without its content."""
        with self.state.transaction() as cursor:
            return sum(self._remove(digest) for digest in digests if not records.is_needed(cursor, digest))

    def _remove(self, digest: Digest) -> int:
        try:
            size = self.blobs.size(digest)
        except BlobNotFound:
            return 0
        self.blobs.remove(digest)
        return size

    def _linked_shared(self, digest: Digest, size: int) -> bool:
        """Whether an engine's store has the same content, and that file has a second name here now."""
        with contextlib.suppress(OSError, BlobNotFound):  # of another file system, or without links: then it is twice
            if self._shared is not None and self._shared.size(digest) == size:
                place, fresh = self.blobs.path(digest), self.blobs.folder / "new" / secrets.token_hex(16)
                for folder in (place.parent, fresh.parent):
                    held_files.make_folder(folder)
                os.link(self._shared.path(digest), fresh)
                os.rename(fresh, place)
                fresh.unlink(missing_ok=True)  # rename(2) does nothing where both are the same file already
                held_files.sync_folder(place.parent)
                return True
        return False
