"""What signatures say, how strictly that is read, and the keys that make them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.errors import Conflict, InvalidContent, InvalidOption
from kernelbox.oci.digest import Digest
from kernelbox.registry import keys, signing
from kernelbox.registry.signing import Payload

PAYLOAD = Payload("localhost:5000/lab/tool", Digest.of(b"manifest"))
RAW = signing.written(PAYLOAD)


def changed(**fields: object) -> bytes:
    """The payload with these fields of `critical` instead."""
    return json.dumps({"critical": json.loads(RAW)["critical"] | fields, "optional": None}).encode()


def test_the_form_that_others_read() -> None:
    assert RAW.decode() == (
        '{"critical":{"identity":{"docker-reference":"localhost:5000/lab/tool"},"image":{"docker-manifest-digest":"'
        f'{PAYLOAD.digest}"}},"type":"cosign container image signature"}},"optional":null}}'
    )
    assert signing.parse(RAW) == PAYLOAD
    noted = json.loads(RAW) | {"optional": {"creator": "somebody", "timestamp": 1}}
    assert signing.parse(json.dumps(noted).encode()) == PAYLOAD


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"critical":null,"optional":null}',
        RAW + RAW,
        RAW + b" " * signing.MAX_PAYLOAD_BYTES,
        RAW.replace(b'"optional":null', b'"optional":[]'),
        RAW.replace(b'"optional":null', b'"optional":NaN'),
        RAW.replace(b'"optional":null', b'"Critical":{}'),
        RAW.replace(b'"type":', b'"type":"x","type":'),
        changed(type="atomic container signature"),
        changed(more=1),
        changed(identity={}),
        changed(identity={"docker-reference": 1}),
        changed(identity={"docker-reference": "a", "other": "b"}),
        changed(image=[]),
        changed(image={"docker-manifest-digest": "sha256:abc"}),
        changed(image={"docker-manifest-digest": "md5:" + "0" * 32}),
    ],
)
def test_everything_else_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidContent):
        signing.parse(raw)


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(
    lambda x: json.dumps({"critical": x, "optional": x}).encode()))  # fmt: skip
def test_no_stranger_gets_anywhere_else(raw: bytes) -> None:
    with pytest.raises(InvalidContent):
        signing.parse(raw)


def test_a_signature_is_of_these_bytes_by_this_key() -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    signature = signing.sign(key, RAW)
    assert signing.is_by(key.public_key(), RAW, signature)
    assert not signing.is_by(other.public_key(), RAW, signature)
    for number in range(len(RAW)):
        altered = RAW[:number] + bytes([RAW[number] ^ 1]) + RAW[number + 1 :]
        assert not signing.is_by(key.public_key(), altered, signature)
    der = base64.b64decode(signature)
    for number in range(len(der)):
        altered = der[:number] + bytes([der[number] ^ 1]) + der[number + 1 :]
        assert not signing.is_by(key.public_key(), RAW, base64.b64encode(altered).decode())


@pytest.mark.parametrize("text", ["", "AA", "AAAA", "é", "=" * 8, "A" * 100_000, "\n", "MAYCAQACAQA="])
def test_what_is_no_signature_is_nobodys(text: str) -> None:
    assert not signing.is_by(ec.generate_private_key(ec.SECP256R1()).public_key(), RAW, text)


def test_a_pair_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "lab.key"
    beside = keys.make(path)
    assert beside == tmp_path / "lab.key.pub"
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.private(path, {}).public_key() == keys.public(beside)
    before = path.read_bytes()
    with pytest.raises(Conflict):
        keys.make(path)
    beside.unlink()
    with pytest.raises(Conflict):
        keys.make(path)
    assert path.read_bytes() == before
    assert not beside.exists()


def test_a_passphrase_is_needed_and_has_to_be_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    path = tmp_path / "key"
    public = keys.public(keys.make(path, "geheim"))
    assert b"ENCRYPTED" in path.read_bytes()
    assert keys.private(path, {keys.PASSWORD: "geheim"}).public_key() == public
    with pytest.raises(InvalidOption, match="no passphrase"):
        keys.private(path, {})
    with pytest.raises(InvalidOption, match="does not open"):
        keys.private(path, {keys.PASSWORD: "wrong"})


def test_what_is_no_key_of_ours(tmp_path: Path) -> None:
    pair = tmp_path / "key"
    public = keys.make(pair)
    larger = ec.generate_private_key(ec.SECP384R1())
    other = tmp_path / "other"
    pem = serialization.Encoding.PEM
    other.write_bytes(larger.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    junk, long = tmp_path / "junk", tmp_path / "long"
    junk.write_bytes(b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n")
    long.write_bytes(pair.read_bytes() + b"\n" * (64 << 10))
    for wrong in (other, junk, long, public, tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidOption):
            keys.private(wrong, {})
    other.write_bytes(larger.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    for wrong in (other, junk, long, pair, tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidOption):
            keys.public(wrong)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, the other verifier, is not installed")
def test_another_program_finds_the_same(tmp_path: Path) -> None:
    """And signs what is accepted here."""
    pair, payload, signature = tmp_path / "key", tmp_path / "payload", tmp_path / "signature"
    public = keys.make(pair)
    payload.write_bytes(RAW)
    signature.write_bytes(base64.b64decode(signing.sign(keys.private(pair, {}), RAW)))
    verify = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature), str(payload)]
    assert subprocess.run(verify, capture_output=True, text=True).stdout == "Verified OK\n"
    payload.write_bytes(RAW + b" ")
    assert subprocess.run(verify, capture_output=True).returncode != 0
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(pair)], input=RAW, capture_output=True, check=True
    )
    assert signing.is_by(keys.public(public), RAW, base64.b64encode(made.stdout).decode())
