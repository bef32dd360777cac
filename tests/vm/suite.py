"""The suite, or the files and tests that are named, in the virtual machine: every result as it comes.

What `make test` runs there is a choice that takes two minutes. All of it takes hours where the machine is emulated, so
this is for whoever changes what differs between kernels and between versions of control groups.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import busybox
import debian
import virtual_machine

TIMEOUT = 6 * 3600.0
KERNEL_S = ("tests/kernel", "tests/faults", "tests/security")
"""The folders whose tests ask the kernel; the rest would prove nothing new there."""
PATIENT = ("-o", "timeout=900", "-o", "faulthandler_timeout=890")
"""Ten times as slow as outside, a test may take longer than its time limit there."""


def show(chunk: bytes) -> None:
    os.write(sys.stdout.fileno(), chunk)


def main(arguments: Sequence[str]) -> int:
    quiet = ("-v", "-m", "not outside", "-p", "no:cacheprovider", "--color=no", *PATIENT)
    command = [sys.executable, "-m", "pytest", *quiet, *(arguments or KERNEL_S)]
    try:
        outcome = virtual_machine.run(command, timeout=TIMEOUT, echo=show)
    except (debian.Unavailable, busybox.Missing) as reason:
        print(f"no virtual machine: {reason}", file=sys.stderr)
        return 2
    print(f"Linux {outcome.kernel} under {outcome.accelerator}: exit status {outcome.status}")
    return 1 if outcome.status is None else outcome.status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
