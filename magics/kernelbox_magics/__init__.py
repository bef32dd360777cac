"""The IPython extension behind `%load_ext kernelbox`: containers in notebook cells."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell

from .magic import KernelBox

__all__ = ["KernelBox", "load_ipython_extension", "unload_ipython_extension"]

_MAGIC = "container"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics, their settings and their completion. Called by `%load_ext kernelbox`."""
    magics = KernelBox(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take back all that loading registered, and close the engine. Called by `%unload_ext` and `%reload_ext`."""
    manager = shell.magics_manager
    magics = manager.registry.pop(KernelBox.__name__)
    for kind in ("line", "cell"):
        manager.magics[kind].pop(_MAGIC)
    shell.configurables.remove(magics)
    shell.Completer.custom_matchers.remove(magics.matcher)
    magics.close()
