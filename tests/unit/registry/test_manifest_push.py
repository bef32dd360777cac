"""Manifests to registries, the list of what refers to them, and deleting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from unit.registry.clients import client
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import InvalidContent
from kernelbox.oci import manifest as manifests
from kernelbox.oci import media_types, referrers
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client

LAYER = Descriptor(media_types.LAYER_TAR, Digest.of(b"layer"), 5)


@pytest.fixture
def asker() -> Iterator[Client]:
    with client() as made:
        yield made


def artifact(subject: Descriptor | None = None) -> Manifest:
    config = Descriptor(media_types.EMPTY, Digest.of(b"{}"), 2)
    return Manifest.build(config, [LAYER], subject=subject, artifact_type="application/x.sig")


def test_a_manifest_under_its_tag_and_under_its_digest(asker: Client) -> None:
    made = artifact()
    script = lambda received: Answer(200 if received.path == "/v2/" else 201)  # noqa: E731
    with scripted(script) as server:
        there = Reference(server.address, "lab/tool", "1")
        assert asker.push_manifest(there, made.raw, made.media_type) == made.digest
        assert asker.push_manifest(there.with_digest(made.digest), made.raw, made.media_type) == made.digest
        first, second = server.said("PUT")
    assert first.path == "/v2/lab/tool/manifests/1"
    assert second.path == f"/v2/lab/tool/manifests/{made.digest}"
    assert (first.body, first.headers["content-type"]) == (made.raw, media_types.MANIFEST)


def test_a_manifest_that_the_registry_changed(asker: Client) -> None:
    made = artifact()
    said = {"Docker-Content-Digest": str(LAYER.digest)}
    script = lambda received: Answer(201 if received.method == "PUT" else 200, headers=said)  # noqa: E731
    with scripted(script) as server, pytest.raises(InvalidContent, match="in place of"):
        asker.push_manifest(Reference(server.address, "lab/tool", "1"), made.raw, made.media_type)


@pytest.mark.parametrize("lists", [True, False])
def test_the_list_of_referrers_is_kept_up_where_the_registry_does_not(asker: Client, lists: bool) -> None:
    subject = Descriptor(media_types.MANIFEST, Digest.of(b"subject"), 7)
    made = artifact(subject)
    known: dict[str, bytes] = {}

    def script(received: Received) -> Answer:
        name = received.path.rpartition("/")[2]
        if received.method == "PUT":
            known[name] = received.body
            return Answer(201, headers={"OCI-Subject": str(subject.digest)} if lists else {})
        if received.path == "/v2/":
            return Answer()
        kind = {"Content-Type": media_types.INDEX}
        return Answer(body=known[name], headers=kind) if name in known else Answer(404)

    with scripted(script) as server:
        there = Reference(server.address, "lab/tool").with_digest(made.digest)
        for _ in range(2):
            asker.push_manifest(there, made.raw, made.media_type)
        found = asker.referrers(there, subject.digest)
    tag = referrers.fallback_tag(subject.digest)
    assert (tag in known) is not lists
    if not lists:
        assert found == manifests.parse(known[tag]).manifests  # type: ignore[union-attr]
        assert [(each.digest, each.artifact_type) for each in found] == [(made.digest, "application/x.sig")]


def test_deleting(asker: Client) -> None:
    def script(received: Received) -> Answer:
        return Answer(404 if "gone" in received.path else 202 if received.method == "DELETE" else 200)

    with scripted(script) as server:
        there = Reference(server.address, "lab/tool", "1")
        asker.delete(there)
        asker.delete(there.with_digest(LAYER.digest))
        asker.delete_blob(there, LAYER.digest)
        assert [each.path for each in server.said("DELETE")] == [
            "/v2/lab/tool/manifests/1",
            f"/v2/lab/tool/manifests/{LAYER.digest}",
            f"/v2/lab/tool/blobs/{LAYER.digest}",
        ]
        with pytest.raises(LookupError):
            asker.delete(Reference(server.address, "lab/tool", "gone"))
