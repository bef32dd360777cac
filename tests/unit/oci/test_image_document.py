"""An image's configuration file: what is read, what is kept, what adds up."""

from __future__ import annotations

import hashlib

import pytest
from image_documents import LAYER, image_configuration, written

from kernelbox.errors import InvalidContent
from kernelbox.oci import image_document
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.image_document import History, ImageDocument, chain_ids, parse
from kernelbox.oci.platform import Platform

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
MADE = "2024-02-29T12:00:00Z"


def refusal(**more: object) -> str:
    with pytest.raises(InvalidContent) as caught:
        parse(written({key: value for key, value in image_configuration(**more).items() if value != "gone"}))
    return caught.value.message


def test_what_is_read() -> None:
    raw = written(image_configuration(variant="v2", **{"os.version": "1.2", "os.features": ["a"]}))
    found = parse(raw)
    assert (found.raw, found.digest) == (raw, Digest.of(raw))
    assert found.platform == Platform("linux", "amd64", "v2", "1.2", ("a",))
    assert found.config.cmd == ("sh",)
    assert found.config.on_build == ("RUN x",)
    assert found.config.extra == {"Tty": False}
    assert found.diff_ids == (ONE, TWO)
    assert found.extra == {"moby.buildkit.cache.v0": "e30="}
    assert (found.author, found.created) == ("A. Nobody", "2024-02-29T12:00:00.123456789Z")
    assert found.descriptor() == Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(raw), len(raw))


def test_steps_know_their_layers() -> None:
    found = parse(written(image_configuration()))
    assert [digest for _, digest in found.steps] == [ONE, None, TWO]
    assert found.steps[2][0] == History("2024-02-29T12:00:00.123456789Z", "RUN x", "d", "c")
    fewer = parse(written(image_configuration(rootfs={"type": "layers", "diff_ids": [str(ONE)]})))
    assert [digest for _, digest in fewer.steps] == [None, None, None]
    assert parse(written(image_configuration(history=None))).steps == ()


def test_layers_add_up() -> None:
    found = parse(written(image_configuration()))
    layer = Descriptor(LAYER, ONE, 1)
    found.check_layers([layer, layer])
    with pytest.raises(InvalidContent, match="its configuration has 2 layers, its manifest 3"):
        found.check_layers([layer] * 3)


def test_nothing_said() -> None:
    found = parse(
        b'{"os":"","architecture":"","created":null,"config":null,"rootfs":{"type":"layers","diff_ids":null}}'
    )
    assert found.platform == Platform("", "")
    assert (found.config, found.diff_ids, found.history, found.created) == (ImageConfig(), (), (), "")


def test_errors_name_the_place() -> None:
    assert refusal(os="gone") == "image configuration: os: missing"
    assert refusal(architecture=None) == "image configuration: architecture: missing"
    assert refusal(rootfs="gone") == "image configuration: rootfs: missing"
    assert refusal(rootfs={"type": "disk"}) == "image configuration: rootfs.type: unknown word 'disk'"
    assert refusal(created="yesterday").startswith("image configuration: created: 'yesterday' is no time")
    assert refusal(history=[{}, {"created": "x"}]) == "image configuration: history[1].created: 'x' is no time"
    assert (
        refusal(history=[{"empty_layer": 1}])
        == "image configuration: history[0].empty_layer: expected true or false, got 1"
    )
    assert refusal(config={"Env": "A=b"}) == "image configuration: config.Env: expected a list, got 'A=b'"
    assert refusal(os="li\nux") == "image configuration: 'li\\nux/amd64' is no platform"
    assert refusal(variant="../../v7") == "image configuration: 'linux/amd64/../../v7' is no platform"
    bad = {"type": "layers", "diff_ids": [str(ONE), "sha256:x"]}
    assert refusal(rootfs=bad).startswith("image configuration: rootfs.diff_ids[1]: 'sha256:x' is no digest")


def test_other_spellings_are_refused() -> None:
    assert refusal(OS="windows") == "image configuration: 'OS' is not how this field is written"
    both = {"type": "layers", "diff_ids": [str(ONE)], "Diff_Ids": [str(TWO)]}
    assert refusal(rootfs=both) == "image configuration: rootfs: 'Diff_Ids' is not how this field is written"
    kelvin = {"type": "layers", "diff_idſ": []}
    assert refusal(rootfs=kelvin) == "image configuration: rootfs: 'diff_idſ' is not how this field is written"


def test_bounds() -> None:
    many = {"type": "layers", "diff_ids": [str(ONE)] * 501}
    assert refusal(rootfs=many) == "image configuration: 501 layers, and 500 is the most that one image can have"
    assert refusal(history=[{}] * 2001) == "image configuration: history: 2001 steps, and 2000 is the most"
    with pytest.raises(InvalidContent, match="8388609 bytes, and 8388608 is the most that is read"):
        parse(b" " * (image_document.MAX_BYTES + 1))


def test_the_same_parts_make_the_same_bytes() -> None:
    found = parse(written(image_configuration()))
    parts = (found.platform, found.config, found.diff_ids, found.history)
    made = ImageDocument.build(*parts, created=found.created, author=found.author, extra=found.extra)
    again = ImageDocument.build(*parts, created=found.created, author=found.author, extra=found.extra)
    assert made.raw == again.raw
    assert parse(made.raw) == made
    for name in ("platform", "config", "diff_ids", "history", "created", "author", "extra"):
        assert getattr(made, name) == getattr(found, name)


def test_a_small_one() -> None:
    made = ImageDocument.build(
        Platform("linux", "arm64"), ImageConfig(cmd=("a",)), [ONE], [History(MADE)], created=MADE
    )
    assert made.raw.decode() == (
        f'{{"created":"{MADE}","architecture":"arm64","os":"linux","config":{{"Cmd":["a"]}},'
        f'"rootfs":{{"type":"layers","diff_ids":["{ONE}"]}},"history":[{{"created":"{MADE}"}}]}}'
    )


def test_what_is_made_is_held_to_the_same_rules() -> None:
    with pytest.raises(InvalidContent, match="is no time"):
        ImageDocument.build(Platform("linux", "amd64"), created="now")
    with pytest.raises(InvalidContent, match="half a character"):
        ImageDocument.build(Platform("linux", "amd64"), author="\udcff")


def test_chain_ids() -> None:
    three = Digest.of(b"3")
    second = hashlib.sha256(f"{ONE} {TWO}".encode()).hexdigest()
    third = hashlib.sha256(f"sha256:{second} {three}".encode()).hexdigest()
    assert [each.encoded for each in chain_ids([ONE, TWO, three])] == [ONE.encoded, second, third]
    assert chain_ids([]) == ()
