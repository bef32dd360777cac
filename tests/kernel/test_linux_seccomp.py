"""The default filter, loaded: ordinary programs work under it, and what it refuses is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers in here are those of x86-64"),
]

RUN = """
import os, sys
from kernelbox.linux import seccomp
seccomp.load(seccomp.compile(seccomp.default_profile()))
os.execvp(sys.argv[1], sys.argv[1:])
"""

CALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(argument) for argument in arguments))
    return 0 if result >= 0 else ctypes.get_errno()
"""


THREADS = """
#include <pthread.h>
void *f(void *x) { return x; }
int main(void) { pthread_t t; return pthread_create(&t, 0, f, 0) | pthread_join(t, 0); }
"""


def under_filter(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", RUN, *command], capture_output=True, text=True, timeout=120, cwd=cwd)


def errnos(code: str) -> str:
    done = under_filter(sys.executable, "-c", f"{CALL}{code}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "command",
    [
        [
            "busybox",
            "sh",
            "-c",
            "ls / | wc -l; uname -a; date; id; df /; mkdir d; touch d/f; rm -r d",
        ],
        [
            "bash",
            "-c",
            "for i in 1 2; do sleep 0 & done; wait; cat <(echo x); ulimit -a; [[ -e /proc/self ]]",
        ],
        ["git", "init", "-q", "repo"],
        ["apt-get", "-s", "install", "base-files"],
        ["tar", "-cf", "x.tar", "/etc/passwd"],
    ],
    ids=lambda command: command[0],
)
def test_ordinary_programs(tmp_path: Path, command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = under_filter(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not permitted" not in done.stderr
    assert "not implemented" not in done.stderr


def test_a_compiler(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    (tmp_path / "x.c").write_text(THREADS)
    assert under_filter("gcc", "-pthread", "-o", "x", "x.c", cwd=tmp_path).returncode == 0
    assert under_filter("./x", cwd=tmp_path).returncode == 0


def test_python_with_all_that_it_has() -> None:
    code = """
import asyncio, multiprocessing, os, select, signal, socket, sqlite3, subprocess, tempfile, threading
threading.Thread(target=print).start()
subprocess.run(["true"], check=True)
async def main():
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
asyncio.run(main())
sqlite3.connect(":memory:").execute("select 1")
with multiprocessing.get_context("fork").Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
with tempfile.TemporaryFile() as file: file.write(b"x"); os.fsync(file.fileno())
socket.getaddrinfo("localhost", 80); socket.socketpair(); os.memfd_create("x"); os.eventfd(0)
print(len(os.sched_getaffinity(0)) > 0)
"""
    done = under_filter(sys.executable, "-W", "ignore", "-c", code)
    assert done.stderr == ""
    assert done.stdout.split() == ["True"]


def test_what_is_refused() -> None:
    calls = {
        "unshare(CLONE_NEWUSER)": ("272, 0x10000000", "EPERM"),
        "clone3": ("435, 0, 0", "ENOSYS"),
        "mount": ("165, 0, 0, 0, 0, 0", "EPERM"),
        "socket(AF_ALG)": ("41, 38, 5, 0", "EAFNOSUPPORT"),
        "socket(AF_VSOCK with junk above)": ("41, 40 | 1 << 40, 1, 0", "EAFNOSUPPORT"),
        "socket(AF_INET with junk above)": ("41, 2 | 1 << 40, 1, 0", "0"),
        "ioctl(TIOCSTI)": ("16, 0, 0x5412, 0", "EPERM"),
        "ioctl(TIOCSTI with junk above)": ("16, 0, 0x5412 | 1 << 40, 0", "EPERM"),
        "io_uring_setup": ("425, 1, 0", "EPERM"),
        "userfaultfd": ("323, 0", "EPERM"),
        "keyctl": ("250, 0, 0, 0", "EPERM"),
        "bpf": ("321, 0, 0, 0", "EPERM"),
        "number 999": ("999", "ENOSYS"),
        "personality(ADDR_NO_RANDOMIZE)": ("135, 0x40000", "EPERM"),
    }
    code = "\n".join(f"e = call({arguments}); print(errno.errorcode.get(e, e))" for arguments, _ in calls.values())
    assert dict(zip(calls, errnos(code).split(), strict=True)) == {name: answer for name, (_, answer) in calls.items()}


def test_calls_of_other_architectures_kill() -> None:
    done = under_filter(sys.executable, "-c", f"{CALL}call(0x40000000 | 39)")
    assert done.returncode == -31  # SIGSYS


def test_no_new_privileges_comes_with_it() -> None:
    done = under_filter("grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status")
    assert done.stdout.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
