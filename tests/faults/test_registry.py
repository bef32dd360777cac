"""kill -9 of a registry while images are pushed to it: what it has acknowledged is there, nothing half shows, uploads
go on, and the next server serves at once."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import registry_requests as requests
from commands import COMMAND
from registry_requests import ask
from waiting import wait_until

from kernelbox.oci.digest import Digest
from kernelbox.registry.server.collect import collect
from kernelbox.registry.server.serving import registry
from kernelbox.registry.server.storage import Storage

CHANCE = random.Random(4)


@contextmanager
def served(storage: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "registry", "serve", "--listen", "127.0.0.1:0", "--storage", str(storage)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server, server.stdout.readline().split()[0].removeprefix("http://")
        finally:
            server.kill()


class Pusher(threading.Thread):
    """Pushes one image after another, until nobody answers; `taken` is what was acknowledged."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__()
        self.address = address
        self.name = name
        self.taken: dict[str, bytes] = {}

    def run(self) -> None:
        chance = random.Random(self.name)
        with suppress(OSError, http.client.HTTPException):
            for number in range(10_000):
                layer = chance.randbytes(chance.randrange(1, 300_000))
                requests.push_image(self.address, f"lab/{self.name}", str(number), layer)
                self.taken[str(number)] = layer


def check_whole(storage: Path) -> None:
    """Every file is what its name says, and every manifest has all that it needs."""
    for path in (storage / "blobs").glob("sha*/*"):
        assert Digest.of(path.read_bytes(), path.parent.name).encoded == path.name
    with Storage(storage) as opened, opened.state.reading() as cursor:
        for repository, digest in cursor.execute("SELECT repository, digest FROM manifests").fetchall():
            manifest = json.loads(opened.blobs.read(Digest.parse(digest), 1 << 22))
            for part in (manifest["config"], *manifest["layers"]):
                assert opened.blob(repository, Digest.parse(part["digest"])) == part["size"]


@pytest.mark.parametrize("acknowledged", [1, 2, 5, 9])
def test_killed_while_images_come(tmp_path: Path, acknowledged: int) -> None:
    with served(tmp_path) as (server, address):
        pushers = [Pusher(address, name) for name in ("one", "two", "three")]
        for pusher in pushers:
            pusher.start()
        wait_until(lambda: sum(len(pusher.taken) for pusher in pushers) >= acknowledged)
        for _ in range(CHANCE.randrange(200_000)):
            pass
        server.kill()
        for pusher in pushers:
            pusher.join()
    check_whole(tmp_path)
    with registry(tmp_path) as reg:
        for pusher in pushers:
            for tag, layer in pusher.taken.items():
                answer = ask(reg.address, "GET", f"/v2/lab/{pusher.name}/manifests/{tag}")
                assert answer.body == requests.image((layer,))
                digest = answer.document["layers"][0]["digest"]
                assert ask(reg.address, "GET", f"/v2/lab/{pusher.name}/blobs/{digest}").body == layer
        requests.push_image(reg.address, "lab/one", "after")
        with Storage(tmp_path) as opened:
            collect(opened, kept_s=0, uploads_kept_s=-60)
        check_whole(tmp_path)
    assert not list((tmp_path / "uploads").iterdir())
    assert not list((tmp_path / "blobs/new").iterdir())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_an_upload_goes_on_after_the_kill(tmp_path: Path, algorithm: str) -> None:
    content = CHANCE.randbytes(3_000_000)
    digest = Digest.of(content, algorithm)
    there, place = 0, ""
    for _ in range(3):
        with served(tmp_path) as (server, address):
            place = place or requests.begin(address, "lab/tool")
            there = int(ask(address, "GET", place).headers["Range"].removeprefix("0-"))
            there += 1 if there else 0
            head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content) - there}\r\n\r\n"
            part = content[there : there + 700_000]
            requests.send(address, head.encode() + part, wait=False)
            wait_until(lambda there=there: size(tmp_path) > there)
            server.kill()
    with served(tmp_path) as (_, address):
        there = size(tmp_path)
        answer = ask(address, "PUT", f"{place}?digest={digest}", content[there:])
        assert answer.status == 201
        assert ask(address, "GET", f"/v2/lab/tool/blobs/{digest}").body == content
    assert there > 0
    check_whole(tmp_path)


def size(storage: Path) -> int:
    """Of the one upload that there is."""
    (path,) = (storage / "uploads").iterdir()
    return path.stat().st_size


def test_killed_while_what_nothing_needs_is_collected(tmp_path: Path) -> None:
    with registry(tmp_path) as reg:
        requests.push_image(reg.address, "lab/tool", "1")
        for number in range(150):
            requests.push_blob(reg.address, "lab/tool", b"%d" % number)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from kernelbox.registry.server import collect, storage\n"
        "left = int(sys.argv[2])\n"
        "remove = storage.Blobs.remove\n"
        "def removed(blobs, digest):\n"
        "    global left\n"
        "    remove(blobs, digest)\n"
        "    left -= 1\n"
        "    if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "storage.Blobs.remove = removed\n"
        "collect.collect(storage.Storage(Path(sys.argv[1])), kept_s=0)\n"
    )
    for left in (1, 30, 64, 20):
        killed = subprocess.run([COMMAND[0], "-c", code, tmp_path, str(left)], check=False)
        assert killed.returncode == -9
        check_whole(tmp_path)
        with registry(tmp_path) as reg:
            assert ask(reg.address, "GET", "/v2/lab/tool/manifests/1").status == 200
            for number in range(150):
                digest = Digest.of(b"%d" % number)
                assert ask(reg.address, "HEAD", f"/v2/lab/tool/blobs/{digest}").status in (200, 404)
    with Storage(tmp_path) as opened:
        collect(opened, kept_s=-1)
    assert len(requests.stored(tmp_path)) == 3, "the image"
