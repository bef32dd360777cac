"""What a registry keeps: collected beside those who bring and take, shared by two servers and with an engine's store,
counted for Prometheus, and there again when it is opened once more."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.asking import asker
from unit.registry.served_images import CONFIG, IMAGE, INDEX, LAYER, OTHER, SECOND, SIGNATURE
from waiting import wait_until

import kernelbox
from kernelbox.errors import StoreError
from kernelbox.oci.digest import Digest
from kernelbox.registry.server import serving
from kernelbox.registry.server.collect import collect
from kernelbox.registry.server.serving import Running, Settings, registry
from kernelbox.registry.server.storage import Storage
from kernelbox.store.blobs import Blobs


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as served:
        yield served


@pytest.fixture
def storage(running: Running) -> Iterator[Storage]:
    """The same as the server's."""
    with Storage(running.storage) as kept:
        yield kept


def kept(running: Running) -> set[Digest]:
    return set(Blobs(running.storage / "blobs").every())


def push(running: Running, repository: str = "lab/tool") -> None:
    """Images under the tags "one" and "other", both under "all", and something about the first."""
    ask = asker(running)
    for content in (CONFIG, LAYER, SECOND, b"{}"):
        ask.push(repository, content)
    for name, document in (("one", IMAGE), ("other", OTHER), ("all", INDEX), (str(SIGNATURE.digest), SIGNATURE)):
        assert ask.put(repository, name, document.raw).status == 201


def test_what_manifests_need_stays(running: Running, storage: Storage) -> None:
    push(running)
    before = kept(running)
    assert collect(storage, kept_s=-1, untagged=True).size == 0
    assert kept(running) == before


def test_what_nothing_needs_goes(running: Running, storage: Storage) -> None:
    push(running)
    before, ask = kept(running), asker(running)
    stray = ask.push("lab/tool", b"nobody's")
    where = ask.begin("lab/tool")
    ask("PATCH", where, b"123")
    fresh = collect(storage, uploads_kept_s=1e6)
    assert (fresh.blobs, fresh.uploads, fresh.size) == (0, 0, 0)  # somebody may be about to use them
    done = collect(storage, kept_s=-1, uploads_kept_s=-1)
    assert (done.blobs, done.manifests, done.uploads, done.size) == (1, 0, 1, len(b"nobody's") + 3)
    assert kept(running) == before
    assert ask.blob("lab/tool", stray).status == 404
    assert ask("GET", where).status == 404


def test_manifests_without_tags(running: Running, storage: Storage) -> None:
    push(running)
    ask = asker(running)
    for name in ("one", "other"):
        ask("DELETE", f"/v2/lab/tool/manifests/{name}")
    assert collect(storage, kept_s=-1, untagged=True).manifests == 0  # the index needs them, the signature is about one
    ask("DELETE", "/v2/lab/tool/manifests/all")
    assert collect(storage, kept_s=-1).manifests == 0
    assert collect(storage, kept_s=-1, untagged=True).manifests == 4
    assert kept(running) == set()
    assert ask("GET", "/v2/_catalog").json() == {"repositories": []}


def test_what_another_repository_has_stays_on_disk(running: Running, storage: Storage) -> None:
    push(running)
    push(running, "lab/copy")
    before, ask = kept(running), asker(running)
    for document in (INDEX, IMAGE, OTHER, SIGNATURE):
        ask("DELETE", f"/v2/lab/tool/manifests/{document.digest}")
    assert collect(storage, kept_s=-1).size == 0
    assert kept(running) == before
    assert ask.blob("lab/copy", Digest.of(LAYER)).body == LAYER
    assert ask.blob("lab/tool", Digest.of(LAYER)).status == 404


def test_whoever_asks_whether_it_is_there_may_rely_on_it(running: Running, storage: Storage) -> None:
    ask, old = asker(running), 1e9
    digests = [ask.push("lab/tool", content) for content in (LAYER, SECOND)]
    with storage.state.transaction() as cursor:
        cursor.execute("UPDATE blobs SET seen_at = ?", (old,))
    assert ask.blob("lab/tool", digests[0], "HEAD").status == 200
    assert collect(storage).blobs == 1
    assert [ask.blob("lab/tool", digest).status for digest in digests] == [200, 404]


def test_collecting_beside_pushes_loses_nothing(running: Running, storage: Storage) -> None:
    """What is new is left alone. Where nothing is, a blob may have gone before its manifest comes, and the registry
    says so; what it takes is whole."""
    over, rounds, kept_s = threading.Event(), [0], [-1.0]

    def go_on_collecting() -> None:
        while not over.is_set():
            collect(storage, kept_s=kept_s[0], uploads_kept_s=1e6)
            rounds[0] += 1

    collecting = threading.Thread(target=go_on_collecting)
    collecting.start()
    ask = asker(running)
    try:
        for number in range(40):
            if number == 20:
                kept_s[0], begun = 60.0, rounds[0]
                wait_until(lambda: rounds[0] > begun + 1)  # noqa: B023
            repository = f"lab/r{number % 3}"
            ask.push(repository, CONFIG)
            ask.push(repository, LAYER)
            answer = ask.put(repository, "one", IMAGE.raw)
            if number < 20 and answer.status != 201:
                assert answer.code == "MANIFEST_BLOB_UNKNOWN"
                continue
            assert answer.status == 201
            assert ask.blob(repository, Digest.of(LAYER)).body == LAYER
            assert ask.blob(repository, Digest.of(CONFIG)).body == CONFIG
            ask("DELETE", f"/v2/{repository}/manifests/{IMAGE.digest}")
        wait_until(lambda: rounds[0] > 3)
    finally:
        over.set()
        collecting.join()
    collect(storage, kept_s=-1)
    assert kept(running) == set()


def test_a_server_collects_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(collect_every_s=0.01, kept_s=-1)
    with serving._threaded("127.0.0.1:0", tmp_path / "storage", settings) as running:
        asker(running)("POST", f"/v2/a/blobs/uploads/?digest={Digest.of(LAYER)}", LAYER)
        wait_until(lambda: not kept(running), "it has gone")
        wait_until(lambda: metric(running, "collected_bytes_total") >= len(LAYER))
        assert metric(running, "collections_total") >= 1


def metric(running: Running, name: str) -> float:
    found = re.search(
        rf"^kernelbox_registry_{re.escape(name)} (\S+)$", asker(running)("GET", "/metrics").body.decode(), re.M
    )
    assert found is not None, name
    return float(found[1])


def test_metrics(running: Running) -> None:
    push(running)
    ask = asker(running)
    ask.blob("lab/tool", Digest.of(b"?"))
    ask.begin("lab/tool")
    answer = ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    assert all(
        re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[\w+.]+"(,\w+="[\w+.]+")*\})? [-+.\de]+', line) for line in lines
    )
    content = len(CONFIG + LAYER + SECOND + b"{}") + sum(len(each.raw) for each in (IMAGE, OTHER, INDEX, SIGNATURE))
    values = {
        name: metric(running, name)
        for name in ("repositories", "manifests", "tags", "blobs", "stored_bytes", "uploads")
    }
    assert values == {"repositories": 1, "manifests": 4, "tags": 3, "blobs": 8, "stored_bytes": content, "uploads": 1}
    assert metric(running, "received_bytes_total") == content
    assert metric(running, 'requests_total{method="POST",kind="uploads",status="201"}') == 4
    assert metric(running, 'requests_total{method="PUT",kind="manifest",status="201"}') == 4
    assert metric(running, 'requests_total{method="GET",kind="blob",status="404"}') == 1
    assert metric(running, 'request_duration_seconds_count{kind="manifest"}') == 4
    assert metric(running, 'request_duration_seconds_bucket{kind="manifest",le="+Inf"}') == 4
    ask("TRACE", "/v2/lab/tool/manifests/one")
    assert metric(running, 'requests_total{method="other",kind="manifest",status="405"}') == 1


def test_two_servers_on_one_storage(tmp_path: Path) -> None:
    """An upload begins at one, goes on at the other, and ends at the first."""
    with registry(tmp_path / "storage") as first, registry(tmp_path / "storage") as second:
        one, two = asker(first), asker(second)
        where = one.begin("lab/tool")
        assert one("PATCH", where, LAYER[:100]).status == 202
        assert two("PATCH", where, LAYER[100:300], {"Content-Range": "100-299"}).headers["range"] == "0-299"
        assert one("PATCH", where, LAYER[300:]).status == 202
        assert two("PUT", f"{where}?digest={Digest.of(LAYER)}").status == 201
        assert one("GET", where).status == 404
        one.push("lab/tool", CONFIG)
        assert two.put("lab/tool", "one", IMAGE.raw).status == 201
        assert one("GET", "/v2/lab/tool/manifests/one").body == IMAGE.raw
        assert two("DELETE", f"/v2/lab/tool/manifests/{IMAGE.digest}").status == 202
        assert one("GET", "/v2/lab/tool/manifests/one").status == 404
        both = [
            threading.Thread(target=push, args=(each, f"lab/{number}")) for number, each in enumerate((first, second))
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert one("GET", "/v2/_catalog").json()["repositories"] == ["lab/0", "lab/1"]
        assert two("GET", "/v2/lab/0/manifests/all").body == one("GET", "/v2/lab/1/manifests/all").body == INDEX.raw


def test_what_an_engine_has_is_on_disk_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "store")
    digest = blobs.put(LAYER)
    settings = Settings(shared=tmp_path / "store")
    with serving._threaded("127.0.0.1:0", tmp_path / "storage", settings) as running:
        ask, ours = asker(running), Blobs(running.storage / "blobs")
        for repository in ("a", "b"):
            ask.push(repository, LAYER)
            ask.push(repository, SECOND)
        assert os.path.samefile(ours.path(digest), blobs.path(digest))
        assert ask.blob("a", digest).body == LAYER
        blobs.remove(digest)
        assert ask.blob("b", digest).body == LAYER
        blobs.put(LAYER)
        for repository in ("a", "b"):
            assert ask("DELETE", f"/v2/{repository}/blobs/{digest}").status == 202
        assert not ours.has(digest)
        assert blobs.read(digest, len(LAYER)) == LAYER
        assert list((running.storage / "uploads").iterdir()) == []


def test_it_is_there_again(tmp_path: Path) -> None:
    with registry(tmp_path / "storage") as running:
        push(running)
        where = asker(running).begin("lab/tool")
        asker(running)("PATCH", where, LAYER[:100])
    with registry(tmp_path / "storage") as running:
        ask = asker(running)
        assert ask.tags("lab/tool") == ["all", "one", "other"]
        assert ask("GET", where).headers["range"] == "0-99"
        wide = Digest.of(LAYER, "sha512")
        assert ask("PUT", f"{where}?digest={wide}", LAYER[100:]).status == 201
        assert ask.blob("lab/tool", wide).body == LAYER


def test_storage_that_is_damaged_or_newer_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"this is no database at all, only text" * 100)
    with pytest.raises(StoreError, match="could not use the state of the registry"), registry(tmp_path):
        pass
    assert (tmp_path / "registry.db").read_bytes().startswith(b"this is no database")
    (tmp_path / "registry.db").unlink()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="of a newer kernelbox"), registry(tmp_path):
        pass


def test_a_throw_away_registry_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "kernelbox-registry-killed"
    (left / "blobs").mkdir(parents=True)
    with kernelbox.registry() as one, kernelbox.registry() as two:
        assert not left.exists()  # nobody holds it
        assert one.address != two.address
        push(one)
        assert asker(two)("GET", "/v2/_catalog").json() == {"repositories": []}
        assert shutil.disk_usage(one.storage).total
        assert one.storage.exists()
        assert two.storage.exists()
    assert list(tmp_path.iterdir()) == []
