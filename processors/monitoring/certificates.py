"""Expiry of the certificates that servers show to clients.

They are read and not verified: the expiry of an untrusted or expired certificate is reported as well.
The clients of the servers verify them.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import structlog

from processors import metrics

log = structlog.get_logger(__name__)

LOOK_SECONDS = 3600.0
CONNECT_SECONDS = 5.0

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class NoTlsError(Exception):
    """The server speaks no TLS."""


def ask_postgresql(connection: socket.socket) -> None:
    """PostgreSQL's protocol, message SSLRequest. Raises NoTlsError."""
    connection.sendall(_SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise NoTlsError


class Endpoint(NamedTuple):
    """A server; `ask` sends what its protocol requires before TLS."""

    host: str
    port: int
    ask: Callable[[socket.socket], None] = lambda connection: None


async def watch(endpoints: Mapping[str, Endpoint]) -> None:
    """Reads all certificates every LOOK_SECONDS until it is cancelled."""
    while True:
        for server, endpoint in endpoints.items():
            try:
                ends = await asyncio.to_thread(expiry, endpoint)
                metrics.CERTIFICATE_EXPIRY.labels(server).set(ends.timestamp())
            except NoTlsError:
                pass
            except (OSError, ValueError) as error:  # server_checks reports servers that are away
                log.warning(
                    "certificate is not known", action="certificate_unknown", server=server,
                    reason=repr(error),
                )  # fmt: skip
        await asyncio.sleep(LOOK_SECONDS)


def expiry(endpoint: Endpoint) -> datetime:
    """The end of the certificate. Raises NoTlsError, OSError, and ValueError if it is malformed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = endpoint.host, endpoint.port
    with socket.create_connection(address, CONNECT_SECONDS) as connection:
        endpoint.ask(connection)
        with context.wrap_socket(connection, server_hostname=endpoint.host) as secure:
            shown = secure.getpeercert(binary_form=True)
    if not shown:
        raise ValueError("the server shows no certificate")
    # Megabytes of a library that a worker without encrypted servers does not need.
    from cryptography.x509 import load_der_x509_certificate

    return load_der_x509_certificate(shown).not_valid_after_utc
