"""Which names an image loses when one of them is removed, or its id, and whether it goes with them. Docker's rules: a
name alone is only untagged, the last one takes the image along, and what containers have stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from kernelbox.errors import Conflict
from kernelbox.oci.value import frozen
from kernelbox.store.container_record import LIVING
from kernelbox.store.image_rows import ImageRecord

__all__ = ["Removal", "Removed", "plan_removal"]


@frozen
class Removal:
    """The names that an image is to lose, and whether it is `gone` then."""

    names: tuple[str, ...]
    gone: bool


@frozen
class Removed:
    """What was done: the names that images have lost, the ids of images that have gone, the chain ids of their layers
    that nobody else had, and the bytes that all of it took."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    size: int = 0


def plan_removal(
    image: ImageRecord, name: str, containers: Sequence[tuple[str, str]], *, held: bool, force: bool
) -> Removal:
    """For one of its names, or for the image itself where `name` is empty. `containers` are the id and status of those
    that have it, `held`: one runs that nothing is written down of. Raises Conflict."""
    running = held or any(status in LIVING for _, status in containers)
    if name:
        return _of_name(image, name, containers, running=running, held=held, force=force)
    what = f"the image {image.short_id}"
    if running:
        raise Conflict(f"{what} cannot be removed, not even by force: {_users(containers, running=True)}")
    if not force and not _is_single(image.names):
        raise Conflict(
            f"{what} has names in several places: {', '.join(image.names)}",
            hint="remove its names, or force it: kernelbox rmi -f",
        )
    if not force and containers:
        raise Conflict(
            f"{what} must be removed by force: {_users(containers, running=False)}", hint=_way_out(containers)
        )
    return Removal(image.names, gone=True)


def _of_name(
    image: ImageRecord, name: str, containers: Sequence[tuple[str, str]], *, running: bool, held: bool, force: bool
) -> Removal:
    used = bool(containers) or held
    if not force and used and _is_single(image.names):
        raise Conflict(
            f"the name {name} must be removed by force: {_users(containers, running=running)}",
            hint=_way_out(containers),
        )
    left = [each for each in image.names if each != name]
    lost = [name]
    if "@" not in name:  # digests of a repository that has no tag of this image any more go with the last one
        same = [each for each in left if _repository(each) == _repository(name)]
        if all("@" in each for each in same):
            lost += same
    gone = len(lost) == len(image.names) and not running
    return Removal(tuple(lost), gone)


def _is_single(names: Sequence[str]) -> bool:
    """Whether all of them are one tag and the digests of its repository, or fewer than that."""
    tags = [name for name in names if "@" not in name]
    return len(tags) <= 1 and len({_repository(name) for name in names}) <= 1


def _repository(name: str) -> str:
    whole, at, _ = name.partition("@")
    return whole if at else whole.rpartition(":")[0]


def _users(containers: Sequence[tuple[str, str]], *, running: bool) -> str:
    for identity, status in containers:
        if (status in LIVING) is running:
            return f"the {'running' if running else 'stopped'} container {identity[:12]} has it"
    return "a running container has it"


def _way_out(containers: Sequence[tuple[str, str]]) -> str:
    some = " ".join(identity[:12] for identity, _ in containers[:5])
    return (
        f"remove its containers first (kernelbox rm {some}), or force it: kernelbox rmi -f" if some else "stop it first"
    )
