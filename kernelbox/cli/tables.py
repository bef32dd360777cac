"""Tables of containers: the columns and words of `docker ps`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import cast

from kernelbox.cli.table_layout import aligned, ellipsis
from kernelbox.cli.template_values import Row, quoted
from kernelbox.cli.templates import render_rows
from kernelbox.engine.inspect import Known, Sizes, summary
from kernelbox.engine.status import ago
from kernelbox.store.container_record import ContainerRecord

__all__ = [
    "CONTAINER_HEADERS",
    "container_format",
    "container_row",
    "containers_table",
    "human_size",
    "local_time",
    "ports_text",
    "table",
]

CONTAINER_HEADERS: Mapping[str, str] = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
}
"""What stands above each field of a container's row."""

_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_RAW = """container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""
_COMMAND_WIDTH, _MOUNT_WIDTH, _SHORT_ID = 20, 15, 12
_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


class Container(Row):
    """A container's fields for `--format`, and `Label KEY`."""

    def __init__(self, fields: Mapping[str, object], labels: Mapping[str, str]) -> None:
        super().__init__(fields)
        self.methods = {"Label": lambda key: labels.get(key, "")}


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line of headers and one for each row, in columns with three blanks at least between them."""
    lines = [headers, *rows]
    return aligned("".join("\t".join(cells) + "\n" for cells in lines))


def containers_table(
    records: Iterable[ContainerRecord],
    now: float,
    no_trunc: bool = False,
    size: Mapping[str, Sizes] | None = None,
    known: Mapping[str, Known] | None = None,
) -> str:
    """What `ps` prints. `now` is in seconds since 1970; `size` has the bytes of each container by its id, for one more
    column, and `known` what else is known of it."""
    summaries = [summary(record, now, known=(known or {}).get(record.id, Known())) for record in records]
    if size is not None:
        summaries = [_with_size(each, size.get(str(each["Id"]))) for each in summaries]
    rows = [container_row(each, now, no_trunc=no_trunc) for each in summaries]
    return render_rows(container_format("", size=size is not None), rows, CONTAINER_HEADERS)


def _with_size(shown: Mapping[str, object], sizes: Sizes | None) -> dict[str, object]:
    return {**shown, "SizeRw": sizes.changed if sizes else 0, "SizeRootFs": sizes.root if sizes else 0}


def container_format(given: str, *, quiet: bool = False, size: bool = False) -> str:
    """The template for `--format GIVEN`, where "", "table" and "raw" are names of one."""
    if given in ("", "table"):
        if quiet:
            return "{{.ID}}"
        columns = (*_COLUMNS, "Size") if size else _COLUMNS
        return "table " + "\t".join(f"{{{{.{name}}}}}" for name in columns)
    if given == "raw":
        return "container_id: {{.ID}}" if quiet else _RAW + ("size: {{.Size}}\n" if size else "")
    return "{{.ID}}" if quiet else given


def container_row(
    shown: Mapping[str, object], now: float, *, no_trunc: bool = False, zone: tzinfo | None = None
) -> Container:
    """The fields for `--format`, from what the API's list says of a container (`engine.inspect.summary`).

    `CreatedAt` is in the time zone `zone`, or the machine's own."""
    created = float(str(shown["Created"]))
    labels = cast("Mapping[str, str]", shown["Labels"] or {})
    mounts = cast("Sequence[Mapping[str, str]]", shown["Mounts"])
    command = str(shown["Command"])
    network = cast("Mapping[str, Mapping[str, object]]", shown["NetworkSettings"])
    fields: dict[str, object] = {
        "ID": str(shown["Id"]) if no_trunc else str(shown["Id"])[:_SHORT_ID],
        "Image": _image(shown, no_trunc),
        "Command": quoted(command if no_trunc else ellipsis(command, _COMMAND_WIDTH)),
        "CreatedAt": local_time(created, zone),
        "RunningFor": ago(created, now),
        "Ports": ports_text(cast("Sequence[Mapping[str, object]]", shown["Ports"])),
        "State": str(shown["State"]),
        "Status": str(shown["Status"]),
        "Size": _size(shown),
        "Names": ",".join(name.removeprefix("/") for name in cast("Sequence[str]", shown["Names"])),
        "Labels": ",".join(sorted(f"{key}={value}" for key, value in labels.items())),
        "Mounts": ",".join(_mount(mount, no_trunc) for mount in mounts),
        "Networks": ",".join(network["Networks"]),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in mounts)),
    }
    return Container(fields, labels)


def _image(shown: Mapping[str, object], no_trunc: bool) -> str:
    image, digest = str(shown["Image"]), str(shown["ImageID"])
    if not image:
        return "<no image>"
    if no_trunc:
        return image
    short = digest.removeprefix("sha256:")[:_SHORT_ID]
    if short and image.removeprefix("sha256:")[:_SHORT_ID] == short:
        return short
    return image.partition("@")[0].removeprefix("docker.io/").removeprefix("library/")


def local_time(created: float, zone: tzinfo | None = None) -> str:
    """A moment in seconds since 1970, as Docker's tables have it; `zone` is this machine's."""
    return datetime.fromtimestamp(created, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z %Z")


def _size(shown: Mapping[str, object]) -> str:
    changed, root = (int(str(shown.get(key) or 0)) for key in ("SizeRw", "SizeRootFs"))
    return f"{human_size(changed)} (virtual {human_size(root)})" if root > 0 else human_size(changed)


def human_size(size: float, digits: int = 3) -> str:
    """ "21.5MB": decimal units, `digits` digits that count."""
    unit = 0
    while size >= 1000 and unit < len(_SIZE_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.{digits}g}{_SIZE_UNITS[unit]}"


def _mount(mount: Mapping[str, str], no_trunc: bool) -> str:
    name = mount.get("Name") or mount["Source"]
    return name if no_trunc else ellipsis(name, _MOUNT_WIDTH)


def ports_text(ports: Iterable[Mapping[str, object]]) -> str:
    """ "443/tcp, 0.0.0.0:8080->80/tcp": runs of ports are joined, those published under another number come last."""
    runs: dict[tuple[str, str], list[list[int]]] = {}
    others: list[str] = []
    for port in sorted(ports, key=_port_order):
        private, public = int(str(port["PrivatePort"])), int(str(port.get("PublicPort") or 0))
        ip, protocol = str(port.get("IP") or ""), str(port["Type"])
        if ip and public != private:
            others.append(f"{_address(ip)}:{public}->{private}/{protocol}")
            continue
        run = runs.setdefault((ip, protocol), [])
        if run and private == run[-1][1] + 1:
            run[-1][1] = private
        else:
            run.append([private, private])
    finished = [_run(*key, *ends) for key, found in runs.items() for ends in found[:-1]]
    return ", ".join([*finished, *(_run(*key, *found[-1]) for key, found in runs.items()), *others])


def _port_order(port: Mapping[str, object]) -> tuple[int, int, str, int, str]:
    ip = str(port.get("IP") or "")
    family = 0 if not ip else 6 if ":" in ip else 4
    return int(str(port["PrivatePort"])), family, ip, int(str(port.get("PublicPort") or 0)), str(port["Type"])


def _address(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def _run(ip: str, protocol: str, first: int, last: int) -> str:
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{_address(ip)}:{numbers}->{numbers}/{protocol}" if ip else f"{numbers}/{protocol}"
