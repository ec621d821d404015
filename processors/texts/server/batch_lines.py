"""Batches as the provider describes them: their state, and files of JSON lines."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from processors.texts.server.failures import CallError, Trouble, of_status
from processors.texts.server.replies import Reply, reply_of

TOO_LARGE = "too-large"
"""Outcome of a batch that is more than the account may have waiting."""


@dataclass(frozen=True)
class BatchState:
    """How a batch stands. `answers` are the files with what was answered, `files` all that it has at the
    provider; `failure`: why it failed as a whole, so that nothing of it was answered.
    """

    status: str
    answers: Sequence[str] = ()
    files: Sequence[str] = ()
    failure: CallError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will be answered."""
        return self.status in ("completed", "expired", "cancelled", "failed", "lost")


LOST = BatchState("lost")
"""Of a batch that the provider does not know any more: its requests come again."""


def state_of(batch: Mapping[str, Any]) -> BatchState:
    """How a batch stands, of the provider's object."""
    answers = [batch[name] for name in ("output_file_id", "error_file_id") if batch.get(name)]
    files = [*answers, *filter(None, [batch.get("input_file_id")])]
    failure = _failure(batch) if batch["status"] == "failed" else None
    return BatchState(batch["status"], answers, files, failure)


def _failure(batch: Mapping[str, Any]) -> CallError:
    """Why the provider did not take a batch, of its list of errors."""
    errors = [_object(each) for each in _object(batch.get("errors")).get("data") or ()]
    codes = [str(each["code"]) for each in errors if each.get("code")]
    error = of_status(400, {"code": next(iter(codes), None), "message": errors}, {})
    if "token_limit_exceeded" in codes or "enqueued token" in str(error).lower():
        return CallError(Trouble.REFUSED, TOO_LARGE, str(error))
    if error.trouble is Trouble.QUOTA:
        return error
    return CallError(Trouble.REFUSED, next(iter(codes), "batch-failed"), str(error))


def line(request_id: UUID, body: Any) -> bytes:
    asked = {
        "custom_id": str(request_id),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(asked, ensure_ascii=False).encode() + b"\n"


def came(line: Mapping[str, Any] | None, *, lost: bool) -> Reply | CallError:
    """What a line of the answer says. Whether the provider can be asked now it does not say."""
    if line is None and lost:
        message = "the provider does not know the batch any more"
        return CallError(Trouble.TRANSIENT_IN_BATCH, "batch-lost", message, unsure=True)
    try:
        return reply_of(_answer(line))
    except CallError as error:
        if error.trouble is not Trouble.TRANSIENT:
            return error
        return CallError(
            Trouble.TRANSIENT_IN_BATCH,
            error.code,
            str(error),
            unsure=error.unsure,
            refused=error.refused,
        )


def _answer(line: Mapping[str, Any] | None) -> Any:
    """The body of an answer. Raises CallError if it is not an answer, or never came."""
    if line is None:
        raise CallError(Trouble.TRANSIENT, "batch", "the batch ended before it was asked")
    response, error = _object(line.get("response")), line.get("error")
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(status, int):
        raise CallError(Trouble.TRANSIENT, "batch", of_status(0, error, {}).args[0])
    if status != 200:
        raise of_status(status, body.get("error", body) if isinstance(body, dict) else body, {})
    return body


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def lines_of(content: bytes) -> Iterator[dict[str, Any]]:
    """The answers in a file of the provider's. A line that is not a JSON object is skipped."""
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
