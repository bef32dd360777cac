"""Signed images through a registry: who has to have signed what, and that nothing else gets a name here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kernelbox import Engine
from kernelbox.cli.app import main
from kernelbox.engine import trust
from kernelbox.errors import ImageNotFound, InvalidOption, UntrustedImage
from kernelbox.oci import descriptor as descriptors
from kernelbox.oci import manifest, media_types, reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Manifest
from kernelbox.registry import keys, signatures, signing
from kernelbox.registry.client import Client
from kernelbox.registry.server.serving import registry
from kernelbox.registry.signing import Payload

pytestmark = [pytest.mark.kernel, pytest.mark.root]


class Lab(NamedTuple):
    """An image that was pushed, without a signature, and is not here any more; two pairs of keys."""

    box: Engine
    client: Client
    name: str
    image: Descriptor
    key: Path
    other: Path

    @property
    def public(self) -> Path:
        return self.key.with_name("key.pub")

    def sign(self, payload: bytes, *, key: Path | None = None, kept: bytes = b"", tag: str = "") -> None:
        """Puts a signature of `payload` beside the image; `kept` is what lies there in place of the payload."""
        found = reference.parse(self.name)
        signature = signing.sign(keys.private(key or self.key, {}), payload)
        layer = descriptors.of(kept or payload, signatures.PAYLOAD)
        signed = Descriptor(layer.media_type, layer.digest, layer.size, annotations={signatures.SIGNATURE: signature})
        nothing = descriptors.of(b"{}", media_types.EMPTY)
        subject = None if tag else self.image
        made = Manifest.build(nothing, [signed], subject=subject, artifact_type=signatures.ARTIFACT)
        self.client.push_blob(found, nothing, io.BytesIO(b"{}"))
        self.client.push_blob(found, layer, io.BytesIO(kept or payload))
        where = found.with_tag(tag) if tag else found.with_digest(made.digest)
        self.client.push_manifest(where, made.raw, made.media_type)

    def payload(self) -> bytes:
        return signing.written(Payload(reference.parse(self.name).name, self.image.digest))

    def refused(self, verify: Path | None = None) -> str:
        """Why. Nothing is called so afterwards, nor is anything else here."""
        with pytest.raises(UntrustedImage) as failure:
            self.box.images.pull(self.name, verify=verify)
        with pytest.raises(ImageNotFound):
            self.box.images.get(self.name)
        assert not list(self.box.images.list())
        assert failure.value.hint
        assert failure.value.status == 403
        return failure.value.message


@pytest.fixture
def lab(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("KERNELBOX_PULL", "missing")
    monkeypatch.delenv("KERNELBOX_POLICY", raising=False)
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.delenv(keys.PASSWORD, raising=False)
    files = tmp_path / "files"
    files.mkdir()
    (files / "file").write_text("content")
    for name in ("key", "other"):
        keys.make(tmp_path / name)
    with registry(tmp_path / "registry") as running, Client() as client:
        name = f"{running.address}/lab/tool:1"
        engine.images.from_dir(files, name)
        digest = engine.images.push(name).digest
        engine.images.remove(name)
        image = client.resolve(reference.parse(name).with_digest(digest))
        yield Lab(engine, client, name, image, tmp_path / "key", tmp_path / "other")


def pushed(lab: Lab, sign: Path | None) -> None:
    """Pulled, pushed once more with a signature, and removed."""
    lab.box.images.pull(lab.name)
    lab.box.images.push(lab.name, sign=sign)
    lab.box.images.remove(lab.name)


def test_the_right_key(lab: Lab) -> None:
    pushed(lab, lab.key)
    assert lab.box.images.pull(lab.name, verify=lab.public).tags == (lab.name,)
    pushed(lab, lab.key)
    found = lab.client.referrers(reference.parse(lab.name), lab.image.digest, signatures.ARTIFACT)
    assert len(found) == 1  # signed once is enough
    raw, _ = lab.client.manifest(reference.parse(lab.name).with_digest(found[0].digest))
    made = manifest.parse(raw)
    assert isinstance(made, Manifest)
    assert made.subject == lab.image
    assert [each.media_type for each in made.layers] == [signatures.PAYLOAD]
    payload = signatures.verified(lab.client, reference.parse(lab.name), lab.image, [keys.public(lab.public)]).payload
    assert payload == Payload(reference.parse(lab.name).name, lab.image.digest)


def test_nobody_has_signed(lab: Lab) -> None:
    assert lab.refused(lab.public).endswith("is not signed")


def test_somebody_else_has_signed(lab: Lab) -> None:
    pushed(lab, lab.other)
    assert "trusted" in lab.refused(lab.public)
    pushed(lab, lab.key)
    lab.box.images.pull(lab.name, verify=lab.public)


def test_another_payload_under_a_good_signature(lab: Lab) -> None:
    of_another = signing.written(Payload(reference.parse(lab.name).name, Digest.of(b"another")))
    lab.sign(of_another, kept=lab.payload())
    assert "trusted" in lab.refused(lab.public)


def test_a_signature_of_another_image(lab: Lab) -> None:
    lab.sign(signing.written(Payload(reference.parse(lab.name).name, Digest.of(b"another"))))
    assert "another image" in lab.refused(lab.public)


def test_a_name_that_means_another_image_now(lab: Lab, tmp_path: Path) -> None:
    """The signature stays with what was signed, which its digest still leads to."""
    lab.sign(lab.payload())
    (tmp_path / "files/file").write_text("other content")
    lab.box.images.from_dir(tmp_path / "files", lab.name)
    lab.box.images.push(lab.name)
    lab.box.images.remove(lab.name)
    assert lab.refused(lab.public).endswith("is not signed")
    lab.box.images.pull(str(reference.parse(lab.name).with_digest(lab.image.digest)), verify=lab.public)


def test_a_signature_may_name_the_tag_too(lab: Lab) -> None:
    lab.sign(signing.written(Payload(lab.name, lab.image.digest)))
    lab.box.images.pull(lab.name, verify=lab.public)


@pytest.mark.parametrize("other", ["lab/other", "other/tool", "lab/tool:2", "lab/tool/deep"])
def test_a_signature_of_another_repository(lab: Lab, other: str) -> None:
    address = reference.parse(lab.name).registry
    lab.sign(signing.written(Payload(f"{address}/{other}", lab.image.digest)))
    assert "signed this as" in lab.refused(lab.public)
    lab.sign(signing.written(Payload("images.example/lab/tool", lab.image.digest)))
    lab.sign(signing.written(Payload("No Name", lab.image.digest)))
    assert lab.refused(lab.public).startswith("3 signatures")


@pytest.mark.parametrize(
    "raw", [b"{}", b"\xff\x00", b"[" * 50_000, b'{"critical":{},"critical":{}}', b"{" + b" " * 70_000]
)
def test_what_is_no_payload(lab: Lab, raw: bytes) -> None:
    """It is passed over, although it is signed; a good signature beside it counts."""
    lab.sign(raw)
    lab.refused(lab.public)
    lab.sign(lab.payload())
    lab.box.images.pull(lab.name, verify=lab.public)


def test_the_older_place_of_signatures(lab: Lab) -> None:
    lab.sign(lab.payload(), tag=str(lab.image.digest).replace(":", "-") + ".sig")
    lab.refused(lab.other.with_name("other.pub"))
    lab.box.images.pull(lab.name, verify=lab.public)


def test_so_many_are_looked_at_and_no_more(lab: Lab) -> None:
    for number in range(signatures.MOST):
        lab.sign(b"%d" % number, key=lab.other)
    lab.sign(lab.payload(), tag=str(lab.image.digest).replace(":", "-") + ".sig")
    assert lab.refused(lab.public).startswith(f"{signatures.MOST} signatures")


def test_what_the_policy_says(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = reference.parse(lab.name).registry
    policy = tmp_path / "policy.toml"
    monkeypatch.setenv("KERNELBOX_POLICY", str(policy))
    policy.write_text('[[rule]]\npattern = "*"\nrequire = "reject"\n')
    assert "not accepted" in lab.refused()
    assert "not accepted" in lab.refused(lab.public)
    more = f'[[rule]]\npattern = "{address}/lab/*"\nrequire = "signed"\nkeys = ["other.pub", "key.pub"]\n'
    policy.write_text(policy.read_text() + more)
    assert "is not signed" in lab.refused()
    lab.sign(lab.payload())
    lab.box.images.pull(lab.name)
    lab.box.images.remove(lab.name)
    assert "trusted" in lab.refused(lab.other.with_name("other.pub"))
    policy.unlink()
    with pytest.raises(InvalidOption, match="policy"):
        lab.box.images.pull(lab.name)


def test_a_container_gets_no_other_image_either(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "none/kernelbox/policy.toml"
    policy.parent.mkdir(parents=True)
    policy.write_text('[[rule]]\npattern = "*"\nrequire = "signed"\nkeys = ["/none.pub"]\n')
    with pytest.raises(InvalidOption, match=r"none\.pub"):
        lab.box.run(lab.name, ["true"])
    policy.write_text(f'[[rule]]\npattern = "*"\nrequire = "signed"\nkeys = ["{lab.public}"]\n')
    with pytest.raises(UntrustedImage):
        lab.box.run(lab.name, ["true"])
    assert not list(lab.box.images.list())


def test_which_rule_decides(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    rules = (("*", "reject"), ("debian", "nothing"), ("docker.io/lab/*", "nothing"), ("docker.io/lab/?", "reject"),
             ("docker.io/lab/*x", "nothing"), ("docker.io/lab/x*", "reject"))  # fmt: skip
    path.write_text("".join(f'[[rule]]\npattern = "{a}"\nrequire = "{b}"\n' for a, b in rules))
    found = trust.read(path)

    def decided(name: str) -> str:
        rule = trust.rule_for(reference.parse(name), found)
        return rule.require if rule else ""

    assert decided("debian:12") == decided("lab/tool") == decided("lab/deep/tool") == decided("lab/ax") == "nothing"
    assert decided("alpine") == decided("localhost:5000/debian") == decided("lab/xx") == "reject"
    assert trust.rule_for(reference.parse("debian"), ()) is None
    assert trust.load({"HOME": str(tmp_path)}, path) == found
    assert trust.load({"HOME": str(tmp_path)}, tmp_path / "none") == ()


@pytest.mark.parametrize("text", ["x", "rules = 1", "rule = 1", "rule = [1]", "[[rule]]", '[[rule]]\npattern = "a"',
                                  '[[rule]]\npattern = "a"\nrequire = "sign"',
                                  '[[rule]]\npattern = 1\nrequire = "reject"',
                                  '[[rule]]\npattern = "a"\nrequire = "signed"',
                                  '[[rule]]\npattern = "a"\nrequire = ["signed"]',
                                  '[[rule]]\npattern = "a"\nrequire = "signed"\nkeys = "k"',
                                  '[[rule]]\npattern = "a"\nrequire = "nothing"\nkeys = ["k"]',
                                  '[[rule]]\npattern = "a"\nrequire = "reject"\nkey = ["k"]'])  # fmt: skip
def test_what_is_no_policy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(InvalidOption, match=r"policy\.toml"):
        trust.read(path)


def test_at_the_command_line(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERNELBOX_ROOT", str(lab.box.paths.root))
    monkeypatch.setenv(keys.PASSWORD, "geheim")
    key = str(tmp_path / "typed")
    assert main(["image", "keygen", key]) == 0
    assert main(["pull", "-q", lab.name]) == 0
    assert main(["push", "-q", "--sign", key, lab.name]) == 0
    assert main(["rmi", lab.name]) == 0
    assert main(["pull", "-q", "--verify", str(lab.public), lab.name]) == 1
    assert "trusted" in capsys.readouterr().err
    assert main(["pull", "-q", "--verify", f"{key}.pub", lab.name]) == 0
