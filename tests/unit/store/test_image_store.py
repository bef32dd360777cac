"""The images of a store: added whole, found by what people call them, and Docker's rules for what goes when."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from pathlib import Path

import ordinary_user
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.store.images_made import ALONE, APP, BASE, TOOL, Made, container, kept, of, whole

from kernelbox.errors import BlobNotFound, Conflict, ImageNotFound, InvalidContent, InvalidOption
from kernelbox.oci import reference
from kernelbox.oci.manifest import Index
from kernelbox.store.image_store import ImageStore
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import _STEPS, VERSION, StateFile


def test_nothing_is_made_by_asking(images: ImageStore, paths: StorePaths) -> None:
    assert images.every() == []
    for question in (images.find, images.remove):
        with pytest.raises(ImageNotFound, match="no such image: web"):
            question("web")
    assert sorted(path.name for path in paths.root.iterdir()) == ["trash"]


def test_added_and_found(images: ImageStore) -> None:
    record = APP.added_to(images, "web:1", "localhost:5000/lab/web")
    assert record == images.find("web:1") == images.every()[0]
    assert record.names == whole("web:1", "localhost:5000/lab/web")
    assert (record.id, record.manifest) == (APP.id, str(APP.manifest.digest))
    assert (record.created_at, record.platform, record.labels) == (1709294400.0, "linux/amd64", {"tier": "web"})
    assert record.size == sum(layer.size for layer in images.layers_of(record)) == 7000
    assert APP.is_whole_in(images)
    digits = APP.id.removeprefix("sha256:")
    ways = ("web:1", "docker.io/library/web:1", APP.id, digits, digits[:12], digits[:5], f"sha256:{digits[:9]}")
    for text in (*ways, "localhost:5000/lab/web:latest"):
        assert images.find(text) == record, text
    assert images.find(reference.parse("web:1")) == record
    for text in (
        "web",
        "web:2",
        "web@" + APP.id,
        "0" * 12,
        "sha256:" + "0" * 64,
        "Nonsense",
        "",
        "%",
        digits[:5] + "_",
    ):
        with pytest.raises(ImageNotFound, match="no such image: "):
            images.find(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.from_regex(r"(sha256:)?[0-9a-f]{0,64}", fullmatch=True))
def test_whatever_is_asked_for_has_an_answer(images: ImageStore, text: str) -> None:
    if not images.every():
        APP.added_to(images, "web:1")
    try:
        assert images.find(text).id == APP.id
    except (ImageNotFound, InvalidOption):
        assert not APP.id.removeprefix("sha256:").startswith(text or "-")


def test_by_its_digest(images: ImageStore) -> None:
    pinned = f"web@{APP.manifest.digest}"
    record = APP.added_to(images, "web:1", pinned)
    assert (record.tags, record.digests) == (whole("web:1"), whole(pinned))
    assert images.find(pinned) == images.find(f"web:other@{APP.manifest.digest}") == record


def test_an_id_that_several_begin_with(images: ImageStore) -> None:
    made = {}
    for number in itertools.count():
        each = Made([f"{number}"])
        digit = each.id.removeprefix("sha256:")[0]
        each.added_to(images)
        if digit in made:
            break
        made[digit] = each
    with pytest.raises(InvalidOption, match=f"2 images have ids that begin with {digit}: "):
        images.find(digit)
    images.add_image(each.document, each.manifest, each.unpacked_in(images), [reference.parse(digit)])
    assert images.find(digit).id == each.id, "a name comes first"


def test_the_same_image_comes_again(images: ImageStore) -> None:
    first = APP.added_to(images, "web:1")
    second = APP.added_to(images, "web:2")
    assert second.names == whole("web:1", "web:2")
    assert second.added_at >= first.added_at
    assert [each.id for each in images.every()] == [APP.id]
    assert kept(images) == of(APP)


def test_a_name_moves(images: ImageStore) -> None:
    BASE.added_to(images, "web")
    APP.added_to(images, "web")
    assert images.find("web").id == APP.id
    assert images.find(BASE.id).dangling
    images.tag(BASE.id, reference.parse("web"))
    assert images.find("web").id == BASE.id
    assert images.find(APP.id).names == ()
    assert [each.id for each in images.every()] == [APP.id, BASE.id], "the newest first"


def test_tags_are_names_with_a_tag_of_an_image_that_is_there(images: ImageStore) -> None:
    BASE.added_to(images)
    with pytest.raises(InvalidOption, match="is no tag"):
        images.tag(BASE.id, reference.parse(f"web@{BASE.id}"))
    with pytest.raises(ImageNotFound, match=f"no such image: {APP.id}"):
        images.tag(APP.id, reference.parse("web"))
    assert images.find(BASE.id).dangling


@pytest.mark.parametrize("missing", ["blob", "layer"])
def test_what_an_image_needs_has_to_be_there(images: ImageStore, missing: str) -> None:
    APP.moved_to(images)
    layers = APP.unpacked_in(images)
    if missing == "blob":
        images.blobs.remove(APP.contents[1].digest)
    else:
        images.layers.remove(APP.chain[1])
    with pytest.raises(BlobNotFound, match="of the image is not in the store"):
        images.add_image(APP.document, APP.manifest, layers, [reference.parse("web")])
    assert images.every() == []
    with pytest.raises(ImageNotFound):
        images.find("web")
    if missing == "blob":
        record = images.add_image(APP.document, APP.manifest, layers, whole=False)
        assert images.layers_of(record) == layers, "but need not, if it can be made again"


def test_what_has_changed_on_the_disk_is_seen(images: ImageStore) -> None:
    record = APP.added_to(images, "web")
    for made in (APP.document, APP.manifest):
        path = images.blobs.path(made.digest)
        path.write_bytes(made.raw.replace(b"sha256", b"sha512", 1))
        with pytest.raises(InvalidContent, match="is damaged: it should be"):
            images.document_of(record) if made is APP.document else images.manifest_of(record)
    images.layers.remove(APP.chain[1])
    with pytest.raises(BlobNotFound, match=f"no such layer in the store: {APP.chain[1]}"):
        images.layers_of(record)
    APP.added_to(images)
    assert APP.is_whole_in(images), "what comes again mends it"


def test_the_layers_have_to_be_its_own(images: ImageStore) -> None:
    for made in (APP, TOOL):
        made.moved_to(images)
    for layers in (TOOL.unpacked_in(images), APP.unpacked_in(images)[:1], APP.unpacked_in(images)[::-1], []):
        with pytest.raises(InvalidOption, match="it has other layers than these"):
            images.add_image(APP.document, APP.manifest, layers)


def test_an_index_is_kept_with_its_image(images: ImageStore) -> None:
    index = Index.build([APP.manifest.descriptor()])
    APP.moved_to(images)
    images.add_image(APP.document, APP.manifest, APP.unpacked_in(images), indexes=[index])
    images.collect()
    assert images.blobs.read(index.digest, 1 << 20) == index.raw


def test_what_an_image_alone_has_goes_with_it(images: ImageStore, paths: StorePaths, swept: list[str]) -> None:
    for made, name in ((BASE, "base"), (APP, "app"), (TOOL, "tool"), (ALONE, "alone")):
        made.added_to(images, name)
    assert kept(images) == of(BASE, APP, TOOL, ALONE)
    removed = images.remove("app")
    assert removed.untagged == whole("app")
    assert removed.deleted == (APP.id,)
    assert removed.layers == (str(APP.chain[1]),)
    assert removed.size > 3000
    assert kept(images) == of(BASE, TOOL, ALONE)
    assert sorted(path.name for path in paths.trash.iterdir()) == sorted(swept)
    assert {len(name) for name in swept} == {64}
    assert images.remove("base").layers == (), "its layer is another's too"
    assert TOOL.is_whole_in(images)
    images.remove(TOOL.id)
    images.remove("alone")
    assert kept(images) == (set(), set())
    assert not any((paths.images / "holds").iterdir())
    assert not any((paths.images / "leases").iterdir())


def test_one_name_of_several_is_only_untagged(images: ImageStore) -> None:
    APP.added_to(images, "web:1", "web:2", f"web@{APP.manifest.digest}")
    removed = images.remove("web:1")
    assert (removed.untagged, removed.deleted) == (whole("web:1"), ())
    assert kept(images) == of(APP)
    removed = images.remove("web:2")
    assert set(removed.untagged) == set(whole("web:2", f"web@{APP.manifest.digest}")), "the digest goes with the last"
    assert removed.deleted == (APP.id,)


def test_by_its_id_with_all_its_names(images: ImageStore) -> None:
    APP.added_to(images, "web:1", "lab/web:1")
    with pytest.raises(Conflict, match="has names in several places") as refused:
        images.remove(APP.id[:20])
    assert "rmi -f" in str(refused.value)
    assert images.find("web:1").names == images.find("lab/web:1").names
    removed = images.remove(APP.id[:20], force=True)
    assert set(removed.untagged) == set(whole("web:1", "lab/web:1"))
    assert kept(images) == (set(), set())


def test_what_a_container_has_stays(images: ImageStore, state: StateFile) -> None:
    APP.added_to(images, "web")
    one = container(state, APP, "one")
    for text, sentence in (("web", "the name .*web:latest must be removed by force: "), (APP.id, "must be removed by")):
        with pytest.raises(Conflict, match=f"{sentence}.*the stopped container {one.id[:12]} has it"):
            images.remove(text)
    assert images.find("web").id == APP.id
    removed = images.remove(APP.id, force=True)
    assert (removed.untagged, removed.deleted, removed.layers) == (whole("web"), (APP.id,), ())
    with pytest.raises(ImageNotFound):
        images.find(APP.id)
    assert images.every() == []
    assert images.of_container(APP.id).names == ()
    assert kept(images) == of(APP), "the container still has it"
    images.collect()
    assert kept(images) == of(APP)
    state.remove(one.id)
    images.collect()
    assert kept(images) == (set(), set())
    with pytest.raises(ImageNotFound):
        images.of_container(APP.id)


def test_what_was_forgotten_comes_again(images: ImageStore, state: StateFile) -> None:
    APP.added_to(images, "web")
    one = container(state, APP, "one")
    images.remove("web", force=True)
    record = APP.added_to(images, "web")
    assert images.find("web") == record
    state.remove(one.id)
    images.collect()
    assert APP.is_whole_in(images)


@pytest.mark.parametrize("status", ["running", "paused", "restarting"])
def test_what_runs_cannot_be_removed(images: ImageStore, state: StateFile, status: str) -> None:
    APP.added_to(images, "web")
    one = container(state, APP, "one", status)
    with pytest.raises(Conflict, match=f"not even by force: the running container {one.id[:12]} has it"):
        images.remove(APP.id, force=True)
    removed = images.remove("web", force=True)
    assert (removed.untagged, removed.deleted) == (whole("web"), ()), "it has lost its name"
    assert images.find(APP.id).dangling
    assert APP.is_whole_in(images)


def test_no_container_is_made_of_what_has_gone(images: ImageStore, state: StateFile) -> None:
    APP.added_to(images, "web")
    images.remove("web")
    with pytest.raises(ImageNotFound, match="has just been removed"):
        container(state, APP, "one")
    assert state.all() == []


def test_who_holds_an_image_keeps_it(images: ImageStore, paths: StorePaths) -> None:
    APP.added_to(images, "web")
    with images.hold(APP.id), images.hold(APP.id):
        with pytest.raises(Conflict, match="not even by force: a running container has it"):
            images.remove(APP.id, force=True)
        with pytest.raises(Conflict, match="must be removed by force: a running container has it"):
            images.remove("web")
        assert images.prune(all=True).deleted == ()
        assert images.remove("web", force=True).deleted == ()
    assert images.prune().deleted == (APP.id,)
    with pytest.raises(ImageNotFound):
        images.hold(APP.id)
    for text in ("", "sha256:../../../x", "web"):
        with pytest.raises(InvalidContent, match="is no digest"):
            images.hold(text)


def test_who_holds_and_who_removes_at_once(images: ImageStore, paths: StorePaths) -> None:
    for _ in range(12):
        APP.added_to(images, "web")
        start, seen = threading.Barrier(2), []

        def hold(start: threading.Barrier, seen: list[bool]) -> None:
            start.wait()
            try:
                with images.hold(APP.id):
                    seen.append(all(images.layers.has(each) for each in APP.chain))
            except ImageNotFound:
                seen.append(True)

        thread = threading.Thread(target=hold, args=(start, seen))
        thread.start()
        start.wait()
        try:
            images.remove(APP.id)
        except Conflict:
            assert APP.is_whole_in(images)
        thread.join()
        assert seen == [True], "what is held is there"


def test_prune(images: ImageStore, state: StateFile) -> None:
    for made, name in ((BASE, "base"), (APP, "app"), (TOOL, ""), (ALONE, "")):
        made.added_to(images, *([name] if name else []))
    container(state, ALONE, "one")
    pruned = images.prune(lambda image: image.created_at < 1.0)
    assert pruned.deleted == ()
    assert images.prune().deleted == (TOOL.id,), "what has no name and no container"
    assert images.prune().deleted == ()
    assert images.prune(lambda image: image.labels.get("tier") == "web", all=True).deleted == (APP.id,)
    pruned = images.prune(all=True)
    assert (pruned.deleted, pruned.untagged) == ((BASE.id,), whole("base"))
    assert [each.id for each in images.every()] == [ALONE.id]
    assert kept(images) == of(ALONE)
    with images.blobs.partial(TOOL.contents[0].digest) as broken_off:
        broken_off.write(b"half")
    images.collect()
    assert [path.name for path in images.blobs.folder.glob("partial/*")]
    images.prune()
    assert not list(images.blobs.folder.glob("partial/*"))


def test_events(images: ImageStore, state: StateFile) -> None:
    APP.added_to(images, "web:1", action="pull")
    images.tag(APP.id, reference.parse("lab/web"))
    images.remove(APP.id, force=True)
    found = [(event.kind, event.action, event.id, event.attributes) for event in state.events()]
    assert found == [
        ("image", "pull", "web:1", {"name": "web"}),
        ("image", "tag", APP.id, {"name": "lab/web:latest"}),
        *[("image", "untag", APP.id, {"name": APP.id})] * 2,
        ("image", "delete", APP.id, {"name": APP.id}),
    ]


OF_SOMEBODY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from unit.store.images_made import APP, images_in, prepared
from kernelbox.store.state import StateFile
paths = prepared(Path.home() / "store")
state = StateFile(paths.state)
images = images_in(paths, state, [])
APP.added_to(images, "web")
assert APP.is_whole_in(images)
print(*images.remove("web").layers, sep="\\n")
state.close()
"""


def test_of_an_ordinary_user(ordinary_user: ordinary_user.User) -> None:
    done = ordinary_user.python(OF_SOMEBODY)
    assert (done.stderr, done.returncode) == ("", 0)
    assert set(done.stdout.split()) == set(map(str, APP.chain))


def test_a_state_file_of_before_there_were_images(paths: StorePaths, state: StateFile, images: ImageStore) -> None:
    connection = sqlite3.connect(paths.state)
    connection.executescript(_STEPS[0] + _STEPS[1] + "PRAGMA user_version = 2;")
    connection.close()
    APP.added_to(images, "web")
    assert APP.is_whole_in(images)
    connection = sqlite3.connect(paths.state)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
    connection.close()
