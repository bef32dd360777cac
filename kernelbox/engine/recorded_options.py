"""The run options of a recorded container, in their plain form, without looking at any file.

`env_file` and `security_opt` name files which may have changed or gone since the container was made, so these two stay
as they were written: what they came to stands in the container's config.json.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernelbox.engine.option_values import texts
from kernelbox.engine.options import BY_NAME, RunOptions
from kernelbox.oci.runtime_spec import Mount
from kernelbox.store.container_record import ContainerRecord

__all__ = ["mounts_of", "networks_of", "recorded_options", "recorded_texts"]

_OF_FILES = ("env_file", "security_opt")


def recorded_options(record: ContainerRecord, names: Iterable[str] = BY_NAME) -> RunOptions:
    """The options called `names`; others keep their defaults. What is no run option is left out.

    Raises InvalidOption or NotSupported where a value cannot be meant."""
    wanted = [name for name in names if name in record.options and name in BY_NAME and name not in _OF_FILES]
    return RunOptions.make(**{name: record.options[name] for name in wanted})


def recorded_texts(record: ContainerRecord, name: str) -> tuple[str, ...]:
    """An option of one text or several, as it was written."""
    value = record.options.get(name)
    return () if value is None else texts(value)


def mounts_of(record: ContainerRecord) -> tuple[Mount, ...]:
    """The folders and files that somebody asked for (`-v`, `--mount`); not the engine's own, and not `--tmpfs`."""
    options = recorded_options(record, ("volumes", "mounts"))
    return (*options.volumes, *options.mounts)


def networks_of(record: ContainerRecord) -> tuple[str, ...]:
    """The names of its networks."""
    return (recorded_options(record, ("network",)).network,)
