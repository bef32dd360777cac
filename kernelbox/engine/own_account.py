"""`--userns keep-id` of an ordinary user: the ids of the container, and its /etc/passwd and /etc/group with an entry
for the user it keeps, as podman has them."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable

from kernelbox.engine import spec, users
from kernelbox.engine.image import Image
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Mount
from kernelbox.runtime import rootless as rootless_ids
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import KEEP_ID
from kernelbox.runtime.steps.ids import MakeUserNamespace

__all__ = ["ACCOUNT_PATHS", "account_files", "accounts_of", "id_map", "keeps_id", "namespace_plan"]

ACCOUNT_PATHS = ("/etc/passwd", "/etc/group")

ONE_ID_NOTE = "without subordinate ids there is no root in the container: programs run as its one user, setuid or not"


def keeps_id(options: RunOptions, image: Image, *, rootless: bool) -> bool:
    """Whether the container has the user namespace in which its user's id is the ordinary user's own."""
    return rootless and image.bundle is None and options.userns == "keep-id"


def id_map() -> spec.IdMap:
    """In the user namespace of an ordinary user's monitor they are 0 themselves, and subordinate ids 1 and on."""
    uids, gids = rootless_ids.id_counts()
    return spec.IdMap(1, uids - 1, gid_count=gids - 1, own=0)


def namespace_plan(machine: Machine) -> Plan:
    """Makes the user namespace, in the monitor, as the descriptor KEEP_ID; all containers that keep ids are in it."""
    uids, gids = spec.keep_id_mappings(id_map(), machine)
    return Plan((MakeUserNamespace(uids, gids, KEEP_ID),))


def accounts_of(image: Image, options: RunOptions, machine: Machine) -> tuple[bytes, bytes]:
    """The image's /etc/passwd and /etc/group, with entries for the ids of the caller where there are none.

    The home is the caller's own where that is mounted, else the working directory (podman's rule). Raises
    InvalidOption."""
    passwd, group = image.read_accounts()
    if not users.has_id(passwd, machine.uid, 7):
        name = _own_name(machine.uid, passwd, lambda uid: pwd.getpwuid(uid).pw_name)
        home = _home(machine.uid, image.config, options)
        passwd = _line(passwd, f"{name}:*:{machine.uid}:{machine.gid}:{name}:{home}:/bin/sh")
    if not users.has_id(group, machine.gid, 4):
        name = _own_name(machine.gid, group, lambda gid: grp.getgrgid(gid).gr_name)
        group = _line(group, f"{name}:*:{machine.gid}:")
    return passwd, group


def account_files(accounts: tuple[bytes, bytes]) -> dict[str, bytes]:
    """What the container finds at which path."""
    return dict(zip(ACCOUNT_PATHS, accounts, strict=True))


def _line(content: bytes, line: str) -> bytes:
    between = b"\n" if content and not content.endswith(b"\n") else b""
    return content + between + line.encode("utf-8", "surrogateescape") + b"\n"


def _own_name(number: int, content: bytes, name_of: Callable[[int], str]) -> str:
    """The number itself for an id without an entry on the machine, and where somebody else has the name."""
    try:
        name = name_of(number)
    except KeyError:
        return str(number)
    return str(number) if _is_taken(name, content) else name


def _is_taken(name: str, content: bytes) -> bool:
    return (b"\n" + content).find(b"\n" + name.encode("utf-8", "surrogateescape") + b":") >= 0


def _home(uid: int, image: ImageConfig, options: RunOptions) -> str:
    mounts: tuple[Mount, ...] = (*options.volumes, *options.mounts)
    try:
        own = pwd.getpwuid(uid).pw_dir
    except KeyError:
        own = ""
    home = own if any(mount.destination == own for mount in mounts) else options.workdir or image.working_dir or "/"
    return home if home.startswith("/") and ":" not in home and home.isprintable() else "/"
