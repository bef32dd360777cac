"""`kernelbox pull` and `push`, and what is shown of it: a line for each layer, or on a terminal how far each one is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO

from kernelbox.cli.caller import engine
from kernelbox.cli.verbs import Given
from kernelbox.engine.image_moves import UNPACKING, Fetched, tags_of
from kernelbox.errors import ImageNotFound
from kernelbox.oci import reference
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.progress import COMPLETE, DOWNLOADING, EXISTS, MOUNTED, UPLOADING, Listener, Progress

__all__ = ["pull", "push", "showing", "showing_missing"]

_PULLED: Mapping[str, str] = {EXISTS: "Already exists", COMPLETE: "Pull complete"}
_PUSHED: Mapping[str, str] = {EXISTS: "Layer already exists", COMPLETE: "Pushed", MOUNTED: "Mounted from"}
_MOVING = {DOWNLOADING: "Downloading", UPLOADING: "Pushing", UNPACKING: "Extracting"}


def pull(given: Given) -> int:
    """The last line is the whole name, whatever else is shown."""
    name, quiet = given.words[0], given.flag("quiet")
    names = [name]
    if given.flag("all_tags"):
        with Client() as client:
            names = [str(each) for each in tags_of(name, client)]
    with engine() as box:
        for each in names:
            wanted = reference.parse(each)
            if not quiet:
                _say_what_is_pulled(wanted, each)
            with contextlib.nullcontext() if quiet else showing(sys.stdout, _PULLED) as listener:
                done = box.images.fetch(
                    each, platform=given.text("platform"), verify=given.text("verify") or None, on_progress=listener
                )
            if not quiet:
                _say_what_came(done)
            sys.stdout.write(f"{wanted}\n")
            sys.stdout.flush()
    return 0


def _say_what_is_pulled(wanted: Reference, typed: str) -> None:
    if not wanted.digest and ":" not in typed.rpartition("/")[2]:
        sys.stdout.write(f"Using default tag: {wanted.tag}\n")
    sys.stdout.write(f"{wanted.asked}: Pulling from {wanted.repository}\n")
    sys.stdout.flush()


def _say_what_came(done: Fetched) -> None:
    news = "Downloaded newer image for" if done.newer else "Image is up to date for"
    sys.stdout.write(f"Digest: {done.digest}\nStatus: {news} {done.reference.familiar}\n")


def push(given: Given) -> int:
    name, key = given.words[0], given.text("sign") or None
    with engine() as box:
        wanted = reference.parse(name)
        names = [wanted]
        if given.flag("all_tags"):
            every = [reference.parse(tag) for image in box.images.list() for tag in image.tags]
            names = [each for each in every if each.name == wanted.name]
            if not names:
                raise ImageNotFound(f"no image is called {wanted.familiar_name}", hint="kernelbox images lists them")
        for each in names:
            if given.flag("quiet"):
                box.images.push(str(each), sign=key)
                sys.stdout.write(f"{each}\n")
                continue
            sys.stdout.write(f"The push refers to repository [{each.name}]\n")
            sys.stdout.flush()
            with showing(sys.stdout, _PUSHED) as listener:
                done = box.images.push(str(each), sign=key, on_progress=listener)
            sys.stdout.write(f"{each.tag}: digest: {done.digest} size: {done.size}\n")
    return 0


def showing_missing(name: str) -> AbstractContextManager[Listener]:
    """What is shown on standard error while an image is fetched for a container."""
    wanted = reference.parse(name)
    sys.stderr.write(f"Unable to find image '{wanted.familiar}' locally\n")
    sys.stderr.write(f"{wanted.asked}: Pulling from {wanted.repository}\n")
    sys.stderr.flush()
    return showing(sys.stderr, _PULLED)


@contextlib.contextmanager
def showing(output: IO[str], words: Mapping[str, str]) -> Iterator[Listener]:
    """A listener that shows what it hears on `output`: how far each layer is on a terminal, else a line when one is
    through. `words` say of each status that is an end what that is."""
    if output.isatty():
        with _bars(output, words) as listener:
            yield listener
    else:
        yield _lines(output, words)


def _lines(output: IO[str], words: Mapping[str, str]) -> Listener:
    told: set[object] = set()

    def listen(progress: Progress) -> None:
        if progress.status in words and progress.digest not in told:
            told.add(progress.digest)
            output.write(f"{progress.digest.short}: {_ended(progress, words)}\n")
            output.flush()

    return listen


def _ended(progress: Progress, words: Mapping[str, str]) -> str:
    return f"{words[progress.status]} {progress.detail}".rstrip()


@contextlib.contextmanager
def _bars(output: IO[str], words: Mapping[str, str]) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn())
    tasks: dict[object, TaskID] = {}
    with Bars(*columns, console=Console(file=output), transient=False) as bars:

        def listen(progress: Progress) -> None:
            if progress.digest not in tasks:
                tasks[progress.digest] = bars.add_task("", total=progress.total)
            ended = progress.status in words
            word = _ended(progress, words) if ended else _MOVING.get(progress.status, "Waiting")
            done = progress.total if ended else progress.current
            bars.update(tasks[progress.digest], description=f"{progress.digest.short}: {word:<22}", completed=done)

        yield listen
