"""`kernelbox volume` as a shell uses it: Docker's words, output and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import as_a_process, kernelbox, printed, refused

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]


@pytest.fixture(autouse=True)
def nothing_kept(store: Path) -> Iterator[None]:
    """What a test has made is removed."""
    yield
    kept = kernelbox("ps", "-aq", "--no-trunc").stdout.split()
    if kept:
        printed("rm", "-fv", *kept)
    printed("volume", "prune", "-af")


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def test_made_listed_looked_at_and_removed(store: Path) -> None:
    assert printed("volume", "create", "--label", "of=me", "--label", "plain", "web") == "web\n"
    assert printed("volume", "create", "web") == "web\n", "the same once more"
    name = printed("volume", "create").strip()
    assert len(name) == 64
    assert printed("volume", "ls") == f"DRIVER    VOLUME NAME\n{table(name, 'web')}"
    assert printed("volume", "list", "-q") == "".join(f"{each}\n" for each in sorted((name, "web")))
    (document,) = json.loads(printed("volume", "inspect", "web"))
    assert document.pop("CreatedAt").endswith("Z")
    assert document == {
        "Driver": "local", "Labels": {"of": "me", "plain": ""}, "Mountpoint": f"{store}/volumes/web/_data",
        "Name": "web", "Options": None, "Scope": "local",
    }  # fmt: skip
    assert printed("volume", "inspect", "-f", "{{.Name}} {{.Labels.of}}", "web") == "web me\n"
    assert json.loads(printed("inspect", "web"))[0]["Name"] == "web", "where no container is called so"
    assert printed("volume", "rm", "web", name) == f"web\n{name}\n"
    assert printed("volume", "ls", "-q") == ""


def table(*names: str) -> str:
    return "".join(f"local     {name}\n" for name in sorted(names))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), "a ab b"),
        (("name=a",), "a ab"),
        (("name=^a$",), "a"),
        (("name=a", "name=b"), "a ab b"),
        (("label=x",), "a ab"),
        (("label=x=1",), "a"),
        (("label=x", "name=b"), "ab"),
        (("driver=local",), "a ab b"),
        (("driver=other",), ""),
        (("dangling=true",), "a b"),
        (("dangling=false",), "ab"),
    ],
)
def test_filters(image: str, arguments: tuple[str, ...], found: str) -> None:
    printed("volume", "create", "--label", "x=1", "a")
    printed("volume", "create", "--label", "x=2", "ab")
    printed("volume", "create", "b")
    printed("create", "-v", "ab:/v", image, "true")
    given = [word for each in arguments for word in ("-f", each)]
    assert printed("volume", "ls", "-q", *given).split() == found.split()


def test_formats() -> None:
    printed("volume", "create", "--label", "x=1", "web")
    assert printed("volume", "ls", "--format", '{{.Name}} {{.Driver}} {{.Scope}} {{.Label "x"}} {{.Links}}') == (
        "web local local 1 N/A\n"
    )
    assert (
        printed("volume", "ls", "--format", "table {{.Name}}\t{{.Labels}}")
        == "VOLUME NAME   LABELS\nweb           x=1\n"
    )
    assert json.loads(printed("volume", "ls", "--format", "json"))["Name"] == "web"


def test_one_that_is_in_use(image: str) -> None:
    printed("create", "--name", "first", "-v", "web:/v", image, "true")
    for force in ((), ("-f",)):
        failed = as_a_process("volume", "rm", *force, "web")
        assert failed.returncode == 1
        assert "the volume web is in use by the container first" in failed.stderr
    printed("rm", "first")
    assert printed("volume", "rm", "web") == "web\n"


def test_prune(image: str) -> None:
    printed("volume", "create", "named")
    printed("volume", "create", "--label", "keep", "other")
    printed("create", "-v", "/used", image, "true")
    anonymous = printed("volume", "create").strip()
    used = set(printed("volume", "ls", "-q").split()) - {"named", "other", anonymous}
    asked = as_a_process("volume", "prune", input="n\n")
    assert asked.stdout.startswith("WARNING! This will remove anonymous local volumes not used by at least one")
    assert printed("volume", "prune", "-f") == f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 0B\n"
    assert printed("volume", "prune", "-f") == "Total reclaimed space: 0B\n"
    out = printed("volume", "prune", "-f", "--all", "--filter", "label!=keep")
    assert out == "Deleted Volumes:\nnamed\n\nTotal reclaimed space: 0B\n"
    assert set(printed("volume", "ls", "-q").split()) == {"other", *used}


def test_runs_and_rm_v(image: str) -> None:
    printed("run", "--rm", "-v", "web:/v", "-v", "/own", image, "sh", "-c", "echo well > /v/file")
    assert printed("run", "--rm", "--mount", "src=web,dst=/w,readonly", image, "cat", "/w/file") == "well\n"
    assert printed("volume", "ls", "-q") == "web\n"
    printed("run", "--name", "kept", "-v", "/own", "-v", "web:/v", image, "true")
    assert printed("ps", "-a", "--format", "{{.LocalVolumes}}") == "2\n"
    assert printed("ps", "-aq", "--filter", "volume=web") != ""
    assert printed("rm", "-v", "kept") == "kept\n"
    assert printed("volume", "ls", "-q") == "web\n"


@pytest.mark.parametrize(
    ("words", "reason", "code"),
    [
        (("volume", "rm", "nonesuch"), "no such volume: nonesuch", 1),
        (("volume", "inspect", "nonesuch"), "no such volume: nonesuch", 1),
        (("volume", "create", "a/b"), "'a/b' is not a name for a volume", 1),
        (("volume", "create", "-d", "nfs", "x"), "there is no volume driver 'nfs'", 1),
        (("volume", "create", "-o", "type=nfs", "x"), "takes no options", 1),
        (("volume", "create", "a", "b"), "create takes", 1),
        (("volume", "ls", "-f", "frob=1"), "invalid filter 'frob'", 1),
        (("volume", "ls", "-f", "dangling=perhaps"), "invalid filter 'dangling=perhaps'", 1),
        (("volume", "rm"), "rm takes at least 1 argument", 1),
        (("volume", "frob"), "there is no command 'frob'", 125),
        (("run", "--rm", "-v", "../x/..:/in:rw,ro", "host", "true"), "only one of", 125),
    ],
)
def test_what_cannot_be(words: tuple[str, ...], reason: str, code: int) -> None:
    failed = as_a_process(*words)
    assert reason in failed.stderr
    assert failed.returncode == code
    assert printed("volume", "rm", "-f", "nonesuch") == "nonesuch\n"


def test_refusals_leave_nothing(store: Path) -> None:
    refused("volume", "create", "-d", "nfs", "x")
    assert printed("volume", "ls", "-q") == ""
