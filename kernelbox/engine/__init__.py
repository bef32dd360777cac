"""Everything as one object: `Engine`, its images and containers, and what a run returns."""

from __future__ import annotations

import sys

if sys.platform != "linux":
    # Here, and nowhere else: whatever runs a container comes through this package.
    from kernelbox.errors import NotSupported

    raise NotSupported(
        f"containers are a facility of the Linux kernel, and this is {sys.platform}",
        hint="run it on a Linux machine: WSL 2 on Windows, a virtual machine (such as Lima) on macOS",
    )
