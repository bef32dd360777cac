"""`--filter`: Docker's keys for containers and events, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kernelbox.engine.filters import CONTAINER_KEYS, EVENT_KEYS, from_json, matches, matches_event, parse
from kernelbox.engine.ports import Port
from kernelbox.errors import ContainerNotFound, InvalidOption
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.state import Event

OLD = ContainerRecord("a" * 64, "old", "busybox:1.36", 100.0, status="exited", started_at=101.0, exit_code=3)
WEB = ContainerRecord(
    "b1" * 32,
    "web-1",
    "nginx",
    200.0,
    image_digest="sha256:" + "cd" * 32,
    options={"network": "host", "volumes": ["/srv/data:/data:ro"], "mounts": ["type=tmpfs,target=/scratch"]},
    labels={"tier": "front", "com.example.owner": "me"},
    status="running",
    started_at=201.0,
    health="healthy",
)
NEW = ContainerRecord("c" * 64, "new", "registry.example:5000/team/app:2", 300.0)
EVERY = (OLD, WEB, NEW)


def find(reference: str) -> ContainerRecord:
    for record in EVERY:
        if reference in (record.id, record.name):
            return record
    raise ContainerNotFound(f"no such container: {reference}")


def names(*given: str, ports: tuple[Port, ...] = ()) -> str:
    filters = parse(given)
    return " ".join(record.name for record in EVERY if matches(record, filters, find, ports))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], "old web-1 new"),
        ([""], "old web-1 new"),
        (["id=b1b1"], "web-1"),
        (["id=1b1b"], ""),
        (["name=e"], "web-1 new"),
        (["name=^new$"], "new"),
        (["name=^/new$"], "new"),
        (["name=w.b"], "web-1"),
        (["name=(web"], ""),
        (["name=old", "name=new"], "old new"),
        (["label=tier"], "web-1"),
        (["label=tier=front"], "web-1"),
        (["label=tier=back"], ""),
        (["label=tier", "label=com.example.owner=me"], "web-1"),
        (["label=tier", "label=missing"], ""),
        (["exited=3"], "old"),
        (["exited=0"], ""),
        (["exited=0", "exited=3"], "old"),
        (["status=exited"], "old"),
        (["status=created", "status=running"], "web-1 new"),
        ([" Status = exited "], "old"),
        (["health=healthy"], "web-1"),
        (["health=none"], "old new"),
        (["ancestor=nginx"], "web-1"),
        (["ancestor=nginx:latest"], "web-1"),
        (["ancestor=docker.io/library/nginx"], "web-1"),
        (["ancestor=nginx:1.27"], ""),
        (["ancestor=busybox"], ""),
        (["ancestor=busybox:1.36"], "old"),
        (["ancestor=registry.example:5000/team/app:2"], "new"),
        (["ancestor=cdcdcd"], "web-1"),
        (["ancestor=sha256:" + "cd" * 32], "web-1"),
        (["ancestor=nginx@sha256:" + "cd" * 32], "web-1"),
        (["ancestor=other@sha256:" + "cd" * 32], ""),
        (["before=web-1"], "old"),
        (["since=web-1"], "new"),
        (["since=old", "before=new"], "web-1"),
        (["volume=/srv/data"], "web-1"),
        (["volume=/data"], "web-1"),
        (["volume=/scratch"], "web-1"),
        (["volume=/srv"], ""),
        (["network=host"], "web-1"),
        (["network=none"], "old new"),
        (["is-task=false"], "old web-1 new"),
        (["is-task=true"], ""),
        (["isolation=default"], "old web-1 new"),
        (["name=e", "status=created"], "new"),
    ],
)
def test_which_containers_are_shown(given: list[str], found: str) -> None:
    assert names(*given) == found


def test_an_exit_code_that_nobody_was_told_is_255() -> None:
    lost = OLD.changed(exit_code=None)
    assert matches(lost, parse(["exited=255"]), find)
    assert not matches(lost, parse(["exited=0"]), find)


@pytest.mark.parametrize("status", ["created", "running"])
def test_what_has_not_ended_has_no_exit_code(status: str) -> None:
    assert not matches(ContainerRecord("d" * 64, "x", "y", 1.0, status=status), parse(["exited=0"]), find)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("publish=8080", True),
        ("publish=8000-9000/tcp", True),
        ("publish=8080/udp", False),
        ("publish=80", False),
        ("expose=80", True),
        ("expose=443", True),
        ("expose=81-442", False),
    ],
)
def test_ports(given: str, found: bool) -> None:
    ports = (Port(80, public=8080, ip="0.0.0.0"), Port(443))
    assert matches(WEB, parse([given]), find, ports) == found
    assert not matches(WEB, parse([given]), find)


def test_a_container_to_compare_with_must_be_there() -> None:
    with pytest.raises(ContainerNotFound, match="no such container: nobody"):
        names("before=nobody")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("foo=bar", "invalid filter 'foo'"),
        ("=bar", "invalid filter ''"),
        ("status", "bad format of filter (expected name=value)"),
        ("status=gone", "invalid filter 'status=gone'"),
        ("health=ill", "invalid filter 'health=ill'"),
        ("is-task=maybe", "invalid filter 'is-task=maybe'"),
        ("exited=zero", "invalid filter 'exited=zero'"),
        ("exited=", "invalid filter 'exited='"),
        ("publish=80:80", "filter for 'publish' should not contain ':': 80:80"),
        ("publish=http", "'http' is not a port"),
        ("expose=0", "'0' is not a port"),
        ("expose=70000", "'70000' is not a port"),
        ("expose=90-80", "'90-80' ends before it begins"),
        ("expose=80/ftp", "'80/ftp': 'ftp' is not one of tcp, udp, sctp"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse([given])
    assert caught.value.message == message


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'label'"):
        parse(["labels=tier"])


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", {}),
        ("{}", {}),
        ('{"status": ["exited", "dead"]}', {"status": ("exited", "dead")}),
        ('{"status": {"exited": true, "dead": false}}', {"status": ("exited",)}),
        ('{"status": []}', {}),
    ],
)
def test_filters_of_the_api(text: str, filters: Mapping[str, tuple[str, ...]]) -> None:
    assert from_json(text) == filters


@pytest.mark.parametrize("text", ["[", "[]", '"x"', '{"status": "exited"}', '{"status": [1]}', '{"foo": ["x"]}'])
def test_filters_of_the_api_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(InvalidOption, match="invalid filter"):
        from_json(text)


STARTED = Event(1, 5.0, "container", "start", WEB.id, {"name": "web-1", "image": "nginx:1.27", "tier": "front"})
LISTED = Event(2, 6.0, "container", "exec_start: ls -l", WEB.id, {"name": "web-1", "image": "nginx:1.27"})
PULLED = Event(3, 7.0, "image", "pull", "busybox:1.36", {"name": "busybox"})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], [1, 2, 3]),
        (["type=container"], [1, 2]),
        (["type=image", "type=volume"], [3]),
        (["event=start"], [1]),
        (["event=exec_start"], [2]),
        (["event=exec_start: ls -l"], [2]),
        (["event=exec"], []),
        (["event=start", "event=pull"], [1, 3]),
        (["container=web-1"], [1, 2]),
        (["container=" + WEB.id[:8]], [1, 2]),
        (["container=other"], []),
        (["image=nginx"], [1, 2]),
        (["image=nginx:1.27"], [1, 2]),
        (["image=busybox"], [3]),
        (["image=ngin"], []),
        (["label=tier=front"], [1]),
        (["label=tier", "event=pull"], []),
        (["scope=local"], [1, 2, 3]),
        (["scope=swarm"], []),
    ],
)
def test_which_events_are_shown(given: list[str], found: list[int]) -> None:
    filters = parse(given, EVENT_KEYS)
    assert [event.number for event in (STARTED, LISTED, PULLED) if matches_event(event, filters)] == found


def test_keys_of_events_are_not_those_of_containers() -> None:
    assert "status" in CONTAINER_KEYS
    with pytest.raises(InvalidOption, match="invalid filter 'status'"):
        parse(["status=exited"], EVENT_KEYS)
    with pytest.raises(InvalidOption, match="invalid filter 'event'"):
        parse(["event=start"])
