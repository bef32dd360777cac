"""The registry and the distribution specification 1.1: a table of requests for each of its four categories, and what
has to come of each, in the order in which a client would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from unit.registry.asking import Answer, Asker, asker
from unit.registry.served_images import CONFIG, IMAGE, INDEX, LAYER, OTHER, SECOND, SIGNATURE

from kernelbox.oci import media_types
from kernelbox.oci.digest import Digest
from kernelbox.registry.server.serving import registry

TYPED = {"Content-Type": media_types.MANIFEST}
DIGEST, WIDE = Digest.of(LAYER), Digest.of(LAYER, "sha512")
NONE = f"sha256:{'0' * 64}"
UPLOADS = "/v2/lab/tool/blobs/uploads/"
BLOBS, MANIFESTS = "/v2/lab/tool/blobs", "/v2/lab/tool/manifests"
UPLOAD = r"/v2/lab/tool/blobs/uploads/[0-9a-f]{32}"


@dataclass(frozen=True)
class Row:
    """`status`, `code` of the error, `wanted` headers (patterns; None: not there) and `content` are what has to come.
    `{upload}` in a path is where the last begun upload goes on."""

    method: str
    path: str
    status: int
    code: str = ""
    sent: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    wanted: Mapping[str, str | None] = field(default_factory=dict)
    content: bytes | None = None

    def faults(self, answer: Answer) -> Iterator[str]:
        if (answer.status, answer.code) != (self.status, self.code) and self.method != "HEAD":
            yield f"{answer.status} {answer.code}, wanted {self.status} {self.code}: {answer.body[:200]!r}"
        elif answer.status != self.status:
            yield f"{answer.status}, wanted {self.status}"
        for name, pattern in self.wanted.items():
            found = answer.headers.get(name.lower())
            if (found is None) != (pattern is None) or (pattern and not re.fullmatch(pattern, found or "")):
                yield f"{name}: {found}, wanted {pattern}"
        if self.content is not None and answer.body != self.content:
            yield f"{answer.body[:200]!r}, wanted {self.content[:200]!r}"


def is_digest(digest: object) -> dict[str, str]:
    return {"Docker-Content-Digest": re.escape(str(digest))}


@pytest.fixture
def ask() -> Iterator[Asker]:
    with registry() as running:
        yield asker(running)


def walk(ask: Asker, rows: list[Row]) -> None:
    upload, wrong = "", []
    for number, row in enumerate(rows):
        path = row.path.replace("{upload}", upload)
        answer = ask(row.method, path, row.body, row.sent)
        if answer.status == 202 and row.method == "POST":
            upload = answer.headers["location"]
        wrong += [f"row {number}: {row.method} {path[:120]}: {fault}" for fault in row.faults(answer)]
    assert not wrong, "\n" + "\n".join(wrong)


def filled(ask: Asker) -> Asker:
    """With an image under two tags, an index of two, and something about the image."""
    for content in (CONFIG, LAYER, SECOND, b"{}"):
        ask.push("lab/tool", content)
    for name, document in (("one", IMAGE), ("two", IMAGE), ("other", OTHER), ("all", INDEX)):
        assert ask.put("lab/tool", name, document.raw).status == 201
    assert ask.put("lab/tool", str(SIGNATURE.digest), SIGNATURE.raw).status == 201
    return ask


def test_pull(ask: Asker) -> None:
    kind = {"Content-Type": re.escape(media_types.MANIFEST), "Content-Length": str(len(IMAGE.raw))}
    blob = {"Content-Length": str(len(LAYER)), **is_digest(DIGEST)}
    rows = [
        Row("GET", "/v2/", 200, wanted={"Docker-Distribution-API-Version": "registry/2.0"}, content=b"{}"),
        Row("GET", "/v2", 200),
        Row("HEAD", "/v2/", 200),
        Row("POST", "/v2/", 405, "UNSUPPORTED", wanted={"Allow": "GET, HEAD"}),
        Row("HEAD", f"{BLOBS}/{DIGEST}", 200, wanted=blob | {"Accept-Ranges": "bytes"}),
        Row("GET", f"{BLOBS}/{DIGEST}", 200, wanted=blob, content=LAYER),
        Row("GET", f"{BLOBS}/{DIGEST}".replace("sha256:", "sha256%3A"), 200, content=LAYER),
        Row("HEAD", f"{BLOBS}/{NONE}", 404),
        Row("GET", f"{BLOBS}/{NONE}", 404, "BLOB_UNKNOWN"),
        Row("GET", f"{BLOBS}/sha256:totallywrong", 400, "DIGEST_INVALID"),
        Row("GET", f"{BLOBS}/md5:{'0' * 32}", 400, "DIGEST_INVALID"),
        Row("GET", f"{BLOBS}/{str(DIGEST).upper()}", 400, "DIGEST_INVALID"),
        Row("GET", f"/v2/lab/other/blobs/{DIGEST}", 404, "BLOB_UNKNOWN"),
        Row("HEAD", f"{MANIFESTS}/one", 200, wanted=kind | is_digest(IMAGE.digest)),
        Row("GET", f"{MANIFESTS}/one", 200, wanted=kind | is_digest(IMAGE.digest), content=IMAGE.raw),
        Row("GET", f"{MANIFESTS}/{IMAGE.digest}", 200, wanted=kind, content=IMAGE.raw),
        Row("GET", f"{MANIFESTS}/all", 200, wanted={"Content-Type": re.escape(media_types.INDEX)}, content=INDEX.raw),
        Row("HEAD", f"{MANIFESTS}/nope", 404),
        Row("GET", f"{MANIFESTS}/nope", 404, "MANIFEST_UNKNOWN"),
        Row("GET", f"{MANIFESTS}/{NONE}", 404, "MANIFEST_UNKNOWN"),
        Row("GET", f"{MANIFESTS}/.nope", 400, "MANIFEST_INVALID"),
        Row("GET", f"{MANIFESTS}/{'a' * 129}", 400, "MANIFEST_INVALID"),
        Row("GET", f"{MANIFESTS}/sha256:1", 400, "DIGEST_INVALID"),
        Row("GET", f"{MANIFESTS}/{DIGEST}", 404, "MANIFEST_UNKNOWN"),
        Row("GET", "/v2/lab/nobody/manifests/one", 404, "NAME_UNKNOWN"),
        Row("GET", f"{MANIFESTS}/one", 200, sent={"Accept": f"text/html, {media_types.MANIFEST};q=0.5"}),
        Row("GET", f"{MANIFESTS}/one", 200, sent={"Accept": "*/*;q=0.1"}),
        Row("GET", f"{MANIFESTS}/one", 404, "MANIFEST_UNKNOWN", sent={"Accept": media_types.DOCKER_MANIFEST}),
        Row("GET", f"{MANIFESTS}/one", 404, "MANIFEST_UNKNOWN", sent={"Accept": f"{media_types.MANIFEST};q=0"}),
        Row("GET", "/v2/lab/tool", 404, "NAME_UNKNOWN"),
        Row("GET", "/", 404, "NAME_UNKNOWN"),
        Row("TRACE", f"{MANIFESTS}/one", 405, "UNSUPPORTED", wanted={"Allow": "GET, HEAD, PUT, DELETE"}),
    ]
    walk(filled(ask), rows)


@pytest.mark.parametrize(
    ("said", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=790-", 206, 790, 800),
        ("bytes=-5", 206, 795, 800),
        ("bytes=5-100000", 206, 5, 800),
        ("bytes=800-", 416, 0, 0),
        ("bytes=9-5", 416, 0, 0),
        ("bytes=0-1,4-5", 416, 0, 0),
    ],
)
def test_ranges(ask: Asker, said: str, status: int, start: int, end: int) -> None:
    assert len(LAYER) == 800
    ask.push("lab/tool", LAYER)
    answer = ask("GET", f"{BLOBS}/{DIGEST}", headers={"Range": said})
    assert (answer.status, answer.body) == (status, LAYER[start:end])
    assert answer.headers["content-range"] == (f"bytes {start}-{end - 1}/800" if end else "bytes */800")


def test_push_of_blobs(ask: Asker) -> None:
    begun = {"Location": UPLOAD, "Range": "0-0"}
    there = {"Location": re.escape(f"{BLOBS}/{DIGEST}"), **is_digest(DIGEST)}
    first, second = LAYER[:300], LAYER[300:]
    rows = [
        # at once
        Row("POST", f"{UPLOADS}?digest={DIGEST}", 201, body=LAYER, wanted=there),
        Row("POST", f"{UPLOADS}?digest={DIGEST}", 201, body=LAYER, wanted=there),
        Row("GET", f"{BLOBS}/{DIGEST}", 200, content=LAYER),
        Row("POST", f"{UPLOADS}?digest={NONE}", 400, "DIGEST_INVALID", body=LAYER),
        Row("POST", f"{UPLOADS}?digest=nope", 400, "DIGEST_INVALID", body=LAYER),
        Row("POST", f"{UPLOADS}?digest={Digest.of(b'')}", 201, body=b""),
        Row("GET", f"{BLOBS}/{Digest.of(b'')}", 200, wanted={"Content-Length": "0"}, content=b""),
        # POST, then PUT
        Row("POST", UPLOADS, 202, wanted=begun, body=b""),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 201, body=LAYER, wanted=there),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 404, "BLOB_UPLOAD_UNKNOWN", body=LAYER),
        Row("GET", "{upload}", 404, "BLOB_UPLOAD_UNKNOWN"),
        # with the other algorithm
        Row("POST", f"{UPLOADS}?digest={WIDE}", 201, body=LAYER, wanted=is_digest(WIDE)),
        Row("POST", f"{UPLOADS}?digest-algorithm=sha512", 202, body=b""),
        Row("PUT", f"{{upload}}?digest={WIDE}", 201, body=LAYER),
        Row("POST", f"{UPLOADS}?digest-algorithm=md5", 400, "DIGEST_INVALID", body=b""),
        Row("POST", UPLOADS, 202, body=b""),
        Row("PUT", f"{{upload}}?digest={WIDE}", 201, body=LAYER),
        Row("GET", f"{BLOBS}/{WIDE}", 200, content=LAYER),
        # in chunks
        Row("POST", UPLOADS, 202, body=b""),
        Row("PATCH", "{upload}", 416, "BLOB_UPLOAD_INVALID", {"Content-Range": "300-799"}, second, {"Range": "0-0"}),
        Row("PATCH", "{upload}", 202, "", {"Content-Range": "0-299"}, first, {"Range": "0-299", "Location": UPLOAD}),
        Row("GET", "{upload}", 204, wanted={"Range": "0-299", "Location": UPLOAD}),
        Row("PATCH", "{upload}", 416, "BLOB_UPLOAD_INVALID", {"Content-Range": "0-299"}, first, {"Range": "0-299"}),
        Row("PATCH", "{upload}", 400, "SIZE_INVALID", {"Content-Range": "300-900"}, second, {"Range": "0-299"}),
        Row("PATCH", "{upload}", 416, "BLOB_UPLOAD_INVALID", {"Content-Range": "x"}, second, {"Range": "0-299"}),
        Row("PATCH", "{upload}", 416, "BLOB_UPLOAD_INVALID", {"Content-Range": "500-300"}, second),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 416, "BLOB_UPLOAD_INVALID", {"Content-Range": "9-508"}, second),
        Row("PATCH", "{upload}", 202, "", {"Content-Range": "bytes 300-799/*"}, second, {"Range": "0-799"}),
        Row("PUT", "{upload}", 400, "DIGEST_INVALID"),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 201, body=b"", wanted=there),
        Row("POST", UPLOADS, 202, body=b""),
        Row("PATCH", "{upload}", 202, body=first),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 201, "", {"Content-Range": "300-799"}, second, there),
        # what is not what it is said to be goes
        Row("POST", UPLOADS, 202, body=b""),
        Row("PUT", f"{{upload}}?digest={NONE}", 400, "DIGEST_INVALID", body=LAYER),
        Row("GET", "{upload}", 404, "BLOB_UPLOAD_UNKNOWN"),
        # given up
        Row("POST", UPLOADS, 202, body=b""),
        Row("DELETE", "{upload}", 204),
        Row("DELETE", "{upload}", 404, "BLOB_UPLOAD_UNKNOWN"),
        Row("PATCH", "{upload}", 404, "BLOB_UPLOAD_UNKNOWN", body=first),
        Row("GET", f"{UPLOADS}../../../etc", 404, "NAME_UNKNOWN"),
        Row("PATCH", f"{UPLOADS}{'0' * 32}", 404, "BLOB_UPLOAD_UNKNOWN", body=b"x"),
        Row("PATCH", f"{UPLOADS}..%2f..%2fregistry.db", 404, "BLOB_UPLOAD_UNKNOWN", body=b"x"),
    ]
    walk(ask, rows)


def test_chunks_of_a_length_that_is_not_said(ask: Asker) -> None:
    where = ask.begin("lab/tool")
    assert ask("PATCH", where, iter([LAYER[:7], LAYER[7:300]])).headers["range"] == "0-299"
    assert ask("PUT", f"{where}?digest={DIGEST}", iter([LAYER[300:]])).status == 201
    assert ask.blob("lab/tool", DIGEST).body == LAYER


def test_mounts(ask: Asker) -> None:
    ask.push("lab/tool", LAYER)
    moved = "/v2/lab/copy/blobs/uploads/"
    there = {"Location": re.escape(f"/v2/lab/copy/blobs/{DIGEST}"), **is_digest(DIGEST)}
    rows = [
        Row("POST", f"{moved}?mount={NONE}&from=lab/tool", 202, body=b"", wanted={"Location": ".*/uploads/.*"}),
        Row("DELETE", "{upload}", 204),
        Row("POST", f"{moved}?mount={DIGEST}&from=lab/nobody", 202, body=b""),
        Row("PUT", f"{{upload}}?digest={DIGEST}", 201, body=LAYER),
        Row("DELETE", f"/v2/lab/copy/blobs/{DIGEST}", 202),
        Row("POST", f"{moved}?mount={DIGEST}&from=lab/tool", 201, body=b"", wanted=there),
        Row("GET", f"/v2/lab/copy/blobs/{DIGEST}", 200, content=LAYER),
        Row("DELETE", f"/v2/lab/copy/blobs/{DIGEST}", 202),
        Row("POST", f"{moved}?mount={DIGEST}", 201, body=b"", wanted=there),
        Row("POST", f"{moved}?mount=nope&from=lab/tool", 400, "DIGEST_INVALID", body=b""),
        # each repository has it on its own account
        Row("DELETE", f"{BLOBS}/{DIGEST}", 202),
        Row("GET", f"/v2/lab/copy/blobs/{DIGEST}", 200, content=LAYER),
        Row("GET", f"{BLOBS}/{DIGEST}", 404, "BLOB_UNKNOWN"),
    ]
    walk(ask, rows)


def changed(**more: object) -> bytes:
    return json.dumps({**json.loads(IMAGE.raw), **more}).encode()


def test_push_of_manifests(ask: Asker) -> None:
    here = {"Location": re.escape(f"{MANIFESTS}/{IMAGE.digest}"), **is_digest(IMAGE.digest)}
    about = {"OCI-Subject": re.escape(str(IMAGE.digest))}
    index = {"Content-Type": media_types.INDEX}
    wide = Digest.of(IMAGE.raw, "sha512")
    rows = [
        Row("PUT", f"{MANIFESTS}/one", 404, "MANIFEST_BLOB_UNKNOWN", TYPED, IMAGE.raw),
        Row("POST", f"{UPLOADS}?digest={Digest.of(CONFIG)}", 201, body=CONFIG),
        Row("PUT", f"{MANIFESTS}/one", 404, "MANIFEST_BLOB_UNKNOWN", TYPED, IMAGE.raw),
        Row("GET", f"{MANIFESTS}/one", 404, "MANIFEST_UNKNOWN"),
        Row("POST", f"{UPLOADS}?digest={DIGEST}", 201, body=LAYER),
        Row("PUT", f"{MANIFESTS}/one", 201, "", TYPED, IMAGE.raw, here | {"OCI-Subject": None}),
        Row("PUT", f"{MANIFESTS}/{IMAGE.digest}", 201, "", TYPED, IMAGE.raw, here),
        Row("PUT", f"{MANIFESTS}/{wide}", 201, "", TYPED, IMAGE.raw, is_digest(wide)),
        Row("GET", f"{MANIFESTS}/{wide}", 200, wanted=is_digest(wide), content=IMAGE.raw),
        Row("PUT", f"{MANIFESTS}/{NONE}", 400, "DIGEST_INVALID", TYPED, IMAGE.raw),
        Row("PUT", f"{MANIFESTS}/{IMAGE.digest}?tag=a&tag=b", 201, "", TYPED, IMAGE.raw, {"OCI-Tag": "a, b"}),
        Row("GET", f"{MANIFESTS}/b", 200, wanted=is_digest(IMAGE.digest)),
        Row("PUT", f"{MANIFESTS}/{IMAGE.digest}?tag=-", 400, "MANIFEST_INVALID", TYPED, IMAGE.raw),
        Row("PUT", f"{MANIFESTS}/all", 404, "MANIFEST_BLOB_UNKNOWN", index, INDEX.raw),
        Row("POST", f"{UPLOADS}?digest={Digest.of(SECOND)}", 201, body=SECOND),
        Row("PUT", f"{MANIFESTS}/{OTHER.digest}", 201, "", TYPED, OTHER.raw),
        Row("PUT", f"{MANIFESTS}/all", 201, "", index, INDEX.raw, is_digest(INDEX.digest)),
        Row("POST", f"{UPLOADS}?digest={Digest.of(b'{}')}", 201, body=b"{}"),
        Row("PUT", f"{MANIFESTS}/{SIGNATURE.digest}", 201, "", TYPED, SIGNATURE.raw, about),
        # what makes no sense
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", TYPED, b"blablabla"),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", TYPED, b""),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", TYPED, IMAGE.raw[:-1]),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", index, IMAGE.raw),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", TYPED, changed(manifests=[])),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", TYPED, changed(schemaVersion=1)),
        Row("PUT", f"{MANIFESTS}/bad", 400, "MANIFEST_INVALID", {"Content-Type": "text/plain"}, IMAGE.raw),
        Row("PUT", f"{MANIFESTS}/bad", 413, "SIZE_INVALID", TYPED, b" " * ((4 << 20) + 1)),
        Row("PUT", f"{MANIFESTS}/bad", 413, "SIZE_INVALID", TYPED, b" " * (5 << 20)),
        Row("PUT", f"{MANIFESTS}/-bad", 400, "MANIFEST_INVALID", TYPED, IMAGE.raw),
        Row("GET", f"{MANIFESTS}/bad", 404, "MANIFEST_UNKNOWN"),
        Row("PUT", f"{MANIFESTS}/large", 201, "", TYPED, IMAGE.raw + b" " * ((4 << 20) - len(IMAGE.raw))),
        Row("GET", f"{MANIFESTS}/large", 200, wanted={"Content-Length": str(4 << 20)}),
    ]
    walk(ask, rows)


def test_content_discovery(ask: Asker) -> None:
    tags = ["all", "one", "other", "two"]

    def listed(*names: str) -> bytes:
        return json.dumps({"name": "lab/tool", "tags": list(names)}).encode()

    where = "/v2/lab/tool/tags/list"
    signed = SIGNATURE.descriptor()
    entry = {
        "mediaType": signed.media_type,
        "digest": str(signed.digest),
        "size": signed.size,
        "artifactType": "application/vnd.example.signature",
        "annotations": {"signed-by": "nobody"},
    }

    def index(*entries: object) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": list(entries)}).encode()

    kind: dict[str, str | None] = {"Content-Type": re.escape(media_types.INDEX)}
    filtered = kind | {"OCI-Filters-Applied": "artifactType"}
    about = f"/v2/lab/tool/referrers/{IMAGE.digest}"
    rows = [
        Row("GET", where, 200, wanted={"Link": None, "Content-Type": "application/json"}, content=listed(*tags)),
        Row("GET", f"{where}?n=4", 200, wanted={"Link": None}, content=listed(*tags)),
        Row(
            "GET",
            f"{where}?n=3",
            200,
            wanted={"Link": re.escape(f'<{where}?n=3&last=other>; rel="next"')},
            content=listed(*tags[:3]),
        ),
        Row("GET", f"{where}?n=3&last=other", 200, wanted={"Link": None}, content=listed("two")),
        Row("GET", f"{where}?n=0", 200, wanted={"Link": None}, content=listed()),
        Row("GET", f"{where}?last=p", 200, content=listed("two")),
        Row("GET", f"{where}?last=%ff%00", 200, content=listed()),
        Row("GET", f"{where}?n={10**9}", 200, content=listed(*tags)),
        Row("GET", f"{where}?n={'9' * 4000}", 200, content=listed(*tags)),
        Row("GET", f"{where}?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        Row("GET", f"{where}?n=%d9%a1", 400, "PAGINATION_NUMBER_INVALID"),
        Row("GET", "/v2/lab/nobody/tags/list", 404, "NAME_UNKNOWN"),
        Row("GET", "/v2/_catalog", 200, content=b'{"repositories": ["lab/tool"]}'),
        Row("GET", "/v2/_catalog?last=lab/tool", 200, content=b'{"repositories": []}'),
        Row("GET", about, 200, wanted=kind | {"OCI-Filters-Applied": None}, content=index(entry)),
        Row("GET", f"{about}?artifactType={entry['artifactType']}", 200, wanted=filtered, content=index(entry)),
        Row("GET", f"{about}?artifactType=a/b", 200, wanted=filtered, content=index()),
        Row("GET", f"/v2/lab/tool/referrers/{NONE}", 200, wanted=kind, content=index()),
        Row("GET", f"/v2/lab/nobody/referrers/{NONE}", 200, wanted=kind, content=index()),
        Row("GET", "/v2/lab/tool/referrers/nope", 400, "DIGEST_INVALID"),
    ]
    walk(filled(ask), rows)


def test_pages_of_referrers_are_bounded(ask: Asker) -> None:
    for content in (b"{}", CONFIG, LAYER):
        ask.push("lab/tool", content)
    about = []
    for number in range(3):
        document = json.loads(SIGNATURE.raw) | {"annotations": {"n": str(number) * 600_000}}
        raw = json.dumps(document).encode()
        about.append(str(Digest.of(raw)))
        assert ask.put("lab/tool", str(Digest.of(raw)), raw).status == 201
    found, pages, where = [], 0, f"/v2/lab/tool/referrers/{IMAGE.digest}"
    while where:
        answer = ask("GET", where)
        found += [each["digest"] for each in answer.json()["manifests"]]
        pages += 1
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("link", ""))
        where = link[1] if link else ""
    assert (found, pages) == (sorted(about), 3)


def test_content_management(ask: Asker) -> None:
    rows = [
        Row("DELETE", f"{BLOBS}/{DIGEST}", 405, "UNSUPPORTED"),
        Row("DELETE", f"{MANIFESTS}/two", 202),
        Row("GET", f"{MANIFESTS}/two", 404, "MANIFEST_UNKNOWN"),
        Row("GET", f"{MANIFESTS}/one", 200),
        Row("DELETE", f"{MANIFESTS}/two", 404, "MANIFEST_UNKNOWN"),
        Row("DELETE", f"{MANIFESTS}/{IMAGE.digest}", 202),
        Row("GET", f"{MANIFESTS}/{IMAGE.digest}", 404, "MANIFEST_UNKNOWN"),
        Row("GET", f"{MANIFESTS}/one", 404, "MANIFEST_UNKNOWN"),
        Row("DELETE", f"{MANIFESTS}/{IMAGE.digest}", 404, "MANIFEST_UNKNOWN"),
        Row("GET", "/v2/lab/tool/tags/list", 200, content=b'{"name": "lab/tool", "tags": ["all", "other"]}'),
        Row("DELETE", f"{BLOBS}/{DIGEST}", 202),
        Row("GET", f"{BLOBS}/{DIGEST}", 404, "BLOB_UNKNOWN"),
        Row("DELETE", f"{BLOBS}/{DIGEST}", 404, "BLOB_UNKNOWN"),
        Row("DELETE", f"{BLOBS}/nope", 400, "DIGEST_INVALID"),
        Row("DELETE", "/v2/lab/nobody/manifests/one", 404, "NAME_UNKNOWN"),
        Row("DELETE", f"{MANIFESTS}/{SIGNATURE.digest}", 202),
        Row("GET", f"/v2/lab/tool/referrers/{IMAGE.digest}", 200, content=_NO_REFERRERS),
        Row("DELETE", "/v2/lab/tool/tags/list", 405, "UNSUPPORTED", wanted={"Allow": "GET"}),
    ]
    walk(filled(ask), rows)


_NO_REFERRERS = json.dumps({"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": []}).encode()


def test_a_tag_that_goes_back_to_an_older_manifest_is_not_unchanged(ask: Asker) -> None:
    for content in (CONFIG, LAYER, SECOND):
        ask.push("lab/tool", content)
    older, newer = (each.raw + b" " * 70_000 for each in (IMAGE, OTHER))
    for raw in (older, newer):
        assert ask.put("lab/tool", "one", raw).status == 201
    assert ask.put("lab/tool", "one", older).status == 201
    since = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match": "*"}
    assert ask("GET", f"{MANIFESTS}/one", headers=since).body == older
