"""Images into the store: whole, right, and no more than is missing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.registry.clients import client
from unit.registry.images import AMD64, ARM64, Image, Shelf, image, index_of, keep, noise
from unit.registry.scripted import Answer, Received, Scripted, scripted

from kernelbox.errors import BlobNotFound, ImageNotFound, InvalidContent, RegistryError
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.progress import COMPLETE, DOWNLOADING, EXISTS, WAITING, Progress
from kernelbox.registry.pull import Pulled, pull
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Timeouts
from kernelbox.store.blobs import Blobs

ONE = image(*(noise(5000, seed) for seed in range(4)))
ARM = image(noise(3000, 9), platform=ARM64)
BOTH = index_of(ARM, ONE)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.add(ONE, ARM)
    made.add(ONE, tag="one")
    made.put(BOTH, "both")
    return made


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Scripted]:
    with scripted(shelf) as running:
        yield running


@pytest.fixture
def asker() -> Iterator[Client]:
    with client() as made:
        yield made


def fetch(
    asker: Client, server: Scripted, blobs: Blobs, tag: str = "one", platform: Platform = AMD64, **options: object
) -> Pulled:
    return pull(asker, Reference(server.address, "lab/tool", tag), blobs, platform, **options)  # type: ignore[arg-type]


def whole(blobs: Blobs, found: Image) -> bool:
    return all(blobs.read(digest, len(content)) == content for digest, content in found.contents.items())


def nothing_half(blobs: Blobs) -> bool:
    return not any(
        (blobs.folder / name).is_dir() and any((blobs.folder / name).iterdir()) for name in ("new", "partial")
    )


def test_an_image(asker: Client, server: Scripted, blobs: Blobs) -> None:
    found = fetch(asker, server, blobs)
    assert found.image.manifest == ONE.manifest
    assert found.image.document == ONE.document
    assert found.first == ONE.descriptor
    assert found.manifests == (ONE.descriptor,)
    assert found.moved == 20_000
    assert whole(blobs, ONE)
    assert blobs.read(ONE.manifest.digest, 1 << 20) == ONE.manifest.raw
    assert nothing_half(blobs)


@pytest.mark.parametrize(("platform", "chosen"), [(AMD64, ONE), (ARM64, ARM)])
def test_one_platform_of_an_index(
    asker: Client, server: Scripted, blobs: Blobs, platform: Platform, chosen: Image
) -> None:
    found = fetch(asker, server, blobs, "both", platform)
    assert found.image.manifest == chosen.manifest
    assert found.first.digest == BOTH.digest
    assert [each.digest for each in found.manifests] == [BOTH.digest, chosen.manifest.digest]
    assert whole(blobs, chosen)
    expected = {BOTH.digest, chosen.manifest.digest, *chosen.contents}
    assert set(blobs.every()) == expected


def test_an_index_in_an_index(shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs) -> None:
    outer = Index.build([ARM.descriptor, BOTH.descriptor()])
    shelf.put(outer, "outer")
    found = fetch(asker, server, blobs, "outer")
    assert [each.digest for each in found.manifests] == [outer.digest, BOTH.digest, ONE.manifest.digest]
    assert whole(blobs, ONE)
    assert blobs.has(outer.digest)
    assert blobs.has(BOTH.digest)


def test_a_platform_that_is_not_there(asker: Client, server: Scripted, blobs: Blobs) -> None:
    with pytest.raises(ImageNotFound, match="s390x"):
        fetch(asker, server, blobs, "both", Platform("linux", "s390x"))
    with pytest.raises(ImageNotFound, match="is for linux/amd64"):
        fetch(asker, server, blobs, "one", ARM64)
    assert not blobs.has(ONE.manifest.digest)


def test_layers_that_are_there_are_not_moved(asker: Client, server: Scripted, blobs: Blobs) -> None:
    fetch(asker, server, blobs)
    count = len(server.received)
    seen: list[Progress] = []
    assert fetch(asker, server, blobs, progress=seen.append).moved == 0
    assert [each.method for each in server.received[count:]] == ["HEAD"]
    assert [(each.digest, each.status) for each in seen] == [(each.digest, EXISTS) for each in ONE.layers]


def test_a_digest_that_is_there_is_not_asked_about(asker: Client, server: Scripted, blobs: Blobs) -> None:
    keep(blobs, ONE, ARM, index=BOTH)
    there = Reference(server.address, "lab/tool").with_digest(BOTH.digest)
    assert pull(asker, there, blobs, ARM64).image.manifest == ARM.manifest
    assert server.received == []


def test_only_what_is_missing_is_moved(asker: Client, server: Scripted, blobs: Blobs) -> None:
    blobs.put(noise(5000, 2))
    assert fetch(asker, server, blobs).moved == 15_000
    assert server.said("GET", str(ONE.layers[2].digest)) == []


def test_what_is_unpacked_already_need_not_be_here(asker: Client, server: Scripted, blobs: Blobs) -> None:
    ready: list[Descriptor] = []
    fetch(asker, server, blobs, present=lambda layer: layer == ONE.layers[0], ready=ready.append)
    assert not blobs.has(ONE.layers[0].digest)
    assert {each.digest for each in ready} == {each.digest for each in ONE.layers}


def test_progress_of_every_layer(asker: Client, server: Scripted, blobs: Blobs) -> None:
    seen: list[Progress] = []
    inside = threading.Lock()

    def listen(progress: Progress) -> None:
        assert inside.acquire(blocking=False), "two at once"
        seen.append(progress)
        inside.release()

    fetch(asker, server, blobs, progress=listen)
    for layer in ONE.layers:
        own = [each for each in seen if each.digest == layer.digest]
        assert [own[0].status, own[-1].status] == [WAITING, COMPLETE]
        assert {each.status for each in own[1:-1]} == {DOWNLOADING}
        assert [each.current for each in own] == sorted(each.current for each in own)
        assert (own[-1].current, own[-1].total) == (5000, 5000)


def test_a_layer_twice_in_one_image_is_fetched_once(
    shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs
) -> None:
    twice = image(noise(100), noise(100))
    shelf.add(twice, tag="twice")
    fetch(asker, server, blobs, "twice")
    assert len(server.said("GET", str(twice.layers[0].digest))) == 1


def test_several_layers_at_once(shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs) -> None:
    together = threading.Barrier(4, timeout=60)

    def instead(received: Received) -> Answer | None:
        if any(str(each.digest) in received.path for each in ONE.layers):
            together.wait()
        return None

    shelf.instead = instead
    fetch(asker, server, blobs, most=4)
    assert whole(blobs, ONE)


def test_a_connection_that_breaks_in_every_layer(shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs) -> None:
    cuts = itertools.cycle([1, 4999, 2500, 0, None, None])

    def instead(received: Received) -> Answer | None:
        name = received.path.rpartition("/")[2]
        begin = int(received.headers.get("range", "bytes=0-")[6:-1])
        cut = next(cuts) if "/blobs/" in received.path and not begin else None
        return None if cut is None else Answer(200, shelf.blobs[name], cut=cut)

    shelf.instead = instead
    fetch(asker, server, blobs)
    assert whole(blobs, ONE)
    assert nothing_half(blobs)


def test_what_an_earlier_pull_left_is_gone_on_with(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    broken = ONE.layers[1]
    shelf.instead = lambda received: (
        Answer(200, shelf.blobs[str(broken.digest)], cut=2000) if str(broken.digest) in received.path else None
    )
    with client(attempts=1) as asker, pytest.raises(RegistryError, match="broke"):
        fetch(asker, server, blobs, most=1)
    assert not blobs.has(broken.digest)
    assert not blobs.has(ONE.manifest.digest)
    shelf.instead = lambda received: None
    with client() as asker:
        assert fetch(asker, server, blobs).moved == 20_000 - 5000 - 2000  # the first layer was whole
        assert server.said("GET", str(broken.digest))[-1].headers["range"] == "bytes=2000-"
    assert whole(blobs, ONE)


def test_what_an_earlier_pull_left_damaged_is_fetched_again(asker: Client, server: Scripted, blobs: Blobs) -> None:
    with blobs.partial(ONE.layers[1].digest, 5000) as writer:
        writer.write(b"x" * 2000)
    fetch(asker, server, blobs)
    assert whole(blobs, ONE)
    ranges = [each.headers.get("range") for each in server.said("GET", str(ONE.layers[1].digest))]
    assert ranges == ["bytes=2000-", None]


LIES: list[tuple[Callable[[bytes], Answer], type[Exception]]] = [
    (lambda content: Answer(body=bytes(len(content))), InvalidContent),
    (lambda content: Answer(body=content[:-1] + b"!"), InvalidContent),
    (lambda content: Answer(body=content + b"!"), InvalidContent),
    (lambda content: Answer(body=content[:-1]), InvalidContent),
    (lambda content: Answer(body=b"<html>", headers={"Content-Type": "text/html"}), InvalidContent),
    (lambda content: Answer(body=itertools.repeat(content)), InvalidContent),
    (lambda content: Answer(404), BlobNotFound),
]


@pytest.mark.parametrize(("lie", "kind"), LIES)
@pytest.mark.parametrize("which", ["layer", "config"])
def test_lies_leave_nothing(
    shelf: Shelf,
    asker: Client,
    server: Scripted,
    blobs: Blobs,
    lie: Callable[[bytes], Answer],
    kind: type[Exception],
    which: str,
) -> None:
    digest = ONE.layers[3].digest if which == "layer" else ONE.manifest.config.digest
    content = ONE.contents[digest]
    shelf.instead = lambda received: lie(content) if str(digest) in received.path else None
    with pytest.raises(kind):
        fetch(asker, server, blobs)
    assert not blobs.has(digest)
    assert not blobs.has(ONE.manifest.digest)
    assert nothing_half(blobs)


def test_an_index_that_leads_back_to_itself(shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs) -> None:
    # No digest can be that of a document which contains it: what comes under it is something else.
    loop = Descriptor(media_types.INDEX, Digest.of(b"loop"), 4, platform=AMD64)
    index = Index.build([loop])
    shelf.put(index, "loop", str(loop.digest))
    with pytest.raises(InvalidContent, match="is damaged"):
        fetch(asker, server, blobs, "loop")
    assert list(blobs.every()) == []


def test_indexes_without_end(shelf: Shelf, asker: Client, server: Scripted, blobs: Blobs) -> None:
    index = BOTH
    for _ in range(10):
        index = Index.build([index.descriptor()])
        shelf.put(index, "deep")
    with pytest.raises(InvalidContent, match="indexes in one another"):
        fetch(asker, server, blobs, "deep")
    assert list(blobs.every()) == []


def test_a_mirror_that_lies_is_passed_over(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    evil = Shelf(manifests=dict(shelf.manifests), blobs={name: b"!" * len(raw) for name, raw in shelf.blobs.items()})
    with scripted(evil) as mirror:
        settings = {server.address: RegistrySettings(mirrors=(f"http://{mirror.address}",))}
        with client(settings) as asker:
            fetch(asker, server, blobs)
        assert mirror.said("GET", str(ONE.layers[0].digest))
    assert whole(blobs, ONE)
    assert nothing_half(blobs)


def test_a_mirror_that_breaks_off_is_gone_on_with_elsewhere(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    half = Shelf(dict(shelf.blobs), dict(shelf.manifests))
    half.instead = lambda received: (
        Answer(200, shelf.blobs[received.path.rpartition("/")[2]], cut=2500)
        if "/blobs/" in received.path and "range" not in received.headers
        else Answer(404) if "range" in received.headers else None
    )  # fmt: skip
    with scripted(half) as mirror:
        settings = {server.address: RegistrySettings(mirrors=(f"http://{mirror.address}",))}
        with client(settings) as asker:
            fetch(asker, server, blobs)
    assert whole(blobs, ONE)
    assert {each.headers.get("range") for each in server.received if str(ONE.layers[0].digest) in each.path} == {
        "bytes=2500-"
    }


def test_one_that_fails_stops_the_others(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    reading = threading.Barrier(4, timeout=60)

    def instead(received: Received) -> Answer | None:
        for number, layer in enumerate(ONE.layers):
            if str(layer.digest) in received.path:
                reading.wait()
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
                return Answer(403) if number == 2 else Answer(raw=head + b"x" * 100, hang=True)
        return None

    shelf.instead = instead
    with client(timeouts=Timeouts(600, 600)) as asker, pytest.raises(RegistryError, match="HTTP status 403"):
        fetch(asker, server, blobs)
    assert not blobs.has(ONE.manifest.digest)


def test_a_listener_that_raises_ends_it(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    def listen(progress: Progress) -> None:
        if progress.status == DOWNLOADING:
            raise KeyboardInterrupt

    with client() as asker, pytest.raises(KeyboardInterrupt):
        fetch(asker, server, blobs, progress=listen)
    assert not blobs.has(ONE.manifest.digest)


def test_a_pull_that_is_stopped(shelf: Shelf, server: Scripted, blobs: Blobs) -> None:
    stop = Stop()

    def instead(received: Received) -> Answer | None:
        if "/blobs/" not in received.path or str(ONE.manifest.config.digest) in received.path:
            return None
        stop.set()
        return Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", hang=True)

    shelf.instead = instead
    with client(timeouts=Timeouts(600, 600)) as asker, pytest.raises(RegistryError):
        fetch(asker, server, blobs, stop=stop)
    assert not blobs.has(ONE.manifest.digest)


def test_two_pulls_at_once_fetch_every_layer_once(server: Scripted, blobs: Blobs, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def one() -> None:
        try:
            with client() as asker:
                fetch(asker, server, Blobs(tmp_path / "blobs"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert whole(blobs, ONE)
    for layer in ONE.layers:
        assert len(server.said("GET", str(layer.digest))) == 1
