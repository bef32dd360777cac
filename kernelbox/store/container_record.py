"""What a store knows of one container: a frozen value, a row of the state file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field

from kernelbox.oci.value import frozen

__all__ = ["LIVING", "STATUSES", "ContainerRecord"]

STATUSES = ("created", "running", "paused", "restarting", "exited", "removing", "dead")
"""Docker's words. "removing" is half removed, and is finished by whoever sees it next; "dead" could not be removed."""

LIVING = ("running", "paused", "restarting")


@frozen
class ContainerRecord:
    """One container. Times are seconds since 1970; None or 0 where there is nothing to say yet.

    `options` are those of `docker run` with underscores, as JSON can hold them; `labels` are among them too.
    `id_range` is the number of its range of ids, -1 for none. `process` says which
    process is its first one, over reboots too (`store.running`). `exit_code` is Docker's, or None where it is unknown
    because nobody was there to be told."""

    id: str
    name: str
    image: str
    created_at: float
    command: tuple[str, ...] = ()
    image_digest: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    status: str = "created"
    pid: int = 0
    process: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int | None = 0
    oom_killed: bool = False
    error: str = ""
    restart_count: int = 0
    stopped_by_user: bool = False
    health: str = ""
    id_range: int = -1
    usage: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def living(self) -> bool:
        """Whether it has processes, or will have some again without anybody's doing."""
        return self.status in LIVING

    def changed(self, **fields: object) -> ContainerRecord:
        """The same with other values."""
        return dataclasses.replace(self, **fields)  # type: ignore[arg-type]
