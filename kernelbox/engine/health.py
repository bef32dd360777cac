"""Health checks of kept containers: what is asked, how often, and what has been answered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kernelbox.engine import starting
from kernelbox.engine.executing import ExecOptions, compile_for
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.engine.options import RunOptions
from kernelbox.oci.image_config import Healthcheck, ImageConfig
from kernelbox.oci.value import frozen
from kernelbox.store.container_record import ContainerRecord

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["Check", "ask", "check_of"]

_NS = 1_000_000_000


@frozen
class Check:
    """What is asked: a command as exec takes it; times in seconds, Docker's defaults."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3

    @property
    def times(self) -> tuple[int, int, int, int, int]:
        """Milliseconds, as struct kb_health has them, and how many failures in a row make it unhealthy."""
        times = (self.interval, self.timeout, self.start_period, self.start_interval)
        interval, timeout, period, early = (round(each * 1000) for each in times)
        return max(interval, 1), max(timeout, 1), period, max(early, 1), self.retries


def check_of(options: RunOptions, image: ImageConfig) -> Check | None:
    """The image's health check, changed by the options; None where there is none."""
    if options.no_healthcheck:
        return None
    base = image.healthcheck or Healthcheck()
    command = ("/bin/sh", "-c", options.health_cmd) if options.health_cmd else _command(base.test)
    if not command:
        return None
    default = Check(command)
    return Check(
        command,
        interval=options.health_interval or _seconds(base.interval) or default.interval,
        timeout=options.health_timeout or _seconds(base.timeout) or default.timeout,
        start_period=options.health_start_period or _seconds(base.start_period) or default.start_period,
        start_interval=options.health_start_interval or _seconds(base.start_interval) or default.start_interval,
        retries=options.health_retries or base.retries or default.retries,
    )


def _command(test: tuple[str, ...]) -> tuple[str, ...]:
    """Of ["CMD", program, ...] or ["CMD-SHELL", line]."""
    if test[:1] == ("CMD",):
        return test[1:]
    return ("/bin/sh", "-c", test[1]) if test[:1] == ("CMD-SHELL",) and len(test) > 1 else ()


def _seconds(nanoseconds: int | None) -> float | None:
    return nanoseconds / _NS if nanoseconds else None


def ask(box: Engine, record: ContainerRecord, folder: KeptFolder) -> None:
    """Begins with the checks of a container that has been started; nothing where it has none."""
    check = check_of(starting.options_of(record), box.images.of(record).config)
    if check is None:
        return
    encoded = compile_for(box, record, folder, check.command, ExecOptions(), ("stdin", "output"))
    opened = box.opened()
    output = os.memfd_create("kernelbox-health", os.MFD_CLOEXEC)
    try:
        if opened.monitor.ask_health(bytes.fromhex(record.id), encoded, (opened.null, output), check.times):
            box.containers.state.change(record.id, health="starting")
    finally:
        os.close(output)
