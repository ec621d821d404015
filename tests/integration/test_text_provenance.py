"""Where a text comes from, what people change in it, and what it was before.

Callers run in the test, with the real client, on a real database.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord
from prometheus_client import REGISTRY
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from processors.database.pool import transaction
from processors.database.queries import load
from processors.jobs.job_run import by_hand
from processors.kafka.batch import Batch
from processors.rows.derived import public_pages
from processors.settings import Settings
from processors.texts import report
from processors.texts.content.disclosure import FIELDS, Disclosure
from processors.texts.model.answer_handling import handling
from processors.texts.model.budgets import Budgets
from processors.texts.model.model_caller import _Stop
from processors.texts.requests import intake, store
from processors.texts.requests.publisher import StoredPublisher
from processors.texts.stage import CaughtUp, Parts, Stage
from schemas.codec import framing
from schemas.codec.schema import Schema
from tests.fix_enrichment import TERMS, Texts, cities, page, review
from tests.fix_stack import Site
from tests.openai_server import Call, Reply, ScriptedOpenAI, good

COLUMNS = ("texte_description_ia", "meta_description")


async def work(texts: Texts) -> None:
    """Deals with all that is due."""
    caller = texts.caller()
    while await caller._next():
        pass


def request(texts: Texts, kind: str, entity: UUID, reason: str = "asked") -> None:
    texts.site.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, state, generation) "
        "SELECT gen_random_uuid(), %s, %s, %s, 1, 'pending', "
        "CASE WHEN %s IN ('regenerate', 'overwrite') THEN ingest.next_generation(%s, %s) END",
        kind, entity, reason, reason, entity, kind,
    )  # fmt: skip


async def written(texts: Texts, kind: str, entity: UUID, reason: str = "asked") -> None:
    request(texts, kind, entity, reason)
    await work(texts)


def other(call: Call) -> Reply:
    """Another text each time that the model is asked."""
    return Reply(
        content=good(call.kind, call.data).replace("plusieurs", f"{call.number + 2}"),
        headers={"x-request-id": f"req-{call.number}"},
    )


async def test_each_column_says_where_it_comes_from(texts: Texts, model: ScriptedOpenAI) -> None:
    """Model as the provider names it, prompt, the provider's id, time and cost, in the site's reach."""
    [city] = cities(texts.site, 1)
    model.script = lambda call: Reply(
        raw=json.dumps(
            {
                "id": "chatcmpl-9", "model": "gpt-4o-mini-2024-07-18",
                "choices": [{"finish_reason": "stop", "message": {"content": good("VILLE", call.data)}}],
                "usage": {"prompt_tokens": 400, "completion_tokens": 100},
            }
        ).encode(),
    )  # fmt: skip
    await written(texts, "VILLE", city)

    marks = texts.site.query(
        "SELECT table_name, row_id, column_name, generated_by, model, prompt_version, request_id, "
        "cost::float, reviewed_by, reviewed_at, edited_at, is_edited, "
        "generated_at > now() - interval '1 minute' FROM ingest.text_marks ORDER BY column_name DESC"
    )
    cost = pytest.approx(0.00012)
    assert marks == [
        (
            "location_ville", city, column, "model", "gpt-4o-mini-2024-07-18",
            "system-1/ville-1", "chatcmpl-9", cost, None, None, None, False, True,
        )
        for column in COLUMNS
    ]  # fmt: skip
    [(source,)] = texts.site.query("SELECT DISTINCT digital_source_type FROM ingest.text_marks")
    assert source == "https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


async def test_the_request_id_of_the_provider(texts: Texts, model: ScriptedOpenAI) -> None:
    """The header by which the provider finds the request counts before the id of the answer."""
    model.script = other
    await written(texts, "VILLE", cities(texts.site, 1)[0])

    assert texts.site.query("SELECT DISTINCT request_id FROM ingest.text_provenance") == [
        ("req-0",)
    ]


async def test_a_review_holds_as_long_as_its_text(texts: Texts, model: ScriptedOpenAI) -> None:
    """The site says who has read a text; the same text keeps it, another has it no more."""
    model.script = other
    [city] = cities(texts.site, 1)
    await written(texts, "VILLE", city)
    texts.site.execute(
        "UPDATE ingest.text_provenance SET reviewed_by = 'Anne', reviewed_at = now()"
    )
    await written(texts, "VILLE", city)
    reviewed = "SELECT reviewed_by FROM ingest.text_provenance ORDER BY column_name DESC"
    assert texts.site.query(reviewed) == [("Anne",), ("Anne",)]
    await written(texts, "VILLE", city, "regenerate")

    # The meta description of the new answer is the same.
    assert texts.site.query(reviewed) == [(None,), ("Anne",)]


async def test_what_people_wrote_has_no_provenance(texts: Texts, model: ScriptedOpenAI) -> None:
    """Of a column that the model has not filled nothing says that it did."""
    [city] = cities(texts.site, 1)
    texts.site.execute("UPDATE location_ville SET meta_description = 'De la mairie.'")
    await written(texts, "VILLE", city)

    assert texts.site.query("SELECT column_name FROM ingest.text_marks") == [(COLUMNS[0],)]


async def test_an_edit_stays_and_is_recorded(texts: Texts, model: ScriptedOpenAI) -> None:
    """What people changed is marked at once in the view, recorded when it is met, never overwritten."""
    model.script = other
    [city] = cities(texts.site, 1)
    await written(texts, "VILLE", city)
    texts.site.execute("UPDATE location_ville SET texte_description_ia = 'Relu par la mairie.'")
    [mark] = texts.site.query(
        "SELECT generated_by, is_edited, digital_source_type FROM ingest.text_marks "
        "WHERE column_name = 'texte_description_ia'"
    )
    assert mark == (
        "model, then people",
        True,
        "https://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
    )
    texts.site.execute("UPDATE location_ville SET population = 7")
    for reason in ("import", "low-quality", "regenerate"):
        await written(texts, "VILLE", city, reason)

    assert len(model.calls) == 3  # the text, that of the changed row, and another
    assert texts.site.query("SELECT texte_description_ia FROM location_ville") == [
        ("Relu par la mairie.",)
    ]
    assert texts.site.query(
        "SELECT generated_by, edited_at IS NOT NULL FROM ingest.text_provenance "
        "ORDER BY column_name DESC"
    ) == [("model, then people", True), ("model", False)]


async def test_a_confirmed_regeneration_replaces_an_edit(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """The old text is kept, with who wrote it."""
    model.script = other
    [city] = cities(texts.site, 1)
    await written(texts, "VILLE", city)
    texts.site.execute("UPDATE location_ville SET texte_description_ia = 'Relu par la mairie.'")
    await written(texts, "VILLE", city, "overwrite")

    assert texts.site.query("SELECT texte_description_ia LIKE '%%3%%' FROM location_ville") == [
        (True,)
    ]
    assert texts.site.query(
        "SELECT column_name, text, written_by, request_id, reason FROM ingest.text_history"
    ) == [("texte_description_ia", "Relu par la mairie.", "people", "req-0", "overwrite")]
    found = report.report(settings(texts.site), 1)
    assert found["replaced"] == [{"reason": "overwrite", "texts": 1, "edited": 1}]
    assert "replaced for overwrite: 1 texts, 1 of them by people" in report.lines(found)
    assert texts.site.query("SELECT DISTINCT generated_by FROM ingest.text_marks") == [("model",)]


async def test_another_text_on_request(texts: Texts, model: ScriptedOpenAI) -> None:
    """The model is asked each time, the old text is kept, and who asks as before gets the new one."""
    model.script = other
    [city] = cities(texts.site, 1)
    await written(texts, "VILLE", city)
    [(first,)] = texts.site.query("SELECT texte_description_ia FROM location_ville")
    for _ in range(2):
        await written(texts, "VILLE", city, "regenerate")
    await written(texts, "VILLE", city, "expired")

    assert len(model.calls) == 3
    [(last,)] = texts.site.query("SELECT texte_description_ia FROM location_ville")
    assert "4 métiers" in last
    history = texts.site.query("SELECT text, written_by FROM ingest.text_history ORDER BY id")
    assert [written_by for _, written_by in history] == ["model", "model"]
    assert history[0][0] == first


async def test_an_expired_text_that_stays_keeps_its_dates(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Nothing was rewritten: only when it is looked at next moves."""
    proloc = page(texts.site)
    review(texts.site, proloc, 5, "Très bien.")
    for kind in ("PROLOCALISATION", "AVIS"):
        await written(texts, kind, proloc)
    texts.site.execute(
        "UPDATE ingest.enrichment_texts SET generated_at = generated_at - interval '91 days', "
        "expires_at = now() - interval '1 day'; "
        "UPDATE ingest.ai_results SET answered_at = answered_at - interval '91 days'; "
        "UPDATE ingest.text_provenance SET generated_at = generated_at - interval '91 days'; "
        "UPDATE enterprise_prolocalisation SET updated_at = '2026-01-01', "
        "date_derniere_generation_ia = '2026-01-01'; "
        "UPDATE reviews_avisdecrypte SET updated_at = '2026-01-01', date_generation = '2026-01-01', "
        "date_expiration = now() - interval '1 day'"
    )
    dates = (
        "SELECT date_derniere_generation_ia, p.updated_at, d.updated_at, date_generation "
        "FROM enterprise_prolocalisation p, reviews_avisdecrypte d"
    )
    made = "SELECT kind, generated_at FROM ingest.enrichment_texts ORDER BY kind"
    marked = "SELECT kind, column_name, generated_at FROM ingest.text_provenance ORDER BY 1, 2"
    before = [texts.site.query(each) for each in (dates, made, marked)]
    for kind in ("PROLOCALISATION", "AVIS"):
        await written(texts, kind, proloc, "expired")

    assert len(model.calls) == 2
    assert [texts.site.query(each) for each in (dates, made, marked)] == before
    assert texts.site.query(
        "SELECT bool_and(t.expires_at > now() AND d.date_expiration > now()) "
        "FROM ingest.enrichment_texts t, reviews_avisdecrypte d"
    ) == [(True,)]


async def test_a_synthesis_says_of_which_reviews_it_is(texts: Texts, model: ScriptedOpenAI) -> None:
    """Number, period and sources of the reviews that were sent: the fifty latest."""
    proloc = page(texts.site)
    for day in range(52):
        review(texts.site, proloc, 5, f"Très bien, le {day}.")
        texts.site.execute(
            "UPDATE reviews_avis SET date_avis = '2026-01-01'::date + %s WHERE texte = %s",
            day, f"Très bien, le {day}.",
        )  # fmt: skip
    await written(texts, "AVIS", proloc)

    assert texts.site.query(
        "SELECT DISTINCT table_name, row_id = (SELECT id FROM reviews_avisdecrypte), "
        "reviews_number, reviews_from::text, reviews_to::text, reviews_sources, count(*) OVER () "
        "FROM ingest.text_marks"
    ) == [("reviews_avisdecrypte", True, 50, "2026-01-03", "2026-02-21", "google", 4)]


def settings(site: Site) -> Settings:
    return Settings(database_url=site.database_url)  # type: ignore[arg-type]


def checked(texts: Texts) -> dict[str, int]:
    """Counts of the job `check-texts`, in transactions of two."""
    counts = by_hand(settings(texts.site), "check-texts", 2)
    return {name: count for name, count in counts.items() if count}


async def test_the_job_records_edits(texts: Texts, model: ScriptedOpenAI) -> None:
    """Edited once, as the model wrote it again, and gone with its row."""
    ids = cities(texts.site, 3)
    for city in ids:
        await written(texts, "VILLE", city)
    assert checked(texts) == {}
    before = texts.site.query(
        "SELECT texte_description_ia FROM location_ville WHERE id = %s", ids[1]
    )
    texts.site.execute(
        "UPDATE location_ville SET texte_description_ia = 'Relu.' WHERE id = %s", ids[1]
    )
    texts.site.execute("DELETE FROM location_ville WHERE id = %s", ids[2])
    assert checked(texts) == {"edited": 1, "gone": 2}
    assert texts.site.query(
        "SELECT entity_id, column_name FROM ingest.text_provenance WHERE edited_at IS NOT NULL "
        "AND generated_by = 'model, then people'"
    ) == [(ids[1], "texte_description_ia")]
    assert checked(texts) == {}
    texts.site.execute(
        "UPDATE location_ville SET texte_description_ia = %s WHERE id = %s", before[0][0], ids[1]
    )

    assert checked(texts) == {"restored": 1}


async def test_the_job_renews_what_withdrawn_reviews_said(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """A synthesis is written anew without them, and removed with the last."""
    model.script = other
    proloc = page(texts.site)
    for texte in ("Très bien.", "Décevant.", "Correct."):
        review(texts.site, proloc, 3, texte)
    await written(texts, "AVIS", proloc)
    review(texts.site, proloc, 3, "Un de plus.")
    assert checked(texts) == {}
    texts.site.execute("UPDATE reviews_avis SET masque = true WHERE texte = 'Décevant.'")
    texts.site.execute("UPDATE reviews_avis SET texte = 'Autre.' WHERE texte = 'Un de plus.'")
    assert checked(texts) == {"renewed": 1}
    assert checked(texts) == {}  # it waits already
    texts.site.execute("UPDATE ingest.enrichment SET state = 'pending' WHERE state = 'noted'")
    await work(texts)
    assert "Décevant" not in str(model.calls[-1].body)
    assert texts.site.query(
        "SELECT review_count, texte_brut LIKE '%%Décevant%%' FROM reviews_avisdecrypte"
    ) == [(3, False)]
    assert checked(texts) == {}
    texts.site.execute("UPDATE reviews_avis SET statut = 'rejete'")
    assert checked(texts) == {"removed": 1}

    for table in (
        "reviews_avisdecrypte",
        "ingest.text_provenance",
        "ingest.enrichment_texts",
        "ingest.text_history",
    ):
        assert texts.site.query(f"SELECT count(*)::int FROM {table}") == [(0,)], table
    assert texts.site.query(
        "SELECT note_moyenne::float, nb_avis FROM enterprise_prolocalisation"
    ) == [(0.0, 0)]


def mask(texts: Texts, name: str = "%", category: str | None = None) -> None:
    """As a row of SIRENE does for companies with this name: a natural person with status P, if no
    other legal category is given."""
    texts.site.execute(
        "INSERT INTO ingest.sirene (siren, diffusion_unite, categorie_juridique) "
        "SELECT siren, 'P', %s FROM enterprise_entreprise WHERE nom LIKE %s",
        category,
        name,
    )


@pytest.fixture
def disclosed(texts: Texts) -> Iterator[Texts]:
    """Nobody is masked, before and after."""
    texts.site.execute("DELETE FROM ingest.sirene")
    yield texts
    texts.site.execute("DELETE FROM ingest.sirene")


NATURAL, LEGAL = None, "5710"
"""Legal categories with status P: a person's is not known, or 1000."""


@pytest.mark.parametrize("category", [NATURAL, LEGAL])
@pytest.mark.parametrize("kind", ["PROLOCALISATION", "AVIS"])
async def test_a_company_that_is_masked_while_it_waits_is_not_sent(
    disclosed: Texts, model: ScriptedOpenAI, kind: str, category: str | None
) -> None:
    """Not if its request waits, and not if it has a caller that waits for a permit."""
    texts = disclosed
    proloc = page(texts.site)
    review(texts.site, proloc, 5, "Très bien.")
    request(texts, kind, proloc)
    caller = texts.caller()
    async with handling(texts.pool, TERMS) as handle:
        leased, prompt = await texts.claimed(handle)
    mask(texts, category=category)
    with pytest.raises(_Stop):
        await caller._permit(leased, prompt)
    request(texts, kind, proloc)
    await work(texts)

    assert model.calls == []
    assert texts.site.query("SELECT DISTINCT state, code FROM ingest.enrichment") == [
        ("failed", "no-input")
    ]


@pytest.mark.parametrize("category", [NATURAL, LEGAL])
async def test_a_company_that_is_masked_is_not_sent_in_a_batch(
    disclosed: Texts, model: ScriptedOpenAI, category: str | None
) -> None:
    """Although the batch was made before: others of it are sent."""
    texts = disclosed
    masked, shown = page(texts.site, "Dupont"), page(texts.site, "Martin")
    for proloc in (masked, shown):
        request(texts, "PROLOCALISATION", proloc, "missing")
    # What the batch did not send is due again at once.
    batcher = await texts.batcher(replace(TERMS, retry_seconds=0.0, batched=True))
    model.batch_trouble = lambda asked, _: 500 if asked == "GET /v1/batches" else None
    await batcher.step()
    mask(texts, "Dupont", category)
    model.batch_trouble = lambda _, __: None
    for _ in range(3):
        await batcher.step()

    assert {call.data["entreprise"] for call in model.batched} == {"Martin"}
    assert dict(texts.site.query("SELECT entity_id, state FROM ingest.enrichment")) == {
        masked: "failed", shown: "done",
    }  # fmt: skip


async def test_texts_of_masked_companies_are_removed(
    disclosed: Texts, model: ScriptedOpenAI
) -> None:
    """With their provenance, what stood there before, and every answer and bad answer about them."""
    texts = disclosed
    model.script = other
    proloc = page(texts.site)
    review(texts.site, proloc, 5, "Très bien.")
    for reason in ("asked", "regenerate"):
        for kind in ("PROLOCALISATION", "AVIS"):
            await written(texts, kind, proloc, reason)
    texts.site.execute(
        "INSERT INTO ingest.ai_rejected SELECT 'h', 1, 'AVIS', id, 'a', 'r', 1, 1, 0 "
        "FROM enterprise_prolocalisation"
    )
    mask(texts)
    [(siren,)] = texts.site.query("SELECT siren FROM enterprise_entreprise")
    async with transaction(texts.pool) as connection:
        await public_pages.withdraw(connection, [siren])

    for table in (
        "reviews_avisdecrypte",
        "ingest.text_provenance",
        "ingest.enrichment_texts",
        "ingest.text_history",
        "ingest.ai_results",
        "ingest.ai_rejected",
    ):
        assert texts.site.query(f"SELECT count(*)::int FROM {table}") == [(0,)], table


def regenerate(texts: Texts, *words: str) -> tuple[int, str]:
    done = texts.site.foxstream_worker("enrichment", "regenerate", *words)
    return done.code, done.stdout


async def test_the_command(texts: Texts, model: ScriptedOpenAI) -> None:
    """It names rows by id, slug or SIREN, says what stays, and overwrites only if that is confirmed."""
    model.script = other
    [city] = cities(texts.site, 1)
    proloc = page(texts.site)
    [(siren,)] = texts.site.query("SELECT siren FROM enterprise_entreprise")
    await written(texts, "VILLE", city)
    texts.site.execute(
        "UPDATE location_ville SET texte_description_ia = 'Relu.' WHERE id = %s", city
    )
    stay = "1 have columns that people edited: they stay (--overwrite)\n"
    assert regenerate(texts, "VILLE", "ville-1", str(city)) == (0, "1 asked anew\n" + stay)
    assert regenerate(texts, "PROLOCALISATION", siren) == (0, "1 asked anew\n")
    assert regenerate(texts, "VILLE", "nulle-part")[0] == 2
    assert regenerate(texts, "CHIEN", "ville-1")[0] == 2
    assert regenerate(texts, "VILLE", "ville-1", "--overwrite")[0] == 1  # nobody says yes
    assert regenerate(texts, "VILLE", "ville-1", "--overwrite", "--yes") == (0, "1 asked anew\n")

    assert texts.site.query(
        "SELECT entity_id, reason, generation FROM ingest.enrichment WHERE state = 'noted' "
        "ORDER BY reason, kind DESC"
    ) == [(city, "overwrite", 2), (city, "regenerate", 1), (proloc, "regenerate", 1)]


class Results:
    """A registry of the schema of results."""

    def schema(self, _: int) -> Schema:
        return framing.load("enrichment_result")


async def test_what_is_read_from_the_topic_has_its_provenance(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """A restored database has lost answers and texts: they come back as they were, and nothing is paid."""
    model.script = other
    [city] = cities(texts.site, 1)
    await written(texts, "VILLE", city)
    provenance = "SELECT * FROM ingest.text_provenance ORDER BY column_name"
    before = texts.site.query(provenance)
    sql = load("processors.texts.requests", "store.sql")
    async with (
        transaction(texts.pool) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        await cursor.execute(sql["results_unsent"])
        results = await cursor.fetchall()
    encoder = framing.Encoder("enrichment_result", 1)
    decoder = framing.Decoder("enrichment_result", Results())
    values = [
        encoder.encode({**r, "content": json.dumps(r["content"]), "cost": str(r["cost"])})
        for r in results
    ]
    texts.site.execute(
        "DELETE FROM ingest.ai_results; DELETE FROM ingest.enrichment_texts; "
        "DELETE FROM ingest.text_provenance; UPDATE location_ville SET texte_description_ia = ''"
    )
    back = [
        {**r, "answered_at": r["answered_at"].isoformat()}
        for r in decoder.decode_all(values)
        if isinstance(r, dict)
    ]
    async with transaction(texts.pool) as connection:
        await connection.execute(sql["results_read"], {"results": Jsonb(back)})
    await written(texts, "VILLE", city)

    assert len(model.calls) == 1
    after = texts.site.query(provenance)
    assert [row[:10] + row[11:] for row in after] == [row[:10] + row[11:] for row in before]
    assert [
        abs(a[10] - b[10]) < timedelta(milliseconds=1) for a, b in zip(after, before, strict=True)
    ]


async def test_cleaning_leaves_provenance(texts: Texts, model: ScriptedOpenAI) -> None:
    """It removes requests and old texts by their age; who wrote what stands is known for good."""
    model.script = other
    [city] = cities(texts.site, 1)
    for reason in ("asked", "regenerate"):
        await written(texts, "VILLE", city, reason)
    texts.site.execute(
        "UPDATE ingest.enrichment SET finished_at = '2020-01-01'; "
        "UPDATE ingest.text_history SET replaced_at = '2020-01-01'; "
        "UPDATE ingest.text_provenance SET generated_at = '2020-01-01'"
    )
    counts = by_hand(settings(texts.site), "clean")

    assert (counts["enrichment"], counts["text_history"]) == (2, 1)
    assert texts.site.query("SELECT count(*)::int FROM ingest.text_marks") == [(2,)]


ALWAYS_SENT = {
    "CATEGORIE": {"nom"}, "SOUS_CATEGORIE": {"nom"}, "VILLE": {"nom"}, "PROLOCALISATION": {"metier"},
    "AVIS": {"avis", "texte", "auteur"},
}  # fmt: skip


async def test_every_field_that_is_read_can_be_left_out(texts: Texts) -> None:
    """But what a text is about. The author of a review is read to be taken out of it."""
    [city] = cities(texts.site, 1)
    proloc = page(texts.site)
    review(texts.site, proloc, 5, "Très bien.")
    ids = {
        "CATEGORIE": "SELECT id FROM category_categorie",
        "SOUS_CATEGORIE": "SELECT id FROM subcategory_souscategorie",
        "VILLE": f"SELECT '{city}'::uuid",
        "PROLOCALISATION": f"SELECT '{proloc}'::uuid",
        "AVIS": f"SELECT '{proloc}'::uuid",
    }
    for kind, query in ids.items():
        request(texts, kind, texts.site.query(query)[0][0])
    for _ in ids:
        async with transaction(texts.pool) as connection:
            leased = await store.lease(connection, uuid4(), 60, 60, None, batched=False)
            assert leased is not None
            given = await store.prompt_input(connection, leased)
            assert given is not None
        fields = {*given, *(given["avis"][0] if "avis" in given else ())}
        assert fields == FIELDS[leased.kind] | ALWAYS_SENT[leased.kind], leased.kind


async def test_reviews_leave_without_what_names_people(texts: Texts, model: ScriptedOpenAI) -> None:
    """Neither the author nor a number reaches the model, and the text is stored all the same."""
    proloc = page(texts.site)
    review(texts.site, proloc, 5, "Merci ! Claire Secrète, 06 12 34 56 78, claire@example.org")
    await written(texts, "AVIS", proloc)

    [call] = model.calls
    [sent] = call.data["avis"]
    assert sent["texte"] == "Merci ! [nom], [téléphone], [adresse électronique]"
    assert not re.search("claire|secr", json.dumps(call.body, ensure_ascii=False), re.IGNORECASE)
    assert texts.site.query("SELECT count(*)::int FROM reviews_avisdecrypte") == [(1,)]


async def test_a_kind_that_is_switched_off_is_never_sent(
    texts: Texts, model: ScriptedOpenAI
) -> None:
    """Its requests are left; a field that is left out does not keep the others from being written."""
    terms = replace(TERMS, disclosure=Disclosure(frozenset({"VILLE"}), frozenset({"VILLE.region"})))
    [city] = cities(texts.site, 1)
    proloc = page(texts.site)
    request(texts, "VILLE", city)
    request(texts, "PROLOCALISATION", proloc)
    caller = texts.caller(terms)
    while await caller._next():
        pass

    assert [call.kind for call in model.calls] == ["VILLE"]
    assert "region" not in model.calls[0].data
    assert dict(texts.site.query("SELECT kind, state || ' ' || coalesce(code, '') FROM ingest.enrichment")) == {
        "VILLE": "done ", "PROLOCALISATION": "left switched-off",
    }  # fmt: skip


async def test_the_night_asks_for_no_kind_that_is_switched_off(texts: Texts) -> None:
    """Of a page, a trade and a family without texts only one kind is missing."""
    page(texts.site)
    chosen = settings(texts.site).model_copy(update={"ai_kinds": "CATEGORIE"})

    assert by_hand(chosen, "enrich-nightly")["missing"] == 1
    assert texts.site.query("SELECT kind FROM ingest.enrichment") == [("CATEGORIE",)]


def measured(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_is_measured_of_calls(texts: Texts, model: ScriptedOpenAI) -> None:
    """Time and outcome of a call, the wait for its permit, why it failed, and what each kind costs."""
    names = {
        "answered": partial(measured, "fox_ai_call_seconds_count", outcome="answered"),
        "failed": partial(measured, "fox_ai_call_seconds_count", outcome="failed"),
        "permits": partial(measured, "fox_ai_permit_seconds_count"),
        "code": partial(measured, "fox_ai_failures_total", code="http-400"),
        "cost": partial(measured, "fox_ai_cost_total", model="gpt-4o-mini", kind="VILLE"),
    }
    before = {name: ask() for name, ask in names.items()}
    under_way = []

    def script(call: Call) -> Reply:
        under_way.append(measured("fox_ai_calls_in_flight"))
        return Reply(400, error={"message": "bad"}) if call.number else Reply()

    model.script = script
    for city in cities(texts.site, 2):
        await written(texts, "VILLE", city)

    found = {name: ask() - before[name] for name, ask in names.items()}
    cost = found.pop("cost")
    assert found == {"answered": 1, "failed": 1, "permits": 2, "code": 1}
    assert cost == pytest.approx(0.00012)
    assert under_way == [1, 1]
    assert measured("fox_ai_calls_in_flight") == 0


async def test_what_is_measured_of_requests(texts: Texts) -> None:
    """The age of the oldest that waits, and the ten imports that cost most."""
    [city] = cities(texts.site, 1)
    dear = [uuid4() for _ in range(12)]
    for number, import_id in enumerate(dear):
        texts.site.execute(
            "INSERT INTO ingest.ai_budgets VALUES (%s, %s)", f"import {import_id}", number
        )
    request(texts, "VILLE", city)
    texts.site.execute("UPDATE ingest.enrichment SET asked_at = now() - interval '1 hour'")

    async def ends() -> dict[int, int]:
        return {}

    nothing: Any = None
    parts = Parts(texts.pool, None, TERMS, nothing, CaughtUp("t", ends), TERMS, 60.0, Budgets({}))
    await Stage(parts)._look()
    assert measured("fox_enrichment_oldest_seconds") == pytest.approx(3600, abs=60)
    costs = {str(i): measured("fox_ai_import_cost_dollars", **{"import": str(i)}) for i in dear}
    assert [costs[str(i)] for i in dear] == [0, 0, *range(2, 12)]
    texts.site.execute("DELETE FROM ingest.enrichment; DELETE FROM ingest.ai_budgets")
    await Stage(parts)._look()

    assert measured("fox_enrichment_oldest_seconds") == 0
    assert measured("fox_ai_import_cost_dollars", **{"import": str(dear[11])}) == 0


async def test_removed_answers_leave_the_topic(disclosed: Texts, model: ScriptedOpenAI) -> None:
    """A tombstone follows each, and what is read again from the topic ends without the answer."""
    texts = disclosed
    proloc = page(texts.site)
    await written(texts, "PROLOCALISATION", proloc)
    [(prompt_hash,)] = texts.site.query("SELECT prompt_hash FROM ingest.ai_results")
    sent: list[ConsumerRecord] = []

    async def send(topic: str, key: bytes, value: bytes | None, _: Any) -> int:
        sent.append(
            ConsumerRecord(
                topic, 0, len(sent), int(time() * 1000) + 1, 1, key, value, None, 0, 0, ()
            )
        )
        return len(sent) - 1

    encoder = framing.Encoder("enrichment_result", 1)
    publisher = StoredPublisher(
        texts.pool, send, ("requests", encoder), ("results", encoder), lambda _, __: None, 1
    )
    while await publisher.publish():
        pass
    mask(texts)
    [(siren,)] = texts.site.query("SELECT siren FROM enterprise_entreprise")
    async with transaction(texts.pool) as connection:
        await public_pages.withdraw(connection, [siren])
    while await publisher.publish():
        pass
    found = [(record.key, record.value is None) for record in sent]
    assert found == [(prompt_hash.encode(), False), (prompt_hash.encode(), True)]
    results = intake.Results(framing.Decoder("enrichment_result", Results()), texts.pool)

    async def read(*records: ConsumerRecord) -> list[Any]:
        """What a database without answers knows once it has read these."""
        texts.site.execute(
            "DELETE FROM ingest.ai_results; DELETE FROM ingest.positions; "
            "INSERT INTO ingest.positions VALUES ('results', 0, '', '', 1, 0)"
        )
        for at, record in enumerate(records):
            await results._write(Batch("results", 0, at, at + 1, [record], None))
        return texts.site.query("SELECT prompt_hash FROM ingest.ai_results")

    answer, tombstone = sent
    assert await read(answer) == [(prompt_hash,)]
    assert await read(answer, tombstone) == []
    assert await read(tombstone, answer) == [(prompt_hash,)]
    # One that was given after the tombstone, as the database knows it.
    texts.site.execute("UPDATE ingest.ai_results SET answered_at = now() + interval '1 minute'")
    await results._write(Batch("results", 0, 2, 3, [tombstone], None))
    assert texts.site.query("SELECT prompt_hash FROM ingest.ai_results") == [(prompt_hash,)]
    joined = results._last(Batch("results", 0, 0, 2, sent, None))
    assert isinstance(joined[prompt_hash], float)
