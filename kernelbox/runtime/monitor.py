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
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from kernelbox.errors import KernelBoxError, KernelError, MonitorError, NotSupported, StoreError
from kernelbox.native import MONITOR_PROGRAM, check, ffi, lib
from kernelbox.runtime import rootless as rootless_ids
from kernelbox.runtime.connection import Answer, Connection
from kernelbox.runtime.plan import EncodedPlan, Plan, request
from kernelbox.runtime.setup import Setup, recovery_plans
from kernelbox.store.paths import StorePaths

__all__ = ["Monitor"]

_PATIENCE_S = 10.0
_MOMENT_S = 0.002
_INLINE = 150_000
_LOG = "monitor.log"


def _program() -> int:
    """The monitor's program in a sealed memfd: nobody can change what runs, whatever happens to the file. The caller
    closes it."""
    try:
        code = MONITOR_PROGRAM.read_bytes()
    except OSError as error:
        raise MonitorError(f"could not read {MONITOR_PROGRAM}: {error.strerror}", hint="make build") from error
    return check(lib.kb_memfd_sealed(b"kb-monitor", code, len(code)), "make the monitor's program")


class Monitor:
    """Connections to the monitor of one store, kept for the next launch. Safe for several threads."""

    def __init__(self, paths: StorePaths, setup: Setup, *, rootless: bool = False) -> None:
        self._paths = paths
        self._setup = setup
        self._rootless = rootless
        self._idle: list[Connection] = []
        self._encoded: EncodedPlan = setup.plan.encode((), setup.shared)
        self._preparations: dict[str, Plan] = {}
        self._pid = 0
        self._closed = False

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
        """Closes idle connections, and later those in use; with the last one of all engines an idle monitor goes.
        Idempotent."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def wait_swept(self) -> None:
        """Returns when everything that ended containers left has been deleted. After a monitor that was killed, a new
        one sees to it."""
        if not self._pid:
            return
        try:
            self._sync()
        except MonitorError:
            self._close_idle()
            self._sync()

    def _sync(self) -> None:
        with self.connection() as connection:
            connection.ask(request(lib.KB_SYNC) + b"\0")

    def signal(self, token: bytes, number: int) -> bool:
        """Sends a signal to the container's first process; False where it has ended."""
        with self.connection() as connection:
            answer = connection.ask(request(lib.KB_SIGNAL, token=token, signal=number) + b"\0")
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
        raise MonitorError(f"the monitor of {self._paths.root} does not answer", hint=self._where_to_look())

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
        """Has the monitor run the outside part of `plan`, which fills descriptors of its own; a monitor that is started
        later does the same at once. Another plan of the same name replaces it."""
        self._preparations[name] = plan
        with self.connection() as connection:
            self._run_setup(connection, plan, 0)

    def _introduce(self, connection: Connection, path: Path) -> bool:
        """Tells the monitor at `path` what it needs to know; False where it was going at that moment.

        One that is new cleans up first after a predecessor that was killed. Whoever comes first has it do so, and it
        does so once: until then there are no containers of its own, and what was listed is left over."""
        try:
            there = self._setup if path == self._paths.socket else self._setup.with_runtime(path.parent)
            answer = self._run_setup(connection, there.plan, there.pool)
            if not answer.status:
                *plans, last = recovery_plans(self._paths, self._setup.parents)
                for plan in plans:
                    self._run_setup(connection, plan, 0, lib.KB_RECOVERY)
                self._run_setup(connection, last, 0, lib.KB_RECOVERY | lib.KB_RECOVERED)
            if answer.pid != self._pid:
                for plan in self._preparations.values():
                    self._run_setup(connection, plan, 0)
            self._pid = answer.pid
        except MonitorError:
            return False
        return True

    def _run_setup(self, connection: Connection, plan: Plan, pool: int, flags: int = 0) -> Answer:
        """Raises MonitorError where the connection ended, StoreError where a step failed."""
        encoded = self._encoded if plan is self._setup.plan else plan.encode((), self._setup.shared)
        body = encoded.operations + encoded.text
        big = len(body) > _INLINE
        head = request(
            lib.KB_SETUP,
            flags=flags,
            parts=encoded.parts,
            text_size=len(encoded.text),
            last_text=encoded.last_text,
            signal=pool,
            big=int(big),
            given=int(big),
        )
        if big:
            file = check(lib.kb_memfd_sealed(b"kb-plan", body, len(body)), "make a plan file")
            try:
                answer = connection.ask(head, [file])
            finally:
                os.close(file)
        else:
            answer = connection.ask(head + body)
        if answer.error:
            connection.close()
            step = plan.steps[encoded.owners[answer.op]] if answer.op >= 0 else None
            raise StoreError(
                f"could not {step.describe() if step else 'set the monitor up'}: {os.strerror(answer.error).lower()}",
                hint="kernelbox doctor says what this machine allows",
            )
        return answer

    def _start(self) -> bool:
        """Starts a monitor if none is alive; False where somebody else holds the lock."""
        self._paths.prepare()
        try:
            return self._start_alone()
        except KernelBoxError:
            raise
        except OSError as error:
            what, reason = error.filename or self._paths.root, (error.strerror or str(error)).lower()
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
            log = os.open(self._paths.runtime / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, log)
            folder = os.open(self._paths.runtime, os.O_PATH | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            passed = [listener.fileno(), log, log, lock, folder]
            if not self._rootless:
                self._run_program(b"root", passed)
                return
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    self._run_program(b"rootless", [*passed, theirs.fileno()])
                self._map_ids(ours)

    def _run_program(self, mode: bytes, passed: list[int]) -> None:
        words = [ffi.new("char[]", word) for word in (b"kb-monitor", mode)]
        arguments = ffi.new("char *[]", [*words, ffi.NULL])
        program = _program()
        try:
            pid = check(lib.kb_spawn(program, arguments, passed, len(passed)), "start the monitor")
        finally:
            os.close(program)
        _, status = os.waitpid(pid, 0)
        if status:
            raise MonitorError("the monitor could not be started", hint=f"see {self._paths.runtime / _LOG}")

    def _map_ids(self, monitor: socket.socket) -> None:
        """The monitor says its pid once it has a user namespace, and waits for its ids."""
        told = monitor.recv(4)
        if len(told) < 4:
            raise NotSupported(
                "this machine does not let an ordinary user make a user namespace",
                hint="kernelbox doctor says what would mend it",
            )
        rootless_ids.write_maps(int.from_bytes(told, sys.byteorder))
        monitor.send(b"x")
