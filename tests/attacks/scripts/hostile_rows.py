"""Rows in the right format with contents that nobody has: floods, giants, dates, faults, lineage."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event
from time import monotonic
from uuid import uuid4

from confluent_kafka import Producer

from tests.attacks.scripts.attacker import Act, Attack, Attacker

Record = tuple[str | bytes, bytes]
_AT_ONCE = 100
_PAUSE = Event()


def _sent(
    records: Callable[[Attacker], Iterator[Record]], rate: int, *, prepared: int = 2_000
) -> Callable[[Attacker], Act]:
    """Sends records of the iterator at `rate` per second, the prepared ones again and again."""

    def prepare(attacker: Attacker) -> Act:
        stream = records(attacker)
        made = [next(stream) for _ in range(prepared)]
        producer = attacker.producer(**{"linger.ms": 20, "queue.buffering.max.kbytes": 200_000})
        return lambda until: _flood(producer, attacker.companies.topic, made, rate, until)

    return prepare


def _flood(
    producer: Producer, topic: str, made: list[Record], rate: int, until: float
) -> Iterable[str]:
    began, sent = monotonic(), 0
    while monotonic() < until:
        for _ in range(min(_AT_ONCE, rate)):
            key, value = made[sent % len(made)]
            producer.produce(topic, value, key)
            sent += 1
        producer.poll(0)
        _PAUSE.wait(max(0.0, sent / rate - (monotonic() - began)))
    return () if producer.flush(60) == 0 else ("not all records of the attack were taken",)


def _ties(attacker: Attacker) -> Iterator[Record]:
    """Thousands of rows of ten companies, all observed at the same moment."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number in count():
        siren, _ = attacker.row(number % 10)
        yield siren, attacker.companies.value(siren, nom=f"Égal {number}", observed_at=moment)


def _future(attacker: Attacker) -> Iterator[Record]:
    for number in count():
        moment = datetime.now(UTC) + timedelta(days=365 * (1 + number % 1000))
        yield attacker.row(1_000 + number, observed_at=moment, nom="Futur")


def _lineage(attacker: Attacker, **more: object) -> dict[str, object]:
    return {
        "id": str(uuid4()), "number": 1, "line": 2, "sheet": None, "occurrence": 1, "policy": "merge",
        "cells": None, "faults": [], "settles": None, "dropped": None, "absent": None, **more,
    }  # fmt: skip


def _imports(attacker: Attacker) -> Iterator[Record]:
    """Each names an import, and lines of it that it wants resolved."""
    for number in count():
        settles = {"id": str(uuid4()), "line": 2, "sheet": None}
        yield attacker.row(number, **{"import": _lineage(attacker, settles=settles)})


def _fault_codes(attacker: Attacker) -> Iterator[Record]:
    for number in count():
        faults = [
            {"column": "nom", "code": f"code-{number}-{fault}", "message": "m" * 50}
            for fault in range(50)
        ]
        yield attacker.row(number, **{"import": _lineage(attacker, faults=faults)})


def _fault_messages(attacker: Attacker) -> Iterator[Record]:
    for number in count():
        faults = [{"column": "c" * 1000, "code": "x" * 100_000, "message": "é" * 300_000}]
        yield attacker.row(number, **{"import": _lineage(attacker, faults=faults)})


def _long_keys(attacker: Attacker) -> Iterator[Record]:
    _, value = attacker.row(0)
    for number in count():
        yield b"%d" % number + b"7" * (1_000_000 if number % 2 else 900_000), value


def _dots(attacker: Attacker) -> Iterator[Record]:
    for number in count():
        yield attacker.row(number, site_web="http://" + "." * 1_000_000)


def _garbage(attacker: Attacker) -> Iterator[Record]:
    for number in count():
        yield attacker.row(number)[0], b"garbage %d" % number


ATTACKS = {
    "ties": Attack(_sent(_ties, 1_000)),
    "future": Attack(_sent(_future, 500)),
    "lineage": Attack(_sent(_imports, 500)),
    "fault-codes": Attack(_sent(_fault_codes, 500)),
    "fault-messages": Attack(_sent(_fault_messages, 10, prepared=20)),
    "long-keys": Attack(_sent(_long_keys, 10, prepared=20)),
    "million-dots": Attack(_sent(_dots, 10, prepared=20)),
    "garbage": Attack(_sent(_garbage, 500)),
}
