"""The default filter call by call, for every number, architecture and upper argument half."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from unit.linux.classic_bpf import AARCH64, I386, KILL_PROCESS, errno_of, run

from kernelbox.linux import capabilities, seccomp
from kernelbox.linux.seccomp.default import ALLOWED, REFUSED, UNLOCKED

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the table of numbers is that of x86-64")

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
TESTED = {"socket", "socketpair", "clone", "unshare", "ioctl", "personality"}
# From fchmodat2 to removexattrat: headers or libseccomp may not know them yet.
# them
NEWER = {*range(452, 457), 462, *range(463, 467)}
JUNK = 0xDEAD_BEEF << 32


@pytest.fixture(scope="module")
def numbers() -> dict[str, int]:
    if not HEADER.exists():
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    return {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", HEADER.read_text())}


def code_for(granted: Iterable[str] = capabilities.DEFAULT) -> bytes:
    return seccomp.compile(seccomp.default_profile(granted))


def test_every_number(numbers: dict[str, int]) -> None:
    names = {number: name for name, number in numbers.items()}
    code = code_for([])
    for number in (*range(601), 0x3FFF_FFFF):
        name = names.get(number, "")
        if name in TESTED:
            continue
        expected = 0 if name in ALLOWED else errno.EPERM if name in REFUSED else errno.ENOSYS
        possible = {expected, 0} if number in NEWER else {expected}
        assert errno_of(run(code, number)) in possible, (number, name)
        assert run(code, number) == run(code, number, *[2**64 - 1] * 6), (number, name)


def test_each_call_is_in_one_list_and_known(numbers: dict[str, int]) -> None:
    lists = (*ALLOWED, *REFUSED, *TESTED)
    assert len(lists) == len(set(lists))
    assert {name for names in UNLOCKED.values() for name in names} <= {*REFUSED, "clone", "clone3", "unshare"}
    newer_than_these_headers = {name for name in ALLOWED if name not in numbers}
    assert newer_than_these_headers <= {
        *("fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue", "mseal", "riscv_flush_icache"),
        *("setxattrat", "getxattrat", "listxattrat", "removexattrat"),
    }
    missing = {name for name in numbers if name not in lists} - {"clone3"}
    # what Linux removed long ago, or never implemented
    assert missing <= {
        *("_sysctl", "afs_syscall", "create_module", "epoll_ctl_old", "epoll_wait_old", "get_kernel_syms", "getpmsg"),
        *(
            "get_thread_area",
            "nfsservctl",
            "putpmsg",
            "query_module",
            "security",
            "set_thread_area",
            "tuxcall",
            "vserver",
        ),
    }


def test_it_is_small(numbers: dict[str, int]) -> None:
    code = code_for()
    assert len(code) // 8 <= 450
    assert sum(errno_of(run(code, number)) == 0 for number in numbers.values()) <= 290


@pytest.mark.parametrize("number", [0, 1, 41, 59, 435, 600, 0x7FFFFFFF])
def test_other_architectures_are_killed(number: int) -> None:
    code = code_for()
    for architecture in (I386, AARCH64, 0):
        assert run(code, number, architecture=architecture) == KILL_PROCESS
    assert run(code, 0x4000_0000 | number) == KILL_PROCESS  # x32


def test_a_call_that_a_tracer_took_away_is_let_through() -> None:
    assert errno_of(run(code_for(), 0xFFFF_FFFF)) == 0


@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_socket_families(numbers: dict[str, int], call: str) -> None:
    code = code_for(["ALL"])
    for family in (*range(64), 0x8000_0000, 0xFFFF_FFFF):
        expected = 0 if family in (1, 2, 10, 16) else errno.EAFNOSUPPORT
        for upper in (0, JUNK):  # the kernel takes the family as an int and ignores the upper half
            assert errno_of(run(code, numbers[call], family | upper)) == expected, family


@pytest.mark.parametrize("call", ["clone", "unshare"])
def test_new_namespaces(numbers: dict[str, int], call: str) -> None:
    code = code_for()
    new = {0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000}
    for bit in (1 << position for position in range(32)):
        if bit == 0x80 and call == "clone":
            continue  # part of the exit signal there
        refused = bit in new or bit == 0x80
        for flags in (bit, bit | 0x11, bit | JUNK):
            assert errno_of(run(code, numbers[call], flags)) == (errno.EPERM if refused else 0), hex(flags)
    assert errno_of(run(code, numbers["clone"], 0x003D0F00)) == 0  # what pthread_create asks for
    assert errno_of(run(code, numbers["clone3"])) == errno.ENOSYS  # glibc then takes clone
    assert errno_of(run(code, numbers["setns"])) == errno.EPERM


def test_terminal_input_of_others(numbers: dict[str, int]) -> None:
    code = code_for(["ALL"])
    for request in (0x5401, 0x5411, 0x5412, 0x5413, 0x541B, 0x541C, 0x541D, 0x8010_5412, 0xFFFF_FFFF):
        expected = errno.EPERM if request in (0x5412, 0x541C) else 0
        for upper in (0, JUNK):
            assert errno_of(run(code, numbers["ioctl"], 0, request | upper)) == expected, hex(request)


def test_personalities(numbers: dict[str, int]) -> None:
    code = code_for()
    for persona in (0, 8, 0x20000, 0x20008, 0xFFFF_FFFF):
        assert errno_of(run(code, numbers["personality"], persona)) == 0
    for persona in (1, 0x0040000, 0x0400000, 0x20009):
        assert errno_of(run(code, numbers["personality"], persona)) == errno.EPERM


@pytest.mark.parametrize("capability", sorted(UNLOCKED))
def test_capabilities_unlock_their_calls(numbers: dict[str, int], capability: str) -> None:
    code, without = code_for([capability]), code_for([])
    for name in UNLOCKED[capability]:
        new_user = 0x1000_0000
        assert errno_of(run(without, numbers[name], new_user)) in (errno.EPERM, errno.ENOSYS), name
        assert errno_of(run(code, numbers[name], new_user)) == 0, name


def test_never_unlocked(numbers: dict[str, int]) -> None:
    code = code_for(["ALL"])
    never = {"io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "keyctl", "add_key", "request_key"}
    for name in (*never, "vmsplice", "memfd_secret", "kexec_load", "modify_ldt"):
        assert errno_of(run(code, numbers[name])) == errno.EPERM
