"""When the certificates of the servers end, as they show them to whoever connects.

They are read and not judged: one that is not trusted, or has ended, tells its end as well. The clients
of the servers do the judging.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from processors import metrics

log = structlog.get_logger(__name__)

LOOK_SECONDS = 3600.0
CONNECT_SECONDS = 5.0

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)

_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME = 0x30, 0x02, 0xA0, 0x17


class NoTlsError(Exception):
    """The server speaks no TLS."""


def ask_postgresql(connection: socket.socket) -> None:
    """PostgreSQL's protocol, message SSLRequest. Raises NoTlsError."""
    connection.sendall(_SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise NoTlsError


class Endpoint(NamedTuple):
    """A server; `ask` is what has to be said before TLS begins."""

    host: str
    port: int
    ask: Callable[[socket.socket], None] = lambda connection: None


async def watch(endpoints: Mapping[str, Endpoint]) -> None:
    """Looks at all of them, now and then, until it is cancelled."""
    while True:
        for server, endpoint in endpoints.items():
            try:
                ends = await asyncio.to_thread(expiry, endpoint)
                metrics.CERTIFICATE_EXPIRY.labels(server).set(ends.timestamp())
            except NoTlsError:
                pass
            except (OSError, ValueError) as error:  # whether it is there, others find out
                log.warning(
                    "certificate is not known", action="certificate_unknown", server=server,
                    reason=repr(error),
                )  # fmt: skip
        await asyncio.sleep(LOOK_SECONDS)


def expiry(endpoint: Endpoint) -> datetime:
    """The end of the certificate. Raises NoTlsError, OSError, and ValueError where it is none."""
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
    return not_after(shown)


def not_after(certificate: bytes) -> datetime:
    """The field notAfter of a certificate in DER (RFC 5280, 4.1). Raises ValueError."""
    try:
        fields = _Der(_Der(_Der(certificate).take(_SEQUENCE)).take(_SEQUENCE))
        if fields.tag == _VERSION:
            fields.take(_VERSION)
        fields.take(_INTEGER)  # the serial number
        fields.take(_SEQUENCE)  # the signature's algorithm
        fields.take(_SEQUENCE)  # the issuer
        validity = _Der(fields.take(_SEQUENCE))
        validity.take(validity.tag)
        tag = validity.tag
        text = validity.take(tag).decode("ascii")
    except IndexError as error:
        raise ValueError("the certificate is cut short") from error
    # Two digits of a year up to 2049, four after.
    if tag == _UTC_TIME:
        text = ("20" if text < "5" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


class _Der:
    """Values one after another, each a tag, a length and its bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def tag(self) -> int:
        return self._data[0]

    def take(self, tag: int) -> bytes:
        if self._data[0] != tag:
            raise ValueError(f"no certificate: a tag {self._data[0]:#x}, not {tag:#x}")
        length, begins = self._data[1], 2
        if length & 0x80:
            begins += length & 0x7F
            length = int.from_bytes(self._data[2:begins], "big")
        value, self._data = (
            self._data[begins : begins + length],
            self._data[begins + length :],
        )
        if len(value) < length:
            raise IndexError
        return value
