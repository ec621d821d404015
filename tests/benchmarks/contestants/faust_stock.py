"""A Faust agent as Faust's documentation shows it: `take`, and an upsert by `executemany`.

python -m tests.benchmarks.contestants.faust_stock worker
"""

import io
import tempfile
from typing import Any

import fastavro
import faust
import psycopg

from tests.benchmarks.contestants import common

BATCH_ROWS = 2000
WITHIN_SECONDS = 1

UPSERT = f"""
INSERT INTO enterprise_entreprise AS t ({common.INSERTED})
VALUES ({common.values("%({})s")})
{common.ON_CONFLICT}
"""


def decode(value: bytes) -> Any:
    schema = common.schema(int.from_bytes(value[1:5], "big"))
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema)


app = faust.App(
    common.GROUP,
    broker=f"kafka://{common.BOOTSTRAP}",
    datadir=tempfile.mkdtemp(prefix="faust-stock-"),
    broker_session_timeout=10,
    broker_heartbeat_interval=2,
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
)
companies = app.topic(
    common.TOPIC,
    key_serializer="raw",
    value_serializer="raw",
)


@app.agent(companies)
async def store(stream: Any) -> None:
    connection: psycopg.AsyncConnection[Any] | None = None
    async for batch in stream.take(BATCH_ROWS, within=WITHIN_SECONDS):
        if connection is None:
            connection = await psycopg.AsyncConnection.connect(common.DATABASE_URL)
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(UPSERT, map(decode, batch))


if __name__ == "__main__":
    app.main()
