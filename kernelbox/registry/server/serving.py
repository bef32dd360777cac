"""A server that runs: for the command line until it is told to end, and in a thread of this program."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from kernelbox.errors import InvalidOption, KernelBoxError, RegistryError, reason_of
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci.reference import is_registry
from kernelbox.oci.value import frozen
from kernelbox.registry.server.access import Access
from kernelbox.registry.server.app import App
from kernelbox.registry.server.bodies import PIECE
from kernelbox.registry.server.call import in_thread
from kernelbox.registry.server.collect import KEPT_S, UPLOADS_KEPT_S, collect
from kernelbox.registry.server.pull_through import PullThrough
from kernelbox.registry.server.storage import Storage
from kernelbox.store.blobs import Blobs

__all__ = ["Running", "Settings", "registry", "serve"]

_log = logging.getLogger("kernelbox.registry")

_THROW_AWAY = "kernelbox-registry-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_CONNECTIONS = 1024
_IDLE_S = 75.0
_GRACE_S = 10.0
"""For answers that are being given when the server is told to end."""


@frozen
class Settings:
    """`certificate` and `key` (PEM) make it speak TLS only. `passwords` and `rights` are the files of `Access`.
    `collect_every_s`: how often what nothing needs is collected, 0 for never; `untagged`: manifests without a tag too.
    `shared` is the folder of the blobs of an engine's store: see `Storage`. `cache_of` is another registry: see
    `PullThrough`."""

    certificate: Path | None = None
    key: Path | None = None
    passwords: Path | None = None
    rights: Path | None = None
    read_only: bool = False
    collect_every_s: float = 0.0
    kept_s: float = KEPT_S
    uploads_kept_s: float = UPLOADS_KEPT_S
    untagged: bool = False
    shared: Path | None = None
    cache_of: str = ""


@frozen
class Running:
    """A registry that is being served: `address` is host:port, as in the name of an image."""

    address: str
    url: str
    storage: Path


def serve(listen: str, storage: Path, settings: Settings, ready: Callable[[Running], None]) -> None:
    """Until SIGTERM or SIGINT, which lets answers that are being given end first; calls `ready` when it can be reached.
    For the main thread. Raises InvalidOption, RegistryError, StoreError."""

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        async with _served(listen, storage, settings) as running:
            ready(running)
            await ended.wait()

    asyncio.run(run())


@contextlib.contextmanager
def registry(
    storage: Path | str | None = None,
    *,
    listen: str = "127.0.0.1:0",
    read_only: bool = False,
    passwords: Path | str | None = None,
    rights: Path | str | None = None,
    certificate: Path | str | None = None,
    key: Path | str | None = None,
    cache_of: str = "",
) -> Iterator[Running]:
    """A registry in a thread of this program, for as long as the block lasts; without `storage` in a folder that is
    removed with all that was pushed. The options are those of `Settings`. Raises InvalidOption, RegistryError,
    StoreError.

    >>> with kb.registry() as reg:
    ...     box.images.push(f"{reg.address}/lab/tool:1")
    """
    settings = Settings(
        certificate=_path(certificate),
        key=_path(key),
        passwords=_path(passwords),
        rights=_path(rights),
        read_only=read_only,
        cache_of=cache_of,
    )
    with _folder(storage) as folder, _threaded(listen, folder, settings) as running:
        yield running


def _path(text: Path | str | None) -> Path | None:
    return None if text is None else Path(text)


@contextlib.contextmanager
def _threaded(listen: str, folder: Path, settings: Settings) -> Iterator[Running]:
    began: Future[tuple[Running, Callable[[], object]]] = Future()
    thread = threading.Thread(
        target=_run_in_thread, args=(listen, folder, settings, began), name="kernelbox registry", daemon=True
    )
    try:
        try:
            thread.start()  # an interrupt may come in here, when the thread runs already
            running, end = began.result()
        except BaseException:
            began.add_done_callback(_end_begun)
            raise
        try:
            yield running
        finally:
            end()
    finally:
        if thread.is_alive():
            thread.join()


def _end_begun(began: Future[tuple[Running, Callable[[], object]]]) -> None:
    """For a server whose caller was interrupted while it began."""
    if not began.exception():
        began.result()[1]()


@contextlib.contextmanager
def _folder(storage: Path | str | None) -> Iterator[Path]:
    """That of the caller, or a new one. One of somebody who was killed goes with the next."""
    if storage is not None:
        yield Path(storage)
        return
    for left in Path(tempfile.gettempdir()).glob(f"{_THROW_AWAY}*"):
        with contextlib.suppress(FileNotFoundError):
            if left.lstat().st_uid == os.geteuid():
                _remove_unheld(left)
    folder, held = _new_folder()
    with held:
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _new_folder() -> tuple[Path, Descriptor]:
    """Held, so that nobody removes it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_THROW_AWAY))
        with contextlib.suppress(FileNotFoundError):  # somebody took it for one that was left
            held = Descriptor(os.open(folder, _FOLDER))
            fcntl.flock(held.fileno(), fcntl.LOCK_EX)
            if folder.exists():
                return folder, held
            held.close()


def _remove_unheld(folder: Path) -> None:
    with contextlib.suppress(OSError), Descriptor(os.open(folder, _FOLDER)) as held:
        fcntl.flock(held.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)


def _run_in_thread(
    listen: str, storage: Path, settings: Settings, began: Future[tuple[Running, Callable[[], object]]]
) -> None:
    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with _served(listen, storage, settings) as running:
            began.set_result((running, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    try:
        asyncio.run(run())
    except BaseException as error:
        if began.done():
            raise
        began.set_exception(error)


@contextlib.asynccontextmanager
async def _served(listen: str, storage: Path, settings: Settings) -> AsyncIterator[Running]:
    """Reachable within the block."""
    host, port = _split(listen)
    tls = _tls(settings)
    blobs = Blobs(settings.shared) if settings.shared else None
    with Storage(storage, blobs) as kept:
        with kept.state.reading():
            pass  # what is wrong with the storage is said now
        access = Access(settings.passwords, settings.rights)
        cache = _cache(kept, settings.cache_of)
        app = App(kept, access, read_only=settings.read_only, cache=cache)
        server = _Bounded(
            app.handle,
            keepalive_timeout=_IDLE_S,
            auto_decompress=False,
            access_log=None,
            logger=_http_log(),
            read_bufsize=PIECE // 2,
            lingering_time=1.0,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE_S)
        await runner.setup()
        collecting = asyncio.create_task(_collect(app, kept, settings))
        try:
            site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
            try:
                await site.start()
            except OSError as error:
                raise RegistryError(
                    f"could not listen on {listen}: {os.strerror(error.errno or 0).lower()}",
                    hint="choose another address",
                ) from error
            yield _running(runner, host, storage, tls is not None)
        finally:
            collecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await collecting
            await runner.cleanup()
            if cache:
                await cache.end()


def _cache(storage: Storage, registry: str) -> PullThrough | None:
    """Raises InvalidOption."""
    if not registry:
        return None
    from kernelbox.registry.client import Client

    if not is_registry(registry):
        raise InvalidOption(f"{registry[:100]!r} is no registry", hint="a host, and perhaps a port: docker.io")
    return PullThrough(storage, Client(), registry)


def _http_log() -> logging.Logger:
    """For what goes wrong outside `App`. Of what is no request at all nothing is said: anybody can send that, as often
    as they like."""

    def is_ours(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    log = logging.Logger("kernelbox.registry.http", logging.WARNING)
    log.parent = _log
    log.addFilter(is_ours)
    return log


def _running(runner: web.ServerRunner, host: str, storage: Path, tls: bool) -> Running:
    port = runner.addresses[0][1]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Running(address, f"{'https' if tls else 'http'}://{address}", storage)


class _Bounded(web.Server):
    """Takes no more connections than it has memory for."""

    def __call__(self) -> web.RequestHandler:
        made = super().__call__()
        if len(self.connections) >= _MOST_CONNECTIONS:
            asyncio.get_running_loop().call_later(0, made.force_close)  # when it is connected
        return made


async def _collect(app: App, storage: Storage, settings: Settings) -> None:
    """Again and again. What goes wrong is said, and tried again the next time."""
    while settings.collect_every_s:
        await asyncio.sleep(settings.collect_every_s)
        try:
            done = await in_thread(
                collect,
                storage,
                kept_s=settings.kept_s,
                uploads_kept_s=settings.uploads_kept_s,
                untagged=settings.untagged,
            )
        except KernelBoxError as error:
            _log.error("the garbage collection failed: %s", error)
        else:
            app.metrics.collections += 1
            app.metrics.collected_bytes += done.size


def _split(listen: str) -> tuple[str, int]:
    """Host and port. Raises InvalidOption."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port[:6]) > 0xFFFF:
        raise InvalidOption(f"{listen!r} is no address to listen on", hint="127.0.0.1:5000, for example, or [::1]:5000")
    return host, int(port)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Raises InvalidOption."""
    if settings.certificate is None and settings.key is None:
        return None
    if settings.certificate is None or settings.key is None:
        raise InvalidOption("TLS needs a certificate and its key, and only one of them is given")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(
            f"could not use the certificate {settings.certificate} with the key {settings.key}: {reason_of(error)}",
            hint="both are files in PEM format, and belong together",
        ) from error
    return context
