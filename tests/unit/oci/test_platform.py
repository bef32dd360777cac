"""Platforms in all the spellings that Docker takes, and which image of several is for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.media_types import INDEX, LAYER_GZIP, MANIFEST
from kernelbox.oci.platform import Platform, candidates, check, choose, none_for, of_machine, parse, rank


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("LINUX/AMD64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux", "linux/own"),
        ("windows", "windows/own"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("linux/s390x", "linux/s390x"),
    ],
)
def test_a_spelling(text: str, meant: str) -> None:
    assert str(parse(text, "riscv64")) == meant.replace("own", "riscv64")


WRONG = ["", "/", "a/b", "linux/", "/amd64", "linux//v8", "linux/amd64/v1/x", "amd64/linux", "arm64/v8", "6502"]


@pytest.mark.parametrize(
    "text", [*WRONG, "linux/a d", "linux/amd64\n", "linux/amd64/../x", "linux/amd64/é", "linux/amd64/²"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidOption, match="is no platform"):
        parse(text)


def test_that_of_a_machine() -> None:
    assert of_machine("x86_64") == Platform("linux", "amd64") == parse("amd64")
    assert of_machine("aarch64") == parse("linux/arm64/v8")
    assert of_machine("armv7l") == parse("linux/arm")
    assert of_machine("riscv64") == parse("linux/riscv64")


def offered(*texts: str, media_type: str = MANIFEST) -> list[Descriptor]:
    """One for each; "-" is one of which no platform is said. Each has a size of its own."""
    return [
        Descriptor(media_type, Digest.of(b""), number, platform=None if text == "-" else Platform(*text.split("/")))
        for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("wanted", "there", "taken"),
    [
        ("linux/amd64", ("linux/arm64", "linux/amd64"), 1),
        ("linux/amd64", ("linux/amd64/v3", "linux/amd64"), 1),
        ("linux/amd64", ("linux/amd64/v1",), 0),
        ("linux/amd64", ("Linux/x86_64",), 0),
        ("linux/amd64", ("windows/amd64", "linux/amd64"), 1),
        ("linux/amd64/v3", ("linux/amd64", "linux/amd64/v2", "linux/amd64/v4"), 1),
        ("linux/amd64/v2", ("linux/amd64",), 0),
        ("linux/arm64", ("linux/arm64/v8",), 0),
        ("linux/arm64/v9", ("linux/arm64/v8", "linux/arm64/v9"), 1),
        ("linux/arm64/v9", ("linux/arm64",), 0),
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6"), 1),
        ("linux/arm/v7", ("linux/arm",), 0),
        ("linux/arm/v7", ("linux/arm/v6", "linux/arm/7"), 1),
        ("linux/arm/v6", ("linux/arm/v7", "linux/arm/v5"), 1),
        ("linux/amd64", ("linux/amd64", "linux/amd64"), 0),
        ("linux/amd64", ("-", "linux/amd64"), 1),
        ("linux/amd64", ("linux/arm64", "-", "-"), 1),
        ("linux/riscv64", ("linux/riscv64",), 0),
    ],
)
def test_the_image_that_fits(wanted: str, there: tuple[str, ...], taken: int) -> None:
    assert choose(offered(*there), parse(wanted)).size == taken


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ("linux/amd64", ()),
        ("linux/amd64", ("linux/arm64", "linux/386")),
        ("linux/amd64", ("linux/amd64/v2",)),
        ("linux/amd64", ("unknown/unknown",)),
        ("linux/amd64", ("linux/unknown",)),
        ("linux/amd64", ("/",)),
        ("linux/arm64", ("linux/arm64/v9", "linux/arm/v7")),
        ("linux/arm/v6", ("linux/arm/v7", "linux/arm")),
        ("windows/amd64", ("linux/amd64",)),
    ],
)
def test_none_that_fits(wanted: str, there: tuple[str, ...]) -> None:
    with pytest.raises(ImageNotFound, match=f"no image for {wanted} among these"):
        choose(offered(*there), parse(wanted))


def test_what_there_is_instead() -> None:
    with pytest.raises(ImageNotFound) as caught:
        choose(offered("linux/s390x", "linux/arm/v7", "unknown/unknown"), parse("linux/amd64"))
    assert caught.value.hint == "there is linux/arm/v7, linux/s390x"
    assert none_for([], parse("amd64")).hint == "there is none for any platform"


def test_what_is_no_image_is_passed_over() -> None:
    (image,) = offered("linux/amd64")
    attested = replace(image, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    signature = replace(image, artifact_type="application/x.sig")
    layer = replace(image, media_type=LAYER_GZIP)
    assert candidates([attested, signature, layer, image], parse("amd64")) == (image,)
    assert candidates(offered("linux/amd64", media_type=INDEX), parse("amd64"))[0].media_type == INDEX


def test_features_of_the_system_that_are_not_there() -> None:
    plain, special = Platform("linux", "amd64"), Platform("linux", "amd64", os_features=("lazy",))
    assert rank(special, plain) is None
    assert rank(plain, special) == rank(special, special) == 0


def test_an_image_of_another_platform_is_not_taken_in_silence() -> None:
    check(Platform("linux", "arm", "v6"), parse("linux/arm/v7"), "image a")
    with pytest.raises(ImageNotFound, match=r"image a is for linux/arm64, not for linux/amd64") as caught:
        check(parse("linux/arm64"), parse("linux/amd64"), "image a")
    assert caught.value.hint == "--platform linux/arm64 takes it all the same"
