"""What a request is about: the path of its URL, read strictly (distribution-spec v1.1, "Endpoints").

A name is never made into a path of a file, and is nevertheless held to its grammar: `%2e%2e` is no name, and a client
that encodes what needs no encoding is told so.
"""

from __future__ import annotations

from urllib.parse import unquote

from kernelbox.errors import InvalidContent
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import is_repository, is_tag
from kernelbox.oci.value import frozen
from kernelbox.registry.server.failures import refusal

__all__ = ["Target", "digest_of", "parse"]

_API = "/v2/"
_LONGEST_SHOWN = 100


@frozen
class Target:
    """`kind` is "api", "catalog", "metrics", "blob", "manifest", "tags", "referrers", "uploads" (to begin one) or
    "upload"; `reference` a tag, a digest, or the name of an upload, as it was said."""

    kind: str
    repository: str = ""
    reference: str = ""

    @property
    def path(self) -> str:
        """Of the URL."""
        middle = {"blob": "blobs", "manifest": "manifests", "upload": "blobs/uploads"}[self.kind]
        return f"{_API}{self.repository}/{middle}/{self.reference}"


_PLAIN = {
    "/v2": Target("api"),
    "/v2/": Target("api"),
    "/v2/_catalog": Target("catalog"),
    "/metrics": Target("metrics"),
}
_BEHIND = {"blobs": "blob", "manifests": "manifest", "referrers": "referrers"}


def parse(path: str) -> Target:
    """`path` as it stands in the request, still encoded. Raises the refusals NAME_INVALID, and NAME_UNKNOWN for what is
    no endpoint."""
    if path in _PLAIN:
        return _PLAIN[path]
    words = path.removeprefix(_API).split("/")
    if not path.startswith(_API) or len(words) < 3:
        raise refusal("NAME_UNKNOWN", f"{_shown(path)} is nothing that a registry has", status=404)
    name, kind, reference = _parts(words, path)
    repository = "/".join(name)
    if not is_repository(repository):
        raise refusal("NAME_INVALID", f"{_shown(repository)} is no name of a repository", hint="lower case: lab/tool")
    return Target(kind, repository, unquote(reference))


def _parts(words: list[str], path: str) -> tuple[list[str], str, str]:
    *_, before, middle, last = words
    if words[-2:] == ["tags", "list"]:
        return words[:-2], "tags", ""
    if (before, middle) == ("blobs", "uploads") and len(words) > 3:
        return words[:-3], "upload" if last else "uploads", last
    if words[-2:] == ["blobs", "uploads"]:
        return words[:-2], "uploads", ""
    if middle in _BEHIND and last:
        return words[:-2], _BEHIND[middle], last
    raise refusal("NAME_UNKNOWN", f"{_shown(path)} is nothing that a registry has", status=404)


def digest_of(text: str) -> Digest:
    """Raises the refusal DIGEST_INVALID."""
    try:
        return Digest.parse(text)
    except InvalidContent as error:
        raise refusal("DIGEST_INVALID", error.message, hint=error.hint) from None


def reference_of(text: str) -> Digest | str:
    """A digest, or a tag. Raises the refusals DIGEST_INVALID, and MANIFEST_INVALID for what is neither."""
    if ":" in text:
        return digest_of(text)
    return tag_of(text)


def tag_of(text: str) -> str:
    """Raises the refusal MANIFEST_INVALID."""
    if not is_tag(text):
        raise refusal("MANIFEST_INVALID", f"{_shown(text)} is no tag")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
