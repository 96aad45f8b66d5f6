"""What a scraper is shown: a certificate made at the start, or that of the files as they are when it connects."""

import ssl
from pathlib import Path

from cryptography import x509

from modelinfer_controller.app.serving_certificate import _self_signed_pem, context_of_files, self_signed_context


def shown(server: ssl.SSLContext) -> x509.Certificate:
    """The certificate of a handshake, which is carried out in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    waiting = list(sides)
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not waiting
    certificate = sides[0].getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


def write_pair(folder: Path) -> tuple[Path, Path]:
    pem = _self_signed_pem()
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(pem)
    return folder / "tls.crt", folder / "tls.key"


def test_a_certificate_is_made_for_this_host_and_another_for_the_next_process() -> None:
    first, second = shown(self_signed_context()), shown(self_signed_context())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert first.public_key() != second.public_key()


def test_a_renewed_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    context = context_of_files(*write_pair(tmp_path))
    before = shown(context)
    assert shown(context) == before
    write_pair(tmp_path)
    assert shown(context) != before


def test_files_that_cannot_be_used_leave_the_former_certificate(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    context = context_of_files(certificate, key)
    before = shown(context)
    key.write_text("half written")
    assert shown(context) == before
    key.unlink()
    assert shown(context) == before
    write_pair(tmp_path)
    assert shown(context) != before
