"""Uploads and workers while the schema registry is away, or something else answers in its place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.codec.framing import load
from schemas.runtime.registry import Registry
from schemas.topics import TOPICS
from tests.fake_registry import FakeRegistry, fake_registry
from tests.fix_stack import Site, eventually


@pytest.fixture
def front(site: Site) -> Iterator[FakeRegistry]:
    """What stands in front of the site's registry."""
    with fake_registry() as fake, Registry(site.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        for topic in TOPICS:
            if topic.record is not None:
                subject = f"{site.prefix}{topic.name}-value"
                schema_id = registry.schema_id(subject, load(topic.record))
                fake.subjects[subject] = schema_id
                fake.schemas[schema_id] = load(topic.record)
        yield fake


@pytest.mark.parametrize("trouble", [(404, b"default backend - 404"), (503, b"")])
def test_an_upload_without_a_registry(
    site: Site, front: FakeRegistry, tmp_path: Path, trouble: tuple[int, bytes]
) -> None:
    """A file is imported and written, by a worker too that starts meanwhile: the schemas are known."""
    settings = {"FOX_SCHEMA_REGISTRY_URL": front.url, "FOX_SCHEMA_CACHE": str(tmp_path / "schemas")}
    behind = replace(site, settings={**site.settings, **settings})
    for number in (1, 2):
        (tmp_path / f"{number}.csv").write_text(
            f"siren;nom\n73282932{number};Entreprise {number}\n"
        )
    words = ("--type", "entreprise", "--json")
    first = behind.foxstream("import", tmp_path / "1.csv", "--no-follow", *words)
    assert first.code == 0, first.stderr
    worker = behind.worker("rows", "imports")
    rows = "SELECT count(*) FROM enterprise_entreprise"
    eventually(lambda: site.query(rows) == [(1,)])
    worker.stop()
    front.trouble = trouble

    second = behind.foxstream("import", tmp_path / "2.csv", "--no-follow", *words)
    assert second.code == 0, second.stderr
    behind.worker("rows", "imports")

    eventually(lambda: site.query(rows) == [(2,)])
    assert site.query("SELECT count(*) FROM ingest.rejects") == [(0,)]
