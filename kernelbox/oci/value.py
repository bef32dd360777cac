"""`@frozen`: dataclasses whose values do not change, and whose classes cost next to nothing until they are used.

`@dataclass(frozen=True, slots=True)` compiles six functions for every class at import, which takes 0.4 to 1 ms each on
a small machine. The configuration has some fifty classes, most of which a given launch never makes, and everything that
starts from a shell waits for the import. Here the five functions that can be shared are shared, and `__init__` is
compiled when the first value is made. Otherwise these are dataclasses: `fields`, `replace`, `asdict`, matching, types.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, dataclass_transform

C = TypeVar("C")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(cls: type[C]) -> type[C]:
    """Makes `cls` a dataclass with slots: equal and hashed by its fields, never changed; repr shows what was set."""
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    for name, method in _SHARED.items():
        type.__setattr__(made, name, method)
    type.__setattr__(made, "__init__", _init_on_first_use(made))
    return made


def _init_on_first_use(cls: type) -> Callable[..., None]:
    def __init__(self: object, *args: object, **kwargs: object) -> None:  # noqa: N807
        init = _compile_init(cls)
        type.__setattr__(cls, "__init__", init)
        init(self, *args, **kwargs)

    return __init__


def _compile_init(cls: type) -> Callable[..., None]:
    """An `__init__` that sets each slot through its descriptor, which `__setattr__` does not stop."""
    names: dict[str, Any] = {}
    parameters, lines = [], []
    for field in dataclasses.fields(cls):
        name = field.name
        names[f"set_{name}"] = getattr(cls, name).__set__
        value = name
        if field.default_factory is not dataclasses.MISSING:
            names[f"new_{name}"] = field.default_factory
            parameters.append(f"{name}=None")
            value = f"new_{name}() if {name} is None else {name}"
        elif field.default is not dataclasses.MISSING:
            names[f"default_{name}"] = field.default
            parameters.append(f"{name}=default_{name}")
        else:
            parameters.append(name)
        lines.append(f"    set_{name}(self, {value})")
    exec(f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(lines or ["    pass"]), names)
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


_NAMES: dict[type, tuple[str, ...]] = {}
"""Of the fields of a class; `dataclasses.fields` takes longer than all the rest."""


def _values(self: Any) -> tuple[object, ...]:
    cls = type(self)
    names = _NAMES.get(cls) or _NAMES.setdefault(cls, tuple([field.name for field in dataclasses.fields(cls)]))
    return tuple([getattr(self, name) for name in names])


def _eq(self: Any, other: object) -> bool:
    return NotImplemented if type(other) is not type(self) else _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = []
    for field in dataclasses.fields(self):
        value = getattr(self, field.name)
        if not (value == field.default or (field.default_factory is not dataclasses.MISSING and not value)):
            shown.append(f"{field.name}={value!r}")
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _reduce(self: Any) -> tuple[type, tuple[object, ...]]:
    return type(self), _values(self)


_SHARED: dict[str, Callable[..., Any]] = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__reduce__": _reduce,
}
