"""Certificates for a test: an authority of its own, and a server that it vouches for."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def server_context(folder: Path, names: tuple[str, ...] = ()) -> tuple[ssl.SSLContext, Path]:
    """For a server that is 127.0.0.1, or has these names; and the file of the authority."""
    certificate, key = server_files(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, folder / "authority.pem"


def server_files(folder: Path, names: tuple[str, ...] = ()) -> tuple[Path, Path]:
    """The certificate and the key of such a server, as files."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
    authority = _builder(issuer, issuer, authority_key.public_key(), authority=True).sign(
        authority_key, hashes.SHA256()
    )
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    ours: list[x509.GeneralName] = [x509.DNSName(each) for each in names]
    alternatives = x509.SubjectAlternativeName(ours or [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = _builder(subject, issuer, key.public_key(), authority=False).add_extension(alternatives, critical=False)
    certificate = built.sign(authority_key, hashes.SHA256())
    paths = folder / "server.pem", folder / "server.key"
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
