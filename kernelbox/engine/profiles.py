"""The strict profiles: many options in one word.

`lab` is for exercises on a shared machine, `grade` for running strangers' work that must not write, fetch or ask for
more. Limits may be set otherwise beside a profile; what isolates may not be weakened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen


@frozen
class Profile:
    """`options` are values where none was given; `cpus` and `memory` (bytes) are cut to what the machine has."""

    options: Mapping[str, object] = field(default_factory=dict)
    cap_drop_all: bool = False
    read_only: bool = False
    cpus: float = 2.0
    memory: int = 1 << 30


PROFILES: dict[str, Profile] = {
    "lab": Profile({"pids_limit": 256}),
    "grade": Profile({"pids_limit": 256, "tmpfs": "/tmp:size=64m,mode=1777"}, cap_drop_all=True, read_only=True),
}

_WEAKER = {
    "privileged": (True,),
    "network": ("host", "pasta", "slirp4netns"),
    "userns": ("host",),
    "pid": ("host",),
    "ipc": ("host",),
}


def check(name: str, values: Mapping[str, object]) -> None:
    """Refuses options that take back what the profile promises. Raises InvalidOption."""
    for option, weaker in _WEAKER.items():
        if values.get(option) in weaker:
            raise InvalidOption(f"{option}={values[option]!r} contradicts the profile {name!r}")
    if PROFILES[name].cap_drop_all and values.get("cap_add"):
        raise InvalidOption(f"cap_add contradicts the profile {name!r}, which drops all capabilities")
