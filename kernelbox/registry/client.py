"""What can be asked of registries: the whole of OCI's distribution specification 1.1 from the side of the client.

What is pulled is asked of the mirrors of its registry first; everything else only of the registry itself. Manifests are
small and verified here; blobs are streams, verified by whoever writes them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar
from urllib.parse import urlencode

from kernelbox.errors import BlobNotFound, ImageNotFound, KernelBoxError, RegistryError
from kernelbox.oci import manifest as manifests
from kernelbox.oci import media_types, reference, referrers
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference
from kernelbox.registry import configuration, endpoint, listing, search
from kernelbox.registry.authorization import pull_scope, push_scope
from kernelbox.registry.configuration import Configuration
from kernelbox.registry.credentials import Credentials, Keyring
from kernelbox.registry.download import stream
from kernelbox.registry.endpoint import Endpoint
from kernelbox.registry.progress import COMPLETE, EXISTS, MOUNTED
from kernelbox.registry.retry import Retry
from kernelbox.registry.search import Found
from kernelbox.registry.session import Ask, Session
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Response, Transport
from kernelbox.registry.upload import WHOLE_BYTES, Upload, check_kept

__all__ = ["Client"]

_ACCEPT = ", ".join([media_types.INDEX, media_types.MANIFEST, media_types.DOCKER_INDEX, media_types.DOCKER_MANIFEST])
_PAGE = 1000
T = TypeVar("T")


class Client:
    """For several threads; keeps connections and tokens for what comes next. Close it, or use it as a block.

    `credentials` says who one is to a registry, by its name; in place of what Docker has kept. Everything here raises
    Unauthorized and RegistryError, and InvalidContent for what is not what it says it is."""

    def __init__(
        self,
        settings: Configuration | None = None,
        *,
        credentials: Callable[[str], Credentials | None] | None = None,
        transport: Transport | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._settings = configuration.load() if settings is None else settings
        self._credentials = credentials or Keyring().of
        self._transport = transport or Transport()
        self._retry = retry or Retry()
        self._mutex = threading.Lock()
        self._sessions: dict[Endpoint, Session] = {}

    def close(self) -> None:
        """Idempotent."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sources(self, registry: str) -> tuple[Session, ...]:
        """Who may have what is to be pulled: the mirrors in their order, and last the registry itself."""
        mirrors = endpoint.mirrors_of(registry, self._settings)
        return tuple(self._session(each) for each in (*mirrors, endpoint.of_registry(registry, self._settings)))

    def check_login(self, registry: str) -> None:
        """Raises Unauthorized where the registry does not let in who one is."""
        with self._own(registry).open(Ask("GET", "/v2/", f"log in to {registry}")):
            pass

    def resolve(self, found: Reference, stop: Stop | None = None) -> Descriptor:
        """What the tag stands for now, or what the digest is. Raises ImageNotFound."""
        return self._from_any(found.registry, lambda source: self._resolve(source, found, stop))

    def manifest(self, found: Reference, stop: Stop | None = None) -> tuple[bytes, str]:
        """The bytes, and the media type that the registry says they have. They are those of the digest of `found`, if
        it has one. Raises ImageNotFound."""
        return self._from_any(found.registry, lambda source: self._manifest(source, found, stop))

    def blob(
        self,
        found: Reference,
        descriptor: Descriptor,
        offset: int = 0,
        *,
        source: Session | None = None,
        stop: Stop | None = None,
    ) -> Iterator[bytes]:
        """The bytes after `offset`, as they come, gone on with where the connection breaks: of `source`, or the
        registry itself. Whoever takes them compares the digest. Raises BlobNotFound."""
        chosen = source or self._own(found.registry)
        repository = chosen.endpoint.prefix + found.repository
        where = f"/v2/{repository}/blobs/{descriptor.digest}"
        return stream(chosen, where, descriptor, (pull_scope(repository),), offset, stop)

    def exists(self, found: Reference, digest: Digest, stop: Stop | None = None) -> bool:
        """Whether the repository has this blob."""
        scopes = (push_scope(found.repository),)
        ask = Ask("HEAD", f"/v2/{found.repository}/blobs/{digest}", f"look for {digest}", scopes, {}, None, (200, 404))
        with self._own(found.registry).open(ask, stop) as response:
            return response.status == 200

    def mount(self, found: Reference, descriptor: Descriptor, source: str, file: BinaryIO) -> bool:
        """Whether the registry takes the blob from its repository `source`. Where it does not, nothing happens: the
        upload that it has begun then is ended by uploading `file`, the content."""
        upload = Upload(self._own(found.registry), found.repository, descriptor, file)
        if upload.mount(source):
            return True
        upload.run()
        return False

    def push_blob(
        self,
        found: Reference,
        descriptor: Descriptor,
        file: BinaryIO,
        *,
        mount_from: Iterable[str] = (),
        whole: int = WHOLE_BYTES,
        moved: Callable[[int], None] = lambda _: None,
        stop: Stop | None = None,
    ) -> str:
        """Sees to it that the repository has this content, which `file` is: "exists" where it had, "mounted" where it
        took it from another of its repositories (one of `mount_from`), "complete" where it was moved. `moved` hears how
        many bytes went; `whole` is how much goes in one request."""
        if self.exists(found, descriptor.digest, stop):
            return EXISTS
        chunk = self._settings.of(found.registry).upload_chunk
        upload = Upload(
            self._own(found.registry),
            found.repository,
            descriptor,
            file,
            chunk=chunk,
            whole=whole,
            moved=moved,
            stop=stop,
        )
        for source in list(mount_from)[:1]:
            if source != found.repository and upload.mount(source):
                return MOUNTED
        upload.run()
        return COMPLETE

    def push_manifest(
        self, found: Reference, raw: bytes, media_type: str, digest: Digest | None = None, stop: Stop | None = None
    ) -> Digest:
        """Under the tag of `found`, or its digest. Everything that it names has to be there. The list of referrers is
        kept up by us where the registry does not."""
        document = manifests.parse(raw, media_type)
        algorithm = (digest or found.digest or document.digest).algorithm
        digest = Digest.of(raw, algorithm)
        name = found.tag or str(digest)
        what = f"push {found.with_digest(digest).familiar if not found.tag else found.familiar}"
        ask = Ask(
            "PUT",
            f"/v2/{found.repository}/manifests/{name}",
            what,
            (push_scope(found.repository),),
            {"Content-Type": media_type},
            lambda: raw,
            (201, 202, 204),
        )
        with self._own(found.registry).open(ask, stop) as response:
            check_kept(response, digest)
            lists = bool(response.header("OCI-Subject"))
        if document.subject is not None and not lists:
            self._keep_list(found, document.subject.digest, referrers.entry(document, algorithm), stop)
        return digest

    def delete(self, found: Reference) -> None:
        """The tag, or the manifest of the digest with all its tags. Raises ImageNotFound."""
        self._delete(found, f"manifests/{found.asked}", f"delete {found.familiar}", ImageNotFound)

    def delete_blob(self, found: Reference, digest: Digest) -> None:
        """Raises BlobNotFound."""
        self._delete(found, f"blobs/{digest}", f"delete {digest}", BlobNotFound)

    def tags(self, found: Reference) -> Iterator[str]:
        """Of the repository, in the registry's order, page by page. Raises ImageNotFound."""
        path = f"/v2/{found.repository}/tags/list?n={_PAGE}"
        what = f"list the tags of {found.familiar_name}"
        ask = Ask("GET", path, what, (pull_scope(found.repository),), missing=ImageNotFound)
        return listing.names(self._own(found.registry), ask, "tags", reference.is_tag)

    def catalog(self, registry: str) -> Iterator[str]:
        """The repositories of a registry, page by page."""
        what = f"list the repositories of {registry}"
        ask = Ask("GET", f"/v2/_catalog?n={_PAGE}", what, ("registry:catalog:*",))
        return listing.names(self._own(registry), ask, "repositories", reference.is_repository)

    def referrers(self, found: Reference, subject: Digest, artifact_type: str = "") -> tuple[Descriptor, ...]:
        """What refers to `subject` in its repository: signatures, attestations. Of one type, where it is said."""
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        path = f"/v2/{found.repository}/referrers/{subject}{query}"
        headers = {"Accept": media_types.INDEX}
        what = f"list what refers to {subject}"
        ask = Ask("GET", path, what, (pull_scope(found.repository),), headers, None, (200, 404))
        entries: list[Descriptor] = []
        for response, raw in listing.pages(self._own(found.registry), ask, most=manifests.MAX_BYTES):
            if response.status == 404:
                entries = list(self._kept_list(found, subject))
                break
            entries += referrers.parse(raw).manifests
            if len(entries) > listing.MOST_NAMES:
                raise RegistryError(f"could not {what}: there is no end to them")
        return referrers.of_type(tuple(entries), artifact_type)

    def search(self, registry: str, words: str, most: int = 25) -> tuple[Found, ...]:
        """Repositories of a registry, at most so many, in the registry's order. Raises NotSupported where it offers
        nothing of the kind."""
        try:
            return search.of_index(self._session(endpoint.of_search(registry, self._settings)), words, most)
        except ImageNotFound:
            pass  # so says a registry that knows no other paths than the specification's
        except RegistryError as error:
            if error.http_status not in (404, 405) or registry == reference.DEFAULT_REGISTRY:
                raise
        return search.of_catalog(self.catalog(registry), words, most, registry)

    def _kept_list(self, found: Reference, subject: Digest, stop: Stop | None = None) -> tuple[Descriptor, ...]:
        """What clients have put down where the registry keeps no list."""
        tagged = Reference(found.registry, found.repository, referrers.fallback_tag(subject))
        try:
            raw, _ = self._manifest(self._own(found.registry), tagged, stop)
        except ImageNotFound:
            return ()
        return referrers.parse(raw).manifests

    def _keep_list(self, found: Reference, subject: Digest, entry: Descriptor, stop: Stop | None) -> None:
        known = self._kept_list(found, subject, stop)
        entries = referrers.added(known, entry)
        if entries != known:
            tagged = Reference(found.registry, found.repository, referrers.fallback_tag(subject))
            self.push_manifest(tagged, referrers.index(entries).raw, media_types.INDEX, stop=stop)

    def _delete(self, found: Reference, name: str, what: str, missing: type[KernelBoxError]) -> None:
        path = f"/v2/{found.repository}/{name}"
        # Registries differ in what they call the right to do it, and say it.
        scopes = (f"repository:{found.repository}:delete,pull,push",)
        with self._own(found.registry).open(Ask("DELETE", path, what, scopes, {}, None, (202, 200, 204), missing)):
            pass

    def _resolve(self, source: Session, found: Reference, stop: Stop | None) -> Descriptor:
        ask = self._manifest_ask("HEAD", source, found)
        try:
            with source.open(ask, stop) as response:
                digest = found.digest or _digest_said(response)
                kind, length = response.media_type, response.length
        except RegistryError as error:
            if error.http_status not in (400, 405, 406, 501):  # some answer no HEAD
                raise
            digest = None
        if digest is not None and length and kind in media_types.INDEXES | media_types.MANIFESTS:
            return Descriptor(kind, digest, length)
        raw, kind = self._manifest(source, found, stop)
        document = manifests.parse(raw, kind)
        return document.descriptor(found.digest.algorithm if found.digest else "sha256")

    def _manifest(self, source: Session, found: Reference, stop: Stop | None) -> tuple[bytes, str]:
        response, raw = source.read(self._manifest_ask("GET", source, found), manifests.MAX_BYTES, stop)
        expected = found.digest or _digest_said(response)
        if expected is not None:
            expected.check(raw, f"the manifest of {found.familiar}")
        if response.media_type == "text/html":
            raise RegistryError(f"{Reference(found.registry, '').host} answers with a web page, as no registry does")
        return raw, response.media_type

    def _manifest_ask(self, method: str, source: Session, found: Reference) -> Ask:
        repository = source.endpoint.prefix + found.repository
        path = f"/v2/{repository}/manifests/{found.asked}"
        scopes = (pull_scope(repository),)
        return Ask(method, path, f"pull {found.familiar}", scopes, {"Accept": _ACCEPT}, missing=ImageNotFound)

    def _from_any(self, registry: str, ask: Callable[[Session], T]) -> T:
        """From the first source that has it; the registry itself has the last word."""
        *mirrors, own = self.sources(registry)
        for each in mirrors:
            try:
                return ask(each)
            except KernelBoxError:
                continue
        return ask(own)

    def _own(self, registry: str) -> Session:
        return self._session(endpoint.of_registry(registry, self._settings))

    def _session(self, found: Endpoint) -> Session:
        with self._mutex:
            if found not in self._sessions:
                self._sessions[found] = Session(
                    found,
                    self._transport,
                    self._retry,
                    lambda: self._credentials(found.name),
                    lambda origin: endpoint.trust_in(origin, self._settings),
                )
            return self._sessions[found]


def _digest_said(response: Response) -> Digest | None:
    said = response.header("Docker-Content-Digest")
    return Digest.parse(said) if said else None
