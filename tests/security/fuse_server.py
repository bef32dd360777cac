"""A file system in user space (the protocol of Linux's <linux/fuse.h>, version 7), hostile as it is told to be.

It runs inside a container: `python3 -c SOURCE FOLDER KIND SILENT` mounts itself on FOLDER, where every name leads to
something of KIND ("file", "fifo" or "terminal": a device with the number of /dev/ptmx), and says "mounted". A request
whose number is SILENT is read, and never answered; to ioctl(2) it answers with the number of a descriptor.
"""

import ctypes
import os
import stat
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, IOCTL = 1, 3, 14, 15, 17, 18, 25, 26, 39
ROOT, ENOENT, ENOSYS, ENODEV = 1, 2, 38, 19
CONTENT = b"#!/bin/sh\necho ran\n"
KINDS = {
    "file": (stat.S_IFREG | 0o777, 0),
    "fifo": (stat.S_IFIFO | 0o666, 0),
    "terminal": (stat.S_IFCHR | 0o666, 5 << 8 | 2),
}
IN = struct.Struct("=IIQQIIII")
OUT = struct.Struct("=IiQ")


def attributes(node: int, kind: str) -> bytes:
    """struct fuse_attr."""
    mode, device = (stat.S_IFDIR | 0o755, 0) if node == ROOT else KINDS[kind]
    return struct.pack("=6Q10I", node, len(CONTENT), 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, device, 4096, 0)


def answer(code: int, node: int, kind: str) -> tuple[int, bytes]:
    """-errno or 0, and what follows. Nothing may be kept: each look asks again."""
    if code == INIT:
        return 0, struct.pack("=4I2H2I2H8I", 7, 31, 65536, 0, 0, 0, 65536, 1, 1, 0, *(0,) * 8)
    if code == LOOKUP:
        return 0, struct.pack("=4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2, kind)
    if code == GETATTR:
        return 0, struct.pack("=Q2I", 0, 0, 0) + attributes(node, kind)
    if code == OPEN:
        return 0, struct.pack("=Q2I", 0, 0, 0)
    if code == READ:
        return 0, CONTENT
    if code == STATFS:
        return 0, bytes(80)
    if code == IOCTL:
        return 0, struct.pack("=i3I", 3, 0, 0, 0)
    return (0, b"") if code in (RELEASE, FLUSH) else (-ENOSYS, b"")


def serve(place: str, kind: str, silent: int) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"fuse", os.fsencode(place), b"fuse", 0, data.encode()):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError as error:
            if error.errno == ENODEV:  # unmounted
                return
            if error.errno == ENOENT:  # who asked has gone meanwhile
                continue
            raise
        _, code, unique, node, *_ = IN.unpack_from(request)
        print(f"asked {code}", flush=True)
        if code == silent or code in (2, 36):  # FORGET and INTERRUPT are never answered
            continue
        error, content = answer(code, node, kind)
        os.write(device, OUT.pack(OUT.size + len(content), error, unique) + content)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
