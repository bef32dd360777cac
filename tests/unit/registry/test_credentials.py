"""Who one is: Docker's config.json, its helpers, and what `login` writes into it."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import InvalidContent, RegistryError, Unauthorized
from kernelbox.oci import reference
from kernelbox.registry import credential_helper, login
from kernelbox.registry.configuration import Configuration
from kernelbox.registry.credentials import Credentials, Keyring, config_path, encoded, same_registry

HELPER = """#!{python}
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
said = sys.stdin.read()
with open(folder + "/heard", "a") as file:
    file.write(json.dumps([sys.argv[1:], said]) + "\\n")
{answer}
"""


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def config(tmp_path: Path) -> Callable[[Any], Path]:
    def write(document: Any) -> Path:
        path = tmp_path / "docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Makes docker-credential-NAME, which notes what it is asked, and then does this in Python; the notes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, answer: str) -> Path:
        path = folder / f"docker-credential-{name}"
        path.write_text(HELPER.format(python=sys.executable, answer=answer))
        path.chmod(0o755)
        return folder / "heard"

    return make


def test_the_file_is_docker_s(tmp_path: Path) -> None:
    assert config_path({"DOCKER_CONFIG": "/x", "HOME": "/home/a"}) == Path("/x/config.json")
    assert config_path({"HOME": "/home/a"}) == Path("/home/a/.docker/config.json")


@pytest.mark.parametrize(
    "name", ["images.example:5000", "https://images.example:5000", "http://Images.example:5000/v2/"]
)
def test_an_entry_is_found_by_its_host_and_port(config: Callable[[Any], Path], name: str) -> None:
    path = config({"auths": {"other.example": {"auth": auth("x", "y")}, name: {"auth": auth("me", "se:cret")}}})
    assert Keyring(path).of("images.example:5000") == Credentials("me", "se:cret")
    assert Keyring(path).of("images.example") is None
    assert Keyring(path).of("images.example:5001") is None


@pytest.mark.parametrize("name", [*sorted(reference.DEFAULT_HOSTS), reference.CREDENTIALS_KEY])
def test_the_default_registry_has_had_several_names(config: Callable[[Any], Path], name: str) -> None:
    assert Keyring(config({"auths": {name: {"auth": auth("me", "p")}}})).of("docker.io") == Credentials("me", "p")


@pytest.mark.parametrize(
    "name", ["xdocker.io", "docker.io.example", "docker.io:5000", "https://docker.io@evil.example"]
)
def test_others_have_not(name: str) -> None:
    assert not same_registry(name, "docker.io")


def test_the_forms_of_an_entry(config: Callable[[Any], Path]) -> None:
    path = config({
        "auths": {
            "token.example": {"auth": auth("me", ""), "identitytoken": "tok"},
            "plain.example": {"username": "me", "password": "p"},
            "zero.example": {"auth": auth("me", "p\0\0")},
            "empty.example": {},
        }
    })  # fmt: skip
    keyring = Keyring(path)
    assert keyring.of("token.example") == Credentials("me", "", "tok")
    assert keyring.of("plain.example") == Credentials("me", "p")
    assert keyring.of("zero.example") == Credentials("me", "p")
    assert keyring.of("empty.example") is None
    assert Keyring(path.with_name("none")).of("token.example") is None


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(Credentials("me", "secret", "secret"))


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "\udce4".encode("utf-8", "surrogateescape").decode("latin-1") + "{}",
        "[" * 100_000,
        {"auths": []},
        {"auths": {"a.example": 1}},
        {"auths": {"a.example": {"auth": "%%%"}}},
        {"auths": {"a.example": {"auth": 7}}},
        {"auths": {"a.example": {"auth": base64.b64encode(b"\xff:\xff").decode()}}},
        {"auths": {"a.example": {"identitytoken": ["x"]}}},
        {"credsStore": 1},
        {"credHelpers": ["x"]},
        {"credsStore": "../evil"},
        {"credsStore": "a b"},
        {"credsStore": "-x"},
        {"credHelpers": {"a.example": "/bin/sh"}},
    ],
)
def test_a_file_that_makes_no_sense_is_named(config: Callable[[Any], Path], document: Any) -> None:
    with pytest.raises(InvalidContent, match=r"config\.json"):
        Keyring(config(document)).of("a.example")


KEYS = st.sampled_from(["auths", "a.example", "auth", "identitytoken", "username"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda each: st.dictionaries(KEYS, each, max_size=3) | st.lists(each, max_size=2),
)


@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document: Any) -> None:
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(document, file)
        file.flush()
        try:
            found = Keyring(Path(file.name)).of("a.example")
        except InvalidContent:
            return
        assert found is None or found.username or found.identity_token


def test_a_helper_is_asked_by_docker_s_name_of_the_registry(
    config: Callable[[Any], Path], helper: Callable[[str, str], Path]
) -> None:
    heard = helper("lab", "print(json.dumps({'ServerURL': said, 'Username': 'me', 'Secret': 'se cret'}))")
    keyring = Keyring(config({"credsStore": "lab"}))
    assert keyring.of("docker.io") == Credentials("me", "se cret")
    assert keyring.of("images.example:5000") == Credentials("me", "se cret")
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    assert lines == [[["get"], reference.CREDENTIALS_KEY], [["get"], "images.example:5000"]]


def test_a_helper_for_one_registry(config: Callable[[Any], Path], helper: Callable[[str, str], Path]) -> None:
    helper("one", "print(json.dumps({'ServerURL': said, 'Username': '<token>', 'Secret': 'tok'}))")
    path = config({"credHelpers": {"a.example": "one"}, "auths": {"b.example": {"auth": auth("me", "p")}}})
    assert Keyring(path).of("a.example") == Credentials(identity_token="tok")
    assert Keyring(path).of("b.example") == Credentials("me", "p")


def test_a_helper_that_knows_nothing(config: Callable[[Any], Path], helper: Callable[[str, str], Path]) -> None:
    helper("lab", "print('credentials not found in native keychain'); sys.exit(1)")
    assert Keyring(config({"credsStore": "lab"})).of("a.example") is None


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("print('the keys are\\x1b[2J locked'); sys.exit(1)", r"failed: the keys are \[2J locked"),
        ("sys.exit(1)", "failed: it does not say why"),
        ("print('{')", "something else than credentials"),
        ("print('[' * 100000)", "something else than credentials"),
        ("print('[1]')", "something else than credentials"),
        ("print(json.dumps({'Username': 1, 'Secret': 's'}))", "something else than credentials"),
        ("sys.stdout.write('x' * (3 << 20))", "says more than credentials are long"),
        ("os.close(0)", "something else than credentials"),
    ],
)
def test_a_helper_that_fails(helper: Callable[[str, str], Path], answer: str, sentence: str) -> None:
    helper("lab", answer)
    with pytest.raises(RegistryError, match=sentence) as caught:
        credential_helper.get("lab", "a.example")
    assert caught.value.message.isprintable()


def test_a_helper_that_does_not_end_is_ended(helper: Callable[[str, str], Path]) -> None:
    helper("lab", "import signal; signal.pause()")
    with pytest.raises(RegistryError, match="does not end"):
        credential_helper.get("lab", "a.example", patience=0.5)


def test_a_helper_that_is_not_there(config: Callable[[Any], Path]) -> None:
    with pytest.raises(RegistryError, match="could not run docker-credential-kernelbox-none: no such file") as caught:
        Keyring(config({"credsStore": "kernelbox-none"})).of("a.example")
    assert "install" in str(caught.value)


def test_login_keeps_the_rest_of_the_file(config: Callable[[Any], Path]) -> None:
    other = {"auth": auth("x", "y"), "odd": 1}
    path = config({"HttpHeaders": {"A": "b"}, "auths": {"https://a.example/v1/": {"auth": "x"}, "b.example": other}})
    path.chmod(0o644)
    assert login.keep("a.example", Credentials("me", "p"), path) == str(path)
    document = json.loads(path.read_text())
    assert document["HttpHeaders"] == {"A": "b"}
    assert document["auths"] == {"b.example": other, "a.example": {"auth": auth("me", "p")}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["config.json"]
    assert Keyring(path).of("a.example") == Credentials("me", "p")
    assert login.forget("a.example", path)
    assert json.loads(path.read_text())["auths"] == {"b.example": other}
    assert not login.forget("a.example", path)


def test_login_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "docker" / "config.json"
    assert not login.forget("docker.io", path)
    assert not path.parent.exists()
    login.keep("docker.io", Credentials("me", "", "tok"), path)
    assert json.loads(path.read_text())["auths"][reference.CREDENTIALS_KEY]["identitytoken"] == "tok"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_login_leaves_a_damaged_file_as_it_is(config: Callable[[Any], Path]) -> None:
    path = config("{ damaged")
    for change in (lambda: login.keep("a.example", Credentials("me", "p"), path), lambda: login.forget("a", path)):
        with pytest.raises(InvalidContent, match="is not JSON"):
            change()
    assert path.read_text() == "{ damaged"
    assert [each.name for each in path.parent.iterdir()] == ["config.json"]


def test_login_leaves_a_link_a_link(config: Callable[[Any], Path], tmp_path: Path) -> None:
    real = config({})
    link = tmp_path / "config.json"
    link.symlink_to(real)
    login.keep("a.example", Credentials("me", "p"), link)
    assert link.is_symlink()
    assert Keyring(real).of("a.example") == Credentials("me", "p")


def test_login_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="could not write"):
        login.keep("a.example", Credentials("me", "p"), tmp_path / "file" / "config.json")


def test_only_who_is_let_in_is_kept(tmp_path: Path) -> None:
    def script(received: Received) -> Answer:
        known = received.headers.get("authorization") == f"Basic {auth('me', 'right')}"
        return Answer(200 if known else 401, headers={"WWW-Authenticate": "Basic"})

    path = tmp_path / "config.json"
    with scripted(script) as server:
        with pytest.raises(Unauthorized):
            login.login(server.address, Credentials("me", "wrong"), Configuration(), path)
        assert not path.exists()
        assert login.login(server.address, Credentials("me", "right"), Configuration(), path) == str(path)
        assert Keyring(path).of(server.address) == Credentials("me", "right")


def test_logins_at_once_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    names = [f"r{number}.example" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: login.keep(name, Credentials(name, "p"), path), names))
    assert set(json.loads(path.read_text())["auths"]) == set(names)


def test_a_helper_keeps_what_login_has(config: Callable[[Any], Path], helper: Callable[[str, str], Path]) -> None:
    heard = helper("lab", "print(json.dumps({'ServerURL': said, 'Username': 'me', 'Secret': 'p'}))")
    path = config({"credsStore": "lab"})
    assert login.keep("a.example", Credentials("me", "p"), path) == "docker-credential-lab"
    assert json.loads(path.read_text()) == {"credsStore": "lab", "auths": {"a.example": {}}}
    assert login.forget("a.example", path)
    assert json.loads(path.read_text()) == {"credsStore": "lab", "auths": {}}
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    assert [line[0] for line in lines] == [["store"], ["get"], ["erase"]]
    assert json.loads(lines[0][1]) == {"ServerURL": "a.example", "Username": "me", "Secret": "p"}
    assert "p" not in lines[0][0]


def test_a_helper_that_refuses_changes_nothing(
    config: Callable[[Any], Path], helper: Callable[[str, str], Path]
) -> None:
    helper("lab", "print('locked'); sys.exit(2)")
    path = config({"credsStore": "lab"})
    with pytest.raises(RegistryError, match="store failed: locked"):
        login.keep("a.example", Credentials("me", "p"), path)
    assert json.loads(path.read_text()) == {"credsStore": "lab"}


@given(st.text(min_size=1).filter(lambda text: ":" not in text), st.text().filter(lambda text: not text.endswith("\0")))
def test_what_is_kept_comes_back(user: str, password: str) -> None:
    surrogates = any("\ud800" <= letter <= "\udfff" for letter in user + password)
    if surrogates:
        return
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump({"auths": {"a.example": encoded(Credentials(user, password))}}, file)
        file.flush()
        assert Keyring(Path(file.name)).of("a.example") == Credentials(user, password)
