"""Showing a registry who one is, and nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from unit.registry.certificates import server_context
from unit.registry.clients import Waits, client
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import ImageNotFound, RegistryError, Unauthorized
from kernelbox.oci.reference import Reference
from kernelbox.registry.authorization import Authorization
from kernelbox.registry.client import Client
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.origin import Origin
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Request, Response

ME = Credentials("me", "se:cret")
BASIC = "Basic " + base64.b64encode(b"me:se:cret").decode()


def tags(asker: Client, registry: str, repository: str = "lab/tool") -> list[str]:
    return list(asker.tags(Reference(registry, repository)))


TAGS = Answer(body=b'{"tags": ["1"]}', headers={"Content-Type": "application/json"})


@dataclass
class Tokens:
    """A registry that wants a token, and the server of the tokens, on one port."""

    realm: str = ""
    answers: Callable[[Received], Answer] | None = None
    lasts: int = 300
    given: list[str] = field(default_factory=list)
    good: set[str] = field(default_factory=set)

    def __call__(self, received: Received) -> Answer:
        if received.path == "/token":
            if self.answers is not None:
                return self.answers(received)
            token = f"token-{len(self.given)}"
            self.given.append(token)
            self.good.add(token)
            return Answer(body=json.dumps({"token": token, "expires_in": self.lasts}).encode())
        if received.path == "/v2/" or received.headers.get("authorization", "")[7:] not in self.good:
            realm = self.realm or f"http://{received.headers['host']}/token"
            challenge = f'Bearer realm="{realm}",service="lab",scope="repository:lab/tool:pull"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return TAGS


def test_a_token_is_fetched_and_kept() -> None:
    registry = Tokens()
    with scripted(registry) as server, client() as asker:
        for _ in range(3):
            assert tags(asker, server.address) == ["1"]
        assert tags(asker, server.address, "lab/other") == ["1"]
        asked = server.said("GET", "/token")
    assert [each.query["scope"] for each in asked] == [
        ["repository:lab/tool:pull"],
        ["repository:lab/other:pull"],
    ]
    assert asked[0].query["service"] == ["lab"]
    assert "authorization" not in asked[0].headers
    assert "account" not in asked[0].query


def test_a_password_goes_to_the_token_server_and_the_token_to_the_registry() -> None:
    registry = Tokens()
    with scripted(registry) as server, client(known={server.address: ME}) as asker:
        assert tags(asker, server.address) == ["1"]
        for each in server.received:
            expected = BASIC if each.path == "/token" else "Bearer token-0" if "authorization" in each.headers else None
            assert each.headers.get("authorization") == expected
        assert server.said("GET", "/token")[0].query["account"] == ["me"]


def test_an_identity_token_stands_for_a_password() -> None:
    registry = Tokens()
    known = Credentials("me", "", "identity")
    with scripted(registry) as server, client(known={server.address: known}) as asker:
        assert tags(asker, server.address) == ["1"]
        (asked,) = server.said("POST", "/token")
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["identity"]
    assert form["scope"] == ["repository:lab/tool:pull"]
    assert "identity" not in asked.target
    assert "authorization" not in asked.headers


def test_a_token_that_no_longer_holds_is_replaced_once() -> None:
    registry = Tokens()
    with scripted(registry) as server, client() as asker:
        tags(asker, server.address)
        registry.good.clear()
        assert tags(asker, server.address) == ["1"]
        assert registry.given == ["token-0", "token-1"]


def test_a_storm_of_401_ends() -> None:
    registry = Tokens()
    registry.good = frozenset()  # type: ignore[assignment]
    registry.answers = lambda received: Answer(body=b'{"access_token": "abc"}')
    waits = Waits()
    with scripted(registry) as server, client(known={server.address: ME}, waits=waits) as asker:
        with pytest.raises(Unauthorized) as caught:
            tags(asker, server.address)
        assert len(server.received) == 4  # the first look, the request twice, one token
    assert caught.value.http_status == 401
    assert f"log in: kernelbox login {server.address}" in str(caught.value)
    assert waits.seconds == []


def test_basic() -> None:
    def script(received: Received) -> Answer:
        if received.headers.get("authorization") == BASIC:
            return TAGS
        return Answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who?"}]}', {"WWW-Authenticate": "Basic"})

    with scripted(script) as server:
        with client(known={server.address: ME}) as asker:
            assert tags(asker, server.address) == ["1"]
            count = len(server.received)
            tags(asker, server.address)
            assert len(server.received) == count + 1  # it is known by now
        with client() as asker, pytest.raises(Unauthorized, match=r"who\?"):
            tags(asker, server.address)
        with client(known={server.address: Credentials("me", "wrong")}) as asker, pytest.raises(Unauthorized):
            tags(asker, server.address)


def test_a_wrong_password_is_said_to_be_one() -> None:
    registry = Tokens(answers=lambda received: Answer(401, b"secret page"))
    with (
        scripted(registry) as server,
        client(known={server.address: ME}) as asker,
        pytest.raises(Unauthorized, match=r"gives no token for .* to me") as caught,
    ):
        tags(asker, server.address)
    assert "log in again" in str(caught.value)
    assert "se:cret" not in str(caught.value)
    assert "secret page" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body=b"<html>"), "something else than a token"),
        (Answer(body=b"[]"), "something else than a token"),
        (Answer(body=b"[" * 100_000), "something else than a token"),
        (Answer(body=b"{}"), "something else than a token"),
        (Answer(body=b'{"token": 7}'), "something else than a token"),
        (Answer(body=b'{"token": "a b"}'), "something else than a token"),
        (Answer(body=b'{"token": "a\\r\\nHost: evil"}'), "something else than a token"),
        (Answer(body=b'{"token": "%s"}' % (b"a" * (2 << 20))), "more than"),
        (Answer(404), "HTTP status 404"),
        (Answer(302, headers={"Location": "/token2"}), "HTTP status 302"),
        (Answer(503), "HTTP status 503"),
    ],
)
def test_a_token_server_that_gives_none(answer: Answer, sentence: str) -> None:
    registry = Tokens(answers=lambda received: answer)
    with scripted(registry) as server, client(known={server.address: ME}) as asker:
        with pytest.raises(RegistryError, match=sentence):
            tags(asker, server.address)
        assert server.said("GET", "/token2") == []


def test_a_token_server_that_is_busy_is_asked_again() -> None:
    waits = Waits()
    answers = iter([Answer(429, headers={"Retry-After": "9"}), Answer(503), Answer(body=b'{"token": "abc"}')])
    registry = Tokens(answers=lambda received: next(answers), good={"abc"})
    with scripted(registry) as server, client(waits=waits) as asker:
        assert tags(asker, server.address) == ["1"]
    assert waits.seconds == [9, 1]


def test_a_realm_elsewhere_on_this_machine_gets_the_password_and_nothing_else_does() -> None:
    tokens = Tokens()
    with scripted(tokens) as second:
        registry = Tokens(realm=f"http://{second.address}/token", good=tokens.good)
        with scripted(registry) as first, client(known={first.address: ME}) as asker:
            assert tags(asker, first.address) == ["1"]
            assert [each.headers.get("authorization") for each in second.received] == [BASIC]
            assert BASIC not in [each.headers.get("authorization") for each in first.received]


def refused_realm(origin: str, realm: str) -> str:
    """The sentence with which `realm` is refused, before anything is sent to it."""

    def exchange(request: Request, stop: Stop | None) -> Response:
        raise AssertionError(f"{request.url} was asked")

    class Asked:
        def header(self, name: str) -> str:
            return f'Bearer realm="{realm}",service="x"'

    with pytest.raises(RegistryError) as caught:
        Authorization(Origin.of(origin), lambda: ME, exchange).answer(Asked(), ["a"], "")  # type: ignore[arg-type]
    return caught.value.message


@pytest.mark.parametrize(
    ("origin", "realm", "why"),
    [
        ("https://images.example", "http://images.example/token", "not encrypted"),
        ("https://images.example", "http://auth.example/token", "not encrypted"),
        ("https://images.example", "http://127.0.0.1:80/token", "not encrypted"),
        ("https://images.example", "https://localhost/token", "this machine"),
        ("http://images.example:5000", "http://auth.example/token", "not encrypted"),
        ("http://images.example:5000", "https://[::1]/token", "this machine"),
        ("http://127.0.0.1:5000", "http://auth.example/token", "not encrypted"),
        ("https://images.example", "https://me:x@images.example/", "user's name"),
        ("https://images.example", "ftp://images.example/", "no address"),
        ("https://images.example", "file:///etc/passwd", "no address"),
        ("https://images.example", "/token", "no address"),
    ],
)
def test_a_realm_that_is_sent_nothing(origin: str, realm: str, why: str) -> None:
    assert why in refused_realm(origin, realm)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_to_a_second_origin(status: int) -> None:
    with scripted(lambda received: TAGS) as second:

        def script(received: Received) -> Answer:
            if received.headers.get("authorization") != BASIC:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Answer(status, headers={"Location": f"http://{second.address}/elsewhere"})

        with scripted(script) as first, client(known={first.address: ME, second.address: ME}) as asker:
            assert tags(asker, first.address) == ["1"]
        (received,) = second.received
        assert received.target == "/elsewhere"
        assert not {"authorization", "cookie"} & set(received.headers)


def test_a_second_origin_that_asks_is_told_nothing() -> None:
    with scripted(lambda received: Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})) as second:

        def script(received: Received) -> Answer:
            if received.headers.get("authorization") != BASIC:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Answer(307, headers={"Location": f"http://{second.address}/"})

        with (
            scripted(script) as first,
            client(known={first.address: ME, second.address: ME}) as asker,
            pytest.raises(Unauthorized),
        ):
            tags(asker, first.address)
        assert ["authorization" in each.headers for each in second.received] == [False]


def test_credentials_follow_within_the_origin() -> None:
    def script(received: Received) -> Answer:
        if received.headers.get("authorization") != BASIC:
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return TAGS if received.path == "/v2/moved" else Answer(308, headers={"Location": "/v2/moved"})

    with scripted(script) as server, client(known={server.address: ME}) as asker:
        assert tags(asker, server.address) == ["1"]


def test_redirects_in_circles_end() -> None:
    def script(received: Received) -> Answer:
        return Answer(200 if received.path == "/v2/" else 302, headers={"Location": received.target + "x"})

    with scripted(script) as server:
        with client() as asker, pytest.raises(RegistryError, match="round in circles"):
            tags(asker, server.address)
        assert len(server.received) == 11


def test_what_is_encrypted_stays_so(tmp_path: Path) -> None:
    context, authority = server_context(tmp_path)
    with scripted(lambda received: TAGS) as plain:
        script = lambda received: (  # noqa: E731
            Answer(200) if received.path == "/v2/" else Answer(302, headers={"Location": f"http://{plain.address}/"})
        )
        with scripted(script, context) as server:
            settings = {server.address: RegistrySettings(ca=str(authority))}
            with client(settings) as asker, pytest.raises(RegistryError, match="not encrypted"):
                tags(asker, server.address)
        assert plain.received == []


def test_those_to_whom_a_registry_sends_us_on_have_certificates_of_their_own(tmp_path: Path) -> None:
    context, authority = server_context(tmp_path)
    with scripted(lambda received: TAGS, context) as second:

        def script(received: Received) -> Answer:
            elsewhere = {"Location": f"https://{second.address}/"}
            return Answer(200 if received.path == "/v2/" else 302, headers=elsewhere)

        with scripted(script) as first:
            with client() as asker, pytest.raises(RegistryError, match="could not show"):
                tags(asker, first.address)
            with client({second.address: RegistrySettings(ca=str(authority))}) as asker:
                assert tags(asker, first.address) == ["1"]


def test_a_registry_of_this_machine_may_be_encrypted(tmp_path: Path) -> None:
    context, authority = server_context(tmp_path)
    with scripted(lambda received: TAGS, context) as server:
        for settings in ({}, {server.address: RegistrySettings(ca=str(authority))}):
            with client(settings) as asker:
                assert tags(asker, server.address) == ["1"]


def test_no_password_is_sent_to_find_out_whether_a_registry_is_encrypted(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        if received.headers.get("authorization") == BASIC:
            return TAGS
        return Answer(401, headers={"WWW-Authenticate": "Basic"})

    with scripted(script, server_context(tmp_path)[0]) as server, client(known={server.address: ME}) as asker:
        assert tags(asker, server.address) == ["1"]
        assert server.received[0].path == "/v2/"
        assert "authorization" not in server.received[0].headers


def test_what_is_not_allowed_is_said_in_the_registry_s_words() -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "only on \\u001b[31mMondays"}]}'
    with (
        scripted(lambda received: Answer(200 if received.path == "/v2/" else 403, body)) as server,
        client() as asker,
        pytest.raises(Unauthorized, match=r"only on \[31mMondays") as caught,
    ):
        tags(asker, server.address)
    assert (caught.value.http_status, caught.value.code) == (403, "DENIED")


def test_a_login_is_checked() -> None:
    def script(received: Received) -> Answer:
        known = received.headers.get("authorization") == BASIC
        return Answer(200 if known else 401, headers={"WWW-Authenticate": "Basic"})

    with scripted(script) as server:
        with client(known={server.address: ME}) as asker:
            asker.check_login(server.address)
        with client(known={server.address: Credentials("me", "x")}) as asker, pytest.raises(Unauthorized):
            asker.check_login(server.address)


def test_a_repository_that_is_not_there() -> None:
    with (
        scripted(lambda received: Answer(404)) as server,
        client() as asker,
        pytest.raises(ImageNotFound, match="could not list the tags of"),
    ):
        tags(asker, server.address)
