"""Record batches that no client of Kafka would send."""

import gzip
import random
from collections.abc import Callable, Iterable
from itertools import cycle
from threading import Event
from time import monotonic

from tests.attacks.scripts.attacker import Act, Attack, Attacker
from tests.record_bytes import CODECS, RECORDS_AT, batch, compressed, packed, sealed

_BREAK = Event()
_BOMB_BYTES = 100 << 20


def _sent(made: Callable[[Attacker, int], bytes], pause: float = 0.05) -> Callable[[Attacker], Act]:
    """Sends what `made` makes of the numbers 0 to 19 to the partitions of their rows, again and again."""

    def prepare(attacker: Attacker) -> Act:
        batches = [
            (attacker.partition(attacker.row(number)[0]), made(attacker, number))
            for number in range(20)
        ]

        def act(until: float) -> Iterable[str]:
            again = cycle(batches)
            while monotonic() < until:
                partition, data = next(again)
                attacker.send({partition: [data]})
                _BREAK.wait(pause)
            return ()

        return act

    return prepare


def _sound(attacker: Attacker, number: int) -> bytes:
    key, value = attacker.row(number)
    return batch([(key.encode(), value)], headers=[("name", b"1")])


def _header_name(attacker: Attacker, number: int) -> bytes:
    data = _sound(attacker, number)
    at = data.index(b"name")
    return sealed(data[:at] + b"na\xff\xfe" + data[at + 4 :])


def _codec(attacker: Attacker, number: int) -> bytes:
    return compressed(_sound(attacker, number), 5 + number % 3, b"anything")


def _sizes(attacker: Attacker, number: int) -> bytes:
    """Bytes of the compressed records are changed, which a broker does not look at closely."""
    draw = random.Random(number)
    plain = _sound(attacker, number)
    records = bytearray(plain[RECORDS_AT:])
    for _ in range(3):
        records[draw.randrange(8)] = draw.randrange(256)
    return compressed(plain, CODECS["gzip"], gzip.compress(bytes(records)))


def _checksum(attacker: Attacker, number: int) -> bytes:
    data = bytearray(_sound(attacker, number))
    data[-1] ^= 0xFF
    return bytes(data)


def _headers(attacker: Attacker, number: int) -> bytes:
    key, _ = attacker.row(number)
    return batch([(key.encode(), b"many")], "zstd", headers=[("", None)] * 1_000_000)


def _bomb(codec: str) -> Callable[[Attacker], Act]:
    def prepare(attacker: Attacker) -> Act:
        key, _ = attacker.row(0)
        huge = batch([(key.encode(), bytes(_BOMB_BYTES))])
        size = _BOMB_BYTES
        small = packed(codec, huge[RECORDS_AT:])
        while len(small) > 900_000:  # Kafka's largest batch
            size //= 2
            huge = batch([(key.encode(), bytes(size))])
            small = packed(codec, huge[RECORDS_AT:])
        bomb = compressed(huge, CODECS[codec], small)

        def act(until: float) -> Iterable[str]:
            while monotonic() < until:
                attacker.send({attacker.partition(key): [bomb]})
                _BREAK.wait(0.5)
            return ()

        return act

    return prepare


ATTACKS = {
    "header-names": Attack(_sent(_header_name)),
    "codecs": Attack(_sent(_codec)),
    "sizes": Attack(_sent(_sizes)),
    "checksums": Attack(_sent(_checksum)),
    "million-headers": Attack(_sent(_headers, pause=0.2)),
    **{f"bomb-{codec}": Attack(_bomb(codec)) for codec in CODECS if codec != "none"},
}
