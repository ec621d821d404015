"""Resumable uploads: tus 1.0 with creation, expiration, checksum and termination.

Source: https://tus.io/protocols/resumable-upload (1.0.0). For files beyond the limit of a plain
upload; their size limit is FOX_GATEWAY_LARGE_MAX_FILE_BYTES, and rows are not limited. An upload is
a folder of the spool: `data` grows, `info.json` is what it is to become. The last PATCH answers
with the import's address in Location.
"""

import base64
import binascii
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Request, Response

from producers.gateway.access.accounts import Account
from producers.gateway.problems import RESPONSES, Problem
from producers.gateway.shared import Gateway, Needs, of
from producers.gateway.spool.private_files import sync
from producers.gateway.spool.spool import Spool, alone, write_info
from producers.gateway.uploads import acceptance, file_type, pieces, quota
from producers.gateway.uploads.form import form_of
from producers.gateway.uploads.remembered import with_remembered
from schemas.values.stored import is_uuid

VERSION = "1.0.0"
_EXTENSIONS = "creation,expiration,checksum,termination"
_MEDIA_TYPE = "application/offset+octet-stream"
router = APIRouter(prefix="/api/imports/uploads", tags=["resumable uploads"])

_PROBLEM = {**RESPONSES[404], "description": "Problem"}
_RESPONSES: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 403, 404, 408, 409, 411, 412, 413, 415, 423, pieces.MISMATCH), _PROBLEM
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
            "Tus-Checksum-Algorithm": ",".join(pieces.ALGORITHMS),
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
    form_of(fields)
    name = file_type.safe_name(fields.get("filename", ""))
    file_type.check_name(name, fields.get("filetype", ""))
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
    await gateway.receiving.in_thread(quota.begin_upload, gateway, upload_id, info)
    return _answer(201, _Upload(info, 0), {"Location": f"/api/imports/uploads/{upload_id}"})


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
    gateway = of(request)
    folder = _folder(gateway, upload_id)
    upload = _look(gateway.spool, folder, account)
    if upload is None:
        with _alone(folder):  # or else it becomes an import at this moment
            upload = _found(gateway, folder, account)
    await gateway.receiving.in_thread(_keep, folder)
    length = str(upload.info["length"])
    return _answer(200, upload, {"Upload-Length": length, "Cache-Control": "no-store"})


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
    folder = _folder(gateway, upload_id)
    async with gateway.receiving.place(account.name):
        with _alone(folder):
            # No waiting from here to the body: it is gone with a sender who vanishes.
            upload = _found(gateway, folder, account)
            if upload.offset != upload_offset:
                raise Problem(409, "tus-offset", "Upload-Offset n'est pas où en est l'envoi.")
            if upload.room:
                data = folder / "data"
                with data.open("r+b", buffering=0) as file:
                    file.truncate(upload_offset)
                    file.seek(upload_offset)
                    await pieces.append(request, gateway, file, upload.room, upload_checksum)
                if data.stat().st_size == upload.info["length"]:
                    await _complete(request, gateway, folder, upload.info, account)
                upload = _found(gateway, folder, account)
            await gateway.receiving.in_thread(_keep, folder)
    return _answer(204, upload, {})


async def _complete(
    request: Request, gateway: Gateway, folder: Path, info: dict[str, Any], account: Account
) -> None:
    path = folder / "data"
    with path.open("rb") as file:
        head = file.read(1024)
    file_type.check(info["name"], "", head)
    async with gateway.hashing.turn(account.name):
        sha256 = await gateway.receiving.in_thread(_hash, path)
    received = acceptance.Received(path, info["name"], sha256, info["length"])
    form = form_of(info["fields"])
    spooled = acceptance.spooled_file(gateway, received, form, info["account"], None)
    spooled = await with_remembered(gateway, account, spooled, path, form)
    # Before the import has the data: a request that finds it gone finds the import.
    info["import_id"] = spooled.id
    await gateway.receiving.in_thread(write_info, folder, info)
    await acceptance.accept(gateway, spooled, path)
    gateway.audit.write(request, account, "import", spooled.id, spooled.file_name)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@router.delete("/{upload_id}", status_code=204, responses=_RESPONSES, summary="Give an upload up")
async def terminate(
    request: Request, account: Sender, upload_id: str, tus_resumable: Resumable
) -> Response:
    """Removes what has arrived; an import that it became goes on."""
    _check_version(tus_resumable)
    gateway = of(request)
    folder = _folder(gateway, upload_id)
    with _alone(folder):
        _found(gateway, folder, account)
        await gateway.receiving.in_thread(shutil.rmtree, folder, ignore_errors=True)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


class _Upload(NamedTuple):
    """`offset`: how much of it is here."""

    info: dict[str, Any]
    offset: int

    @property
    def room(self) -> int:
        """Bytes that are to come; none if it is an import."""
        return int(self.info["length"]) - self.offset


def _folder(gateway: Gateway, upload_id: str) -> Path:
    folder = gateway.spool.large / upload_id
    if not is_uuid(upload_id) or not folder.is_dir():
        raise _unknown()
    return folder


def _unknown() -> Problem:
    return Problem(404, "unknown-upload", "Cet envoi n'existe pas ou a expiré : recommencez-le.")


def _found(gateway: Gateway, folder: Path, account: Account) -> _Upload:
    """As `_look`. Raises Problem 404."""
    upload = _look(gateway.spool, folder, account)
    if upload is None:
        raise _unknown()
    return upload


def _look(spool: Spool, folder: Path, account: Account) -> _Upload | None:
    """The upload; None if the account has none there, or its data is gone.

    Until it is an import its last byte is to come, even if that is here: a client that learns that
    all is here sends nothing more, and if the gateway died then, no import would follow.
    """
    with suppress(FileNotFoundError):
        info: dict[str, Any] = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        ended = datetime.fromisoformat(info["ends_at"]) < datetime.now(UTC)
        if ended or info["token_id"] != account.token_id:
            return None
        length = int(info["length"])
        if spool.find(info["import_id"] or "") is not None:
            return _Upload(info, length)
        here = (folder / "data").stat().st_size
        return _Upload(info, min(here, length - 1, pieces.checked(folder, here)))
    return None


def _keep(folder: Path) -> None:
    """Brings to the disk what is here, before it is reported; a gateway that was killed left some in
    memory. What an import has is there already."""
    with suppress(FileNotFoundError):
        sync(folder / "data")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with ExitStack() as held:
        try:
            mine = held.enter_context(alone(folder))
        except FileNotFoundError:
            raise _unknown() from None
        if not mine:
            raise Problem(
                423, "tus-locked", "Un autre morceau de cet envoi est en cours.",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        yield


def _answer(status: int, upload: _Upload, headers: dict[str, str]) -> Response:
    """Names the import that the upload is."""
    ends = format_datetime(datetime.fromisoformat(upload.info["ends_at"]), usegmt=True)
    own = {"Tus-Resumable": VERSION, "Upload-Offset": str(upload.offset), "Upload-Expires": ends}
    if not upload.room:
        own["Location"] = acceptance.location(upload.info["import_id"])
    return Response(status_code=status, headers={**own, **headers})
