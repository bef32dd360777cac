"""What an image says about running it: the `config` object of the OCI image specification v1.1, as a frozen value.

Image content is data (it may come from strangers): this reads words, and grants nothing.
Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kernelbox.oci import codec
from kernelbox.oci.codec import Int64
from kernelbox.oci.value import frozen


@frozen
class Healthcheck:
    """How to ask the container whether it is well; times in nanoseconds, as Docker writes them."""

    test: tuple[str, ...] = field(default=(), metadata={"json": "Test"})
    interval: Int64 | None = field(default=None, metadata={"json": "Interval"})
    timeout: Int64 | None = field(default=None, metadata={"json": "Timeout"})
    start_period: Int64 | None = field(default=None, metadata={"json": "StartPeriod"})
    start_interval: Int64 | None = field(default=None, metadata={"json": "StartInterval"})
    retries: Int64 | None = field(default=None, metadata={"json": "Retries"})


@frozen
class ImageConfig:
    """Defaults for every container of one image. `env` entries are "NAME=value"; `user` is text, resolved at launch.
    `on_build` and `shell` are for whoever builds on it; `extra` is what others write there, kept for them."""

    user: str = field(default="", metadata={"json": "User"})
    exposed_ports: Mapping[str, object] = field(default_factory=dict, metadata={"json": "ExposedPorts"})
    env: tuple[str, ...] = field(default=(), metadata={"json": "Env"})
    entrypoint: tuple[str, ...] = field(default=(), metadata={"json": "Entrypoint"})
    cmd: tuple[str, ...] = field(default=(), metadata={"json": "Cmd"})
    volumes: Mapping[str, object] = field(default_factory=dict, metadata={"json": "Volumes"})
    working_dir: str = field(default="", metadata={"json": "WorkingDir"})
    labels: Mapping[str, str] = field(default_factory=dict, metadata={"json": "Labels"})
    stop_signal: str = field(default="", metadata={"json": "StopSignal"})
    healthcheck: Healthcheck | None = field(default=None, metadata={"json": "Healthcheck"})
    on_build: tuple[str, ...] = field(default=(), metadata={"json": "OnBuild"})
    shell: tuple[str, ...] = field(default=(), metadata={"json": "Shell"})
    extra: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The `config` object, as an image's configuration file holds it."""
        result: dict[str, object] = codec.encode(self)
        return result


EMPTY = ImageConfig()


def parse(document: bytes | str | Mapping[str, object]) -> ImageConfig:
    """The `config` of an image's configuration file (the whole file is given). Raises InvalidOption naming the path."""
    whole = document if isinstance(document, Mapping) else codec.load(document, "image configuration")
    config = whole.get("config")
    return EMPTY if config is None else codec.decode(ImageConfig, config, "config")
