"""What an image says about running it."""

from __future__ import annotations

import json

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.oci import image_config
from kernelbox.oci.image_config import Healthcheck, ImageConfig

DOCUMENT = {
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "User": "app:staff",
        "ExposedPorts": {"8080/tcp": {}},
        "Env": ["PATH=/bin", "A=b=c"],
        "Entrypoint": ["/init"],
        "Cmd": ["serve"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"a": "b"},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000, "Retries": 3},
        "OnBuild": ["RUN x"],
        "Shell": ["/bin/bash", "-c"],
        "Hostname": "",
        "Tty": False,
    },
    "rootfs": {"type": "layers", "diff_ids": []},
}


def test_reads_what_running_needs() -> None:
    config = image_config.parse(json.dumps(DOCUMENT))
    assert config == ImageConfig(
        user="app:staff",
        exposed_ports={"8080/tcp": {}},
        env=("PATH=/bin", "A=b=c"),
        entrypoint=("/init",),
        cmd=("serve",),
        volumes={"/data": {}},
        working_dir="/srv",
        labels={"a": "b"},
        stop_signal="SIGINT",
        healthcheck=Healthcheck(("CMD", "true"), interval=30_000_000_000, retries=3),
        on_build=("RUN x",),
        shell=("/bin/bash", "-c"),
        extra={"Hostname": "", "Tty": False},
    )
    assert config.to_json() == DOCUMENT["config"]


@pytest.mark.parametrize("document", [{}, {"config": None}, {"config": {}}, {"config": {"Cmd": None, "Labels": None}}])
def test_nothing_said(document: dict[str, object]) -> None:
    assert image_config.parse(document) == image_config.EMPTY


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "config: expected an object, got a list"),
        ({"Env": "A=b"}, "config.Env: expected a list, got 'A=b'"),
        ({"Env": ["A=\0"]}, "config.Env[0]: contains a NUL character"),
        ({"Labels": {"a": {}}}, "config.Labels.a: expected a string, got an object"),
        ({"Healthcheck": {"Retries": 1e99}}, "config.Healthcheck.Retries: expected an integer, got a huge number"),
    ],
)
def test_errors_name_the_place(config: object, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        image_config.parse({"config": config})
    assert str(caught.value) == message
