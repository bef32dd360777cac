"""Garbage collection: what nothing needs goes, and what somebody is about to use stays, while everything is served."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import image_documents as documents
import pytest
import registry_requests as requests
from commands import printed
from registry_requests import CONFIG, LAYER, ask, stored
from waiting import wait_until

from kernelbox.oci.digest import Digest
from kernelbox.registry.server.collect import Collected, collect
from kernelbox.registry.server.serving import Running, Settings, _threaded, registry
from kernelbox.registry.server.storage import Storage
from kernelbox.store.blobs import Blobs

IMAGE = requests.image()
DIGEST = Digest.of(IMAGE)


@pytest.fixture
def reg(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as running:
        yield running


@pytest.fixture
def storage(reg: Running) -> Iterator[Storage]:
    """Of another process, so to speak."""
    with Storage(reg.storage) as opened:
        yield opened


def status(
    reg: Running, digest: Digest, repository: str = "lab/tool", kind: str = "blobs", method: str = "HEAD"
) -> int:
    return ask(reg.address, method, f"/v2/{repository}/{kind}/{digest}").status


def test_what_nothing_needs_goes_when_its_time_is_over(reg: Running, storage: Storage) -> None:
    requests.push_image(reg.address, "lab/tool", "1")
    lonely = requests.push_blob(reg.address, "lab/tool", b"lonely")
    shared = requests.push_blob(reg.address, "other/one", LAYER)
    assert collect(storage) == Collected(0, 0, 0, 0), "somebody may be about to need it"
    assert collect(storage, kept_s=0) == Collected(2, 0, 0, len(b"lonely"))
    assert status(reg, lonely) == 404
    assert status(reg, shared, "other/one") == 404
    assert status(reg, shared) == 200, "the image of another repository needs it"
    assert collect(storage, kept_s=0) == Collected(0, 0, 0, 0)
    assert not (reg.storage / "blobs/sha256" / lonely.encoded).exists()


def test_who_finds_a_blob_there_may_rely_on_it(reg: Running, storage: Storage) -> None:
    lonely = requests.push_blob(reg.address, "lab/tool", b"lonely")
    long_ago = time.time() - 7200
    with storage.state.transaction() as cursor:
        cursor.execute("UPDATE blobs SET seen_at = ?", (long_ago,))
    assert status(reg, lonely, method="GET") == 200
    assert status(reg, lonely) == 200
    assert collect(storage).blobs == 0
    with storage.state.transaction() as cursor:
        cursor.execute("UPDATE blobs SET seen_at = ?", (long_ago,))
    answer = ask(reg.address, "POST", f"/v2/lab/two/blobs/uploads/?mount={lonely}&from=lab/tool", b"")
    assert answer.status == 201
    assert collect(storage).blobs == 1, "from where nobody has asked for it"
    assert status(reg, lonely, "lab/two") == 200


def test_untagged_manifests_go_when_it_is_said(reg: Running, storage: Storage) -> None:
    requests.push_image(reg.address, "lab/tool", "1")
    child = requests.push_image(reg.address, "lab/tool", layer=b"of a child")
    lonely = requests.push_image(reg.address, "lab/tool", layer=b"lonely")
    part = documents.descriptor(requests.image((b"of a child",)), documents.MANIFEST)
    requests.push_manifest(reg.address, "lab/tool", json.dumps(documents.image_index(manifests=[part])).encode(), "all")
    requests.push_blob(reg.address, "lab/tool", requests.EMPTY)
    notes = {}
    for name, subject in {"kept": IMAGE, "gone": requests.image((b"lonely",)), "of none": b"x"}.items():
        notes[name] = requests.push_manifest(reg.address, "lab/tool", requests.artifact("a/b", subject))
    assert collect(storage, kept_s=0).manifests == 0
    assert collect(storage, untagged=True).manifests == 0, "somebody may be about to tag it"
    assert collect(storage, kept_s=0, untagged=True) == Collected(1, 3, 0, _size(notes, "gone", "of none"))
    there = {name: status(reg, digest, kind="manifests") for name, digest in {**notes, "child": child}.items()}
    assert there == {"kept": 200, "gone": 404, "of none": 404, "child": 200}
    assert status(reg, lonely, kind="manifests") == 404
    assert status(reg, Digest.of(b"lonely")) == 404
    assert ask(reg.address, "GET", "/v2/lab/tool/manifests/1").body == IMAGE


def _size(notes: dict[str, Digest], *names: str) -> int:
    lonely = requests.image((b"lonely",))
    return len(b"lonely") + len(lonely) + len(requests.artifact("a/b", lonely)) + len(requests.artifact("a/b", b"x"))


def test_a_deleted_manifest_lets_go_of_its_blobs(reg: Running, storage: Storage) -> None:
    requests.push_image(reg.address, "lab/tool", "1")
    assert ask(reg.address, "DELETE", f"/v2/lab/tool/manifests/{DIGEST}").status == 202
    assert collect(storage, kept_s=0) == Collected(2, 0, 0, len(LAYER) + len(CONFIG))
    assert stored(reg.storage) == set()
    assert ask(reg.address, "GET", "/v2/lab/tool/tags/list").code == "NAME_UNKNOWN"


def test_uploads_that_nobody_goes_on_with(reg: Running, storage: Storage) -> None:
    place = requests.begin(reg.address, "lab/tool")
    ask(reg.address, "PATCH", place, b"half")
    assert collect(storage).uploads == 0
    (path,) = (reg.storage / "uploads").iterdir()
    old = time.time() - 25 * 3600
    os.utime(path, (old, old))
    with storage.uploads.open(place.rpartition("/")[2], "lab/tool") or pytest.fail("it is there"):
        assert collect(storage).uploads == 0, "somebody goes on just now"
    assert collect(storage) == Collected(0, 0, 1, 4)
    assert ask(reg.address, "GET", place).code == "BLOB_UPLOAD_UNKNOWN"


def test_content_whose_owner_was_never_written_down(reg: Running, storage: Storage) -> None:
    stray = Blobs(reg.storage / "blobs").put(b"stray")
    assert collect(storage) == Collected(0, 0, 0, 5)
    assert not storage.blobs.has(stray)


MOST_PUSHES = 2000
"""Of which twenty must be taken."""


def test_pushes_go_on_whole_while_everything_unneeded_is_collected(reg: Running, storage: Storage) -> None:
    # The blobs are new, so that they are kept for a moment; without that moment a push is refused, and never broken.
    ended = threading.Event()
    collected: list[Collected] = []

    def collecting() -> None:
        while not ended.wait(0.005):  # without a breath between there may be no push that is taken
            collected.append(collect(storage, kept_s=0, untagged=True))

    thread = threading.Thread(target=collecting)
    thread.start()
    try:
        done, numbers = 0, iter(range(MOST_PUSHES))
        while done < 20:
            done += _push(reg, next(numbers))
    finally:
        ended.set()
        thread.join()
    assert sum(each.blobs for each in collected) > 0
    for tag in ask(reg.address, "GET", "/v2/lab/tool/tags/list").document["tags"]:
        manifest = ask(reg.address, "GET", f"/v2/lab/tool/manifests/{tag}").document
        for part in (manifest["config"], *manifest["layers"]):
            assert ask(reg.address, "GET", f"/v2/lab/tool/blobs/{part['digest']}").status == 200
        done -= 1
    assert done == 0


def _push(reg: Running, number: int) -> bool:
    """Whether it was taken."""
    layer = b"%d" % number
    for content in (layer, CONFIG):
        requests.push_blob(reg.address, "lab/tool", content)
    sent = {"Content-Type": documents.MANIFEST}
    answer = ask(reg.address, "PUT", f"/v2/lab/tool/manifests/{number}", requests.image((layer,)), sent)
    assert answer.status == 201 or answer.code == "MANIFEST_BLOB_UNKNOWN"
    return answer.status == 201


def test_a_server_collects_by_itself(tmp_path: Path) -> None:
    settings = Settings(collect_every_s=0.05, kept_s=0, untagged=True)
    with _threaded("127.0.0.1:0", tmp_path, settings) as reg:
        lonely = requests.push_blob(reg.address, "lab/tool", b"lonely")
        wait_until(lambda: status(reg, lonely) == 404)
        wait_until(lambda: b"collected_bytes_total 6\n" in ask(reg.address, "GET", "/metrics").body)


def test_the_command_collects(reg: Running) -> None:
    requests.push_image(reg.address, "lab/tool", "1")
    requests.push_blob(reg.address, "lab/tool", b"lonely")
    text = printed("registry", "collect", "--storage", str(reg.storage), "--keep", "0", "--untagged")
    assert text == "Removed 1 blobs, 0 manifests and 0 uploads\nTotal reclaimed space: 6B\n"


def test_what_an_engine_has_too_is_on_disk_once(tmp_path: Path) -> None:
    engine = Blobs(tmp_path / "engine")
    digest = engine.put(LAYER)
    with _threaded("127.0.0.1:0", tmp_path / "storage", Settings(shared=engine.folder)) as reg:
        assert status(reg, digest) == 404, "nobody has pushed it"
        requests.push_image(reg.address, "lab/tool", "1")
        ours = reg.storage / "blobs/sha256" / digest.encoded
        assert ours.samefile(engine.path(digest))
        engine.remove(digest)
        assert ask(reg.address, "GET", f"/v2/lab/tool/blobs/{digest}").body == LAYER
        ask(reg.address, "DELETE", f"/v2/lab/tool/manifests/{DIGEST}")
        engine.put(LAYER)
        requests.push_blob(reg.address, "lab/tool", LAYER)
        assert ask(reg.address, "DELETE", f"/v2/lab/tool/blobs/{digest}").status == 202
        assert engine.read(digest, 100) == LAYER, "each forgets it without the other"
