"""When a certificate ends, as its server shows it."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

import pytest

from processors.monitoring.certificates import Endpoint, NoTlsError, ask_postgresql, expiry

pytestmark = pytest.mark.skipif(
    which("openssl") is None, reason="OPENSSL IS MISSING: apt install openssl"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 100 days and its key, in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-days", "100",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def end_of(certificate: Path) -> datetime:
    told = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = ssl.cert_time_to_seconds(told.stdout.strip().removeprefix("notAfter="))
    return datetime.fromtimestamp(seconds, UTC)


@contextmanager
def server(certificate: Path | None, begin: bytes = b"", answer: bytes = b"") -> Iterator[int]:
    """Takes one connection, reads `begin`, answers, and goes on with TLS where it has a certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                if begin:
                    assert connection.recv(len(begin)) == begin
                    connection.sendall(answer)
                if certificate is not None:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(certificate)
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


SSL_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))


def test_the_end_of_a_certificate(certificate: Path) -> None:
    """Of one that nobody trusts, too."""
    with server(certificate) as port:
        assert expiry(Endpoint("127.0.0.1", port)) == end_of(certificate)


def test_postgresql_is_asked_for_tls_first(certificate: Path) -> None:
    with server(certificate, SSL_REQUEST, b"S") as port:
        assert expiry(Endpoint("127.0.0.1", port, ask_postgresql)) == end_of(certificate)
    with server(None, SSL_REQUEST, b"N") as port, pytest.raises(NoTlsError):
        expiry(Endpoint("127.0.0.1", port, ask_postgresql))
