"""What a container cannot have because this process does not have it: capabilities, where it has no user namespace.

In a user namespace of its own a container's root has them all, though only over what is its own (user_namespaces(7)).
Without one they are the machine's, and a machine that is a container or a locked-down guest keeps some back.
"""

from __future__ import annotations

import dataclasses

from kernelbox.engine.options import RunOptions
from kernelbox.errors import NotSupported
from kernelbox.linux import capabilities
from kernelbox.oci.runtime_spec import Capabilities, Config

__all__ = ["within_own_capabilities"]


def within_own_capabilities(config: Config, options: RunOptions) -> tuple[Config, tuple[str, ...]]:
    """The configuration with no more than this process's capabilities, and a sentence about those that are left out.

    Raises NotSupported for one that was asked for by name."""
    process = config.process
    if process is None or process.capabilities is None:
        return config, ()
    missing = capabilities.parse(process.capabilities.bounding) & ~capabilities.current().permitted
    if not missing:
        return config, ()
    names = capabilities.names(missing)
    asked = [name for name in options.cap_add if name in names]
    if asked:
        raise NotSupported(
            f"cap_add: this machine's root itself does not have {', '.join(asked)}",
            hint="userns='auto' gives the container its own",
        )
    sets = Capabilities(
        **{
            field.name: tuple(name for name in getattr(process.capabilities, field.name) if name not in names)
            for field in dataclasses.fields(Capabilities)
        }
    )
    sentence = f"without a user namespace the container has no more than this machine's root, so not {', '.join(names)}"
    return dataclasses.replace(config, process=dataclasses.replace(process, capabilities=sets)), (sentence,)
