"""The folder of a kept container: an OCI bundle, its upper layer, its log, and what was noted at its start and end.

config.json      the OCI configuration of its last start         rootfs/     empty: its root is mounted inside alone
start.json       groups, counters and ids of its last start      upper/      what it has changed of its image
running          its first process, while that lives             work/       overlay's own
exit             how it ended last, as the monitor says it       log.json    what it wrote, with log.json.1 and so on
input, output, error     FIFOs of its streams                    lock        held by whoever starts or removes it
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernelbox.engine.beside import NOBODY, Beside
from kernelbox.engine.preparation import Prepared
from kernelbox.errors import Conflict, InvalidOption, StoreError, reason_of
from kernelbox.linux import cgroups
from kernelbox.native import lib
from kernelbox.oci import runtime_spec
from kernelbox.oci.runtime_spec import Config
from kernelbox.runtime.connection import Answer, parse_answer
from kernelbox.store.running import Running, read_running

__all__ = ["KeptFolder", "StartNotes"]

_EXIT = "exit"
_TRACE = "trace"


@dataclass(frozen=True, slots=True)
class StartNotes:
    """What a start has settled: the container's groups (without what was written to them), the keys of the counters in
    its exit record, the number of its range of ids (-1: none), limits and notes as in `RunResult.limits`, and whose
    namespaces it joined: they are its own also when those have ended or were removed. `options` are those of that
    start, which an update may have changed since; None in notes that do not have them."""

    groups: tuple[cgroups.Group, ...] = ()
    counters: tuple[str, ...] = ()
    id_range: int = -1
    limits: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beside: Beside = NOBODY
    options: Mapping[str, object] | None = None


class KeptFolder:
    """Reads and writes; whoever changes a container holds `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        return self.path / "log.json"

    def make(self) -> None:
        """Whole or not at all. Raises StoreError."""
        with self._explained():
            self.path.mkdir(mode=0o700)
            try:
                (self.path / "rootfs").mkdir(mode=0o755)
            except OSError:
                self.path.rmdir()
                raise

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else starts, stops or removes it meanwhile. Raises StoreError where the folder is not there."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"the folder of container {self.path.name[:12]} cannot be used: {error.strerror}",
                hint="remove the container: kernelbox rm -f",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write_start(self, prepared: Prepared, id_range: int, beside: Beside, options: Mapping[str, object]) -> None:
        """Before a start; what is left of the last one goes. Each file appears whole or not at all."""
        counters = [counter.key for counter in prepared.target.counters]
        groups = [[str(each.path), each.version, list(each.controllers)] for each in prepared.target.groups]
        limits = dict(prepared.limits.applied)
        notes = {"groups": groups, "counters": counters, "ids": id_range, "limits": limits, "beside": beside.to_json()}
        notes["options"] = dict(options)
        with self._explained():
            self._write("config.json", json.dumps(prepared.config.to_json(), indent=1).encode())
            self._write("start.json", json.dumps({**notes, "notes": prepared.limits.notes}).encode())
            for name in (_EXIT, _TRACE, "running"):
                (self.path / name).unlink(missing_ok=True)

    def write_trace(self, traced: bytes) -> None:
        """When each operation of its start was done, for whoever wants it explained."""
        with contextlib.suppress(OSError):  # a full disk ends no container over this; one may have gone at its end
            self._write(_TRACE, traced)

    def trace(self) -> bytes:
        """Empty for a container that was never started."""
        try:
            return (self.path / _TRACE).read_bytes()
        except FileNotFoundError:
            return b""

    def rewrite_groups(self, groups: Sequence[cgroups.Group]) -> None:
        """A change of limits may have made one more."""
        path = self.path / "start.json"
        found = json.loads(path.read_bytes())
        found["groups"] = [[str(each.path), each.version, list(each.controllers)] for each in groups]
        with self._explained():
            self._write("start.json", json.dumps(found).encode())

    def _write(self, name: str, content: bytes) -> None:
        fresh = self.path / f"{name}.new"
        fresh.write_bytes(content)
        fresh.replace(self.path / name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = reason_of(error)
            raise StoreError(f"could not write to {self.path}: {reason}", hint="see that its disk has room") from error

    def config(self) -> Config:
        """Raises StoreError where there is none, or one that is damaged."""
        try:
            return runtime_spec.parse((self.path / "config.json").read_bytes())
        except OSError as error:
            raise StoreError(f"container {self.path.name[:12]} has no config.json: {error.strerror}") from error
        except InvalidOption as error:
            raise StoreError(
                f"{self.path / 'config.json'} is damaged: {error.message}", hint="start the container again"
            ) from error

    def start_notes(self) -> StartNotes:
        """Empty for a container that was never started. Raises StoreError for a damaged file."""
        path = self.path / "start.json"
        try:
            found = json.loads(path.read_bytes())
            groups = tuple(
                cgroups.Group(Path(path), version, tuple(controllers)) for path, version, controllers in found["groups"]
            )
            beside = Beside.of_json(found["beside"]) if "beside" in found else NOBODY
            options = dict(found["options"]) if "options" in found else None
            counters, notes = tuple(found["counters"]), tuple(found["notes"])
            return StartNotes(groups, counters, found["ids"], found["limits"], notes, beside, options)
        except FileNotFoundError:
            return StartNotes()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{path} is damaged: {error}", hint="start the container again") from error

    def running(self) -> Running | None:
        return read_running(self.path)

    def open_root(self, name: str) -> int:
        """A descriptor of the root that its first process has now. Raises Conflict where it has none."""
        running = self.running()
        if running is None:
            raise Conflict(f"the container {name} is being started again", status_found="restarting")
        root = -1
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            root = os.open(f"/proc/{running.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if root >= 0 and running.alive():  # only now it is sure that the number was not somebody else's
            return root
        if root >= 0:
            os.close(root)
        raise Conflict(f"the container {name} has just ended", status_found="exited")

    def forget_exit(self) -> None:
        """What it says is in the state file, and is not true any more."""
        (self.path / _EXIT).unlink(missing_ok=True)

    def exit(self) -> Answer | None:
        """The monitor's last word on it; None where there is none since the last start, or one that is damaged: nobody
        can tell then either."""
        try:
            ended = parse_answer((self.path / _EXIT).read_bytes())
        except (FileNotFoundError, NotADirectoryError, struct.error):
            return None
        return ended if ended.kind == lib.KB_EXITED else None
