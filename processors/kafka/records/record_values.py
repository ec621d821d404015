"""The values of records, decoded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from schemas.codec.framing import DecodeError

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

Decoded = TypeVar("Decoded", covariant=True)


class _Decoder(Protocol[Decoded]):
    def decode_all(self, values: Sequence[bytes | None]) -> Sequence[Decoded | DecodeError]: ...


def decode_records(
    decoder: _Decoder[Decoded], records: "Sequence[ConsumerRecord]"
) -> Sequence[Decoded | DecodeError]:
    """What each value says, a DecodeError for a record that is damaged (DamagedRecord)."""
    values = decoder.decode_all([record.value for record in records])
    damages = [getattr(record, "damage", None) for record in records]
    if not any(damages):
        return values
    return [
        value if damage is None else DecodeError("undecodable", damage)
        for value, damage in zip(values, damages, strict=True)
    ]
