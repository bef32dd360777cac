"""The processes of a running container as the machine sees them: `docker top`.

The default columns are read from /proc, so that they are there without the program `ps`; other arguments are given to
the machine's `ps`, as Docker does. Names and arguments are chosen by the container: what could move a terminal's cursor
or begin a new line in a table is shown as "?".
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import InvalidOption, KernelError, NotSupported

__all__ = ["DEFAULT_ARGS", "TITLES", "processes_below", "shown", "top"]

DEFAULT_ARGS = "-ef"
TITLES = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")

_MOST_OF_COMMAND = 16 << 10
_LONGEST_ARGS = 4096
_PS_SECONDS = 10
_GONE = (errno.ENOENT, errno.ESRCH)
_BLANKS = re.compile(r"[\t\n\f\r ]+")
_OTHER_AS_PID = re.compile(r"([^\s,=]*)=\s*PID", re.ASCII)

Rows = list[tuple[str, ...]]


def top(pids: Collection[int], ps_args: str = DEFAULT_ARGS, proc: Path = Path("/proc")) -> tuple[tuple[str, ...], Rows]:
    """The titles of the columns and a row for each of these processes that still runs, ids and users as this process
    sees them.

    `ps_args` are those of ps(1), in one string as Docker's API has them, split at blanks; "" is the default too.
    Raises InvalidOption where ps does not take them or shows no column PID, NotSupported where there is no ps,
    KernelError (ETIMEDOUT) where it does not answer."""
    words = [word for word in _BLANKS.split(ps_args) if word] or [DEFAULT_ARGS]
    if words == [DEFAULT_ARGS]:
        return TITLES, _rows(sorted(pids), proc)
    for name in _OTHER_AS_PID.findall(ps_args):
        if name != "pid":
            raise InvalidOption(f"the column {name} of ps may not be called PID", hint="PID tells whose a line is")
    if len(ps_args) > _LONGEST_ARGS or "\0" in ps_args:
        raise InvalidOption(f"the arguments of ps are longer than {_LONGEST_ARGS} characters or have one that is none")
    return _table(_output(words, pids), pids)


def processes_below(init: int, proc: Path = Path("/proc")) -> list[int]:
    """The ids of `init`, of all that came from it and, where it is the first of a pid namespace, of all in that: the
    processes of a container that has no control group to ask. None where it has ended."""
    parents, inside = {}, {init} if (proc / str(init)).exists() else set()
    namespace = _link(proc / str(init) / "ns/pid") if _first_of_its_own(init, proc) else ""
    for pid in _all(proc):
        if stat := _stat(pid, proc):
            parents[pid] = int(stat.fields[1])
            if namespace and _link(proc / str(pid) / "ns/pid") == namespace:
                inside.add(pid)
    below = dict.fromkeys(inside)
    for pid in parents:
        way = [pid]
        while way[-1] in parents and way[-1] not in below and parents[way[-1]] not in way:
            way.append(parents[way[-1]])
        if way[-1] in below:
            below.update(dict.fromkeys(way))
    return sorted(below)


def shown(text: str) -> str:
    """`text` on one line and harmless to a terminal: "?" for every character that is not to be seen."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


@dataclass(frozen=True, slots=True)
class _Stat:
    """/proc/PID/stat: the name, and what follows it (`fields[0]` is the third of proc_pid_stat(5))."""

    name: str
    fields: list[str]

    @property
    def ticks(self) -> int:
        return int(self.fields[11]) + int(self.fields[12])

    @property
    def started(self) -> int:
        return int(self.fields[19])


def _rows(pids: Sequence[int], proc: Path) -> Rows:
    uptime = float((proc / "uptime").read_text().split()[0])
    return [row for pid in pids if (row := _row(pid, uptime, proc)) is not None]


def _row(pid: int, uptime: float, proc: Path) -> tuple[str, ...] | None:
    stat = _stat(pid, proc)
    command, status = _bytes(proc / str(pid) / "cmdline"), _bytes(proc / str(pid) / "status")
    if stat is None or command is None or not status:
        return None
    each_second = os.sysconf("SC_CLK_TCK")
    used, age = stat.ticks // each_second, uptime - stat.started / each_second
    share = min(99, int(stat.ticks / each_second * 100 / age)) if age > 0 else 0
    return (
        _user(_effective_uid(status)),
        str(pid),
        stat.fields[1],
        str(share),
        _start_time(time.time() - age, time.time()),
        _terminal(int(stat.fields[4])),
        _duration(used),
        _command(stat, command),
    )


def _stat(pid: int, proc: Path) -> _Stat | None:
    text = _bytes(proc / str(pid) / "stat")
    if not text:
        return None
    # The name is in parentheses and may have some itself, and blanks.
    name, _, rest = text.decode("utf-8", "replace").partition("(")[2].rpartition(")")
    return _Stat(name, rest.split())


def _bytes(path: Path) -> bytes | None:
    """What stands at the beginning of a file of a process; None where the process has gone."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_OF_COMMAND)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise KernelError(error.errno or 0, "read", str(path)) from error


def _all(proc: Path) -> Iterator[int]:
    return (int(name) for name in os.listdir(proc) if name.isdecimal())


def _link(path: Path) -> str:
    """ "" where it is not ours to see: the parents tell the rest."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _first_of_its_own(pid: int, proc: Path) -> bool:
    """Whether it is number 1 in a pid namespace below this one."""
    lines = (_bytes(proc / str(pid) / "status") or b"").splitlines()
    numbers = next((line.split()[1:] for line in lines if line.startswith(b"NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == b"1"


def _effective_uid(status: bytes) -> int:
    line = next(line for line in status.splitlines() if line.startswith(b"Uid:"))
    return int(line.split()[2])


def _user(uid: int) -> str:
    try:
        return shown(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _start_time(started: float, now: float) -> str:
    """As ps says it: the time of a day for today, else the day, else the year."""
    then, today = time.localtime(started), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%b%d" if then.tm_year == today.tm_year else "%Y", then)


def _terminal(device: int) -> str:
    major, minor = os.major(device), os.minor(device)
    if 136 <= major <= 143:
        return f"pts/{minor + (major - 136 << 8)}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "?"


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def _command(stat: _Stat, arguments: bytes) -> str:
    words = arguments.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    if stat.fields[0] == "Z":
        return shown(f"[{stat.name}] <defunct>")
    return shown(words or f"[{stat.name}]")


def _output(words: Sequence[str], pids: Collection[int]) -> str:
    """Asked for these processes alone where ps can do that with these arguments; some it takes only without."""
    only = ["-q", ",".join(map(str, sorted(pids)))] if pids else []
    done = _run([*words, *only])
    if done.returncode and only:
        done = _run(words)
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode and not text.strip():
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise InvalidOption(
            f"ps does not take {' '.join(words)!r}: {shown(reason) or f'exit code {done.returncode}'}",
            hint='they are the arguments of ps on this machine, such as "aux" or "-o pid,cmd"',
        )
    return text


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    path = os.environ.get("PATH", os.defpath)
    try:
        # Nothing of the environment but the path: it can change what ps prints.
        return subprocess.run(
            ["ps", *words],
            env={"PATH": path, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PS_SECONDS,
        )
    except FileNotFoundError as error:
        raise NotSupported(
            "there is no program ps on this machine",
            hint="install procps; without arguments of ps none is needed",
        ) from error
    except OSError as error:
        raise KernelError(error.errno or 0, "run", "ps") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(errno.ETIMEDOUT, "list processes with", f"ps {' '.join(words)}") from error


def _table(output: str, pids: Collection[int]) -> tuple[tuple[str, ...], Rows]:
    """The lines of these processes. What is more than there are titles belongs to the last column; a line without a
    number ("-": ps shows threads so) belongs to the process above it."""
    first, _, rest = output.partition("\n")
    titles = tuple(_fields(first))
    if "PID" not in titles:
        raise InvalidOption("ps shows no column PID with these arguments", hint="ask for it: -o pid,cmd")
    at, wanted = titles.index("PID"), {str(pid) for pid in pids}
    rows: Rows = []
    ours = False
    for line in rest.split("\n"):
        fields = _fields(line, len(titles))
        if not fields:
            continue
        pid = fields[at] if len(fields) > at else ""
        if pid != "-" and not pid.isdecimal():
            raise InvalidOption(
                f"ps prints {shown(pid)!r} where the column PID should be",
                hint="name pid before the columns that have blanks in them: -o pid,cmd",
            )
        ours = pid in wanted or (ours and pid == "-")
        if ours:
            rows.append(tuple(map(shown, [*fields, *[""] * (len(titles) - len(fields))])))
    return tuple(map(shown, titles)), rows


def _fields(line: str, most: int = 0) -> list[str]:
    return _BLANKS.split(line.strip("\t\n\f\r "), maxsplit=max(0, most - 1)) if line.strip() else []
