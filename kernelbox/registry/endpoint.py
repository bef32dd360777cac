"""Where a registry and its mirrors answer, and how sure one has to be of them."""

from __future__ import annotations

from urllib.parse import urlsplit

from kernelbox.oci import reference
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.registry.configuration import Configuration, RegistrySettings
from kernelbox.registry.origin import Origin, is_loopback

__all__ = ["Endpoint", "mirrors_of", "of_registry", "of_search", "trust_in"]


@frozen
class Endpoint:
    """`name` is what credentials for it are kept under. `schemes` are tried in their order; where there is only "https"
    nothing is ever sent in the clear. `prefix` goes before the names of repositories ("cache/", or nothing). `trust` is
    whether its certificate is checked, or the file with those that are trusted."""

    name: str
    host: str
    schemes: tuple[str, ...]
    prefix: str = ""
    trust: bool | str = True


def of_registry(registry: str, configuration: Configuration) -> Endpoint:
    """The registry itself. This machine's own is asked without encryption first, an insecure one last."""
    settings = configuration.of(registry)
    host = Reference(registry, "").host
    if is_loopback(host):
        return Endpoint(registry, host, ("http", "https"), trust=settings.ca or False)
    schemes = ("https", "http") if settings.insecure else ("https",)
    return Endpoint(registry, host, schemes, trust=_trust(settings))


def mirrors_of(registry: str, configuration: Configuration) -> tuple[Endpoint, ...]:
    """In the order in which they are asked before the registry. What is configured for a mirror's own name holds."""
    settings = configuration.of(registry)
    found = []
    for url in settings.mirrors:
        parts = urlsplit(url)
        own = configuration.of(parts.netloc)
        trust: bool | str = own.ca or settings.ca or not (own.insecure or is_loopback(parts.netloc))
        prefix = parts.path.strip("/")
        name = reference.DEFAULT_REGISTRY if parts.netloc in reference.DEFAULT_HOSTS else parts.netloc
        found.append(Endpoint(name, parts.netloc, (parts.scheme,), f"{prefix}/" if prefix else "", trust))
    return tuple(found)


def of_search(registry: str, configuration: Configuration) -> Endpoint:
    """Where it is searched: the default registry has another host for that."""
    found = of_registry(registry, configuration)
    if registry != reference.DEFAULT_REGISTRY:
        return found
    return Endpoint(found.name, urlsplit(reference.CREDENTIALS_KEY).netloc, found.schemes, "", found.trust)


def trust_in(origin: Origin, configuration: Configuration) -> bool | str:
    """Whether the certificate of somebody whom a registry sends us on to is checked, or the file to check it with: they
    may have settings of their own."""
    address = str(origin).partition("://")[2]
    return _trust(configuration.of(address))


def _trust(settings: RegistrySettings) -> bool | str:
    return settings.ca or not settings.insecure
