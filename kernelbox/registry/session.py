"""Requests to one endpoint: signed where it asks for that, followed where it sends us on, repeated where that helps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import field

from kernelbox.errors import KernelBoxError, RegistryError
from kernelbox.oci.value import frozen
from kernelbox.registry import answers
from kernelbox.registry.authorization import Authorization
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.endpoint import Endpoint
from kernelbox.registry.origin import Origin, follow
from kernelbox.registry.retry import PASSING_STATUSES, Passing, Retry, seconds_asked
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Body, Request, Response, Transport

__all__ = ["Ask", "Session"]

_MOST_HOPS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PROBED = PASSING_STATUSES | {200, 401, 403, 404}
"""What an endpoint says to somebody who speaks its protocol; others get 400 or a broken connection."""


@frozen
class Ask:
    """What is wanted of a registry. `where` is a path that begins with "/", or the URL of an earlier answer; `what` is
    for sentences ("pull lab/tool:1"). Statuses other than `accepted` are errors, 404 that of the kind `missing`. `body`
    makes the body anew for every attempt."""

    method: str
    where: str
    what: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], bytes | Body] | None = None
    accepted: Collection[int] = (200,)
    missing: type[KernelBoxError] = RegistryError


class Session:
    """For several threads. `elsewhere` is the trust in those whom the endpoint sends us on to. Raises what
    `answers.error_of` makes of an answer, and what Transport raises."""

    def __init__(
        self,
        endpoint: Endpoint,
        transport: Transport,
        retry: Retry,
        credentials: Callable[[], Credentials | None],
        elsewhere: Callable[[Origin], bool | str] = lambda origin: True,
    ) -> None:
        self.endpoint = endpoint
        self._elsewhere = elsewhere
        self.retry = retry
        self._transport = transport
        self._credentials = credentials
        self._mutex = threading.Lock()
        self._found: tuple[str, Authorization] | None = None

    def open(self, ask: Ask, stop: Stop | None = None) -> Response:
        """The answer, once it begins; tried several times until then."""
        return self.retry.run(lambda: self.once(ask, stop), stop)

    def read(self, ask: Ask, most: int, stop: Stop | None = None) -> tuple[Response, bytes]:
        """The answer with its body, which may have so many bytes; tried several times."""

        def attempt() -> tuple[Response, bytes]:
            with self.once(ask, stop) as response:
                return response, response.read(most)

        return self.retry.run(attempt, stop)

    def once(self, ask: Ask, stop: Stop | None = None) -> Response:
        """The answer to a single attempt. Raises Passing where another may help."""
        base, authorization = self._ready(stop)
        url = base + ask.where if ask.where.startswith("/") else ask.where
        own = Origin.of(base)
        answered = False
        for _ in range(_MOST_HOPS):
            here = Origin.of(url) == own
            sent = authorization.header(ask.scopes, stop) if here else ""
            response = self._send(
                ask, url, sent, self.endpoint.trust if here else self._elsewhere(Origin.of(url)), stop
            )
            location = response.header("Location")
            if response.status in ask.accepted:
                return response
            elif response.status == 401 and here and not answered:
                answered = True
                with response:
                    if authorization.answer(response, ask.scopes, sent, stop):
                        continue
                    raise answers.error_of(response, ask.what, ask.missing, self.endpoint.name)
            elif response.status in _REDIRECTS and location and ask.method in ("GET", "HEAD"):
                response.close()
                url = follow(url, location)
            else:
                raise answers.error_of(response, ask.what, ask.missing, self.endpoint.name)
        raise RegistryError(f"could not {ask.what}: {own} sends us round in circles")

    def url(self, response: Response, location: str) -> str:
        """What a Location or a Link of an answer leads to. Raises RegistryError where it may not be followed."""
        return follow(response.url, location)

    def origin(self, stop: Stop | None = None) -> Origin:
        """Where it answers. Raises as a request does."""
        return Origin.of(self._ready(stop)[0])

    def _send(self, ask: Ask, url: str, sent: str, trust: bool | str, stop: Stop | None) -> Response:
        headers = {**ask.headers, "Authorization": sent} if sent else ask.headers
        body = ask.body() if ask.body is not None else None
        return self._transport.send(Request(ask.method, url, headers, body, trust), stop)

    def _ready(self, stop: Stop | None) -> tuple[str, Authorization]:
        with self._mutex:
            if self._found is None:
                base = self._base(stop)
                self._found = (
                    base,
                    Authorization(
                        Origin.of(base),
                        self._credentials,
                        self._to_realm,
                        registry=self.endpoint.name,
                        trust=self._trust_in,
                    ),
                )
            return self._found

    def _base(self, stop: Stop | None) -> str:
        """Without anything that is secret the possible schemes are tried."""
        endpoint = self.endpoint
        if len(endpoint.schemes) == 1:
            return f"{endpoint.schemes[0]}://{endpoint.host}"
        failure: RegistryError | None = None
        for scheme in endpoint.schemes:
            base = f"{scheme}://{endpoint.host}"
            try:
                with self._transport.send(Request("GET", f"{base}/v2/", trust=endpoint.trust), stop) as response:
                    if response.status in _PROBED:
                        return base
                    failure = failure or RegistryError(
                        f"{base} is no registry: it says HTTP status {response.status}", http_status=response.status
                    )
            except RegistryError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def _trust_in(self, origin: Origin) -> bool | str:
        """A token server on the registry's own machine is believed as the registry is."""
        same = origin.host == Origin.of(f"https://{self.endpoint.host}").host
        return self.endpoint.trust if same else self._elsewhere(origin)

    def _to_realm(self, request: Request, stop: Stop | None) -> Response:
        def attempt() -> Response:
            response = self._transport.send(request, stop)
            if response.status in PASSING_STATUSES:
                with response:
                    wait = seconds_asked(response.header("Retry-After"))
                    sentence = f"{Origin.of(request.url)} gives no token: HTTP status {response.status}"
                    raise Passing(sentence, http_status=response.status, wait=wait)
            return response

        return self.retry.run(attempt, stop)
