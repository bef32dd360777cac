"""What would harm the machine is refused, whatever rights a container has over itself.

Every attempt is harmless should it be let through: files are opened for writing and closed, what is set is what was
read, and the system calls are given what nobody can have, so that only their error tells whether the right was there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelbox import Engine
from kernelbox.linux import capabilities

pytestmark = [pytest.mark.kernel, pytest.mark.root]

ATTEMPTS = r"""
import ctypes, errno, os, stat, sys, time

libc = ctypes.CDLL(None, use_errno=True)
REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def there(path):
    if not os.path.exists(path):
        raise PermissionError
    return path

def write(path):
    os.close(os.open(there(path), os.O_WRONLY))

def read_disk(numbers):
    os.mknod("/disk", stat.S_IFBLK | 0o600, os.makedev(*map(int, numbers.split(":"))))
    os.close(os.open("/disk", os.O_RDONLY))

def read_memory():
    with open(there("/proc/kcore"), "rb") as file:
        if not file.read(1):  # the null device lies over it
            raise PermissionError

attempts = {
    "set how memory is promised": lambda: write("/proc/sys/vm/overcommit_memory"),
    "set the handler of core files": lambda: write("/proc/sys/kernel/core_pattern"),
    "set the program that loads modules": lambda: write("/proc/sys/kernel/modprobe"),
    "set the handler of devices": lambda: write("/sys/kernel/uevent_helper"),
    "set how pages are made": lambda: write("/sys/kernel/mm/transparent_hugepage/enabled"),
    "press the magic keys": lambda: write("/proc/sysrq-trigger"),
    "move interrupts": lambda: write("/proc/irq/default_smp_affinity"),
    "read the kernel's memory": read_memory,
    "read the kernel's messages": lambda: call("klogctl", 3, ctypes.create_string_buffer(64), 64),
    "remove a module": lambda: call("delete_module", b"nonesuch", 0),
    "set the clock": lambda: time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns()),
    "reboot": lambda: call("reboot", 12345),
    "end swapping": lambda: call("swapoff", b"/nonesuch"),
    "write down who ran what": lambda: call("acct", b"/nonesuch"),
}
if len(sys.argv) > 1:
    attempts["read a disk"] = lambda: read_disk(sys.argv[1])
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError as error:
        if error.errno in (None, *REFUSED):
            continue
    print(name)
print(len(attempts), "attempts")
"""

RIGHTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "SYS_ADMIN": {"cap_add": ["SYS_ADMIN"]},
    "privileged": {"privileged": True},
    "ALL": {"cap_add": ["ALL"], "security_opt": ["seccomp=unconfined", "systempaths=unconfined"]},
    "the machine's root": {"userns": "host"},
    "the machine's root without a filter": {"userns": "host", "security_opt": ["seccomp=unconfined"]},
    "the machine's root without hidden paths": {"userns": "host", "security_opt": ["systempaths=unconfined"]},
}


def a_disk() -> list[str]:
    """Its "major:minor", in a list; none where the machine has no disk."""
    return [path.read_text().strip() for path in sorted(Path("/sys/block").glob("*/dev"))][-1:]


def attempted(engine: Engine, **options: Any) -> list[str]:
    run = engine.run("host", ["python3", "-c", ATTEMPTS, *a_disk()], **options)
    *harm, count = run.stdout.splitlines()
    assert count == f"{14 + len(a_disk())} attempts", run.stderr
    return harm


@pytest.mark.parametrize("rights", [name for name in RIGHTS if "hidden" not in name])
def test_the_machine_cannot_be_harmed(engine: Engine, rights: str) -> None:
    settings = [Path("/proc/sys", name) for name in ("vm/overcommit_memory", "kernel/core_pattern")]
    before = [path.read_text() for path in settings]
    open_to_all = Path("/proc/sys/kernel/dmesg_restrict").read_text() == "0\n" and "unconfined" in str(RIGHTS[rights])
    expected = ["read the kernel's messages"] if open_to_all else []
    assert attempted(engine, **RIGHTS[rights]) == expected
    assert [path.read_text() for path in settings] == before


def test_the_attempts_are_such(engine: Engine) -> None:
    """As the machine's root with nothing in the way they are let through: the test above has something to find."""
    found = attempted(engine, **RIGHTS["the machine's root without hidden paths"])
    assert "set how memory is promised" in found
    needs = {"reboot": "SYS_BOOT", "end swapping": "SYS_ADMIN", "set the clock": "SYS_TIME"}
    needs |= {"write down who ran what": "SYS_PACCT", "read the kernel's messages": "SYSLOG"}
    needs |= {"read a disk": "MKNOD"} if a_disk() else {}
    own = capabilities.names(capabilities.current().permitted)
    everything = attempted(engine, userns="host", privileged=True)
    assert [name for name, right in needs.items() if f"CAP_{right}" in own and name not in everything] == []
