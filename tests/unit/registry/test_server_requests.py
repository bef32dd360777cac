"""The distribution specification as a table of requests: what each is answered, with which code and headers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import image_documents as documents
import pytest
import registry_requests as requests
from registry_requests import ABSENT, CONFIG, LAYER, ask

from kernelbox.oci.digest import Digest
from kernelbox.registry.server.serving import Running, registry

IMAGE = requests.image()
DIGEST = Digest.of(IMAGE)
SHORT = json.dumps(documents.image_index(manifests=[documents.descriptor(IMAGE, documents.MANIFEST)])).encode()
NOTE = requests.artifact("application/x.note", IMAGE, annotations={"by": "ann"})
SEAL = requests.artifact("application/x.seal", IMAGE)
LAYER_DIGEST, CONFIG_DIGEST = Digest.of(LAYER), Digest.of(CONFIG)
LONG = Digest.of(LAYER, "sha512")
OCI = {"Content-Type": documents.MANIFEST}
HERE = "/v2/lab/tool"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage that has the image lab/tool:1, an index :all, two artifacts about the image, and a blob in
    other/one."""
    storage = tmp_path_factory.mktemp("filled")
    with registry(storage) as running:
        requests.push_image(running.address, "lab/tool", "1")
        requests.push_manifest(running.address, "lab/tool", SHORT, "all")
        requests.push_blob(running.address, "lab/tool", requests.EMPTY)
        requests.push_manifest(running.address, "lab/tool", NOTE)
        requests.push_manifest(running.address, "lab/tool", SEAL)
        requests.push_blob(running.address, "other/one", b"of the other")
    return storage


@pytest.fixture
def reg(tmp_path: Path, filled: Path) -> Iterator[Running]:
    """Serves a copy of it."""
    storage = shutil.copytree(filled, tmp_path / "storage")
    with registry(storage) as running:
        yield running


@dataclass(frozen=True)
class Case:
    what: str
    method: str
    path: str
    status: int
    code: str = ""
    body: bytes | None = None
    sent: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


PULL = [
    Case("the version check", "GET", "/v2/", 200, headers={"Docker-Distribution-Api-Version": "registry/2.0"}),
    Case("a blob", "GET", f"{HERE}/blobs/{LAYER_DIGEST}", 200, content=LAYER,
         headers={"Docker-Content-Digest": str(LAYER_DIGEST), "Content-Type": "application/octet-stream"}),
    Case("whether there is a blob", "HEAD", f"{HERE}/blobs/{LAYER_DIGEST}", 200, content=b"",
         headers={"Content-Length": str(len(LAYER)), "Docker-Content-Digest": str(LAYER_DIGEST)}),
    Case("an encoded colon", "GET", f"{HERE}/blobs/{str(LAYER_DIGEST).replace(':', '%3A')}", 200, content=LAYER),
    Case("a range", "GET", f"{HERE}/blobs/{LAYER_DIGEST}", 206, sent={"Range": "bytes=2-6"}, content=LAYER[2:7],
         headers={"Content-Range": f"bytes 2-6/{len(LAYER)}"}),
    Case("an open range", "GET", f"{HERE}/blobs/{LAYER_DIGEST}", 206, sent={"Range": "bytes=5-"}, content=LAYER[5:]),
    Case("the last bytes", "GET", f"{HERE}/blobs/{LAYER_DIGEST}", 206, sent={"Range": "bytes=-4"}, content=LAYER[-4:]),
    Case("a range behind the end", "GET", f"{HERE}/blobs/{LAYER_DIGEST}", 416, sent={"Range": "bytes=999-"},
         headers={"Content-Range": f"bytes */{len(LAYER)}"}),
    Case("a blob that is nowhere", "GET", f"{HERE}/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    Case("whether there is one that is nowhere", "HEAD", f"{HERE}/blobs/{ABSENT}", 404, content=b""),
    Case("a blob of another repository", "GET", f"/v2/other/one/blobs/{LAYER_DIGEST}", 404, "BLOB_UNKNOWN"),
    Case("a digest that is none", "GET", f"{HERE}/blobs/sha256:123", 400, "DIGEST_INVALID"),
    Case("a digest of no kind", "GET", f"{HERE}/blobs/md5:{'0' * 32}", 400, "DIGEST_INVALID"),
    Case("a digest in capitals", "GET", f"{HERE}/blobs/{str(LAYER_DIGEST).upper()}", 400, "DIGEST_INVALID"),
    Case("a manifest by tag", "GET", f"{HERE}/manifests/1", 200, content=IMAGE,
         headers={"Docker-Content-Digest": str(DIGEST), "Content-Type": documents.MANIFEST}),
    Case("a manifest by digest", "GET", f"{HERE}/manifests/{DIGEST}", 200, content=IMAGE),
    Case("whether there is a manifest", "HEAD", f"{HERE}/manifests/1", 200, content=b"",
         headers={"Content-Length": str(len(IMAGE)), "Docker-Content-Digest": str(DIGEST)}),
    Case("a tag that is not there", "GET", f"{HERE}/manifests/2", 404, "MANIFEST_UNKNOWN"),
    Case("a manifest that is not there", "GET", f"{HERE}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    Case("a repository that is not there", "GET", "/v2/no/where/manifests/1", 404, "NAME_UNKNOWN"),
    Case("what is no tag", "GET", f"{HERE}/manifests/.1", 400, "MANIFEST_INVALID"),
    Case("a client that takes it", "GET", f"{HERE}/manifests/1", 200,
         sent={"Accept": f"a/b, {documents.MANIFEST};q=1"}),
    Case("one that takes anything", "GET", f"{HERE}/manifests/1", 200, sent={"Accept": "a/b, */*;q=0.1"}),
    Case("one that does not", "GET", f"{HERE}/manifests/all", 404, "MANIFEST_UNKNOWN",
         sent={"Accept": documents.MANIFEST}),
    Case("one that excludes it", "GET", f"{HERE}/manifests/all", 404, "MANIFEST_UNKNOWN",
         sent={"Accept": f"{documents.INDEX};q=0"}),
]  # fmt: skip
PUSH = [
    Case("an upload", "POST", f"{HERE}/blobs/uploads/", 202, body=b"", headers={"Range": "0-0"}),
    Case("an upload without the last slash", "POST", f"{HERE}/blobs/uploads", 202, body=b""),
    Case("a whole blob", "POST", f"{HERE}/blobs/uploads/?digest={Digest.of(b'new')}", 201, body=b"new",
         headers={"Location": f"{HERE}/blobs/{Digest.of(b'new')}", "Docker-Content-Digest": str(Digest.of(b"new"))}),
    Case("a whole blob by sha512", "POST", f"{HERE}/blobs/uploads/?digest={LONG}", 201, body=LAYER,
         headers={"Location": f"{HERE}/blobs/{LONG}"}),
    Case("nothing, whole", "POST", f"{HERE}/blobs/uploads/?digest={Digest.of(b'')}", 201, body=b""),
    Case("another blob", "POST", f"{HERE}/blobs/uploads/?digest={ABSENT}", 400, "DIGEST_INVALID", body=b"new"),
    Case("a digest that is none", "POST", f"{HERE}/blobs/uploads/?digest=sha256:1", 400, "DIGEST_INVALID", body=b"new"),
    Case("an expected kind of digest", "POST", f"{HERE}/blobs/uploads/?digest-algorithm=sha512", 202, body=b""),
    Case("an unknown kind", "POST", f"{HERE}/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID", body=b""),
    Case("a mount", "POST", f"/v2/a/b/blobs/uploads/?mount={LAYER_DIGEST}&from=lab/tool", 201, body=b"",
         headers={"Location": f"/v2/a/b/blobs/{LAYER_DIGEST}"}),
    Case("a mount from anywhere", "POST", f"/v2/a/b/blobs/uploads/?mount={LAYER_DIGEST}", 201, body=b""),
    Case("a mount from where it is not", "POST", f"/v2/a/b/blobs/uploads/?mount={LAYER_DIGEST}&from=other/one", 202,
         body=b"", headers={"Range": "0-0"}),
    Case("a mount of what is nowhere", "POST", f"/v2/a/b/blobs/uploads/?mount={ABSENT}&from=lab/tool", 202, body=b""),
    Case("a mount from no repository", "POST", f"/v2/a/b/blobs/uploads/?mount={LAYER_DIGEST}&from=../lab/tool", 202,
         body=b""),
    Case("an upload that is not there", "PATCH", f"{HERE}/blobs/uploads/{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN",
         body=b"x"),
    Case("the name of no upload", "PATCH", f"{HERE}/blobs/uploads/..%2f..%2fregistry.db", 404, "BLOB_UPLOAD_UNKNOWN",
         body=b"x"),
    Case("the status of one that is not there", "GET", f"{HERE}/blobs/uploads/abc", 404, "BLOB_UPLOAD_UNKNOWN"),
    Case("the end of one that is not there", "PUT", f"{HERE}/blobs/uploads/abc?digest={ABSENT}", 404,
         "BLOB_UPLOAD_UNKNOWN", body=b""),
    Case("giving up one that is not there", "DELETE", f"{HERE}/blobs/uploads/abc", 404, "BLOB_UPLOAD_UNKNOWN"),
    Case("a tag", "PUT", f"{HERE}/manifests/2", 201, body=IMAGE, sent=OCI,
         headers={"Location": f"{HERE}/manifests/{DIGEST}", "Docker-Content-Digest": str(DIGEST)}),
    Case("a manifest by digest with tags", "PUT", f"{HERE}/manifests/{DIGEST}?tag=a&tag=b", 201, body=IMAGE, sent=OCI,
         headers={"Oci-Tag": "a, b"}),
    Case("a manifest by sha512", "PUT", f"{HERE}/manifests/{Digest.of(IMAGE, 'sha512')}", 201, body=IMAGE, sent=OCI,
         headers={"Docker-Content-Digest": str(Digest.of(IMAGE, "sha512"))}),
    Case("a manifest about another", "PUT", f"{HERE}/manifests/{Digest.of(NOTE)}", 201, body=NOTE, sent=OCI,
         headers={"Oci-Subject": str(DIGEST)}),
    Case("a manifest about none that is there", "PUT", f"{HERE}/manifests/{Digest.of(requests.artifact('a/b', b'x'))}",
         201, body=requests.artifact("a/b", b"x"), headers={"Oci-Subject": str(Digest.of(b"x"))}),
    Case("parameters of its type", "PUT", f"{HERE}/manifests/2", 201, body=IMAGE,
         sent={"Content-Type": f"{documents.MANIFEST}; charset=utf-8"}),
    Case("Docker's own", "PUT", f"{HERE}/manifests/2", 201, sent={
        "Content-Type": "application/vnd.docker.distribution.manifest.v2+json"},
        body=requests.image(mediaType="application/vnd.docker.distribution.manifest.v2+json")),
    Case("layers that nobody hands on", "PUT", f"{HERE}/manifests/2", 201, sent=OCI, body=requests.image(
        layers=()).replace(b'"layers": []', b'"layers": [%s]' % json.dumps(documents.descriptor(
            b"kept back", "application/vnd.oci.image.layer.nondistributable.v1.tar")).encode())),
    Case("another digest", "PUT", f"{HERE}/manifests/{ABSENT}", 400, "DIGEST_INVALID", body=IMAGE, sent=OCI),
    Case("another type", "PUT", f"{HERE}/manifests/2", 400, "MANIFEST_INVALID", body=IMAGE,
         sent={"Content-Type": documents.INDEX}),
    Case("an unknown type", "PUT", f"{HERE}/manifests/2", 400, "MANIFEST_INVALID", body=b'{"schemaVersion": 2}',
         sent={"Content-Type": "text/html"}),
    Case("no JSON", "PUT", f"{HERE}/manifests/2", 400, "MANIFEST_INVALID", body=b"<html>", sent=OCI),
    Case("two documents in one", "PUT", f"{HERE}/manifests/2", 400, "MANIFEST_INVALID", sent=OCI,
         body=IMAGE[:-1] + b', "manifests": []}'),
    Case("Docker's schema 1", "PUT", f"{HERE}/manifests/2", 400, "MANIFEST_INVALID", body=b'{"schemaVersion": 1}',
         sent={"Content-Type": "application/vnd.docker.distribution.manifest.v1+json"}),
    Case("a layer that is not there", "PUT", f"{HERE}/manifests/2", 404, "MANIFEST_BLOB_UNKNOWN", sent=OCI,
         body=requests.image((LAYER, b"not there"))),
    Case("an index of what is not there", "PUT", f"{HERE}/manifests/2", 404, "MANIFEST_BLOB_UNKNOWN",
         sent={"Content-Type": documents.INDEX}, body=json.dumps(documents.image_index()).encode()),
    Case("what is no tag", "PUT", f"{HERE}/manifests/-2", 400, "MANIFEST_INVALID", body=IMAGE, sent=OCI),
    Case("a tag that is too long", "PUT", f"{HERE}/manifests/{'a' * 129}", 400, "MANIFEST_INVALID", body=IMAGE,
         sent=OCI),
    Case("too many tags", "PUT", f"{HERE}/manifests/{DIGEST}?{'tag=a&' * 101}", 414, "UNSUPPORTED", body=IMAGE,
         sent=OCI),
]  # fmt: skip
DISCOVERY = [
    Case("tags", "GET", f"{HERE}/tags/list", 200, content=b'{"name": "lab/tool", "tags": ["1", "all"]}'),
    Case("some tags", "GET", f"{HERE}/tags/list?n=1", 200, content=b'{"name": "lab/tool", "tags": ["1"]}',
         headers={"Link": f'<{HERE}/tags/list?n=1&last=1>; rel="next"'}),
    Case("the next tags", "GET", f"{HERE}/tags/list?n=1&last=1", 200, content=b'{"name": "lab/tool", "tags": ["all"]}'),
    Case("tags behind one", "GET", f"{HERE}/tags/list?last=a", 200, content=b'{"name": "lab/tool", "tags": ["all"]}'),
    Case("no tags", "GET", f"{HERE}/tags/list?n=0", 200, content=b'{"name": "lab/tool", "tags": []}'),
    Case("all the tags of the world", "GET", f"{HERE}/tags/list?n=1000000000", 200),
    Case("more than that", "GET", f"{HERE}/tags/list?n={'9' * 5000}", 200),
    Case("fewer than none", "GET", f"{HERE}/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
    Case("tags of nothing", "GET", "/v2/no/where/tags/list", 404, "NAME_UNKNOWN"),
    Case("tags where there are none", "GET", "/v2/other/one/tags/list", 200,
         content=b'{"name": "other/one", "tags": []}'),
    Case("repositories", "GET", "/v2/_catalog", 200, content=b'{"repositories": ["lab/tool"]}'),
    Case("no repositories", "GET", "/v2/_catalog?n=0", 200, content=b'{"repositories": []}'),
    Case("referrers of nothing", "GET", f"{HERE}/referrers/{ABSENT}", 200,
         headers={"Content-Type": documents.INDEX}),
    Case("referrers of no digest", "GET", f"{HERE}/referrers/1", 400, "DIGEST_INVALID"),
    Case("referrers where nothing is", "GET", f"/v2/no/where/referrers/{ABSENT}", 200),
    Case("metrics", "GET", "/metrics", 200, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}),
]  # fmt: skip
MANAGEMENT = [
    Case("a tag", "DELETE", f"{HERE}/manifests/1", 202),
    Case("a manifest", "DELETE", f"{HERE}/manifests/{DIGEST}", 202),
    Case("a tag that is not there", "DELETE", f"{HERE}/manifests/2", 404, "MANIFEST_UNKNOWN"),
    Case("a manifest that is not there", "DELETE", f"{HERE}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
    Case("a manifest of nothing", "DELETE", f"/v2/no/where/manifests/{ABSENT}", 404, "NAME_UNKNOWN"),
    Case("a blob", "DELETE", f"/v2/other/one/blobs/{Digest.of(b'of the other')}", 202),
    Case("a blob that is not there", "DELETE", f"{HERE}/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
    Case("a blob that an image needs", "DELETE", f"{HERE}/blobs/{LAYER_DIGEST}", 405, "UNSUPPORTED"),
]  # fmt: skip
NONSENSE = [
    Case("a name with ..", "GET", f"/v2/lab/../tool/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("the same, encoded", "GET", f"/v2/lab/%2e%2e/tool/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("an encoded slash", "GET", f"/v2/lab%2ftool/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("an empty part", "GET", f"/v2/lab//tool/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("capitals", "GET", f"/v2/Lab/tool/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("a long name", "GET", f"/v2/{'a' * 256}/blobs/{LAYER_DIGEST}", 400, "NAME_INVALID"),
    Case("no name", "GET", f"/v2/blobs/{LAYER_DIGEST}", 404, "NAME_UNKNOWN"),
    Case("an upload for ..", "POST", "/v2/../blobs/uploads/", 400, "NAME_INVALID", body=b""),
    Case("another page", "GET", "/index.html", 404, "NAME_UNKNOWN"),
    Case("another part", "GET", f"{HERE}/layers/{LAYER_DIGEST}", 404, "NAME_UNKNOWN"),
    Case("an upload without a repository", "POST", "/v2/blobs/uploads/", 404, "NAME_UNKNOWN", body=b""),
    Case("an odd method", "PROPFIND", f"{HERE}/blobs/{LAYER_DIGEST}", 405, "UNSUPPORTED"),
    Case("an odd method at the door", "POST", "/v2/", 405, "UNSUPPORTED", body=b""),
    Case("a blob that is put in its place", "PUT", f"{HERE}/blobs/{LAYER_DIGEST}", 405, "UNSUPPORTED", body=b""),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", [*PULL, *PUSH, *DISCOVERY, *MANAGEMENT, *NONSENSE], ids=lambda case: f"{case.method} {case.what}"
)
def test_answer(reg: Running, case: Case) -> None:
    answer = ask(reg.address, case.method, case.path, case.body, case.sent)
    assert answer.status == case.status, answer
    assert answer.code == case.code if case.code else answer.status < 400 or not answer.body
    assert {key: answer.headers.get(key) for key in case.headers} == case.headers
    assert case.content in (None, answer.body)


def test_the_errors_have_the_form_of_the_specification(reg: Running) -> None:
    answer = ask(reg.address, "GET", f"{HERE}/manifests/2")
    assert answer.headers["Content-Type"].startswith("application/json")
    (error,) = answer.document["errors"]
    assert error == {"code": "MANIFEST_UNKNOWN", "message": "lab/tool has no manifest 2"}
    assert re.fullmatch("[A-Z_]+", error["code"])


def test_referrers_and_their_filter(reg: Running) -> None:
    answer = ask(reg.address, "GET", f"{HERE}/referrers/{DIGEST}")
    assert answer.headers["Content-Type"] == documents.INDEX
    found = {each["artifactType"]: each for each in answer.document["manifests"]}
    assert found["application/x.note"] == {
        "mediaType": documents.MANIFEST,
        "digest": str(Digest.of(NOTE)),
        "size": len(NOTE),
        "artifactType": "application/x.note",
        "annotations": {"by": "ann"},
    }
    assert set(found) == {"application/x.note", "application/x.seal"}
    filtered = ask(reg.address, "GET", f"{HERE}/referrers/{DIGEST}?artifactType=application%2Fx.seal")
    assert filtered.headers["Oci-Filters-Applied"] == "artifactType"
    assert [each["digest"] for each in filtered.document["manifests"]] == [str(Digest.of(SEAL))]
    ask(reg.address, "DELETE", f"{HERE}/manifests/{Digest.of(NOTE)}")
    after = ask(reg.address, "GET", f"{HERE}/referrers/{DIGEST}").document
    assert [each["digest"] for each in after["manifests"]] == [str(Digest.of(SEAL))]


def test_a_page_of_referrers_is_bounded_and_leads_to_the_next(reg: Running) -> None:
    big = [requests.artifact("a/b", b"x", annotations={"n": f"{number}" * 400_000}) for number in range(5)]
    for each in big:
        requests.push_manifest(reg.address, "lab/tool", each)
    found, pages, path = [], 0, f"{HERE}/referrers/{Digest.of(b'x')}?artifactType=a/b"
    while path:
        answer = ask(reg.address, "GET", path)
        found += [each["digest"] for each in answer.document["manifests"]]
        pages += 1
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert found == sorted(str(Digest.of(each)) for each in big)
    assert pages == 3, "two of 400 kB in a page of 1 MiB"


def test_pages_lead_through_all_tags_in_the_order_of_their_bytes(reg: Running) -> None:
    names = sorted(["B", "a", "A", "b", "_", "1.0", "1-0", "10", "2", "Z9", "1", "all"])
    ask(reg.address, "PUT", f"{HERE}/manifests/{DIGEST}?{'&'.join(f'tag={name}' for name in names)}", IMAGE, OCI)
    found, path = [], f"{HERE}/tags/list?n=5"
    while path:
        answer = ask(reg.address, "GET", path)
        assert len(answer.document["tags"]) <= 5
        found += answer.document["tags"]
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        path = link[1] if link else ""
    assert found == names


def test_what_is_deleted_stays_deleted(reg: Running) -> None:
    # The content is still there for another repository, and does not show through it again.
    requests.push_image(reg.address, "other/two", "1")
    assert ask(reg.address, "DELETE", f"{HERE}/manifests/{DIGEST}").status == 202
    for reference in ("1", str(DIGEST)):
        assert ask(reg.address, "GET", f"{HERE}/manifests/{reference}").status == 404
    assert ask(reg.address, "DELETE", f"{HERE}/blobs/{LAYER_DIGEST}").status == 202
    assert ask(reg.address, "HEAD", f"{HERE}/blobs/{LAYER_DIGEST}").status == 404
    assert ask(reg.address, "GET", f"/v2/other/two/blobs/{LAYER_DIGEST}").body == LAYER
    assert ask(reg.address, "DELETE", f"/v2/other/two/manifests/{DIGEST}").status == 202
    assert ask(reg.address, "DELETE", f"/v2/other/two/blobs/{LAYER_DIGEST}").status == 202
    assert not (reg.storage / "blobs/sha256" / LAYER_DIGEST.encoded).exists(), "the last one who had it"


def test_what_a_case_answers_is_counted(reg: Running) -> None:
    ask(reg.address, "GET", f"{HERE}/manifests/2")
    text = ask(reg.address, "GET", "/metrics").body.decode()
    lines = text.splitlines()
    assert 'kernelbox_registry_requests_total{method="GET",kind="manifest",status="404"} 1' in lines
    assert "kernelbox_registry_manifests 4" in lines
    assert "kernelbox_registry_tags 2" in lines
    assert "kernelbox_registry_repositories 1" in lines
    assert "kernelbox_registry_blobs 8" in lines
    form = re.compile(r"# (HELP|TYPE) \w+ .+|\w+(\{(\w+=\"[^\"]*\",?)+\})? [0-9.e+-]+")
    assert not [line for line in lines if not form.fullmatch(line)]
