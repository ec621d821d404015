"""From a received file to an import: which id it has, or which import it is already.

The id follows from type, content and options (producers.imports.identity.upload_ids), so that it is known
before the file is read, and the same on every gateway.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from starlette.responses import JSONResponse

from producers.gateway.problems import Problem
from producers.gateway.shared import Gateway
from producers.gateway.spool import spool
from producers.gateway.uploads.form import Form
from producers.imports.identity import upload_ids
from producers.kafka.import_state import running
from schemas.import_types import ImportType
from schemas.records import ImportState


class Received(NamedTuple):
    """A file that is on the disk."""

    path: Path
    name: str
    sha256: str
    size: int


def spooled_file(
    gateway: Gateway, file: Received, form: Form, account: str, max_rows: int | None
) -> spool.SpooledFile:
    """The import that the file becomes, its columns as the form says. Raises Problem 409 if it is one already."""
    import_type = form.import_type
    if import_type is None:
        raise ValueError(form)
    return spool.SpooledFile(
        id=_fresh_id(gateway, file, form, import_type),
        import_type=import_type.name,
        file_name=file.name,
        sha256=file.sha256,
        size=file.size,
        uploaded_by=account,
        created_at=spool.new_upload_time(),
        options=form.options_json(),
        policy=form.policy,
        generate_ai_content=form.generate_ai_content,
        max_rows=max_rows,
        overwrite_confirmed=form.confirm_overwrite,
    )


async def accept(gateway: Gateway, spooled: spool.SpooledFile, path: Path) -> None:
    """Makes the import; it is on the disk when this returns.

    Raises Problem 409 if another upload was faster; the file is where it was then.
    """
    try:
        await gateway.receiving.in_thread(gateway.spool.accept, spooled, path)
    except spool.TakenError as taken:
        raise _known(gateway.state(spooled.id)) from taken
    gateway.accepted(spooled)


def _fresh_id(gateway: Gateway, file: Received, form: Form, import_type: ImportType) -> str:
    last = None
    for import_id in upload_ids(import_type, file.sha256, form.options, form.policy):
        state = gateway.known(import_id)
        if state is None:
            last = last or _same_content(gateway, file.sha256, form, import_type)
            _check(last, force=form.force)
            return import_id
        last = state
    raise Problem(409, "already-imported", "Ce fichier a déjà été importé trop de fois.")


def _check(known: ImportState | None, *, force: bool) -> None:
    """A file that failed as a whole may come again; so may any that is forced, once it has ended."""
    if known is None:
        return
    if running(known) or not (force or known["error"] is not None):
        raise _known(known)


def same_content(
    gateway: Gateway, sha256: str, form: Form, import_type: ImportType
) -> ImportState | None:
    """The latest import of these bytes with this type and policy, however it was read.

    A retry, which has the bytes of its parent, is not an upload of this content.
    """
    states = gateway.states.by_id
    same = {id_: state for id_, state in states.items() if state["file_sha256"] == sha256}
    found = [
        state
        for state in same.values()
        if state["parent"] not in same
        and state["import_type"] == import_type.name
        and state["options"].get("policy", form.policy) == form.policy
    ]
    return max(found, key=lambda state: state["created_at"], default=None)


def _same_content(
    gateway: Gateway, sha256: str, form: Form, import_type: ImportType
) -> ImportState | None:
    """As `same_content`, unless the upload states how to read it: that may be another import."""
    options = form.options
    if options.encoding or options.delimiter or options.sheet or options.columns:
        return None
    return same_content(gateway, sha256, form, import_type)


def _known(state: ImportState) -> Problem:
    how = "est en cours d'import" if running(state) else "a déjà été importé"
    again = "" if running(state) else " Pour l'importer à nouveau, demandez-le (force=true)."
    return Problem(
        409,
        "already-imported",
        f"Ce fichier {how} : {state['file_name']}, le {state['created_at']:%d/%m/%Y à %H:%M} UTC "
        f"({state['status']}).{again}",
        headers={"Location": location(state["id"])},
        import_id=state["id"],
        import_status=state["status"],
    )


def location(import_id: str) -> str:
    """The path of an import in the API."""
    return f"/api/imports/{import_id}/"


def accepted(answer: dict[str, Any], *, replayed: bool = False) -> JSONResponse:
    """The response 202 with `answer`, whose `id` is the import that goes on."""
    headers = {"Location": location(answer["id"])}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return JSONResponse(answer, 202, headers)


class KeyedRequest:
    """A request with an Idempotency-Key: its earlier answer, or what remembers this one."""

    def __init__(self, gateway: Gateway, key: spool.Key | None) -> None:
        self._gateway = gateway
        self._key = key
        self._fingerprint = ""

    def earlier(self, sha256: str, fields: Mapping[str, str]) -> dict[str, Any] | None:
        """The earlier answer. Raises Problem 422 if that was for another request."""
        if self._key is None:
            return None
        described = json.dumps([sha256, sorted(fields.items())])
        self._fingerprint = hashlib.sha256(described.encode()).hexdigest()
        known = self._key.known
        if known is None:
            return None
        if known["fingerprint"] != self._fingerprint:
            raise Problem(
                422,
                "idempotency-key-reused",
                "Cette Idempotency-Key a déjà servi pour un autre envoi : prenez-en une nouvelle.",
            )
        answer: dict[str, Any] = known["answer"]
        # A gateway that died before it made the import did not answer so.
        return answer if self._gateway.known(answer["id"]) else None

    def remember(self, answer: dict[str, Any]) -> None:
        """The answer that the same key gets once its import is there. Blocks on the disk."""
        if self._key is not None:
            self._key.remember({"fingerprint": self._fingerprint, "answer": answer})


@contextmanager
def keyed_request(gateway: Gateway, account: str, key: str | None) -> Iterator[KeyedRequest]:
    """A request with this key, for as long as it is answered.

    Raises Problem 409 while another one is.
    """
    if key is None:
        yield KeyedRequest(gateway, None)
        return
    if not 1 <= len(key) <= 255:
        raise Problem(400, "idempotency-key", "L'Idempotency-Key a de 1 à 255 caractères.")
    with spool.key(gateway.spool.key_file(account, key)) as held:
        if held is None:
            raise Problem(
                409,
                "idempotency-key-in-use",
                "Un envoi avec cette Idempotency-Key est en cours : attendez sa réponse.",
                headers={"Retry-After": "1"},
            )
        yield KeyedRequest(gateway, held)
