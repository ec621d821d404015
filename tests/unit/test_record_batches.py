"""What any bytes of a fetch give: records, or damaged records, and never an exception or a full memory."""

import struct
from collections.abc import Iterable
from typing import Any, cast

import pytest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from processors.kafka.batch import record_bytes
from processors.kafka.records.record_batches import (
    CHECKSUM_TRIES,
    HEADER_BYTES,
    INFLATED_BYTES,
    DamagedRecord,
    PartitionRecords,
    RecordBatches,
    UnreadableError,
    inflate,
)
from tests.record_bytes import CODECS, Headers, compressed, packed, sealed
from tests.record_bytes import batch as record_bytes_of

TP = TopicPartition("rows", 0)


def batch(
    values: Iterable[bytes | None], codec: str = "none", base: int = 0, headers: Headers = ()
) -> bytes:
    """With the keys k0, k1, …"""
    numbered = [(b"k%d" % number, value) for number, value in enumerate(values)]
    return record_bytes_of(numbered, codec, base, headers)


def read(data: bytes, start: int = 0) -> tuple[list[Any], int]:
    """The records of one fetch, and the position after them."""
    records = PartitionRecords(TP, RecordBatches(data), [], start, None, None, True, 0)
    return list(records), records.next_fetch_offset


@pytest.mark.parametrize("codec", CODECS)
def test_sound_batches_read_as_aiokafka_reads_them(codec: str) -> None:
    data = batch([b"a", None, b"c" * 100_000], codec, headers=[("é", b"1"), ("n", None)])
    data += batch([b"d"], codec, base=3)
    records, end = read(data)
    ours = [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in records]
    own = cast("Any", MemoryRecords)(data)
    theirs = []
    while own.has_next():
        theirs += [
            (r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in own.next_batch()
        ]
    assert ours == theirs
    assert (len(records), end) == (4, 4)
    assert not any(isinstance(record, DamagedRecord) for record in records)
    assert [record.offset for record in read(data, 2)[0]] == [2, 3]


def bomb(codec: str, size: int) -> bytes:
    return packed(codec, bytes(size))


def xerial(blocks: Iterable[bytes]) -> bytes:
    head = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    return head + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_batch_that_inflates_beyond_the_limit(codec: str) -> None:
    small, large = bomb(codec, INFLATED_BYTES), bomb(codec, INFLATED_BYTES + 1)
    assert len(inflate(CODECS[codec], memoryview(small))) == INFLATED_BYTES
    whole = compressed(batch([b"x", b"y"]), CODECS[codec], large)
    records, end = read(whole + batch([b"next"], base=2))
    assert [(record.offset, record.value) for record in records] == [(0, whole), (2, b"next")]
    assert isinstance(records[0], DamagedRecord)
    assert "32 MiB" in records[0].damage
    assert end == 3


def test_blocks_of_snappy_count_together() -> None:
    block = bomb("snappy", INFLATED_BYTES // 2)
    assert len(inflate(2, memoryview(xerial([block, block])))) == INFLATED_BYTES
    with pytest.raises(UnreadableError, match="32 MiB"):
        inflate(2, memoryview(xerial([block, block, bomb("snappy", 1)])))
    with pytest.raises(UnreadableError, match="impossible length"):
        inflate(2, memoryview(xerial([block])[:-1]))


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_does_not_exist(codec: int) -> None:
    whole = compressed(batch([b"x"]), codec, b"anything")
    [record], end = read(whole)
    assert (record.value, record.offset, end) == (whole, 0, 1)
    assert "does not know" in record.damage


def test_a_header_name_that_is_not_utf_8() -> None:
    data = batch([b"a", b"b", b"c"], headers=[("name", b"value")])
    at = data.index(b"name", data.index(b"b\x02\x08name"))
    records, end = read(sealed(data[:at] + b"na\xffe" + data[at + 4 :]))
    assert [record.value for record in records] == [b"a", b"b", b"c"]
    assert [type(record) is DamagedRecord for record in records] == [False, True, False]
    assert records[1].headers == (("na\\xffe", b"value"),)
    assert (records[1].key, records[1].damage, end) == (b"k1", "a header's name is not UTF-8", 3)


def test_headers_beyond_the_limit() -> None:
    many = batch([b"v"], headers=[("", None)] * (HEADER_BYTES // 2 + 10))
    records, end = read(many + batch([b"next"], base=1))
    assert [type(record) is DamagedRecord for record in records] == [True, False]
    assert (records[0].headers, records[0].offset, end) == ((), 0, 2)
    assert records[0].value is not None
    assert len(records[0].value) > HEADER_BYTES
    few = batch([b"v"], headers=[("", None)] * 1000)
    assert len(read(few)[0][0].headers) == 1000


def test_headers_count_as_bytes_of_a_fetch() -> None:
    [record], _ = read(batch([b"v"], headers=[("name", b"value")] * 1000))
    assert record_bytes(record) > 100_000


def test_a_large_record_is_not_a_damaged_one() -> None:
    records, _ = read(batch([b"v" * 500_000, b"w"], "zstd", headers=[("n", b"1")]))
    assert [record.value for record in records] == [b"v" * 500_000, b"w"]
    assert [type(record) is DamagedRecord for record in records] == [False, False]


def test_a_wrong_checksum_is_fetched_again_and_then_damaged() -> None:
    good = batch([b"first"])
    bad = bytearray(batch([b"a", b"b"], base=1))
    bad[-1] ^= 1
    data = good + bytes(bad) + batch([b"last"], base=3)
    for _ in range(CHECKSUM_TRIES - 1):
        records, end = read(data)
        assert [record.value for record in records] == [b"first"]
        assert end == 1
    assert RecordBatches(data[len(good) + len(bad) :]).size_in_bytes() > 0
    records, end = read(data)
    assert [record.value for record in records] == [b"first", bytes(bad), b"last"]
    assert (records[1].damage, end) == ("the checksum of the batch is wrong", 4)


def test_a_fetch_that_has_to_be_made_again_is_not_too_large() -> None:
    bad = bytearray(batch([b"x"], base=77))
    bad[-1] ^= 1
    for _ in range(CHECKSUM_TRIES - 1):
        again = RecordBatches(bytes(bad))
        assert (again.has_next(), again.size_in_bytes()) == (False, 0)
    assert RecordBatches(bytes(bad)).has_next()
    cut = RecordBatches(batch([b"x"])[:-1])
    assert not cut.has_next()
    assert cut.size_in_bytes() > 0


def test_a_damaged_batch_that_does_not_say_where_it_ends() -> None:
    bad = bytearray(batch([b"x"], base=99))
    bad[23:27] = struct.pack(">i", 1_000_000)  # lastOffsetDelta
    for _ in range(CHECKSUM_TRIES - 1):
        assert read(bytes(bad)) == ([], 0)
    with pytest.raises(UnreadableError, match="offset 99"):
        read(bytes(bad))


def test_an_old_format() -> None:
    old = bytearray(batch([b"x"]))
    old[16] = 1
    [record], end = read(bytes(old))
    assert (record.value, end) == (bytes(old), 1)
    assert "format 1" in record.damage


def test_a_batch_that_ends_within_a_record() -> None:
    whole = batch([b"aaaa", b"bbbb"])
    records, end = read(sealed(whole[:-3]))
    assert records[0].value == b"aaaa"
    assert isinstance(records[1], DamagedRecord)
    assert (records[1].offset, end) == (1, 2)


def test_a_record_with_the_offset_of_another() -> None:
    data = batch([b"a", b"b", b"c"])
    at = (
        data.index(b"k1") - 2
    )  # behind the record's offset, a number of one byte, stands the key's length
    moved = sealed(data[:at] + b"\x7e" + data[at + 1 :])
    records, end = read(moved)
    assert [record.offset for record in records] == [0, 1, 2]
    assert [type(record) is DamagedRecord for record in records] == [False, True, False]
    assert "offset" in records[1].damage
    assert end == 3


@given(
    values=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    codec=st.sampled_from(["none", "gzip", "zstd"]),
    changes=st.lists(st.tuples(st.integers(min_value=21), st.integers(0, 255)), max_size=4),
)
def test_any_bytes(values: list[bytes], codec: str, changes: list[tuple[int, int]]) -> None:
    """Whatever a sender writes behind a right checksum, reading ends, and goes on behind the batch."""
    data = bytearray(batch(values, codec, headers=[("h", b"1")]))
    for at, byte in changes:
        place = 21 + at % (len(data) - 21)
        if not 23 <= place < 27 and place != 22:  # lastOffsetDelta, which brokers check; attributes
            data[place] = byte
    records, end = read(sealed(bytes(data)) + batch([b"next"], base=len(values)))
    assert end == len(values) + 1
    offsets = [record.offset for record in records]
    assert offsets == sorted(set(offsets))
    assert records[-1].value == b"next"
    if not changes:
        assert [record.value for record in records[:-1]] == values
