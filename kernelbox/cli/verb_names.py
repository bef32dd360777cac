"""The names of all verbs and what each does in a few words: for help and completion, without loading any of them."""

from __future__ import annotations

__all__ = ["ALIASES", "GROUPS", "IN_CONTAINER", "PRUNE", "SECTIONS", "VOLUMES", "summary_of"]

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
    "inspect": "everything that is known of containers, images and volumes, as JSON",
    "top": "the processes of a container",
    "stats": "what containers use: processors, memory, disks, network",
    "events": "what happens to containers, as it happens",
}
FILES = {
    "cp": "copy files out of a container or into one",
    "commit": "make an image of a container and what it has changed",
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
IMAGES = {
    "ls": "list images",
    "pull": "fetch an image from a registry",
    "push": "send an image to a registry",
    "load": "take images out of an archive",
    "save": "put images into an archive",
    "import": "make an image of the tar archive of a root file system",
    "tag": "give an image one more name",
    "from-dir": "make an image of a folder with a root file system",
    "bootstrap": "make an image of Debian from its packages",
    "keygen": "make a pair of keys to sign images with",
    "rm": "take a name from images, or remove them",
    "history": "how an image was made, layer by layer",
    "inspect": "everything that is known of images, as JSON",
    "prune": "remove images that nobody needs",
}
"""What may follow `kernelbox image`."""
SYSTEM = {"df": "how much of the disk images, containers and volumes take"}
"""What may follow `kernelbox system`."""
SHORT_IMAGES = {
    "images": IMAGES["ls"],
    **{name: IMAGES[name] for name in ("pull", "push", "load", "save", "import", "tag")},
    "rmi": IMAGES["rm"],
    "history": IMAGES["history"],
    "search": "find images in a registry by a word",
    "login": "say to a registry who one is, from now on",
    "logout": "forget that again",
}
"""The same without `image` in front, as Docker's users write them, and what is about registries."""
REGISTRY = {
    "serve": "let images be pushed to this machine, and pulled from it",
    "collect": "remove from a registry's folder what nothing needs",
    "ls": "list the repositories of a registry",
    "tags": "list the tags of a repository",
    "rm": "remove tags or manifests from a registry",
}
"""What may follow `kernelbox registry`."""
GROUPS = {"volume": VOLUMES, "image": IMAGES, "system": SYSTEM, "registry": REGISTRY}
"""Words that other verbs follow; the table of each is the module GROUP_table."""
PRUNE = {"prune": "remove all containers that do not run"}

SECTIONS = {
    "Run something": LAUNCHING,
    "The life of containers": LIFE,
    "See what they do": LOOKING,
    "Their files": FILES,
    "Images": SHORT_IMAGES,
    "More": {
        "container": "all that is about containers, and container prune",
        "image": "all that is about images, and image inspect and prune",
        "registry": "a registry of one's own: registry serve, collect, ls, tags and rm",
        "system": "what all of it takes: system df",
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
