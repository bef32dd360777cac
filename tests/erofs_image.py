"""A reader of EROFS images in plain Python, after the kernel's description of the format: what a mount would show, on
any machine and for anybody. It checks what the kernel relies on (the checksum, the order of names)."""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 4096
PREFIXES = {1: "user.", 4: "trusted.", 6: "security."}
KINDS = {1: stat.S_IFREG, 2: stat.S_IFDIR, 3: stat.S_IFCHR, 4: stat.S_IFBLK, 5: stat.S_IFIFO, 7: stat.S_IFLNK}


@dataclass
class Inode:
    number: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    links: int
    size: int
    layout: int
    where: int
    behind: int
    """Where in the image the bytes are that follow the inode and its attributes."""
    xattrs: dict[str, bytes] = field(default_factory=dict)

    @property
    def device(self) -> tuple[int, int]:
        return self.where >> 8 & 0xFFF, (self.where & 0xFF) | (self.where >> 12 & 0xFFF00)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


class ErofsImage:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.read_bytes()
        magic, checksum, compatible, bits = struct.unpack_from("<3IB", self.file, 1024)
        assert (magic, bits) == (0xE0F5E1E2, 12)
        assert compatible & 1
        head = bytearray(self.file[1024:BLOCK])
        head[4:8] = bytes(4)
        assert crc32c(bytes(head)) == checksum
        self.root, self.inodes = struct.unpack_from("<HQ", self.file, 1024 + 14)
        (self.blocks,) = struct.unpack_from("<I", self.file, 1024 + 36)
        self.uuid = self.file[1024 + 48 : 1024 + 64]
        (self.incompatible,) = struct.unpack_from("<I", self.file, 1024 + 80)
        assert self.blocks * BLOCK == len(self.file)

    def inode(self, number: int) -> Inode:
        at = number * 32
        kind, units, mode, zero, size, where, _, uid, gid, mtime, ns, links = struct.unpack_from(
            "<4HQ4Iq2I", self.file, at
        )
        assert kind & 1
        assert zero == 0
        body = 12 + 4 * (units - 1) if units else 0
        xattrs = dict(self._xattrs(at + 64 + 12, at + 64 + body)) if units else {}
        return Inode(
            number, mode, uid, gid, mtime * 10**9 + ns, links, size, kind >> 1, where, at + 64 + body, xattrs
        )  # fmt: skip

    def _xattrs(self, at: int, end: int) -> Iterator[tuple[str, bytes]]:
        while at < end:
            length, prefix, size = struct.unpack_from("<BBH", self.file, at)
            name = self.file[at + 4 : at + 4 + length].decode()
            yield PREFIXES[prefix] + name, self.file[at + 4 + length : at + 4 + length + size]
            at += (4 + length + size + 3) // 4 * 4
        assert at == end

    def content(self, inode: Inode) -> bytes:
        if inode.layout == 4:
            return self._chunks(inode)
        begin = inode.where * BLOCK
        if inode.layout == 0:
            assert begin + inode.size <= len(self.file)
            return self.file[begin : begin + inode.size]
        assert inode.layout == 2
        end = inode.size % BLOCK
        assert inode.behind // BLOCK == (inode.behind + end - 1) // BLOCK, "the end crosses a block"
        return self.file[begin : begin + inode.size - end] + self.file[inode.behind : inode.behind + end]

    def _chunks(self, inode: Inode) -> bytes:
        assert self.incompatible & 4
        size = BLOCK << inode.where
        count = -(-inode.size // size)
        found = bytearray()
        for block in struct.unpack_from(f"<{count}I", self.file, inode.behind):
            wanted = min(size, inode.size - len(found))
            piece = bytes(wanted) if block == 0xFFFFFFFF else self.file[block * BLOCK : block * BLOCK + wanted]
            assert len(piece) == wanted
            found += piece
        return bytes(found)

    def entries(self, folder: Inode) -> list[tuple[bytes, int, int]]:
        """(name, number of the inode, kind) as they stand there, "." and ".." included."""
        content = self.content(folder)
        found = []
        for begin in range(0, len(content), BLOCK):
            block = content[begin : begin + BLOCK]
            count = struct.unpack_from("<H", block, 8)[0] // 12
            heads = [struct.unpack_from("<QHBB", block, 12 * at) for at in range(count)]
            ends = [head[1] for head in heads[1:]] + [len(block)]
            for (number, name_at, kind, _), end in zip(heads, ends, strict=True):
                found.append((block[name_at:end].rstrip(b"\0"), number, kind))
        names = [name for name, _, _ in found]
        assert names == sorted(set(names))
        return found

    def walk(self) -> Iterator[tuple[bytes, Inode]]:
        """Every path with its inode, the root (an empty path) first."""
        yield b"", self.inode(self.root)
        yield from self._walk(b"", self.root, self.root)

    def _walk(self, path: bytes, number: int, above: int) -> Iterator[tuple[bytes, Inode]]:
        entries = self.entries(self.inode(number))
        assert {name: to for name, to, _ in entries if name in (b".", b"..")} == {b".": number, b"..": above}
        for name, to, kind in entries:
            if name in (b".", b".."):
                continue
            below, inode = path + b"/" + name if path else name, self.inode(to)
            assert stat.S_IFMT(inode.mode) == KINDS[kind]
            yield below, inode
            if stat.S_ISDIR(inode.mode):
                yield from self._walk(below, to, number)
