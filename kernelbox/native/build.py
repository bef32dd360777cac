"""Compiles the C of kernelbox: the cffi extension `_native` and the static programs `kb-monitor` and `kb-init`.

Run as a script (`python kernelbox/native/build.py [--sanitize]`) it puts both beside itself; as hatchling's build hook
it does the same before a wheel or an editable install is made.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import cffi

HERE = Path(__file__).resolve().parent
EXTENSION = HERE / "_native.abi3.so"
MONITOR = HERE / "kb-monitor"
INIT = HERE / "kb-init"
SANITIZED_MONITOR = HERE / "kb-monitor-asan"

WARNINGS = [
    "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wpointer-arith", "-Wvla",
    "-Wwrite-strings", "-Wundef", "-Wformat=2", "-Werror",
]  # fmt: skip
COMMON = ["-std=gnu11", "-O2", "-g1", "-D_GNU_SOURCE", "-fno-strict-aliasing", "-fstack-protector-strong"]


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def version() -> str:
    text = (HERE.parents[1] / "pyproject.toml").read_text()
    found = re.search(r'^version = "([^"]+)"', text, re.MULTILINE)
    if not found:
        raise SystemExit("build.py: no version in pyproject.toml")
    return found[1]


def interface() -> str:
    """A digest of the boundary: Python, the extension and the monitor must have been built from the same."""
    texts = ((HERE / name).read_bytes() for name in ("api.h", "plan.h", "constants.txt"))
    return hashlib.sha256(b"".join(texts)).hexdigest()


def defines() -> list[str]:
    return [f'-DKB_VERSION="{version()}+{interface()[:12]}"', f"-DKB_MAGIC=0x{interface()[:8]}u"]


def run(command: list[str]) -> None:
    if subprocess.run(command).returncode:
        raise SystemExit(f"build.py: failed: {shlex.join(command)}")


def link(command: list[str], product: Path) -> None:
    """Write to a fresh file and rename it, so that a program which is running keeps the one it started with."""
    fresh = product.with_name(f".{product.name}.new")
    run([*command, "-o", str(fresh)])
    fresh.replace(product)


def constants() -> list[str]:
    """Names in constants.txt; the compiler supplies their values."""
    lines = (HERE / "constants.txt").read_text().splitlines()
    return [word for line in lines for word in line.split("#")[0].split()]


def build_extension() -> None:
    names = constants()
    ffi = cffi.FFI()
    declarations = (HERE / "api.h").read_text() + (HERE / "plan.h").read_text()
    ffi.cdef(declarations + "".join(f"#define {name} ...\n" for name in names))
    ffi.set_source(
        "kernelbox.native._native",
        '#include "kb.h"\n#include "plan_format.h"\n#include "constants.h"\n',
        py_limited_api=True,
    )
    include = [f"-I{HERE}", f"-I{sysconfig.get_paths()['include']}"]
    with tempfile.TemporaryDirectory() as folder:
        generated = Path(folder, "_native.c")
        ffi.emit_c_code(str(generated))
        objects: list[str] = []
        for source in [generated, *sorted(HERE.glob("*.c")), *sorted(HERE.glob("layers/*.c"))]:
            product = Path(folder, f"{source.stem}.{len(objects)}.o")
            warnings = [] if source == generated else WARNINGS
            options = [*COMMON, *warnings, "-fPIC", *defines(), "-DPy_LIMITED_API=0x030B0000", *include]
            run([*compiler(), *options, "-c", str(source), "-o", str(product)])
            objects.append(str(product))
        link([*compiler(), "-shared", *objects, "-ldl"], EXTENSION)


def build_monitor(product: Path = MONITOR, *, sanitize: bool = False) -> None:
    sources = [str(source) for source in sorted((HERE / "monitor").glob("*.c"))]
    extra = ["-static", "-ffunction-sections", "-Wl,--gc-sections"]
    if sanitize:
        extra = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
        sources += [str(source) for source in sorted((HERE / "sanitize").glob("*.c"))]
    link([*compiler(), *COMMON, *WARNINGS, *extra, *defines(), f"-I{HERE}", *sources], product)


def build_init() -> None:
    """Small, for it is in every container that asks for it; it has to run on any image, so it is static."""
    link([*compiler(), *COMMON, *WARNINGS, "-static", "-Wl,--gc-sections", str(HERE / "init" / "init.c")], INIT)


def build(*, sanitize: bool = False) -> None:
    build_extension()
    build_monitor()
    build_init()
    if sanitize:
        build_monitor(SANITIZED_MONITOR, sanitize=True)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script in an environment without hatchling
    pass
else:

    class NativeBuildHook(BuildHookInterface[Any]):
        """Builds before the wheel is packed; the wheel then fits any Python from 3.11 on of this platform."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            build()
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"


if __name__ == "__main__":
    build(sanitize="--sanitize" in sys.argv[1:])
