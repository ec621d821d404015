"""The activities of the NAF nomenclature, as a Faust table of which every worker has a full copy.

Its changelog is the topic `reference.naf`, which `foxstream-worker reference load` fills: what is
loaded reaches running workers, and rows need no look-up in PostgreSQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from processors.kafka.schema_lookups import looked_up
from processors.rows.merge.naf_columns import in_order
from schemas.codec.framing import DecodeError, Decoder, Record
from schemas.values.naf import Nomenclature


class Naf:
    """The table of one worker; `app` must not have been started. `primary` is the site's nomenclature."""

    def __init__(self, app: Any, topic: str, decoder: Decoder, primary: Nomenclature) -> None:
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}  # fmt: skip
        self._table = app.GlobalTable(
            "naf",
            partitions=1,
            recovery_buffer_size=1,
            key_type=bytes,
            value_type=bytes,
            changelog_topic=app.topic(
                topic, partitions=1, acks=False, internal=True, compacting=True, **raw
            ),
        )
        # The assignor of Faust 0.15.3 looks up the changelog by Faust's default name.
        self._table._changelog_topic_name = lambda: topic
        self._decoder = decoder
        self._primary = primary
        self._stored: dict[bytes, bytes] = {}
        self._labels: dict[bytes, str | None] = {}

    async def ready(self) -> None:
        """Reads what the table has received, beside the event loop: its schema may be one to ask for.

        Raises RegistryUnavailableError if the registry has to be asked and does not respond.
        """
        stored = dict(self._table.data.items())
        if stored == self._stored:
            return
        codes = [code for code, value in stored.items() if self._stored.get(code) != value]
        read = await looked_up(self._decoder.decode_all, [stored[code] for code in codes])
        labels = self._labels | dict(zip(codes, map(_label, read), strict=True))
        self._labels = {code: labels[code] for code in stored}
        self._stored = stored

    def activities(self, columns: Mapping[str, Sequence[Any]]) -> Iterable[Sequence[str | None]]:
        """As `in_order`, and the label of each activity if the row has only the code."""
        firsts, others = in_order(columns, self._primary)
        given = zip(firsts, others, columns["naf_code"], columns["naf_libelle"], strict=True)
        own = [
            self._own_label(first or other or code) if label is None else None
            for first, other, code, label in given
        ]
        return firsts, others, own

    def _own_label(self, code: str | None) -> str | None:
        return self._labels.get(code.encode()) if code else None


def _label(read: Record | DecodeError) -> str | None:
    """None if the value is not a record of ours."""
    return None if isinstance(read, DecodeError) else read["libelle"]
