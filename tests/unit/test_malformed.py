"""Whatever a request is made of, its answer is not a fault of the gateway, and the next one is answered."""

import json
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fix_server import Server, serving

TOKEN = b"Authorization: Bearer fox_tests_x\r\n"
TUS = b"Tus-Resumable: 1.0.0\r\n"
UPLOAD = b"/api/imports/upload/"
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsiren;nom\n1;A\r\n'
TYPE = b'--x\r\nContent-Disposition: form-data; name="import_type"\r\n\r\nENTREPRISE\r\n'
SURROGATE = b'"\\ud800"'


def request(
    method: bytes, path: bytes, headers: bytes = b"", body: bytes = b"", media: bytes = b""
) -> bytes:
    kind = b"Content-Type: %s\r\n" % media if media else b""
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % (method, path)
    return head + TOKEN + headers + kind + length + b"\r\n" + body


def form(name: bytes, value: bytes) -> bytes:
    """An upload with a further field."""
    field = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
    return request(
        b"POST", UPLOAD, body=TYPE + field + FILE + b"--x--\r\n",
        media=b"multipart/form-data; boundary=x",
    )  # fmt: skip


def metadata(**fields: bytes) -> bytes:
    metadata = ",".join(f"{name} {b64encode(value).decode()}" for name, value in fields.items())
    return TUS + b"Upload-Length: 9\r\nUpload-Metadata: " + metadata.encode() + b"\r\n"


DEEP = b"[" * 20_000
BOUNDARIES = [
    b"", b"boundary", b"boundary=", b'boundary=""', b"boundary=" + b"a" * 5000, b"boundary=\xff\xfe",
    b"boundary=x; boundary=y", b'boundary="x', b"boundary*=utf-8''x", b"boundary=-", b"boundary=x y",
]  # fmt: skip
PARTS = [
    b"--x", b"--x\r\n", b"--x--", b"--x\r\n\r\n\r\n--x--\r\n", b"--x\r\n: \r\n\r\n--x--\r\n",
    b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
    b"--x\r\nContent-Disposition: form-data; name=\xff\r\n\r\na\r\n--x--\r\n",
    b"--x\r\nContent-Disposition: form-data; name*=utf-8''%ff\r\n\r\na\r\n--x--\r\n",
    b"--x\r\nA: " + b"a" * 100_000 + b"\r\n\r\na\r\n--x--\r\n",
    b"--x\r\n" + b"A: a\r\n" * 20_000 + b"\r\na\r\n--x--\r\n",
    b"--y\r\n\r\n--x--\r\n", b"\0" * 1000, FILE * 50 + b"--x--\r\n",
    TYPE * 100 + FILE + b"--x--\r\n", FILE.replace(b"a.csv", b"a\0b.csv") + TYPE + b"--x--\r\n",
    FILE.replace(b"a.csv", b"..\\..\\%00" + b"a" * 1000) + TYPE + b"--x--\r\n",
    FILE.replace(b"a.csv", b"\xed\xa0\x80.csv") + TYPE + b"--x--\r\n",
]  # fmt: skip
IDS = [
    "a" * 300, "a" * 5000, "%00", "..", "%2e%2e%2f", "%ff", "%ed%a0%80", quote("é\n"), "*", "%",
    "00000000-0000-0000-0000-000000000001%00", "a/b",
]  # fmt: skip
LOGIN_KINDS = [
    b"application/x-www-form-urlencoded; charset=utf-7", b"multipart/form-data; boundary=x",
    b"multipart/form-data; boundary=x; charset=unicode_escape",
    b"multipart/form-data; boundary=x; charset=none", b"application/json", b"text/plain", b"\xff",
    b"multipart/form-data", b"multipart/form-data; boundary=" + b"a" * 5000,
]  # fmt: skip
LOGIN_BODIES = [
    b"token=%00&vers=%0d%0aX: y", b"token=%ed%a0%80", b"&&&===", b"%", b"\xff" * 100, DEEP[:10_000],
    b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n\\ud800\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="vers"\r\n\r\n/\\ud800\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="token"; filename="a"\r\n\r\na\r\n--x--\r\n',
]  # fmt: skip

REQUESTS = {
    "boundary": [
        request(b"POST", UPLOAD, body=FILE, media=b"multipart/form-data; " + boundary)
        for boundary in BOUNDARIES
    ],
    "multipart": [
        request(b"POST", UPLOAD, body=body, media=b"multipart/form-data; boundary=x")
        for body in PARTS
    ],
    "columns": [
        form(b"columns", value)
        for value in (
            DEEP, b'{"a":' * 5000, b"{%s: %s}" % (SURROGATE, SURROGATE), b"{%s: 1}" % SURROGATE,
            b'{"a": %s}' % SURROGATE, b'{"\\u0000": "nom"}', b'{"a": NaN}', b'{"a": 1e999}', b"\xff",
            json.dumps({"a" * 1000: "b" * 1000}).encode(), b"9" * 5000, b'"\\ud800',
        )
    ],
    "fields": [
        form(name, value)
        for name in (b"encoding", b"delimiter", b"sheet", b"policy", b"import_type", b"force")
        for value in (b"\0", b"a\0b", b"\xff", b"\xed\xa0\x80", b"a" * 1000, b"\r\n")
    ],
    "ids": [
        request(method, path % each.encode(), TUS)
        for each in IDS
        for method, path in (
            (b"GET", b"/api/imports/%s/"), (b"GET", b"/api/imports/%s/events"),
            (b"GET", b"/api/imports/%s/errors.csv"), (b"POST", b"/api/imports/%s/cancel/"),
            (b"HEAD", b"/api/imports/uploads/%s"), (b"DELETE", b"/api/imports/uploads/%s"),
            (b"PATCH", b"/api/imports/uploads/%s"), (b"GET", b"/static/%s"), (b"GET", b"/%s"),
            (b"GET", b"/imports/%s"), (b"GET", b"/login?vers=%s"), (b"GET", b"/api/imports/?search=%s"),
        )
    ],
    "login": [
        request(b"POST", b"/login", body=body, media=kind)
        for kind in LOGIN_KINDS
        for body in LOGIN_BODIES
    ],
    "tus": [
        request(b"POST", b"/api/imports/uploads/", headers)
        for headers in (
            metadata(filename=b"\xed\xa0\x80"), metadata(filename=b"a\0.csv"),
            metadata(filename=b"a" * 3000 + b".csv", import_type=b"VILLE"),
            metadata(filename=b"a.csv", import_type=b"VILLE", columns=DEEP[:3000]),
            metadata(filename=b"a.csv", import_type=b"VILLE", sheet=b"\0"),
            TUS + b"Upload-Length: 9\r\nUpload-Metadata: \xff \xff,,, ,a\r\n",
            TUS + b"Upload-Length: %s\r\nUpload-Metadata: a\r\n" % (b"9" * 5000),
            TUS + b"Upload-Length: 1_0\r\nUpload-Metadata: a\r\n",
        )
    ],
    "headers": [
        request(b"GET", b"/api/imports/", headers)
        for headers in (
            b"Cookie: fox_session=\xff.\xff.\xff.\xff\r\n", b"Cookie: " + b";=" * 3000 + b"\r\n",
            b"X-Forwarded-For: " + b"," * 5000 + b"\r\n", b"X-Forwarded-For: \xff\r\n",
            b"X-Forwarded-Proto: \xff\r\n", b"Accept: \xff\r\n", b"If-None-Match: \xff\r\n",
            b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Upgrade: h2c\r\n",
        )
    ] + [request(b"POST", UPLOAD, b"Idempotency-Key: %s\r\n" % key) for key in (b"\xff", b"a" * 300)],
}  # fmt: skip

RAW = [
    b"\r\n\r\n", b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/0.9\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", b"GET //x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\na",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]  # fmt: skip


async def status(server: Server, asked: bytes) -> int:
    """Of the final answer; 0 if there is none."""
    peer = await server.connect()
    await peer.send(asked)
    answer = (await peer.answer()).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize("kind", REQUESTS)
async def test_malformed_requests(tmp_path: Path, kind: str) -> None:
    """Boundaries, forms, JSON, fields, ids, bodies of a login, uploads and headers: none is answered 5xx."""
    async with serving(tmp_path, logins_per_minute=1_000_000, head_seconds=0.5) as server:
        found = {asked[:600]: await status(server, asked) for asked in REQUESTS[kind]}

        wrong = [(code, asked) for asked, code in found.items() if not 200 <= code < 500]
        assert wrong == []
        assert any(code >= 400 for code in found.values())
        assert list((tmp_path / "incoming").iterdir()) == []


async def test_what_is_not_http(tmp_path: Path) -> None:
    """It is refused or the connection is closed, and others are served."""
    async with serving(tmp_path, head_seconds=0.5) as server:
        found = {asked[:600]: await status(server, asked) for asked in RAW}

        assert {asked: code for asked, code in found.items() if code >= 500} == {}
        assert (await server.health()).startswith(b"HTTP/1.1 200")
