"""Manifests from registries that lie, and what a name stands for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import pytest
from unit.registry.clients import client
from unit.registry.images import Shelf, image
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import ImageNotFound, InvalidContent, RegistryError
from kernelbox.oci import media_types
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference
from kernelbox.registry.configuration import RegistrySettings

IMAGE = image(b"layer")
RAW, KIND = IMAGE.manifest.raw, IMAGE.manifest.media_type
DIGEST = IMAGE.manifest.digest


def shelf(**options: object) -> Shelf:
    made = Shelf(**options)  # type: ignore[arg-type]
    made.add(IMAGE, tag="1")
    return made


def test_what_a_tag_stands_for() -> None:
    with scripted(shelf()) as server, client() as asker:
        there = Reference(server.address, "lab/tool", "1")
        assert asker.resolve(there) == IMAGE.descriptor
        assert asker.manifest(there) == (RAW, KIND)
        assert asker.manifest(there.with_digest(DIGEST)) == (RAW, KIND)
        assert [each.method for each in server.received[1:]] == ["HEAD", "GET", "GET"]
        for kind in (media_types.INDEX, media_types.DOCKER_MANIFEST):
            assert kind in server.received[-1].headers["accept"]
        with pytest.raises(ImageNotFound, match=r"could not pull .*lab/tool:2"):
            asker.resolve(there.with_tag("2"))


@pytest.mark.parametrize(
    "head",
    [
        Answer(405),
        Answer(501),
        Answer(200),
        Answer(200, headers={"Content-Type": KIND, "Content-Length": "5"}),
        Answer(200, headers={"Docker-Content-Digest": str(DIGEST), "Content-Type": "text/html", "Content-Length": "5"}),
    ],
)
def test_a_registry_that_does_not_say_it_in_its_headers(head: Answer) -> None:
    made = shelf(instead=lambda received: head if received.method == "HEAD" else None)
    with scripted(made) as server, client() as asker:
        assert asker.resolve(Reference(server.address, "lab/tool", "1")) == IMAGE.descriptor


def test_sha512_is_checked_as_it_is_asked_for() -> None:
    digest = Digest.of(RAW, "sha512")
    with scripted(lambda received: Answer(body=RAW, headers={"Content-Type": KIND})) as server, client() as asker:
        there = Reference(server.address, "lab/tool").with_digest(digest)
        assert asker.manifest(there) == (RAW, KIND)
        assert asker.resolve(there).digest == digest
        with pytest.raises(InvalidContent, match="is damaged"):
            asker.manifest(there.with_digest(Digest.of(b"other", "sha512")))


LIES: list[tuple[Callable[[Received], Answer], type[Exception], str]] = [
    (lambda received: Answer(body=RAW + b" ", headers={"Content-Type": KIND}), InvalidContent, "is damaged"),
    (lambda received: Answer(body=RAW[:-1], headers={"Content-Type": KIND}), InvalidContent, "is damaged"),
    (lambda received: Answer(body=b"", headers={"Content-Type": KIND}), InvalidContent, "is damaged"),
    (lambda received: Answer(body=itertools.repeat(b"x" * 65536)), RegistryError, "more than"),
    (lambda received: Answer(body=RAW, length=8 << 20), RegistryError, "broke"),
    (lambda received: Answer(403, b"<html>", {"Content-Type": "text/html"}), RegistryError, "web page"),
]


@pytest.mark.parametrize(("lie", "kind", "sentence"), LIES)
def test_lies_about_a_manifest(lie: Callable[[Received], Answer], kind: type[Exception], sentence: str) -> None:
    with scripted(shelf(instead=lie)) as server, client(attempts=2) as asker, pytest.raises(kind, match=sentence):
        asker.manifest(Reference(server.address, "lab/tool").with_digest(DIGEST))


def test_a_tag_whose_digest_is_not_that_of_its_bytes() -> None:
    lie = {"Content-Type": KIND, "Docker-Content-Digest": str(Digest.of(b"other"))}
    made = shelf(instead=lambda received: Answer(body=RAW, headers=lie))
    with scripted(made) as server, client() as asker, pytest.raises(InvalidContent, match="is damaged"):
        asker.manifest(Reference(server.address, "lab/tool", "1"))


@pytest.mark.parametrize("said", ["sha256:0", "md5:abc", "../../etc", "sha256:" + "A" * 64])
def test_a_digest_that_is_none(said: str) -> None:
    lie = {"Content-Type": KIND, "Docker-Content-Digest": said}
    made = shelf(instead=lambda received: Answer(body=RAW, headers=lie))
    with scripted(made) as server, client() as asker:
        there = Reference(server.address, "lab/tool", "1")
        for ask in (asker.manifest, asker.resolve):
            with pytest.raises(InvalidContent):
                ask(there)


def test_a_web_page_is_no_manifest() -> None:
    made = shelf(instead=lambda received: Answer(body=b"<html>", headers={"Content-Type": "text/html"}))
    with scripted(made) as server, client() as asker:
        there = Reference(server.address, "lab/tool", "1")
        for ask in (asker.manifest, asker.resolve):
            with pytest.raises(RegistryError, match="answers with a web page, as no registry does"):
                ask(there)


def test_an_error_that_makes_no_sense() -> None:
    for body in (b"[]", b'{"errors": []}', b'{"errors": [7]}', b"{", b'{"errors": [{"code": 7}]}', b"x" * (1 << 20)):
        made = shelf(instead=lambda received, body=body: Answer(400, body))  # type: ignore[misc]
        with scripted(made) as server, client() as asker, pytest.raises(RegistryError, match="HTTP status 400"):
            asker.manifest(Reference(server.address, "lab/tool", "1"))


def test_a_document_that_breaks_off_is_fetched_again() -> None:
    cuts = iter([10, 0, 100])

    def instead(received: Received) -> Answer | None:
        cut = next(cuts, None)
        return None if cut is None else Answer(body=RAW, headers={"Content-Type": KIND}, cut=cut)

    with scripted(shelf(instead=instead)) as server, client() as asker:
        assert asker.manifest(Reference(server.address, "lab/tool", "1")) == (RAW, KIND)


def test_a_mirror_is_asked_first() -> None:
    with scripted(shelf()) as mirror, scripted(shelf()) as own:
        settings = {own.address: RegistrySettings(mirrors=(f"http://{mirror.address}/cache",))}
        with client(settings) as asker:
            there = Reference(own.address, "lab/tool", "1")
            assert asker.resolve(there) == IMAGE.descriptor
            assert asker.manifest(there) == (RAW, KIND)
        assert own.received == []
        assert {each.path for each in mirror.received} == {"/v2/cache/lab/tool/manifests/1"}


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(404),
        Answer(401),
        Answer(503),
        Answer(body=b"<html>", headers={"Content-Type": "text/html"}),
        Answer(body=b"x", headers={"Content-Type": KIND, "Docker-Content-Digest": str(DIGEST)}),
        Answer(raw=b"nonsense"),
    ],
)
def test_the_registry_has_the_last_word(wrong: Answer) -> None:
    with scripted(lambda received: wrong) as mirror, scripted(shelf()) as own:
        settings = {own.address: RegistrySettings(mirrors=(f"http://{mirror.address}", "http://127.0.0.1:1"))}
        with client(settings) as asker:
            assert asker.manifest(Reference(own.address, "lab/tool", "1")) == (RAW, KIND)
            with pytest.raises(ImageNotFound):
                asker.manifest(Reference(own.address, "lab/tool", "2"))
        assert mirror.received


def test_what_is_pushed_and_listed_is_the_registry_s() -> None:
    with scripted(lambda received: Answer()) as mirror, scripted(shelf()) as own:
        settings = {own.address: RegistrySettings(mirrors=(f"http://{mirror.address}",))}

        def instead(received: Received) -> Answer | None:
            if received.method == "PUT":
                return Answer(201)
            return Answer(body=json.dumps({"tags": ["1"]}).encode()) if "tags" in received.path else None

        own.script = shelf(instead=instead)
        with client(settings) as asker:
            there = Reference(own.address, "lab/tool", "1")
            asker.push_manifest(there, RAW, KIND)
            assert list(asker.tags(there)) == ["1"]
        assert mirror.received == []
