"""The state of a container in Docker's words: "Up 5 minutes (healthy)", "Exited (0) 3 seconds ago"."""

from __future__ import annotations

from kernelbox.store.container_record import LIVING, ContainerRecord

__all__ = ["UNKNOWN_EXIT_CODE", "ago", "exit_code", "health_of", "human_duration", "status_text"]

UNKNOWN_EXIT_CODE = 255
"""What stands for an exit code that nobody was there to be told: Docker's, too, after its daemon was killed."""

HEALTH_WORDS = ("none", "starting", "healthy", "unhealthy")

_HOUR, _DAY = 3600, 24
_UNITS = ((2 * _DAY, 1, "hours"), (14 * _DAY, _DAY, "days"), (60 * _DAY, 7 * _DAY, "weeks"))
_MONTH, _YEAR = 30 * _DAY, 365 * _DAY


def human_duration(seconds: float) -> str:
    """About how long, as Docker says it: "Less than a second", "About an hour", "2 weeks"."""
    if seconds < 60:
        whole = int(seconds)
        return "Less than a second" if whole < 1 else "1 second" if whole == 1 else f"{whole} seconds"
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)  # only hours are rounded: 90 minutes are 2 hours
    if hours == 1:
        return "About an hour"
    for below, hours_each, word in _UNITS:
        if hours < below:
            return f"{hours // hours_each} {word}"
    if hours < 2 * _YEAR:
        return f"{hours // _MONTH} months"
    return f"{int(seconds / _HOUR) // _YEAR} years"


def ago(then: float, now: float) -> str:
    """ "5 minutes ago". Seconds since 1970, both."""
    return f"{human_duration(now - then)} ago"


def exit_code(record: ContainerRecord) -> int:
    """A number in any case."""
    return UNKNOWN_EXIT_CODE if record.exit_code is None else record.exit_code


def health_of(record: ContainerRecord) -> str:
    """One of Docker's words: "none" without a health check."""
    return record.health or "none"


def status_text(record: ContainerRecord, now: float) -> str:
    """The STATUS column of `ps`. `now` is in seconds since 1970."""
    if record.status in LIVING:
        return _living(record, now)
    if record.status == "removing":
        return "Removal In Progress"
    if record.status == "dead":
        return "Dead"
    if record.status == "created":
        return "Created"
    return f"Exited ({exit_code(record)}) {ago(record.finished_at, now)}"


def _living(record: ContainerRecord, now: float) -> str:
    if record.status == "restarting":
        return f"Restarting ({exit_code(record)}) {ago(record.finished_at, now)}"
    up = f"Up {human_duration(now - record.started_at)}"
    if record.status == "paused":
        return f"{up} (Paused)"
    health = health_of(record)
    if health == "none":
        return up
    return f"{up} (health: starting)" if health == "starting" else f"{up} ({health})"
