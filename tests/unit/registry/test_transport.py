"""One exchange with a server that is slow, broken or hostile."""

from __future__ import annotations

import gzip
import io
import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.registry.certificates import server_context
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import InvalidOption, RegistryError
from kernelbox.registry.pace import Pace, PacedReader
from kernelbox.registry.retry import Passing
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Request, Timeouts, Transport

SHORT = Timeouts(connect=5, read=0.2)


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(SHORT)
    yield made
    made.close()


def test_an_answer(transport: Transport) -> None:
    script = lambda received: Answer(201, b"body", {"Content-Type": "Text/Plain; charset=x", "X": "y"})  # noqa: E731
    with scripted(script) as server:
        with transport.send(Request("POST", f"http://{server.address}/a?b=c", {"A": "b"}, b"sent")) as response:
            assert (response.status, response.read(4), response.header("x")) == (201, b"body", "y")
            assert (response.media_type, response.length, response.header("none")) == ("text/plain", 4, "")
        (received,) = server.received
    assert (received.method, received.target, received.body) == ("POST", "/a?b=c", b"sent")
    assert received.headers["a"] == "b"
    assert received.headers["accept-encoding"] == "identity"
    assert "authorization" not in received.headers
    assert "cookie" not in received.headers


def test_connections_are_kept(transport: Transport) -> None:
    with scripted(lambda received: Answer(body=b"x")) as server:
        for _ in range(3):
            with transport.send(Request("GET", f"http://{server.address}/")) as response:
                response.read(1)
        assert len(server.connections) == 1


def test_passwords_of_netrc_and_cookies_go_nowhere(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with scripted(lambda received: Answer(headers={"Set-Cookie": "a=b"})) as server:
        for _ in range(2):
            with transport.send(Request("GET", f"http://{server.address}/")):
                pass
    assert all("authorization" not in each.headers and "cookie" not in each.headers for each in server.received)


def test_a_proxy_is_not_asked_about_this_machine(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with (
        scripted(lambda received: Answer(body=b"x")) as server,
        transport.send(Request("GET", f"http://{server.address}/")) as response,
    ):
        assert response.read(1) == b"x"


def test_a_proxy_is_asked_about_others(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda received: Answer(body=b"from the proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        with transport.send(Request("GET", "http://images.invalid/v2/")) as response:
            assert response.read(100) == b"from the proxy"
        assert proxy.received[0].target == "http://images.invalid/v2/"


def test_a_redirect_is_an_answer(transport: Transport) -> None:
    with scripted(lambda received: Answer(302, headers={"Location": "/elsewhere"})) as server:
        with transport.send(Request("GET", f"http://{server.address}/")) as response:
            assert response.status == 302
        assert len(server.received) == 1


def test_what_is_compressed_stays_so(transport: Transport) -> None:
    content = gzip.compress(b"x" * 1000)
    with (
        scripted(lambda received: Answer(body=content, headers={"Content-Encoding": "gzip"})) as server,
        transport.send(Request("GET", f"http://{server.address}/")) as response,
    ):
        assert response.read(10_000) == content


@pytest.mark.parametrize("length", [None, 4 << 20])
def test_a_body_is_not_read_beyond_what_it_may_have(transport: Transport, length: int | None) -> None:
    endless = itertools.repeat(b"x" * 65536)
    with (
        scripted(lambda received: Answer(body=endless, length=length)) as server,
        transport.send(Request("GET", f"http://{server.address}/")) as response,
        pytest.raises(RegistryError, match="more than the 1000 bytes"),
    ):
        response.read(1000)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "broke"),
        (b"HTTP/1.1", "broke"),
        (b"\x16\x03\x01\x02\x00\x01", "broke"),
        (b"SSH-2.0-server\r\n", "broke"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000, "broke"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, "broke"),
        (b"HTTP/1.1 999999 OK\r\n\r\n", "broke"),
        (b"HTTP/1.1 206 Partial Content\r\n", "broke"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Le", "broke"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n", "broke"),
    ],
)
def test_what_is_no_answer_may_pass(transport: Transport, raw: bytes, sentence: str) -> None:
    with scripted(lambda received: Answer(raw=raw)) as server:
        with pytest.raises(Passing, match=sentence) as caught:
            transport.send(Request("GET", f"http://{server.address}/secret?key"))
        assert server.address in caught.value.message
        assert "key" not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
    ],
)
def test_a_body_that_breaks_off_may_pass(transport: Transport, raw: bytes) -> None:
    with (
        scripted(lambda received: Answer(raw=raw)) as server,
        transport.send(Request("GET", f"http://{server.address}/")) as response,
        pytest.raises(Passing),
    ):
        response.read(1 << 20)


@settings(max_examples=40)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_an_error(raw: bytes) -> None:
    transport = Transport(SHORT)
    try:
        with scripted(lambda received: Answer(raw=b"HTTP/1.1 200 OK\r\n" + raw)) as server:
            try:
                with transport.send(Request("GET", f"http://{server.address}/")) as response:
                    assert len(response.read(100)) <= 100
            except RegistryError:
                pass
    finally:
        transport.close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(raw=b"", hang=True),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-", hang=True),
        Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", hang=True),
    ],
)
def test_a_server_that_falls_silent_is_left(transport: Transport, answer: Answer) -> None:
    with (
        scripted(lambda received: answer) as server,
        pytest.raises(Passing, match="does not answer in time"),
        transport.send(Request("GET", f"http://{server.address}/")) as response,
    ):
        response.read(100)


def test_a_server_that_takes_nothing_is_left() -> None:
    transport = Transport(Timeouts(connect=0.2, read=5))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        with pytest.raises(Passing, match="does not answer in time"):
            transport.send(Request("PUT", url, body=File(bytes(64 << 20))))
    transport.close()


class Drops(io.RawIOBase):
    """Gives one byte at a time; each takes ten seconds of `now`."""

    def __init__(self) -> None:
        self.now = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self.now += 10
        buffer[:1] = b"x"
        return 1


def test_a_byte_now_and_then_is_no_answer() -> None:
    raw = Drops()
    reader = PacedReader(raw, Pace(bytes=100, seconds=60), lambda: raw.now)
    buffer = bytearray(1)
    for _ in range(6):
        assert reader.readinto(buffer) == 1
    with pytest.raises(TimeoutError, match="only 6 bytes came in 60 s"):
        reader.readinto(buffer)
    assert raw.now == 70  # the wait for the first byte does not count
    reader.close()
    assert raw.closed


def test_what_comes_fast_enough_may_come_for_ever() -> None:
    raw = Drops()
    reader = PacedReader(raw, Pace(bytes=5, seconds=60), lambda: raw.now)
    for _ in range(1000):
        assert reader.readinto(bytearray(1)) == 1
    reader.close()


def test_a_reader_that_takes_its_time_is_not_the_server_s_fault() -> None:
    raw = Drops()
    moments = iter([0.0, *(number * 100.0 for number in range(1, 101) for _ in range(2))])
    reader = PacedReader(raw, Pace(bytes=1000, seconds=60), lambda: next(moments))
    for _ in range(100):  # a hundred seconds pass between every two reads, and none in them
        assert reader.readinto(bytearray(1)) == 1
    reader.close()


def test_a_dripping_server_is_left_by_a_real_connection() -> None:
    clock = itertools.count(0, 7)
    transport = Transport(Timeouts(5, 5, Pace(1 << 20, 60)), clock=lambda: float(next(clock)))
    drip = (b"x" for _ in itertools.count())
    try:
        with (
            scripted(lambda received: Answer(body=drip)) as server,
            pytest.raises(Passing, match=r"does not answer in time: only [0-9]+ bytes came in 6[0-9] s"),
            transport.send(Request("GET", f"http://{server.address}/")) as response,
        ):
            for _ in response.chunks(1):
                pass
    finally:
        transport.close()


def test_nobody_listens(transport: Transport) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RegistryError, match=r"nobody answers at .*: connection refused") as caught:
            transport.send(Request("GET", f"http://{address}/"))
    assert not isinstance(caught.value, Passing)


def test_a_name_that_nobody_has(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RegistryError, match=r"no machine is known by the name of https://nobody\.invalid") as caught:
        transport.send(Request("GET", "https://nobody.invalid/"))
    assert not isinstance(caught.value, Passing)


def test_a_certificate_is_checked_unless_that_is_not_wanted(transport: Transport, tmp_path: Path) -> None:
    context, authority = server_context(tmp_path)
    with scripted(lambda received: Answer(body=b"x"), context) as server:
        url = f"https://{server.address}/"
        with pytest.raises(
            RegistryError,
            match=r"could not show that it is who it says it is: .*unable to get local issuer certificate",
        ) as caught:
            transport.send(Request("GET", url, {"Authorization": "Basic secret"}))
        assert not isinstance(caught.value, Passing)
        assert server.received == []
        for trust in (str(authority), False):
            with transport.send(Request("GET", url, trust=trust)) as response:
                assert response.read(1) == b"x"


def test_a_certificate_of_somebody_else(transport: Transport, tmp_path: Path) -> None:
    context, authority = server_context(tmp_path, names=("images.example",))
    with scripted(lambda received: Answer(body=b"x"), context) as server:
        with pytest.raises(RegistryError, match="could not show"):
            transport.send(Request("GET", f"https://{server.address}/", trust=str(authority)))
        assert server.received == []


def test_certificates_that_are_not_there(transport: Transport) -> None:
    with pytest.raises(InvalidOption, match="there are no certificates at /nowhere"):
        transport.send(Request("GET", "https://127.0.0.1:1/", trust="/nowhere.pem"))


def test_authorities_of_the_environment(transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with (
        scripted(lambda received: Answer(body=b"x"), context) as server,
        transport.send(Request("GET", f"https://{server.address}/")) as response,
    ):
        assert response.read(1) == b"x"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxx"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_stop_ends_what_another_thread_waits_for(tmp_path: Path, begun: bytes, encrypted: bool) -> None:
    transport = Transport(Timeouts(60, 60))
    stop, heard = Stop(), threading.Event()

    def script(received: Received) -> Answer:
        heard.set()
        return Answer(raw=begun, hang=True)

    context = server_context(tmp_path)[0] if encrypted else None
    with scripted(script, context) as server:
        failures: list[RegistryError] = []

        def ask() -> None:
            scheme = "https" if encrypted else "http"
            try:
                with transport.send(Request("GET", f"{scheme}://{server.address}/", trust=False), stop) as response:
                    response.read(100)
            except RegistryError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        heard.wait()
        stop.set()
        asking.join()
        assert len(failures) == 1
        with pytest.raises(RegistryError, match="stopped"):
            transport.send(Request("GET", f"http://{server.address}/"), stop)
    transport.close()


def test_a_stop_leaves_connections_that_others_have_now(transport: Transport) -> None:
    with scripted(lambda received: Answer(body=b"x")) as server:
        stop = Stop()
        with transport.send(Request("GET", f"http://{server.address}/"), stop) as response:
            response.read(1)
        with transport.send(Request("GET", f"http://{server.address}/")) as response:
            stop.set()
            assert response.read(1) == b"x"
        assert len(server.connections) == 1


class File:
    """A body that is read in pieces."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self._size = len(content)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


def test_a_body_from_a_file(transport: Transport) -> None:
    content = bytes(range(256)) * 1000
    with scripted(lambda received: Answer()) as server:
        for each in (content, b""):
            with transport.send(Request("PUT", f"http://{server.address}/", body=File(each))):
                pass
        assert [each.body for each in server.received] == [content, b""]
        assert [each.headers["content-length"] for each in server.received] == ["256000", "0"]
        assert all("transfer-encoding" not in each.headers for each in server.received)
