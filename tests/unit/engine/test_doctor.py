"""What the doctor says about machines that are not this one, and how its findings are shown."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.engine import doctor, doctor_isolation, doctor_limits, doctor_machine
from kernelbox.engine.doctor import Check
from kernelbox.engine.doctor_check import degraded, missing, nearest_folder, tried, works
from kernelbox.errors import KernelError, NotSupported
from kernelbox.store.paths import StorePaths

CHECKS = (
    works("Linux", "6.18"),
    degraded("id ranges", "only root <exists>", "apt-get install uidmap"),
    missing("disk weight", "no BFQ"),
)


def test_a_check_that_fails_is_the_finding() -> None:
    def refused() -> Check:
        raise NotSupported("not here", hint="do this")

    def broken() -> Check:
        raise KernelError(errno.EPERM, "mount", "/x")

    def unreadable() -> Check:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/f")

    def slow() -> Check:
        raise subprocess.TimeoutExpired(["python3"], 30.0)

    def odd() -> Check:
        return works("a", f"{int('none')}")

    assert tried("a", refused) == (Check("a", "missing", "not here", "do this"),)
    assert tried("a", broken) == (Check("a", "missing", "could not mount /x: operation not permitted"),)
    assert tried("a", unreadable) == (Check("a", "missing", "/f: no such file or directory"),)
    assert tried("a", slow) == (Check("a", "missing", "it was tried for 30 s, without an answer"),)
    (check,) = tried("a", odd)
    assert check.detail.startswith("it could not be found out: invalid literal for int()")


def test_an_attempt_may_find_several_things() -> None:
    def several() -> Iterator[Check]:
        yield works("one", "")
        yield works("two", "")

    assert [check.name for check in tried("a", several)] == ["one", "two"]


def test_what_was_found_before_a_failure_is_kept() -> None:
    def half() -> Iterator[Check]:
        yield works("one", "")
        raise NotSupported("not here")

    assert [(check.name, check.state) for check in tried("two", half)] == [("one", "works"), ("two", "missing")]


def pid_namespace() -> Check:
    return next(check for check in doctor_isolation.checks(Path("/")) if check.name == "pid namespace")


def test_what_lies_in_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernelbox.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    pid_namespace()
    assert not (tmp_path / "ran").exists()


def test_a_helper_that_breaks_is_no_refusal_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernelbox.py").write_text("raise RuntimeError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = pid_namespace()
    assert (check.state, check.detail) == ("missing", "RuntimeError: broken")


@pytest.mark.parametrize("place", ["a/b", "x" * 300, f"a/{'x' * 300}/c"])
def test_the_nearest_folder_of_one_that_cannot_be_looked_up(place: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert nearest_folder(tmp_path / place) == tmp_path / ("a" if place.startswith("a/") else "")


def test_a_place_that_cannot_be_looked_up_is_a_finding(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 300)
    (check,) = doctor_machine.store_checks(StorePaths.of(place))
    assert check.name == "store"
    assert {check.name for check in doctor_isolation.checks(place)} >= {"user namespace", "pid namespace"}


def test_html_is_plain_and_escaped() -> None:
    text = doctor.html(CHECKS)
    assert text.startswith("<table><caption>3 checks: 1 work, 1 work in part, 1 are missing</caption>")
    assert "only root &lt;exists&gt;" in text
    assert "<code>apt-get install uidmap</code>" in text
    assert all(f"{doctor.SIGNS[check.state]} {check.state}" in text for check in CHECKS)
    assert not any(word in text for word in ("<style", "<svg", "class=", "<script"))


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"user/max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces=28633"),
        ({"kernel/unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"user/max_user_namespaces": "96365", "kernel/unprivileged_userns_clone": "1"}, ""),
        ({}, ""),
    ],
)
def test_the_setting_that_forbids_user_namespaces(tmp_path: Path, files: dict[str, str], command: str) -> None:
    for name, value in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert doctor_isolation.userns_mend(tmp_path) == command


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        (".dockerenv", "Docker"),
        ("run/.containerenv", "podman"),
        ("var/run/secrets/kubernetes.io/x", "Kubernetes"),
        ("etc/hostname", ""),
    ],
)
def test_the_container_around_us(tmp_path: Path, mark: str, kind: str) -> None:
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).touch()
    assert doctor_machine.around(tmp_path) == kind


def test_a_sandbox_that_refuses_namespaces_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tx\nSeccomp:\t2\n")
    (tmp_path / ".dockerenv").touch()
    check = doctor_machine.nested(refused=True, root=tmp_path)
    assert check.state == "missing"
    assert check.detail == (
        "we are inside a Docker container, and its system call filter refuses new namespaces: "
        "no container can be started in here"
    )
    assert "--security-opt seccomp=unconfined" in check.mend
    assert doctor_machine.nested(refused=False, root=tmp_path).state == "works"


def test_the_first_real_disk(tmp_path: Path) -> None:
    for name, numbers in (("loop0", "7:0"), ("ram0", "1:0"), ("vda", "254:0"), ("vdb", "254:16")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dev").write_text(f"{numbers}\n")
    assert doctor_limits.first_disk(tmp_path) == (254, 0)
    assert doctor_limits.first_disk(tmp_path / "nowhere") is None


def test_a_store_that_cannot_be() -> None:
    (check,) = doctor_machine.store_checks(StorePaths.of("/proc/nowhere/store"))
    assert check.state == "missing"
    assert check.detail.startswith("/proc/nowhere/store cannot be written")
    assert check.mend == "set KERNELBOX_ROOT to a folder that you may write"


def test_a_store_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (check,) = doctor_machine.store_checks(StorePaths.of(tmp_path / "file"))
    assert check.detail == f"{tmp_path}/file is not a folder"


def test_a_store_that_is_not_made_yet(tmp_path: Path) -> None:
    (check,) = doctor_machine.store_checks(StorePaths.of(tmp_path / "a/b"))
    assert check.detail.endswith("; made at the first run")
    assert not (tmp_path / "a").exists()
