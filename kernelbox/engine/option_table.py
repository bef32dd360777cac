"""The one table of run options: what `box.run`, the cell magics and the command line accept, under which flags.

Names are `docker run`'s flags with underscores, plural where several may be given. How a value is read stands in
`option_values`, what it does to the container in `spec`.
"""

from __future__ import annotations

from typing import Literal

from kernelbox.oci.value import frozen

Kind = Literal["str", "int", "float", "flag", "size", "duration", "list"]


@frozen
class Option:
    """One run option. A "flag" takes no value, a "list" may be given more than once, the other kinds take one value.

    `default` is what help says happens without it; `choices` are for completion and are checked elsewhere."""

    name: str
    flags: tuple[str, ...]
    kind: Kind
    metavar: str
    help: str
    group: str
    default: str = ""
    choices: tuple[str, ...] = ()


def _group(group: str, *rows: tuple[str, str, Kind, str, str] | tuple[str, str, Kind, str, str, str]) -> list[Option]:
    """Options of one group; a row is name, flags, kind, metavar, help, and the default's wording where there is one."""
    return [Option(row[0], tuple(row[1].split()), row[2], row[3], row[4], group, *row[5:]) for row in rows]


GENERAL = _group(
    "general",
    ("name", "--name", "str", "NAME", "call the container NAME", "a free name"),
    (
        "platform",
        "--platform",
        "str",
        "OS[/ARCH[/VARIANT]]",
        "the image's, refused where it is another",
        "the machine's",
    ),
    ("pull", "--pull", "str", "WHEN", "fetch the image: missing, always or never", "missing, or KERNELBOX_PULL"),
    (
        "profile",
        "--profile",
        "str",
        "PROFILE",
        "strict settings in one word: lab (for exercises) or grade (for marking)",
    ),
    (
        "timeout",
        "--timeout",
        "duration",
        "TIME",
        "kill everything in the container after TIME (seconds, or like 1m30s)",
    ),
    (
        "stop_signal",
        "--stop-signal",
        "str",
        "SIGNAL",
        "the signal that asks the command to end",
        "the image's, or SIGTERM",
    ),
    ("stop_timeout", "--stop-timeout", "int", "SECONDS", "how long it may take to end before it is killed", "10"),
    ("init", "--init", "flag", "", "put a small first process before the command, which passes signals on and reaps"),
    ("restart", "--restart", "str", "POLICY", "start it again: no, on-failure[:N], always, unless-stopped", "no"),
    ("log_driver", "--log-driver", "str", "DRIVER", "what becomes of its output: json-file or none", "json-file"),
    ("log_opt", "--log-opt", "list", "KEY=VALUE", "max-size=10m and max-file=3: how large its log may grow"),
    ("labels", "-l --label", "list", "KEY=VALUE", "note KEY=VALUE about the container"),
    ("annotations", "--annotation", "list", "KEY=VALUE", "note KEY=VALUE in the container's config.json, for tools"),
    ("interactive", "-i --interactive", "flag", "", "connect the command's standard input"),
    ("tty", "-t --tty", "flag", "", "give the command a terminal"),
)

COMMAND = _group(
    "command",
    ("user", "-u --user", "str", "USER[:GROUP]", "run as this user, by name or number", "the image's, or root"),
    ("group_add", "--group-add", "list", "GROUP", "one more group for the user, by name or number"),
    ("workdir", "-w --workdir", "str", "DIR", "start in this directory of the container", "the image's, or /"),
    ("env", "-e --env", "list", "NAME=VALUE", "set an environment variable; NAME alone passes on the caller's value"),
    ("env_file", "--env-file", "list", "FILE", "set the variables listed in FILE, one NAME=VALUE a line"),
    ("entrypoint", "--entrypoint", "str", "PROGRAM", "run this in place of the image's entry point"),
    ("umask", "--umask", "str", "MODE", "the mode bits that new files do not get, in octal", "0022"),
    ("hostname", "-h --hostname", "str", "NAME", "what the container calls itself", "12 letters of its id"),
    ("domainname", "--domainname", "str", "NAME", "the NIS domain name of the container"),
)

LIMITS = _group(
    "limits",
    ("cpus", "--cpus", "float", "N", "at most the time of N processors; 1.5 is one and a half", "no limit"),
    ("cpu_shares", "-c --cpu-shares", "int", "WEIGHT", "share of the processors when they are scarce", "1024"),
    ("cpu_period", "--cpu-period", "int", "MICROSECONDS", "length of the scheduler's accounting period", "100000"),
    ("cpu_quota", "--cpu-quota", "int", "MICROSECONDS", "processor time within each period"),
    ("cpuset_cpus", "--cpuset-cpus", "str", "LIST", "run only on these processors: 0-2,5"),
    ("cpuset_mems", "--cpuset-mems", "str", "LIST", "use memory only of these nodes: 0,1"),
    ("memory", "-m --memory", "size", "SIZE", "at most this much memory: 256m, 1.5g", "no limit"),
    ("memory_swap", "--memory-swap", "size", "SIZE", "memory and swap together; -1 is no limit", "as much as memory"),
    ("memory_reservation", "--memory-reservation", "size", "SIZE", "push back to this much when memory is scarce"),
    ("pids_limit", "--pids-limit", "int", "N", "at most N processes and threads; -1 is no limit", "2048"),
    ("blkio_weight", "--blkio-weight", "int", "WEIGHT", "share of the disks when they are busy, 10 to 1000"),
    ("device_read_bps", "--device-read-bps", "list", "DISK:SIZE", "read at most SIZE a second from DISK"),
    ("device_write_bps", "--device-write-bps", "list", "DISK:SIZE", "write at most SIZE a second to DISK"),
    ("device_read_iops", "--device-read-iops", "list", "DISK:N", "at most N reads a second from DISK"),
    ("device_write_iops", "--device-write-iops", "list", "DISK:N", "at most N writes a second to DISK"),
    ("oom_score_adj", "--oom-score-adj", "int", "N", "how early the kernel kills it when memory is out", "500"),
    ("ulimits", "--ulimit", "list", "TYPE=SOFT[:HARD]", "a limit of every process: nofile=1024, cpu=10:20"),
    ("shm_size", "--shm-size", "size", "SIZE", "the size of /dev/shm", "64m"),
)

HEALTH = _group(
    "health",
    ("health_cmd", "--health-cmd", "str", "COMMAND", "a shell command inside, which ends with 0 where all is well"),
    ("health_interval", "--health-interval", "duration", "TIME", "how long between two checks", "30s"),
    ("health_timeout", "--health-timeout", "duration", "TIME", "how long a check may take", "30s"),
    ("health_retries", "--health-retries", "int", "N", "so many failures in a row are unhealthy", "3"),
    ("health_start_period", "--health-start-period", "duration", "TIME", "failures do not count for so long", "0s"),
    ("health_start_interval", "--health-start-interval", "duration", "TIME", "between checks meanwhile", "5s"),
    ("no_healthcheck", "--no-healthcheck", "flag", "", "do not do the check that the image has"),
)

SECURITY = _group(
    "security",
    ("cap_add", "--cap-add", "list", "NAME", "give one more capability (NET_ADMIN), or ALL"),
    ("cap_drop", "--cap-drop", "list", "NAME", "take one capability away, or ALL"),
    ("privileged", "--privileged", "flag", "", "all capabilities, no system call filter, nothing masked"),
    ("security_opt", "--security-opt", "list", "OPTION", "no-new-privileges, seccomp=FILE|unconfined, unmask=PATH|ALL"),
    ("userns", "--userns", "str", "MODE", "ids of the container: auto (its own), host, keep-id (yours kept)", "auto"),
    ("read_only", "--read-only", "flag", "", "let nothing be written but to mounts"),
)

ISOLATION = _group(
    "isolation",
    (
        "network",
        "--network --net",
        "str",
        "NETWORK",
        "none (only a loopback of its own), host (the machine's), container:NAME (that one's, and its host name), "
        "or a way out for an ordinary user: pasta, slirp4netns",
        "none",
    ),
    (
        "pid",
        "--pid",
        "str",
        "MODE",
        "private, host (see the machine's processes) or container:NAME",
        "private",
    ),
    ("ipc", "--ipc", "str", "MODE", "private, shareable, none (no /dev/shm), host or container:NAME", "private"),
    ("uts", "--uts", "str", "MODE", "private, host (the machine's host name) or container:NAME", "private"),
    ("cgroupns", "--cgroupns", "str", "MODE", "private, or host: see the machine's control groups", "private"),
    ("sysctls", "--sysctl", "list", "NAME=VALUE", "a kernel setting of the container: net.core.somaxconn=4096"),
)

FILES = _group(
    "files",
    (
        "volumes",
        "-v --volume",
        "list",
        "[SOURCE:]TARGET[:ro]",
        "a folder or file of the machine, or a volume: its name, or none for one of its own",
    ),
    (
        "mounts",
        "--mount",
        "list",
        "KEY=VALUE,...",
        "a mount in long form: type=bind,source=/data,target=/data,readonly; type=volume and tmpfs",
    ),
    (
        "volumes_from",
        "--volumes-from",
        "list",
        "CONTAINER[:ro]",
        "what another container has mounted, be it volumes or folders of the machine",
    ),
    ("tmpfs", "--tmpfs", "list", "TARGET[:OPTIONS]", "an empty folder in memory: /tmp:size=64m,mode=1777"),
    ("devices", "--device", "list", "PATH[:TARGET[:rwm]]", "let the container use this device of the machine"),
    ("device_cgroup_rules", "--device-cgroup-rule", "list", "RULE", "allow a kind of device: 'c 10:200 rw'"),
)

CHOICES = {
    "profile": ("lab", "grade"),
    "restart": ("no", "on-failure", "always", "unless-stopped"),
    "log_driver": ("json-file", "none"),
    "pull": ("always", "missing", "never"),
    "userns": ("auto", "host", "keep-id"),
    "network": ("none", "host", "pasta", "slirp4netns"),
    "pid": ("private", "host"),
    "ipc": ("private", "shareable", "none", "host"),
    "uts": ("private", "host"),
    "cgroupns": ("private", "host"),
}
"""What the options that take a word accept."""


def _with_choices(option: Option) -> Option:
    words = CHOICES.get(option.name)
    if words is None:
        return option
    return Option(
        option.name, option.flags, option.kind, option.metavar, option.help, option.group, option.default, words
    )


OPTIONS: tuple[Option, ...] = tuple(
    _with_choices(option) for option in [*GENERAL, *COMMAND, *LIMITS, *HEALTH, *SECURITY, *ISOLATION, *FILES]
)
BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}

CHANGEABLE = (
    "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "memory", "memory_swap",
    "memory_reservation", "pids_limit", "blkio_weight", "restart",
)  # fmt: skip
"""What `update` can change of a container that exists."""

_NO_NETWORKS = "there are no networks between containers: --network container:NAME shares one, host the machine's"
_NO_PORTS = "ports are not published: --network host has the machine's own"
DOCKERS_ALONE = {
    **dict.fromkeys(("-p", "--publish", "-P", "--publish-all", "--expose"), _NO_PORTS),
    **dict.fromkeys(("--link", "--ip", "--ip6", "--network-alias", "--net-alias", "--mac-address"), _NO_NETWORKS),
    **dict.fromkeys(("--dns", "--dns-option", "--dns-search", "--add-host"), "mount files of yours over those of /etc"),
    **dict.fromkeys(("-a", "--attach"), "what it writes is shown always; -i connects its standard input"),
    **dict.fromkeys(("--runtime", "--isolation"), "there is one way in which containers run"),
    **dict.fromkeys(
        ("--cgroup-parent", "--kernel-memory", "--memory-swappiness", "--oom-kill-disable", "--cpu-rt-period"),
        "docker run has it, kernelbox has not",
    ),
    **dict.fromkeys(
        ("--cpu-rt-runtime", "--storage-opt", "--volume-driver", "--label-file", "--link-local-ip", "--pull"),
        "docker run has it, kernelbox has not",
    ),
    "--gpus": "the devices of a graphics card are given one by one: --device /dev/dri",
}
"""Flags of `docker run` that kernelbox does not know, and what there is instead."""
