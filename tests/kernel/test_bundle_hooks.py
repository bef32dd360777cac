"""The hooks of OCI bundles: when each runs, what it is told, and what comes of one that fails."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle

from kernelbox import Engine
from kernelbox.errors import StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
STATUSES = ("creating", "creating", "creating", "created", "running", "stopped")


def hook(script: str, *arguments: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script, *arguments], **more}


def place_of(name: str, kind: str, tmp_path: Path) -> tuple[str, Path]:
    """Where a hook of that kind can write, by its own name and by ours."""
    if kind == "startContainer":
        return "/tmp", Path(name.removeprefix("bundle:"), "rootfs/tmp")
    return str(tmp_path), tmp_path


@pytest.mark.parametrize(("kind", "status"), list(zip(KINDS, STATUSES, strict=True)))
def test_hooks(engine: Engine, bundle: Bundle, tmp_path: Path, kind: str, status: str) -> None:
    """Each is told the state on its input, and has the arguments and the environment that it was given."""
    name = bundle()
    there, here = place_of(name, kind, tmp_path)
    script = f'cat > {there}/state; env > {there}/env; echo "$0 $@" > {there}/args'

    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["annotations"] = {"org.example.note": "seen"}
        config["hooks"] = {kind: [hook(script, "zero", "one", env=["A=1"], timeout=20)]}
        config["process"]["args"] = ["sh", "-c", "echo ran"]

    run = engine.run(bundle(change))
    assert (run.exit_code, run.stdout) == (0, "ran\n")
    state = json.loads((here / "state").read_text())
    assert state["ociVersion"].startswith("1.")
    assert (state["id"], state["status"]) == (run.container.id, status)
    assert state["bundle"] == name.removeprefix("bundle:")
    assert state["annotations"]["org.example.note"] == "seen"
    assert (here / "args").read_text() == "zero one\n"
    assert "A=1" in (here / "env").read_text().split()


PID = """sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p'"""


@pytest.mark.parametrize("kind", KINDS[:5])
def test_the_pid_is_that_of_the_process(engine: Engine, bundle: Bundle, tmp_path: Path, kind: str) -> None:
    """As the machine numbers it, which the container calls 1; a hook inside the container is told that 1."""
    name = bundle()
    there, here = place_of(name, kind, tmp_path)
    script = f"pid=$({PID}); echo $pid > {there}/told; grep NSpid: /proc/$pid/status > {there}/seen; true"

    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["hooks"] = {kind: [hook(script)]}
        config["process"]["args"] = ["sh", "-c", "echo $$"]

    assert engine.run(bundle(change)).stdout == "1\n"
    told = (here / "told").read_text().strip()
    numbers = (here / "seen").read_text().split()[1:]
    if kind == "startContainer":
        assert (told, numbers) == ("1", ["1"])
    else:
        assert told != "1"
        assert numbers == [told, "1"]


@pytest.mark.parametrize("kind", KINDS[:5])
def test_the_pid_where_all_processes_are_in_sight(engine: Engine, bundle: Bundle, tmp_path: Path, kind: str) -> None:
    """Without a pid namespace of the container's own everybody knows it by the same number."""
    name = bundle()
    there, here = place_of(name, kind, tmp_path)

    def change(config: dict[str, Any]) -> None:
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [space for space in spaces if space["type"] != "pid"]
        config["root"]["readonly"] = False
        config["hooks"] = {kind: [hook(f"{PID} > {there}/told")]}
        config["process"]["args"] = ["sh", "-c", "echo $$"]

    assert engine.run(bundle(change)).stdout.split() == [(here / "told").read_text()]


@pytest.mark.parametrize("kind", KINDS[:5])
def test_a_hook_that_fails_ends_the_start(engine: Engine, bundle: Bundle, tmp_path: Path, kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {
            kind: [hook("echo because of this >&2; exit 3")],
            "poststop": [hook(f"touch {tmp_path}/stopped")],
        }

    with pytest.raises(StartError, match=rf"{kind} hook /bin/sh: .*\(exit code 3: because of this\)"):
        engine.run(bundle(change))
    assert (tmp_path / "stopped").exists()


def test_a_hook_that_does_not_end(engine: Engine, bundle: Bundle) -> None:
    endless = hook("sleep infinity & sleep infinity", timeout=1)
    with pytest.raises(StartError, match=r"could not run the prestart hook /bin/sh: connection timed out"):
        engine.run(bundle(lambda config: config.update(hooks={"prestart": [endless]})))


def test_a_hook_that_is_not_there(engine: Engine, bundle: Bundle) -> None:
    with pytest.raises(StartError, match=r"could not run the createRuntime hook /nonesuch: no such file"):
        engine.run(bundle(lambda config: config.update(hooks={"createRuntime": [{"path": "/nonesuch"}]})))


def test_several_hooks_of_a_kind(engine: Engine, bundle: Bundle, tmp_path: Path) -> None:
    """The second says the same of the container, and has no variables."""
    hooks = [hook(f"touch {tmp_path}/first", env=["A=1"]), hook(f"touch {tmp_path}/second")]
    assert engine.run(bundle(lambda config: config.update(hooks={"poststop": hooks})), ["true"]).exit_code == 0
    assert (tmp_path / "second").exists()


def test_a_last_hook_that_fails_changes_nothing(engine: Engine, bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"poststop": [hook("echo words >&2; exit 3")]}
        config["process"]["args"] = ["sh", "-c", "exit 4"]

    run = engine.run(bundle(change))
    assert run.exit_code == 4
    assert run.usage.cpu_usage_seconds
    assert [row.errno for row in run.trace if row.step == "RunHook"] == [errno.ECANCELED]
