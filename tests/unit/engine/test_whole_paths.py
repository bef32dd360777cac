"""What is recorded of a container does not depend on the folder in which it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelbox.engine.whole_paths import whole_image, whole_options


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    return tmp_path


def test_images_that_are_folders(home: Path) -> None:
    assert [whole_image(each) for each in ("host", "dir:root", "dir:", "bundle:~/b", "dir:/x/../y", "debian:12")] == [
        "host",
        f"dir:{home}/root",
        f"dir:{home}",
        "bundle:/home/me/b",
        "dir:/y",
        "debian:12",
    ]


@pytest.mark.parametrize(
    ("name", "given", "recorded"),
    [
        (
            "volumes",
            ["./a:/b:ro", ".:/c", "~/d:/d", "/e:/e", "name:/f"],
            ["HERE/a:/b:ro", "HERE:/c", "/home/me/d:/d", "/e:/e", "name:/f"],
        ),
        ("volumes", "../a:/b", "ABOVE/a:/b"),
        ("volumes", {"./a": {"bind": "/b"}}, {"HERE/a": {"bind": "/b"}}),
        ("mounts", ["type=bind,source=./a,target=/b,readonly"], ["type=bind,source=HERE/a,target=/b,readonly"]),
        ("mounts", ['type=bind,"src=./a,c",target=/b'], ['type=bind,"src=HERE/a,c",target=/b']),
        (
            "mounts",
            [{"Type": "bind", "Source": "./a", "Target": "/b"}],
            [{"Type": "bind", "Source": "HERE/a", "Target": "/b"}],
        ),
        (
            "security_opt",
            ["seccomp=p.json", "seccomp=unconfined", "no-new-privileges"],
            ["seccomp=HERE/p.json", "seccomp=unconfined", "no-new-privileges"],
        ),
        ("security_opt", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'),
        ("env_file", "vars", "HERE/vars"),
        ("workdir", "./a", "./a"),
    ],
)
def test_options_that_name_files(home: Path, name: str, given: object, recorded: object) -> None:
    expected = json.loads(json.dumps(recorded).replace("HERE", str(home)).replace("ABOVE", str(home.parent)))
    assert whole_options({name: given}) == {name: expected}
