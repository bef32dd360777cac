"""`--format`: the subset of Go's templates that Docker's users write.

Values are what JSON holds. A dict is a map, and what it lacks prints as `<no value>`; in `Fields` (made from the
details of an object by `fields_of`) and `Row` an unknown name is a mistake. Left out are define, template and block,
and the functions for HTML, JavaScript and URLs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from kernelbox.cli.table_layout import aligned
from kernelbox.cli.template_functions import FUNCTIONS, HEADER_FUNCTIONS
from kernelbox.cli.template_parser import parse
from kernelbox.cli.template_run import run
from kernelbox.cli.template_values import MISSING, Fields, NilList, NilMap, Row
from kernelbox.errors import InvalidOption

__all__ = ["MISSING", "Fields", "Headers", "Row", "fields_of", "render", "render_rows"]

MAPS = frozenset(
    [
        "Annotations",
        "Data",
        "DriverOpts",
        "ExposedPorts",
        "Labels",
        "Networks",
        "Options",
        "PortBindings",
        "Ports",
        "StorageOpt",
        "Sysctls",
        "Tmpfs",
        "Volumes",
    ]
)
"""Fields of Docker's objects whose keys are chosen by people: a key which is not there is no mistake."""

POINTERS = frozenset(
    ["GraphDriver", "Healthcheck", "Init", "MemorySwappiness", "OomKillDisable", "PidsLimit", "StopTimeout"]
)
"""Fields of Docker's objects that are one thing or nothing, and print as `<nil>`; other nulls are empty lists."""


class Document(Fields):
    """The details of an object, and what Docker leaves out of them where there is nothing to say."""

    absent: ClassVar[Mapping[str, object]] = {
        "Annotations": NilMap(),
        "Driver": "",
        "ExposedPorts": NilMap(),
        "Health": None,
        "Healthcheck": None,
        "Mounts": NilList(),
        "Name": "",
        "SizeRootFs": None,
        "SizeRw": None,
        "StopSignal": "",
        "StopTimeout": None,
        "StorageOpt": NilMap(),
        "Sysctls": NilMap(),
        "Tmpfs": NilMap(),
    }


class Headers(Fields):
    """What stands above the columns of a table, by field. A label's is the last part of its key."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.methods = {"Label": lambda key: key.rpartition(".")[2].replace("-", " ").replace("_", " ")}

    def unknown(self, name: str) -> str:
        return ""


def fields_of(value: object, name: str = "") -> object:
    """An object's details (`inspect`) for `render`: dicts with fixed names become Fields. `name` is the field's own."""
    if value is None and name not in POINTERS:
        return NilMap() if name in MAPS else NilList()
    if isinstance(value, Mapping):
        made = {key: fields_of(each, "" if name in MAPS else _within(name, key)) for key, each in value.items()}
        return made if name in MAPS else Document(made)
    if isinstance(value, list | tuple):
        return [fields_of(each) for each in value]
    return value


def _within(parent: str, name: str) -> str:
    """`Config` is an object, but for that of `LogConfig`."""
    return "Options" if (parent, name) == ("LogConfig", "Config") else name


def render(template: str, value: object) -> str:
    """The text that `template` makes of `value`; "json" alone makes one line of JSON. Raises InvalidOption."""
    source = "{{json .}}" if template == "json" else template
    written: list[str] = []
    run(source, parse(source, FUNCTIONS), FUNCTIONS, value, written.append)
    return "".join(written)


def render_rows(template: str, rows: Iterable[Mapping[str, object]], headers: Mapping[str, str]) -> str:
    r"""A line, or what the template makes of it, for each row. "table TEMPLATE" aligns what stands between tabs, below
    headers; "json" is a JSON object a line. `\t` and `\n` are a tab and a new line. Raises InvalidOption."""
    is_table = template.startswith("table")
    source = "{{json .}}" if template == "json" else template.removeprefix("table") if is_table else template
    source = source.strip(" ").replace(r"\t", "\t").replace(r"\n", "\n")
    nodes = parse(source, FUNCTIONS)
    lines: list[str] = []
    for row in rows:
        run(source, nodes, FUNCTIONS, row if isinstance(row, Fields) else Row(row), lines.append)
        lines.append("\n")
    if not is_table:
        return "".join(lines)
    return aligned(f"{_header(source, headers)}\n{''.join(lines)}")


def _header(source: str, headers: Mapping[str, str]) -> str:
    written: list[str] = []
    shown = Headers(headers)
    try:
        run(source, parse(source, HEADER_FUNCTIONS), HEADER_FUNCTIONS, shown, written.append)
    except InvalidOption:
        # A template can be right for the rows and mean nothing for their headers; as in Docker the line ends there.
        return "".join(written)
    return "".join(written)
