"""What is known of the registry while it cannot be reached."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec.framing import load
from schemas.codec.schema import SchemaUnknownError
from schemas.runtime import schema_cache
from schemas.runtime.registry import Registry, RegistryDeniedError, RegistryUnavailableError
from schemas.runtime.schema_cache import SchemaCache
from tests.fake_registry import Answer, FakeRegistry, fake_registry, unknown

SUBJECT = "fox.rows.ville-value"
CITY, COMPANY = load("ville_row"), load("entreprise_row")
AWAY: dict[str, Answer] = {
    "error": (503, b""),
    "another 404": (404, b"default backend - 404"),
    "page": (200, b"<html>"),
}


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with fake_registry(schemas={1: CITY}, subjects={SUBJECT: 1}) as registry:
        yield registry


def client(url: str, folder: Path, timeout_seconds: float = 5.0) -> Registry:
    """As a process has that starts anew."""
    return Registry(url, timeout_seconds=timeout_seconds, cache=SchemaCache(folder, url))


def learn(fake: FakeRegistry, folder: Path) -> None:
    with client(fake.url, folder) as registry:
        registry.schema(1)
        registry.schema_id(SUBJECT, CITY)


@pytest.mark.parametrize("trouble", AWAY.values(), ids=AWAY)
def test_known_schemas_without_a_registry(
    fake: FakeRegistry, tmp_path: Path, trouble: Answer
) -> None:
    """A process that starts without it has what an earlier one knew; only what is new waits."""
    learn(fake, tmp_path)
    fake.trouble = trouble

    with client(fake.url, tmp_path) as registry:
        assert registry.schema(1) == CITY
        assert registry.schema_id(SUBJECT, CITY) == 1
        with pytest.raises(RegistryUnavailableError):
            registry.schema(2)
        with pytest.raises(RegistryUnavailableError):
            registry.schema_id(SUBJECT, COMPANY)
        with pytest.raises(RegistryUnavailableError):
            registry.schema_id("other-value", CITY)
        with pytest.raises(RegistryUnavailableError):
            registry.answers()


def test_a_registry_that_hangs(fake: FakeRegistry, tmp_path: Path) -> None:
    """The first question waits; what is known is not asked again for a while, what is new is."""
    learn(fake, tmp_path)
    fake.gate.clear()
    fake.asked.clear()

    with client(fake.url, tmp_path, timeout_seconds=0.1) as registry:
        for _ in range(5):
            assert registry.schema(1) == CITY
            assert registry.schema_id(SUBJECT, CITY) == 1
        assert fake.asked == ["/schemas/ids/1"]
        with pytest.raises(RegistryUnavailableError):
            registry.schema(2)


def test_a_registry_that_denies(fake: FakeRegistry, tmp_path: Path) -> None:
    """A wrong password is not covered up."""
    learn(fake, tmp_path)
    fake.trouble = (401, b"")

    with client(fake.url, tmp_path) as registry, pytest.raises(RegistryDeniedError):
        registry.schema(1)


def test_a_schema_that_the_registry_lost(fake: FakeRegistry, tmp_path: Path) -> None:
    """Its own answer holds, not what is known."""
    learn(fake, tmp_path)
    fake.trouble = unknown(40403)

    with client(fake.url, tmp_path) as registry, pytest.raises(SchemaUnknownError):
        registry.schema(1)


def test_another_registry(fake: FakeRegistry, tmp_path: Path) -> None:
    """What one registry answered is nothing of another one, be it in its folder."""
    learn(fake, tmp_path)
    [folder] = tmp_path.iterdir()
    fake.trouble = (503, b"")
    other = fake.url.replace("127.0.0.1", "localhost")
    SchemaCache(tmp_path, other).keep(0, "x")
    [theirs] = set(tmp_path.iterdir()) - {folder}
    for path in folder.iterdir():
        (theirs / path.name).write_bytes(path.read_bytes())

    with client(other, tmp_path) as registry, pytest.raises(RegistryUnavailableError):
        registry.schema(1)


def test_files_that_are_not_what_they_were(fake: FakeRegistry, tmp_path: Path) -> None:
    """A damaged file, or one with the name of another, is ignored."""
    learn(fake, tmp_path)
    fake.trouble = (503, b"")
    [folder] = tmp_path.iterdir()
    files = {path: path.read_bytes() for path in folder.iterdir()}
    [schema] = [path for path, content in files.items() if json.loads(content)["of"][1] == "schema"]
    [number] = set(files) - {schema}
    swapped = {schema: files[number], number: files[schema]}
    damaged = files[schema].replace(b"population", b"pupolation")
    for contents in (swapped, {schema: damaged}, {schema: files[schema][:-9]}, {schema: b"[]"}):
        for path, content in {**files, **contents}.items():
            path.write_bytes(content)

        with client(fake.url, tmp_path) as registry, pytest.raises(RegistryUnavailableError):
            registry.schema(1)


def test_an_id_that_means_something_else(
    fake: FakeRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restore of the registry its answer holds from then on, and the log says so once."""
    learn(fake, tmp_path)
    fake.schemas[1] = COMPANY

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with client(fake.url, tmp_path) as registry:
                assert registry.schema(1) == COMPANY
    assert [record.__dict__["action"] for record in caplog.records] == ["schema_changed"]
    fake.trouble = (503, b"")
    with client(fake.url, tmp_path) as registry:
        assert registry.schema(1) == COMPANY


def test_how_much_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound holds for the files and for their bytes, and the newest answer is always kept."""
    monkeypatch.setattr(schema_cache, "MOST_FILES", 5)
    monkeypatch.setattr(schema_cache, "MOST_BYTES", 10_000)
    cache = SchemaCache(tmp_path, "http://registry")
    for number in range(20):
        cache.keep("x" * (100 if number < 10 else 4000), number)
        files = [path.stat().st_size for path in tmp_path.rglob("*.*") if path.is_file()]

        assert cache.get(number)
        assert len(files) <= 5
        assert sum(files) <= 10_000


def test_a_folder_that_cannot_be_written(fake: FakeRegistry, tmp_path: Path) -> None:
    """In a read-only container nothing is kept, and nothing else changes."""
    blocked = tmp_path / "file"
    blocked.write_text("")

    with client(fake.url, blocked) as registry:
        assert registry.schema(1) == CITY
        assert registry.schema_id(SUBJECT, CITY) == 1


def test_what_is_written_by_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it writes leaves the earlier answer."""
    cache = SchemaCache(tmp_path, "http://registry")
    cache.keep("earlier", 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    cache.keep("later", 1)

    assert SchemaCache(tmp_path, "http://registry").get(1) == "earlier"
