"""Mirrors and insecure registries, from a file and from the environment."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.errors import InvalidOption
from kernelbox.registry import endpoint
from kernelbox.registry.configuration import Configuration, RegistrySettings, load, read

FILE = """
[registry."images.example:5000"]
insecure = true
mirrors = ["https://mirror.example", "http://127.0.0.1:5000/cache"]
ca = "/etc/ssl/lab.pem"
upload_chunk = "64m"

[registry.localhost]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "registries.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file(tmp_path: Path) -> None:
    found = read(written(tmp_path, FILE))
    assert found.of("images.example:5000") == RegistrySettings(
        True, ("https://mirror.example", "http://127.0.0.1:5000/cache"), "/etc/ssl/lab.pem", 64 << 20
    )
    assert found.of("localhost") == found.of("other.example") == RegistrySettings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("registry = 1", "registry: expected a table"),
        ("[registry]\n'a b' = {}", "'a b' is no registry"),
        ("[registry]\n'https://a.example' = {}", "is no registry"),
        ("[registry]\n'a.example' = 1", "registry.a.example: expected a table"),
        ("[registry.'a.example']\ninsecure = 'yes'", "insecure: expected true or false"),
        ("[registry.'a.example']\nmirrors = 'https://b.example'", "mirrors: expected a list"),
        ("[registry.'a.example']\nmirrors = [1]", "mirrors: expected a list of URLs"),
        ("[registry.'a.example']\nmirrors = ['b.example']", "no address of a mirror"),
        ("[registry.'a.example']\nmirrors = ['https://u:p@b.example']", "no address of a mirror"),
        ("[registry.'a.example']\nmirrors = ['https://b.example/../x']", "no address of a mirror"),
        ("[registry.'a.example']\nmirrors = ['https://b.example?x']", "no address of a mirror"),
        ("[registry.'a.example']\nca = 'lab.pem'", "ca: expected the whole path"),
        ("[registry.'a.example']\nupload_chunk = 1000", "too small"),
        ("[registry.'a.example']\nupload_chunk = true", "expected a size"),
        ("[registry.'a.example']\ninsecured = true", "unknown key 'insecured'"),
        ("[registries]\n", "unknown key 'registries'"),
        ("[registry", "is not TOML"),
        ("x = '" + "a" * (1 << 20) + "'", "longer than a configuration"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidOption, match=sentence):
        read(written(tmp_path, text))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "registries.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidOption, match="is not TOML"):
        read(path)
    with pytest.raises(InvalidOption, match="could not read"):
        read(tmp_path)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        with contextlib.suppress(InvalidOption):
            assert isinstance(read(Path(file.name)), Configuration)


def test_the_file_of_the_user_comes_before_that_of_the_machine(tmp_path: Path) -> None:
    machine = written(tmp_path / "etc", "[registry.'a.example']\ninsecure = true")
    home = {"HOME": str(tmp_path)}
    assert load(home, machine).of("a.example").insecure
    written(tmp_path / ".config/kernelbox", "[registry.'b.example']\ninsecure = true")
    assert not load(home, machine).of("a.example").insecure
    assert load(home, machine).of("b.example").insecure
    written(tmp_path / "xdg/kernelbox", "[registry.'c.example']\ninsecure = true")
    assert load({**home, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}, machine).of("c.example").insecure
    assert load({**home, "KERNELBOX_REGISTRIES": str(machine)}, machine).of("a.example").insecure
    with pytest.raises(InvalidOption, match="no such file"):
        load({**home, "KERNELBOX_REGISTRIES": str(tmp_path / "none")}, machine)


def test_the_environment_adds_to_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    found = load({
        "KERNELBOX_REGISTRIES": str(path),
        "KERNELBOX_INSECURE_REGISTRIES": "a.example:80, localhost",
        "KERNELBOX_REGISTRY_MIRRORS": "images.example:5000=https://first.example,b.example=http://c.example/x",
    })  # fmt: skip
    assert found.of("a.example:80").insecure
    assert found.of("localhost").insecure
    assert found.of("images.example:5000").mirrors[:2] == ("https://first.example", "https://mirror.example")
    assert found.of("images.example:5000").insecure
    assert found.of("b.example").mirrors == ("http://c.example/x",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERNELBOX_INSECURE_REGISTRIES", "http://a.example"),
        ("KERNELBOX_REGISTRY_MIRRORS", "https://a.example"),
        ("KERNELBOX_REGISTRY_MIRRORS", "a.example=b.example"),
        ("KERNELBOX_REGISTRY_MIRRORS", "a b=https://b.example"),
    ],
)
def test_what_the_environment_may_not_say(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidOption, match=name):
        load({"HOME": str(tmp_path), name: value}, tmp_path / "none")


def test_only_this_machine_and_what_is_called_insecure_is_ever_spoken_to_in_the_clear() -> None:
    settings = Configuration({
        "lab.example": RegistrySettings(insecure=True),
        "own.example": RegistrySettings(ca="/ca.pem"),
        "both.example": RegistrySettings(insecure=True, ca="/ca.pem"),
    })  # fmt: skip
    found = {name: endpoint.of_registry(name, settings) for name in ("lab.example", "own.example", "a.example")}
    assert (found["a.example"].schemes, found["a.example"].trust) == (("https",), True)
    assert (found["own.example"].schemes, found["own.example"].trust) == (("https",), "/ca.pem")
    assert (found["lab.example"].schemes, found["lab.example"].trust) == (("https", "http"), False)
    assert endpoint.of_registry("both.example", settings).trust == "/ca.pem"
    assert endpoint.of_registry("localhost:5000", settings).schemes == ("http", "https")


def test_the_default_registry_answers_elsewhere_and_keeps_its_name() -> None:
    found = endpoint.of_registry("docker.io", Configuration())
    assert found.name == "docker.io"
    assert found.host != "docker.io"
    assert found.schemes == ("https",)


def test_mirrors_come_in_their_order_with_settings_of_their_own() -> None:
    settings = Configuration({
        "images.example": RegistrySettings(mirrors=("https://a.example/cache", "http://b.example:80", "https://c.example")),
        "c.example": RegistrySettings(insecure=True),
    })  # fmt: skip
    first, second, third = endpoint.mirrors_of("images.example", settings)
    assert (first.name, first.schemes, first.prefix, first.trust) == ("a.example", ("https",), "cache/", True)
    assert (second.name, second.schemes, second.prefix) == ("b.example:80", ("http",), "")
    assert third.trust is False
