"""Which records of a batch are rows, which are rejects, and what each reject is told."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import murmur2
from structlog.testing import capture_logs

from processors.kafka.batch import Batch
from processors.kafka.records.append_time import APPENDED_AT, EARLIEST_MS
from processors.kafka.records.record_batches import DamagedRecord
from processors.rows import validation
from processors.rows.model import Reject, Row, Validated
from processors.rows.validation import CREATE_TIME, FUTURE_MS, MOST_FAULTS, validate
from schemas.codec.avro_reader import EPOCH
from schemas.codec.framing import Encoder, RowDecoder, load
from schemas.codec.schema import Schema, SchemaUnknownError
from schemas.dropped_value import DroppedValue
from schemas.import_types import ENTREPRISE, VILLE, ImportType
from schemas.runtime.registry import RegistryUnavailableError

PARTITIONS = 4
SIREN = "732829320"
IMPORT = "6f1d4a52-8a0e-5c3b-9a6e-0b8f7a1c2d3e"
OTHER = "0b7f1c7e-1f0a-5d55-8f53-9a1f62e3c111"
APPENDED = datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
APPENDED_MS = int(APPENDED.timestamp()) * 1000


class Registered:
    """A registry that holds the schemas of both row types."""

    def schema(self, schema_id: int) -> Schema:
        if schema_id not in (1, 2):
            raise SchemaUnknownError(str(schema_id))
        return load({1: "entreprise_row", 2: "ville_row"}[schema_id])

    def schema_id(self, subject: str, schema: Schema) -> int:
        return 1


class Down:
    """A registry that cannot be reached."""

    def schema(self, schema_id: int) -> Schema:
        raise RegistryUnavailableError(f"no answer about {schema_id}")


ENCODERS = {
    ENTREPRISE.name: Encoder("entreprise_row", 1),
    VILLE.name: Encoder("ville_row", 2),
}
DECODERS = {
    ENTREPRISE.name: RowDecoder("entreprise_row", Registered()),
    VILLE.name: RowDecoder("ville_row", Registered()),
}


def record(
    value: bytes | None, key: bytes | None = SIREN.encode(), partition: int | None = None
) -> ConsumerRecord:
    """A record of a topic, in its key's partition unless another is given; offset 0."""
    if partition is None:
        partition = murmur2(key or b"", PARTITIONS)
    return ConsumerRecord(
        topic="fox.rows",
        partition=partition,
        offset=0,
        timestamp=APPENDED_MS,
        timestamp_type=1,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=(),
    )


def company(**fields: Any) -> ConsumerRecord:
    """The record of a company's row, valid but for what is given."""
    row = {"siren": SIREN, "nom": "A", **fields}
    return record(ENCODERS["ENTREPRISE"].encode(row), str(row["siren"]).encode())


def city(**fields: Any) -> ConsumerRecord:
    """The record of Rennes, valid but for what is given."""
    row = {"nom": "Rennes", "code_postal_principal": "35000", **fields}
    return record(ENCODERS["VILLE"].encode(row), b"rennes-35000")


def line(number: int, import_id: str = IMPORT, **more: Any) -> dict[str, Any]:
    """What ties a row to the line of a file."""
    return {"id": import_id, "number": number, "line": number + 1, **more}


def validated(*records: ConsumerRecord, of: ImportType = ENTREPRISE) -> Validated:
    """The judgement on records, which stand one after another from offset 0."""
    for offset, one in enumerate(records):
        one.offset = offset
    batch = Batch("fox.rows", records[0].partition, 0, len(records), records, object())
    return validate(batch, PARTITIONS, of, DECODERS[of.name])


def values(row: Row, of: ImportType = ENTREPRISE) -> dict[str, Any]:
    """The columns of a row that are given."""
    named = zip(of.field, row.values, strict=True)
    return {name: value for name, value in named if value is not None}


def codes(rejects: Sequence[Reject]) -> list[tuple[int, list[tuple[str | None, str]]]]:
    """Offsets of rejects, and the columns and codes of what is wrong with each."""
    return [
        (reject.record.offset, [(fault.column, fault.code) for fault in reject.faults])
        for reject in rejects
    ]


def test_row_of_an_upstream_system() -> None:
    """A row without an import is nobody's line: no number, no duplicate of any, merged."""
    found = validated(company(nom="Boulangerie"))

    assert list(found.rows) == [
        Row(
            offset=0,
            key=SIREN,
            import_id=None,
            row_number=0,
            line=None,
            sheet=None,
            occurrence=1,
            policy="merge",
            observed_ms=APPENDED_MS,
            values=(SIREN, "Boulangerie", *[None] * (len(ENTREPRISE.fields) - 2)),
        )
    ]
    assert found.rejects == []
    assert found.imports() == set()


def test_row_of_a_file() -> None:
    """A row of a file keeps all that ties it to its line."""
    tie = line(7, sheet="Rhône", occurrence=2, policy="overwrite")

    [row] = validated(company(**{"import": tie})).rows

    assert (row.import_id, row.row_number, row.line, row.sheet) == (IMPORT, 7, 8, "Rhône")
    assert (row.occurrence, row.policy) == (2, "overwrite")


def test_city() -> None:
    """The key of a city is the slug of its name and postal code."""
    [row] = validated(city(lat=48.1, codes_postaux=["35000", "35200"]), of=VILLE).rows

    assert row.key == "rennes-35000"
    assert values(row, VILLE) == {
        "nom": "Rennes",
        "code_postal_principal": "35000",
        "lat": 48.1,
        "codes_postaux": ["35000", "35200"],
    }


@pytest.mark.parametrize("microseconds", [0, 1000, 123_000, 999_000, 999_999])
def test_moment_of_observation(microseconds: int) -> None:
    """A time of observation is kept to the millisecond, the last one of a second included."""
    observed = datetime(2024, 2, 29, 23, 59, 59, microseconds, tzinfo=UTC)

    [row] = validated(company(observed_at=observed)).rows

    assert row.observed_ms == 1_709_251_199_000 + microseconds // 1000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([b"2025-03-01T08:29:00.000+00:00"], -60),
        ([b"2025-03-01T08:31:00.000+00:00"], 0),
        ([b"2025-03-01T08:29:00"], 0),
        ([b"0001-01-01T00:00:00+14:00"], 0),
        ([b"1970-01-20T00:00:00+00:00"], 0),
        ([b"\xff"], 0),
        ([None], 0),
        ([b"nothing", b"2025-03-01T08:28:00Z"], -120),
    ],
)
def test_a_row_that_is_sent_again(headers: list[bytes | None], seconds: int) -> None:
    """It is as old as its first record says, unless that is no moment before its own."""
    again = company()
    again.headers = tuple((APPENDED_AT, value) for value in headers)

    [row] = validated(again).rows

    assert row.observed_ms == APPENDED_MS + 1000 * seconds


@pytest.mark.parametrize("ms", [-62_135_596_800_000, -1, 0, 1_740_818_000, EARLIEST_MS - 1])
def test_observed_too_early(ms: int) -> None:
    """Seconds, or no time at all, would make a row lose to any other one of its key: it is refused."""
    observed = EPOCH + timedelta(milliseconds=ms)

    found = validated(company(observed_at=observed), company())

    assert codes(found.rejects) == [(0, [("observed_at", "observed-too-early")])]
    assert [row.offset for row in found.rows] == [1]


def test_the_earliest_observation() -> None:
    """The first millisecond of the register is one of it."""
    observed = EPOCH + timedelta(milliseconds=EARLIEST_MS)

    assert validated(company(observed_at=observed)).rows[0].observed_ms == EARLIEST_MS


@pytest.mark.parametrize("timestamp", [-1, 0, APPENDED_MS // 1000])
def test_timestamps_that_are_none(timestamp: int) -> None:
    """So is a row without a time of its own, on a topic that keeps what its sender wrote."""
    undated, dated = company(), company(observed_at=APPENDED)
    for each in (undated, dated):
        each.timestamp_type, each.timestamp = CREATE_TIME, timestamp

    found = validated(undated, dated)

    assert codes(found.rejects) == [(0, [(None, "observed-too-early")])]
    assert [row.observed_ms for row in found.rows] == [APPENDED_MS]


@pytest.mark.parametrize("factor", [2, 1000, 1_000_000])
def test_timestamps_ahead(factor: int) -> None:
    """A sender's clock that runs ahead would keep all later rows out: it cannot vouch for itself."""
    ahead, good = company(), company()
    for each in (ahead, good):
        each.timestamp_type = CREATE_TIME
    ahead.timestamp *= factor

    found = validated(ahead, good)

    assert codes(found.rejects) == [(0, [("observed_at", "observed-in-future")])]
    assert [row.observed_ms for row in found.rows] == [APPENDED_MS]


def test_a_topic_that_keeps_the_senders_time() -> None:
    """It is warned about once."""
    validation._warn_of_create_time.cache_clear()
    sent = company()
    sent.timestamp_type = CREATE_TIME

    with capture_logs() as logs:
        for _ in range(3):
            validated(company())
            validated(sent)

    assert [(entry["action"], entry["topic"]) for entry in logs] == [("create_time", "fox.rows")]


def test_the_hint_about_the_partitioner() -> None:
    """It names the setting of each client that has another default."""
    stray = company()
    stray.partition = (stray.partition + 1) % PARTITIONS

    [reject] = validated(stray).rejects

    for setting in ("murmur2_random", "WithAbsFirst", "DefaultPartitioner"):
        assert setting in (reject.faults[0].message or "")


def test_every_millisecond() -> None:
    """No two times that differ by a millisecond become one: the older must not pass for a tie."""
    first = datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)
    moments = [first + timedelta(milliseconds=ms) for ms in range(1000)]

    rows = validated(*(company(observed_at=moment) for moment in moments)).rows

    assert [row.observed_ms for row in rows] == [1_709_251_199_000 + ms for ms in range(1000)]


def test_observed_in_future() -> None:
    """An observation may lie five minutes ahead of its record's append, and not a millisecond more."""
    most = APPENDED + timedelta(milliseconds=FUTURE_MS)

    found = validated(
        company(observed_at=most),
        company(observed_at=most + timedelta(milliseconds=1)),
        company(observed_at=datetime(9999, 12, 31, tzinfo=UTC)),
        company(observed_at=datetime(1973, 1, 1, tzinfo=UTC)),
    )

    assert [row.offset for row in found.rows] == [0, 3]
    assert codes(found.rejects) == [
        (offset, [("observed_at", "observed-in-future")]) for offset in (1, 2)
    ]


@pytest.mark.parametrize(
    "key", [None, b"", b"732829321", b"7328293", b"\xff\xfe", "é".encode(), SIREN.encode() + b"\0"]
)
def test_foreign_key(key: bytes | None) -> None:
    """A record whose key is not its row's is rejected, be it no text at all; its neighbours are not."""
    stray = record(company().value, key, murmur2(SIREN.encode(), PARTITIONS))

    found = validated(company(), stray, company())

    assert [row.offset for row in found.rows] == [0, 2]
    assert codes(found.rejects) == [(1, [(None, "key-mismatch")])]


def test_key_that_is_no_text_of_a_faulty_row() -> None:
    """A row with faults is rejected for these, whatever bytes its key is."""
    found = validated(record(company(siren=None).value, b"\xff"))

    assert codes(found.rejects) == [(0, [("siren", "missing-value")])]


@pytest.mark.parametrize("away", [1, 2, 3])
def test_foreign_partition(away: int) -> None:
    """A record in another partition than its key's is rejected: order per key would be lost."""
    good = company()
    stray = record(good.value, good.key, (good.partition + away) % PARTITIONS)

    found = validated(stray)

    assert codes(found.rejects) == [(0, [(None, "partition-mismatch")])]


def test_all_that_is_wrong() -> None:
    """A reject is told everything that the rules find, field by field."""
    faulty = company(siren="1", nom=None, siret="2", adresse="\0")

    assert codes(validated(faulty).rejects) == [
        (
            0,
            [
                ("siren", "malformed"),
                ("nom", "missing-value"),
                ("siret", "malformed"),
                ("adresse", "nul-byte"),
            ],
        )
    ]


def test_reader_has_said_it() -> None:
    """Where the reader has told faults, in the header's own words, these and no others are told."""
    told = {"column": "N° SIREN", "code": "malformed", "message": "Non."}

    found = validated(company(siren=None, nom=None, **{"import": line(3, faults=[told])}))

    [reject] = found.rejects
    assert [fault._asdict() for fault in reject.faults] == [told]
    assert (reject.import_id, reject.row_number, reject.line) == (IMPORT, 3, 4)


def test_reader_has_said_it_of_a_row_that_looks_well() -> None:
    """A row with faults of the reader is a reject, though the worker finds nothing wrong with it."""
    told = {"column": None, "code": "too-long", "message": "Non."}

    found = validated(company(**{"import": line(3, occurrence=0, faults=[told])}))

    assert (list(found.rows), codes(found.rejects)) == ([], [(0, [(None, "too-long")])])


def test_faults_are_as_long_as_a_person_reads() -> None:
    """Any sender may write faults into a record: their number, length and codes are bounded."""
    long = {"column": "c" * 10_000, "code": "x" * 41, "message": "m" * 10_000}
    value = company(**{"import": line(3, occurrence=0, faults=[long] * 500)})

    [reject] = validated(value).rejects
    assert len(reject.faults) == MOST_FAULTS
    assert {(fault.code, len(fault.column or ""), len(fault.message)) for fault in reject.faults} == {("malformed", 200, 1000)}  # fmt: skip


def test_a_damaged_record_is_a_reject_with_its_bytes() -> None:
    """Whatever its bytes say: those of a record in a damaged batch may look like any record."""
    sound = company()
    damaged = DamagedRecord(**vars(sound), damage="a header's name is not UTF-8")

    found = validated(damaged, company())

    assert codes(found.rejects) == [(damaged.offset, [(None, "undecodable")])]
    assert found.rejects[0].record.value == sound.value
    assert "UTF-8" in found.rejects[0].faults[0].message
    assert len(found.rows) == 1


def test_an_address_of_a_million_dots() -> None:
    """A value that no column takes is refused before its form is looked at."""
    began = process_time()
    found = validated(company(site_web="http://" + "." * 1_000_000 + " ", nom="n" * 1_000_000))

    assert process_time() - began < 5
    assert [fault.code for fault in found.rejects[0].faults] == ["too-long"]


def test_faulty_line_keyed_by_its_import() -> None:
    """A faulty line has no natural key, and is not told that its key is another's."""
    told = {"column": "SIREN", "code": "missing-value", "message": "Non."}
    value = company(siren=None, **{"import": line(3, occurrence=0, faults=[told])}).value

    found = validated(record(value, IMPORT.encode()))

    assert codes(found.rejects) == [(0, [("SIREN", "missing-value")])]


def test_warnings() -> None:
    """A value that is only worth a warning is dropped, and the row is written without it."""
    found = validated(
        company(code_postal="1000", telephone="no", email_contact="a@b", nom_commercial="B"),
        company(code_postal="01000", telephone="0102030405"),
    )

    assert [values(row) for row in found.rows] == [
        {"siren": SIREN, "nom": "A", "nom_commercial": "B"},
        {"siren": SIREN, "nom": "A", "code_postal": "01000", "telephone": "0102030405"},
    ]
    assert found.rejects == []


def test_dropped_values() -> None:
    """A value that is removed is kept beside the row, with the reason; what the sender does not disclose
    is not a value."""
    found = validated(
        company(email_contact="a@b", adresse="[ND]"),
        company(telephone="no", code_postal="1000"),
        company(nom=None, telephone="no"),
        company(),
    )

    assert len(found.rows) == 3
    assert {
        offset: {(each.column, each.code, each.value) for each in values}
        for offset, values in found.dropped.items()
        if offset in found.rows.offsets
    } == {
        0: {("email_contact", "malformed", "a@b")},
        1: {("telephone", "malformed", "no"), ("code_postal", "malformed", "1000")},
    }
    assert found.dropped[0][0].message == (
        "L'adresse e-mail « a@b » n'est pas valide : elle n'a pas été enregistrée ; le reste de la ligne "
        "l'a été. Attendu : une adresse comme nom@exemple.fr."
    )


@pytest.mark.parametrize("word", ["[ND]", "[nd]", "[ND] [ND]", "[NON-DIFFUSIBLE]"])
def test_values_that_are_not_disclosed(word: str) -> None:
    """Of no kind they are values, and none of them is shown as dropped."""
    hidden = dict.fromkeys(
        ("nom", "nom_commercial", "siret", "adresse", "code_postal", "ville_nom", "telephone"), word
    )
    found = validated(company(**hidden, email_contact=word, naf_code=word, statut_diffusion="P"))

    assert [values(row) for row in found.rows] == [{"siren": SIREN, "statut_diffusion": "P"}]
    assert found.dropped == {}


def test_dropped_values_that_a_reader_names() -> None:
    """They come with the row; a sender controls neither their number nor their size."""
    value = {"column": "c" * 999, "code": "Un code !", "message": "m" * 9999, "value": "v" * 9999}
    found = validated(company(**{"import": line(1, dropped=[value] * 500)}), company())

    [dropped] = found.dropped.values()
    assert (len(found.rows), len(dropped)) == (2, MOST_FAULTS)
    assert set(dropped) == {DroppedValue("c" * 200, "malformed", "m" * 1000, "v" * 1000)}


def test_dropped_values_of_a_city() -> None:
    """Numbers and lists are shown as texts."""
    found = validated(city(lat=148.5, codes_postaux=["35000", "x"]), of=VILLE)

    assert {each.value for each in found.dropped[0]} == {"148.5", "35000, x"}


def test_warning_and_fault() -> None:
    """A reject is not told what would only have been a warning."""
    assert codes(validated(company(nom=None, telephone="no")).rejects) == [
        (0, [("nom", "missing-value")])
    ]


def test_city_beyond_its_bounds() -> None:
    """Numbers that PostgreSQL would refuse are dropped as any malformed value is."""
    found = validated(city(lat=float("nan"), lng=float("-inf"), population=-1), of=VILLE)

    assert [values(row, VILLE) for row in found.rows] == [
        {"nom": "Rennes", "code_postal_principal": "35000"}
    ]


@pytest.mark.parametrize("value", [None, b"", b"\0\0\0\0\1\x02", b"not Avro"])
def test_no_record(value: bytes | None) -> None:
    """A value that cannot be read is a reject of no import, between rows that are written."""
    found = validated(company(), record(value), company())

    assert [row.offset for row in found.rows] == [0, 2]
    assert codes(found.rejects) == [(1, [(None, "undecodable")])]
    assert (found.rejects[0].import_id, found.rejects[0].row_number) == (None, 0)


def test_unknown_schema() -> None:
    """A value of a schema that nobody has registered is told so."""
    value = company().value
    assert value is not None

    found = validated(record(value[:4] + b"\x09" + value[5:]))

    assert codes(found.rejects) == [(0, [(None, "unknown-schema")])]


def test_schema_of_another_type() -> None:
    """A city on the topic of companies is a reject."""
    found = validated(record(city().value))

    assert codes(found.rejects) == [(0, [(None, "undecodable")])]


def test_registry_that_is_down() -> None:
    """Where the registry cannot be asked nothing is validated, and nothing rejected."""
    batch = Batch("fox.rows", 0, 0, 1, [company()], object())

    with pytest.raises(RegistryUnavailableError):
        validate(batch, PARTITIONS, ENTREPRISE, RowDecoder("entreprise_row", Down()))


@pytest.mark.parametrize(
    "tie",
    [
        line(1, "not-a-uuid"),
        line(1, IMPORT.upper()),
        line(1, "{" + IMPORT + "}"),
        line(1, ""),
        line(0),
        line(-5),
        line(1, sheet="a\0b"),
    ],
    ids=["no-uuid", "upper", "braces", "empty", "zero", "negative", "nul"],
)
def test_foreign_import(tie: Mapping[str, Any]) -> None:
    """A tie to an import that cannot be one is a fault of its row and counts for no import."""
    found = validated(company(), company(**{"import": tie}), company())

    assert [row.offset for row in found.rows] == [0, 2]
    [reject] = found.rejects
    assert (reject.record.offset, reject.import_id) == (1, None)


@pytest.mark.parametrize(
    ("import_id", "number", "sheet"),
    [
        ("not-a-uuid", 5, None),
        (OTHER.upper(), 5, None),
        ("", 5, None),
        (OTHER, 0, None),
        (OTHER, -5, None),
        (OTHER, 5, "a\0b"),
    ],
)
def test_foreign_reject(import_id: str, number: int, sheet: str | None) -> None:
    """A row that claims to settle what can be no line of an import is a reject of no import.

    PostgreSQL would refuse it, and halt the partition.
    """
    claim = {"id": import_id, "line": number, "sheet": sheet}

    found = validated(company(), company(**{"import": line(1, settles=claim)}), company())

    assert [row.offset for row in found.rows] == [0, 2]
    [reject] = found.rejects
    assert (reject.record.offset, reject.import_id, reject.resolves) == (1, None, None)


def test_a_reject_that_is_settled() -> None:
    """A row of a retry or of a correction keeps which line of which sheet it stands for."""
    claim = {"id": OTHER, "line": 5, "sheet": "Rhône"}

    [row] = validated(company(**{"import": line(1, settles=claim)})).rows

    assert row.resolves == (OTHER, 5, "Rhône")


@pytest.mark.parametrize("number", [2**31, 2**40])
def test_settled_line_beyond_its_column(number: int) -> None:
    """As is one whose line PostgreSQL has no room for."""
    tie = line(1, settles={"id": OTHER, "line": 333, "sheet": None})
    narrow = ENCODERS["ENTREPRISE"].encode({"siren": SIREN, "nom": "A", "import": tie})

    found = validated(record(narrow.replace(_varint(333), _varint(number))))

    assert (len(found.rows), len(found.rejects)) == (0, 1)


@pytest.mark.parametrize("field", ["number", "line"])
@pytest.mark.parametrize("number", [2**31, 2**40])
def test_number_beyond_its_column(field: str, number: int) -> None:
    """A number for which PostgreSQL has no room is a reject: it would halt its partition."""
    tie = {**line(1), "number": 111, "line": 222}
    narrow = ENCODERS["ENTREPRISE"].encode({"siren": SIREN, "nom": "A", "import": tie})
    wide = narrow.replace(_varint(tie[field]), _varint(number))

    found = validated(record(wide))

    assert (len(found.rows), len(found.rejects)) == (0, 1)


def _varint(number: int) -> bytes:
    """A number as Avro writes it, of as many bytes as it takes."""
    zigzag, encoded = number << 1, bytearray()
    while zigzag > 0x7F:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    return bytes([*encoded, zigzag])


def numbers(found: Validated) -> tuple[list[int], list[int]]:
    """The row numbers of what is left: rows and rejects."""
    return [row.row_number for row in found.rows], [reject.row_number for reject in found.rejects]


def test_replays_by_watermark() -> None:
    """Rows and rejects at or below the watermark of their import are left out."""
    batch = [company(**{"import": line(n)}, nom=None if n % 2 else "A") for n in range(1, 7)]

    found = validated(*batch)

    assert numbers(found.without_replays({IMPORT: 4})) == ([6], [5])
    assert numbers(found.without_replays({IMPORT: 6})) == ([], [])
    assert found.without_replays({}) is found
    assert found.without_replays({OTHER: 6}) is found


def test_replays_within_a_batch() -> None:
    """A producer that died and began again repeats its numbers: the second time they are replays."""
    batch = [company(**{"import": line(n)}) for n in (1, 2, 3, 1, 2, 3, 4)]

    kept = validated(*batch).without_replays({})

    assert [row.offset for row in kept.rows] == [0, 1, 2, 6]


def test_highest_number() -> None:
    """The last number of an import is that of its last row or of its last reject."""
    batch = [
        company(**{"import": tie}, nom=nom)
        for tie, nom in [
            (line(1), None), (line(2), "A"), (line(1, OTHER), "A"), (line(2, OTHER), None), (None, "A"),
        ]
    ]  # fmt: skip

    assert validated(*batch).watermarks() == {IMPORT: 2, OTHER: 2}


def test_replays_of_rejects_among_rows() -> None:
    """Numbers rise over rows and rejects together, in the order of their offsets."""
    batch = [
        company(**{"import": line(n)}, nom=nom)
        for n, nom in [(1, "A"), (2, None), (3, "A"), (2, None), (3, "A"), (4, None)]
    ]

    kept = validated(*batch).without_replays({})

    assert numbers(kept) == ([1, 3], [2, 4])


def test_replays_of_each_import() -> None:
    """Each import has numbers of its own, and rows of upstream systems are no replays."""
    batch = [
        company(**{"import": tie})
        for tie in (line(1), line(1, OTHER), None, line(2), None, line(1, OTHER), line(2, OTHER))
    ]

    found = validated(*batch)

    assert found.imports() == {IMPORT, OTHER}
    assert [row.offset for row in found.without_replays({IMPORT: 1}).rows] == [1, 2, 3, 4, 6]


def test_undecodable_is_no_replay() -> None:
    """A record that cannot be read has no number, and is rejected wherever it stands."""
    batch = [company(**{"import": line(1)}), record(b""), company(**{"import": line(1)})]

    kept = validated(*batch).without_replays({IMPORT: 9})

    assert (list(kept.rows), codes(kept.rejects)) == ([], [(1, [(None, "undecodable")])])
