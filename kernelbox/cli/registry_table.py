"""The table of `kernelbox registry`: a registry of one's own, for images that are pushed to it and pulled from it."""

from __future__ import annotations

from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import Kind, Option

__all__ = ["ALIASES", "VERBS"]


def _option(name: str, flags: str, kind: Kind, metavar: str, text: str, default: str = "") -> Option:
    return Option(name, tuple(flags.split()), kind, metavar, text, "options", default)


_STORAGE = _option("storage", "--storage", "str", "DIR", "the folder that has it all", "registry in the store's folder")
_UNTAGGED = _option("untagged", "--untagged", "flag", "", "also manifests that no tag leads to")
_KEEP = _option(
    "keep", "--keep", "str", "TIME", "what a push may still need is kept so long after somebody has asked for it", "1h"
)

_EVERY = (
    Verb(
        "serve",
        "",
        "registry:serve",
        (0, 0),
        (
            _option("listen", "--listen", "str", "ADDRESS", "where it can be reached", "127.0.0.1:5000"),
            _STORAGE,
            _option("tls_cert", "--tls-cert", "str", "FILE", "speak TLS, with this certificate (PEM)"),
            _option("tls_key", "--tls-key", "str", "FILE", "the certificate's key (PEM)"),
            _option("htpasswd", "--htpasswd", "str", "FILE", "who may come in: lines of htpasswd -B"),
            _option("rights", "--rights", "str", "FILE", "who may do what where: lines such as 'ann pull,push lab/**'"),
            _option("read_only", "--read-only", "flag", "", "nothing is pushed or deleted"),
            _option("cache_of", "--cache-of", "str", "REGISTRY", "what is not here comes from there, and is kept"),
            _option("share", "--share", "flag", "", "what this user's images have too is on disk once"),
            _option("collect_every", "--collect-every", "str", "TIME", "remove what nothing needs, again and again"),
            _UNTAGGED,
            _KEEP,
        ),
        """It speaks the OCI distribution specification 1.1, and ends by SIGTERM or Ctrl-C when the answers that it is
giving are given. Several may serve one folder. /metrics is for Prometheus.

A line of the file of rights says who (a name; * is everybody with a password, anyone also those without), what (pull,
push, delete or all) and in which repositories (* is a word between slashes, ** anything).

Nothing is pushed to a cache of another registry. Whoever may pull from it gets what you may pull from there.""",
        (
            "kernelbox registry serve --storage ~/registry",
            "kernelbox registry serve --listen 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem --htpasswd users",
        ),
        below="registry",
    ),
    Verb(
        "collect",
        "",
        "registry:collect",
        (0, 0),
        (_STORAGE, _UNTAGGED, _KEEP),
        "Servers may go on serving the same folder.",
        ("kernelbox registry collect --storage ~/registry --untagged",),
        below="registry",
    ),
    Verb("ls", "REGISTRY", "registry:ls", (1, 1), examples=("kernelbox registry ls localhost:5000",), below="registry"),
    Verb(
        "tags",
        "NAME",
        "registry:tags",
        (1, 1),
        examples=("kernelbox registry tags localhost:5000/lab/tool",),
        below="registry",
    ),
    Verb(
        "rm",
        "NAME:TAG|NAME@DIGEST [NAME...]",
        "registry:remove",
        (1, None),
        (),
        "A digest is the manifest with all its tags. Its content goes when the registry collects what nothing needs.",
        ("kernelbox registry rm localhost:5000/lab/tool:1",),
        below="registry",
    ),
)

VERBS = {verb.name: verb for verb in _EVERY}

ALIASES = {"gc": "collect", "garbage-collect": "collect", "list": "ls", "remove": "rm"}
