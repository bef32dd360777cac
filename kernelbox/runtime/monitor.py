"""The store's monitor as an engine sees it: reached by its socket, started by whoever needs it first.

Who starts it holds the store's lock, makes the socket, and passes both on: the lock is held for as long as the monitor
lives, without any file that could be out of date. A monitor that is just going refuses; then the lock is free in a
moment. Where the socket is depends on the environment of who started it (XDG_RUNTIME_DIR), so its path is written into
the lock, for those who would look elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from kernelbox.errors import KernelBoxError, KernelError, MonitorError, StoreError, reason_of
from kernelbox.native import check, lib
from kernelbox.runtime import monitor_program
from kernelbox.runtime import rootless as rootless_ids
from kernelbox.runtime.connection import Answer, Connection
from kernelbox.runtime.listing import Listed, is_alive, listed
from kernelbox.runtime.plan import PLAN_FILE, EncodedPlan, Life, Plan, request
from kernelbox.runtime.setup import Setup, recovery_plans
from kernelbox.runtime.trace import TraceRow, trace_rows
from kernelbox.store.paths import StorePaths

__all__ = ["Monitor"]

_PATIENCE_S = 10.0
_MOMENT_S = 0.002
_LOG = "monitor.log"
_MORE_TRIES = 5
_T = TypeVar("_T")


class Monitor:
    """Connections to the monitor of one store, kept for the next launch. Safe for several threads.

    `on_recovery` is called after a new monitor has cleaned up behind one that was killed: kept containers may still
    run, and need to be taken over."""

    def __init__(
        self,
        paths: StorePaths,
        setup: Setup,
        *,
        rootless: bool = False,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self._paths = paths
        self._setup = setup
        self._rootless = rootless
        self._on_recovery = on_recovery
        self._idle: list[Connection] = []
        self._encoded: EncodedPlan = setup.plan.encode((), setup.shared)
        self._preparations: dict[str, Plan] = {}
        self._pid = 0
        self._taking_over = False
        self._closed = False

    @property
    def _log(self) -> Path:
        return self._paths.runtime / _LOG

    @property
    def shared(self) -> Mapping[str, int]:
        """The monitor's own descriptors by name."""
        return self._setup.shared

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for one conversation; kept afterwards unless it was closed."""
        connection = self.take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self.give(connection)

    def take(self) -> Connection:
        """A connection of one's own: `give` it back, or close it."""
        return self._idle.pop() if self._idle else self._connect()

    def give(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        elif not connection.closed:
            self._idle.append(connection)

    def renew(self) -> Connection:
        """A fresh connection, after one that proved dead: the others are too."""
        self._close_idle()
        return self._connect()

    def close(self) -> None:
        """Closes idle connections, later those in use; with the last of all an idle monitor goes. Idempotent."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def wait_swept(self) -> None:
        """Returns when everything that ended containers left has been deleted, also what a killed monitor left."""
        if not self._pid:
            return
        self._ask(request(lib.KB_SYNC) + b"\0")

    def _ask(self, message: bytes, given: Sequence[int] = ()) -> Answer:
        return self._twice(lambda connection: connection.ask(message, given))

    def _twice(self, talk: Callable[[Connection], _T]) -> _T:
        """Once more where the monitor at the other end of a connection was killed: the next one has what was its."""
        try:
            with self.connection() as connection:
                return talk(connection)
        except MonitorError:
            self._close_idle()
        with self.connection() as connection:
            return talk(connection)

    @property
    def alive(self) -> bool:
        """Whether the store has a monitor: it holds the store's lock for as long as it lives."""
        return is_alive(self._paths)

    def listed(self) -> list[Listed]:
        """Its containers that are not kept, as they are at this moment."""
        return self._twice(listed) if self.alive else []

    def reach(self) -> None:
        """Returns when there is a monitor that has taken over what its predecessor left."""
        self._connect().close()

    def carry_out(self, plan: Plan) -> tuple[TraceRow, ...]:
        """Has the monitor do the outside part of a plan: its steps with their times. Raises StoreError where one
        failed."""
        encoded = plan.encode((), self._setup.shared)
        answer = self._twice(lambda connection: self._run_encoded(connection, encoded, 0, 0, ()))
        return trace_rows(encoded, answer.trace())

    def reveal(self, plan: Plan, given: Mapping[str, int]) -> int:
        """Has the monitor do the outside part of a plan with these descriptors, and hand out the one that the plan
        reveals: the caller's. Raises StoreError where a step failed."""
        encoded = plan.encode(tuple(given), self._setup.shared)

        def talk(connection: Connection) -> int:
            self._run_encoded(connection, encoded, 0, 0, tuple(given.values()))
            return connection.take_descriptor()

        return self._twice(talk)

    def close_input(self, token: bytes) -> None:
        """The container's standard input ends with the last client that still has it."""
        self._ask(request(lib.KB_CLOSE_INPUT, token=token) + b"\0")

    def set_paused(self, token: bytes, paused: bool) -> None:
        """Nothing is started any more in a container that is to be frozen: the monitor would have to wait for it."""
        self._ask(request(lib.KB_PAUSE, token=token, signal=int(paused)) + b"\0")

    def ask_health(self, token: bytes, encoded: EncodedPlan, given: Sequence[int], times: tuple[int, ...]) -> bool:
        """Has the monitor run a plan in the container again and again, to see whether it is well; False where the
        container has ended. `times` are the fields of struct kb_health, `given` its descriptors, the last of which is
        the file for its output."""
        slots = {"output": len(given) - 1}
        head = request(
            lib.KB_HEALTH,
            token=token,
            parts=encoded.parts,
            text_size=len(encoded.text),
            last_text=encoded.last_text,
            life=Life().pack(slots),
            health=(*times, 0),
        )
        return not self._ask(head + encoded.operations + encoded.text, given).error

    def set_restarts(self, token: bytes, life: Life) -> bool:
        """Changes the restart policy of a container that runs; False where the monitor did not keep its plan."""
        answer = self._ask(request(lib.KB_RESTARTS, token=token, life=life.pack({})) + b"\0")
        return not answer.error

    def signal(self, token: bytes, number: int, *, stopping: bool = False) -> bool:
        """Sends a signal to the container's first process; False where it has ended. `stopping`: a kept container is
        not started again when it ends."""
        flags = lib.KB_STOPPING if stopping else 0
        answer = self._ask(request(lib.KB_SIGNAL, flags=flags, token=token, signal=number) + b"\0")
        if answer.error not in (0, errno.ESRCH):
            raise KernelError(answer.error, "send a signal to", token.hex()[:12])
        return not answer.error

    def _connect(self) -> Connection:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            for path in self._sockets():
                descriptor = lib.kb_connect(os.fsencode(path))
                if descriptor >= 0:
                    connection = Connection(descriptor)
                    if self._introduce(connection, path):
                        return connection
                elif path == self._paths.socket and -descriptor not in (errno.ENOENT, errno.ECONNREFUSED):
                    raise KernelError(-descriptor, "connect to the monitor at", str(path))
            if not self._start():
                time.sleep(_MOMENT_S)  # somebody else is starting one, or the old one is just going
        said = monitor_program.last_words(self._log)
        raise MonitorError(f"the monitor of {self._paths.root} does not answer{said}", hint=self._where_to_look())

    def _sockets(self) -> Iterator[Path]:
        """Where the monitor may be reached: our own place first, then the one that its starter wrote down."""
        yield self._paths.socket
        written = self._written_socket()
        if written not in (None, self._paths.socket):
            yield written

    def _written_socket(self) -> Path | None:
        """That of the monitor which lives, or of the last one. A copy of a store has that of another store."""
        with contextlib.suppress(OSError):
            path = Path(os.fsdecode(self._paths.lock.read_bytes()))
            if path.is_absolute() and path.parts[-2:] == self._paths.socket.parts[-2:]:
                return path
        return None

    def _where_to_look(self) -> str:
        *_, path = self._sockets()
        log = path.with_name(_LOG)
        return f"see {log}" if log.exists() else f"its socket should be {path}, which this process does not see"

    def prepare(self, name: str, plan: Plan) -> None:
        """Has the monitor, and every later one, fill descriptors of its own by `plan`, in the place of one so named."""
        self._preparations[name] = plan
        with self.connection() as connection:
            self._run_setup(connection, plan, 0)

    def _introduce(self, connection: Connection, path: Path) -> bool:
        """Tells the monitor at `path` what it needs to know; False where it was going at that moment.

        One that is new cleans up first after a predecessor that was killed. Whoever comes first has it do so, and it
        does so once: until then there are no containers of its own, and what was listed is left over. Then it is given
        the containers that outlived the other; where who does that is killed too, the next one to come does it."""
        with contextlib.ExitStack() as unless_known, contextlib.suppress(MonitorError):
            unless_known.callback(connection.close)
            there = self._setup if path == self._paths.socket else self._setup.with_runtime(path.parent)
            answer = self._run_setup(connection, there.plan, there.pool, again=_MORE_TRIES)
            if not answer.status & lib.KB_RECOVERED:
                *plans, last = recovery_plans(self._paths, self._setup.parents)
                for plan in plans:
                    self._run_setup(connection, plan, 0, lib.KB_RECOVERY)
                self._run_setup(connection, last, 0, lib.KB_RECOVERY | lib.KB_RECOVERED)
            if answer.pid != self._pid:
                for plan in self._preparations.values():
                    self._run_setup(connection, plan, 0)
            self._pid = answer.pid
            if not answer.status & lib.KB_TAKEN_OVER and not self._taking_over:
                self._take_over(connection)
            unless_known.pop_all()
            return True
        return False

    def _take_over(self, connection: Connection) -> None:
        # It takes connections of its own, which are not to begin with it too.
        self._taking_over = True
        try:
            self._on_recovery()
        except StoreError:  # who asks for a kept container is told; all else works, and this is tried again
            return
        finally:
            self._taking_over = False
        self._run_setup(connection, Plan(()), 0, lib.KB_TAKEN_OVER)

    def _run_setup(self, connection: Connection, plan: Plan, pool: int, flags: int = 0, *, again: int = 0) -> Answer:
        """Raises MonitorError where the connection ended, StoreError where a step failed. `again`: how often it is
        tried once more where something was not there: a monitor of another store, which is just going, removes the
        groups above both."""
        encoded = self._encoded if plan is self._setup.plan else plan.encode((), self._setup.shared)
        return self._run_encoded(connection, encoded, pool, flags, (), again)

    def _run_encoded(
        self,
        connection: Connection,
        encoded: EncodedPlan,
        pool: int,
        flags: int,
        given: Sequence[int],
        again: int = 0,
    ) -> Answer:
        answer = self._ask_encoded(connection, encoded, pool, flags, given)
        while answer.error == errno.ENOENT and again:
            answer, again = self._ask_encoded(connection, encoded, pool, flags, given), again - 1
        if answer.error:
            connection.close()
            if answer.error == errno.EPROTO:
                raise StoreError(
                    f"the containers of {self._paths.root} were started by another version of kernelbox, and run still",
                    hint="stop them with that one, or use another store (KERNELBOX_ROOT) meanwhile",
                )
            step = encoded.plan.steps[encoded.owners[answer.op]] if answer.op >= 0 else None
            raise StoreError(
                f"could not {step.describe() if step else 'set the monitor up'}: {os.strerror(answer.error).lower()}",
                hint="kernelbox doctor says what this machine allows",
            )
        return answer

    @staticmethod
    def _ask_encoded(
        connection: Connection, encoded: EncodedPlan, pool: int, flags: int, given: Sequence[int]
    ) -> Answer:
        body = encoded.operations + encoded.text
        big = encoded.slots[PLAN_FILE] + 1 if encoded.in_file else 0
        head = request(
            lib.KB_SETUP,
            flags=flags,
            parts=encoded.parts,
            text_size=len(encoded.text),
            last_text=encoded.last_text,
            signal=pool,
            big=big,
            reveal=encoded.slots[encoded.plan.reveal],
        )
        if not big:
            return connection.ask(head + body, given)
        file = check(lib.kb_memfd_sealed(b"kb-plan", body, len(body)), "make a plan file")
        try:
            return connection.ask(head, [*given, file])
        finally:
            os.close(file)

    def _start(self) -> bool:
        """Starts a monitor if none is alive; False where somebody else holds the lock."""
        self._paths.prepare()
        try:
            return self._start_alone()
        except KernelBoxError:
            raise
        except OSError as error:
            what, reason = error.filename or self._paths.root, reason_of(error)
            raise StoreError(f"could not start a monitor: {what}: {reason}") from error

    def _start_alone(self) -> bool:
        lock = os.open(self._paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            self._paths.runtime.mkdir(mode=0o700, exist_ok=True)
            self._write_socket(lock)
            self._spawn(lock)
            return True
        finally:
            os.close(lock)

    def _write_socket(self, lock: int) -> None:
        path = os.fsencode(self._paths.socket)
        if os.pread(lock, len(path) + 1, 0) != path:
            with contextlib.suppress(OSError):  # a full disk: those who look elsewhere will not find it
                os.ftruncate(lock, 0)
                os.pwrite(lock, path, 0)

    def _spawn(self, lock: int) -> None:
        self._paths.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, contextlib.ExitStack() as stack:
            listener.bind(os.fspath(self._paths.socket))
            listener.listen(64)
            # What an earlier one has said was told when it could not go on; it would keep the folder here for ever.
            how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            log = os.open(self._log, how, 0o600)
            stack.callback(os.close, log)
            folder = os.open(self._paths.runtime, os.O_PATH | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            passed = [listener.fileno(), log, log, lock, folder]
            if not self._rootless:
                monitor_program.start(b"root", passed, self._log)
                return
            inherited = rootless_ids.namespace_of_kept(self._paths.containers)
            if inherited is not None:
                with inherited:
                    monitor_program.start(b"again", [*passed, inherited.fileno()], self._log)
                return
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    monitor_program.start(b"rootless", [*passed, theirs.fileno()], self._log)
                rootless_ids.map_ids(ours)
