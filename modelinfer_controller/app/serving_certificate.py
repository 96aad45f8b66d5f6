"""The certificate that metrics are served with: of files, read anew when they change, or made at the start."""

import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

COMMON_NAME = "modelinfer-controller"
SELF_SIGNED_FOR = timedelta(days=3650)  # a process that runs for longer than that is not foreseen


def self_signed_context() -> ssl.SSLContext:
    """A new key and a certificate of its own: it encrypts, and a scraper cannot verify whom it talks to."""
    context = _new_context()
    with _file_in_memory(_self_signed_pem()) as path:
        context.load_cert_chain(path)
    return context


def context_of_files(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context whose new connections get what the files hold then, as a mounted Secret changes under a process.

    Raises OSError, and ssl.SSLError (which is one) where the files do not fit together.
    """
    latest = _Latest(certificate, key)
    context = latest.context()

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = latest.context()

    context.sni_callback = choose
    return context


class _Latest:
    """The context of the files as they are now; the last good one where they cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._state = self._state_of_files()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        try:
            state = self._state_of_files()
            if state != self._state:
                self._context, self._state = self._load(), state
                log.info("The certificate was read anew", file=str(self._certificate))
        except OSError as error:  # half written: the next connection looks again
            log.warning("The certificate cannot be read; the former one stays", error=str(error))
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = _new_context()
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _state_of_files(self) -> tuple[tuple[int, int, int], ...]:
        stats = (file.stat() for file in (self._certificate, self._key))
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _self_signed_pem() -> bytes:
    """The key and its certificate."""
    # Imported here, since most processes do without, and it takes its time.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    names = [x509.DNSName(each) for each in dict.fromkeys(("localhost", socket.gethostname()))]
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # the scraper's clock may be behind
        .not_valid_after(now + SELF_SIGNED_FOR)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@contextmanager
def _file_in_memory(content: bytes) -> Iterator[str]:
    """A path for who only reads files: no key comes to a disk, and the root file system may be read-only."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create(COMMON_NAME), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
    else:  # no Linux, thus somebody's own machine
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
