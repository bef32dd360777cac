"""What containers are called, and how they are found again."""

from __future__ import annotations

import re

import pytest

from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import ContainerNotFound, InvalidOption, NameInUse

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_rename(sleeper: Container, containers: Containers, busybox_image: str) -> None:
    other = containers.create(busybox_image, ["true"], name="other")
    assert sleeper.rename("awake").name == "awake"
    assert containers.get("awake") == sleeper
    with pytest.raises(ContainerNotFound):
        containers.get("sleeper")
    with pytest.raises(NameInUse):
        other.rename("awake")
    with pytest.raises(InvalidOption):
        other.rename("../other")
    assert containers.get("other").id == other.id
    assert other.rename("other").name == "other", "its own name is free for it"


@pytest.mark.parametrize("name", ["a", ".a", "-a", "a/b", "a b", "ä", "a\n", "a" * 300, "..", "a:b"])
def test_names_that_are_none(containers: Containers, busybox_image: str, name: str) -> None:
    with pytest.raises(InvalidOption):
        containers.create(busybox_image, ["true"], name=name)
    assert containers.list(all=True) == []


def test_a_name_that_is_in_use(containers: Containers, sleeper: Container, busybox_image: str) -> None:
    with pytest.raises(NameInUse, match=f"the name 'sleeper' is in use by the container {sleeper.short_id}"):
        containers.create(busybox_image, ["true"], name="sleeper")
    assert len(list(containers.box.paths.containers.iterdir())) == 1


def test_containers_without_a_name_get_one(containers: Containers, busybox_image: str) -> None:
    names = {containers.create(busybox_image, ["true"]).name for _ in range(10)}
    assert len(names) == 10
    assert all(re.fullmatch("[a-z]+_[a-z]+", name) for name in names)


def test_found_by_what(containers: Containers, sleeper: Container, busybox_image: str) -> None:
    for reference in (sleeper.id, sleeper.short_id, sleeper.id[:20], "sleeper", "/sleeper"):
        assert containers.get(reference) == sleeper
    for reference in ("sleepe", "SLEEPER", sleeper.id + "0", "../sleeper", "zz", "/"):
        with pytest.raises((ContainerNotFound, InvalidOption)):
            containers.get(reference)
    called = containers.create(busybox_image, ["true"], name=sleeper.id[:2])
    assert containers.get(sleeper.id[:2]) == called, "a name goes before the beginning of an id"


def test_the_beginning_of_several_ids(containers: Containers, busybox_image: str) -> None:
    made = [containers.create(busybox_image, ["true"]) for _ in range(17)]
    first = next(digit for digit in "0123456789abcdef" if sum(each.id.startswith(digit) for each in made) > 1)
    with pytest.raises(InvalidOption, match=f"containers have ids that begin with {first}"):
        containers.get(first)


def test_listed(containers: Containers, sleeper: Container, busybox_image: str) -> None:
    made = containers.create(busybox_image, ["true"], labels={"kind": "test"})
    assert containers.list() == [sleeper]
    assert containers.list(all=True) == [made, sleeper]
    assert containers.list(filters={"status": ["created"]}) == [made]
    assert containers.list(all=True, filters={"label": ["kind=test"]}) == [made]
    assert containers.list(filters={"label": ["kind=test"]}) == [], "it does not run"
    with pytest.raises(InvalidOption):
        containers.list(filters={"nonsense": ["1"]})
