"""A machine with a network of its own, for tests: `python outer_network.py` in a new network namespace.

It has the address MACHINE, and beyond a pair of interfaces another machine, OUTSIDE, which is its gateway and serves
"outside" on PORT; "loopback" is served on LOOPBACK_PORT of its loopback. It says "ready", and goes when its standard
input ends.
"""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading

from kernelbox.linux import netlink
from kernelbox.native import check, lib

MACHINE, OUTSIDE = "192.0.2.1", "192.0.2.2"
PORT, LOOPBACK_PORT = 8000, 8001


def serve(address: str, port: int, answer: bytes) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def up(name: str, address: str) -> None:
    with netlink.Netlink() as kernel:
        index = kernel.link(name).index
        kernel.request(netlink.link_up(1) + netlink.add_address(index, f"{address}/24") + netlink.link_up(index))


def another(told: int, go: int) -> None:
    """The machine outside, until it is killed."""
    check(lib.kb_prctl(lib.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "end with the parent")
    check(lib.kb_unshare(lib.CLONE_NEWNET), "make a network namespace")
    os.write(told, b"x")
    os.read(go, 1)
    up("outside", OUTSIDE)
    serve(OUTSIDE, PORT, b"outside")
    os.write(told, b"x")
    signal.pause()


def main() -> None:
    told, go = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        another(told[1], go[0])
    os.read(told[0], 1)
    space = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
    with netlink.Netlink() as kernel:
        kernel.request(netlink.veth("inside", "outside", peer_netns=space))
    os.close(space)
    up("inside", MACHINE)
    os.write(go[1], b"x")
    os.read(told[0], 1)
    with netlink.Netlink() as kernel:
        kernel.request(netlink.add_route(gateway=OUTSIDE))
    serve("127.0.0.1", LOOPBACK_PORT, b"loopback")
    print("ready", flush=True)
    sys.stdin.read()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
