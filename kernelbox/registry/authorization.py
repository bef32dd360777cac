"""Showing a registry who one is: Basic (RFC 7617) and Bearer tokens (distribution's token authentication).

A registry that wants a token says where it is to be had, its `realm`. A password goes there only over https, or to the
registry's own machine where that is reached without: whoever names a realm is not always the registry. Tokens are kept
in memory for as long as they hold, and go to the registry's own origin only.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from kernelbox.errors import RegistryError, Unauthorized
from kernelbox.oci.value import frozen
from kernelbox.registry import answers
from kernelbox.registry.challenge import Challenge, parse
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.origin import Origin, without_query
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Request, Response

__all__ = ["Authorization", "pull_scope", "push_scope"]

_MOST_BYTES = 1 << 20
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,300}")
_LEAST_S = 60.0
"""What tokens hold where their servers do not say, and the least that they may say (token specification)."""
_EARLY_S = 5.0
_MOST_SCOPES = 8
_CLIENT = "kernelbox"


def pull_scope(repository: str) -> str:
    return f"repository:{repository}:pull"


def push_scope(repository: str) -> str:
    return f"repository:{repository}:pull,push"


@frozen
class _Token:
    text: str
    until: float


class Authorization:
    """Towards one registry, whose origin is `origin`. `credentials` looks up who one is, at most once and when it is
    first asked for; `exchange` sends a request to a realm, whose certificate is checked as `trust` says. `registry` is
    its name, for whoever is to log in. For several threads."""

    def __init__(
        self,
        origin: Origin,
        credentials: Callable[[], Credentials | None],
        exchange: Callable[[Request, Stop | None], Response],
        *,
        registry: str = "",
        clock: Callable[[], float] = time.monotonic,
        trust: Callable[[Origin], bool | str] = lambda origin: True,
    ) -> None:
        self._origin = origin
        self._look_up = credentials
        self._exchange = exchange
        self._clock = clock
        self._registry = registry
        self._trust = trust
        self._mutex = threading.RLock()
        self._known: tuple[Credentials | None] | None = None
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def header(self, scopes: Iterable[str], stop: Stop | None = None) -> str:
        """What to send along, "" for nothing: until the registry has asked, nobody knows what it wants. Raises as
        `answer`."""
        with self._mutex:
            if self._challenge is None:
                return ""
            return self._header(self._challenge, tuple(sorted(set(scopes))), stop)

    def answer(self, response: Response, scopes: Iterable[str], refused: str, stop: Stop | None = None) -> str:
        """What to send after this 401, to which `refused` was sent; "" where there is nothing more to say. Raises
        Unauthorized, RegistryError, Passing."""
        with self._mutex:
            wanted = tuple(sorted(set(scopes)))
            challenge = _usable(parse(response.header("WWW-Authenticate")))
            if challenge is None:
                return ""
            # What this one request needs is not what the next one does.
            lasting = {name: value for name, value in challenge.parameters.items() if name != "scope"}
            self._challenge = Challenge(challenge.scheme, lasting)
            if challenge.scheme == "bearer":
                had = self._tokens.get(wanted)
                if had is not None and refused == f"Bearer {had.text}":
                    del self._tokens[wanted]
            found = self._header(challenge, wanted, stop)
            return "" if found == refused else found

    @property
    def anonymous(self) -> bool:
        """Whether nothing is known of who one is."""
        return self._credentials is None

    @property
    def _credentials(self) -> Credentials | None:
        if self._known is None:
            self._known = (self._look_up(),)
        return self._known[0]

    def _header(self, challenge: Challenge, scopes: tuple[str, ...], stop: Stop | None) -> str:
        credentials = self._credentials
        if challenge.scheme == "basic":
            return _basic(credentials) if credentials and credentials.username else ""
        token = self._tokens.get(scopes)
        if token is None or token.until <= self._clock():
            token = self._fetch(challenge, _with_its_own(scopes, challenge), credentials, stop)
            self._tokens[scopes] = token
        return f"Bearer {token.text}"

    def _fetch(
        self, challenge: Challenge, scopes: tuple[str, ...], credentials: Credentials | None, stop: Stop | None
    ) -> _Token:
        realm = challenge.get("realm")
        there = self._checked_realm(realm)
        asked = self._clock()
        request = _token_request(realm, challenge.get("service"), scopes, credentials, self._trust(there))
        with self._exchange(request, stop) as response:
            if response.status in (400, 401, 403):
                raise self._not_given(there, response.status, credentials)
            if response.status != 200:
                raise RegistryError(
                    f"{there} gives no token for {self._origin}: HTTP status {response.status}",
                    http_status=response.status,
                )
            return _token(response.read(_MOST_BYTES), there, asked)

    def _checked_realm(self, realm: str) -> Origin:
        there = Origin.of(realm)
        loopback = there.loopback and self._origin.loopback
        same = self._origin.scheme == "http" and there.host == self._origin.host
        if there.scheme != "https" and not loopback and not same:
            raise RegistryError(f"{self._origin} sends for tokens to {without_query(realm)}, which is not encrypted")
        if there.inward and not loopback:
            raise RegistryError(f"{self._origin} sends for tokens to {there}, which is this machine: nothing is sent")
        return there

    def _not_given(self, there: Origin, status: int, credentials: Credentials | None) -> Unauthorized:
        who = f"{credentials.username or 'the token of this account'}" if credentials else "nobody in particular"
        return Unauthorized(
            f"{there} gives no token for {self._origin} to {who} (HTTP status {status})",
            hint=answers.login_hint(self._registry, credentials is not None),
            http_status=401,
            code="UNAUTHORIZED",
        )


def _usable(challenges: tuple[Challenge, ...]) -> Challenge | None:
    """The one that gives a password away to fewer."""
    for scheme in ("bearer", "basic"):
        for each in challenges:
            if each.scheme == scheme and (scheme == "basic" or each.get("realm")):
                return each
    return None


def _with_its_own(scopes: tuple[str, ...], challenge: Challenge) -> tuple[str, ...]:
    """With those that the registry says it needs, which may be more than we know of."""
    said = [each for each in challenge.get("scope").split(" ") if _SCOPE.fullmatch(each) and each not in scopes]
    return (*scopes, *said[:_MOST_SCOPES])


def _token_request(
    realm: str, service: str, scopes: tuple[str, ...], credentials: Credentials | None, trust: bool | str
) -> Request:
    """With a password as OAuth has no say in it; with an identity token as it has ("grant_type=refresh_token")."""
    if credentials and credentials.identity_token:
        form = {"grant_type": "refresh_token", "service": service, "client_id": _CLIENT, "scope": " ".join(scopes)}
        body = urlencode({**form, "refresh_token": credentials.identity_token}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request("POST", realm, headers, body, trust)
    query = [("service", service)] if service else []
    query += [("scope", each) for each in scopes]
    if credentials:
        query += [("account", credentials.username)]
    joint = "&" if urlsplit(realm).query else "?"
    url = realm.partition("#")[0] + (joint + urlencode(query) if query else "")
    return Request("GET", url, {"Authorization": _basic(credentials)} if credentials else {}, None, trust)


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def _token(content: bytes, there: Origin, asked: float) -> _Token:
    try:
        document: Any = json.loads(content)
        text = document.get("token") or document.get("access_token")
        seconds = document.get("expires_in") or _LEAST_S
    except (ValueError, AttributeError, RecursionError):
        text, seconds = None, _LEAST_S
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise RegistryError(f"{there} answers with something else than a token")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= _LEAST_S:
        seconds = _LEAST_S
    return _Token(text, asked + min(float(seconds), 86400.0) - _EARLY_S)
