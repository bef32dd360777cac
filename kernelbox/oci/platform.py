"""`--platform`: which operating system and processor an image is for, in the words of OCI's image index (`os`,
`architecture`, `variant`), and in the other spellings that Docker takes.

>>> str(parse("linux/x86_64")), str(parse("aarch64")), str(parse("Linux/arm64/v8"))
('linux/amd64', 'linux/arm64', 'linux/arm64')
"""

from __future__ import annotations

from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

__all__ = ["Platform", "of_machine", "parse"]

_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "netbsd", "openbsd", "plan9",
    "solaris", "wasip1", "windows",
})  # fmt: skip
_ARCHITECTURES = frozenset({
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
})  # fmt: skip
_OTHER_NAMES = {
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""), "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "loongarch64": ("loong64", ""),
}  # fmt: skip
_PLAIN = {("arm64", "v8"): "", ("amd64", "v1"): "", ("arm", ""): "v7"}
"""Variants that are what there is without one, and the one of arm that is meant then."""


@frozen
class Platform:
    """What Docker writes as os/architecture, or os/architecture/variant."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def parse(text: str, own: str = "amd64") -> Platform:
    """OS, ARCHITECTURE, OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT; `own` is this machine's architecture, which is
    meant where none is said. Raises InvalidOption."""
    words = text.lower().split("/")
    system = "linux"
    if words[0] in _SYSTEMS or len(words) > 1:
        system = words.pop(0)
    if system not in _SYSTEMS or len(words) > 2 or not all(each.isalnum() or each in _OTHER_NAMES for each in words):
        raise _unknown(text)
    name, variant = (*words, "", "")[:2]
    name, usual = _OTHER_NAMES.get(name, (name, "")) if name else (own, "")
    if name not in _ARCHITECTURES:
        raise _unknown(text)
    return Platform(system, name, _variant(name, variant or usual))


def of_machine(machine: str) -> Platform:
    """That of a Linux whose uname(2) says `machine`."""
    name, variant = _OTHER_NAMES.get(machine, (machine, ""))
    return Platform("linux", name, _variant(name, variant))


def _variant(architecture: str, variant: str) -> str:
    found = f"v{variant}" if variant.isdecimal() else variant
    return _PLAIN.get((architecture, found), found)


def _unknown(text: str) -> InvalidOption:
    return InvalidOption(f"{text[:60]!r} is no platform", hint="linux/amd64, for example, or linux/arm64/v8")
