"""Resumable uploads: tus 1.0 with creation, expiration, checksum and termination.

Source: https://tus.io/protocols/resumable-upload (1.0.0). For files beyond the limit of a plain
upload; their size limit is FOX_GATEWAY_LARGE_MAX_FILE_BYTES, and rows are not limited. An upload is
a folder of the spool: `data` grows, `info.json` says what it is to become. The last PATCH answers
with the import's address in Location.
"""

import base64
import binascii
import fcntl
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Request, Response

from producers.gateway import accepting, forms, kinds
from producers.gateway.access import Account
from producers.gateway.gateway import Gateway, Needs, of
from producers.gateway.problems import RESPONSES, Problem

VERSION = "1.0.0"
_EXTENSIONS = "creation,expiration,checksum,termination"
_ALGORITHMS = ("sha1", "sha256", "md5")
_BLOCK = 1 << 20
_CHECKED_BYTES = 64 << 20
_MEDIA_TYPE = "application/offset+octet-stream"
_MISMATCH = 460

router = APIRouter(prefix="/api/imports/uploads", tags=["resumable uploads"])

_PROBLEM = {**RESPONSES[404], "description": "Problem"}
_RESPONSES: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 403, 404, 408, 409, 411, 412, 413, 415, 423, _MISMATCH), _PROBLEM
)

Sender = Annotated[Account, Depends(Needs("import", "piece"))]
Resumable = Annotated[str, Header(alias="Tus-Resumable")]


def _check_version(version: str) -> None:
    if version != VERSION:
        raise Problem(
            412, "tus-version", f"Seule la version {VERSION} de tus est prise en charge.",
            headers={"Tus-Version": VERSION},
        )  # fmt: skip


@router.options("/", status_code=204, summary="What is supported")
async def options(request: Request) -> Response:
    """Version, extensions and the largest file."""
    return Response(
        status_code=204,
        headers={
            "Tus-Resumable": VERSION,
            "Tus-Version": VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
            "Tus-Max-Size": str(of(request).limits.large_max_file_bytes),
        },
    )


@router.post("/", status_code=201, responses=_RESPONSES, summary="Begin an upload")
async def create(
    request: Request,
    account: Annotated[Account, Depends(Needs("import", "import"))],
    tus_resumable: Resumable,
    upload_length: Annotated[int, Header(gt=0)],
    upload_metadata: Annotated[str, Header(max_length=8000)],
) -> Response:
    """Upload-Metadata holds filename and the fields of a plain upload."""
    _check_version(tus_resumable)
    gateway = of(request)
    if upload_length > gateway.limits.large_max_file_bytes:
        most = gateway.limits.large_max_file_bytes
        raise Problem(
            413, "too-large", f"Le fichier dépasse {most / 2**30:.0f} Gio.", max_bytes=most
        )
    fields = _metadata(upload_metadata)
    forms.read(fields)
    name = kinds.safe_name(fields.get("filename", ""))
    kinds.check(name, fields.get("filetype", ""), b"PK\x03\x04" if name.endswith(".xlsx") else b"")
    upload_id = str(uuid4())
    info = {
        "length": upload_length,
        "fields": {key: value for key, value in fields.items() if key != "filetype"},
        "name": name,
        "account": account.name,
        "token_id": account.token_id,
        "ends_at": (
            datetime.now(UTC) + timedelta(hours=gateway.limits.large_upload_hours)
        ).isoformat(),
        "import_id": None,
    }
    await gateway.receiving.in_thread(_create, gateway.spool.large / upload_id, info)
    return _answer(201, info, 0, {"Location": f"/api/imports/uploads/{upload_id}"})


def _create(folder: Path, info: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "data").touch()
    _write_info(folder, info)


def _write_info(folder: Path, info: dict[str, Any]) -> None:
    new = folder / "info.new"
    new.write_text(json.dumps(info), encoding="utf-8")
    new.rename(folder / "info.json")


def _metadata(header: str) -> dict[str, str]:
    fields = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        name, _, encoded = pair.partition(" ")
        try:
            fields[name] = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise Problem(
                400, "tus-metadata", "Upload-Metadata est mal formé : « nom valeur-en-base64 »."
            ) from error
    return fields


@router.head("/{upload_id}", responses=_RESPONSES, summary="How much is here")
async def offset(
    request: Request, account: Sender, upload_id: str, tus_resumable: Resumable
) -> Response:
    """Upload-Offset is where to go on."""
    _check_version(tus_resumable)
    folder, info = _open(of(request), upload_id, account)
    headers = {"Upload-Length": str(info["length"]), "Cache-Control": "no-store"}
    return _answer(200, info, _size(folder, info), headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    responses=_RESPONSES,
    summary="Send a piece",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def patch(
    request: Request,
    account: Sender,
    upload_id: str,
    tus_resumable: Resumable,
    upload_offset: Annotated[int, Header(ge=0)],
    upload_checksum: Annotated[str | None, Header()] = None,
) -> Response:
    """What arrived is kept, whatever becomes of the connection; with a checksum all or nothing is."""
    _check_version(tus_resumable)
    if request.headers.get("content-type") != _MEDIA_TYPE:
        raise Problem(415, "tus-content-type", f"Envoyez le morceau en {_MEDIA_TYPE}.")
    gateway = of(request)
    folder, info = _open(gateway, upload_id, account)
    async with gateway.receiving.place():
        with _alone(folder):
            if _size(folder, info) != upload_offset:
                raise Problem(409, "tus-offset", "Upload-Offset n'est pas où en est l'envoi.")
            if info["import_id"] is None:
                await _append(request, gateway, folder / "data", info["length"], upload_checksum)
                if _size(folder, info) == info["length"]:
                    await _complete(request, gateway, folder, info, account)
    headers = {"Location": accepting.location(info["import_id"])} if info["import_id"] else {}
    return _answer(204, info, _size(folder, info), headers)


async def _append(
    request: Request, gateway: Gateway, path: Path, length: int, checksum: str | None
) -> None:
    begin = path.stat().st_size
    if checksum is not None:
        await _append_checked(request, gateway, path, length - begin, checksum)
        return
    buffer = bytearray()
    with path.open("ab") as file:
        try:
            async for block in _within(gateway.receiving.blocks(request), length - begin):
                buffer += block
                if len(buffer) >= _BLOCK:
                    await gateway.receiving.in_thread(file.write, bytes(buffer))
                    buffer.clear()
        except _BeyondError:
            # Nothing of it: it is not what was announced.
            buffer.clear()
            file.truncate(begin)
            raise
        finally:
            file.write(buffer)


class _BeyondError(Problem):
    """More came than was announced."""


async def _append_checked(
    request: Request, gateway: Gateway, path: Path, room: int, checksum: str
) -> None:
    digest, expected = _digest(checksum)
    buffer = bytearray()
    async for block in _within(gateway.receiving.blocks(request), min(room, _CHECKED_BYTES)):
        buffer += block
        digest.update(block)
    if digest.digest() != expected:
        raise Problem(_MISMATCH, "tus-checksum", "Le morceau est arrivé abîmé.")
    with path.open("ab") as file:
        await gateway.receiving.in_thread(file.write, buffer)


async def _within(blocks: AsyncIterator[bytes], room: int) -> AsyncIterator[bytes]:
    """The blocks that fit; raises Problem at the first that does not."""
    async for block in blocks:
        room -= len(block)
        if room < 0:
            raise _BeyondError(413, "too-large", "Le morceau dépasse la taille annoncée.")
        yield block


def _digest(checksum: str) -> tuple[Any, bytes]:
    name, _, encoded = checksum.partition(" ")
    if name not in _ALGORITHMS:
        raise Problem(400, "tus-checksum", f"Upload-Checksum : {', '.join(_ALGORITHMS)}.")
    try:
        return hashlib.new(name, usedforsecurity=False), base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(400, "tus-checksum", "Upload-Checksum n'est pas en base64.") from error


async def _complete(
    request: Request, gateway: Gateway, folder: Path, info: dict[str, Any], account: Account
) -> None:
    path = folder / "data"
    with path.open("rb") as file:
        head = file.read(1024)
    kinds.check(info["name"], "", head)
    sha256 = await gateway.receiving.in_thread(_hash, path)
    received = accepting.Received(path, info["name"], sha256, info["length"])
    form = forms.read(info["fields"])
    job = await gateway.receiving.in_thread(
        accepting.accept, gateway, received, form, info["account"], None
    )
    info["import_id"] = job.id
    await gateway.receiving.in_thread(_write_info, folder, info)
    gateway.accepted(job)
    gateway.audit.write(request, account, "import", job.id, job.file_name)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@router.delete("/{upload_id}", status_code=204, responses=_RESPONSES, summary="Give an upload up")
async def terminate(
    request: Request, account: Sender, upload_id: str, tus_resumable: Resumable
) -> Response:
    """Removes what has arrived; an import that it became goes on."""
    _check_version(tus_resumable)
    folder, _ = _open(of(request), upload_id, account)
    with _alone(folder):
        shutil.rmtree(folder, ignore_errors=True)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


def _open(gateway: Gateway, upload_id: str, account: Account) -> tuple[Path, dict[str, Any]]:
    unknown = Problem(404, "unknown-upload", "Cet envoi n'existe pas ou a expiré : recommencez-le.")
    folder = gateway.spool.large / upload_id
    if folder.parent != gateway.spool.large or not folder.is_dir():
        raise unknown
    try:
        info: dict[str, Any] = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise unknown from None
    if info["token_id"] != account.token_id:
        raise unknown
    if datetime.fromisoformat(info["ends_at"]) < datetime.now(UTC):
        shutil.rmtree(folder, ignore_errors=True)
        raise unknown
    if info["import_id"] is None and not (folder / "data").exists():
        raise unknown  # it became an import just before the gateway died: to send it again says so
    return folder, info


def _size(folder: Path, info: dict[str, Any]) -> int:
    if info["import_id"] is not None:
        return int(info["length"])
    return (folder / "data").stat().st_size


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(
                423, "tus-locked", "Un autre morceau de cet envoi est en cours.",
                headers={"Retry-After": "1"},
            ) from None  # fmt: skip
        yield


def _answer(status: int, info: dict[str, Any], size: int, headers: dict[str, str]) -> Response:
    ends = format_datetime(datetime.fromisoformat(info["ends_at"]), usegmt=True)
    own = {"Tus-Resumable": VERSION, "Upload-Offset": str(size), "Upload-Expires": ends}
    return Response(status_code=status, headers={**own, **headers})
