"""The architecture: a package imports only from lower floors, and packages on one floor do not know each other."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).resolve().parents[2]

FLOORS = (
    ("kernelbox.errors",),
    ("kernelbox.oci", "kernelbox.native"),
    ("kernelbox.linux",),
    ("kernelbox.store",),
    ("kernelbox.registry", "kernelbox.network"),
    ("kernelbox.runtime",),
    ("kernelbox.build", "kernelbox.compose", "kernelbox.metrics"),
    ("kernelbox.engine",),
    ("kernelbox.api",),
    ("kernelbox",),  # the front: it names what people use, and imports it when it is asked for
    ("kernelbox.cli",),
    ("kernelbox_magics",),  # `%container VERB` is the command line's verb, in the notebook's process
)
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}

LAZY_ARROWS = {("kernelbox", "kernelbox_magics")}
"""The one import that goes up: `%load_ext kernelbox`."""

THIRD_PARTY = {
    "cffi": ("kernelbox.native",),
    "hatchling": ("kernelbox.native",),
    "requests": ("kernelbox.registry", "kernelbox.api"),
    "aiohttp": ("kernelbox.registry", "kernelbox.api"),
    "bcrypt": ("kernelbox.registry",),
    "cryptography": ("kernelbox.registry",),
    "yaml": ("kernelbox.compose",),
    "jsonschema": ("kernelbox.compose",),
    "zstandard": ("kernelbox.store",),
    "isal": ("kernelbox.store",),
    "numpy": ("kernelbox.metrics.frame", "kernelbox_magics"),
    "pandas": ("kernelbox.metrics.frame", "kernelbox_magics"),
    "click": ("kernelbox.cli",),
    "rich": ("kernelbox.cli",),
    "IPython": ("kernelbox_magics",),
    "ipykernel": ("kernelbox_magics",),
    "ipywidgets": ("kernelbox_magics",),
    "traitlets": ("kernelbox_magics",),
    "jupyter_client": ("kernelbox_magics",),
}
"""Who may import which of our dependencies. What is not listed here may not be imported at all."""


class Import(NamedTuple):
    importer: str
    imported: str
    where: str
    for_types: bool


def modules(sources: Path) -> dict[str, Path]:
    """Every module of the two packages, by its dotted name."""
    found = {}
    for top, package in ((sources, "kernelbox"), (sources / "magics", "kernelbox_magics")):
        for path in sorted((top / package).rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(known: Mapping[str, Path]) -> Iterator[Import]:
    """What each module imports, at its top or inside a function; below `if TYPE_CHECKING` it is `for_types`."""
    for module, path in known.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(), str(path))
        for_types = {id(below) for node in ast.walk(tree) if is_type_checking(node) for below in ast.walk(node)}
        for node in ast.walk(tree):
            for imported in imported_by(node, package, known):
                yield Import(module, imported, f"{path}:{getattr(node, 'lineno', 0)}", id(node) in for_types)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported_by(node: ast.AST, package: str, known: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        above = parents[: len(parents) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base


def package_of(module: str) -> str:
    """The longest listed package that `module` is or lies in; "" for anybody else's."""
    while module and module not in FLOOR:
        module = module.rpartition(".")[0]
    return module


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def not_downward(found: Iterable[Import]) -> list[str]:
    """Types count: who needs another package's names to be understood depends on it."""
    wrong = []
    for importer, imported, where, _ in found:
        of, what = package_of(importer), package_of(imported)
        if what and of != what and FLOOR[of] <= FLOOR[what] and (of, what) not in LAZY_ARROWS:
            wrong.append(f"{where}: {of} (floor {FLOOR[of]}) imports {what} (floor {FLOOR[what]})")
    return wrong


def misplaced(found: Iterable[Import]) -> list[str]:
    """Types do not count: this is about what is loaded."""
    wrong = []
    for importer, imported, where, for_types in found:
        top = imported.partition(".")[0]
        ours = top in sys.stdlib_module_names or top in ("kernelbox", "kernelbox_magics")
        if not ours and not for_types and not within(importer, THIRD_PARTY.get(top, ())):
            wrong.append(f"{where}: {importer} imports {top}")
    return wrong


def test_every_module_has_a_floor() -> None:
    # Nothing may hide in the front, whose floor is nearly the highest.
    front = {module for module in modules(SOURCES) if package_of(module) == "kernelbox"}
    assert front <= {"kernelbox", "kernelbox.__main__"}


def test_imports_go_down_only() -> None:
    wrong = not_downward(imports(modules(SOURCES)))
    assert not wrong, "\n".join(wrong)


def test_third_party_imports_are_where_they_belong() -> None:
    wrong = misplaced(imports(modules(SOURCES)))
    assert not wrong, "\n".join(wrong)


def test_violations_are_seen(tmp_path: Path) -> None:
    for package in ("engine", "linux", "oci", "native"):
        (tmp_path / "kernelbox" / package).mkdir(parents=True)
        (tmp_path / "kernelbox" / package / "__init__.py").touch()
    (tmp_path / "kernelbox/linux/upward.py").write_text("import kernelbox.engine\nfrom kernelbox import engine\n")
    (tmp_path / "kernelbox/linux/relative.py").write_text("from ..engine import anything\nfrom . import upward\n")
    (tmp_path / "kernelbox/oci/sibling.py").write_text(
        "from kernelbox.native import lib\nimport pandas.io, os\nif TYPE_CHECKING:\n    import numpy\n"
    )
    found = list(imports(modules(tmp_path)))
    assert len(not_downward(found)) == 4
    assert len(misplaced(found)) == 1
