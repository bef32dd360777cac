"""Clients for tests: they do not wait between attempts, and know nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from kernelbox.registry.client import Client
from kernelbox.registry.configuration import Configuration, RegistrySettings
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.retry import Backoff, Retry
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Timeouts, Transport


class Waits:
    """In place of sleeping: notes how long it would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float, stop: Stop | None) -> None:
        self.seconds.append(seconds)


def patient(waits: Waits, attempts: int = 5) -> Retry:
    return Retry(Backoff(attempts=attempts), sleep=waits, chance=lambda: 1.0)


@contextlib.contextmanager
def client(
    registries: Mapping[str, RegistrySettings] | None = None,
    known: Mapping[str, Credentials] | None = None,
    waits: Waits | None = None,
    timeouts: Timeouts | None = None,
    attempts: int = 5,
) -> Iterator[Client]:
    transport = Transport(timeouts)
    with Client(
        Configuration(registries or {}),
        credentials=(known or {}).get,
        transport=transport,
        retry=patient(waits or Waits(), attempts),
    ) as made:
        yield made
