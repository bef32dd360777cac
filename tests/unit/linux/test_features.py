"""What a machine can do is tried when somebody asks, and once: a launch pays for what it uses."""

from __future__ import annotations

import dataclasses

import pytest

from kernelbox.linux import features
from kernelbox.linux.features import Features


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was tried."""
    names: list[str] = []
    for name in features._TRIES:
        monkeypatch.setitem(features._TRIES, name, lambda name=name: not names.append(name))
    return names


def test_each_feature_can_be_tried() -> None:
    assert list(features._TRIES) == [field.name for field in dataclasses.fields(Features)]


def test_one_that_is_asked_for_is_tried_once(tried: list[str]) -> None:
    found = features.probe.__wrapped__()
    assert tried == []
    assert found.overlay_by_fd
    assert found.overlay_by_fd
    assert tried == ["overlay_by_fd"]
    with pytest.raises(AttributeError):
        found.levitation  # noqa: B018


def test_a_copy_has_them_all(tried: list[str]) -> None:
    found = dataclasses.replace(features.probe.__wrapped__(), seccomp=False)
    assert found.privileged
    assert not found.seccomp
    assert set(tried) <= set(features._TRIES)
    assert found == dataclasses.replace(found)
