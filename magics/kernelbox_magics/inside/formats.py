"""How a variable travels between the notebook and a container: as data in one file, never as a pickle.

The notebook imports this file; a copy of it is run in the container by whatever Python the image has. So it is plain
Python 3.6 without dependencies, and uses numpy and pandas where they are. The formats:

    .txt  .bin  .json  .npy     text, bytes, what JSON can say, an array without objects
    .frame                      a DataFrame or Series: a zip (stored) of `schema.json` and a .npy or .json per column

All of them are data: reading them runs no code, and never takes more memory than a small multiple of their size.
"""
# ruff: noqa: B905, UP006, UP017, UP035
# What these rules ask for came after Python 3.6.

import array
import ast
import datetime
import io
import json
import re
import struct
import sys
import zipfile
from typing import Any, Dict, List, Tuple

FRAME_KINDS = ("frame", "series")
UNITS = {"s": 1, "ms": 1000, "us": 1000000, "ns": 1000000000}
NULLABLE = re.compile(r"(U?Int(8|16|32|64)|Float(32|64)|boolean)\Z")
SIMPLE_TYPE = re.compile(r"([<>|])([a-zA-Z])(\d+)\Z")
TIME_ZONE = re.compile(r"(?!dateutil)[A-Za-z0-9_+:-]+(/[A-Za-z0-9_+-]+)*\Z")
EPOCH = datetime.datetime(1970, 1, 1)
NOT_A_TIME = -(2**63)
JSON_TYPES = (str, int, float, bool, type(None))


def encode(value: Any) -> Tuple[str, bytes]:
    """The suffix and the bytes of a value. Raises TypeError with a sentence where it is no data."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas and isinstance(value, (pandas.DataFrame, pandas.Series)):
        return ".frame", encode_frame(value)
    if numpy and isinstance(value, numpy.ndarray):
        return ".npy", encode_array(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ".bin", bytes(value)
    if isinstance(value, str):
        return ".txt", value.encode()
    return ".json", json.dumps(as_json(value)).encode()


def decode(suffix: str, data: bytes) -> Any:
    """The value of what `encode` made. Raises ValueError where it is not that."""
    if suffix == ".frame":
        return decode_frame(data)
    if suffix == ".npy":
        return decode_array(data)
    if suffix == ".bin":
        return data
    return data.decode() if suffix == ".txt" else json.loads(data.decode())


def as_json(value: Any, where: str = "") -> Any:
    """`value` in the types of JSON, or TypeError. Keys that are not text are refused: JSON would make them text."""
    numpy = sys.modules.get("numpy")
    if numpy and isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r}{where} is not text")
        return {key: as_json(item, f" in [{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item, f" in [{index}]") for index, item in enumerate(value)]
    if not isinstance(value, JSON_TYPES):
        raise TypeError(
            f"a {type(value).__name__}{where} is not data; DataFrames, arrays, text, bytes and what JSON can say are"
        )
    return value


# --- arrays: the npy format, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html


def encode_array(value: Any) -> bytes:
    import numpy

    if value.dtype.hasobject:
        raise TypeError("an array of Python objects is not data (hint: give it a type with .astype)")
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.ascontiguousarray(value).reshape(value.shape), allow_pickle=False)
    return buffer.getvalue()


def array_header(data: bytes) -> Tuple[Dict[str, Any], int]:
    """What an npy file says of itself, and where its numbers begin."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("not an npy file")
    size, start = (struct.unpack("<H", data[8:10])[0], 10) if data[6] == 1 else (struct.unpack("<I", data[8:12])[0], 12)
    if size > 10000:
        raise ValueError("the header of the npy file is too long")
    header = ast.literal_eval(data[start : start + size].decode("latin-1"))
    return header, start + size


def decode_array(data: bytes) -> Any:
    """An array, or nested lists where there is no numpy."""
    header, start = array_header(data)
    try:
        import numpy
    except ImportError:
        return plain_array(header, data[start:])
    dtype = numpy.dtype(header["descr"])
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError("the npy file does not hold plain numbers or text")
    values = numpy.frombuffer(data, dtype, offset=start).copy()
    return values.reshape(tuple(header["shape"]), order="F" if header["fortran_order"] else "C")


def plain_array(header: Dict[str, Any], data: bytes) -> Any:
    """Nested lists, in C order (which is how `encode_array` writes)."""
    values = plain_numbers(str(header["descr"]), data)
    shape = header["shape"]
    if not shape:
        return values[0]
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


def plain_numbers(descr: str, data: bytes) -> List[Any]:
    simple = SIMPLE_TYPE.match(descr)
    order, kind, size = (simple.group(1), simple.group(2), int(simple.group(3))) if simple else ("|", descr, 0)
    if kind == "U":
        coding = "utf-32-be" if order == ">" else "utf-32-le"
        return [data[at : at + 4 * size].decode(coding).rstrip("\0") for at in range(0, len(data), 4 * size)]
    if kind == "f" and size == 2:
        return list(struct.unpack(f"{'>' if order == '>' else '<'}{len(data) // 2}e", data))
    codes = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
    codes.update({"f4": "f", "f8": "d", "b1": "B", "c8": "f", "c16": "d"})
    code = codes.get(f"{kind}{size}")
    if code is None:
        raise ValueError(f"an array of type {descr} needs numpy, which this image does not have")
    numbers = array.array(code)
    numbers.frombytes(data)
    if (order == ">") == (sys.byteorder == "little") and order in "<>":
        numbers.byteswap()
    if kind == "b":
        return [bool(number) for number in numbers]
    return [complex(*pair) for pair in zip(numbers[::2], numbers[1::2])] if kind == "c" else numbers.tolist()


# --- frames


def encode_frame(value: Any) -> bytes:
    """A DataFrame or a Series with its index; TypeError for a column that is no data."""
    import pandas

    frame = value if isinstance(value, pandas.DataFrame) else value.to_frame(value.name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        schema = {
            "kind": FRAME_KINDS[frame is not value],
            "rows": len(frame),
            "columns": [
                dict(encode_column(frame.iloc[:, at], archive, f"column {label!r}"), label=encode_label(label))
                for at, label in enumerate(frame.columns)
            ],
            "axis": [encode_label(name) for name in frame.columns.names],
            "index": encode_index(frame.index, archive),
        }
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def encode_index(index: Any, archive: zipfile.ZipFile) -> List[Dict[str, Any]]:
    """The levels of an index; none for the usual one, which counts the rows."""
    import pandas

    if index.equals(pandas.RangeIndex(len(index))) and index.names == [None]:
        return []
    levels = [pandas.Series(index.get_level_values(at)) for at in range(index.nlevels)]
    names = [encode_label(name) for name in index.names]
    return [dict(encode_column(level, archive, "the index"), label=name) for level, name in zip(levels, names)]


def encode_label(label: Any) -> Any:
    if isinstance(label, tuple):
        return {"tuple": [encode_label(part) for part in label]}
    try:
        return as_json(label)
    except TypeError:
        raise TypeError(f"a DataFrame's label {label!r} is not text or a number") from None


def decode_label(label: Any) -> Any:
    return tuple(decode_label(part) for part in label["tuple"]) if isinstance(label, dict) else label


def encode_column(values: Any, archive: zipfile.ZipFile, what: str) -> Dict[str, Any]:
    """Write one Series into the archive; what the schema says of it."""
    import numpy
    import pandas

    dtype = values.dtype
    kind = dtype.kind if isinstance(dtype, numpy.dtype) or hasattr(dtype, "tz") else ""
    if isinstance(dtype, pandas.CategoricalDtype):
        categories = encode_column(pandas.Series(dtype.categories), archive, what)
        codes = put(archive, ".npy", encode_array(values.cat.codes.to_numpy()))
        return {"kind": "category", "file": codes, "ordered": bool(dtype.ordered), "categories": categories}
    if kind and kind in "biufc":
        return {"kind": "numbers", "file": put(archive, ".npy", encode_array(values.to_numpy()))}
    if kind and kind in "mM":
        zone = str(dtype.tz) if hasattr(dtype, "tz") else None
        times = (values.dt.tz_convert("UTC").dt.tz_localize(None) if zone else values).to_numpy()
        unit = numpy.datetime_data(times.dtype)[0]
        file = put(archive, ".npy", encode_array(times.view("int64")))
        return {"kind": "time" if kind == "M" else "duration", "file": file, "unit": unit, "zone": zone}
    if NULLABLE.match(str(dtype)):
        items = [None if pandas.isna(item) else as_json(item) for item in values]
        return {"kind": "nullable", "dtype": str(dtype), "file": put(archive, ".json", json.dumps(items).encode())}
    return encode_objects(values, archive, what)


def encode_objects(values: Any, archive: zipfile.ZipFile, what: str) -> Dict[str, Any]:
    import pandas

    text = isinstance(values.dtype, pandas.StringDtype)
    if not text and str(values.dtype) != "object":
        raise TypeError(f"{what} is of type {values.dtype}, which is no plain data (hint: .astype(str))")
    items = [None if item is pandas.NA or (text and pandas.isna(item)) else item for item in values]
    for item in items:
        if not isinstance(item, JSON_TYPES):
            raise TypeError(f"{what} holds a {type(item).__name__}, which is no plain data (hint: .astype(str))")
    if not text and major(pandas) < 3 and all(item is None or isinstance(item, str) for item in items):
        text = True
    return {"kind": "text" if text else "objects", "file": put(archive, ".json", json.dumps(items).encode())}


def major(module: Any) -> int:
    return int(module.__version__.split(".")[0])


def put(archive: zipfile.ZipFile, suffix: str, data: bytes) -> str:
    name = f"{len(archive.namelist())}{suffix}"
    archive.writestr(name, data)
    return name


def decode_frame(data: bytes) -> Any:
    """A DataFrame or Series; where there is no pandas, a dict of lists or a list."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data) for entry in entries):
            raise ValueError("the archive of columns is compressed")
        schema = json.loads(archive.read("schema.json").decode())
        if schema["kind"] not in FRAME_KINDS:
            raise ValueError("not a DataFrame")
        try:
            import pandas  # noqa: F401
        except ImportError:
            lists = [plain_column(column, archive) for column in schema["columns"]]
            labels = [decode_label(column["label"]) for column in schema["columns"]]
            return dict(zip(labels, lists)) if schema["kind"] == "frame" else lists[0]
        return pandas_frame(schema, archive)


def pandas_frame(schema: Dict[str, Any], archive: zipfile.ZipFile) -> Any:
    import pandas

    levels = [decode_column(level, archive) for level in schema["index"]]
    names = [decode_label(level["label"]) for level in schema["index"]]
    index: Any = pandas.RangeIndex(int(schema["rows"]))
    if len(levels) == 1:
        index = pandas.Index(levels[0], name=names[0])
    elif levels:
        index = pandas.MultiIndex.from_arrays(levels, names=names)
    columns = [decode_column(column, archive) for column in schema["columns"]]
    if any(len(column) != len(index) for column in columns):
        raise ValueError("the columns differ in length")
    labels = [decode_label(column["label"]) for column in schema["columns"]]
    if schema["kind"] == "series":
        return columns[0].set_axis(index).rename(labels[0])
    frame = pandas.DataFrame(dict(enumerate(columns)), index=pandas.RangeIndex(len(index))).set_axis(index, axis=0)
    axis = [decode_label(name) for name in schema["axis"]]
    if len(axis) > 1:
        frame.columns = pandas.MultiIndex.from_tuples(labels, names=axis)
    else:
        frame.columns = pandas.Index(labels, name=axis[0]) if labels else frame.columns
    return frame


def decode_column(column: Dict[str, Any], archive: zipfile.ZipFile) -> Any:
    """One column as a Series."""
    import pandas

    kind, data = column["kind"], archive.read(column["file"])
    if kind == "category":
        categories = decode_column(column["categories"], archive)
        codes, ordered = decode_array(data), bool(column["ordered"])
        return pandas.Series(pandas.Categorical.from_codes(codes, pandas.Index(categories), ordered=ordered))
    if kind == "numbers":
        return pandas.Series(decode_array(data))
    if kind in ("time", "duration"):
        times = decode_array(data).view(f"{'M' if kind == 'time' else 'm'}8[{unit_of(column)}]")
        series = pandas.Series(times)
        return series.dt.tz_localize("UTC").dt.tz_convert(zone_of(column)) if column["zone"] else series
    items = json.loads(data.decode())
    if kind == "nullable" and NULLABLE.match(column["dtype"]):
        return pandas.Series(items, dtype=column["dtype"])
    if kind == "text":
        inferred = any(isinstance(item, str) for item in items)
        return pandas.Series(items, dtype=None if inferred else "str" if major(pandas) > 2 else object)
    return pandas.Series(items, dtype=object)


def unit_of(column: Dict[str, Any]) -> str:
    if column["unit"] not in UNITS:
        raise ValueError(f"unknown unit of time {column['unit']!r}")
    return str(column["unit"])


def zone_of(column: Dict[str, Any]) -> str:
    if not TIME_ZONE.match(column["zone"]):
        raise ValueError(f"unknown time zone {column['zone']!r}")
    return str(column["zone"])


def plain_column(column: Dict[str, Any], archive: zipfile.ZipFile) -> List[Any]:
    """One column as a list: times become datetimes (those with a zone in UTC), categories their values."""
    kind, data = column["kind"], archive.read(column["file"])
    if kind in ("numbers", "time", "duration", "category"):
        header, start = array_header(data)
        numbers: List[Any] = plain_array(header, data[start:])
        if kind == "numbers":
            return numbers
        if kind == "category":
            categories = plain_column(column["categories"], archive)
            return [None if code < 0 else categories[code] for code in numbers]
        per_second = UNITS[unit_of(column)]
        epoch = EPOCH.replace(tzinfo=datetime.timezone.utc) if column["zone"] else EPOCH
        spans = [None if n == NOT_A_TIME else datetime.timedelta(microseconds=n * 10**6 // per_second) for n in numbers]
        return [span if span is None or kind == "duration" else epoch + span for span in spans]
    items: List[Any] = json.loads(data.decode())
    return items
