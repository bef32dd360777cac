from __future__ import annotations

import re
import subprocess

import pytest

from kernelbox.linux.mounts import MountOptions, parse_options
from kernelbox.native import lib

RDONLY, NOSUID, NODEV, NOEXEC = (getattr(lib, f"MOUNT_ATTR_{name}") for name in ("RDONLY", "NOSUID", "NODEV", "NOEXEC"))
ATIME, STRICT = lib.MOUNT_ATTR__ATIME, lib.MOUNT_ATTR_STRICTATIME

# OCI runtime-spec v1.2, config.md, "Linux mount options"
OCI = """
async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime
remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime
rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync
tmpcopyup unbindable idmap ridmap
""".split()  # noqa: SIM905 - as in the table


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], MountOptions()),
        (["defaults"], MountOptions()),
        (["ro"], MountOptions(set=RDONLY, flags=lib.MS_RDONLY)),
        (["rw"], MountOptions(clear=RDONLY)),
        (["ro", "rw"], MountOptions(clear=RDONLY)),
        (["rw", "ro"], MountOptions(set=RDONLY, flags=lib.MS_RDONLY)),
        (
            ["nosuid", "nodev", "noexec"],
            MountOptions(set=NOSUID | NODEV | NOEXEC, flags=lib.MS_NOSUID | lib.MS_NODEV | lib.MS_NOEXEC),
        ),
        (["rro"], MountOptions(recursive_set=RDONLY)),
        (["rro", "rrw"], MountOptions(recursive_clear=RDONLY)),
        (["bind"], MountOptions(bind=True, flags=lib.MS_BIND)),
        (["rbind"], MountOptions(bind=True, recursive=True, flags=lib.MS_BIND | lib.MS_REC)),
        (["rprivate"], MountOptions(propagation=lib.MS_PRIVATE, recursive_propagation=True)),
        (["rshared", "slave"], MountOptions(propagation=lib.MS_SLAVE)),
        (["noatime"], MountOptions(set=lib.MOUNT_ATTR_NOATIME, clear=ATIME, flags=lib.MS_NOATIME)),
        (
            ["noatime", "strictatime"],
            MountOptions(set=lib.MOUNT_ATTR_STRICTATIME, clear=ATIME, flags=lib.MS_STRICTATIME),
        ),
        (["atime"], MountOptions(clear=ATIME, flags=lib.MS_RELATIME)),
        (["idmap"], MountOptions(idmap=True)),
        (["ridmap"], MountOptions(idmap=True, recursive_idmap=True)),
        (["tmpcopyup"], MountOptions(copy_up=True)),
        (["size=64k", "mode=1777"], MountOptions(data=(("size", "64k"), ("mode", "1777")))),
        (["size=1k", "newinstance", "size=2k"], MountOptions(data=(("newinstance", None), ("size", "2k")))),
        (["lowerdir=a=b:c"], MountOptions(data=(("lowerdir", "a=b:c"),))),
        (["sync"], MountOptions(flags=lib.MS_SYNCHRONOUS, data=(("sync", None),))),
        (["sync", "async"], MountOptions()),
        (["remount", "", "silent"], MountOptions(flags=lib.MS_REMOUNT | lib.MS_SILENT)),
        (["relatimes"], MountOptions(data=(("relatimes", None),))),
    ],
)
def test_parse(options: list[str], expected: MountOptions) -> None:
    assert parse_options(options) == expected


@pytest.mark.parametrize("option", OCI)
def test_every_option_of_the_specification_is_known(option: str) -> None:
    """That is, it is not handed to the file system, except those that are meant for it."""
    names = {name for name, _ in parse_options([option]).data}
    assert names <= {"sync", "dirsync", "lazytime", "mand"}


@pytest.mark.parametrize("option", [option for option in OCI if option.startswith("r") and option[1:] in OCI])
def test_recursive_twins_do_to_the_tree_what_the_others_do_to_one(option: str) -> None:
    tree, one = parse_options([option]), parse_options([option[1:]])
    assert (tree.set, tree.clear) == (0, 0)
    assert (tree.recursive_set, tree.recursive_clear) == (one.set, one.clear)
    assert tree.propagation == one.propagation


def test_text_is_for_mount() -> None:
    assert parse_options(["nosuid", "size=1k", "newinstance"]).text == "size=1k,newinstance"


def test_attributes_never_ask_for_a_bit_both_ways() -> None:
    """mount_setattr(2) refuses to set and clear the same bit, access times excepted, which are a field."""
    for a in OCI:
        for b in OCI:
            options = parse_options([a, b])
            assert options.set & options.clear & ~ATIME == 0
            assert options.recursive_set & options.recursive_clear & ~ATIME == 0


def test_flags_agree_with_mount() -> None:
    """The words of mount(8), where its help lists them."""
    text = subprocess.run(["mount", "--help"], capture_output=True, text=True, check=True).stdout
    words = set(re.findall(r"--make-(r?(?:shared|slave|private|unbindable))", text))
    assert all(parse_options([word]).propagation for word in words)
