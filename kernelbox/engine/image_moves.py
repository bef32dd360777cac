"""Images between the store and registries: `pull` and `push`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.engine import trust
from kernelbox.engine.image_files import own_platform
from kernelbox.engine.image_install import install
from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.oci import manifest, reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.registry import pull as pulling
from kernelbox.registry import push as pushing
from kernelbox.registry.client import Client
from kernelbox.registry.progress import Listener, Progress, nobody
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.image_store import ImageStore
from kernelbox.store.trust_rows import Vouched

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["UNPACKING", "Fetched", "Sent", "fetch", "nobody", "send", "tags_of"]

UNPACKING = "unpacking"
"""A layer that is here becomes files; the other words of `Progress.status` are those of `registry.progress`."""


@frozen
class Fetched:
    """An image that was pulled: `digest` is what the name stands for, `newer` whether that was another image here."""

    record: ImageRecord
    reference: Reference
    digest: Digest
    newer: bool


@frozen
class Sent:
    """An image that was pushed: the digest of its manifest, and the bytes of that."""

    reference: Reference
    digest: Digest
    size: int


def fetch(
    box: Engine,
    name: Reference,
    platform: Platform | None,
    client: Client,
    progress: Listener = nobody,
    verify: str | Path | None = None,
) -> Fetched:
    """The image is in the store, and called so, when this returns. `verify` is the file of a public key whose owner has
    to have signed it, whatever else the policy asks. Raises ImageNotFound, UntrustedImage, InvalidContent,
    Unauthorized, RegistryError, StoreError."""
    vouched: list[Vouched] = []
    check = trust.checked(client, name, verify, vouched.append)
    box.opened()
    store = box.images.store
    before = _known(store, name)
    with store.lease() as lease:
        pulled = pulling.pull(client, name, lease.blobs, platform or own_platform(), progress=progress, check=check)
        indexes = [
            found
            for each in pulled.manifests
            if isinstance(found := manifest.parse(store.blobs.read(each.digest, manifest.MAX_BYTES)), Index)
        ]
        names = [name.with_digest(pulled.first.digest), *([name.with_tag(name.tag)] if name.tag else [])]
        record = install(
            box,
            pulled.image.manifest,
            names,
            indexes=indexes,
            action="pull",
            progress=functools.partial(_unpacking, progress),
            vouched=vouched,
        )
    return Fetched(record, name, pulled.first.digest, before is None or before.id != record.id)


def _unpacking(progress: Listener, layer: Descriptor, done: int) -> None:
    progress(Progress(layer.digest, UNPACKING, done, layer.size))


def _known(store: ImageStore, name: Reference) -> ImageRecord | None:
    try:
        return store.find(name)
    except (ImageNotFound, InvalidOption):
        return None


def tags_of(name: str, client: Client) -> Sequence[Reference]:
    """All tags that a repository has in its registry. Raises InvalidOption where one is said, RegistryError."""
    whole = reference.parse(name)
    if whole.digest or ":" in name.rpartition("/")[2]:
        raise InvalidOption(f"{name} names one tag, and all were asked for", hint=f"say {whole.familiar_name}")
    return [whole.with_tag(tag) for tag in client.tags(whole)]


def send(
    box: Engine, name: Reference, client: Client, progress: Listener = nobody, sign: str | Path | None = None
) -> Sent:
    """The image of this name is in its registry, under its tag, when this returns; signed with the private key of the
    file `sign`. Raises ImageNotFound, BlobNotFound, InvalidOption, Unauthorized, RegistryError."""
    signed = _signer(client, name, sign)
    store = box.images.store
    record = store.find(name)
    image = store.manifest_of(record)
    with store.lease() as lease:
        lease.keep(each.digest for each in (*image.layers, image.config, image.descriptor()))
        digest = pushing.push(
            client,
            name,
            store.blobs,
            image.descriptor(),
            progress=lambda each: progress(each) if each.digest != image.config.digest else None,
            mount_from=_elsewhere(store, name),
        )
    signed(image.descriptor())
    return Sent(name, digest, len(image.raw))


def _signer(client: Client, name: Reference, sign: str | Path | None) -> Callable[[Descriptor], None]:
    """Has read the key, and asked for its passphrase, before anything is moved."""
    if sign is None:
        return lambda _: None
    from kernelbox.registry import keys, signatures

    key = keys.private(Path(sign))
    return lambda image: signatures.push_signature(client, name, image, key)


def _elsewhere(store: ImageStore, name: Reference) -> Callable[[Digest], Sequence[str]]:
    """Which other repositories of the registry have a layer, as far as the images here tell."""
    found: dict[Digest, list[str]] = {}
    for record in store.every():
        names = [reference.parse(each) for each in record.digests]
        others = [each.repository for each in names if each.registry == name.registry and each.name != name.name]
        for layer in store.manifest_of(record).layers if others else ():
            found.setdefault(layer.digest, []).extend(others)
    return lambda digest: found.get(digest, ())
