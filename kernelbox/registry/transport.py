"""One HTTP exchange with somebody who may be slow, broken or hostile: time-outs, bounded bodies, errors as sentences.

Nothing is followed, repeated or signed here: see session.py.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Protocol

import requests
from requests import exceptions
from requests.exceptions import BaseHTTPError  # type: ignore[attr-defined]  # what a connection raises beneath it

from kernelbox.errors import InvalidOption, RegistryError
from kernelbox.oci.value import frozen
from kernelbox.registry.origin import Origin, without_query
from kernelbox.registry.pace import Pace, PacedAdapter
from kernelbox.registry.retry import Passing
from kernelbox.registry.stop import Stop

__all__ = ["Body", "Request", "Response", "Timeouts", "Transport"]

CHUNK_BYTES = 1 << 20


class Body(Protocol):
    """A body that is read while it is sent; `len()` is how many bytes it has."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


@frozen
class Timeouts:
    """Seconds. `connect` is also how long a piece of a body may take to be sent, `read` how long nothing may come."""

    connect: float = 30.0
    read: float = 60.0
    pace: Pace = field(default_factory=Pace)


@frozen
class Request:
    """`trust` is whether the certificate of the other side is checked, or the file with those that are trusted."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    trust: bool | str = True


class Response:
    """What came back: the headers at once, the body while it is read. Close it, or use it as a block."""

    def __init__(self, response: requests.Response, url: str) -> None:
        self._response = response
        self.url = url

    @property
    def status(self) -> int:
        return self._response.status_code

    def header(self, name: str) -> str:
        """ "" where there is none."""
        return self._response.headers.get(name, "")

    @property
    def length(self) -> int | None:
        """Of the body, in bytes, where the other side has said it."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None

    @property
    def media_type(self) -> str:
        """Of the body, without its parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The body as it comes, and as it was sent: what is compressed is the content itself. Raises Passing where the
        connection breaks or stalls."""
        with _explained(self.url):
            # Not iter_content: it waits until so much is there, and forgets it where the connection breaks before.
            while piece := self._response.raw.read1(size, decode_content=False):
                yield piece

    def read(self, most: int) -> bytes:
        """All of the body. Raises RegistryError for one that is longer, Passing."""
        content = bytearray()
        for chunk in self.chunks(min(most + 1, CHUNK_BYTES)):
            content += chunk
            if len(content) > most:
                raise RegistryError(f"{without_query(self.url)} answers with more than the {most} bytes that it may")
        return bytes(content)

    def close(self) -> None:
        """Idempotent. A connection with something unread on it is given up."""
        self._response.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport:
    """Keeps connections open for the next request. For several threads; close it."""

    def __init__(
        self,
        timeouts: Timeouts | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        connections: int = 16,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._adapter = PacedAdapter(self._timeouts.pace, clock, connections)

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        """The answer, whatever its status. Raises Passing where another attempt may help, RegistryError where not, and
        InvalidOption where the file of trusted certificates is not there."""
        if stop is not None:
            stop.check()
        origin = Origin.of(request.url)
        prepared = _prepared(request)
        timeout = (self._timeouts.connect, self._timeouts.read)
        trust = _authorities() if request.trust is True else request.trust
        if isinstance(trust, str) and not os.path.exists(trust):
            raise InvalidOption(f"there are no certificates at {trust}", hint="ca in registries.toml, or SSL_CERT_FILE")
        proxies = {} if origin.loopback else requests.utils.get_environ_proxies(request.url, no_proxy=None)
        self._adapter.stopped_by(stop)
        try:
            with _explained(request.url):
                answer = self._adapter.send(prepared, True, timeout, trust, proxies=proxies)
        finally:
            self._adapter.stopped_by(None)
        return Response(answer, request.url)

    def close(self) -> None:
        """Idempotent."""
        self._adapter.close()


def _prepared(request: Request) -> requests.PreparedRequest:
    headers = {"User-Agent": "kernelbox", "Accept-Encoding": "identity", **request.headers}
    prepared = requests.PreparedRequest()
    with _explained(request.url):
        prepared.prepare(request.method, request.url, headers, hooks={})
    if request.body is not None:
        prepared.body = request.body  # type: ignore[assignment]  # all that is asked of one is read()
        prepared.headers["Content-Length"] = str(len(request.body))
    return prepared


def _authorities() -> bool | str:
    """Those that other programs of this machine trust: a company's own are among them."""
    chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return chosen or ssl.get_default_verify_paths().cafile or True


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except (exceptions.RequestException, BaseHTTPError) as error:
        raise _sentence(url, error) from error


def _sentence(url: str, error: Exception) -> RegistryError:
    origin = Origin.of(url)
    if isinstance(error, exceptions.SSLError):
        hint = "name its certificate authority (ca) in registries.toml, or call the registry insecure there"
        return RegistryError(f"{origin} could not show that it is who it says it is: {_reason(error)}", hint=hint)
    if isinstance(error, exceptions.ProxyError):
        return RegistryError(f"the proxy on the way to {origin} does not work: {_reason(error)}")
    if refusal := _cause(error, ConnectionRefusedError):
        return RegistryError(f"nobody answers at {origin}: {_reason(refusal)}", hint="is the registry running?")
    if unknown := _cause(error, socket.gaierror):
        hint = "see that the name is right, and that there is a network"
        return RegistryError(f"no machine is known by the name of {origin}: {_reason(unknown)}", hint=hint)
    if isinstance(error, exceptions.Timeout) or _cause(error, TimeoutError):
        return Passing(f"{origin} does not answer in time: {_reason(error)}")
    if isinstance(error, exceptions.ConnectionError | BaseHTTPError):
        return Passing(f"the connection to {origin} broke: {_reason(error)}")
    return RegistryError(f"{origin} could not be asked: {_reason(error)}")


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The one of this kind behind `error`."""
    return next((each for each in _behind(error) if isinstance(each, kind)), None)


def _behind(error: BaseException) -> list[BaseException]:
    """The error itself, and those that it was made of; the libraries wrap them up to four times."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 20:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return found


def _reason(error: BaseException) -> str:
    """In the words of the system where it was the system's, else of the innermost error."""
    found = _behind(error)
    for each in found:
        if isinstance(each, ssl.SSLCertVerificationError):
            return each.verify_message
        if isinstance(each, http.client.IncompleteRead):
            return "it ended too early"
    words = next((each.strerror for each in found if isinstance(each, OSError) and each.strerror), str(found[-1]))
    return words[:1].lower() + words[1:200] if words else type(found[-1]).__name__
