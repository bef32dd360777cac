"""The table of verbs about images: `kernelbox image ...` and, under Docker's short names, `kernelbox images`, `pull`
and the others. Names, options and output are Docker's."""

from __future__ import annotations

import dataclasses

from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import Kind, Option

__all__ = ["ALIASES", "BY_ITSELF", "VERBS"]

_ONE, _NONE, _ONE_OR_MORE = (1, 1), (0, 0), (1, None)
_IMAGES = "IMAGE [IMAGE...]"


def _option(name: str, flags: str, kind: Kind, metavar: str, text: str, default: str = "") -> Option:
    return Option(name, tuple(flags.split()), kind, metavar, text, "options", default)


def _flag(name: str, flags: str, text: str) -> Option:
    return _option(name, flags, "flag", "", text)


_FILTER = _option(
    "filter", "-f --filter", "list", "KEY=VALUE", "only those that match: dangling=true, label=a=b, reference=debian*"
)
_FORMAT = _option(
    "format", "--format", "str", "FORMAT", "how to print it: table, json, or a template such as '{{.ID}}'"
)
_NO_TRUNC = _flag("no_trunc", "--no-trunc", "show ids and texts in full length")
_CHANGE = _option(
    "change", "-c --change", "list", "INSTRUCTION", "of the new image, as in a Dockerfile: 'CMD [\"sh\"]'"
)
_PLATFORM = _option("platform", "--platform", "str", "OS/ARCH", "the image for this platform", "this machine's")
_QUIET_MOVE = _flag("quiet", "-q --quiet", "do not show how far it is")

_EVERY = (
    Verb(
        "ls",
        "[REPOSITORY[:TAG]]",
        "images:ls",
        (0, 1),
        (
            _flag("all", "-a --all", "all of them; there are no intermediate ones here"),
            _flag("digests", "--digests", "also the digests of their manifests"),
            _FILTER,
            _FORMAT,
            _NO_TRUNC,
            _flag("quiet", "-q --quiet", "ids only"),
        ),
        examples=("kernelbox images --filter dangling=true", "kernelbox images --format '{{.Repository}}: {{.Size}}'"),
    ),
    Verb(
        "pull",
        "NAME[:TAG|@DIGEST]",
        "image_moves:pull",
        _ONE,
        (
            _flag("all_tags", "-a --all-tags", "all tags of the repository"),
            _PLATFORM,
            _QUIET_MOVE,
            _option("verify", "--verify", "str", "KEY", "only if signed by the owner of this public key (a PEM file)"),
        ),
        examples=("kernelbox pull debian:12-slim", "kernelbox pull localhost:5000/lab/tool@sha256:..."),
    ),
    Verb(
        "push",
        "NAME[:TAG]",
        "image_moves:push",
        _ONE,
        (
            _flag("all_tags", "-a --all-tags", "all tags of the repository"),
            _QUIET_MOVE,
            _option("sign", "--sign", "str", "KEY", "sign it with this private key (a PEM file)"),
        ),
    ),
    Verb(
        "keygen",
        "FILE",
        "image_keys:keygen",
        _ONE,
        (),
        """The private key goes to FILE, encrypted with the passphrase in KERNELBOX_KEY_PASSWORD or typed at the
terminal; the public one, which others verify with, to FILE.pub.""",
        ("kernelbox image keygen lab.key", "kernelbox push --sign lab.key localhost:5000/lab/tool"),
    ),
    Verb(
        "load",
        "",
        "image_files:load",
        _NONE,
        (
            _option(
                "input", "-i --input", "str", "FILE", "read FILE, or the folder of an image layout", "standard input"
            ),
            _PLATFORM,
            _flag("quiet", "-q --quiet", "do not show how far it is"),
        ),
        "An archive of docker save, or an OCI image layout; compressed with gzip or zstd, or not.",
        ("kernelbox load -i lab.tar.gz",),
    ),
    Verb(
        "save",
        _IMAGES,
        "image_files:save",
        _ONE_OR_MORE,
        (_option("output", "-o --output", "str", "FILE", "write it to FILE", "standard output"),),
        "One archive for Docker and for whoever reads OCI image layouts.",
        ("kernelbox save -o lab.tar lab:1 lab:2",),
    ),
    Verb(
        "import",
        "FILE|- [REPOSITORY[:TAG]]",
        "image_files:import_",
        (1, 2),
        (
            _CHANGE,
            _option("message", "-m --message", "str", "TEXT", "a comment in its history"),
            _PLATFORM,
        ),
        "The tar archive of a root file system becomes an image of one layer.",
        ("kernelbox export web | kernelbox import - web:flat",),
    ),
    Verb(
        "from-dir",
        "FOLDER [REPOSITORY[:TAG]]",
        "image_files:from_dir",
        (1, 2),
        (_CHANGE, _option("message", "-m --message", "str", "TEXT", "a comment in its history")),
        "As it is there, owners included; dir:FOLDER runs it without a copy.",
        ("kernelbox image from-dir -c 'CMD [\"sh\"]' ./root lab:1",),
    ),
    Verb(
        "bootstrap",
        "debian[:SUITE] [REPOSITORY[:TAG]]",
        "image_files:bootstrap",
        (1, 2),
        (
            _option("mirror", "--mirror", "str", "URL", "where its packages come from", "Debian's"),
            _option("packages", "--include", "list", "PACKAGE", "also this package"),
        ),
        "The smallest Debian, made of its packages by mmdebstrap; called debian:SUITE where no name is said.",
        ("kernelbox image bootstrap --include python3 debian:bookworm python",),
    ),
    Verb("tag", "IMAGE NAME[:TAG]", "images:tag", (2, 2), examples=("kernelbox tag debian:12 localhost:5000/base",)),
    Verb(
        "rm",
        _IMAGES,
        "images:remove",
        _ONE_OR_MORE,
        (
            _flag("force", "-f --force", "also those that ended containers have, and all names of an id"),
            _flag("no_prune", "--no-prune", "for Docker's sake; there are no untagged parents here"),
        ),
        examples=("kernelbox rmi $(kernelbox images -q --filter dangling=true)",),
    ),
    Verb(
        "history",
        "IMAGE",
        "images:history",
        _ONE,
        (
            _FORMAT,
            _flag("human", "-H --human", "sizes and times for people, which is so unless it is false"),
            _NO_TRUNC,
            _flag("quiet", "-q --quiet", "ids only"),
        ),
    ),
    Verb(
        "inspect",
        _IMAGES,
        "images:inspect",
        _ONE_OR_MORE,
        (_option("format", "-f --format", "str", "FORMAT", "json, or a template such as '{{.Config.Cmd}}'"),),
        examples=("kernelbox image inspect -f '{{.Os}}/{{.Architecture}}' debian",),
    ),
    Verb(
        "prune",
        "",
        "images:prune",
        _NONE,
        (
            _flag("all", "-a --all", "all that no container has, not only those without a name"),
            _option("filter", "--filter", "list", "KEY=VALUE", "only those that match: label=a=b, label!=a, until=24h"),
            _flag("force", "-f --force", "do not ask first"),
        ),
    ),
)

VERBS = {verb.name: dataclasses.replace(verb, below="image") for verb in _EVERY}
"""Behind `kernelbox image`."""

ALIASES = {"list": "ls", "remove": "rm"}

_ALONE = (
    Verb(
        "search",
        "TERM",
        "search:search",
        _ONE,
        (
            _option("filter", "-f --filter", "list", "KEY=VALUE", "only those that match: stars=3, is-official=true"),
            _option(
                "format", "--format", "str", "FORMAT", "how to print it: table, json, or a template such as '{{.Name}}'"
            ),
            _option("limit", "--limit", "int", "N", "at most so many", "25"),
            _NO_TRUNC,
        ),
        "A registry may stand in front of the term; where it offers no search, its list of names is looked through.",
        ("kernelbox search postgres", "kernelbox search localhost:5000/lab"),
    ),
    Verb(
        "login",
        "[REGISTRY]",
        "login:login",
        (0, 1),
        (
            _option("username", "-u --username", "str", "NAME", "who one is there", "it is asked for"),
            _flag("password_stdin", "--password-stdin", "read the password, or a token, from standard input"),
        ),
        """Who one is there is kept where Docker keeps it: in its config.json, or with the credential helper that this
names. There is no option for the password itself: everybody on the machine can read what a command was called with.""",
        ("kernelbox login localhost:5000", "kernelbox login -u ann --password-stdin images.example < token"),
    ),
    Verb("logout", "[REGISTRY]", "login:logout", (0, 1)),
)
"""About registries; Docker has nothing else to put in front of them either."""

_SHORT = {"images": "ls", "rmi": "rm"}
_PLAIN = ("pull", "push", "load", "save", "import", "tag", "history")
BY_ITSELF = {
    **{short: dataclasses.replace(VERBS[name], name=short, below="") for short, name in _SHORT.items()},
    **{name: dataclasses.replace(VERBS[name], below="") for name in _PLAIN},
    **{verb.name: verb for verb in _ALONE},
}
"""Those that need no `image` in front."""
