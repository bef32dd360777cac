"""Images in flight: a client of OCI registries, which pulls, pushes and lists, and a registry of our own.

`kernelbox.registry` is this package, and the function that starts a registry in this program: whichever of the two
Python finds first under that name, `with kernelbox.registry() as reg:` works.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelbox.registry.server.serving import Running


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> AbstractContextManager[Running]:
        """See `kernelbox.registry.server.serving.registry`."""
        from kernelbox.registry.server.serving import registry

        return registry(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
