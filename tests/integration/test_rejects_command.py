"""`foxstream-worker rejects` and `trace`: what a person finds out and does about single rows."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.fix_companies import Companies
from tests.fix_stack import Finished, Site, eventually, headers
from tests.integration.test_strange_records import COMPANIES, Upstream, settled, siren, stored


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


def test_a_reject_is_sent_again_once_what_refused_it_is_fixed(
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
    assert (again.code, again.stdout) == (0, "1 sent again\n")
    [second] = eventually(lambda: open_rejects(site, "--code", "out-of-range"))
    assert (second["attempt"], second["predecessor"]) == (2, refused["id"])
    site.execute("ALTER TABLE enterprise_entreprise DROP CONSTRAINT no_sevens")
    assert rejects(site, "replay", "--all", "--code", "out-of-range").code == 0
    eventually(lambda: site.query("SELECT 1 FROM enterprise_entreprise WHERE siren = %s", siren(7)))

    sent = [m for m in site.messages(COMPANIES) if m.key() == siren(7).encode()]
    assert [message.value() for message in sent] == [value] * 3
    assert [headers(message).get("ingest.attempt") for message in sent] == [None, b"2", b"3"]
    assert {headers(message)["sender"] for message in sent} == {b"crm"}
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


def test_what_was_true_when_it_was_refused_overwrites_nothing_newer(
    site: Site, upstream: Upstream
) -> None:
    """A row without observed_at is as old as its first record, however often it is sent again."""
    site.worker()
    site.execute("ALTER TABLE enterprise_entreprise ADD CONSTRAINT no CHECK (nom <> 'refused')")
    seen: set[str] = set()
    upstream.send_company(1, nom="refused")
    upstream.flush()
    first = next_reject(site, seen)
    upstream.send_company(1, nom="newer")
    upstream.flush()
    eventually(lambda: site.query("SELECT 1 FROM enterprise_entreprise"))
    assert rejects(site, "replay", first["id"]).code == 0
    eventually(lambda: len(site.messages(COMPANIES)) == 3)
    site.execute("ALTER TABLE enterprise_entreprise DROP CONSTRAINT no")
    assert rejects(site, "replay", "--all", "--force").code == 0

    upstream.send_company(2)
    upstream.flush()
    eventually(lambda: settled(site))

    assert stored(site, 1) == ("newer",)


def test_one_that_cannot_be_sent_holds_up_no_other(site: Site, upstream: Upstream) -> None:
    """Neither one that comes back for ever nor one that its topic takes no more."""
    site.worker()
    upstream.send("wrong", upstream.company(1), headers={"ingest.attempt": b"3"})
    upstream.send("large", b"x" * 1_048_480)
    upstream.send("other", upstream.company(2))
    upstream.flush()
    found = {reject["key"]: reject for reject in all_of(site, 3)}

    done = rejects(site, "replay", "--all")

    assert done.code == 4
    assert f"{found['large']['id']} is with its new headers larger" in done.stderr
    remaining = {reject["key"]: reject for reject in all_of(site, 3)}
    assert remaining["large"]["id"] == found["large"]["id"]
    assert remaining["wrong"]["id"] == found["wrong"]["id"]
    assert remaining["other"]["predecessor"] == found["other"]["id"]
    assert rejects(site, "discard", found["large"]["id"], "--reason", "too large").code == 0
    assert "1 not: they came back 3 times" in rejects(site, "replay", "--all").stdout


def all_of(site: Site, number: int) -> list[dict[str, Any]]:
    """The open rejects, when they are so many."""

    def found() -> list[dict[str, Any]]:
        some = open_rejects(site)
        return some if len(some) == number else []

    return eventually(found)


STRANGE: list[dict[str, Any]] = [
    {"key": b"\xff\xfe\0", "value": None},
    {"key": None, "value": b"", "headers": [("", None), ("", b""), ("\x1b[31m", b"\0\xff")]},
    {"key": "\x1b]0;title\x07", "value": b"\0" * 5},
    {"key": "a", "value": b"a", "headers": [("ingest.attempt", b"-1")]},
    {"key": "b", "value": b"b", "headers": [("ingest.attempt", "²".encode())]},
    {"key": "c", "value": b"c", "headers": [("ingest.attempt", b"9" * 5000)]},
    {"key": "d", "value": b"d", "headers": [("ingest.attempt", b"2")] * 3},
    {"key": "e", "value": b"e", "headers": [("ingest.reject_id", b"\xff\x1b")]},
    {"key": "f", "value": b"f", "headers": [("ingest.appended_at", b"0001-01-01T00:00+14:00")]},
]


def test_strange_records_are_shown_and_sent_again(site: Site, upstream: Upstream) -> None:
    """Bytes that are no text, headers that foxstream would have written otherwise: all of them."""
    site.worker()
    for record in STRANGE:
        upstream.send(**record)
    upstream.flush()
    found = all_of(site, len(STRANGE))

    for reject in found:
        if reject["key"] in (None, "e", "\\xff\\xfe\0"):
            assert "\x1b" not in rejects(site, "show", reject["id"]).stdout
    assert "\x1b" not in rejects(site, "list").stdout
    assert rejects(site, "replay", "--all").stdout == f"{len(STRANGE)} sent again\n"

    again = all_of(site, len(STRANGE))
    assert {reject["predecessor"] for reject in again} == {reject["id"] for reject in found}
    assert sorted(reject["attempt"] for reject in again) == [2] * 8 + [3]
    sent = [(message.key(), message.value()) for message in site.messages(COMPANIES)]
    assert all(sent.count((as_bytes(one["key"]), one["value"])) == 2 for one in STRANGE)
    for message in site.messages(COMPANIES):
        names = [name for name, _ in message.headers() or []]
        assert names.count("ingest.reject_id") <= 1
    assert site.foxstream_worker("trace", "\x1b]0;title\x07").code == 0


def as_bytes(key: str | bytes | None) -> bytes | None:
    return key.encode() if isinstance(key, str) else key


def test_rejects_that_are_not_there(site: Site) -> None:
    """An id that is none, one that nobody has, and words of no use are each told in a line."""
    nobody = str(uuid4())
    assert rejects(site, "show", "x").code == 2
    for words in (["show", nobody], ["replay", nobody], ["discard", nobody, "--reason", "x"]):
        done = rejects(site, *words)
        assert (done.code, done.stderr) == (4, f"foxstream-worker: there is no reject {nobody}\n")
    assert rejects(site, "replay").code == 2
    assert rejects(site, "replay", nobody, "--code", "malformed").code == 2
    assert rejects(site, "list").stdout == "no open rejects\n"
    assert rejects(site, "replay", "--all").stdout == "0 sent again\n"
    assert site.foxstream_worker("trace", "1", "--type", "nothing").code == 2
    assert site.foxstream_worker("trace", "\udcff").code == 2


def test_a_server_that_is_away_or_not_prepared(site: Site) -> None:
    """A line says so, for each command that looks into the database."""
    for words in (["rejects", "list"], ["trace", "1"]):
        site.settings = {"FOX_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        away = site.foxstream_worker(*words)
        site.settings = {"FOX_DATABASE_URL": site.stack.environment["FOX_DATABASE_URL"]}
        bare = site.foxstream_worker(*words)

        assert (away.code, away.stderr.count("Traceback")) == (5, 0)
        assert (bare.code, "foxstream-worker migrate" in bare.stderr) == (2, True), bare.stderr


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

    upstream.send(key, upstream.company(int(key) - 1, nom="Autre"))
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
        and message.value() == upstream.company(int(key) - 1, nom="Autre")
    )
    assert second["last"]["partition"] == record.partition()
    assert second["last"]["offset"] == record.offset()
    assert [reject["faults"][0]["code"] for reject in second["rejects"]] == ["undecodable"]
    assert "updated" in site.foxstream_worker("trace", key).stdout
    assert site.foxstream_worker("trace", "nobody").code == 4


def test_many_at_once_by_two_people(site: Site, upstream: Upstream) -> None:
    """Each is sent once, in the order in which they came."""
    site.worker()
    for number in range(250):
        upstream.send(f"k{number % 7}", b"broken %d" % number)
    upstream.flush()
    eventually(lambda: len(open_rejects(site, "--limit", "1000")) == 250)
    ids = [reject["id"] for reject in open_rejects(site, "--limit", "1000")]
    first = [(m.partition(), m.value()) for m in site.messages(COMPANIES)]

    with ThreadPoolExecutor() as people:
        words = ("replay", *ids, "--rate", "100000")
        done = list(people.map(lambda _: rejects(site, *words), range(2)))

    assert sorted(each.code for each in done) == [0, 4]
    assert "was sent again at" in max(done, key=lambda each: each.code).stderr
    eventually(lambda: len(open_rejects(site, "--limit", "1000")) == 250)
    sent = [(m.partition(), m.value()) for m in site.messages(COMPANIES)]
    for partition in {number for number, _ in first}:
        came = [value for number, value in first if number == partition]
        assert [value for number, value in sent if number == partition] == came * 2


def test_a_replay_that_kafka_does_not_take(site: Site, upstream: Upstream) -> None:
    """It is told, and the rejects stay open."""
    site.worker()
    upstream.send("wrong", upstream.company(1))
    upstream.flush()
    [found] = all_of(site, 1)
    site.execute("UPDATE ingest.rejects SET topic = 'gone.' || topic")

    done = rejects(site, "replay", found["id"])

    assert (done.code, done.stderr.count("Traceback")) == (5, 0)
    assert found["id"] in done.stderr
    assert [reject["id"] for reject in open_rejects(site)] == [found["id"]]


def test_the_way_of_rows_of_every_type(site: Site, tmp_path: Path) -> None:
    """By slug, name or code; a row that waits for its parent is told too."""
    site.worker()
    files = {
        "ville": "Villes\nSaint Étienne (42000)\n",
        "departement": "code,nom\n42,Loire\n",
        "categorie": "nom\nSanté & Bien-être\n",
        "sous_categorie": "nom,categorie\nOpticien,Santé & Bien-être\nFleuriste,Nature\n",
    }
    for kind, content in files.items():
        path = tmp_path / f"{kind}.csv"
        path.write_text(content, encoding="utf-8")
        assert site.foxstream("import", path, "--type", kind).code in (0, 3)

    for key, kind in {
        "saint-etienne-42000": "VILLE",
        "42": "DEPARTEMENT",
        "Santé & Bien-être": "CATEGORIE",
        "sante-bien-etre": "CATEGORIE",
        "OPTICIEN": "SOUS_CATEGORIE",
    }.items():
        done = site.foxstream_worker("trace", key, "--type", kind.lower(), "--json")
        [found] = json.loads(done.stdout)
        assert (found["type"], found["last"]["outcome"], found["last"]["line"]) == (
            kind,
            "inserted",
            2,
        )
        assert found["last"]["import"]["file_name"] == f"{kind.lower()}.csv"
        assert found["last"]["import"]["file_sha256"]
    [waiting] = json.loads(site.foxstream_worker("trace", "Nature", "--json").stdout)
    assert (waiting["row"], waiting["parked"][0]["line"]) == (None, 3)
    assert "waits for Nature" in site.foxstream_worker("trace", "nature").stdout
