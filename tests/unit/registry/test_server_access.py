"""Who may do what: passwords, rights for each repository, TLS, reading only; and those who come with something else."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import registry_requests as requests
from hypothesis import given
from hypothesis import strategies as st
from registry_requests import LAYER, ask
from unit.registry import certificates

from kernelbox.errors import InvalidOption, RegistryError
from kernelbox.oci.digest import Digest
from kernelbox.registry.server.access import RIGHTS, read_passwords, read_rights
from kernelbox.registry.server.serving import Running, registry

RULES = """
# who       may          where
ann         all          **
bob         pull,push    lab/*
*           pull         shared/**
anyone      pull         public/*
"""
BLOB = Digest.of(LAYER)


def line(user: str, password: str) -> str:
    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


ANN, BOB, EVE = basic("ann", "secret of ann"), basic("bob", "bob's: secret"), basic("eve", "ä" * 40)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return certificates.server_files(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    passwords, rights = tmp_path / "htpasswd", tmp_path / "rights"
    passwords.write_text(
        line("ann", "secret of ann") + "\n# somebody else\n" + line("bob", "bob's: secret") + line("eve", "ä" * 36)
    )
    rights.write_text(RULES)
    return {"passwords": passwords, "rights": rights}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of four repositories has the blob LAYER, and two of them an image."""
    storage = tmp_path_factory.mktemp("filled")
    with registry(storage) as running:
        for repository in ("lab/one/deep", "shared/a/b"):
            requests.push_blob(running.address, repository, LAYER)
        for repository in ("public/one", "lab/one"):
            requests.push_image(running.address, repository, "1")
    return storage


@pytest.fixture
def reg(tmp_path: Path, filled: Path, files: dict[str, Path]) -> Iterator[Running]:
    with registry(shutil.copytree(filled, tmp_path / "storage"), **files) as running:
        yield running


def status(reg: Running, method: str, path: str, who: dict[str, str] | None = None) -> int:
    return ask(reg.address, method, path, b"" if method == "POST" else None, who).status


@pytest.mark.parametrize(
    ("who", "method", "path", "wanted"),
    [
        (None, "GET", "/v2/", 401),
        (ANN, "GET", "/v2/", 200),
        (EVE, "GET", "/v2/", 200),
        (None, "GET", "/metrics", 401),
        (BOB, "GET", "/metrics", 200),
        (None, "GET", f"/v2/public/one/blobs/{BLOB}", 200),
        (EVE, "GET", f"/v2/public/one/blobs/{BLOB}", 200),
        (None, "POST", "/v2/public/one/blobs/uploads/", 401),
        (EVE, "POST", "/v2/public/one/blobs/uploads/", 403),
        (None, "GET", f"/v2/shared/a/b/blobs/{BLOB}", 401),
        (EVE, "GET", f"/v2/shared/a/b/blobs/{BLOB}", 200),
        (EVE, "GET", f"/v2/lab/one/blobs/{BLOB}", 403),
        (BOB, "GET", f"/v2/lab/one/blobs/{BLOB}", 200),
        (BOB, "POST", "/v2/lab/one/blobs/uploads/", 202),
        (BOB, "GET", f"/v2/lab/one/deep/blobs/{BLOB}", 403),
        (BOB, "DELETE", "/v2/lab/one/manifests/1", 403),
        (ANN, "DELETE", "/v2/lab/one/manifests/1", 202),
        (BOB, "GET", "/v2/lab/none/tags/list", 404),
        (EVE, "GET", "/v2/lab/none/tags/list", 403),
        (basic("ann", "secret of bob"), "GET", "/v2/", 401),
        (basic("nobody", "secret of ann"), "GET", "/v2/", 401),
        (basic("ann", ""), "GET", "/v2/", 401),
        (basic("ann", "wrong"), "GET", f"/v2/public/one/blobs/{BLOB}", 401),
    ],
)
def test_who_may_what(reg: Running, who: dict[str, str] | None, method: str, path: str, wanted: int) -> None:
    for _ in range(2):  # the second time a password is remembered
        answer = ask(reg.address, method, path, b"" if method == "POST" else None, who)
        assert answer.status == wanted
        if wanted == 401:
            assert answer.headers["Www-Authenticate"] == 'Basic realm="kernelbox registry", charset="UTF-8"'
            assert answer.code == "UNAUTHORIZED"
        if wanted in (202, 403):
            break
    if wanted == 403:
        assert answer.code == "DENIED"


def token(header: dict[str, object], claims: dict[str, object]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, ""])


CLAIMS = {"sub": "ann", "access": [{"type": "repository", "name": "lab/one", "actions": ["*"]}]}


@pytest.mark.parametrize(
    "said",
    [
        f"Bearer {token({'alg': 'none'}, CLAIMS)}",
        f"Bearer {token({'alg': 'HS256', 'jwk': {'kty': 'oct', 'k': 'AAAA'}}, CLAIMS)}x",
        "Bearer ",
        "Basic",
        "Basic  ",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + base64.b64encode(b"ann:secret of ann\0").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "basic",
        "Negotiate abc",
        "Digest username=ann",
        "ann:secret of ann",
        "",
    ],
)
def test_anything_but_a_name_and_a_password_is_refused(reg: Running, said: str) -> None:
    for path in ("/v2/", f"/v2/lab/one/blobs/{BLOB}", f"/v2/public/one/blobs/{BLOB}"):
        assert ask(reg.address, "GET", path, headers={"Authorization": said}).code == "UNAUTHORIZED"


def test_nobody_reads_a_blob_through_a_mount(reg: Running) -> None:
    secret = Digest.of(b"secret")
    path = f"/v2/shared/a/b/blobs/uploads/?digest={secret}"
    assert ask(reg.address, "POST", path, b"secret", ANN).status == 201
    for source in ("", "&from=shared/a/b"):
        mount = f"/v2/lab/one/blobs/uploads/?mount={secret}{source}"
        assert ask(reg.address, "POST", mount, b"", BOB).status == 201, "bob may pull it there"
    assert ask(reg.address, "POST", f"/v2/ann/own/blobs/uploads/?digest={secret}", b"secret", ANN).status == 201
    assert ask(reg.address, "DELETE", f"/v2/lab/one/blobs/{secret}", None, ANN).status == 202
    assert ask(reg.address, "DELETE", f"/v2/shared/a/b/blobs/{secret}", None, ANN).status == 202
    for source in ("", "&from=ann/own"):
        mount = f"/v2/lab/one/blobs/uploads/?mount={secret}{source}"
        assert ask(reg.address, "POST", mount, b"", BOB).status == 202, "and there he may not"
    assert ask(reg.address, "HEAD", f"/v2/lab/one/blobs/{secret}", None, BOB).status == 404


def test_the_catalog_shows_what_one_may_pull(reg: Running) -> None:
    shown = {}
    for name, who in {"ann": ANN, "bob": BOB, "eve": EVE}.items():
        shown[name] = ask(reg.address, "GET", "/v2/_catalog", None, who).document["repositories"]
    assert shown == {"ann": ["lab/one", "public/one"], "bob": ["lab/one", "public/one"], "eve": ["public/one"]}


def test_files_are_read_again_when_they_change(reg: Running, files: dict[str, Path]) -> None:
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", BOB) == 200
    files["rights"].write_text("bob pull other\n")
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", BOB) == 403
    files["rights"].write_text("bob pull\n")
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", BOB) == 500, "not understood: nobody may anything"
    files["rights"].write_text("* pull **\n")
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", BOB) == 200
    files["passwords"].write_text(line("bob", "a new one"))
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", BOB) == 401, "what was remembered is forgotten"
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", basic("bob", "a new one")) == 200
    files["passwords"].unlink()
    assert status(reg, "GET", f"/v2/lab/one/blobs/{BLOB}", basic("bob", "a new one")) == 500


def test_without_a_file_of_rights_who_has_a_password_may_do_everything(tmp_path: Path, files: dict[str, Path]) -> None:
    with registry(tmp_path / "storage", passwords=files["passwords"]) as reg:
        assert status(reg, "POST", "/v2/any/where/blobs/uploads/", EVE) == 202
        assert status(reg, "POST", "/v2/any/where/blobs/uploads/") == 401


def test_reading_only(tmp_path: Path) -> None:
    with registry(tmp_path) as filled:
        requests.push_image(filled.address, "lab/one", "1")
    before = requests.stored(tmp_path)
    with registry(tmp_path, read_only=True) as reg:
        assert ask(reg.address, "GET", "/v2/lab/one/manifests/1").body == requests.image()
        for method, path in (
            ("POST", "/v2/lab/one/blobs/uploads/"),
            ("PUT", "/v2/lab/one/manifests/2"),
            ("PATCH", f"/v2/lab/one/blobs/uploads/{'0' * 32}"),
            ("DELETE", "/v2/lab/one/manifests/1"),
            ("DELETE", f"/v2/lab/one/blobs/{BLOB}"),
        ):
            answer = ask(reg.address, method, path, b"")
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert requests.stored(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    ["ann", "ann:", ":$2y$04$" + "a" * 53, "ann:secret", "ann:$apr1$abc$def", "ann:{SHA}abc", "ann:$2y$31$" + "a" * 53],
)
def test_only_bcrypt_is_a_password(text: str) -> None:
    with pytest.raises(InvalidOption, match="line 2: expected a name, a colon and a password hashed by bcrypt"):
        read_passwords(f"{line('ann', 'x')}{text}\n", "file")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("ann pull", "three words"), ("ann pull a b", "three words"), ("ann write lab", "'write' is no right")],
)
def test_rights_that_are_none(text: str, sentence: str) -> None:
    with pytest.raises(InvalidOption, match=sentence):
        read_rights(f"# rights\n{text}\n", "file")


@given(st.lists(st.sampled_from(["a", "b.c", "*", "**", "a*"]), min_size=1, max_size=4))
def test_a_pattern_matches_whole_names_only(parts: list[str]) -> None:
    (rule,) = read_rights(f"ann all {'/'.join(parts)}", "file")
    assert rule.rights == RIGHTS
    assert rule.repositories.fullmatch("/".join(part.replace("*", "x") for part in parts))
    plain = [part for part in parts if "*" not in part]
    if plain == parts:
        assert not rule.repositories.fullmatch("/".join(parts) + "/more")
        assert not rule.repositories.fullmatch("/".join(parts).replace(".", "x") + "x")


@pytest.mark.parametrize("missing", ["passwords", "rights", "certificate"])
def test_files_that_are_not_there_are_said_at_the_start(tmp_path: Path, missing: str) -> None:
    options = {missing: tmp_path / "none", **({"key": tmp_path / "none"} if missing == "certificate" else {})}
    with pytest.raises(InvalidOption, match="no such file"), registry(tmp_path / "storage", **options):
        pass


def test_an_address_that_somebody_has(tmp_path: Path) -> None:
    with registry(tmp_path / "one") as reg:
        with (
            pytest.raises(RegistryError, match=f"could not listen on {reg.address}: address already in use"),
            registry(tmp_path / "two", listen=reg.address),
        ):
            pass
        assert status(reg, "GET", "/v2/") == 200


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    content = os.urandom(1 << 20)
    with registry(tmp_path / "storage", certificate=certificate[0], key=certificate[1]) as reg:
        assert reg.url == f"https://{reg.address}"
        tls = ssl.create_default_context(cafile=tmp_path / "authority.pem")
        digest = Digest.of(content)
        path = f"/v2/lab/one/blobs/uploads/?digest={digest}"
        assert ask(reg.address, "POST", path, content, tls=tls).status == 201
        assert ask(reg.address, "GET", f"/v2/lab/one/blobs/{digest}", tls=tls).body == content
        assert not requests.send(reg.address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(reg.address, "GET", "/v2/", tls=ssl.create_default_context())


def test_a_certificate_and_another_key(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with (
        pytest.raises(InvalidOption, match="TLS needs a certificate and its key"),
        registry(tmp_path, key=certificate[1]),
    ):
        pass
    certificate[1].write_text("nonsense")
    with (
        pytest.raises(InvalidOption, match="could not use the certificate"),
        registry(tmp_path, certificate=certificate[0], key=certificate[1]),
    ):
        pass
