"""`foxstream-worker rejects` and `trace`: what a person finds out and does about single rows."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.fix_companies import Companies
from tests.fix_stack import Finished, Site, eventually
from tests.integration.test_strange_records import COMPANIES, Upstream, siren


@pytest.fixture
def upstream(site: Site) -> Upstream:
    return Upstream(site)


def rejects(site: Site, *words: str) -> Finished:
    return site.foxstream_worker("rejects", *words)


def open_rejects(site: Site, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rejects(site, "list", "--json", *words).stdout)
    return found


def next_reject(site: Site, seen: set[str]) -> dict[str, Any]:
    """The open reject that was not seen before."""
    [found] = eventually(lambda: [r for r in open_rejects(site) if r["id"] not in seen])
    seen.add(found["id"])
    return found


def test_a_reject_is_sent_again_once_what_refused_it_is_mended(
    site: Site, upstream: Upstream
) -> None:
    """Byte for byte; it leaves the list, and what refuses it again is a reject that knows of it."""
    site.worker()
    site.execute(
        "ALTER TABLE enterprise_entreprise ADD CONSTRAINT no_sevens CHECK (nom NOT LIKE '%7')"
    )
    value = upstream.company(7)
    upstream.send(siren(7), value, headers=[("sender", b"crm")])
    upstream.send("wrong", upstream.company(8))
    upstream.flush()
    eventually(lambda: len(open_rejects(site)) == 2)
    [refused] = open_rejects(site, "--code", "out-of-range")

    again = rejects(site, "replay", refused["id"])
    assert (again.code, again.stdout) == (0, "1 of 1 sent again\n")
    [second] = eventually(lambda: open_rejects(site, "--code", "out-of-range"))
    assert (second["attempt"], second["predecessor"]) == (2, refused["id"])
    site.execute("ALTER TABLE enterprise_entreprise DROP CONSTRAINT no_sevens")
    assert rejects(site, "replay", "--all", "--code", "out-of-range").code == 0
    eventually(lambda: site.query("SELECT 1 FROM enterprise_entreprise WHERE siren = %s", siren(7)))

    sent = [m for m in site.messages(COMPANIES) if m.key() == siren(7).encode()]
    assert [message.value() for message in sent] == [value] * 3
    assert [dict(message.headers()).get("ingest.attempt") for message in sent] == [None, b"2", b"3"]
    assert {dict(message.headers())["sender"] for message in sent} == {b"crm"}
    assert [found["faults"][0]["code"] for found in open_rejects(site)] == ["key-mismatch"]
    assert rejects(site, "replay", refused["id"]).code == 4


def test_a_record_that_always_comes_back(site: Site, upstream: Upstream) -> None:
    """After three attempts it takes force; given up, it is gone from the list and keeps its bytes."""
    site.worker()
    upstream.send("wrong", upstream.company(9))
    upstream.flush()
    seen: set[str] = set()
    for attempt in (1, 2):
        found = next_reject(site, seen)
        assert found["attempt"] == attempt
        assert rejects(site, "replay", found["id"]).code == 0
    found = next_reject(site, seen)
    again = rejects(site, "replay", found["id"])
    assert again.code == 4
    assert "--force" in again.stderr

    assert rejects(site, "discard", found["id"], "--reason", "no company").code == 0

    assert open_rejects(site) == []
    shown = json.loads(rejects(site, "show", found["id"]).stdout)
    assert shown["discarded_why"] == "no company"
    assert bytes.fromhex(shown["value"]) == upstream.company(9)
    assert shown["record"]["siren"] == siren(9)
    assert rejects(site, "discard", found["id"], "--reason", "again").code == 4


def test_rejects_that_are_not_there(site: Site) -> None:
    """An id that is none, one that nobody has, and a Kafka that is away are each told in a line."""
    assert rejects(site, "show", "x").code == 2
    assert rejects(site, "show", str(uuid4())).code == 4
    assert rejects(site, "replay").code == 2
    assert rejects(site, "list").stdout == "no open rejects\n"


def test_lines_of_an_import_go_back_by_retry(site: Site, companies: Companies) -> None:
    """They are listed by the import's id, and not sent again here: their numbers are settled."""
    site.worker()
    done = site.foxstream("import", companies.file(20), "--type", "entreprise", "--json")
    import_id = done.json()["id"]

    found = eventually(lambda: open_rejects(site, "--import", import_id))
    refused = rejects(site, "replay", found[0]["id"])

    assert open_rejects(site) == []
    assert refused.code == 4
    assert f"foxstream retry {import_id}" in refused.stderr


def test_the_way_of_a_row(site: Site, companies: Companies, upstream: Upstream) -> None:
    """A company's row tells its file and line; a later one of an upstream system its offset."""
    site.worker()
    path = companies.file(200)
    site.foxstream("import", path, "--type", "entreprise")
    key = "100000150"

    [first] = json.loads(site.foxstream_worker("trace", key, "--json").stdout)
    assert first["row"]["nom"] == "Entreprise 150"
    assert first["last"]["outcome"] == "inserted"
    assert (first["last"]["line"], first["last"]["import"]["file_name"]) == (152, path.name)

    upstream.send(key, upstream.company(int(key), nom="Autre"))
    upstream.send(key, b"broken")
    upstream.flush()
    eventually(lambda: open_rejects(site))
    [second] = json.loads(site.foxstream_worker("trace", key, "--json").stdout)
    assert second["row"]["nom"] == "Autre"
    assert (second["last"]["outcome"], second["last"]["import"]) == ("updated", None)
    record = next(
        message
        for message in site.messages(COMPANIES)
        if message.key() == key.encode()
        and message.value() == upstream.company(int(key), nom="Autre")
    )
    assert second["last"]["partition"] == record.partition()
    assert second["last"]["offset"] == record.offset()
    assert [reject["faults"][0]["code"] for reject in second["rejects"]] == ["undecodable"]
    assert "updated" in site.foxstream_worker("trace", key).stdout
    assert site.foxstream_worker("trace", "nobody").code == 4
