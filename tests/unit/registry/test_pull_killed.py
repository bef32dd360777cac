"""A pull that is killed at any moment leaves a store in which everything is whole; the next one goes on with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from unit.registry.clients import client
from unit.registry.images import AMD64, Shelf, image, noise
from unit.registry.scripted import scripted

from kernelbox.oci.reference import Reference
from kernelbox.registry.pull import pull
from kernelbox.store.blobs import Blobs

ONE = image(*(noise(3 << 20, seed) for seed in range(3)))

PULL = """
import os, signal, sys
from pathlib import Path
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.configuration import Configuration
from kernelbox.registry.pull import pull
from kernelbox.store.blobs import Blobs

folder, address, last = sys.argv[1:]
seen = []

def listen(progress):
    seen.append(progress.status)
    if len(seen) == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

client = Client(Configuration(), credentials=lambda name: None)
reference = Reference(address, "lab/tool", "1")
pull(client, reference, Blobs(Path(folder)), Platform("linux", "amd64"), progress=listen, most=2)
"""


@pytest.mark.parametrize("last", [1, 4, 5, 7, 9, 11])
def test_a_pull_that_is_killed(tmp_path: Path, last: int) -> None:
    shelf = Shelf()
    shelf.add(ONE, tag="1")
    folder = tmp_path / "blobs"
    with scripted(shelf) as server:
        done = subprocess.run([sys.executable, "-c", PULL, str(folder), server.address, str(last)])
        assert done.returncode == -signal.SIGKILL
        blobs = Blobs(folder)
        for digest in blobs.every():
            blobs.read(digest, 16 << 20)  # raises where it is not what it is called
        assert not blobs.has(ONE.manifest.digest)
        kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        with client() as asker:
            found = pull(asker, Reference(server.address, "lab/tool", "1"), blobs, AMD64)
        assert found.moved == (9 << 20) - (kept - len(ONE.document.raw))
    assert set(blobs.every()) == {ONE.manifest.digest, *ONE.contents}
    assert not list((folder / "partial").iterdir())
