"""Kafka's record batches, read so that no sender can end a worker or fill its memory.

aiokafka inflates a batch to whatever size it has, and raises in the thread of the consumer if it
cannot parse something: a header name that is not UTF-8 ends each worker that meets it. Here what cannot
be read becomes a `DamagedRecord` with its bytes, and the partition goes on behind it. aiokafka's
compiled parser reads all that is sound.

Format: Kafka, "Message Format", "Record Batch" (magic 2). Brokers since 4.0 write no other.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from struct import Struct, error, unpack_from
from typing import Any, ClassVar, NamedTuple

import cramjam
from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.util import decode_varint

INFLATED_BYTES = 32 << 20
"""The most bytes that the records of one compressed batch may have. Kafka's `max.message.bytes`, 1 MiB,
is of compressed bytes, of which one may stand for ten thousand."""

HEADER_BYTES = 64 << 10
"""The most bytes of the headers of one record. Each header takes 100 bytes or more in memory, of 2 in
the record."""

CHECKSUM_TRIES = 3
"""How often a batch is fetched whose checksum is wrong, before it is damaged: the fault may be on the way."""


@dataclass
class DamagedRecord(ConsumerRecord[bytes, bytes]):  # type: ignore[misc]  # aiokafka has no types
    """A record, or all that is left of a batch, that cannot be read. `damage` says why, in English.

    `value` has the bytes as they were fetched, or the record's own value if only its header names
    are at fault.
    """

    damage: str = ""


def is_damaged(record: object) -> bool:
    """Whether this is a record that cannot be read, of a batch or of a fetch."""
    return isinstance(record, DamagedRecord | _Damaged)


class _Damaged(NamedTuple):
    """As aiokafka's DefaultRecord, but for `damage`."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    damage: str


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of a fetch, damaged ones as DamagedRecord.

    `leader_epoch` is that of the record that was taken last.
    """

    leader_epoch: int

    def _consumer_record(self, tp: Any, record: Any) -> ConsumerRecord[bytes, bytes]:
        self.leader_epoch = self._records.leader_epoch
        key, value = record.key, record.value
        parts = (
            tp.topic, tp.partition, record.offset, record.timestamp, record.timestamp_type, key, value,
            None, -1 if key is None else len(key), -1 if value is None else len(value),
            tuple(record.headers),
        )  # fmt: skip
        if type(record) is _Damaged:
            return DamagedRecord(*parts, damage=record.damage)
        return ConsumerRecord(*parts)


class UnreadableError(Exception):
    """Bytes that are not what they should be; the message says why."""


_HEADER = Struct(">qiibIhiqqqhii")
_ATTRIBUTES = Struct(">qiibI").size
_LENGTH, _ENVELOPE, _MAGIC_AT = 8, Struct(">qi").size, Struct(">qii").size
_CODEC, _APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_MAGIC = 2
_CHECKSUM = "the checksum of the batch is wrong"


class RecordBatches:
    """The batches of one fetch of a partition, in the place of aiokafka's MemoryRecords.

    `leader_epoch` is that of the batch that was taken last.
    """

    leader_epoch: int

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._fetch_again = False
        self._next = self._take()

    def has_next(self) -> bool:
        return self._next is not None

    def size_in_bytes(self) -> int:
        """Bytes of a fetch without a whole batch: aiokafka takes them for a batch that is too large.

        0 if the first batch has to be fetched again.
        """
        return 0 if self._fetch_again else len(self._data)

    def next_batch(self) -> "RecordBatch":
        """The batch that follows, if `has_next`."""
        batch, self._next = self._next, self._take()
        assert batch is not None  # noqa: S101 - of has_next
        self.leader_epoch = batch.leader_epoch
        return batch

    def _take(self) -> "RecordBatch | None":
        left = len(self._data) - self._at
        if left < _ENVELOPE:
            return None
        length = _ENVELOPE + int(unpack_from(">i", self._data, self._at + _LENGTH)[0])
        if not _MAGIC_AT < length <= left:
            return None
        batch = RecordBatch(self._data[self._at : self._at + length])
        self._at += length
        if batch.has_to_be_fetched_again():
            self._fetch_again = True
            self._at = len(self._data)
            return None
        return batch


class RecordBatch:
    """One batch, with what aiokafka's PartitionRecords asks for."""

    _failures: ClassVar[Counter[tuple[int, int]]] = Counter()
    """Fetches with a wrong checksum, by base offset and checksum."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._damage: str | None = None
        self._attributes, self._times, self._count, self._crc = 0, (0, 0), 0, 0
        self.base_offset: int = unpack_from(">q", data)[0]
        self.next_offset: int = self.base_offset + 1
        self.leader_epoch: int = unpack_from(">i", data, _ENVELOPE)[0]
        self.producer_id: int | None = None
        if data[_MAGIC_AT] != _MAGIC or len(data) < _HEADER.size:
            self._damage = f"the batch has format {data[_MAGIC_AT]} of Kafka, not {_MAGIC}"
            return
        header = _HEADER.unpack_from(data)
        self._crc, self._attributes, delta, first, last, self.producer_id, _, _, self._count = (
            header[4:]
        )
        self._times = (first, last)
        self.next_offset += delta

    def has_to_be_fetched_again(self) -> bool:
        """Whether the checksum is wrong, and was so in fewer than CHECKSUM_TRIES fetches."""
        if self._damage is not None or DefaultRecordBatch(self._data).validate_crc():
            return False
        place = (self.base_offset, self._crc)
        self._failures[place] += 1
        if self._failures[place] < CHECKSUM_TRIES:
            return True
        del self._failures[place]
        self._damage = _CHECKSUM
        return False

    def validate_crc(self) -> bool:
        """True: `has_to_be_fetched_again` has compared it."""
        return True

    @property
    def is_transactional(self) -> bool:
        return bool(self._attributes & _TRANSACTIONAL)

    @property
    def is_control_batch(self) -> bool:
        return bool(self._attributes & _CONTROL)

    def __next__(self) -> Any:
        """The record of a control batch."""
        return next(iter(DefaultRecordBatch(self._data)))

    def __iter__(self) -> Iterator[Any]:
        if self._damage is None:
            try:
                records = self._inflated()
            except UnreadableError as unreadable:
                self._damage = str(unreadable)
            else:
                yield from self._read(records)
                return
        if self._damage == _CHECKSUM and self.next_offset - self.base_offset != self._count:
            # Its last offset may be wrong as well: sound records behind it would be skipped.
            raise UnreadableError(
                f"the batch of records at offset {self.base_offset} is damaged, and does not say at "
                f"which offset it ends: {self._damage}"
            )
        yield self._damaged(self.base_offset, bytes(self._data), self._damage)

    def _damaged(self, offset: int, value: bytes, damage: str) -> _Damaged:
        # The times of the batch may be damaged as well.
        now = int(time.time() * 1000)
        return _Damaged(offset, now, 1, None, value, [], damage)

    def _inflated(self) -> bytes:
        """The batch with its records as if they had not been compressed. Raises UnreadableError."""
        codec = self._attributes & _CODEC
        if codec == 0:
            return bytes(self._data)
        header = bytearray(self._data[: _HEADER.size])
        header[_ATTRIBUTES + 1] &= ~_CODEC
        return bytes(header) + inflate(codec, self._data[_HEADER.size :])

    def _read(self, data: bytes) -> Iterator[Any]:
        """The records of an uncompressed batch."""
        read, offset = 0, self.base_offset
        if not _has_long_records(data):
            try:
                for record in DefaultRecordBatch(data):
                    if record.offset != offset and not self._has_place(record.offset, read):
                        break
                    read += 1
                    offset += 1
                    yield record
                else:
                    return
            except Exception:  # noqa: BLE001, S110 - whatever a sender makes the parser raise  # nosec B110
                pass
        yield from self._read_one_by_one(data, read)

    def _has_place(self, offset: int, number: int) -> bool:
        """Whether this is the offset of the record of this number.

        Brokers check offsets within compressed batches only. In a compacted batch some are missing.
        """
        first = self.base_offset + number
        if self.next_offset - self.base_offset == self._count:
            return offset == first
        return first <= offset < self.next_offset

    def _read_one_by_one(self, data: bytes, skipped: int) -> Iterator[Any]:
        """The records behind the first `skipped`, those that aiokafka cannot parse as damaged ones."""
        at = _HEADER.size
        for number in range(min(self._count, self.next_offset - self.base_offset)):
            offset, begin = self.base_offset + number, at
            try:
                content, at = _nullable(data, at, len(data))
            except (IndexError, ValueError, UnreadableError):
                yield self._damaged(offset, data[begin:], "the batch ends within a record")
                return
            if number >= skipped:
                try:
                    record = self._record(content or b"", number)
                except (IndexError, ValueError, UnreadableError) as unreadable:
                    record = self._damaged(offset, data[begin:at], str(unreadable))
                yield record

    def _record(self, data: bytes, number: int) -> Any:
        """The record that `data` holds. Raises UnreadableError, IndexError or ValueError."""
        end = len(data)
        _, at = decode_varint(data, 0)
        delta, at = decode_varint(data, at)
        offset_delta, at = decode_varint(data, at)
        key, at = _nullable(data, at, end)
        value, at = _nullable(data, at, end)
        if end - at > HEADER_BYTES:
            raise UnreadableError(f"its headers have {end - at} bytes, of {HEADER_BYTES} at most")
        count, at = decode_varint(data, at)
        headers: list[tuple[str, bytes | None]] = []
        odd = False
        for _ in range(count):
            name, at = _nullable(data, at, end)
            content, at = _nullable(data, at, end)
            text = (name or b"").decode("utf-8", "backslashreplace")
            odd = odd or text.encode() != name
            headers.append((text, content))
        if at != end:
            raise UnreadableError("the record does not end where it should")
        offset = self.base_offset + offset_delta
        if not self._has_place(offset, number):
            raise UnreadableError("the record has another offset than its place")
        first, last = self._times
        append_time = bool(self._attributes & _APPEND_TIME)
        moment = last if append_time else first + delta
        if odd:
            damage = "a header's name is not UTF-8"
            return _Damaged(offset, moment, int(append_time), key, value, headers, damage)
        return DefaultRecord(offset, moment, int(append_time), key, value, headers)


def _nullable(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    """Bytes behind their length, None for a length of -1. Raises UnreadableError."""
    length, at = decode_varint(data, at)
    if length == -1:
        return None, at
    if not 0 <= length <= end - at:
        raise UnreadableError("a part of the record is longer than the record")
    return data[at : at + length], at + length


def _has_long_records(data: bytes) -> bool:
    """Whether a record of an uncompressed batch is long enough for too many bytes of headers."""
    at, size = _HEADER.size, len(data)
    if size - at <= HEADER_BYTES:
        return False
    try:
        while at < size:
            byte = data[at]
            length, at = (byte >> 1, at + 1) if byte < 0x80 else decode_varint(data, at)
            if not 0 <= length <= HEADER_BYTES:
                return True
            at += length
    except (IndexError, ValueError):
        return True
    return False


class _Scratch(threading.local):
    """Memory of the thread that inflates: its pages are taken once, as they are written."""

    def __init__(self) -> None:
        self.view = memoryview(mmap(-1, INFLATED_BYTES))


_SCRATCH = _Scratch()
_XERIAL = b"\x82SNAPPY\0"
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4


def inflate(codec: int, data: memoryview) -> bytes:
    """The records of a compressed batch: INFLATED_BYTES at most. Raises UnreadableError."""
    try:
        if codec == _GZIP:
            size = cramjam.gzip.decompress_into(data, _SCRATCH.view)
        elif codec == _LZ4:
            size = cramjam.lz4.decompress_into(data, _SCRATCH.view)
        elif codec == _ZSTD:
            size = cramjam.zstd.decompress_into(data, _SCRATCH.view)
        elif codec == _SNAPPY:
            size = _snappy(data)
        else:
            raise UnreadableError(
                f"the batch is compressed in a way that Kafka does not know: {codec}"
            )
    except (cramjam.DecompressionError, error) as failed:
        raise UnreadableError(
            f"the batch cannot be decompressed, or has more than {INFLATED_BYTES >> 20} MiB: {failed}"
        ) from None
    return bytes(_SCRATCH.view[:size])


def _snappy(data: memoryview) -> int:
    """Snappy's raw format, or blocks of it behind a header (snappy-java)."""
    if data[:8] != _XERIAL:
        return int(cramjam.snappy.decompress_raw_into(data, _SCRATCH.view))
    at, size = 16, 0
    while at < len(data):
        length = int(unpack_from(">i", data, at)[0])
        at += 4
        if not 0 < length <= len(data) - at:
            raise UnreadableError("a block of snappy has an impossible length")
        block = data[at : at + length]
        size += int(cramjam.snappy.decompress_raw_into(block, _SCRATCH.view[size:]))
        at += length
    return size
