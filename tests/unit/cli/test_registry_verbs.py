"""`kernelbox registry`, `login`, `logout` and `search`, with a registry of our own."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import registry_requests as requests
from commands import COMMAND, kernelbox, printed, refused
from registry_requests import LAYER
from unit.registry.certificates import server_files
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.cli.search import _parts
from kernelbox.oci.digest import Digest
from kernelbox.registry.server.serving import Running, registry

pytestmark = pytest.mark.usefixtures("own_config")


@pytest.fixture
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's file of this test; and no settings of the machine."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("KERNELBOX_REGISTRIES", str(tmp_path / "none.toml"))
    (tmp_path / "none.toml").touch()
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def reg(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as running:
        requests.push_image(running.address, "lab/tool", "1")
        requests.push_image(running.address, "lab/tool", "2", b"other")
        requests.push_image(running.address, "base", "latest")
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Running]:
    """Lets in ann, whose password is "two words"."""
    hashed = bcrypt.hashpw(b"two words", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"ann:{hashed}\n")
    with registry(tmp_path / "storage", passwords=tmp_path / "htpasswd") as running:
        yield running


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_looking_into_a_registry_and_removing(reg: Running) -> None:
    tool = f"{reg.address}/lab/tool"
    assert printed("registry", "ls", reg.address) == f"{reg.address}/base\n{tool}\n"
    assert printed("registry", "tags", tool) == "1\n2\n"
    assert printed("registry", "rm", f"{tool}:1") == f"{tool}:1\n"
    assert printed("registry", "tags", tool) == "2\n"
    digest = Digest.of(requests.image((b"other",)))
    assert printed("registry", "rm", f"{tool}@{digest}") == f"{tool}@{digest}\n"
    assert printed("registry", "tags", tool) == ""


def test_what_is_to_be_removed_has_to_be_said(reg: Running) -> None:
    done = kernelbox("registry", "rm", f"{reg.address}/base", f"{reg.address}/base:nope", f"{reg.address}/base:latest")
    assert (done.returncode, done.stdout) == (1, f"{reg.address}/base:latest\n")
    assert "which tag, or which digest?" in done.stderr
    assert "base:nope" in done.stderr
    assert "nonsense/ is no registry" in refused("registry", "ls", "nonsense/").replace("'", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_until_a_signal(tmp_path: Path, number: int) -> None:
    command = [*COMMAND, "registry", "serve", "--listen", "127.0.0.1:0", "--storage", str(tmp_path / "kept")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stderr
        line = server.stdout.readline()
        address = line.split()[0].removeprefix("http://")
        assert line == f"http://{address} serves {tmp_path / 'kept'}\n"
        digest = requests.push_blob(address, "lab/tool", LAYER)
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as idle:  # keeps nobody from ending
            idle.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(100)
            server.send_signal(number)
            assert (server.wait(), server.stdout.read(), server.stderr.read()) == (0, "", "")
    assert (tmp_path / "kept/blobs/sha256" / digest.encoded).read_bytes() == LAYER


def test_serving_by_tls_with_passwords_and_for_reading_only(tmp_path: Path, own_config: Path) -> None:
    certificate, key = server_files(tmp_path)
    (tmp_path / "htpasswd").write_text(f"ann:{bcrypt.hashpw(b'x', bcrypt.gensalt(4)).decode()}\n")
    command = [*COMMAND, "registry", "serve", "--listen", "127.0.0.1:0", "--storage", str(tmp_path / "kept")]
    command += ["--tls-cert", str(certificate), "--tls-key", str(key), "--htpasswd", str(tmp_path / "htpasswd")]
    with subprocess.Popen([*command, "--read-only"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        address = server.stdout.readline().split()[0].removeprefix("https://")
        (tmp_path / "none.toml").write_text(f'[registry."{address}"]\nca = "{tmp_path / "authority.pem"}"\n')
        told = subprocess.run(
            [*COMMAND, "login", "-u", "ann", "--password-stdin", address], input="x", capture_output=True, text=True
        )
        assert (told.returncode, told.stdout) == (0, "Login Succeeded\n"), told
        assert printed("registry", "ls", address) == ""
        assert "for reading only" in kernelbox("registry", "rm", f"{address}/lab/tool:1").stderr
        server.terminate()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--listen", "nowhere"], "'nowhere' is no address to listen on"),
        (["--listen", "127.0.0.1:0", "--tls-cert", "x"], "TLS needs a certificate and its key"),
        (["--listen", "127.0.0.1:0", "--htpasswd", "/nonexistent"], "could not read /nonexistent"),
        (["--listen", "127.0.0.1:0", "--collect-every", "often"], "--collect-every"),
    ],
)
def test_serving_that_cannot_begin(tmp_path: Path, words: list[str], sentence: str) -> None:
    assert sentence in refused("registry", "serve", "--storage", str(tmp_path / "kept"), *words)


def test_collecting(reg: Running) -> None:
    requests.push_blob(reg.address, "lab/tool", b"nobody's")
    assert printed("registry", "gc", "--storage", str(reg.storage)).startswith("Removed 0 blobs")
    said = printed("registry", "collect", "--storage", str(reg.storage), "--keep", "0")
    assert said == "Removed 1 blobs, 0 manifests and 0 uploads\nTotal reclaimed space: 8B\n"


def test_login_is_asked_of_the_registry_and_kept(
    guarded: Running, own_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "a name and a password" in refused("registry", "ls", guarded.address)
    typed(monkeypatch, "wrong\n")
    assert "no such user" in refused("login", "-u", "ann", "--password-stdin", guarded.address)
    assert not own_config.exists()
    typed(monkeypatch, "two words\r\n")
    done = kernelbox("login", "--username", "ann", "--password-stdin", f"http://{guarded.address}/v2/")
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert f"the password is in {own_config}, and not encrypted" in done.stderr
    assert own_config.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(own_config.read_text())["auths"]) == [guarded.address]
    assert printed("registry", "ls", guarded.address) == ""
    again = kernelbox("login", guarded.address)
    assert (again.returncode, again.stdout) == (0, "Login Succeeded\n")
    assert printed("logout", guarded.address) == f"Removing login credentials for {guarded.address}\n"
    assert printed("logout", guarded.address) == f"Not logged in to {guarded.address}\n"
    assert "a name and a password" in refused("registry", "ls", guarded.address)


def test_a_name_and_a_password_are_typed_at_a_terminal(guarded: Running, own_config: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "login", guarded.address],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    ) as done:
        os.close(theirs)
        shown = b""
        for prompt, answer in ((b"Username: ", b"ann\n"), (b"Password: ", b"two words\n")):
            while prompt not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, answer)
        assert done.stdout
        assert done.stdout.read() == b"Login Succeeded\n"
    os.close(ours)
    assert done.returncode == 0
    assert b"two words" not in shown
    assert guarded.address in own_config.read_text()


@pytest.mark.parametrize(
    ("words", "text", "sentence"),
    [
        (["localhost:1"], "", "standard input is none"),
        (["-u", "ann", "localhost:1"], "", "standard input is none"),
        (["--password-stdin", "localhost:1"], "x", "needs --username"),
        (["--password-stdin", "-u", "ann", "localhost:1"], "\n", "no password"),
        (["--password-stdin", "-u", "ann", "localhost:1"], "x" * 70_000, "at most"),
        (["--password-stdin", "-u", "ann", "not one"], "x", "is no registry"),
    ],
)
def test_logins_that_make_no_sense(
    words: list[str], text: str, sentence: str, own_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, text)
    assert sentence in refused("login", *words)
    assert not own_config.exists()


def test_searching_where_there_is_a_search() -> None:
    results = [
        {"name": "lab/tool", "description": "A tool.\nIts uses are many, and their list will not fit", "star_count": 7},
        {"name": "tool", "description": "\x1b[31mred", "star_count": 3, "is_official": True},
    ]

    def answers(received: Received) -> Answer:
        if received.path == "/v2/":
            return Answer()
        assert (received.path, received.query["q"]) == ("/v1/search", ["tool"])
        return Answer(200, json.dumps({"results": results}).encode())

    with scripted(answers) as server:
        where = f"{server.address}/tool"
        lines = printed("search", where).splitlines()
        assert [line.split()[0] for line in lines] == ["NAME", f"{server.address}/lab/tool", f"{server.address}/tool"]
        assert "A tool. Its uses are many, and their list wi…" in lines[1]
        assert lines[2].split()[1:] == ["[31mred", "3", "[OK]"]
        assert printed("search", "--format", "{{.Name}} {{.StarCount}}", "--filter", "stars=5", where).endswith(" 7\n")
        assert printed("search", "--format", "{{.StarCount}}", "-f", "is-official=true", where) == "3\n"
        assert "will not fit" in printed("search", "--no-trunc", where)


def test_searching_the_names_of_a_registry(reg: Running) -> None:
    assert printed("search", "--format", "{{.Name}}", f"{reg.address}/OO") == f"{reg.address}/lab/tool\n"
    assert printed("search", "--limit", "1", "--format", "{{.Name}}", f"{reg.address}/") == f"{reg.address}/base\n"


def test_searches_that_make_no_sense() -> None:
    assert "--limit: 0 is not between 1 and 100" in refused("search", "--limit", "0", "x")
    assert "invalid filter" in refused("search", "-f", "stars=many", "x")
    assert "invalid filter" in refused("search", "-f", "color=red", "x")


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("tool", ("docker.io", "tool")),
        ("lab/tool", ("docker.io", "lab/tool")),
        ("localhost/tool", ("localhost", "tool")),
        ("a.example:5000/lab/tool", ("a.example:5000", "lab/tool")),
    ],
)
def test_a_registry_in_front_of_what_is_looked_for(term: str, parts: tuple[str, str]) -> None:
    assert _parts(term) == parts
