"""`kernelbox cp`: files out of a container, and into one."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from kernelbox.cli import copy_rules as rules
from kernelbox.cli.caller import engine, note
from kernelbox.cli.copy_rules import LeftOut, Place, Source
from kernelbox.cli.export import refuse_terminal, write_all
from kernelbox.cli.tables import human_size
from kernelbox.cli.verbs import Given
from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption, KernelBoxError, NotFound
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import tar_in, tar_out
from kernelbox.store.tar_entries import Entry
from kernelbox.store.tar_rewrite import as_file, rewrite

__all__ = ["cp"]

_SHOWN = 5  # of what was left out
_USAGE = "kernelbox cp CONTAINER:PATH PATH, or kernelbox cp PATH CONTAINER:PATH"


def cp(given: Given) -> int:
    (one, source), (other, target) = map(rules.split_word, given.words)
    if one and other:
        raise InvalidOption("files are not copied from one container to another", hint="copy them to a folder first")
    if not one and not other:
        raise InvalidOption("one side has to be a container", hint=_USAGE)
    with engine() as box:
        if one:
            return _out(box.containers.get(one), source, target, given)
        return _into(box.containers.get(other), source, target, given)


class _Counted:
    """Pieces that pass, and their bytes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


# Out of a container


def _out(container: Container, path: str, target: str, given: Given) -> int:
    name = rules.last_name(path)
    if given.flag("follow_link"):
        path = _followed(container, path)
    if target == "-":
        refuse_terminal("redirect the output")
    pieces, found = container.get_archive(path)
    with contextlib.closing(pieces):
        if target == "-":
            write_all(1, pieces)
            return 0
        return _unpack(pieces, path, name, found.is_folder, target, given)


def _unpack(pieces: Iterable[bytes], path: str, name: str, is_folder: bool, target: str, given: Given) -> int:
    base = rules.last_name(path) if path.strip("/") else ""
    source = Source(base, name, is_folder)
    place = _place_on_machine(target)
    folder, called = rules.destination(source, place)
    rename, left_out = rules.renamed(source, called), LeftOut()
    top = 1 if is_folder and called != "." else 0

    def change(entry: Entry) -> Entry | None:
        return rules.tamed(rename(entry), left_out, top)

    counted = _Counted(pieces)
    with Descriptor(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
        unpacking = as_file(rewrite(counted, change))
        tar_in.unpack(root.fileno(), "/", unpacking, no_overwrite_dir_non_dir=True, devices=False)
    _say_copied(counted.size, target, given)
    return _say_left_out(left_out)


def _followed(container: Container, path: str) -> str:
    """Where a link at its end leads."""
    found = container.stat(path)
    return found.link_target if found.is_link else path


def _place_on_machine(target: str) -> Place:
    """Links are followed: it is our own folder. Raises NotFound where there is not even a folder to make it in."""
    whole = rules.whole_path(target)
    real = os.path.realpath(whole)
    if os.path.isdir(real):
        return Place(real, True, True)
    ending = rules.ending(whole)
    if not os.path.isdir(os.path.dirname(real)):
        raise NotFound(f"no such folder: {os.path.dirname(real)}", hint="make it first")
    try:
        kind = os.stat(real).st_mode
    except FileNotFoundError:
        return Place(f"{real}{ending}", False, False)
    if ending:
        raise InvalidOption(f"not a folder: {real}")
    if not stat.S_ISREG(kind):
        raise InvalidOption(f"a copy cannot take the place of {real}", hint="a folder or a file can be copied to")
    return Place(real, True, False)


def _say_left_out(left_out: LeftOut) -> int:
    """Returns the exit code: what was asked for was not done in full."""
    for sentence in left_out.sentences[:_SHOWN]:
        note(f"left out {sentence}")
    if more := len(left_out.sentences[_SHOWN:]):
        note(f"left out {more} more")
    if left_out.sentences:
        note("all else was copied", "kernelbox cp CONTAINER:PATH - gives everything, in a tar archive")
    return 1 if left_out.sentences else 0


# Into one


def _into(container: Container, path: str, target: str, given: Given) -> int:
    place = _place_inside(container, target)
    if path == "-":
        if not place.is_folder:
            raise InvalidOption(f"{container.name}:{target} is no folder", hint="an archive is unpacked into a folder")
        container.put_archive(place.path, sys.stdin.buffer, copy_owner=given.flag("archive"), keep_kinds=True)
        return 0
    name, parent, base = _on_machine(path, follow=given.flag("follow_link"))
    source = Source(base, name, os.path.isdir(os.path.join(parent, base)) and not _is_link(parent, base))
    folder, called = rules.destination(source, place)
    with Descriptor(os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
        counted = _Counted(rewrite(tar_out.pack(root.fileno(), f"/{base}"), rules.renamed(source, called)))
        with _read_elsewhere(counted) as archive:
            container.put_archive(folder, archive, copy_owner=given.flag("archive"), keep_kinds=True)
    _say_copied(counted.size, f"{container.name}:{target}", given)
    return 0


@contextlib.contextmanager
def _read_elsewhere(pieces: Iterable[bytes]) -> Iterator[BinaryIO]:
    """The pieces through a pipe, made in a thread of their own: they are read with our rights, while who unpacks them
    acts as the container's root. Raises what stopped them."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            write_all(writing, iter(pieces))
        except BrokenPipeError:
            return  # who unpacks them has said why
        except BaseException as error:
            failures.append(error)
        finally:
            os.close(writing)

    thread = threading.Thread(target=work, name="kernelbox archive", daemon=True)
    with open(reading, "rb") as archive:
        thread.start()
        try:
            yield archive
        except KernelBoxError:
            archive.close()
            thread.join()
            if not failures:
                raise
    thread.join()
    if failures:
        raise failures[0]


def _is_link(parent: str, base: str) -> bool:
    return base != "." and os.path.islink(os.path.join(parent, base))


def _on_machine(path: str, *, follow: bool) -> tuple[str, str, str]:
    """What a copy is called, and what is copied: a folder without links in its path, and a name in it.

    Raises NotFound, InvalidOption."""
    whole = rules.whole_path(path)
    name = rules.last_name(whole)
    if name == ".":
        parent, base = os.path.realpath(whole), "."
    elif follow or whole.endswith("/"):
        parent, base = os.path.split(os.path.realpath(whole))
    else:
        parent, base = os.path.realpath(os.path.dirname(whole)), name
    if not os.path.lexists(os.path.join(parent, base)):
        raise NotFound(f"no such file or folder: {path}")
    if whole.endswith(("/", "/.")) and not os.path.isdir(os.path.join(parent, base)):
        raise InvalidOption(f"not a folder: {path}")
    return name, parent, base


def _place_inside(container: Container, path: str) -> Place:
    """A link at its end is followed, within the container."""
    try:
        found = container.stat(path)
        if found.is_link:
            path = found.link_target
            found = container.stat(path)
    except NotFound:
        return Place(path if path.startswith("/") else f"/{path}", False, False)
    if found.is_device:
        raise InvalidOption(f"{container.name}:{path} is a device", hint="a folder or a file can be copied to")
    return Place(path if path.startswith("/") else f"/{path}", True, found.is_folder)


def _say_copied(size: int, target: str, given: Given) -> None:
    quiet = given.values.get("quiet", not os.isatty(1))
    if not quiet:
        sys.stderr.write(f"Successfully copied {human_size(size)} to {target}\n")
