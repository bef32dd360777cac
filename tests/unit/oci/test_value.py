"""`@frozen` classes behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import field

import pytest

from kernelbox.oci.value import frozen


@frozen
class Point:
    """A point."""

    x: int
    y: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


@frozen
class Other:
    """Another class of the same shape."""

    x: int
    y: int = 0


def test_made_by_position_and_name() -> None:
    assert (Point(1).x, Point(1).y, Point(1, y=2).y) == (1, 0, 2)
    assert Point(1).tags is not Point(1).tags
    with pytest.raises(TypeError, match=r"Point.__init__\(\) got an unexpected keyword argument 'z'"):
        Point(1, z=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_never_changed() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.z = 2  # type: ignore[attr-defined]
    assert point == Point(1)


def test_equal_by_class_and_fields() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert Point(1, 2) != Point(1, 3)
    assert Point(1) != (1, 0)  # type: ignore[comparison-overlap]
    assert Other(1) == Other(1)
    assert Other(1) != Point(1)  # type: ignore[comparison-overlap]
    assert len({Other(1), Other(1), Other(2)}) == 2


def test_shows_what_was_set() -> None:
    assert repr(Point(1)) == "Point(x=1)"
    assert repr(Point(1, 2, {"a": "b"})) == "Point(x=1, y=2, tags={'a': 'b'})"


def test_is_a_dataclass() -> None:
    assert [each.name for each in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.replace(Point(1), y=5) == Point(1, 5)
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 0, "tags": {}}
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_copies_and_pickles() -> None:
    point = Point(1, 2, {"a": "b"})
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(Other(3))) == Other(3)
