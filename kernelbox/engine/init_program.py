"""The small first process of a container with `init`: native/init, mounted over a place that images do not use."""

from __future__ import annotations

from kernelbox.native import INIT_PROGRAM
from kernelbox.oci.runtime_spec import Mount

__all__ = ["INIT"]

INIT = Mount("/sbin/kernelbox-init", "bind", str(INIT_PROGRAM), ("bind", "rprivate", "ro", "nosuid", "nodev"))
