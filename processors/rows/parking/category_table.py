"""The categories by key, as a Faust table: it saves sub-categories the look-up of their category.

It is co-partitioned with the row topics, so that the worker that writes a sub-category has its
category. It is a cache: entries are set after the commit that created them, a missing entry costs one
look-up for all rows of a batch, and the foreign key detects an entry whose category is gone. Faust
recovers it from its changelog, the topic `categories`.

Faust's own way of setting an entry buffers the record and crashes the worker if Kafka does not accept
it; here a record that fails is logged, and the entry is looked up again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import structlog
from confluent_kafka import murmur2
from faust.types import TP

from processors.database.pool import Pool, connected
from processors.database.queries import load
from processors.kafka.producer import Send
from processors.rows.accounting.sqlstate import is_transient

log = structlog.get_logger(__name__)

_SQL = load("processors.rows.merge", "categorie.sql")

CategoriesByKey = Mapping[str, Mapping[str, str]]
"""`id`, `slug` and `nom` of categories, by key."""


class CategoryTable:
    """The table of one worker; `app` must not have been started. `topic` is its changelog."""

    def __init__(self, app: Any, topic: str, partitions: int, pool: Pool, send: Send) -> None:
        self._app = app
        self._topic = topic
        self._partitions = partitions
        self._pool = pool
        self._send = send
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}  # fmt: skip
        self._table = app.Table(
            "categories",
            partitions=partitions,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=app.topic(
                topic, partitions=partitions, acks=False, internal=True, compacting=True, **raw
            ),
        )
        self._table.on_recover(self._recovered)

    def ids(self, keys: Iterable[str]) -> dict[str, str]:
        """The ids of the categories that are in the table."""
        found = {key: self._table.data.get(key.encode()) for key in keys}
        return {key: json.loads(value)["id"] for key, value in found.items() if value}

    async def refresh(self, keys: Collection[str]) -> None:
        """Brings these entries up to date, by one look-up. A failure is logged."""
        await self._update(lambda: self._known(keys), keys)

    async def _recovered(self) -> None:
        """Adds categories of the site that the changelog lacks, without making Faust wait."""
        self._app.add_future(self._update(self._all, ()))

    async def _update(
        self, read: Callable[[], Awaitable[CategoriesByKey]], gone: Collection[str]
    ) -> None:
        try:
            known = await read()
            absent = {key: None for key in gone if key not in known}
            await asyncio.gather(
                *(self._put(key, value) for key, value in {**absent, **known}.items())
            )
        except Exception as error:  # must not take the writing of rows with it
            if is_transient(error):
                log.warning(
                    "categories are not known yet", action="categories_late", reason=repr(error)
                )
            else:
                log.exception("categories are not known", action="categories_unknown")

    async def _put(self, key: str, category: Mapping[str, str] | None) -> None:
        store, name = self._table.data, key.encode()
        value = None if category is None else json.dumps(category, ensure_ascii=False).encode()
        if store.get(name) == value:
            return
        await self._send(self._topic, name, value, [])
        if value is None:
            store.pop(name, None)
        else:
            store[name] = value

    async def _known(self, keys: Collection[str]) -> CategoriesByKey:
        return await self._read("known", {"keys": list(keys)})

    async def _all(self) -> CategoriesByKey:
        """The categories of the partitions assigned to this worker."""
        assigned = self._app.consumer.assignment()
        return {
            key: value
            for key, value in (await self._read("all", {})).items()
            if TP(self._topic, murmur2(key.encode(), self._partitions)) in assigned
        }

    async def _read(self, query: str, values: Mapping[str, object]) -> CategoriesByKey:
        async with connected(self._pool) as connection:
            cursor = await connection.execute(_SQL[query], values)
            return {
                key: {"id": identifier, "slug": slug, "nom": nom}
                for key, identifier, slug, nom in await cursor.fetchall()
            }
