"""Options about the life of a container that is kept: its restart policy, its log, how it is stopped."""

from __future__ import annotations

from collections.abc import Mapping

from kernelbox.engine import option_values as values
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.native import lib
from kernelbox.oci.units import parse_size
from kernelbox.oci.value import frozen

__all__ = ["LOG_DRIVERS", "RestartPolicy", "log_driver", "log_opts", "restart_policy"]

LOG_DRIVERS = ("json-file", "none")
_RESTARTS = {
    "no": lib.KB_NEVER,
    "on-failure": lib.KB_ON_FAILURE,
    "always": lib.KB_ALWAYS,
    "unless-stopped": lib.KB_ALWAYS,
}
_MOST_RESTARTS = (1 << 31) - 1
_MOST_FILES = 1000


@frozen
class RestartPolicy:
    """`name` is Docker's; `most` is how often "on-failure" tries, 0 for any number of times."""

    name: str = "no"
    most: int = 0

    @property
    def kind(self) -> int:
        """The monitor's KB_NEVER, KB_ON_FAILURE or KB_ALWAYS."""
        return int(_RESTARTS[self.name])


def restart_policy(value: object) -> RestartPolicy:
    """ "always", "on-failure:3", or docker-py's {"Name": ..., "MaximumRetryCount": ...}. Raises InvalidOption."""
    if isinstance(value, RestartPolicy):
        return value
    if isinstance(value, Mapping):
        value = f"{value.get('Name') or 'no'}:{value.get('MaximumRetryCount') or ''}".rstrip(":")
    name, colon, most = str(value).partition(":")
    if name not in _RESTARTS:
        raise InvalidOption(f"{str(value)[:60]!r} is no restart policy", hint=f"there are: {', '.join(_RESTARTS)}")
    if not colon:
        return RestartPolicy(name)
    if name != "on-failure":
        raise InvalidOption(f"a number of restarts goes with on-failure only, not with {name}")
    if not most.isdigit() or int(most) > _MOST_RESTARTS:
        raise InvalidOption(f"on-failure:N needs a number, not {most[:20]!r}")
    return RestartPolicy(name, int(most))


def log_driver(value: object) -> str:
    """Raises InvalidOption, NotSupported."""
    name = values.text(value)
    if name not in LOG_DRIVERS:
        raise NotSupported(f"there is no log driver {name!r}", hint=f"there are: {', '.join(LOG_DRIVERS)}")
    return name


def log_opts(value: object) -> dict[str, str]:
    """`max-size` and `max-file`, as "max-size=10m" or in a mapping. Raises InvalidOption."""
    given = values.pairs(value)
    for name, each in given.items():
        if name == "max-size":
            if parse_size(each) < 1:
                raise InvalidOption("max-size must be positive")
        elif name == "max-file":
            if not each.isdigit() or not 1 <= int(each) <= _MOST_FILES:
                raise InvalidOption(f"max-file must be a number from 1 to {_MOST_FILES}, not {each!r}")
        else:
            raise InvalidOption(f"there is no log option {name!r}", hint="there are: max-size, max-file")
    if "max-file" in given and given["max-file"] != "1" and "max-size" not in given:
        raise InvalidOption("max-file is of no use without max-size")
    return dict(given)
