"""`ps`: Docker's layout, columns and words."""

from __future__ import annotations

from datetime import UTC

import pytest

from kernelbox.cli.table_layout import aligned, ellipsis, text_width
from kernelbox.cli.tables import (
    CONTAINER_HEADERS,
    container_format,
    container_row,
    containers_table,
    human_size,
    ports_text,
    table,
)
from kernelbox.cli.template_values import quoted
from kernelbox.cli.templates import render_rows
from kernelbox.engine.inspect import Known, Sizes, summary
from kernelbox.engine.ports import Port
from kernelbox.store.container_record import ContainerRecord

NOW = 1_700_000_300.0
WEB = ContainerRecord(
    "4d356396ffef" + "0" * 52,
    "web",
    "docker.io/library/nginx:1.27@sha256:" + "a" * 64,
    NOW - 300,
    ("nginx", "-g", "daemon off;"),
    labels={"b": "2", "a.my-role": "<x>"},
    status="running",
    started_at=NOW - 299,
    options={"volumes": ["/srv/a-very-long-folder:/d", "/e:/e"]},
)
IDLE = ContainerRecord(
    "b" * 64, "idle", "busybox", NOW - 7200, ("sh",), status="exited", started_at=NOW - 9, finished_at=NOW - 3
)
PORTS = Known(ports=(Port(80, public=8080, ip="0.0.0.0"), Port(443)))


def test_columns_are_three_blanks_apart_and_never_very_narrow() -> None:
    assert table(["ID", "LONG NAME", "X"], [["1", "2", ""], ["123456789", "", "z"]]) == (
        "ID          LONG NAME   X\n"
        "1           2           \n"
        "123456789               z\n"
    )  # fmt: skip
    assert table(["A", "B"], []) == "A         B\n"


def test_wide_letters_take_two_columns() -> None:
    assert table(["NAME", "B"], [["日本語日本語", "x"], ["é…", "y"]]) == (
        "NAME           B\n"
        "日本語日本語   x\n"
        "é…             y\n"
    )  # fmt: skip
    assert [text_width(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]


def test_a_line_without_a_cell_ends_the_column() -> None:
    assert aligned("a-long-first-cell\tx\nno cells\nb\ty\n") == "a-long-first-cell   x\nno cells\nb         y\n"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("short", "short"),
        ("exactly-10", "exactly-10"),
        ("more-than-10", "more-than…"),
        ("日本語日本", "日本語日本"),
        ("日本語日本語", "日本語日…"),
    ],
)
def test_long_texts_are_cut(text: str, cut: str) -> None:
    assert ellipsis(text, 10) == cut
    assert text_width(cut) <= 10


@pytest.mark.parametrize(
    ("text", "result"),
    [('a "b"', r'"a \"b\""'), ("a\n\tb\\", r'"a\n\tb\\"'), ("é…", '"é…"'), ("\x1b\u200b", r'"\x1b\u200b"')],
)
def test_quotes(text: str, result: str) -> None:
    assert quoted(text) == result


def test_the_table_of_containers() -> None:
    assert containers_table([WEB, IDLE], NOW, known={WEB.id: PORTS}).splitlines() == [
        "CONTAINER ID   IMAGE        COMMAND                  CREATED         STATUS"
        "                     PORTS                           NAMES",
        "4d356396ffef   nginx:1.27   \"nginx -g 'daemon of…\"   5 minutes ago   Up 4 minutes"
        "               443/tcp, 0.0.0.0:8080->80/tcp   web",
        'bbbbbbbbbbbb   busybox      "sh"                     2 hours ago     Exited (0) 3 seconds ago'
        "                                   idle",
    ]  # fmt: skip


def test_nothing_cut_and_sizes() -> None:
    head, web, idle = containers_table([WEB, IDLE], NOW, True, {WEB.id: Sizes(2, 21_500_000)}).splitlines()
    assert head.endswith("NAMES     SIZE")
    assert web.startswith(f"{WEB.id}   {WEB.image}   \"nginx -g 'daemon off;'\"   5 minutes ago")
    assert web.endswith("web       2B (virtual 21.5MB)")
    assert idle.endswith("idle      0B")


def test_no_containers() -> None:
    assert containers_table([], NOW) == "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"


def test_the_fields_of_a_row() -> None:
    assert dict(container_row(summary(WEB, NOW, known=PORTS), NOW, zone=UTC)) == {
        "ID": "4d356396ffef",
        "Image": "nginx:1.27",
        "Command": '"nginx -g \'daemon of…"',
        "CreatedAt": "2023-11-14 22:13:20 +0000 UTC",
        "RunningFor": "5 minutes ago",
        "Ports": "443/tcp, 0.0.0.0:8080->80/tcp",
        "State": "running",
        "Status": "Up 4 minutes",
        "Size": "0B",
        "Names": "web",
        "Labels": "a.my-role=<x>,b=2",
        "Mounts": "/srv/a-very-lo…,/e",
        "Networks": "none",
        "LocalVolumes": "0",
    }


def test_every_field_has_a_header() -> None:
    assert container_row(summary(IDLE, NOW), NOW).keys() == CONTAINER_HEADERS.keys()


def test_labels_by_name() -> None:
    row = container_row(summary(WEB, NOW), NOW)
    assert render_rows(r'table {{.ID}}\t{{.Label "a.my-role"}}|{{.Label "zz"}}', [row], CONTAINER_HEADERS) == (
        "CONTAINER ID   my role|zz\n4d356396ffef   <x>|\n"
    )
    assert '"Label"' not in render_rows("json", [row], CONTAINER_HEADERS)


@pytest.mark.parametrize(
    ("image", "digest", "shown"),
    [
        ("", "", "<no image>"),
        ("host", "", "host"),
        ("sha256:" + "ab" * 32, "sha256:" + "ab" * 32, "ab" * 6),
        ("ab" * 8, "sha256:" + "ab" * 32, "ab" * 6),
        ("docker.io/team/app:2", "", "team/app:2"),
        ("registry.example:5000/app@sha256:" + "ab" * 32, "", "registry.example:5000/app"),
    ],
)
def test_images(image: str, digest: str, shown: str) -> None:
    record = IDLE.changed(image=image, image_digest=digest)
    assert container_row(summary(record, NOW), NOW)["Image"] == shown


@pytest.mark.parametrize(
    ("given", "quiet", "size", "template"),
    [
        ("", True, False, "{{.ID}}"),
        ("json", False, False, "json"),
        ("{{.Names}}", False, True, "{{.Names}}"),
        ("{{.Names}}", True, False, "{{.ID}}"),
        ("raw", True, False, "container_id: {{.ID}}"),
    ],
)
def test_formats(given: str, quiet: bool, size: bool, template: str) -> None:
    assert container_format(given, quiet=quiet, size=size) == template


def test_the_raw_format() -> None:
    row = container_row(summary(IDLE, NOW), NOW, zone=UTC)
    assert render_rows(container_format("raw", size=True), [row], CONTAINER_HEADERS).splitlines() == [
        "container_id: bbbbbbbbbbbb",
        "image: busybox",
        'command: "sh"',
        "created_at: 2023-11-14 20:18:20 +0000 UTC",
        "state: exited",
        "status: Exited (0) 3 seconds ago",
        "names: idle",
        "labels:",
        "ports:",
        "size: 0B",
        "",
    ]


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([Port(80)], "80/tcp"),
        ([Port(82), Port(80), Port(81)], "80-82/tcp"),
        ([Port(80), Port(82)], "80/tcp, 82/tcp"),
        ([Port(53), Port(53, "udp")], "53/tcp, 53/udp"),
        ([Port(80, public=80, ip="0.0.0.0"), Port(81, public=81, ip="0.0.0.0")], "0.0.0.0:80-81->80-81/tcp"),
        ([Port(80, public=8080, ip="::"), Port(80, public=8080, ip="0.0.0.0")],
         "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([Port(80, public=81, ip="2001:db8::1"), Port(80, public=81, ip="9.0.0.1")],
         "9.0.0.1:81->80/tcp, [2001:db8::1]:81->80/tcp"),
        ([Port(80, public=8080, ip="0.0.0.0"), Port(443)], "443/tcp, 0.0.0.0:8080->80/tcp"),
    ],
)  # fmt: skip
def test_ports(ports: list[Port], text: str) -> None:
    assert ports_text(port.summary() for port in ports) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (21_500_000, "21.5MB"), (2.5e12, "2.5TB")],
)
def test_sizes(size: float, text: str) -> None:
    assert human_size(size) == text
