"""Lists in pages, and registries whose pages have no end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.registry.clients import client
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import ImageNotFound, InvalidContent, NotSupported, RegistryError
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index
from kernelbox.oci.reference import Reference
from kernelbox.registry import listing

SUBJECT = Digest.of(b"subject")


def page(names: list[object], link: str = "") -> Answer:
    return Answer(body=json.dumps({"name": "lab/tool", "tags": names}).encode(), headers={"Link": link} if link else {})


def tags(script: Callable[[Received], Answer]) -> list[str]:
    answering = lambda received: Answer() if received.path == "/v2/" else script(received)  # noqa: E731
    with scripted(answering) as server, client() as asker:
        return list(asker.tags(Reference(server.address, "lab/tool")))


def test_pages_in_their_order() -> None:
    def script(received: Received) -> Answer:
        last = int(received.query.get("last", ["0"])[0])
        link = f'</v2/lab/tool/tags/list?n=2&last={last + 2}>; rel="next"' if last < 6 else ""
        return page([f"t{last}", f"t{last + 1}"], link)

    assert tags(script) == [f"t{number}" for number in range(8)]


def test_a_page_is_fetched_when_it_is_wanted() -> None:
    script = lambda received: page([f"t{len(received.target)}"], f"<{received.target}x>; rel=next")  # noqa: E731
    answering = lambda received: Answer() if received.path == "/v2/" else script(received)  # noqa: E731
    with scripted(answering) as server, client() as asker:
        found = list(itertools.islice(asker.tags(Reference(server.address, "lab/tool")), 3))
        assert len(found) == 3
        assert len(server.received) == 4


@pytest.mark.parametrize(
    "link",
    [
        '<{}>; rel="next"',
        "<{}>;rel=next",
        '<{}>; title="a, b"; rel="next"',
        '<{}>; rel="first next"',
        '<https://other.example/>; rel="prev", <{}>; rel="next"',
        "<{}>; REL=Next",
        '<?last=2>; rel="next"',
    ],
)
def test_forms_of_the_link(link: str) -> None:
    def script(received: Received) -> Answer:
        return page(["b"]) if "last" in received.query else page(["a"], link.format("/v2/lab/tool/tags/list?last=2"))

    assert tags(script) == ["a", "b"]


@pytest.mark.parametrize(
    "link", ["", "/v2/x", "<>; rel=next", '</v2/x>; rel="prev"', "</v2/x", '</v2/x>; title="next"']
)
def test_what_is_no_next_page(link: str) -> None:
    assert tags(lambda received: page(["a"], link)) == ["a"]


@given(st.text(max_size=100))
def test_any_link_is_read_to_an_end(link: str) -> None:
    assert isinstance(listing._next(link), str)


def test_a_long_link_takes_no_time() -> None:
    for header in ("<a>" + ";a" * 30_000, "<" * 60_000, '<a>;a="' + '";"' * 20_000):
        assert listing._next(header) == ""


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (lambda received: page(["a"], "</v2/lab/tool/tags/list?n=1000>; rel=next"), "round in circles"),
        (lambda received: page(["a"], f"<{received.target}x>; rel=next"), "round in circles"),
        (lambda received: page([], f"<{received.target}x>; rel=next"), "round in circles"),
        (lambda received: page(["a"], "<http://127.0.0.1:1/v2/x>; rel=next"), "somewhere else"),
        (lambda received: page(["a"], "</elsewhere>; rel=next"), "somewhere else"),
        (lambda received: page(["a"], "<file:///etc/passwd>; rel=next"), "no address"),
    ],
)
def test_pages_without_end(script: Callable[[Received], Answer], sentence: str) -> None:
    with pytest.raises(RegistryError, match=sentence):
        tags(script)


def test_two_pages_that_lead_to_each_other() -> None:
    def script(received: Received) -> Answer:
        here = received.query.get("last", ["a"])[0]
        other = "b" if here == "a" else "a"
        return page([f"{here}{quote(other)}"], f"</v2/lab/tool/tags/list?last={other}>; rel=next")

    with pytest.raises(RegistryError, match="round in circles"):
        tags(script)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"tags": {}}',
        b'{"tags": [1]}',
        b'{"tags": ["a b"]}',
        b'{"tags": ["\\u001b[2J"]}',
        b'{"tags": ["%s"]}' % (b"a" * 1000),
        b'{"tags": ' + b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(InvalidContent, match="could not list the tags of"):
        tags(lambda received: Answer(body=body))


@pytest.mark.parametrize("body", [b'{"tags": null}', b"{}", b'{"tags": []}'])
def test_an_empty_list(body: bytes) -> None:
    assert tags(lambda received: Answer(body=body)) == []


def test_a_page_without_end() -> None:
    with pytest.raises(RegistryError, match="more than"):
        tags(lambda received: Answer(body=itertools.repeat(b'{"a": 1},' * 10_000)))


def test_the_catalog() -> None:
    script = lambda received: Answer(body=b'{"repositories": ["lab/a", "b"]}')  # noqa: E731
    with scripted(script) as server, client() as asker:
        assert list(asker.catalog(server.address)) == ["lab/a", "b"]


def entry(name: str, kind: str = "application/x.sig") -> Descriptor:
    return Descriptor(media_types.MANIFEST, Digest.of(name.encode()), len(name), artifact_type=kind)


def test_referrers_in_pages() -> None:
    def script(received: Received) -> Answer:
        if not received.path.endswith(f"/referrers/{SUBJECT}"):
            return Answer()
        second = "page" in received.query
        raw = Index.build([entry("b") if second else entry("a"), entry("x", "application/x.other")]).raw
        return Answer(body=raw, headers={} if second else {"Link": f"<{received.path}?page=2>; rel=next"})

    with scripted(script) as server, client() as asker:
        found = asker.referrers(Reference(server.address, "lab/tool"), SUBJECT, "application/x.sig")
        assert server.received[-2].query["artifactType"] == ["application/x.sig"]
    assert [each.digest for each in found] == [entry("a").digest, entry("b").digest]


def test_referrers_under_the_tag_of_a_registry_that_does_not_list_them() -> None:
    index = Index.build([entry("a"), entry("b")])

    def script(received: Received) -> Answer:
        if received.path == f"/v2/lab/tool/manifests/sha256-{SUBJECT.encoded}":
            return Answer(body=index.raw, headers={"Content-Type": media_types.INDEX})
        return Answer(200 if received.path == "/v2/" else 404)

    with scripted(script) as server, client() as asker:
        there = Reference(server.address, "lab/tool")
        assert asker.referrers(there, SUBJECT) == index.manifests
        assert asker.referrers(there, Digest.of(b"other")) == ()


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"schemaVersion": 2, "manifests": [1]}'])
def test_referrers_that_are_none(body: bytes) -> None:
    script = lambda received: Answer(body=b"" if received.path == "/v2/" else body)  # noqa: E731
    with scripted(script) as server, client() as asker, pytest.raises(InvalidContent):
        asker.referrers(Reference(server.address, "lab/tool"), SUBJECT)


def test_referrers_without_end() -> None:
    raw = Index.build([entry("a")]).raw
    script = lambda received: Answer(body=raw, headers={"Link": f"<{received.target}>; rel=next"})  # noqa: E731
    with scripted(script) as server, client() as asker, pytest.raises(RegistryError, match="circles"):
        asker.referrers(Reference(server.address, "lab/tool"), SUBJECT)


def test_a_search() -> None:
    body = {
        "results": [
            {"name": "lab/tool", "description": "does\n things\u001b[2J", "star_count": 7, "is_official": True},
            {"name": "b", "star_count": "many"},
            {"name": 7},
            "x",
        ]
    }
    script = lambda received: Answer(body=json.dumps(body).encode())  # noqa: E731
    with scripted(script) as server, client() as asker:
        first, second = asker.search(server.address, "to ol", 25)
        assert server.received[-1].query == {"q": ["to ol"], "n": ["25"]}
        assert server.received[-1].path == "/v1/search"
    assert (first.name, first.description, first.stars, first.official) == ("lab/tool", "does things [2J", 7, True)
    assert (second.name, second.description, second.stars, second.official) == ("b", "", 0, False)


def test_a_search_where_there_is_only_a_catalog() -> None:
    def script(received: Received) -> Answer:
        if received.path == "/v2/_catalog":
            return Answer(body=b'{"repositories": ["lab/tool", "lab/other", "tooling"]}')
        return Answer(200 if received.path == "/v2/" else 404)

    with scripted(script) as server, client() as asker:
        assert [each.name for each in asker.search(server.address, "TOOL", 25)] == ["lab/tool", "tooling"]
        assert [each.name for each in asker.search(server.address, "tool", 1)] == ["lab/tool"]


def test_a_search_where_there_is_nothing() -> None:
    with (
        scripted(lambda received: Answer(200 if received.path == "/v2/" else 404)) as server,
        client() as asker,
        pytest.raises(NotSupported, match="offers no search"),
    ):
        asker.search(server.address, "tool", 25)


def test_a_repository_that_is_not_there() -> None:
    with pytest.raises(ImageNotFound):
        tags(lambda received: Answer(404, b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no such"}]}'))
