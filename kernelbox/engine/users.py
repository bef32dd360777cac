"""`--user` to numbers, by the container's own /etc/passwd and /etc/group.

Those files come from an image, so from strangers, and mistakes here have made containers run as root: a number is never
looked up as a name, a number that does not fit is an error and never a name, sizes are bounded, the caller reads the
files beneath the container's root without following links out of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from kernelbox.errors import InvalidOption, NotFound
from kernelbox.oci.value import frozen

MAX_FILE_BYTES = 8 << 20
"""What the caller should read at most (plus one byte, to notice more) of /etc/passwd and /etc/group."""
MAX_ID = (1 << 32) - 2
"""The last id; (uid_t) -1 means "unchanged" to chown(2) and setresuid(2)."""
MAX_GROUPS = 65_536
"""NGROUPS_MAX, setgroups(2)."""


@frozen
class ResolvedUser:
    """Who the command runs as, in the container's numbers; `groups` are the supplementary ones."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"


ROOT = ResolvedUser(0, 0, (), "root", "/root")


def resolve_user(text: str, passwd: bytes, group: bytes, group_add: Iterable[str] = ()) -> ResolvedUser:
    """`text` is "", USER, USER:GROUP, UID or UID:GID; "" is root. Raises InvalidOption (also NotFound's sentence).

    As in Docker: without a group it is the user's own from passwd (0 for a number without an entry), with the groups
    that list the user; with a group it is that one alone. `group_add` comes on top."""
    _check_file(passwd, "/etc/passwd")
    _check_file(group, "/etc/group")
    user, colon, wanted = text.partition(":")
    if (colon and not wanted) or any(ord(letter) < 32 or letter in "\x7f:" for letter in user + wanted):
        raise InvalidOption(f"user: {text[:60]!r} is not USER or USER:GROUP")
    uid, gid, name, home = _user(user or "0", passwd)
    groups: tuple[int, ...] = ()
    if wanted:
        gid = _group(wanted, group)
    elif name:
        groups = tuple(_groups_listing(_bytes(name), group))
    extra = [_group(each, group) for each in group_add]
    every = tuple(dict.fromkeys((*groups, *extra)))
    if len(every) > MAX_GROUPS:
        raise InvalidOption(f"user: {text[:60]!r} would be in {len(every)} groups; the kernel allows {MAX_GROUPS}")
    return ResolvedUser(uid, gid, every, name, home)


def has_id(content: bytes, number: int, fields: int) -> bool:
    """Whether a file of this many fields a line, /etc/passwd or /etc/group, has an entry with this id."""
    wanted = str(number).encode()
    return any(entry[2].isdigit() and int(entry[2][:20]) == number for entry in _entries(content, wanted, fields))


def _check_file(content: bytes, path: str) -> None:
    if len(content) > MAX_FILE_BYTES:
        raise InvalidOption(f"user: {path} of the image is larger than {MAX_FILE_BYTES >> 20} MiB")


def _user(user: str, passwd: bytes) -> tuple[int, int, str, str]:
    number = _number(user, "user")
    wanted = str(number).encode() if number is not None else _bytes(user)
    for fields in _entries(passwd, wanted, 7):
        if number is None and fields[0] == wanted:
            return _entry_id(fields[2], "passwd"), _entry_id(fields[3], "passwd"), user, _home(fields[5])
        if number is not None and fields[2].isdigit() and len(fields[2]) < 20 and int(fields[2]) == number:
            return number, _entry_id(fields[3], "passwd"), _name(fields[0]), _home(fields[5])
    if number is None:
        raise UserNotFound(
            f"user: the container has no user {user[:60]!r}",
            hint="its /etc/passwd has no such name; a number needs no entry",
        )
    return number, 0, "", "/"


def _group(wanted: str, group: bytes) -> int:
    number = _number(wanted, "group")
    if number is not None:
        return number
    if not wanted:
        raise InvalidOption("user: the name of a group is empty")
    name = _bytes(wanted)
    for fields in _entries(group, name, 4):
        if fields[0] == name:
            return _entry_id(fields[2], "group")
    raise UserNotFound(
        f"user: the container has no group {wanted[:60]!r}",
        hint="its /etc/group has no such name; a number needs no entry",
    )


def _groups_listing(name: bytes, group: bytes) -> Iterator[int]:
    for fields in _entries(group, name, 4):
        if b"," + name + b"," in b"," + fields[3] + b",":
            yield _entry_id(fields[2], "group")


def _entries(content: bytes, wanted: bytes, fields: int) -> Iterator[list[bytes]]:
    """The well-formed lines that contain `wanted` anywhere, in order; by `find`, so that a million lines are quick."""
    position = content.find(wanted)
    while position >= 0:
        start = content.rfind(b"\n", 0, position) + 1
        end = content.find(b"\n", position)
        end = len(content) if end < 0 else end
        entry = content[start:end].split(b":", fields)  # no more, or a line of colons would fill the memory
        if len(entry) >= fields and b"\0" not in content[start:end]:
            yield entry
        position = content.find(wanted, end)


def _number(text: str, what: str) -> int | None:
    """The id when `text` is all digits, None when it is a name. Too large a number is an error, never a name."""
    if not (text.isascii() and text.isdecimal()):
        return None
    number = int(text) if len(text) <= 20 else MAX_ID + 1
    if number > MAX_ID:
        raise InvalidOption(f"user: the {what} id {text[:60]} is larger than {MAX_ID}")
    return number


def _entry_id(field: bytes, file: str) -> int:
    text = field.decode("latin-1")
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) > MAX_ID:
        raise InvalidOption(f"user: the container's /etc/{file} has an id that is none: {text[:60]!r}")
    return int(text)


def _bytes(name: str) -> bytes:
    """As the caller typed it, which need not be UTF-8."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        raise InvalidOption(f"user: {name[:60]!r} cannot be written in this locale") from None


def _name(field: bytes) -> str:
    return field.decode("utf-8", "replace")


def _home(field: bytes) -> str:
    """A home that is absolute and plain; it becomes HOME, and only that."""
    home = field.decode("utf-8", "replace")
    return home if home.startswith("/") and home.isprintable() else "/"


class UserNotFound(InvalidOption, NotFound):
    """A user or group that the container does not have."""
