"""The names of all verbs and what each does in a few words: for help and completion, without loading any of them."""

from __future__ import annotations

__all__ = ["ALIASES", "IN_CONTAINER", "PRUNE", "SECTIONS", "VOLUMES", "summary_of"]

LAUNCHING = {
    "run": "run a command in a new container",
    "explain": "run it, and show every step of its start with its time",
    "create": "make a container, to be started later",
    "exec": "run one more command in a container",
    "attach": "see what a container writes, and type to it",
}
LIFE = {
    "start": "start containers that were created or have ended",
    "stop": "ask containers to end, and kill those that do not",
    "restart": "stop containers, and start them again",
    "kill": "kill containers, or send them a signal",
    "pause": "let the processes of containers stand still",
    "unpause": "let paused containers go on",
    "wait": "wait for the end of containers, and print their exit codes",
    "rename": "call a container something else",
    "update": "change the limits of containers while they run",
    "rm": "remove containers with all they have written",
}
LOOKING = {
    "ps": "list containers",
    "logs": "print what a container has written",
    "inspect": "everything that is known of containers, as JSON",
    "top": "the processes of a container",
    "stats": "what containers use: processors, memory, disks, network",
    "events": "what happens to containers, as it happens",
}
FILES = {
    "cp": "copy files out of a container or into one",
    "diff": "what a container has changed of its image's files",
    "export": "all files of a container as a tar archive",
}
MACHINE = {
    "doctor": "what works here, what does not, and what mends it",
    "version": "the version of kernelbox and of what it runs on",
}
VOLUMES = {
    "create": "make a volume: a folder that outlives the containers that have it",
    "ls": "list volumes",
    "inspect": "everything that is known of volumes, as JSON",
    "rm": "remove volumes with all that is in them",
    "prune": "remove volumes that no container has",
}
"""What may follow `kernelbox volume`."""
PRUNE = {"prune": "remove all containers that do not run"}

SECTIONS = {
    "Run something": LAUNCHING,
    "The life of containers": LIFE,
    "See what they do": LOOKING,
    "Their files": FILES,
    "More": {
        "container": "all that is about containers, and container prune",
        "volume": "folders that outlive containers: volume create, ls, inspect, rm and prune",
    },
    "This machine": MACHINE,
}
"""What `kernelbox --help` shows."""

ALIASES = {"ls": "ps", "list": "ps", "remove": "rm"}
"""Other words for verbs, behind `kernelbox container`."""

_OF_CONTAINERS = {**LAUNCHING, **LIFE, **PRUNE, **LOOKING, **FILES}
IN_CONTAINER = tuple(name for name in _OF_CONTAINERS if name not in ("explain", "events"))
"""What may follow `kernelbox container`."""


def summary_of(name: str) -> str:
    return next(section[name] for section in (*SECTIONS.values(), PRUNE) if name in section)
