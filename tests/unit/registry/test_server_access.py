"""Who may do what: passwords, rights, TLS, and a registry that is for reading only."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from unit.registry.asking import Asker, asker, basic
from unit.registry.certificates import server_files
from unit.registry.clients import client
from unit.registry.served_images import CONFIG, IMAGE, LAYER

from kernelbox.errors import InvalidOption, RegistryError, Unauthorized
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.server import access
from kernelbox.registry.server.serving import Running, registry

RIGHTS = """
# who    may               where
alice    pull,push,delete  team/**
bob      pull              team/public
bob      all               bob/*
*        pull              shared/**
anyone   pull              public/*
"""
WORDS = {"alice": "correct horse", "bob": "größer:1", "eve": "e" * 100}


def hashed(password: str, prefix: str = "2b") -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode().replace("$2b$", f"${prefix}$")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    lines = [f"{name}:{hashed(word, '2y')}" for name, word in WORDS.items()]  # 2y is htpasswd's
    (tmp_path / "htpasswd").write_text("# comment\n\n" + "\n".join(lines) + "\n")
    (tmp_path / "rights").write_text(RIGHTS)
    return tmp_path / "htpasswd", tmp_path / "rights"


@pytest.fixture
def guarded(tmp_path: Path, files: tuple[Path, Path]) -> Iterator[Running]:
    with registry(tmp_path / "storage") as free:
        for name in ("team/public", "team/deep/er", "bob/x", "shared/a/b", "public/a", "public/a/b"):
            asker(free).push(name, LAYER)
            asker(free).push(name, CONFIG)
            asker(free).put(name, "one", IMAGE.raw)
    with registry(tmp_path / "storage", passwords=files[0], rights=files[1]) as running:
        yield running


def asks(running: Running, name: str = "") -> Asker:
    return asker(running, name, WORDS.get(name, ""))


MAY = (
    ("alice", "team/public", "pull push delete"),
    ("alice", "team/deep/er", "pull push delete"),
    ("alice", "bob/x", ""),
    ("alice", "shared/a/b", "pull"),
    ("bob", "team/public", "pull"),
    ("bob", "team/deep/er", ""),
    ("bob", "bob/x", "pull push delete"),
    ("eve", "shared/a/b", "pull"),
    ("eve", "team/public", ""),
    ("eve", "public/a", "pull"),
    ("", "public/a", "pull"),
    ("", "public/a/b", ""),
    ("", "shared/a/b", ""),
)
STATUSES = {"pull": 200, "push": 202, "delete": 202}


def test_rights(guarded: Running) -> None:
    for who, repository, may in MAY:
        ask, denied = asks(guarded, who), (403, "DENIED") if who else (401, "UNAUTHORIZED")
        done = {
            "pull": ask.blob(repository, Digest.of(LAYER)),
            "push": ask("POST", f"/v2/{repository}/blobs/uploads/"),
            "delete": ask("DELETE", f"/v2/{repository}/manifests/one"),
        }
        wanted = {right: (STATUSES[right], "") if right in may.split() else denied for right in done}
        assert {right: (answer.status, answer.code) for right, answer in done.items()} == wanted, (who, repository)
        assert ask("GET", f"/v2/{repository}/tags/list").status == (200 if may else denied[0])
        assert all("www-authenticate" in answer.headers for answer in done.values() if answer.status == 401)


def test_the_catalog_shows_what_one_may_pull(guarded: Running) -> None:
    listed = asks(guarded, "bob")("GET", "/v2/_catalog").json()["repositories"]
    assert listed == ["bob/x", "public/a", "shared/a/b", "team/public"]
    assert asks(guarded)("GET", "/v2/_catalog").status == 401
    assert asks(guarded)("GET", "/metrics").status == 401


@pytest.mark.parametrize("source", ["&from=team/deep/er", ""])
def test_nobody_mounts_what_they_may_not_pull(guarded: Running, source: str) -> None:
    alice, bob, secret = asks(guarded, "alice"), asks(guarded, "bob"), b"for alice alone"
    digest = alice.push("team/deep/er", secret)
    answer = bob("POST", f"/v2/bob/y/blobs/uploads/?mount={digest}{source}")
    assert answer.status == 202
    assert bob.blob("bob/y", digest).status == 404
    assert alice("POST", f"/v2/team/copy/blobs/uploads/?mount={digest}{source}").status == 201


NONSENSE = (
    "",
    "nonsense",
    "Basic",
    "Basic !!!!",
    "Basic " + base64.b64encode(b"alice").decode(),
    "Basic " + base64.b64encode(b"alice:\xff\0").decode(),
    "Basic " + base64.b64encode(b"\xff:x").decode(),
    basic("alice", "wrong"),
    basic("alice", ""),
    basic("nobody", "correct horse"),
    basic("anyone", ""),
    basic("*", ""),
    basic("#", "comment"),
    "Bearer " + base64.b64encode(b'{"alg":"none"}').decode() + ".e30.",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
    "Negotiate abc",
    "Basic " + "A" * 7000,
)


def test_nonsense_in_authorization(guarded: Running) -> None:
    for authorization in NONSENSE:
        answer = Asker(guarded.address)("GET", "/v2/", headers={"Authorization": authorization})
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED"), authorization
        assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_passwords_and_rights_are_read_again(guarded: Running, files: tuple[Path, Path]) -> None:
    passwords, rights = files
    assert asks(guarded, "eve")("GET", "/v2/").status == 200
    fresh = passwords.with_name("fresh")
    fresh.write_text(f"eve:{hashed('another')}\n")
    os.replace(fresh, passwords)
    assert asks(guarded, "eve")("GET", "/v2/").status == 401
    assert asks(guarded, "alice")("GET", "/v2/").status == 401
    eve = asker(guarded, "eve", "another")
    assert eve.blob("team/public", Digest.of(LAYER)).status == 403
    fresh.write_text("eve pull team/*\n")
    os.replace(fresh, rights)
    assert eve.blob("team/public", Digest.of(LAYER)).status == 200
    passwords.unlink()
    answer = eve("GET", "/v2/")
    assert (answer.status, answer.code) == (500, "UNKNOWN")  # and nobody is let in
    assert str(passwords) not in answer.body.decode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alice", "line 1"),
        ("\nalice:plain", "line 2"),
        (f"alice:{hashed('x')[:-1]}", "bcrypt"),
        (f":{hashed('x')}", "a name"),
        ("alice:" + hashed("x").replace("$04$", "$31$"), "bcrypt"),
        ("alice:" + hashed("x").replace("$04$", "$00$"), "bcrypt"),
        ("alice:$apr1$x$y", "htpasswd -B"),
        ("a" * (1 << 21), "longer than"),
        ("alice:\udcff", "UTF-8"),
    ],
)
def test_password_files_that_make_no_sense(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "htpasswd"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidOption, match=words), registry(tmp_path / "storage", passwords=path):
        pass


@pytest.mark.parametrize("text", ["alice", "alice pull", "alice pull a b", "alice read team/*", "alice pull,,push *"])
def test_files_of_rights_that_make_no_sense(tmp_path: Path, text: str) -> None:
    (tmp_path / "rights").write_text(text)
    with pytest.raises(InvalidOption, match="line 1"), registry(tmp_path / "storage", rights=tmp_path / "rights"):
        pass


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("team/*", ["team/a", "team/a-b"], ["team", "team/a/b", "xteam/a"]),
        ("team/**", ["team/a", "team/a/b"], ["team", "teams/a"]),
        ("**", ["a", "a/b"], []),
        ("a.b", ["a.b"], ["axb"]),
        ("*/base", ["x/base"], ["x/y/base", "base"]),
        ("**/base", ["x/base", "x/y/base"], ["base"]),
    ],
)
def test_patterns_of_repositories(pattern: str, names: list[str], others: list[str]) -> None:
    (rule,) = access.read_rights(f"* pull {pattern}", "here")
    assert [name for name in names + others if rule.repositories.fullmatch(name)] == names


def test_without_passwords_the_rights_of_anyone_hold(tmp_path: Path) -> None:
    (tmp_path / "rights").write_text("anyone pull **\nanyone push open/**\n")
    with registry(tmp_path / "storage", rights=tmp_path / "rights") as running:
        ask = asker(running)
        ask.push("open/a", LAYER)
        assert ask("POST", "/v2/closed/blobs/uploads/").code == "DENIED"
        assert ask("DELETE", f"/v2/open/a/blobs/{Digest.of(LAYER)}").code == "DENIED"


def test_our_client_says_who_it_is(guarded: Running) -> None:
    insecure = {guarded.address: RegistrySettings(insecure=True)}
    found = Reference(guarded.address, "team/public", "one")
    with client(insecure, {guarded.address: Credentials("bob", WORDS["bob"])}) as known:
        assert known.resolve(found).digest == IMAGE.digest
        with pytest.raises(Unauthorized, match="may not delete"):
            known.delete(found)
    with client(insecure) as unknown, pytest.raises(Unauthorized):
        unknown.resolve(found)


def test_tls(tmp_path: Path) -> None:
    certificate, key = server_files(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    with registry(tmp_path / "storage", certificate=certificate, key=key) as running:
        assert running.url == f"https://{running.address}"
        ask = asker(running, context=context)
        content = bytes(range(256)) * 4096
        digest = ask.push("lab/tool", content)
        assert ask.blob("lab/tool", digest).body == content
        assert ask("GET", f"/v2/lab/tool/blobs/{digest}", headers={"Range": "bytes=1000000-"}).body == content[1000000:]
        with pytest.raises(ssl.SSLCertVerificationError):
            asker(running, context=ssl.create_default_context())("GET", "/v2/")
        trusted = {running.address: RegistrySettings(ca=str(tmp_path / "authority.pem"))}
        with client(trusted) as ours:
            assert ours.exists(Reference(running.address, "lab/tool", "x"), digest)


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, key = server_files(tmp_path)
    (tmp_path / "empty").touch()
    for pair in ((certificate, None), (None, key), (certificate, tmp_path / "empty"), (tmp_path / "none", key)):
        with pytest.raises(InvalidOption), registry(tmp_path / "storage", certificate=pair[0], key=pair[1]):
            pass


def test_reading_only(tmp_path: Path) -> None:
    with registry(tmp_path / "storage") as running:
        for content in (CONFIG, LAYER):
            asker(running).push("lab/tool", content)
        asker(running).put("lab/tool", "one", IMAGE.raw)
        begun = asker(running).begin("lab/tool")
    with registry(tmp_path / "storage", read_only=True) as running:
        ask = asker(running)
        assert ask("GET", "/v2/lab/tool/manifests/one").body == IMAGE.raw
        assert ask.tags("lab/tool") == ["one"]
        changes = [
            ("POST", "/v2/lab/tool/blobs/uploads/"),
            ("POST", f"/v2/lab/copy/blobs/uploads/?mount={Digest.of(LAYER)}&from=lab/tool"),
            ("PATCH", begun),
            ("PUT", f"{begun}?digest={Digest.of(b'')}"),
            ("DELETE", begun),
            ("PUT", "/v2/lab/tool/manifests/two"),
            ("DELETE", "/v2/lab/tool/manifests/one"),
            ("DELETE", f"/v2/lab/tool/blobs/{Digest.of(LAYER)}"),
        ]
        assert {ask(*change, b"x").code for change in changes} == {"UNSUPPORTED"}
        assert ask.tags("lab/tool") == ["one"]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with (
        registry(tmp_path / "one") as running,
        pytest.raises(RegistryError, match=r"could not listen on .*: address already in use"),
        registry(tmp_path / "two", listen=running.address),
    ):
        pass


@pytest.mark.parametrize("listen", ["", "5000", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":5000"])
def test_addresses_that_are_none(tmp_path: Path, listen: str) -> None:
    with pytest.raises(InvalidOption, match="no address"), registry(tmp_path / "storage", listen=listen):
        pass
