"""What nobody wants any more goes, and only that, whoever works in the store meanwhile."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from unit.store.images_made import ALONE, APP, BASE, TOOL, Made, container, images_in, kept, of
from waiting import wait_until

from kernelbox.store.image_store import ImageStore
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile


def wait_for_tick(images: ImageStore, folder: Path) -> None:
    """Until what is there now is older than what comes next."""
    latest = max(map(images.blobs.came, images.blobs.every()))

    def later() -> bool:
        (folder / "clock").write_bytes(b"")
        return (folder / "clock").stat().st_ctime > latest

    wait_until(later, "the disk's clock goes on, which ticks some hundred times a second")


def test_usage(images: ImageStore, state: StateFile) -> None:
    for made in (BASE, APP, ALONE):
        made.added_to(images)
    container(state, APP, "one")
    usage = images.usage()
    found = {each.image.id: (each.size, each.shared, each.unique, each.containers) for each in usage.images}
    assert found == {
        BASE.id: (4000, 4000, 0, 0),
        APP.id: (7000, 4000, 3000, 1),
        ALONE.id: (5000, 0, 5000, 0),
    }
    assert usage.layers == 4000 + 3000 + 5000
    assert usage.blobs == sum(images.blobs.size(each) for each in of(BASE, APP, ALONE)[0])
    assert usage.unused == 0
    images.blobs.put(b"garbage")
    TOOL.moved_to(images)
    TOOL.unpacked_in(images)
    assert images.usage().unused == 7 + 4000 + images.blobs.size(TOOL.contents[1].digest)
    assert images.collect().size == 7 + 4000 + TOOL.contents[1].size
    assert images.usage() == usage


def test_what_a_lease_keeps_stays(images: ImageStore) -> None:
    APP.moved_to(images)
    with images.lease() as lease:
        lease.keep(APP.blobs, APP.chain)
        APP.unpacked_in(images)
        TOOL.moved_to(images)
        images.collect()
        assert all(images.blobs.has(each.digest) for each in APP.contents), "what it has said"
        assert all(images.layers.has(each) for each in APP.chain)
        assert images.blobs.has(TOOL.contents[1].digest), "what has come since it began"
    gone = images.collect()
    assert set(gone.layers) == set(APP.chain)
    assert kept(images) == (set(), set())


def test_what_a_lease_has_found_stays(images: ImageStore, tmp_path: Path) -> None:
    APP.moved_to(images)
    wait_for_tick(images, tmp_path)
    with images.lease() as lease:
        assert lease.blobs.has(APP.contents[0].digest)
        assert not lease.blobs.has(TOOL.contents[1].digest)
        with lease.blobs.partial(APP.contents[1].digest) as writer:
            assert writer.found
        images.collect()
        assert kept(images)[0] == {each.digest for each in APP.contents}
    images.collect()
    assert kept(images)[0] == set()


def test_what_was_there_before_a_lease_goes(images: ImageStore, tmp_path: Path) -> None:
    APP.moved_to(images)
    wait_for_tick(images, tmp_path)
    with images.lease():
        images.collect()
        assert kept(images) == (set(), set())


@pytest.mark.kernel
@pytest.mark.root
def test_what_is_mounted_in_a_layer_keeps_it(images: ImageStore) -> None:
    with images.lease():
        APP.moved_to(images)
        mounted, other = APP.unpacked_in(images)
    (mounted.path / "place").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "small", mounted.path / "place"], check=True)
    try:
        assert images.collect().layers == (other.chain_id,)
    finally:
        subprocess.run(["umount", mounted.path / "place"], check=True)
    assert images.collect().layers == (mounted.chain_id,)


def test_many_add_remove_collect_and_prune_at_once(paths: StorePaths, images: ImageStore, swept: list[str]) -> None:
    """Whoever has added an image has all of it, until it is removed."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        state = StateFile(paths.state)
        own = images_in(paths, state, swept)
        made = [Made(["base", f"{each % 2}", f"{number}"]) for each in range(2)]
        try:
            for each in range(8):
                name = f"own{number}:{each}"
                record = made[each % 2].added_to(own, name)
                assert made[each % 2].is_whole_in(own)
                assert name in str(record.names)
                own.prune()
                own.remove(name)
        except BaseException as error:
            errors.append(error)
        finally:
            state.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    images.collect()
    assert images.every() == []
    assert kept(images) == (set(), set())
