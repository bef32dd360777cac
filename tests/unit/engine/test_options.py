"""`RunOptions.make`: every option in every form that people write, and a sentence for each that cannot be meant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kernelbox.engine.option_table import CHOICES
from kernelbox.engine.options import BY_NAME, NOTING_PARSERS, OPTIONS, OTHER_NAMES, PARSERS, RunOptions
from kernelbox.errors import InvalidOption, KernelBoxError, NotSupported
from kernelbox.oci.runtime_spec import UNLIMITED, Rlimit

MIB = 1 << 20


def test_table_fields_and_readers_are_the_same_options() -> None:
    fields = {field.name for field in dataclasses.fields(RunOptions)} - {"security", "notes"}
    assert fields == BY_NAME.keys() == PARSERS.keys() | NOTING_PARSERS.keys()
    assert len(OPTIONS) == len(BY_NAME)


def test_the_table_is_whole() -> None:
    flags = [flag for option in OPTIONS for flag in option.flags]
    assert len(set(flags)) == len(flags)
    for option in OPTIONS:
        assert option.help
        assert (option.metavar == "") == (option.kind == "flag"), option.name
        assert any(flag.startswith("--") for flag in option.flags)
        assert all(flag.startswith("--") or len(flag) == 2 for flag in option.flags)
    assert all(BY_NAME[name].choices == words for name, words in CHOICES.items())
    assert BY_NAME.keys() >= set(OTHER_NAMES.values())


def test_nothing_given() -> None:
    assert RunOptions.make() == RunOptions() == RunOptions.make(memory=None, env=None)
    assert (RunOptions().network, RunOptions().userns) == ("none", "auto")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("name", "web-1", "web-1"),
        ("user", "1000:1000", "1000:1000"),
        ("hostname", "box.example", "box.example"),
        ("workdir", "/srv//app/./", "/srv/app"),
        ("workdir", Path("/srv"), "/srv"),
        ("env", ["A=1", "B=a=b", "C="], ("A=1", "B=a=b", "C=")),
        ("env", {"A": 1, "B": "x", "C": 1.5, "D": True}, ("A=1", "B=x", "C=1.5", "D=True")),
        ("env", "A=1", ("A=1",)),
        ("entrypoint", "python3 -u '-c x'", ("python3", "-u", "-c x")),
        ("entrypoint", ["/my program"], ("/my program",)),
        ("entrypoint", "", ()),
        ("labels", {"a": "b", "c": 1}, {"a": "b", "c": "1"}),
        ("labels", ["a=b", "c"], {"a": "b", "c": ""}),
        ("annotations", {"a.b": "c"}, {"a.b": "c"}),
        ("cpus", 1.5, 1.5),
        ("cpus", "0.5", 0.5),
        ("cpus", 0, None),
        ("cpu_shares", "512", 512),
        ("cpu_shares", 0, None),
        ("cpuset_cpus", "0-2,1,5", "0-2,5"),
        ("cpuset_cpus", [0, 1, 3], "0-1,3"),
        ("cpuset_cpus", 0, "0"),
        ("memory", "256m", 256 * MIB),
        ("memory", 6 * MIB, 6 * MIB),
        ("memory", "0", None),
        ("pids_limit", 100, 100),
        ("pids_limit", -1, -1),
        ("pids_limit", 0, -1),
        ("blkio_weight", "500", 500),
        ("oom_score_adj", -500, -500),
        ("shm_size", "1g", 1 << 30),
        ("umask", "0027", 0o027),
        ("umask", "0o77", 0o077),
        ("umask", 0o022, 0o022),
        ("ulimits", ["nofile=1024:2048"], (Rlimit("RLIMIT_NOFILE", hard=2048, soft=1024),)),
        ("ulimits", "core=-1", (Rlimit("RLIMIT_CORE", hard=UNLIMITED, soft=UNLIMITED),)),
        ("ulimits", {"nproc": 64}, (Rlimit("RLIMIT_NPROC", hard=64, soft=64),)),
        ("ulimits", {"cpu": (1, 2)}, (Rlimit("RLIMIT_CPU", hard=2, soft=1),)),
        ("ulimits", {"cpu": {"soft": 1, "hard": "unlimited"}}, (Rlimit("RLIMIT_CPU", hard=UNLIMITED, soft=1),)),
        ("ulimits", [{"Name": "stack", "Soft": 1, "Hard": 2}], (Rlimit("RLIMIT_STACK", hard=2, soft=1),)),
        ("ulimits", ["nofile=1", "nofile=2"], (Rlimit("RLIMIT_NOFILE", hard=2, soft=2),)),
        ("cap_add", "net_admin", ("CAP_NET_ADMIN",)),
        ("cap_add", ["CAP_SYS_PTRACE", "all"], ("CAP_SYS_PTRACE", "CAP_ALL")),
        ("cap_drop", ["ALL"], ("CAP_ALL",)),
        ("privileged", "true", True),
        ("tty", "0", False),
        ("group_add", ["video", "44"], ("video", "44")),
        ("network", "host", "host"),
        ("network", ["none"], "none"),
        ("userns", "keep-id", "keep-id"),
        ("stop_signal", "TERM", 15),
        ("stop_signal", "sigkill", 9),
        ("stop_signal", 2, 2),
        ("stop_signal", "SIGRTMIN+3", 37),
        ("timeout", "1m30s", 90.0),
        ("timeout", 0.5, 0.5),
        ("sysctls", {"net.core.somaxconn": 1024}, {"net.core.somaxconn": "1024"}),
        ("sysctls", "kernel.shmmax=1 2", {"kernel.shmmax": "1 2"}),
    ],
)
def test_one_option(name: str, given: object, value: object) -> None:
    assert getattr(RunOptions.make(**{name: given}), name) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memroy": 1}, "unknown option 'memroy' (hint: did you mean 'memory'?)"),
        ({"mem_limit": 1}, "unknown option 'mem_limit' (hint: did you mean 'memory'?)"),
        ({"environment": {}}, "unknown option 'environment' (hint: did you mean 'env'?)"),
        ({"qqqqqq": 1}, "unknown option 'qqqqqq'"),
        ({"security": 1}, "unknown option 'security'"),
        ({"name": "-x"}, "name: '-x' cannot be a container's name"),
        ({"name": "a/../b"}, "name: 'a/../b' cannot be a container's name"),
        ({"name": "é1"}, "name: 'é1' cannot be a container's name"),
        ({"hostname": "a_b"}, "hostname: 'a_b' cannot be a host name"),
        ({"hostname": "a" * 65}, "hostname: 'aaaaa"),
        ({"hostname": "a\nb"}, "hostname: 'a\\nb' contains a control character"),
        ({"user": ""}, "user: is empty"),
        ({"user": "a\0b"}, "user: 'a\\x00b' contains a NUL character"),
        ({"workdir": "/\ud800"}, "workdir: '/\\ud800' contains half a character"),
        ({"workdir": "tmp"}, "workdir: 'tmp' is not an absolute path (hint: /tmp)"),
        ({"workdir": "/a/../b"}, "workdir: '/a/../b' contains '..'"),
        ({"env": ["A"]}, "env: 'A' has no '='"),
        ({"env": ["=a"]}, "env: '=a' has no name before '='"),
        ({"env": ["A=\0"]}, "env: 'A=\\x00' contains a NUL character"),
        ({"env": {"A": None}}, "env: 'A' has no value (hint: os.environ['A'] is the caller's)"),
        ({"env": {"": "a"}}, "env: '' cannot be the name of a variable"),
        ({"env": {"A=B": "a"}}, "env: 'A=B' cannot be the name of a variable"),
        ({"env": {"A": b"a"}}, "env: expected text, got b'a'"),
        ({"env": 7}, "env: expected text or a list of texts, got 7"),
        ({"entrypoint": "a 'b"}, 'entrypoint: "a \'b": no closing quotation'),
        ({"annotations": {"io.kernelbox.seccomp": "unconfined"}}, "annotations: 'io.kernelbox.seccomp' is reserved"),
        ({"cpus": -1}, "cpus: -1 is not a number of processors"),
        ({"cpus": "two"}, "cpus: expected a number of processors, got 'two'"),
        ({"cpus": float("nan")}, "cpus: nan is not a number of processors"),
        ({"cpus": 0.001}, "cpus: 0.001 is less than 0.01"),
        ({"cpus": True}, "cpus: True is not a number of processors"),
        ({"cpu_shares": 1}, "cpu_shares: 1 is not between 2 and 262144"),
        ({"cpu_shares": -1}, "cpu_shares: -1 is not between 2 and 262144"),
        ({"cpu_period": 999}, "cpu_period: 999 is not between 1000 and 1000000"),
        ({"cpuset_cpus": "0-"}, "cpuset_cpus: '0-' is not a list of numbers"),
        ({"cpuset_cpus": "2-1"}, "cpuset_cpus: '2-1' is not a list of numbers"),
        ({"cpuset_cpus": "0-99999999"}, "cpuset_cpus: '0-99999999' is not a list of numbers"),
        ({"cpuset_cpus": "٣"}, "cpuset_cpus: '٣' is not a list of numbers"),
        ({"memory": "5m"}, "memory: '5m' is less than 6 MiB"),
        ({"memory": -1}, "memory: the size -1 is negative"),
        ({"memory": "lots"}, "memory: 'lots' is not a size"),
        ({"memory": True}, "memory: True is not a size"),
        ({"memory_swap": "1g"}, "memory_swap is a limit on memory and swap together (hint: give memory too)"),
        ({"memory": "1g", "memory_swap": "512m"}, "memory_swap (536870912) is less than memory (1073741824)"),
        (
            {"memory": "64m", "memory_reservation": "65m"},
            "memory_reservation (68157440) is more than memory",
        ),
        ({"cpus": 1, "cpu_quota": 5000}, "cpus and cpu_quota or cpu_period say the same thing"),
        ({"pids_limit": -2}, "pids_limit: -2 is not between -1 and 4194304"),
        ({"pids_limit": 1.5}, "pids_limit: expected a whole number, got 1.5"),
        ({"blkio_weight": 9}, "blkio_weight: 9 is not between 10 and 1000"),
        ({"oom_score_adj": 1001}, "oom_score_adj: 1001 is not between -1000 and 1000"),
        ({"umask": "8"}, "umask: '8' is not an octal mode"),
        ({"umask": 0o1000}, "umask: 512 is not between 0 and 511"),
        ({"ulimits": ["nofiles=1"]}, "ulimits: unknown limit 'nofiles'"),
        ({"ulimits": ["nofile"]}, "ulimits: 'nofile' has no '='"),
        ({"ulimits": ["nofile=2:1"]}, "ulimits: nofile: the soft limit 2 is above the hard limit 1"),
        ({"ulimits": ["nofile=1:2:3"]}, "ulimits: nofile=('1', '2', '3') is not SOFT or SOFT:HARD"),
        ({"ulimits": 5}, "ulimits: expected limits, got 5"),
        (
            {"cap_add": ["NET_ADMINN"]},
            "cap_add: unknown capability 'CAP_NET_ADMINN' (hint: did you mean ",
        ),
        ({"privileged": "maybe"}, "privileged: expected true or false, got 'maybe'"),
        ({"userns": "private"}, "userns: 'private' is not one of auto, host, keep-id"),
        ({"pid": "hots"}, "pid: 'hots' is not one of private, host (hint: did you mean 'host'?)"),
        ({"stop_signal": "SIGTREM"}, "stop_signal: unknown signal 'SIGTREM' (hint: did you mean 'SIGTERM'?)"),
        ({"stop_signal": 65}, "stop_signal: 65 is not between 1 and 64"),
        ({"stop_signal": "SIGTERM+1"}, "stop_signal: unknown signal 'SIGTERM+1'"),
        ({"timeout": 0}, "timeout: 0 would end the run before it starts"),
        ({"timeout": -5}, "timeout: the duration -5 is not between"),
        ({"profile": "labs"}, "profile: 'labs' is not one of lab, grade (hint: did you mean 'lab'?)"),
        ({"network": "container:b", "hostname": "a"}, "conflicting options: hostname and the network mode"),
        ({"uts": "host", "hostname": "a"}, "hostname and domainname would change the machine's with uts='host'"),
        (
            {"network": "host", "sysctls": {"net.core.somaxconn": 1}},
            "sysctls: net.core.somaxconn would change",
        ),
        (
            {"ipc": "host", "sysctls": {"kernel.sem": 1}},
            "sysctls: kernel.sem would change the machine's",
        ),
    ],
)
def test_what_cannot_be_meant(given: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        RunOptions.make(**given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network": "bridge"}, "network: the network 'bridge' does not exist"),
        ({"security_opt": ["label=type:x"]}, "security_opt: the security option 'label=type:x' is not possible"),
    ],
)
def test_what_is_not_possible_yet(given: dict[str, object], message: str) -> None:
    with pytest.raises(NotSupported) as caught:
        RunOptions.make(**given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("given", [object(), b"bytes", [[]], {"a": {"b": []}}, "\0", -(1 << 70), [None], {None: 1}])
def test_any_nonsense_is_a_sentence(given: object) -> None:
    for name in BY_NAME:
        try:
            RunOptions.make(**{name: given})
        except KernelBoxError as error:  # some options can do something with some of it
            assert str(error).startswith(name)  # noqa: PT017


def test_command_line_variables_are_inherited() -> None:
    given = {"env": ["A", "B=2", "GONE", "EMPTY="], "memory": "64m"}
    options = RunOptions.from_arguments(given, {"A": "1=x", "EMPTY": "not taken"})
    assert options.env == ("A=1=x", "B=2", "EMPTY=")
    assert options.memory == 64 * MIB
    assert RunOptions.from_arguments({"env": ["GONE"]}, {}).env == ()
    with pytest.raises(InvalidOption, match="has no name before '='"):
        RunOptions.from_arguments({"env": ["=x"]}, {})


def test_command_line_entry_point_is_one_word() -> None:
    assert RunOptions.from_arguments({"entrypoint": "/my program"}, {}).entrypoint == ("/my program",)
    assert RunOptions.from_arguments({"entrypoint": ""}, {}).entrypoint == ()


def test_variables_from_files_come_first(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("# comment\nA=1\n\n  B = spaces kept\r\nC='quotes kept'\nHOME_OF_CALLER\n")
    with pytest.raises(InvalidOption, match=r"env_file: line 4 of '.*a.env' is not NAME=VALUE"):
        RunOptions.make(env_file=tmp_path / "a.env")
    (tmp_path / "a.env").write_text("﻿# comment\nA=1\n\n  B= spaces kept\r\nC='quotes kept'\nINHERITED\n")
    from_file = ("A=1", "B= spaces kept", "C='quotes kept'")
    options = RunOptions.from_arguments({"env_file": [str(tmp_path / "a.env")], "env": ["A=2"]}, {"INHERITED": "yes"})
    assert options.env == (*from_file, "INHERITED=yes", "A=2")
    with pytest.raises(InvalidOption, match="env_file: 'INHERITED' has no '='"):
        RunOptions.make(env_file=[str(tmp_path / "a.env")])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"env_file: cannot read '.*none': no such file or directory"):
        RunOptions.make(env_file=tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"A=\xff")
    with pytest.raises(InvalidOption, match="is not UTF-8 text"):
        RunOptions.make(env_file=tmp_path / "binary")


def test_profile_lab() -> None:
    options = RunOptions.make(profile="lab")
    assert options.security.no_new_privileges
    assert (options.pids_limit, options.network, options.read_only) == (256, "none", False)
    assert RunOptions.make(profile="lab", pids_limit=10).pids_limit == 10


def test_profile_grade() -> None:
    options = RunOptions.make(profile="grade")
    assert options.security.no_new_privileges
    assert (options.cap_drop, options.read_only, options.pids_limit) == (("CAP_ALL",), True, 256)
    assert [mount.destination for mount in options.tmpfs] == ["/tmp"]


@pytest.mark.parametrize(
    "weaker",
    [
        {"privileged": True},
        {"network": "host"},
        {"userns": "host"},
        {"pid": "host"},
        {"cap_add": "SYS_ADMIN"},
        {"security_opt": "seccomp=unconfined"},
        {"security_opt": "unmask=ALL"},
        {"security_opt": "no-new-privileges=false"},
    ],
)
def test_a_profile_is_not_weakened(weaker: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="contradicts the profile 'grade'"):
        RunOptions.make(profile="grade", **weaker)
