"""What `events`, `logs` and `stats` print."""

from __future__ import annotations

import json

import pytest

from kernelbox.cli.events import EventFields, line
from kernelbox.cli.logs import gathered
from kernelbox.cli.stats import redrawn
from kernelbox.cli.templates import render
from kernelbox.errors import InvalidOption
from kernelbox.store.state import Event

DIE = Event(7, 1_700_000_000.123456, "container", "die", "4d" * 32, {"name": "web", "exitCode": "3", "image": "host"})


def test_an_event_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    import time

    time.tzset()
    try:
        assert line(DIE) == (
            f"2023-11-14T22:13:20.123456000Z container die {'4d' * 32} (exitCode=3, image=host, name=web)"
        )
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        assert line(DIE).startswith("2023-11-15T03:43:20.123456000+05:30 container die ")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_event_without_attributes_has_no_parentheses() -> None:
    assert line(Event(1, 1.0, "container", "die", "ab", {})).endswith("container die ab")


def test_an_event_as_json_has_dockers_fields_in_their_order() -> None:
    assert json.loads(render("json", EventFields(DIE))) == {
        "status": "die",
        "id": "4d" * 32,
        "from": "host",
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": "4d" * 32, "Attributes": {"exitCode": "3", "image": "host", "name": "web"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_123_456_000,
    }
    assert render("json", EventFields(DIE)).startswith('{"status":"die","id":')


def test_an_event_in_a_template() -> None:
    template = "{{.Status}} {{.ID}} {{.From}} {{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Time}} {{.Scope}}"
    assert render(template, EventFields(DIE)) == f"die {'4d' * 32} host container die web 1700000000 local"
    with pytest.raises(InvalidOption, match="Nothing"):
        render("{{.Nothing}}", EventFields(DIE))


def test_log_entries_of_one_stream_are_written_together_in_their_order() -> None:
    entries = [(1, b"a\n"), (1, b"b\n"), (2, b"c\n"), (1, b"d\n"), (1, b"e")]
    assert list(gathered(entries)) == [(1, b"a\nb\n"), (2, b"c\n"), (1, b"d\ne")]
    assert list(gathered([])) == []


def test_large_log_entries_are_not_kept_waiting() -> None:
    assert [len(content) for _, content in gathered([(1, bytes(50_000))] * 4)] == [100_000, 100_000]


def test_a_table_is_drawn_over_the_last_one() -> None:
    assert redrawn("A B\n1 2\n") == "\033[HA B\033[K\n1 2\033[K\n\033[J"
