"""The one door to C: `ffi`, `lib`, and `check`, which turns a negative result into an exception.

Only this package imports the compiled module. `lib` holds the functions of api.h, the numbers of the plan format and
the kernel's constants (from the compiler, never typed by hand).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from kernelbox.errors import KernelError
from kernelbox.native._native import ffi, lib

_HERE = Path(__file__).parent

__all__ = ["INIT_PROGRAM", "MONITOR_PROGRAM", "check", "cstring", "ffi", "lib"]

MONITOR_PROGRAM = _HERE / "kb-monitor"
INIT_PROGRAM = _HERE / "kb-init"
"""The first process of a container that asks for one."""


def _check_build() -> None:
    """The headers lie beside the compiled module: what was built from others would misread memory."""
    texts = [_HERE / name for name in ("api.h", "plan.h", "constants.txt")]
    if not all(text.exists() for text in texts):
        return
    wanted = hashlib.sha256(b"".join(text.read_bytes() for text in texts)).hexdigest()[:12]
    built = ffi.string(lib.kb_version()).decode()
    if not built.endswith(wanted):
        raise ImportError(f"kernelbox's C part ({built}) was built from other headers: run kernelbox/native/build.py")


_check_build()


def check(result: int, operation: str, thing: object = "", *, hint: str | None = None) -> int:
    """Return `result`, or raise KernelError ("could not `operation` `thing`: ...") where it is a negative errno."""
    if result < 0:
        raise KernelError(-result, operation, str(thing), hint=hint)
    return result


def cstring(text: str | bytes | None) -> object:
    """What a `const char *` parameter takes: bytes without NUL, or NULL for None."""
    if text is None:
        return ffi.NULL
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
