"""JSON objects to frozen dataclasses and back; every error names its JSON path (`process.user.uid: ...`).

A dataclass is its own schema: the annotation of a field says what is accepted, `Annotated` with `Bounds` or `Choices`
narrows it, the JSON key is the field's name in camelCase unless `metadata={"json": ...}` says otherwise. A field
called `extra` takes the keys that no other field knows. Where a class has no `extra`, unknown keys are ignored, as the
OCI specifications ask of readers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from kernelbox.errors import InvalidOption
from kernelbox.oci.kernel_text import unwritable

MAX_DOCUMENT_BYTES = 16 << 20
"""A longer document is refused unread: configurations are kilobytes, and some come from strangers."""

T = TypeVar("T")
Decoder = Callable[[object, str], Any]


class Bounds:
    """Marks an integer annotation with its least and greatest value, both allowed."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high


class Choices:
    """Marks a string annotation with the words that are allowed."""

    __slots__ = ("words",)

    def __init__(self, *words: str) -> None:
        self.words = words


Uint16 = Annotated[int, Bounds(0, (1 << 16) - 1)]
Uint32 = Annotated[int, Bounds(0, (1 << 32) - 1)]
Int64 = Annotated[int, Bounds(-(1 << 63), (1 << 63) - 1)]
Uint64 = Annotated[int, Bounds(0, (1 << 64) - 1)]


def load(document: bytes | str, what: str) -> dict[str, object]:
    """The JSON object in `document`; `what` names it in errors. Raises InvalidOption."""
    value = load_any(document, what)
    if not isinstance(value, dict):
        raise InvalidOption(f"{what}: expected an object, got {describe(value)}")
    return value


def load_any(document: bytes | str, what: str) -> object:
    """As `load`, where the JSON may be anything.

    Stricter than the json module: no NaN, no key twice in one object, nothing over MAX_DOCUMENT_BYTES."""
    import json

    if len(document) > MAX_DOCUMENT_BYTES:
        raise InvalidOption(f"{what}: longer than {MAX_DOCUMENT_BYTES >> 20} MiB")
    try:
        return json.loads(document, object_pairs_hook=_object, parse_constant=_no_constant)
    except InvalidOption as error:
        raise InvalidOption(f"{what}: {error.message}") from None
    except RecursionError:
        raise InvalidOption(f"{what}: nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidOption(f"{what}: not JSON: {error}") from None
    except ValueError:  # the interpreter's own bound
        raise InvalidOption(f"{what}: a number of thousands of digits") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        counts: dict[str, int] = {}
        for key, _ in pairs:
            counts[key] = counts.get(key, 0) + 1
        twice = next(key for key, count in counts.items() if count > 1)
        raise InvalidOption(f"the key {describe(twice)} appears twice in one object")
    return result


def _no_constant(word: str) -> None:
    raise InvalidOption(f"{word} is not JSON")


def describe(value: object) -> str:
    """A JSON value in a few words, for errors: `'root'`, `null`, `a list`, `an object`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e30 else "a huge number"
    return "an object" if isinstance(value, dict) else "a list"


def decode(kind: type[T], value: object, path: str = "", *, names: Mapping[str, object] | None = None) -> T:
    """`value` (parsed JSON) as an instance of the dataclass `kind`. Raises InvalidOption naming the path.

    `names` resolves annotations that the module of a class does not define itself."""
    result: T = _class_decoder(kind, names or {})(value, path)
    return result


def encode(value: object) -> Any:
    """The inverse of `decode`: dataclasses to JSON. What is None, empty or False is left out unless required."""
    fields = _encoders.get(type(value)) or _class_encoder(type(value))
    result: dict[str, object] = {}
    for name, key, required in fields:
        item = getattr(value, name)
        if item is None or (not required and (item is False or (item != 0 and not item))):
            continue
        if key == "":
            result.update(item)
        else:
            kind = type(item)
            result[key] = item if kind is str or kind is int or kind is bool else _plain(item)
    return result


def _plain(item: Any) -> object:
    if isinstance(item, tuple):
        return list(item) if not item or isinstance(item[0], str | int) else [encode(each) for each in item]
    if isinstance(item, Mapping):
        return {key: _plain(each) for key, each in item.items()}
    return encode(item) if dataclasses.is_dataclass(item) else item


_encoders: dict[type, tuple[tuple[str, str, bool], ...]] = {}
_decoders: dict[type, Decoder] = {}


def json_key(field: dataclasses.Field[Any]) -> str:
    """The JSON key of a dataclass field; "" for the field that holds unknown keys."""
    if field.name == "extra":
        return ""
    if "json" in field.metadata:
        return str(field.metadata["json"])
    first, *rest = field.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _class_encoder(kind: Any) -> tuple[tuple[str, str, bool], ...]:
    table = tuple((field.name, json_key(field), _required(field)) for field in dataclasses.fields(kind))
    _encoders[kind] = table
    return table


def _class_decoder(kind: Any, names: Mapping[str, object]) -> Decoder:
    if kind in _decoders:
        return _decoders[kind]
    hints = get_type_hints(kind, localns=dict(names), include_extras=True)
    fields = dataclasses.fields(kind)
    table = [(json_key(field), field.name, _required(field), _decoder(hints[field.name], names)) for field in fields]
    known = {key for key, *_ in table}

    def decode_object(value: object, path: str) -> Any:
        if not isinstance(value, dict):
            raise InvalidOption(f"{path or 'the document'}: expected an object, got {describe(value)}")
        arguments: dict[str, object] = {}
        for key, name, required, decoder in table:
            where = f"{path}.{key}" if path else key
            if key == "":
                arguments[name] = {each: value[each] for each in value if each not in known}
            elif value.get(key) is not None:
                arguments[name] = decoder(value[key], where)
            elif required:
                raise InvalidOption(f"{where}: missing")
        return kind(**arguments)

    _decoders[kind] = decode_object
    return decode_object


def _decoder(hint: Any, names: Mapping[str, object]) -> Decoder:
    if hint in (str, bool, int, float):
        return {str: _text, bool: _boolean, int: _integer, float: _number}[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _marked(_decoder(arguments[0], names), arguments[1])
    if origin in (Union, UnionType):
        (inner,) = [each for each in arguments if each is not NoneType]
        return _decoder(inner, names)
    if origin is tuple:
        return _list_of(_decoder(arguments[0], names))
    if origin is Mapping:
        return _object_of(_decoder(arguments[1], names))
    return _raw if hint is object else _class_decoder(hint, names)


def _raw(value: object, path: str) -> object:
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"{path}: expected a string, got {describe(value)}")
    if fault := unwritable(value):
        raise InvalidOption(f"{path}: contains {fault}")
    return value


def _boolean(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{path}: expected true or false, got {describe(value)}")
    return value


def _integer(value: object, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOption(f"{path}: expected an integer, got {describe(value)}")
    return value


def _number(value: object, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidOption(f"{path}: expected a number, got {describe(value)}")
    return value


def _list_of(item: Decoder) -> Decoder:
    def decode_list(value: object, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidOption(f"{path}: expected a list, got {describe(value)}")
        return tuple(item(each, f"{path}[{index}]") for index, each in enumerate(value))

    return decode_list


def _object_of(item: Decoder) -> Decoder:
    def decode_mapping(value: object, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidOption(f"{path}: expected an object, got {describe(value)}")
        return {_text(key, f"{path} (a key)"): item(each, f"{path}.{key}") for key, each in value.items()}

    return decode_mapping


def _marked(inner: Decoder, mark: Bounds | Choices) -> Decoder:
    def decode_bounded(value: object, path: str) -> Any:
        result = inner(value, path)
        if isinstance(mark, Bounds) and not mark.low <= result <= mark.high:
            raise InvalidOption(f"{path}: {describe(result)} is not between {mark.low} and {mark.high}")
        if isinstance(mark, Choices) and result not in mark.words:
            raise InvalidOption(f"{path}: unknown word {describe(result)}", hint="one of " + ", ".join(mark.words))
        return result

    return decode_bounded
