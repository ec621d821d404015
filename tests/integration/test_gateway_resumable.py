"""Resumable uploads by tus 1.0: creation, offset, pieces, checksums, expiration, termination."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from tests.fix_gateway import Served, companies
from tests.fix_stack import eventually

UPLOADS = "/api/imports/uploads/"
VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = {**VERSION, "Content-Type": "application/offset+octet-stream"}


def metadata(**fields: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in fields.items())


def begun(client: httpx.Client, length: int, **fields: str) -> httpx.Response:
    told = {"filename": "grand.csv", "import_type": "ENTREPRISE", **fields}
    headers = {**VERSION, "Upload-Length": str(length), "Upload-Metadata": metadata(**told)}
    return client.post(UPLOADS, headers=headers)


def test_a_file_in_pieces(gateway: Callable[..., Served]) -> None:
    """Pieces survive the gateway's death, damaged ones do not count, and the last becomes an import."""
    served = gateway(FOX_GATEWAY_MAX_FILE_BYTES="1000", FOX_GATEWAY_MAX_ROWS="10")
    served.site.worker()
    content = companies(1, 20_000)
    half = len(content) // 2
    with served.client() as client:
        made = begun(client, len(content))
        assert made.status_code == 201
        where = made.headers["location"]
        assert made.headers["upload-expires"].endswith("GMT")

        def send(offset: int, piece: bytes, **headers: str) -> httpx.Response:
            told = {**PIECE, "Upload-Offset": str(offset), **headers}
            return client.patch(where, content=piece, headers=told)

        first = send(0, content[:half])
        assert (first.status_code, first.headers["upload-offset"]) == (204, str(half))
        assert send(0, content[:half]).status_code == 409
        wrong = f"sha256 {base64.b64encode(hashlib.sha256(b'else').digest()).decode()}"
        damaged = send(half, content[half:], **{"Upload-Checksum": wrong})
        assert damaged.status_code == 460
        assert send(half, content).status_code == 413

        served.kill()
        served.start()
        here = client.head(where, headers=VERSION)
        assert here.headers["upload-offset"] == str(half)
        assert here.headers["upload-length"] == str(len(content))
        right = f"sha256 {base64.b64encode(hashlib.sha256(content[half:]).digest()).decode()}"
        last = send(half, content[half:], **{"Upload-Checksum": right})
        assert last.status_code == 204, last.text
        import_id = last.headers["location"].split("/")[-2]
        assert client.head(where, headers=VERSION).headers["upload-offset"] == str(len(content))

    assert served.ended(import_id)["inserted"] == 20_000


def test_a_piece_that_is_cut_off(gateway: Callable[..., Served]) -> None:
    """What arrived of a piece is kept when its sender vanishes."""
    served = gateway()
    content = companies(1, 5_000)
    with served.client() as client:
        where = begun(client, len(content)).headers["location"]

        def vanishing() -> Any:
            yield content[:1000]
            raise ConnectionAbortedError

        headers = {**PIECE, "Upload-Offset": "0", "Content-Length": str(len(content))}
        with suppress(ConnectionAbortedError):
            client.patch(where, content=vanishing(), headers=headers)

        def offset() -> int:
            return int(client.head(where, headers=VERSION).headers["upload-offset"])

        assert eventually(lambda: offset() == 1000)


def test_what_is_refused(served: Served) -> None:
    """Another version, no such upload, a foreign one, bad metadata; DELETE gives an upload up."""
    stranger = served.new_token("un autre", "import")
    with served.client() as client, served.client(stranger) as other:
        assert client.options(UPLOADS).headers["tus-extension"].startswith("creation")
        old = client.post(
            UPLOADS, headers={"Tus-Resumable": "0.2", "Upload-Length": "1", "Upload-Metadata": ""}
        )
        assert (old.status_code, old.headers["tus-version"]) == (412, "1.0.0")
        assert begun(client, 10, filename="x.pdf").status_code == 415
        assert begun(client, 10, import_type="PLANETE").status_code == 422
        assert begun(client, 1 << 60).status_code == 413
        where = begun(client, 10).headers["location"]
        assert other.head(where, headers=VERSION).status_code == 404
        assert client.head(f"{UPLOADS}..", headers=VERSION).status_code in (404, 405)
        plain = client.patch(where, headers={**VERSION, "Upload-Offset": "0"}, content=b"x")
        assert plain.status_code == 415
        assert client.delete(where, headers=VERSION).status_code == 204
        assert client.head(where, headers=VERSION).status_code == 404
