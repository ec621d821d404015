"""Forms and resumable uploads: no bytes are answered as a fault of the gateway, and nothing stays of them."""

import asyncio
import tempfile
from base64 import b64encode
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.fix_application import TUS, UPLOADS, Answer, Application
from tests.fuzz.damage import DAMAGES, Damage, damaged

_MEDIA = "multipart/form-data; boundary=x"
_FORM = (
    b'--x\r\nContent-Disposition: form-data; name="import_type"\r\n\r\nENTREPRISE\r\n'
    b'--x\r\nContent-Disposition: form-data; name="columns"\r\n\r\n{"a": "nom"}\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n'
    b"Content-Type: text/csv\r\n\r\nsiren;a\n732829320;A\n\r\n--x--\r\n"
)
_PIECES = st.sampled_from(
    [b"\r\n", b"--x", b"--x--", b'"', b";", b"name=", b"filename*=utf-8''%ff", b"\r\n\r\n", b"\xed\xa0\x80"]
) | st.binary(max_size=6)  # fmt: skip
_INSERTED = st.lists(st.tuples(st.floats(0, 1), st.just("insert"), _PIECES), max_size=4)
_METHODS = st.sampled_from(["PATCH", "HEAD", "DELETE", "POST", "GET", "OPTIONS"])
_LATIN = st.text(
    st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30
)  # what a header may hold
_NUMBERS = st.sampled_from(["0", "9", "-1", "1e9", "99999999999999999999", "", " 3", "0x9"])
_HEADERS = st.dictionaries(
    st.sampled_from(
        ["Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Checksum",
         "Upload-Metadata", "Upload-Concat", "Tus-Resumable", "Content-Type"]
    ),
    _NUMBERS | _LATIN | st.sampled_from(["sha1 AAAA", "md5 x", "application/offset+octet-stream", "1.0.0"]),
)  # fmt: skip


@cache
def _application() -> tuple[asyncio.Runner, Application]:
    runner, folder = asyncio.Runner(), Path(tempfile.mkdtemp())
    return runner, runner.run(_made(folder))


async def _made(folder: Path) -> Application:
    return Application(folder)


def _ask(method: str, path: str, headers: dict[str, str], blocks: list[bytes]) -> Answer:
    runner, application = _application()
    answer = runner.run(application.ask(method, path, headers, blocks))
    assert answer.status < 500 or answer.status in (503, 507), (answer, method, path, headers)
    return answer


@given(
    DAMAGES,
    _INSERTED,
    st.sampled_from([_MEDIA, "multipart/form-data; boundary=--x"]),
    st.integers(1, 400),
)
def fuzz_multipart(damages: list[Damage], inserted: list[Damage], media: str, size: int) -> None:
    """A form with damage, in blocks of any size."""
    body = damaged(damaged(_FORM, inserted), damages)
    blocks = [body[at : at + size] for at in range(0, len(body), size)]
    answer = _ask("POST", "/api/imports/upload/", {"Content-Type": media}, blocks)
    _, application = _application()
    assert list((application.spool.folder / "incoming").iterdir()) == []
    assert answer.status != 200


@given(
    st.lists(st.tuples(_METHODS, _HEADERS, st.binary(max_size=30)), min_size=1, max_size=4),
    st.integers(0, 30),
    st.binary(max_size=30),
)
def fuzz_tus(steps: list[tuple[str, dict[str, str], bytes]], length: int, name: bytes) -> None:
    """An upload that is created, and then requests that may fit to it or not."""
    metadata = f"filename {b64encode(name).decode()},import_type {b64encode(b'VILLE').decode()}"
    head = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
    made = _ask("POST", UPLOADS, head, [])
    path = made.headers.get("location", f"{UPLOADS}x")
    for method, headers, body in steps:
        _ask(method, path, {**TUS, "Upload-Offset": "0", **headers}, [body])
    _ask("DELETE", path, TUS, [])
