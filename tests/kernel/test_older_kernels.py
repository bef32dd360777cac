"""What this kernel can do is left unused: the ways that older kernels (back to Linux 5.15) are started in."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelbox.engine.kernel as kernel
from kernelbox import Engine
from kernelbox.engine.options import RunOptions
from kernelbox.errors import CommandNotFound, StartError
from kernelbox.linux.features import probe
from kernelbox.runtime.plan import Fault

pytestmark = [pytest.mark.kernel, pytest.mark.root]

AGES = {
    "6.12": {"detached_clone": False},
    "6.8": {"detached_clone": False, "overlay_by_fd": False},
    "6.1": {"detached_clone": False, "overlay_by_fd": False, "idmapped_tmpfs": False, "pids_peak": False},
    "5.15": {
        "detached_clone": False,
        "overlay_by_fd": False,
        "idmapped_tmpfs": False,
        "pids_peak": False,
        "memory_peak": False,
    },
}


@pytest.fixture(params=AGES)
def older(request: pytest.FixtureRequest, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that believes to be on an older kernel."""
    here = dataclasses.asdict(probe())
    fewer = {name: value and here[name] for name, value in AGES[request.param].items()}
    monkeypatch.setattr(kernel, "probe", lambda: dataclasses.replace(probe(), **fewer))
    with Engine(root=store) as engine:
        yield engine


@pytest.mark.parametrize("image", ["host", "dir"])
def test_runs(older: Engine, busybox_image: str, image: str) -> None:
    name = "host" if image == "host" else busybox_image
    script = "id -u; echo x > /new && cat /new; stat -c %u / /etc/passwd; cut -d' ' -f3 /proc/mounts | head -n 1"
    for _ in range(2):
        run = older.run(name, ["sh", "-c", script], check=True)
        assert run.stdout.split() == ["0", "x", "0", "0", "overlay"]
        assert run.usage.cpu_usage_seconds


def test_volumes(older: Engine, busybox_image: str) -> None:
    run = older.run("host", ["sh", "-c", "ls /etc/passwd; mkdir /own/part; ls /own"], volumes=["web:/etc", "/own"])
    assert run.stdout == "/etc/passwd\npart\n", run.stderr
    older.run(busybox_image, ["mkdir", "-p", "/w/part/below"], volumes=["web:/w"], check=True)
    run = older.run(busybox_image, ["ls", "/p"], mounts=["src=web,dst=/p,volume-subpath=part"])
    assert run.stdout == "below\n", run.stderr
    older.volumes.get("web").remove()


def test_it_is_another_way(older: Engine, request: pytest.FixtureRequest, busybox_image: str) -> None:
    age = request.node.callspec.params["older"]
    plan = older.plan(busybox_image, ["true"], RunOptions.make())
    by_path = "ClearWorkshop" in {type(step).__name__ for step in plan.last}
    assert by_path == ("overlay_by_fd" in AGES[age] or not probe().overlay_by_fd)


def test_hidden_paths(older: Engine, busybox_image: str) -> None:
    script = "cat /proc/keys /proc/cmdline /proc/interrupts; ls /sys/firmware /proc/acpi 2>/dev/null; touch /proc/sys/x"
    run = older.run(busybox_image, ["sh", "-c", script])
    assert not [line for line in run.stdout.splitlines() if line and not line.startswith(("/sys", "/proc"))]


def test_containers_at_once(older: Engine, busybox_image: str) -> None:
    jobs = [
        older.start(image, ["sh", "-c", f"echo {n} > /f; cat /f"])
        for n in range(4)
        for image in ("host", busybox_image)
    ]
    assert sorted(job.wait(60).stdout for job in jobs) == sorted([f"{n}\n" for n in range(4)] * 2)


def test_folders_files_and_terminals(older: Engine, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content\n")
    options = {"volumes": [f"{tmp_path}:/in", f"{tmp_path}/file:/one:ro"], "tmpfs": ["/scratch:uid=1000"]}
    script = "cat /in/file /one; touch /in/new; stat -c %u /scratch /in/file; echo > /one || echo refused"
    run = older.run(busybox_image, ["sh", "-c", script], **options)
    assert run.stdout.split() == ["content", "content", "1000", "0", "refused"]
    assert (tmp_path / "new").stat().st_uid == 0
    assert older.run(busybox_image, ["tty"], tty=True).stdout == "/dev/pts/0\r\n"


def test_a_timeout_and_a_program_that_is_missing(older: Engine, busybox_image: str) -> None:
    assert older.run(busybox_image, ["sleep", "infinity"], timeout=0.1).timed_out
    with pytest.raises(CommandNotFound):
        older.run("host", ["nonesuch"])
    assert older.run("host", ["true"]).exit_code == 0


def test_each_step_that_fails(older: Engine, busybox_image: str) -> None:
    """The ways of an older kernel undo themselves too."""
    for image in ("host", busybox_image):
        plan = older.plan(image, ["true"], RunOptions.make())
        for number, step in enumerate(plan.outside + plan.inside, 1):
            if not step.syscall or type(step).__name__ in ("NewNamespaces", "Exec"):
                continue
            with pytest.raises(StartError) as caught:
                older.run_with_fault(Fault(number, errno.EIO), image, ["true"])
            assert caught.value.step == number
        assert older.run(image, ["true"]).exit_code == 0
