"""What `pmpro terminal serve` is known by: a certificate of its own making, and a token."""

import os
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from engine.model.errors import BrokerError
from engine.terminal.link.remote import fingerprint_of

CERTIFICATE: Final = "certificate.pem"
TOKEN: Final = "token"  # noqa: S105  (a file's name)
_YEARS: Final = 20


def certificate_file(directory: Path) -> Path:
    """Return the file with key and certificate, made at the first call; only its owner reads it.

    Raises:
        BrokerError: there is none, and the package that makes one is not installed.
    """
    path = directory / CERTIFICATE
    if not path.exists():
        _write_private(path, _self_signed())
    return path


def fingerprint_in(path: Path) -> str:
    """Return the fingerprint of the certificate in a PEM file."""
    text = path.read_text(encoding="ascii")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(text[begin:]))


def token_file(directory: Path) -> Path:
    """Return the file with the token, made at the first call; only its owner reads it."""
    path = directory / TOKEN
    if not path.exists():
        _write_private(path, f"{secrets.token_urlsafe(32)}\n".encode())
    return path


def _self_signed() -> bytes:
    """Return key and certificate as PEM; its names mean nothing, its fingerprint does."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise BrokerError(
            "making a certificate needs the package cryptography: "
            'pip install "portfolio-manager-pro[terminal]"'
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pmpro terminal")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private: bytes = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public: bytes = certificate.public_bytes(pem)
    return private + public


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else can read, at no moment, and that is there whole or not."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)
