"""What of /proc and /sys is masked or can only be read: in a container with ids of its own, in one that has the
machine's root, and in a bundle. In the last two nothing else stands between it and the machine.

Files are opened and closed again: should a barrier be missing, nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import bundles
import pytest
from bundles import Bundle

from kernelbox import Engine, RunResult
from kernelbox.engine.hardening import MASKED_PATHS, READONLY_PATHS

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Run = Callable[..., RunResult]
KINDS = ("auto", "host", "bundle")

HIDDEN = """
looked=0
for path in "$@"; do
    [ -e "$path" ] || continue
    looked=$((looked + 1))
    if [ -d "$path" ]; then
        [ -z "$(ls -A "$path" 2>/dev/null)" ] || echo "$path has entries"
        mkdir "$path/new" 2>/dev/null && echo "$path takes a folder"
    elif [ "$(stat -c %t:%T "$path")" != 1:3 ]; then
        [ -z "$(head -c 1 "$path" 2>/dev/null)" ] || echo "$path can be read"
        (: >> "$path") 2>/dev/null && echo "$path can be written"
    fi
done
echo "$looked"
"""

CLOSED = """
most=$1; shift
looked=0
for path in "$@"; do
    for file in $(find "$path" -type f 2>/dev/null | head -n "$most"); do
        looked=$((looked + 1))
        (: >> "$file") 2>/dev/null && echo "$file can be written"
    done
    (: > "$path/new") 2>/dev/null && echo "$path takes a file"
done
echo "$looked"
"""


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, engine: Engine, busybox_image: str, bundle: Bundle) -> Run:
    """Runs a script with arguments, as a user of busybox."""

    def in_image(script: str, *arguments: str, user: str = "root") -> RunResult:
        return engine.run(busybox_image, ["sh", "-c", script, "sh", *arguments], user=user, userns=request.param)

    def in_bundle(script: str, *arguments: str, user: str = "root") -> RunResult:
        ids = {"root": {"uid": 0, "gid": 0}, "alice": {"uid": 1000, "gid": 1000}}[user]
        name = bundle(lambda config: config["process"].update(user=ids))
        return engine.run(name, ["sh", "-c", script, "sh", *arguments])

    return in_bundle if request.param == "bundle" else in_image


def kind_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["run"])


@pytest.mark.parametrize("user", ["root", "alice"])
def test_hidden_paths(run: Run, user: str, request: pytest.FixtureRequest) -> None:
    """Each is an empty folder, the null device, or a file that is closed. All that the machine has are looked at."""
    paths: Sequence[str] = bundles.MASKED if kind_of(request) == "bundle" else MASKED_PATHS
    there = sum(os.path.exists(path) for path in paths)
    assert there
    assert run(HIDDEN, *paths, user=user).stdout == f"{there}\n"


@pytest.mark.parametrize("user", ["root", "alice"])
def test_paths_to_read_only(run: Run, user: str) -> None:
    *found, looked = run(CLOSED, "300", *READONLY_PATHS, user=user).stdout.splitlines()
    assert found == []
    assert int(looked) >= 300  # /proc/sys alone has more


def test_sysfs_can_only_be_read(run: Run) -> None:
    *found, looked = run(CLOSED, "2000", "/sys").stdout.splitlines()
    assert found == []
    assert int(looked) == 2000


def test_the_files_are_open_where_nothing_protects_them(engine: Engine, busybox_image: str) -> None:
    """So that the tests above have something to find."""
    shown = {"userns": "host", "security_opt": ["systempaths=unconfined"]}
    closed = engine.run(busybox_image, ["sh", "-c", CLOSED, "sh", "3", "/proc/sys/vm"], userns="host")
    opened = engine.run(busybox_image, ["sh", "-c", CLOSED, "sh", "3", "/proc/sys/vm"], **shown)
    assert closed.stdout == "3\n"
    assert opened.stdout.count("can be written") > 0
    hidden = engine.run(busybox_image, ["sh", "-c", HIDDEN, "sh", "/proc/interrupts"], **shown)
    assert hidden.stdout == "/proc/interrupts can be read\n/proc/interrupts can be written\n1\n"
