"""Containers in notebook cells: `Engine` runs them, `%load_ext kernelbox` brings them into IPython.

    >>> import kernelbox as kb
    >>> box = kb.Engine()
    >>> run = box.run("host", ["python3", "-c", "print(6*7)"], cpus=1, memory="256m")
    >>> run.stdout, run.usage.memory_peak_bytes

`kernelbox.last` is the newest result of this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelbox.engine.engine import Engine
    from kernelbox.engine.result import RunResult
    from kernelbox.registry.server.serving import registry

__all__ = [
    "Engine",
    "RunResult",
    "__version__",
    "last",
    "load_ipython_extension",
    "registry",
    "unload_ipython_extension",
]

__version__ = "0.1.0"

_LAZY = {"Engine": "kernelbox.engine.engine", "RunResult": "kernelbox.engine.result"}

last: RunResult | None


def __getattr__(name: str) -> Any:
    import importlib

    if name == "last":
        from kernelbox.engine import history

        return history.last
    if name == "registry":
        return importlib.import_module("kernelbox.registry")  # which can be called
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'kernelbox' has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext kernelbox`."""
    from kernelbox_magics import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext kernelbox`."""
    from kernelbox_magics import unload_ipython_extension as unload

    unload(shell)
