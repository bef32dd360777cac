"""What a registry keeps: shared by two servers, there again when it is opened once more, refused where it is damaged; a
throw-away registry keeps nothing."""

from __future__ import annotations

import re
import signal
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
import registry_requests as requests
from registry_requests import CONFIG, LAYER, ask

import kernelbox
from kernelbox.errors import StoreError
from kernelbox.oci.digest import Digest
from kernelbox.registry.server import serving
from kernelbox.registry.server.serving import registry

HERE = "/v2/lab/tool"
DIGEST = Digest.of(LAYER)


def test_two_servers_on_one_storage(tmp_path: Path) -> None:
    """An upload begins at one, goes on at the other, and ends at the first."""
    with registry(tmp_path) as first, registry(tmp_path) as second:
        one, two = first.address, second.address
        place = requests.begin(one, "lab/tool")
        assert ask(one, "PATCH", place, LAYER[:5]).status == 202
        assert ask(two, "PATCH", place, LAYER[5:9], {"Content-Range": "5-8"}).headers["Range"] == "0-8"
        assert ask(one, "PATCH", place, LAYER[9:]).status == 202
        assert ask(two, "PUT", f"{place}?digest={DIGEST}").status == 201
        assert ask(one, "GET", place).status == 404
        requests.push_blob(one, "lab/tool", CONFIG)
        digest = requests.push_manifest(two, "lab/tool", requests.image(), "1")
        assert ask(one, "GET", f"{HERE}/manifests/1").body == requests.image()
        assert ask(two, "DELETE", f"{HERE}/manifests/{digest}").status == 202
        assert ask(one, "GET", f"{HERE}/manifests/1").status == 404


def test_two_servers_that_take_at_once(tmp_path: Path) -> None:
    def push(address: str, name: str) -> None:
        for number in range(5):
            requests.push_image(address, f"lab/{name}", str(number), b"%d" % number)

    with registry(tmp_path) as first, registry(tmp_path) as second:
        both = [threading.Thread(target=push, args=each) for each in ((first.address, "a"), (second.address, "b"))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert ask(first.address, "GET", "/v2/_catalog").document == {"repositories": ["lab/a", "lab/b"]}
        for name in ("a", "b"):
            assert ask(second.address, "GET", f"/v2/lab/{name}/tags/list").document["tags"] == list("01234")


def test_it_is_there_again(tmp_path: Path) -> None:
    with registry(tmp_path) as reg:
        requests.push_image(reg.address, "lab/tool", "1")
        place = requests.begin(reg.address, "lab/tool")
        ask(reg.address, "PATCH", place, LAYER[:9])
    with registry(tmp_path) as reg:
        assert ask(reg.address, "GET", f"{HERE}/manifests/1").body == requests.image()
        assert ask(reg.address, "GET", place).headers["Range"] == "0-8"
        wide = Digest.of(LAYER, "sha512")
        assert ask(reg.address, "PUT", f"{place}?digest={wide}", LAYER[9:]).status == 201
        assert ask(reg.address, "GET", f"{HERE}/blobs/{wide}").body == LAYER


@pytest.mark.parametrize("size", [0, 70_000])
def test_a_tag_that_goes_back_to_an_older_manifest_has_changed(tmp_path: Path, size: int) -> None:
    with registry(tmp_path) as reg:
        requests.push_image(reg.address, "lab/tool", "1")
        older, newer = (requests.image() + b" " * (size + more) for more in (1, 2))
        for manifest in (older, newer, older):
            requests.push_manifest(reg.address, "lab/tool", manifest, "1")
        since = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
        assert ask(reg.address, "GET", f"{HERE}/manifests/1", headers=since).body == older


def test_methods_that_there_are_not_are_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with registry(tmp_path) as reg:
        assert ask(reg.address, "PATCH", f"{HERE}/manifests/1").headers["Allow"] == "GET, HEAD, PUT, DELETE"
        assert ask(reg.address, "POST", "/v2/").headers["Allow"] == "GET, HEAD"


def test_received_bytes_are_counted(tmp_path: Path) -> None:
    with registry(tmp_path) as reg:
        requests.push_image(reg.address, "lab/tool", "1")
        place = requests.begin(reg.address, "lab/tool")
        text = ask(reg.address, "GET", "/metrics").body.decode()
        found = dict(re.findall(r"^kernelbox_registry_(received_bytes_total|stored_bytes|uploads) (\d+)$", text, re.M))
        size = str(len(LAYER) + len(CONFIG) + len(requests.image()))
        assert found == {"received_bytes_total": size, "stored_bytes": size, "uploads": "1"}
        assert ask(reg.address, "DELETE", place).status == 204


def test_storage_that_is_damaged_or_newer_is_said_to_be_so(tmp_path: Path) -> None:
    state = tmp_path / "registry.db"
    state.write_bytes(b"this is no database at all, only text" * 100)
    with pytest.raises(StoreError, match="could not use the state of the registry"), registry(tmp_path):
        pass
    assert state.read_bytes().startswith(b"this is no database")
    state.unlink()
    connection = sqlite3.connect(state)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="of a newer kernelbox"), registry(tmp_path):
        pass


def test_an_interrupt_while_it_begins_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whoever_waits, split = threading.get_ident(), serving._split

    def interrupting(listen: str) -> tuple[str, int]:
        signal.pthread_kill(whoever_waits, signal.SIGINT)
        return split(listen)

    monkeypatch.setattr(serving, "_split", interrupting)
    with pytest.raises(KeyboardInterrupt), registry(tmp_path):
        pass
    assert "kernelbox registry" not in [thread.name for thread in threading.enumerate()]


def test_a_throw_away_registry_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "kernelbox-registry-killed"
    (left / "blobs").mkdir(parents=True)
    with kernelbox.registry() as one, kernelbox.registry() as two:
        assert not left.exists()  # nobody holds it
        requests.push_image(one.address, "lab/tool", "1")
        assert ask(two.address, "GET", "/v2/_catalog").document == {"repositories": []}
        assert one.storage.exists()
        assert two.storage.exists()
    assert list(tmp_path.iterdir()) == []
