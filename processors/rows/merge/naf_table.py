"""The activities of the NAF nomenclature, as a Faust table of which every worker has a full copy.

Its changelog is the topic `reference.naf`, which `foxstream-worker reference load` fills: what is
loaded reaches running workers, and rows need no look-up in PostgreSQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from schemas.codec.framing import DecodeError, Decoder


class Naf:
    """The table of one worker; `app` must not have been started."""

    def __init__(self, app: Any, topic: str, decoder: Decoder) -> None:
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
        self._label_in = lru_cache(maxsize=4096)(self._read)

    def own_labels(self, columns: Mapping[str, Sequence[Any]]) -> Iterable[Sequence[str | None]]:
        """The label of each company's activity if its row has only the code."""
        given = zip(columns["naf_code"], columns["naf_libelle"], strict=True)
        return ([self._own_label(code) if label is None else None for code, label in given],)

    def _own_label(self, code: str | None) -> str | None:
        stored = code and self._table.data.get(code.encode())
        return self._label_in(stored) if stored else None

    def _read(self, value: bytes) -> str | None:
        try:
            label: str = self._decoder.decode(value)["libelle"]
        except DecodeError:
            return None  # not a record of ours
        return label
