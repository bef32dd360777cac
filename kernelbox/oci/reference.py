"""What an image is called: `debian`, `localhost:5000/lab/tool:2`, `name@sha256:...`.

People write Docker's familiar names, in which the registry, `library/` and the tag may be left out; everything else
here works with whole ones. Grammar: distribution-spec v1.1, "Pulling manifests"; Docker's `distribution/reference` for
what may be left out.

>>> str(parse("debian")), parse("docker.io/library/debian:latest").familiar
('docker.io/library/debian:latest', 'debian:latest')
"""

from __future__ import annotations

import re

from kernelbox.errors import InvalidContent, InvalidOption
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen

__all__ = [
    "CREDENTIALS_KEY",
    "DEFAULT_HOSTS",
    "DEFAULT_REGISTRY",
    "Reference",
    "is_registry",
    "is_repository",
    "is_tag",
    "parse",
]

DEFAULT_REGISTRY = "docker.io"
_ITS_API = "registry-1.docker.io"
_ITS_OTHER_NAME = "index.docker.io"
_OFFICIAL = "library/"

DEFAULT_HOSTS = frozenset({DEFAULT_REGISTRY, _ITS_API, _ITS_OTHER_NAME})
"""What the default registry is called as a host."""

CREDENTIALS_KEY = f"https://{_ITS_OTHER_NAME}/v1/"
"""What Docker calls the default registry where it keeps credentials; it is also where its search answers."""

MAX_NAME = 255
"""Characters of registry, "/" and repository together: what clients are known to stop at, says the specification."""

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::(?P<port>[0-9]{{1,5}}))?")
_ID = re.compile(r"[a-f0-9]{64}")


@frozen
class Reference:
    """`registry` is a host and perhaps a port; `repository` is what the registry calls it, `library/` included. `tag`
    is empty where only a digest was given."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.name + self._rest

    @property
    def name(self) -> str:
        """Without tag and digest: "docker.io/library/debian"."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """As `name`, without what people leave out: "debian"."""
        official = self.repository.removeprefix(_OFFICIAL)
        if self.registry != DEFAULT_REGISTRY or _is_registry_of(self.repository):
            return self.name
        return self.repository if "/" in official else official

    @property
    def familiar(self) -> str:
        """What Docker prints: "debian:latest"."""
        return self.familiar_name + self._rest

    @property
    def host(self) -> str:
        """Where the API of the registry answers (host and perhaps port)."""
        return _ITS_API if self.registry == DEFAULT_REGISTRY else self.registry

    @property
    def asked(self) -> str:
        """What a registry is asked for: the digest, which says more, or else the tag."""
        return str(self.digest) if self.digest else self.tag

    @property
    def _rest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_tag(self, tag: str) -> Reference:
        """The same repository under this tag, whatever content that is. Raises InvalidOption."""
        if not is_tag(tag):
            raise _wrong_tag(tag)
        return Reference(self.registry, self.repository, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """This very content of the same repository, whatever its tags."""
        return Reference(self.registry, self.repository, "", digest)


def is_repository(text: str) -> bool:
    """Whether a registry may have a repository of this name."""
    return len(text) <= MAX_NAME and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether this can be a tag: at most 128 characters."""
    return _TAG.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether this is a host, an IPv4 address or an IPv6 address in brackets, each perhaps with a port."""
    found = _HOST.fullmatch(text) if len(text) <= MAX_NAME else None
    return found is not None and (found["port"] is None or 0 < int(found["port"]) <= 0xFFFF)


def parse(text: str) -> Reference:
    """What somebody typed; the tag is "latest" where neither tag nor digest is said. Raises InvalidOption."""
    rest, at, digest_text = text.partition("@")
    digest = _digest(digest_text, text) if at else None
    name, colon, tag = _split_tag(rest)
    if colon and not is_tag(tag):
        raise _wrong_tag(tag)
    registry, repository = _split_registry(name, text)
    return Reference(registry, repository, tag if colon or digest else "latest", digest)


def _split_tag(rest: str) -> tuple[str, str, str]:
    """A colon before the last "/" is that of a port."""
    last = rest.rfind("/") + 1
    name, colon, tag = rest[last:].partition(":")
    return rest[:last] + name, colon, tag


def _split_registry(name: str, text: str) -> tuple[str, str]:
    first, _, repository = name.partition("/")
    if not _is_registry_of(name):
        first, repository = DEFAULT_REGISTRY, name
    if first == _ITS_OTHER_NAME:
        first = DEFAULT_REGISTRY
    if not is_registry(first):
        raise InvalidOption(f"{_shown(text)} is no image name: {_shown(first)} is no host of a registry")
    if first == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    if first == DEFAULT_REGISTRY and _ID.fullmatch(repository.removeprefix(_OFFICIAL)):
        raise InvalidOption(f"{_shown(text)} is no image name: 64 hexadecimal digits are an id")
    _check_repository(first, repository, text)
    return first, repository


def _is_registry_of(name: str) -> bool:
    """Whether what stands before the first "/" looks like a host: "lab/tool" has none, "lab.example/tool" does."""
    first, slash, _ = name.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first or first != first.lower())


def _check_repository(registry: str, repository: str, text: str) -> None:
    if len(registry) + 1 + len(repository) > MAX_NAME:
        raise InvalidOption(f"{_shown(text)} is no image name: it is longer than {MAX_NAME} characters")
    if not is_repository(repository):
        lower = is_repository(repository.lower())
        hint = (
            "repositories are written in lower case" if lower else "debian:12, for example, or localhost:5000/lab/tool"
        )
        raise InvalidOption(f"{_shown(text)} is no image name", hint=hint)


def _digest(digest_text: str, text: str) -> Digest:
    try:
        return Digest.parse(digest_text)
    except InvalidContent as error:
        raise InvalidOption(f"{_shown(text)} is no image name: {error.message}", hint=error.hint) from None


def _wrong_tag(tag: str) -> InvalidOption:
    hint = "at most 128 letters, digits, dots, dashes and underscores; neither dot nor dash comes first"
    return InvalidOption(f"{_shown(tag)} is no tag", hint=hint)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")
