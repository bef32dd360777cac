"""The files of /etc that are a container's own: its names and its resolver."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kernelbox.engine.image import Image
from kernelbox.engine.options import RunOptions
from kernelbox.engine.way_out import is_way_out, name_servers
from kernelbox.oci.runtime_spec import Config
from kernelbox.runtime import rootless as rootless_ids

__all__ = ["OWN_PATHS", "own_files", "without_place"]

OWN_PATHS = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def own_files(options: RunOptions, config: Config, given: Mapping[str, str]) -> dict[str, str]:
    """/etc/hosts, /etc/hostname and /etc/resolv.conf: the container's own, or copies of the machine's with its
    network; `given` are those of another container, whose network it shares."""
    if options.network == "host":
        return {
            "/etc/hosts": _host_file("/etc/hosts"),
            "/etc/hostname": config.hostname + "\n",
            "/etc/resolv.conf": _host_file("/etc/resolv.conf"),
        }
    servers = name_servers(options.network) if is_way_out(options.network) else "# no network\n"
    names = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{config.hostname}\n"
    own = {"/etc/hosts": names, "/etc/hostname": config.hostname + "\n", "/etc/resolv.conf": servers}
    return {**own, **given}


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except FileNotFoundError:
        return ""


def without_place(image: Image, files: Mapping[str, str | bytes]) -> tuple[str, ...]:
    """For an ordinary user: those that the image does not have, in a folder of somebody whose id the container does not
    have, where nothing can be made."""
    roots = [layer.path for layer in image.layers if layer.path]
    if not roots:
        return ()
    return tuple(
        path
        for path in files
        if not os.path.lexists(roots[0] + path) and not rootless_ids.may_write(os.path.dirname(roots[0] + path))
    )
