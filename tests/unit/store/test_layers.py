"""Layers at rest: unpacked once, whole and durable, or not there; by several at once, and after a kill in between."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from unit.store.layer_archives import (
    DIFF_ID,
    FILES,
    FORMS,
    TAR,
    another,
    archive,
    nothing_is_there,
    source_of,
)

from kernelbox.errors import BlobNotFound, Conflict, InvalidContent, KernelBoxError, StoreError
from kernelbox.linux import erofs
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import chain_ids
from kernelbox.store.blobs import Blobs
from kernelbox.store.layer_forms import best_form
from kernelbox.store.layer_pipe import LayerSource, Unpacked
from kernelbox.store.layer_work import Owners
from kernelbox.store.layers import EROFS, TREE, Layer, LayerForm, Layers


def test_made_found_and_removed(layers: Layers, trash: Path, swept: list[str]) -> None:
    assert nothing_is_there(layers)
    assert not layers._folder.exists(), "asking makes nothing"
    with pytest.raises(BlobNotFound, match=f"no such layer in the store: {DIFF_ID}"):
        layers.get(DIFF_ID)
    layer = layers.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    assert layer == layers.get(DIFF_ID) == another(layers, None).get(DIFF_ID)
    assert (layer.chain_id, layer.diff_id, layer.parent) == (DIFF_ID, DIFF_ID, None)
    assert list(layers.every()) == [DIFF_ID]
    if layer.form == TREE:
        assert (layer.path / "bin/sh").read_bytes() == FILES["bin/sh"]
        assert (layer.size, layer.entries) == (sum(map(len, FILES.values())), 2)
        assert layer.path.stat().st_mode & 0o7777 == 0o755
    else:
        assert layer.size == layer.path.stat().st_size >= len(FILES["bin/sh"])
        assert layer.entries == 2
    assert os.listdir(layers._folder / "new") == []
    layers.remove(DIFF_ID)
    assert nothing_is_there(layers)
    assert swept == os.listdir(trash)
    assert len(swept[0]) == 64, "a name that the sweeper of the trash knows"
    layers.remove(DIFF_ID)
    assert len(swept) == 1


def test_it_is_made_once(layers: Layers) -> None:
    first = layers.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))

    def never() -> io.BytesIO:
        raise AssertionError("it is there already")

    assert layers.ensure(DIFF_ID, DIFF_ID, None, LayerSource(never)) == first


def test_layers_of_one_image_are_made_in_any_order(trees: Layers) -> None:
    tars = [archive({"a": b"1"}), archive({"a": b"2"}), archive({"b": b"3"})]
    diff_ids = [Digest.of(tar) for tar in tars]
    chain = chain_ids(diff_ids)
    for number in (2, 0, 1):
        parent = chain[number - 1] if number else None
        layer = trees.ensure(chain[number], diff_ids[number], parent, source_of(tars[number], packed=number != 1))
        assert (layer.diff_id, layer.parent) == (diff_ids[number], parent)
    assert set(trees.every()) == set(chain)
    assert os.listdir(trees.get(chain[2]).path) == ["b"]


def test_both_forms_lie_side_by_side(tmp_path: Path, trash: Path) -> None:
    one, other = (Layers(tmp_path / "layers", trash, str, FORMS[form]) for form in (TREE, EROFS))
    tar = archive({"a": b"1"})
    one.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    other.ensure(Digest.of(tar), Digest.of(tar), None, source_of(tar))
    assert [other.get(DIFF_ID).form, one.get(Digest.of(tar)).form] == [TREE, EROFS]
    assert other.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)).form == TREE, "as it was made"


@pytest.mark.kernel
@pytest.mark.root
def test_what_is_made_can_be_mounted(tmp_path: Path, trash: Path) -> None:
    if not erofs.supported(tmp_path):
        pytest.skip("EROFS cannot be mounted here")
    layers = Layers(tmp_path / "layers", trash, str, lambda folder: best_form(folder, rootless=False))
    layer = layers.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    assert layer.form == EROFS
    with erofs.mount(layer.path) as mount:
        root = Path(f"/proc/self/fd/{mount.fileno()}")
        assert (root / "bin/sh").read_bytes() == FILES["bin/sh"]
        layers.remove(DIFF_ID)
        assert (root / "etc/passwd").read_bytes() == FILES["etc/passwd"], "until it is let go"


def test_where_it_cannot_be_mounted_it_is_a_folder(tmp_path: Path, trash: Path) -> None:
    asked: list[Path] = []

    def choose(folder: Path) -> LayerForm:
        asked.append(folder)
        return best_form(folder, rootless=True, owners=Owners(one=True))

    layers = Layers(tmp_path / "layers", trash, str, choose)
    assert not layers.has(DIFF_ID)
    assert not asked, "nothing is tried by asking"
    assert layers.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)).form == TREE
    layers.remove(DIFF_ID)
    layers.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    assert asked == [tmp_path / "layers"]


def test_from_the_blobs_of_the_store(tmp_path: Path, trees: Layers) -> None:
    blobs = Blobs(tmp_path / "blobs")
    digest = blobs.put(TAR)
    content = Descriptor(media_types.LAYER_TAR, digest, len(TAR))
    layer = trees.ensure(DIFF_ID, DIFF_ID, None, LayerSource.of(blobs, content))
    assert (layer.path / "etc/passwd").read_bytes() == FILES["etc/passwd"]
    with pytest.raises(InvalidContent, match="is no layer but 'text/plain'"):
        LayerSource.of(blobs, replace(content, media_type="text/plain"))
    trees.remove(DIFF_ID)
    blobs.remove(digest)
    with pytest.raises(BlobNotFound):
        trees.ensure(DIFF_ID, DIFF_ID, None, LayerSource.of(blobs, content))
    assert nothing_is_there(trees)


def test_progress_is_told_and_may_end_it(layers: Layers) -> None:
    told: list[int] = []
    source = source_of(TAR)
    layers.ensure(DIFF_ID, DIFF_ID, None, source, told.append)
    assert told == sorted(told)
    assert told[-1] == source.size
    layers.remove(DIFF_ID)

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layers.ensure(DIFF_ID, DIFF_ID, None, source, interrupt)
    assert nothing_is_there(layers)


def test_many_ensure_the_same_at_once(layers: Layers) -> None:
    made, results, errors = [], [], []
    unpack = layers._form.unpack

    def counted(target: int, archive: int) -> Unpacked:
        made.append(target)
        return unpack(target, archive)

    def ensure() -> None:
        try:
            results.append(another(layers, counted).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)))
        except KernelBoxError as error:
            errors.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(made) == 1, "and the others found it"
    assert results == [layers.get(DIFF_ID)] * 6
    assert os.listdir(layers._folder / "new") == []


def test_waiting_for_somebody_can_be_ended(trees: Layers) -> None:
    waits, ended = threading.Event(), threading.Event()

    def slow(target: int, archive: int) -> Unpacked:
        waits.set()
        ended.wait()
        return FORMS[TREE].unpack(target, archive)

    def interrupt(count: int) -> None:
        assert count == 0
        raise KeyboardInterrupt

    thread = threading.Thread(target=another(trees, slow).ensure, args=(DIFF_ID, DIFF_ID, None, source_of(TAR)))
    thread.start()
    waits.wait()
    with pytest.raises(KeyboardInterrupt):
        trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR), interrupt)
    ended.set()
    thread.join()
    assert trees.has(DIFF_ID), "the other one has done it"


def test_where_one_fails_the_next_tries(trees: Layers) -> None:
    results: list[Layer] = []
    waits = threading.Event()

    def second() -> None:
        waits.wait()
        results.append(trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)))

    def fails(target: int, archive: int) -> Unpacked:
        waits.set()
        while not is_waited_for(trees._folder / "new" / f"sha256-{DIFF_ID.encoded}"):
            pass
        raise StoreError("no room")

    thread = threading.Thread(target=second)
    thread.start()
    with pytest.raises(StoreError, match="no room"):
        another(trees, fails).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    thread.join()
    assert results == [trees.get(DIFF_ID)]


def is_waited_for(path: Path) -> bool:
    """Whether somebody waits for the lock on it: proc(5), /proc/locks, has them with an arrow."""
    inode = f":{path.stat().st_ino}"
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and line.split()[6].endswith(inode) for line in lines)


def test_what_somebody_who_was_killed_left_is_made_anew(trees: Layers, trash: Path, swept: list[str]) -> None:
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from kernelbox.oci.digest import Digest\n"
            "from kernelbox.store.layer_pipe import LayerSource\n"
            "from kernelbox.store.layers import *\n"
            "def dies(root, archive):\n"
            "    os.mkdir('half', dir_fd=root)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "digest = Digest.parse(sys.argv[2])\n"
            "layers = Layers(Path(sys.argv[1]), Path(sys.argv[1]), str, LayerForm(TREE, dies))\n"
            "layers.ensure(digest, digest, None, LayerSource(lambda: open(sys.argv[3], 'rb')))",
            trees._folder,
            str(DIFF_ID),
            "/proc/self/exe",
        ],
        check=False,
    )
    assert killed.returncode == -9
    assert len(os.listdir(trees._folder / "new")) == 1
    assert not trees.has(DIFF_ID)
    layer = trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    assert sorted(os.listdir(layer.path)) == ["bin", "etc"]
    assert (trash / swept[0] / "tree/half").is_dir()
    assert os.listdir(trees._folder / "new") == []


def test_what_is_just_being_made_is_not_cleaned_away(trees: Layers) -> None:
    def patient(root: int, archive: int) -> Unpacked:
        Layers(trees._folder, trees._trash, trees._sweep, trees._form).clean()
        return trees._form.unpack(root, archive)

    assert another(trees, patient).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)).entries == 2
    (trees._folder / "new" / "left").mkdir()
    (trees._folder / "new" / "file").touch()
    trees.clean()
    assert os.listdir(trees._folder / "new") == ["file"], "which is no folder of ours"


@pytest.mark.parametrize("about", ["", "{}", "[]", '{"form": "other"}', None])
def test_a_layer_that_has_lost_what_it_is(trees: Layers, about: str | None) -> None:
    layer = trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    file = layer.path.parent / "about.json"
    if about is None:
        file.unlink()
    else:
        file.write_text(about)
    with pytest.raises(StoreError, match=f"the layer {DIFF_ID} is damaged: .*does not say what it is"):
        trees.get(DIFF_ID)
    trees.remove(DIFF_ID)
    assert trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)) == layer


@pytest.mark.kernel
@pytest.mark.root
def test_what_is_mounted_in_a_layer_keeps_it(trees: Layers) -> None:
    layer = trees.ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    subprocess.run(["mount", "-t", "tmpfs", "small", layer.path / "etc"], check=True)
    try:
        with pytest.raises(Conflict, match=f"something is mounted in the layer {DIFF_ID}"):
            trees.remove(DIFF_ID)
        assert trees.mounts() == [str(layer.path / "etc")]
    finally:
        subprocess.run(["umount", layer.path / "etc"], check=True)
    assert (layer.path / "etc/passwd").exists()
    trees.remove(DIFF_ID)


def test_a_store_that_cannot_be_written(tmp_path: Path, trash: Path) -> None:
    (tmp_path / "layers").touch()
    with pytest.raises(StoreError, match=r"could not write to .*layers: file exists"):
        Layers(tmp_path / "layers", trash, str, FORMS[TREE]).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
