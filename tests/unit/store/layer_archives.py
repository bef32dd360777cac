"""Layers for tests: their archives."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping

from kernelbox.oci.digest import Digest
from kernelbox.store.layer_forms import erofs_form, tree_form
from kernelbox.store.layer_pipe import LayerSource
from kernelbox.store.layer_work import Owners
from kernelbox.store.layers import EROFS, TREE, LayerForm, Layers


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files, the same for the same ones."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def source_of(tar: bytes, *, packed: bool = True) -> LayerSource:
    moved = gzip.compress(tar, mtime=0) if packed else tar
    return LayerSource(lambda: io.BytesIO(moved), Digest.of(moved), len(moved), "gzip" if packed else "")


FILES = {"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "bin/sh": os.urandom(3 << 20)}
TAR = archive(FILES)
DIFF_ID = Digest.of(TAR)
ROOTLESS = os.geteuid() != 0
FORMS = {TREE: tree_form(rootless=ROOTLESS, owners=Owners(one=ROOTLESS)), EROFS: erofs_form()}


def another(layers: Layers, unpack: object) -> Layers:
    """Of the same folder, with something else to unpack with."""
    return Layers(layers._folder, layers._trash, layers._sweep, LayerForm(layers._form.name, unpack))  # type: ignore[arg-type]


def nothing_is_there(layers: Layers, chain_id: Digest = DIFF_ID) -> bool:
    new = layers._folder / "new"
    return not layers.has(chain_id) and list(layers.every()) == [] and not (new.exists() and os.listdir(new))
