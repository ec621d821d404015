"""Writes a text into the columns of the site, with the provenance of each column.

What people wrote or edited stays; what is replaced is kept in ingest.text_history. All of it is in
the transaction of the answer.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from processors.database.pool import Connection
from processors.database.queries import load
from processors.texts.content import prompts
from processors.texts.content.disclosure import Disclosure
from processors.texts.content.prompts import Prompt
from processors.texts.requests import store
from processors.texts.requests.store import Known, Request

_SQL = load("processors.texts.requests", "writing.sql")

ALWAYS_OURS = "texte_description_ia"
"""The column of the site that only a model writes, unless provenance says that people edited it."""


class Standing(NamedTuple):
    """The text that a column has, and the SHA-256 of what the model wrote there last, if it did."""

    text: str
    ours: str | None

    @property
    def edited(self) -> bool:
        """Whether people have changed what the model wrote. An empty column is to be filled."""
        return self.ours is not None and self.text != "" and self.ours != digest(self.text)


def digest(text: str) -> str:
    """As ingest.text_sha256."""
    return sha256(text.encode()).hexdigest()


class _Answer(NamedTuple):
    """What is written, and for which request."""

    request: Request
    prompt: Prompt
    known: Known

    @property
    def texts(self) -> dict[str, str]:
        return self.request.what.filled(self.known.content or {})

    @property
    def key(self) -> dict[str, object]:
        return {"entity_id": self.request.entity_id, "kind": self.request.kind}

    @property
    def origin(self) -> dict[str, object]:
        """As ingest.enrichment_texts and ingest.text_provenance have it."""
        return {
            **self.key,
            "model": str(self.prompt.body["model"]),
            "version": self.prompt.version,
            "generated_at": self.known.answered_at,
            "cost": self.known.cost,
        }


async def write(
    connection: Connection, request: Request, prompt: Prompt, known: Known, disclosure: Disclosure
) -> bool:
    """Writes a text into its columns. False if the entity has changed since the request, or is gone.

    The entity's row is locked first: the text must be about its current values.
    """
    kind = request.what
    lock = sql.SQL("SELECT FROM {} WHERE id = %s FOR NO KEY UPDATE").format(
        sql.Identifier(kind.table)
    )
    await connection.execute(lock, [request.entity_id])
    now = await store.prompt_input(connection, request)
    if now is None:
        return False
    sent = disclosure.sent(request.kind, now)
    if prompts.input_hash(sent) != prompt.input_hash:
        return False
    answer = _Answer(request, prompt, known)
    texts, standing = answer.texts, await _standing(connection, answer)
    fresh = {
        column: text
        for column, text in texts.items()
        if standing[column].text != text and _replaceable(request, column, standing[column])
    }
    ours = {c: text for c, text in texts.items() if c in fresh or standing[c].text == text}
    await _keep_old(connection, answer, [c for c in fresh if standing[c].text])
    if kind.name == "AVIS":
        await _synthesis(connection, answer, fresh, standing)
    elif fresh:
        await _fill(connection, answer, fresh)
    await _record(connection, answer)
    await _mark(connection, answer, ours)
    edited = [c for c in texts if c not in ours and standing[c].edited]
    await connection.execute(_SQL["edited"], {**answer.key, "columns": edited})
    return True


async def _standing(connection: Connection, answer: _Answer) -> dict[str, Standing]:
    cursor = await connection.execute(_SQL["site_texts"], answer.key)
    [texts] = await cursor.fetchone() or (None,)
    cursor = await connection.execute(_SQL["marks"], answer.key)
    ours: dict[str, str] = dict(await cursor.fetchall())
    return {c: Standing((texts or {}).get(c) or "", ours.get(c)) for c in answer.texts}


def _replaceable(request: Request, column: str, standing: Standing) -> bool:
    """Whether the model may write a column: it is empty, or has a text of the model.

    What people wrote is replaced only if a person has confirmed it, or if it is of low quality and
    never was the model's.
    """
    if request.reason == "overwrite" or standing.text == "":
        return True
    if standing.ours is not None:
        return not standing.edited
    return column == ALWAYS_OURS or (
        request.reason == "low-quality" and request.what.is_poor(standing.text)
    )


async def _keep_old(connection: Connection, answer: _Answer, columns: list[str]) -> None:
    if columns:
        await connection.execute(
            _SQL["keep_old"],
            {**answer.key, "columns": columns, "reason": answer.request.reason},
        )


async def _fill(connection: Connection, answer: _Answer, texts: Mapping[str, str]) -> None:
    changes: list[sql.Composable] = [
        sql.SQL("{} = %s").format(sql.Identifier(column)) for column in texts
    ]
    values: list[object] = list(texts.values())
    if answer.request.kind == "PROLOCALISATION":
        changes.append(sql.SQL("date_derniere_generation_ia = coalesce(%s::timestamptz, now())"))
        values.append(answer.known.answered_at)
    update = sql.SQL("UPDATE {} SET {}, updated_at = now() WHERE id = %s").format(
        sql.Identifier(answer.request.what.table), sql.SQL(", ").join(changes)
    )
    await connection.execute(update, [*values, answer.request.entity_id])


async def _synthesis(
    connection: Connection,
    answer: _Answer,
    fresh: Mapping[str, str],
    standing: Mapping[str, Standing],
) -> None:
    """Writes the synthesis of a page's public reviews, and what they come to, on its page."""
    entity = {"entity_id": answer.request.entity_id}
    if not fresh and await _read_the_same(connection, answer):
        await connection.execute(_SQL["synthesis_stands"], entity)
        return
    cursor = await connection.execute(
        connection.site.complete(_SQL["synthesis"]),
        {
            **answer.origin,
            **{column: known.text for column, known in standing.items()},
            **fresh,
            "job_id": str(answer.request.id),
            "payload": Jsonb(answer.known.content),
        },
    )
    row = await cursor.fetchone()
    if row is not None:
        rating, reviews = row
        await connection.execute(_SQL["rating"], {**entity, "rating": rating, "reviews": reviews})


async def _read_the_same(connection: Connection, answer: _Answer) -> bool:
    """Whether the text that stands is about the very same reviews."""
    cursor = await connection.execute(_SQL["input_hash"], answer.key)
    return await cursor.fetchone() == (answer.prompt.input_hash,)


async def _record(connection: Connection, answer: _Answer) -> None:
    await connection.execute(
        _SQL["text"],
        {
            **answer.origin,
            "hash": answer.prompt.hash,
            "input_hash": answer.prompt.input_hash,
            "content": Jsonb(answer.texts),
            "tokens_in": answer.known.tokens_in,
            "tokens_out": answer.known.tokens_out,
            "generation": answer.request.generation,
        },
    )


async def _mark(connection: Connection, answer: _Answer, ours: Mapping[str, str]) -> None:
    """Keeps where the text of each of these columns comes from."""
    await connection.execute(
        _SQL["mark"],
        {
            **answer.origin,
            "columns": list(ours),
            "digests": [digest(text) for text in ours.values()],
            "reported_model": answer.known.reported_model,
            "request_id": answer.known.request_id,
        },
    )
