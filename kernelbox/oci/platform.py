"""`--platform`: which operating system and processor an image is for, in the words of OCI's image index (`os`,
`architecture`, `variant`), and in the other spellings that Docker takes; and which image of an index that is.

>>> str(parse("linux/x86_64")), str(parse("aarch64")), str(parse("Linux/arm64/v8"))
('linux/amd64', 'linux/arm64', 'linux/arm64')
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.oci import media_types as types
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.oci.descriptor import Descriptor

__all__ = ["Platform", "candidates", "check", "choose", "none_for", "of_machine", "parse", "rank"]

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

_OLDER = {
    ("amd64", "v4"): ("v4", "v3", "v2", ""),
    ("amd64", "v3"): ("v3", "v2", ""),
    ("arm", "v8"): ("v8", "v7", "v6", "v5"),
    ("arm", "v7"): ("v7", "v6", "v5"),
    ("arm", "v6"): ("v6", "v5"),
}
"""What these variants run, the best first; any other runs itself and what has none."""

_WORD = re.compile(r"[a-zA-Z0-9._+-]{0,100}")


@frozen
class Platform:
    """What Docker writes as os/architecture, or os/architecture/variant. `os_features` are what an image needs of the
    system beyond that."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    @property
    def is_plain(self) -> bool:
        """Whether its words are short and of letters and digits, as everybody's are."""
        words = (self.os, self.architecture, self.variant, self.os_version, *self.os_features)
        return all(map(_WORD.fullmatch, words))


def parse(text: str, own: str = "amd64") -> Platform:
    """OS, ARCHITECTURE, OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT; `own` is this machine's architecture, which is
    meant where none is said. Raises InvalidOption."""
    words = text.lower().split("/")
    system = "linux"
    if words[0] in _SYSTEMS or len(words) > 1:
        system = words.pop(0)
    if (
        system not in _SYSTEMS
        or len(words) > 2
        or not text.isascii()
        or not all(each.isalnum() or each in _OTHER_NAMES for each in words)
    ):
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


def rank(found: Platform, wanted: Platform) -> int | None:
    """How far what is found is from what is wanted: 0 is that, 1 a variant older (arm/v7 runs arm/v6), and so on; None
    does not run there.

    Neighbours that some processors run too (386 on amd64) are none: containers here may only call the kernel as
    programs of the machine's own architecture do."""
    if _system(found) != _system(wanted) or not set(found.os_features) <= set(wanted.os_features):
        return None
    has, wants = _variant_of(found), _variant_of(wanted)
    runs = _OLDER.get((_system(wanted)[1], wants), (wants, ""))
    return runs.index(has) if has in runs else None


def check(found: Platform, wanted: Platform, what: str) -> None:
    """Raises ImageNotFound where `what`, which is for the platform `found`, does not run on `wanted`."""
    if rank(found, wanted) is None:
        raise ImageNotFound(
            f"{what} is for {found}, not for {wanted}", hint=f"--platform {found} takes it all the same"
        )


def choose(descriptors: Iterable[Descriptor], wanted: Platform) -> Descriptor:
    """The first of `candidates`. Raises ImageNotFound, which says what there is, where there is none."""
    offered = tuple(descriptors)
    found = candidates(offered, wanted)
    if not found:
        raise none_for(offered, wanted)
    return found[0]


def none_for(descriptors: Iterable[Descriptor], wanted: Platform) -> ImageNotFound:
    """That none of them is; its hint says what there is."""
    there = sorted({str(each.platform) for each in descriptors if _may_be_an_image(each)})
    hint = "there is " + ", ".join(there[:20]) if there else "there is none for any platform"
    return ImageNotFound(f"no image for {wanted} among these", hint=hint)


def candidates(descriptors: Iterable[Descriptor], wanted: Platform) -> tuple[Descriptor, ...]:
    """Those of an index that may be it, the best first, equals in their order. Last are those of which no platform is
    said (a further index, or the only image of an archive): what they lead to says, and `check` is for that.
    Attestations and other artifacts are passed over."""
    images = [each for each in descriptors if _may_be_an_image(each)]
    ranks = [(rank(each.platform, wanted), each) for each in images if each.platform]
    fitting = sorted(((number, each) for number, each in ranks if number is not None), key=lambda pair: pair[0])
    return (*(each for _, each in fitting), *(each for each in images if not each.platform))


def _may_be_an_image(descriptor: Descriptor) -> bool:
    if descriptor.media_type not in types.MANIFESTS | types.INDEXES or descriptor.artifact_type:
        return False
    platform = descriptor.platform
    unknown = platform is not None and "unknown" in (platform.os, platform.architecture)
    return not unknown and "vnd.docker.reference.type" not in descriptor.annotations


def _system(platform: Platform) -> tuple[str, str]:
    name = platform.architecture.lower()
    return platform.os.lower(), _OTHER_NAMES.get(name, (name, ""))[0]


def _variant_of(platform: Platform) -> str:
    name = platform.architecture.lower()
    name, usual = _OTHER_NAMES.get(name, (name, ""))
    return _variant(name, platform.variant.lower() or usual)


def _variant(architecture: str, variant: str) -> str:
    found = f"v{variant}" if variant.isdecimal() else variant
    return _PLAIN.get((architecture, found), found)


def _unknown(text: str) -> InvalidOption:
    return InvalidOption(f"{text[:60]!r} is no platform", hint="linux/amd64, for example, or linux/arm64/v8")
