"""Layers that somebody wrote to harm whoever unpacks them, or that are damaged, each with what has to come of it.

`corpus(victim, group)` are archives that try to read, write, replace or link what is in the folder `victim`, or to make
the reader believe a number. A verdict is the end of the sentence that refuses it, or `TAKEN`: what it says is done
within the layer, and means no harm there.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from layer_archives import BLOCK, END, Archive, binary, header, padded, record, records

TAKEN = ""
DOTS, ROOT, KIND = '".." in it', "can only be a folder", "of an unknown kind"
THROUGH, TARGET, NAME = "no folder of this layer", "no file of this layer", "its name is empty"
DEPTH, LINK, NUMBER = "deeper than 256", "what it links to is empty", "a number in its header"
RECORDS, SPARSE, WHITEOUT = "its extended headers make no sense", "of its holes", "names that begin"
EARLY, HEADER, BYTES = "ends too early", "no tar header", "too large in all"


class Case(NamedTuple):
    archive: bytes
    verdict: str


Named = tuple[str, Archive | bytes, str]
BIG = 1 << 63


def corpus(victim: Path, group: str) -> dict[str, Case]:
    """The cases of a group by their names."""
    found: dict[str, Case] = {}
    for name, archive, verdict in GROUPS[group](os.fspath(victim)):
        assert name not in found
        found[name] = Case(bytes(archive), verdict)
    return found


def _names(victim: str) -> Iterator[Named]:
    deep = "/".join("d" * 300)
    yield "dots", Archive().add("../x", b"no"), DOTS
    yield "dots behind a folder", Archive().folder("a").add("a/../../x", b"no"), DOTS
    yield "dots that stay within", Archive().folder("a").add("a/../b", b"no"), DOTS
    yield "dots behind a dot", Archive().add("./../x"), DOTS
    yield "dots at the end", Archive().folder("a/.."), DOTS
    yield "dots in a record", Archive().pax(("path", "../x")).add("x"), DOTS
    yield "dots in a long name", Archive().extended(b"../x\0", "L").add("x"), DOTS
    yield "dots in the prefix", Archive().add("x", fields={345: b"../.."}), DOTS
    yield "dots of a whiteout", Archive().add("../.wh.victim"), DOTS
    yield "an absolute name", Archive().add(f"{victim}/x", b"beneath the root"), TAKEN
    yield "many slashes", Archive().add("//./etc///x", b"beneath the root"), TAKEN
    yield "a name of 5,000 bytes", Archive().add("n" * 5000), NAME
    yield "a long name of 5,000 bytes", Archive().extended(b"n" * 5000 + b"\0", "L").add("x"), NAME
    yield "a path of 5,000 bytes", Archive().add("/".join(["n" * 99] * 50)), NAME
    yield "one name of 256 bytes", Archive().add("a/" + "n" * 256), NAME
    yield "no name", Archive().add(""), NAME
    yield "a long name that is empty", Archive().extended(b"\0", "L").add(""), NAME
    yield "a NUL in a path", Archive().pax(("path", b"a\0b")).add("x"), NAME
    yield "300 folders in each other", Archive().add(deep), DEPTH
    yield "bytes that are no text", Archive().add(b"\xff\n\x1b[2J"), TAKEN


def _links(victim: str) -> Iterator[Named]:
    up = "../" * 40 + victim[1:]
    for name, to in (("absolute", victim), ("relative", up), ("into /proc", f"/proc/self/root{victim}")):
        yield f"written through a link, {name}", Archive().symlink("l", to).add("l/x", b"no"), THROUGH
    yield "a folder made through a link", Archive().symlink("l", victim).folder("l/new"), THROUGH
    yield "a link made through a link", Archive().symlink("l", victim).symlink("l/x", "y"), THROUGH
    yield "a mode set through a link", Archive().symlink("l", victim).folder("l/", 0o777), TAKEN
    yield "a mode set through two links", Archive().symlink("l", victim).folder("l/folder", 0o777), THROUGH
    yield "removed through a link", Archive().symlink("l", victim).add("l/.wh.secret"), THROUGH
    yield "opaque through a link", Archive().symlink("l", victim).add("l/.wh..wh..opq"), THROUGH
    yield "a file over a link", Archive().symlink("l", f"{victim}/secret").add("l", b"own"), TAKEN
    yield "a folder over a link", Archive().symlink("l", victim).folder("l").add("l/x", b"own"), TAKEN
    yield "a FIFO over a link", Archive().symlink("l", f"{victim}/secret").add("l", kind="6"), TAKEN
    chain = Archive().symlink("a", "b").symlink("b", victim)
    yield "a chain of links", chain.add("a/x", b"no"), THROUGH
    yield "links in a circle", Archive().symlink("a", "b").symlink("b", "a").add("a/x"), THROUGH
    yield "a link to itself", Archive().symlink("l", "l").add("l/x"), THROUGH
    yield "a link in place of a folder", Archive().folder("d").symlink("d", victim).add("d/x", b"no"), THROUGH
    yield "a link to the root", Archive().symlink("l", "/").add("l/x", b"within"), TAKEN
    yield "a link above the root", Archive().symlink("l", "../..").add("l/x", b"within"), TAKEN
    yield "a link to a folder of the layer", Archive().folder("d").symlink("l", "/d").add("l/x", b"within"), TAKEN
    yield "a link to a file", Archive().add("f").symlink("l", "f").add("l/x"), THROUGH
    yield "a link to nothing", Archive().symlink("l", ""), LINK
    yield "a link of 5,000 bytes", Archive().symlink("l", "n" * 5000), LINK
    yield "a NUL in a link", Archive().pax(("linkpath", b"a\0b")).symlink("l", "x"), LINK


def _hard_links(victim: str) -> Iterator[Named]:
    secret = f"{victim}/secret"
    yield "a hard link out, absolute", Archive().hard_link("h", secret), TARGET
    yield "a hard link out, relative", Archive().hard_link("h", f"../../..{secret}"), DOTS
    yield "a hard link through a link", Archive().symlink("l", victim).hard_link("h", "l/secret"), TARGET
    yield "a hard link made through a link", Archive().add("f").symlink("l", victim).hard_link("l/h", "f"), THROUGH
    yield (
        "a hard link to a link, then written",
        Archive().symlink("l", secret).hard_link("h", "l").add("h", b"own"),
        TAKEN,
    )
    yield "a hard link to nothing", Archive().hard_link("h", "missing"), TARGET
    yield "a hard link to itself", Archive().hard_link("h", "h"), TARGET
    yield "a hard link to a file and again", Archive().add("f", b"1").hard_link("h", "f").hard_link("h", "f"), TAKEN
    yield "a hard link over its own file", Archive().add("f", b"1").hard_link("f", "f"), TAKEN
    yield "a hard link to a folder", Archive().folder("d").hard_link("h", "d"), TARGET
    yield "a hard link to the root", Archive().hard_link("h", "/"), TARGET
    yield "a hard link to a whiteout", Archive().add(".wh.f").hard_link("h", "f"), TARGET
    yield "a hard link to a whiteout's name", Archive().add(".wh.f").hard_link("h", ".wh.f"), TARGET
    yield "a hard link over the folder it is in", Archive().add("d/f").hard_link("d", "d/f"), TARGET
    yield "a hard link with a size", Archive().add("f", b"1").raw(header(b"h", "1", 4096, link=b"f")), TAKEN


def _roots(victim: str) -> Iterator[Named]:
    for name in ("./", ".", "/"):
        yield f"{name!r} as a link", Archive().symlink(name, victim).add("x", b"no"), ROOT
        yield f"{name!r} as a file", Archive().add(name, b"no", "0"), ROOT
    yield "the root as a FIFO", Archive().add("./", kind="6"), ROOT
    yield "the root as a hard link", Archive().add("f").hard_link(".", "f"), ROOT
    yield "the root as a folder", Archive().folder("./", 0o711), TAKEN


def _whiteouts(victim: str) -> Iterator[Named]:
    yield "a whiteout of nothing", Archive().add(".wh."), WHITEOUT
    yield "a whiteout of the folder itself", Archive().folder("a").add("a/.wh.."), WHITEOUT
    yield "a whiteout of the folder above", Archive().folder("a").add("a/.wh..."), WHITEOUT
    yield "a file in a whiteout", Archive().add(".wh.a/x"), WHITEOUT
    yield "a folder named as a whiteout's way", Archive().folder(".wh.a/b"), WHITEOUT
    yield "a whiteout that is a link", Archive().symlink(".wh.a", victim), TAKEN
    yield "an opaque mark that is a link", Archive().symlink(".wh..wh..opq", victim), TAKEN
    yield "other names of that kind", Archive().add(".wh..wh.plnk/1.2").symlink(".wh..wh.x", victim), TAKEN
    yield "in other names of that kind", Archive().symlink(".wh..wh.x", victim).add(".wh..wh.x/y", b"no"), TAKEN
    yield "a whiteout, then something in it", Archive().add(".wh.a").add("a/x", b"1"), TAKEN
    yield "a device that would be a whiteout", Archive().device("etc", (0, 0)), TAKEN


def _kinds(victim: str) -> Iterator[Named]:
    yield "an unknown kind", Archive().add("x", kind="Q"), KIND
    yield "a part of another archive", Archive().add("x", b"1", "M"), KIND
    yield "a disk", Archive().device("sda", (8, 0), "4"), TAKEN
    yield "the number of no device", Archive().device("x", (4096, 0)), NUMBER
    yield "a name of the archive, many times", Archive().raw(*[header(b"../", "V")] * 2000).add("x"), TAKEN


def _numbers(victim: str) -> Iterator[Named]:
    for name, field in (
        ("2^63", binary(BIG, 12)), ("2^87", b"\x80" + b"\xff" * 11), ("-1", binary(-1, 12)),
        ("of words", b"twelve bytes"), ("with a sign", b"-0000000001\0"),
    ):  # fmt: skip
        yield f"a size {name}", Archive().raw(header(b"x", "0", fields={124: field})), NUMBER
        yield f"records of a size {name}", Archive().raw(header(b"x", "x", fields={124: field})), NUMBER
    for text in (str(BIG), str(1 << 64), "-1", "1e3", " 1", "0x10"):
        yield f"a size in words {text!r}", Archive().pax(("size", text)).add("x"), NUMBER
    yield "a size that is not there", Archive().pax(("size", str(1 << 62))).add("x"), BYTES
    yield "sizes that are too large together", Archive().add("a", b"1").pax(("size", str(1 << 37))).add("x"), BYTES
    for key in ("uid", "gid"):
        for text in (str((1 << 32) - 1), str(1 << 64), "-1", "root"):
            yield f"{key} {text}", Archive().pax((key, text)).add("x"), NUMBER
    yield "a user -1 in binary", Archive().add("x", fields={108: binary(-1, 8)}), NUMBER
    yield "a user 2^32 - 1 in binary", Archive().add("x", fields={108: binary((1 << 32) - 1, 8)}), NUMBER
    yield "a mode of words", Archive().add("x", fields={100: b"rwxr-xr-"}), NUMBER
    for text in ("nan", "1e9", str(1 << 62), "1.5.5", "-", ".5", "1,5"):
        yield f"a time {text}", Archive().pax(("mtime", text)).add("x"), NUMBER
    yield "a time that no file system knows", Archive().add("x", fields={136: binary(1 << 80, 12)}), NUMBER
    yield "a time before 1970", Archive().pax(("mtime", "-1.5")).add("x"), TAKEN


def _extended(victim: str) -> Iterator[Named]:
    for name, text in (
        ("too long", b"99 path=x\n"), ("too short", b"5 path=x\n"), ("0", b"0 path=x\n"), ("none", b"path=x\n"),
        ("2^64 + 10", b"18446744073709551626 path=x\n"), ("without its end", b"9 path=xy"),
        ("negative", b"-9 path=x\n"),
    ):  # fmt: skip
        yield f"a record's length: {name}", Archive().extended(text).add("x"), RECORDS
    yield "a record without a value", Archive().extended(b"8 pathx\n").add("x"), RECORDS
    yield "a record without a key", Archive().extended(b"5 =x\n").add("x"), RECORDS
    yield "records of 2 MiB", Archive().pax(("comment", b"x" * (1 << 21))).add("x"), RECORDS
    yield "records of a terabyte", Archive().raw(header(b"x", "x", 1 << 40)), RECORDS
    yield "a chain of headers", Archive().raw(*[header(b"x", "x")] * 100).add("x"), RECORDS
    yield "a chain of names", Archive().raw(*[header(b"x", "L")] * 100).add("x"), RECORDS
    yield "headers for all that follow", Archive().pax(("path", victim), ("size", "99"), kind="g").add("x", b"1"), TAKEN
    yield "a user for all that follow", Archive().pax(("uid", str(1 << 32)), kind="g").add("x"), NUMBER
    taken_back = Archive().pax(("path", "../x"), ("path", ""), ("size", "9"), ("size", "1"))
    yield "records that are taken back", taken_back.add("x", b"1"), TAKEN
    mixed = Archive().pax(("path", "good"), ("linkpath", "y" * 99)).pax(("comment", "z" * 4000), kind="g")
    yield "records, then some for all", mixed.symlink("x", "y"), TAKEN


def _sparse(victim: str) -> Iterator[Named]:
    yield "holes", Archive().sparse("x", [(4096, b"1" * 512)], 1 << 40), TAKEN
    yield "pieces that overlap", Archive().sparse("x", [(0, b"1" * 512), (256, b"2" * 512)], 4096), SPARSE
    yield "pieces in the wrong order", Archive().sparse("x", [(4096, b"1" * 512), (0, b"2" * 512)], 8192), SPARSE
    yield "a piece behind the end", Archive().sparse("x", [(4096, b"1" * 512)], 4096), SPARSE
    yield "a piece that wraps around", Archive().sparse("x", [(BIG - 1, b"1" * 512)], BIG - 1), SPARSE
    yield "pieces that are not there", Archive().sparse("x", [], 4096, b"1\n0\n512\n"), SPARSE
    yield "more than the pieces", Archive().sparse("x", [(0, b"1" * 512)], 4096, b"0\n"), SPARSE
    yield "a map of words", Archive().sparse("x", [], 4096, b"one\n0\n512\n"), SPARSE
    yield "a map without an end", Archive().sparse("x", [], 4096, b"9" * 512), SPARSE
    yield "a map of 10^12 pieces", Archive().sparse("x", [], 4096, b"1000000000000\n" + b"0\n0\n" * 5000), SPARSE
    yield "a length 2^63", Archive().sparse("x", [], BIG), SPARSE
    for name, values in (
        ("half a piece", [("GNU.sparse.size", "9"), ("GNU.sparse.offset", "0")]),
        ("a length without an offset", [("GNU.sparse.size", "9"), ("GNU.sparse.numbytes", "0")]),
        ("both ways at once", [("GNU.sparse.offset", "0"), ("GNU.sparse.map", ""), ("GNU.sparse.numbytes", "0")]),
        ("half a map", [("GNU.sparse.size", "9"), ("GNU.sparse.map", "0,1,2")]),
        ("no length", [("GNU.sparse.map", "0,0")]),
        ("version 7", [("GNU.sparse.major", "7"), ("GNU.sparse.realsize", "0")]),
    ):
        yield f"a sparse file: {name}", Archive().pax(*values).add("x"), SPARSE
    old = {386: b"%011o\0%011o\0" % (0, 512), 483: b"%011o\0" % 4096}
    yield "old holes", Archive().add("x", b"1" * 512, "S", fields=old), TAKEN
    yield (
        "old holes, negative",
        Archive().add("x", b"", "S", fields={**old, 386: binary(-1, 12) + b"%011o\0" % 512}),
        SPARSE,
    )
    yield "old holes, shorter than told", Archive().add("x", b"1" * 99, "S", fields=old), SPARSE
    yield "old holes without an end", Archive().raw(header(b"x", "S", fields={**old, 482: b"\1"})).without_end(), EARLY
    more = padded(b"") + b"%011o\0%011o\0" % (512, 512) + bytes(BLOCK - 24)
    goes_on = header(b"x", "S", 1024, fields={**old, 482: b"\1"})
    yield "old holes that go on", Archive().raw(goes_on, more, b"2" * 1024), TAKEN


def _ends(victim: str) -> Iterator[Named]:
    whole = Archive().add("a", b"1" * 600)
    yield "nothing at all", b"", EARLY
    yield "no entry", END, TAKEN
    yield "no end", whole.without_end(), EARLY
    yield "half an end", whole.without_end() + bytes(BLOCK), TAKEN
    yield "an end, then an entry", bytes(whole) + bytes(Archive().symlink("l", victim)), TAKEN
    yield "an empty block, then an entry", Archive().raw(bytes(BLOCK)).add("x"), HEADER
    yield "half a header", whole.without_end() + header(b"b", "0")[:300], EARLY
    yield "half a file", whole.without_end()[: BLOCK + 100], EARLY
    yield "records, then the end", Archive().extended(record("path", "x")), EARLY
    yield "half of records", Archive().raw(header(b"x", "x", 4000), b"9 path=x"), EARLY
    yield "a wrong checksum", Archive().raw(header(b"x", "0", checksum=1)), HEADER
    yield "gzip", gzip.compress(bytes(whole)) + bytes(BLOCK), HEADER
    yield "words", b"<html>" * 999, HEADER
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as zipped:
        zipped.writestr("../x", b"no" * 999)
    yield "zip", kept.getvalue(), HEADER


def _replaced(victim: str) -> Iterator[Named]:
    yield "the same file twice", Archive().add("a", b"first").add("a", b"second"), TAKEN
    yield "a file over a full folder", Archive().add("d/e/f", b"1").symlink("d/l", victim).add("d", b"own"), TAKEN
    yield "a link over a full folder", Archive().add("d/e/f", b"1").symlink("d", victim), TAKEN
    yield "a folder over a file", Archive().add("d", b"1").folder("d").add("d/x", b"own"), TAKEN
    yield "something in a file", Archive().add("f", b"1").add("f/x", b"no"), THROUGH
    yield "a folder in a file", Archive().add("f", b"1").folder("f/d"), THROUGH
    yield "a device over a file", Archive().add("f", b"1").device("f", (1, 3)), TAKEN
    yield "its own folder over a file, late", Archive().folder("d", 0o700).symlink("d", victim), TAKEN
    yield "5,000 files of one name", Archive().raw(*[header(b"x", "0")] * 5000), TAKEN


def _xattrs(victim: str) -> Iterator[Named]:
    overlay = {"opaque": b"y", "redirect": victim.encode(), "metacopy": b"", "whiteout": b""}
    for name in ("trusted", "user"):
        marks = {f"{name}.overlay.{key}": value for key, value in overlay.items()}
        yield f"overlay's marks, {name}", Archive().folder("d").add("f", b"1", xattrs=marks), TAKEN
    others = {"security.selinux": b"x", "system.posix_acl_access": b"x", "trusted.x": b"x", "": b"x", "user": b"x"}
    yield "attributes of the machine's", Archive().add("f", xattrs=others), TAKEN
    yield "capabilities that make no sense", Archive().add("f", xattrs={"security.capability": b"x" * 20}), TAKEN
    foreign = (0x03000000).to_bytes(4, "little") + b"\1" + bytes(15) + (1000).to_bytes(4, "little")
    yield "another root's capabilities", Archive().add("f", xattrs={"security.capability": foreign}), TAKEN
    yield "an attribute of 64 KiB and one byte", Archive().add("f", xattrs={"user.x": bytes(65537)}), RECORDS
    yield "200 attributes", Archive().add("f", xattrs={f"user.{n}": b"" for n in range(200)}), RECORDS
    yield "an attribute's name of 300 bytes", Archive().add("f", xattrs={"user." + "x" * 300: b""}), RECORDS
    link = Archive().extended(records([("SCHILY.xattr.user.x", b"1")])).symlink("l", f"{victim}/secret")
    yield "an attribute of a link", link, TAKEN


GROUPS: dict[str, Callable[[str], Iterator[Named]]] = {
    "names": _names,
    "links": _links,
    "hard links": _hard_links,
    "roots": _roots,
    "whiteouts": _whiteouts,
    "kinds": _kinds,
    "numbers": _numbers,
    "extended headers": _extended,
    "sparse files": _sparse,
    "ends": _ends,
    "replaced": _replaced,
    "attributes": _xattrs,
}
