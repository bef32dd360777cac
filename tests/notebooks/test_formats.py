"""The formats of variables: what goes in comes out the same, with and without numpy and pandas, and only as data."""

from __future__ import annotations

import ast
import datetime
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kernelbox_magics.inside import formats

FRAME = pd.DataFrame(
    {
        "whole": [1, 2, 3],
        "real": [1.5, float("nan"), 3.0],
        "truth": [True, False, True],
        "text": ["a", None, "ü"],
        "mixed": pd.Series([1, "x", None], dtype=object),
        "time": pd.to_datetime(["2020-01-01 01:00", None, "2021-05-05 12:00"]),
        "local": pd.to_datetime(["2020-01-01 01:00", None, "2021-05-05 12:00"]).tz_localize("Europe/Berlin"),
        "span": pd.to_timedelta([1, 2, 3], unit="s"),
        "kind": pd.Categorical(["x", "y", "x"], ordered=True),
        "maybe": pd.array([1, None, 3], dtype="Int64"),
        "perhaps": pd.array([True, None, False], dtype="boolean"),
    }
)
NARROW = FRAME[["whole"]]


def there_and_back(value: Any) -> Any:
    return formats.decode(*formats.encode(value))


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.iloc[:0],
        FRAME.set_index("text"),
        FRAME.set_index("time"),
        FRAME.set_index(["whole", "local"]),
        NARROW.iloc[:, [0, 0]],
        NARROW.rename(columns={"whole": 7}).rename_axis(columns="axis"),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])),
        pd.DataFrame(),
    ],
)
def test_frames(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


@pytest.mark.parametrize("series", [FRAME["real"], FRAME.set_index("text")["local"], FRAME["whole"].rename(None)])
def test_series(series: pd.Series[Any]) -> None:
    pd.testing.assert_series_equal(there_and_back(series), series)


ARRAYS: list[tuple[Any, Any]] = [
    (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
    (np.asfortranarray(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]]),
    (np.arange(8, dtype="uint8").reshape(2, 2, 2), [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
    (np.zeros((0, 3)), []),
    (np.array(3.5), 3.5),
    (np.array([1.5], dtype="f2"), [1.5]),
    (np.array([1, 2], dtype=">i4"), [1, 2]),
    (np.array([1 + 2j]), [1 + 2j]),
    (np.array([True, False]), [True, False]),
    (np.array(["a", "bcd"]), ["a", "bcd"]),
]


@pytest.mark.parametrize(("array", "plain"), ARRAYS)
def test_arrays(array: Any, plain: Any) -> None:
    back = there_and_back(array)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.flags.writeable
    header, start = formats.array_header(formats.encode_array(array))
    assert formats.plain_array(header, formats.encode_array(array)[start:]) == plain


@pytest.mark.parametrize(
    "value", ["text ü", "", b"\x00bytes", {"a": [1, 2.5, None, True, {"b": "c"}]}, [], 7, 1.5, None, True]
)
def test_text_bytes_and_json(value: Any) -> None:
    assert there_and_back(value) == value
    assert type(there_and_back(value)) is type(value)


def test_numpy_scalars_are_numbers() -> None:
    assert there_and_back({"mean": np.float64(1.5), "n": np.int32(3)}) == {"mean": 1.5, "n": 3}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: 2}, "the key 1 is not text"),
        ({"a": [{1, 2}]}, "a set in \\[0\\] is not data"),
        (object(), "a object is not data"),
        (np.array([None]), "an array of Python objects is not data"),
        (pd.DataFrame({"p": pd.period_range("2020", periods=1)}), r"column 'p' is of type period\[D\].*hint: .astype"),
        (pd.DataFrame({"o": [[1]]}), "column 'o' holds a list"),
        (pd.DataFrame({pd.Timestamp("2020"): [1]}), "label Timestamp"),
    ],
)
def test_what_is_no_data_is_refused(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        formats.encode(value)


def test_columns_without_pandas() -> None:
    with zipfile.ZipFile(io.BytesIO(formats.encode_frame(FRAME))) as archive:
        schema = json.loads(archive.read("schema.json"))
        lists = {column["label"]: formats.plain_column(column, archive) for column in schema["columns"]}
    utc = datetime.UTC
    assert lists["whole"] == [1, 2, 3]
    assert lists["text"] == ["a", None, "ü"]
    assert lists["mixed"] == [1, "x", None]
    assert lists["time"][1:] == [None, datetime.datetime(2021, 5, 5, 12)]
    assert lists["local"][0] == datetime.datetime(2020, 1, 1, 0, tzinfo=utc)
    assert lists["span"][0] == datetime.timedelta(seconds=1)
    assert lists["kind"] == ["x", "y", "x"]
    assert lists["maybe"] == [1, None, 3]
    assert lists["perhaps"] == [True, None, False]


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def archive_of(compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


def frame_with(column: dict[str, Any], data: bytes) -> bytes:
    schema = {
        "kind": "frame",
        "rows": 1,
        "axis": [None],
        "index": [],
        "columns": [{"label": "a", "file": "x", **column}],
    }
    return archive_of(schema_json=json.dumps(schema).encode(), x=data)


EPOCHS = formats.encode_array(np.array([0]))


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".npy", pickle.dumps([1])),
        (".npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickle.dumps([1]))),
        (".npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,)}", b"\0" * 8)),
        (".npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2)}", b"\0" * 24)),
        (".npy", npy("{'descr': '<f8', 'fortran_order': False}", b"\0" * 8)),
        (".npy", npy("__import__('os').abort()")),
        (".npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
        (".json", b"[" * 100_000),
        (".json", b'{"a": '),
        (".txt", b"\xff"),
        (".frame", b"not a zip"),
        (".frame", archive_of(zipfile.ZIP_DEFLATED, schema_json=b'{"kind": "frame"}')),
        (".frame", archive_of(other=b"")),
        (".frame", archive_of(schema_json=b"[]")),
        (".frame", archive_of(schema_json=b'{"kind": "pickle"}')),
        (".frame", frame_with({"kind": "numbers"}, npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"))),
        (".frame", frame_with({"kind": "numbers"}, formats.encode_array(np.zeros(3)))),
        (".frame", frame_with({"kind": "time", "unit": "ns", "zone": "dateutil//etc/passwd"}, EPOCHS)),
        (".frame", frame_with({"kind": "time", "unit": "ns", "zone": "../../etc/passwd"}, EPOCHS)),
        (".frame", frame_with({"kind": "time", "unit": "fortnights", "zone": None}, EPOCHS)),
    ],
)
def test_what_was_not_made_by_encode_is_refused(suffix: str, data: bytes) -> None:
    with pytest.raises(
        (ArithmeticError, LookupError, RecursionError, SyntaxError, TypeError, ValueError, zipfile.BadZipFile)
    ):
        formats.decode(suffix, data)


@pytest.mark.parametrize("file", ["formats.py", "cell.py"])
def test_what_runs_inside_is_python_3_6(file: str) -> None:
    source = (Path(formats.__file__).parent / file).read_text()
    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source
