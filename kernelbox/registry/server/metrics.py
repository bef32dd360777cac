"""What a server counts, in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import time
from collections import Counter

from kernelbox.registry.server.records import Totals

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "kernelbox_registry"
_BOUNDS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


class Metrics:
    """Of one server, since it was started. For one thread."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.received_bytes = 0
        self.collected_bytes = 0
        self.collections = 0
        self._started = time.time()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._slower: Counter[tuple[str, float]] = Counter()
        self._count: Counter[str] = Counter()
        self._sums: dict[str, float] = {}

    def answered(self, method: str, kind: str, status: int, seconds: float) -> None:
        """One request. `kind` is that of its target: a small number of words, whatever clients ask for."""
        method = method if method in _METHODS else "other"
        self._requests[method, kind, status] += 1
        self._count[kind] += 1
        self._sums[kind] = self._sums.get(kind, 0.0) + seconds
        for bound in _BOUNDS_S:
            if seconds <= bound:
                self._slower[kind, bound] += 1

    def text(self, totals: Totals, uploads: int) -> str:
        """All of it."""
        lines = [
            *_one("start_time_seconds", "gauge", "When this server was started.", self._started),
            *_one("requests_in_flight", "gauge", "Requests that are being answered.", self.in_flight),
            *_one("received_bytes_total", "counter", "Bytes of bodies that came.", self.received_bytes),
            *_one("collections_total", "counter", "Garbage collections by this server.", self.collections),
            *_one("collected_bytes_total", "counter", "Bytes that these freed.", self.collected_bytes),
            *_one("repositories", "gauge", "Repositories that have manifests.", totals.repositories),
            *_one("manifests", "gauge", "Manifests of all repositories.", totals.manifests),
            *_one("tags", "gauge", "Tags of all repositories.", totals.tags),
            *_one("blobs", "gauge", "Different contents, manifests too.", totals.blobs),
            *_one("stored_bytes", "gauge", "Bytes of them.", totals.size),
            *_one("uploads", "gauge", "Uploads that have begun and not ended.", uploads),
            *self._request_lines(),
            *self._duration_lines(),
        ]
        return "\n".join(lines) + "\n"

    def _request_lines(self) -> list[str]:
        lines = _head("requests_total", "counter", "Requests that were answered.")
        for (method, kind, status), count in sorted(self._requests.items()):
            lines.append(f'{_PREFIX}_requests_total{{method="{method}",kind="{kind}",status="{status}"}} {count}')
        return lines

    def _duration_lines(self) -> list[str]:
        name = f"{_PREFIX}_request_duration_seconds"
        lines = _head("request_duration_seconds", "histogram", "Until the answer began, or a body had come.")
        for kind, count in sorted(self._count.items()):
            for bound in _BOUNDS_S:
                lines.append(f'{name}_bucket{{kind="{kind}",le="{bound:g}"}} {self._slower[kind, bound]}')
            lines.append(f'{name}_bucket{{kind="{kind}",le="+Inf"}} {count}')
            lines.append(f'{name}_sum{{kind="{kind}"}} {self._sums[kind]:.6f}')
            lines.append(f'{name}_count{{kind="{kind}"}} {count}')
        return lines


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {_PREFIX}_{name} {text}", f"# TYPE {_PREFIX}_{name} {kind}"]


def _one(name: str, kind: str, text: str, value: float) -> list[str]:
    return [*_head(name, kind, text), f"{_PREFIX}_{name} {value}"]
