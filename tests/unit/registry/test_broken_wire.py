"""Pulls from and pushes to a registry of our own over a wire that breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.breaking import Breaking, breaking
from unit.registry.clients import client
from unit.registry.images import AMD64, image, keep, noise

from kernelbox.oci.reference import Reference
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.pull import pull
from kernelbox.registry.push import push
from kernelbox.registry.server.serving import registry
from kernelbox.store.blobs import Blobs

LARGE = image(noise(6 << 20), noise(100, 1))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    found = Blobs(tmp_path / "blobs")
    keep(found, LARGE)
    return found


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Breaking]:
    with registry(tmp_path / "registry") as served, breaking(served.address) as made:
        yield made


@pytest.mark.parametrize("chunk", [0, 1 << 20])
def test_a_push_over_a_wire_that_breaks(wire: Breaking, blobs: Blobs, tmp_path: Path, chunk: int) -> None:
    there = Reference(wire.address, "lab/tool", "1")
    settings = {wire.address: RegistrySettings(upload_chunk=chunk)}
    wire.up = [10_000, 3_000_000, 200, 1_500_000, 700_000, 0]
    with client(settings, attempts=8) as asker:
        push(asker, there, blobs, LARGE.descriptor, most=1)
        assert wire.up == []
        back = Blobs(tmp_path / "back")
        assert pull(asker, there, back, AMD64).image.manifest == LARGE.manifest
    assert set(back.every()) == set(blobs.every())


def test_a_pull_over_a_wire_that_breaks(wire: Breaking, blobs: Blobs, tmp_path: Path) -> None:
    there = Reference(wire.address, "lab/tool", "1")
    back = Blobs(tmp_path / "back")
    with client() as asker:
        push(asker, there, blobs, LARGE.descriptor)
    wire.down = [300, 5_000, 3_000_000, 100, 1_500_000, 700_000, 0]
    with client(attempts=8) as asker:
        found = pull(asker, there, back, AMD64, most=1)
    assert wire.down == []
    assert found.moved == (6 << 20) + 100  # nothing of it came twice
    assert set(back.every()) == set(blobs.every())
