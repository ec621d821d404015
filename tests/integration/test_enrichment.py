"""Texts by a language model: real workers, Kafka and PostgreSQL, and a server that plays the model."""

import threading
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.fix_enrichment import (
    ask,
    cities,
    configure,
    page,
    report,
    settled,
    standing,
    states,
)
from tests.fix_stack import Site, eventually
from tests.openai_server import Call, Reply, ScriptedOpenAI, good


def test_b36_b38_a_text_with_all_that_is_known_of_it(shop: Site, model: ScriptedOpenAI) -> None:
    """B36, B38: the text stands in the site's row; model, version, hashes, tokens, cost and expiry beside it."""
    [city] = cities(shop, 1)
    shop.worker("enrichment")
    ask(shop, "VILLE", [city])

    assert settled(shop, 1) == {"done": 1}
    [(text, meta, moved)] = shop.query(
        "SELECT texte_description_ia, meta_description, updated_at > created_at FROM location_ville"
    )
    assert "Ville 1" in text
    assert 0 < len(meta) <= 160
    assert moved
    [known] = shop.query(
        "SELECT prompt_version, model, length(input_hash), length(prompt_hash), tokens_in, "
        "tokens_out, cost::float, expires_at - generated_at = '90 days' FROM ingest.enrichment_texts"
    )
    assert known == (
        "system-1/ville-1",
        "gpt-4o-mini",
        64,
        64,
        400,
        100,
        pytest.approx(0.00012),
        True,
    )
    eventually(lambda: len(shop.messages("enrichment.results")) == 1)
    [call] = model.calls
    assert call.authorization == "Bearer sk-test-secret"
    assert call.body["response_format"]["json_schema"]["strict"] is True


def test_upstream_systems_ask_by_natural_key(shop: Site, model: ScriptedOpenAI) -> None:
    """A slug or a SIREN names rows; what names none, and what is no request, is a reject."""
    from confluent_kafka import Producer

    from schemas.codec import Encoder, load
    from schemas.registry import Registry

    cities(shop, 1)
    proloc = page(shop)
    [(siren,)] = shop.query("SELECT siren FROM enterprise_entreprise")
    shop.worker("enrichment")
    with Registry(shop.stack.environment["FOX_SCHEMA_REGISTRY_URL"]) as registry:
        subject = f"{shop.prefix}enrichment-value"
        encoder = Encoder(
            "enrichment_request", registry.schema_id(subject, load("enrichment_request"))
        )
    producer = Producer({"bootstrap.servers": shop.stack.environment["FOX_KAFKA_BOOTSTRAP"]})
    base = {"id": None, "import_id": None, "reason": "upstream", "priority": 1}
    for kind, entity in (
        ("VILLE", "ville-1"), ("PROLOCALISATION", siren), ("VILLE", "nulle-part"), ("CHIEN", "x"),
    ):  # fmt: skip
        value = encoder.encode({**base, "kind": kind, "entity": entity})
        producer.produce(f"{shop.prefix}enrichment", value, entity)
    producer.produce(f"{shop.prefix}enrichment", b"no avro", b"x")
    producer.flush()

    assert settled(shop, 2) == {"done": 2}
    assert shop.query("SELECT texte_long_entreprise <> '' FROM enterprise_prolocalisation") == [
        (True,)
    ]
    assert shop.query("SELECT entity_id FROM ingest.enrichment WHERE kind = 'PROLOCALISATION'") == [
        (proloc,)
    ]
    eventually(lambda: len(shop.query("SELECT id FROM ingest.rejects")) == 3)
    codes = shop.query("SELECT faults -> 0 ->> 'code' FROM ingest.rejects")
    assert {"unknown-entity", "malformed"} < {code for (code,) in codes}


def test_the_same_is_never_paid_twice(shop: Site, model: ScriptedOpenAI) -> None:
    """Asked again, at once by several and after a restart, the answer is known and costs nothing."""
    ids = cities(shop, 5)
    first = shop.worker("enrichment")
    ask(shop, "VILLE", ids * 3)
    assert settled(shop, 15) == {"done": 15}
    first.kill()
    shop.worker("enrichment")
    ask(shop, "VILLE", ids)

    assert settled(shop, 20) == {"done": 20}
    assert len(model.paid) == 5


def test_a_restored_database_reads_its_answers_again(shop: Site, model: ScriptedOpenAI) -> None:
    """What the database lost stands on the topic, and is read before anything is asked."""
    ids = cities(shop, 5)
    worker = shop.worker("enrichment")
    ask(shop, "VILLE", ids)
    settled(shop, 5)
    eventually(lambda: len(shop.messages("enrichment.results")) == 5)
    worker.kill()
    # As a backup from before: no positions, no answers, no requests, no texts.
    shop.execute("DELETE FROM ingest.positions")
    shop.execute("DELETE FROM ingest.ai_results")
    shop.execute("DELETE FROM ingest.enrichment_texts")
    shop.execute("DELETE FROM ingest.enrichment")
    shop.execute("UPDATE location_ville SET texte_description_ia = '', meta_description = ''")
    shop.worker("enrichment")

    # The topic still holds the requests.
    assert settled(shop, 5) == {"done": 5}
    assert len(model.calls) == 5
    assert shop.query(
        "SELECT count(*)::int FROM location_ville WHERE texte_description_ia <> ''"
    ) == [(5,)]


def test_requests_that_come_before_the_answers(shop: Site, model: ScriptedOpenAI) -> None:
    """No answer is claimed while those on the topic are still being read after a restore."""
    worker = shop.worker("enrichment")
    ask(shop, "VILLE", cities(shop, 5))
    settled(shop, 5)
    eventually(lambda: len(shop.messages("enrichment.results")) == 5)
    worker.kill()
    shop.execute("DELETE FROM ingest.positions WHERE topic LIKE '%enrichment'")
    shop.execute("UPDATE ingest.positions SET next_offset = 0 WHERE topic LIKE '%results'")
    for table in ("ai_results", "enrichment_texts", "enrichment"):
        shop.execute(f"DELETE FROM ingest.{table}")
    with psycopg.connect(shop.database_url) as somebody:
        # Nobody can move the positions of the answers.
        somebody.execute("SELECT FROM ingest.positions WHERE topic LIKE '%results' FOR UPDATE")
        shop.worker("enrichment")
        eventually(lambda: states(shop) == {"pending": 5})
        threading.Event().wait(3)  # for what must not come
        assert states(shop) == {"pending": 5}

    assert settled(shop, 5) == {"done": 5}
    assert len(model.calls) == 5


def test_answers_are_asked_again_with_what_is_wrong(shop: Site, model: ScriptedOpenAI) -> None:
    """At most twice; the bad ones are kept apart, their cost counts, and none reaches the site."""
    ids = cities(shop, 2)

    def script(call: Call) -> Reply:
        bad = good("VILLE", call.data).replace("Chacun", "TODO Chacun")
        if call.data["nom"] == "Ville 1" and len(call.body["messages"]) > 2:
            return Reply()
        return Reply(content=bad)

    model.script = script
    shop.worker("enrichment")
    ask(shop, "VILLE", ids)

    assert settled(shop, 2) == {"done": 1, "failed": 1}
    assert len(model.calls) == 2 + 3
    again = next(call for call in model.calls if len(call.body["messages"]) == 4)
    assert "TODO" in again.body["messages"][3]["content"]
    assert again.body["messages"][0] == model.calls[0].body["messages"][0]
    assert shop.query("SELECT count(*)::int FROM ingest.ai_rejected") == [(4,)]
    assert shop.query("SELECT nom FROM location_ville WHERE texte_description_ia <> ''") == [
        ("Ville 1",)
    ]
    assert shop.query("SELECT tokens_in FROM ingest.enrichment_texts") == [(800,)]
    [(code, message)] = shop.query(
        "SELECT code, message FROM ingest.enrichment WHERE state = 'failed'"
    )
    assert code == "quality"
    assert "TODO" in message
    [(spent,)] = shop.query("SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'")
    assert spent == pytest.approx(5 * 0.00012)
    # By night the same would be asked in vain; a person may.
    ask(shop, "VILLE", ids, "missing")
    settled(shop, 4)
    assert len(model.calls) == 5


def test_a_row_that_changes_meanwhile_is_asked_anew(shop: Site, model: ScriptedOpenAI) -> None:
    """No text about what the row was is stored."""
    [city] = cities(shop, 1)

    def script(call: Call) -> Reply:
        if call.number == 0:
            shop.execute("UPDATE location_ville SET nom = 'Autre'")
        return Reply()

    model.script = script
    shop.worker("enrichment")
    ask(shop, "VILLE", [city])

    assert settled(shop, 1) == {"done": 1}
    [(text,)] = shop.query("SELECT texte_description_ia FROM location_ville")
    assert "Autre" in text
    assert len(model.paid) == 2


def test_what_people_wrote_stays(shop: Site, model: ScriptedOpenAI) -> None:
    """Only empty columns and texts of the model are filled."""
    [city] = cities(shop, 1)
    shop.execute("UPDATE location_ville SET meta_description = 'De la mairie.'")
    shop.worker("enrichment")
    ask(shop, "VILLE", [city])
    settled(shop, 1)

    assert shop.query(
        "SELECT meta_description, texte_description_ia <> '' FROM location_ville"
    ) == [("De la mairie.", True)]


def rotten(call: Call) -> Reply:
    """Three calls of ten fail, each prompt at most twice, in all the ways that pass."""
    if call.repeated >= 2 or call.number % 10 >= 3:
        return Reply(hang=0.05)
    return (
        Reply(500),
        Reply(503, headers={"Retry-After-Ms": "50"}),
        Reply(429, headers={"Retry-After": "0.1"}, error={"code": "rate_limit_exceeded"}),
        Reply(reset=True),
        Reply(raw=b"{"),
    )[call.number // 10 % 5]


def test_a_thousand_requests_two_workers_and_two_kills(shop: Site, model: ScriptedOpenAI) -> None:
    """Each text is stored once; what is asked twice was in flight at a kill; the rate holds."""
    configure(shop, requests_per_minute=60, concurrency=4, breaker_failures=50)
    ids = cities(shop, 1000)
    model.script = rotten
    workers = [shop.worker("enrichment"), shop.worker("enrichment")]
    ask(shop, "VILLE", ids)
    for done in (250, 500):
        eventually(lambda wanted=done: states(shop).get("done", 0) >= wanted, 180)  # type: ignore[misc]
        workers.pop(0).kill()
        workers.append(shop.worker("enrichment"))

    assert settled(shop, 1000, 400) == {"done": 1000}
    assert shop.query(
        "SELECT count(*)::int, count(DISTINCT texte_description_ia)::int FROM location_ville "
        "WHERE texte_description_ia <> ''"
    ) == [(1000, 1000)]
    repeats = model.repeats()
    told = report(shop)["repeated"]
    # A kill leaves at most as many calls in flight as may run at a time.
    assert sum(repeats.values()) <= 2 * 4
    assert max(repeats.values(), default=0) <= 1
    assert sum(repeats.values()) <= told["lost_calls"]
    assert told["answered_twice"] == 0
    assert model.most_in(3) <= 60
    assert model.most_running <= 4 * 2  # a killed worker's call runs on at the server


def test_the_rate_holds_for_workers_that_start_at_once(shop: Site, model: ScriptedOpenAI) -> None:
    """No window holds more calls than the limit, failed ones counted, whoever makes them."""
    configure(shop, requests_per_minute=5, concurrency=20)
    model.script = lambda call: Reply(500) if call.number % 4 == 0 else Reply()
    ids = cities(shop, 20)
    ask(shop, "VILLE", ids)
    for _ in range(3):
        shop.worker("enrichment")

    settled(shop, 20, 180)
    assert model.most_in(3) <= 5
    assert len(model.calls) >= 20


def test_tokens_are_limited_too(shop: Site, model: ScriptedOpenAI) -> None:
    """Calls wait for room in the window of tokens; a call larger than it is made alone."""
    configure(shop, tokens_per_minute=10, concurrency=4)
    ask(shop, "VILLE", cities(shop, 3))
    shop.worker("enrichment")

    settled(shop, 3)
    assert model.most_in(3) == 1


def test_the_budget_stops_and_goes_on(shop: Site, model: ScriptedOpenAI) -> None:
    """It is never exceeded, what waits is not lost, and it goes on where the budget is raised."""
    # A call reserves some 0.0006 and uses 0.00012 US dollars.
    configure(shop, budget_day="0.0015", concurrency=4)
    ask(shop, "VILLE", cities(shop, 30))
    first = shop.worker("enrichment")
    eventually(lambda: shop.query("SELECT 1 FROM ingest.enrichment WHERE code = 'budget' LIMIT 1"))
    spent = "SELECT spent::float FROM ingest.ai_budgets WHERE scope LIKE 'day%%'"
    eventually(
        lambda: shop.query(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM ingest.ai_calls WHERE state = 'started')"
        )
    )
    assert shop.query(spent)[0][0] <= 0.0015
    assert 0 < len(model.paid) < 30
    first.kill()
    configure(shop, budget_day="1")
    shop.worker("enrichment")

    assert settled(shop, 30) == {"done": 30}
    # What was in flight at the kill may have been paid: it counts as it was reserved.
    costs = dict(shop.query("SELECT state, sum(cost)::float FROM ingest.ai_calls GROUP BY state"))
    assert costs["answered"] == pytest.approx(30 * 0.00012)
    assert shop.query(spent) == [(pytest.approx(sum(costs.values())),)]


def test_budgets_of_an_import_and_of_the_month(shop: Site, model: ScriptedOpenAI) -> None:
    """Each stops what it is for, without a failure, and it goes on when raised; other days count."""
    configure(shop, budget_import="0.0009", budget_day="1", budget_month="10", concurrency=1)
    shop.execute(
        "INSERT INTO ingest.ai_budgets "
        "VALUES ('month ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'), 9.9985)"
    )
    ids, import_id = cities(shop, 18), uuid4()
    shop.execute(
        "INSERT INTO ingest.imports (id, partition, import_type, file_name, file_sha256, "
        "generate_ai_content, header, options, created_at) "
        "VALUES (%s, 0, 'VILLE', 'v.csv', '', true, '[]', '{}', now())",
        import_id,
    )
    shop.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, import_id, reason, priority) "
        "SELECT gen_random_uuid(), 'VILLE', e, %s, 'import', 0 FROM unnest(%s::uuid[]) e",
        import_id,
        ids[:6],
    )
    ask(shop, "VILLE", ids[6:])
    first = shop.worker("enrichment")
    why = "SELECT DISTINCT import_id IS NOT NULL, message FROM ingest.enrichment WHERE code = 'budget'"
    eventually(lambda: set(shop.query(why)) >= {(True, "budget import"), (False, "budget month")})
    spent = dict(
        shop.query("SELECT split_part(scope, ' ', 1), spent::float FROM ingest.ai_budgets")
    )
    assert 0 < spent["import"] <= 0.0009
    assert 9.9985 + spent["import"] < spent["month"] <= 10
    assert states(shop).get("failed", 0) == 0
    assert 0 < len(model.paid) < 18
    first.stop()
    configure(shop, budget_import="1", budget_month="11")
    shop.worker("enrichment")

    assert settled(shop, 18) == {"done": 18}
    assert not model.repeats()


def test_a_provider_without_room_is_left_alone(shop: Site, model: ScriptedOpenAI) -> None:
    """An answer that says that it was the last one for now holds for all workers."""
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h0m0s"}
    model.script = lambda call: Reply(headers=headers) if call.number == 0 else Reply()
    configure(shop, concurrency=1)
    ask(shop, "VILLE", cities(shop, 3))
    shop.worker("enrichment")
    shop.worker("enrichment")
    eventually(lambda: states(shop) == {"done": 1, "running": 2})
    [(blocked,)] = shop.query(
        "SELECT blocked_until > now() + interval '50 minutes' FROM ingest.ai_models"
    )
    assert blocked
    assert len(model.calls) == 1
    shop.execute("UPDATE ingest.ai_models SET blocked_until = now()")

    assert settled(shop, 3) == {"done": 3}


def test_b42_a_provider_that_is_down(shop: Site, model: ScriptedOpenAI) -> None:
    """B42: the breaker opens and one call probes; no request is used up; everything drains after."""
    configure(shop, breaker_failures=3)
    up = [False]
    model.script = lambda _: Reply() if up[0] else Reply(503)
    ask(shop, "VILLE", cities(shop, 40))
    shop.worker("enrichment")
    eventually(lambda: standing(shop, "open_until"))
    before = len(model.calls)
    eventually(lambda: len(model.calls) > before + 1)  # it is probed

    assert len(model.calls) < 20
    assert states(shop).get("failed", 0) == 0
    up[0] = True
    assert settled(shop, 40) == {"done": 40}


def test_calls_that_fail_together_open_the_breaker_once(shop: Site, model: ScriptedOpenAI) -> None:
    """What was under way when it opened is no probe: texts wait no longer than after one failure."""
    configure(shop, breaker_failures=1, breaker_seconds=60, concurrency=4)
    model.script = lambda _: Reply(503, hang=5)
    ask(shop, "VILLE", cities(shop, 4))
    shop.worker("enrichment")
    failed = "SELECT count(*)::int FROM ingest.ai_calls WHERE state = 'failed'"
    eventually(lambda: shop.query(failed) == [(4,)])

    assert sum(states(shop).get(state, 0) for state in ("pending", "running")) == 4
    assert model.most_running == 4
    assert standing(shop, "opened_for") == 60
    assert shop.query("SELECT max(tries)::int FROM ingest.enrichment") == [(0,)]


def test_a_used_up_quota_opens_the_breaker_at_once(shop: Site, model: ScriptedOpenAI) -> None:
    """One call is enough; no request loses a try."""
    configure(shop, concurrency=1, breaker_seconds=2)
    gone = [True]
    quota = Reply(429, error={"code": "insufficient_quota", "message": "pay"})
    model.script = lambda _: quota if gone[0] else Reply()
    ask(shop, "VILLE", cities(shop, 3))
    shop.worker("enrichment")
    eventually(lambda: standing(shop, "open_reason") == "quota")
    assert shop.query("SELECT max(tries)::int FROM ingest.enrichment") == [(0,)]
    gone[0] = False

    assert settled(shop, 3) == {"done": 3}


def test_retry_after_makes_everybody_wait(shop: Site, model: ScriptedOpenAI) -> None:
    """What one call is told holds for all workers."""
    model.script = lambda call: (
        Reply(429, headers={"Retry-After": "4"}) if call.number == 0 else Reply()
    )
    configure(shop, concurrency=1)
    ask(shop, "VILLE", cities(shop, 3))
    shop.worker("enrichment")
    shop.worker("enrichment")

    assert settled(shop, 3) == {"done": 3}
    assert model.calls[1].at - model.calls[0].at >= 4


def test_a_refused_key_halts_the_stage(shop: Site, model: ScriptedOpenAI) -> None:
    """Nothing is lost and nothing is tried until somebody mends it and starts a worker."""
    configure(shop, concurrency=1)
    model.script = lambda _: Reply(
        401, error={"code": "invalid_api_key", "message": "Bad sk-live-1"}
    )
    ask(shop, "VILLE", cities(shop, 3))
    worker = shop.worker("enrichment")
    halted = eventually(lambda: standing(shop, "halted"))
    assert "sk-live" not in str(halted)
    assert states(shop).keys() <= {"pending", "running", "noted"}
    assert len(model.calls) == 1
    model.script = lambda _: Reply()
    worker.kill()
    shop.worker("enrichment")

    assert settled(shop, 3) == {"done": 3}


def test_dead_letters_are_listed_and_asked_again(shop: Site, model: ScriptedOpenAI) -> None:
    """A bad request, a filter and a refusal fail for good, with their reason, after one call each."""
    replies = {
        "Ville 1": Reply(400, error={"message": "bad"}),
        "Ville 2": Reply(400, error={"code": "content_filter", "message": "filtered"}),
        "Ville 3": Reply(refusal="Je refuse."),
        "Ville 4": Reply(500),
    }
    model.script = lambda call: replies.get(call.data["nom"], Reply())
    configure(shop, breaker_failures=50, retries=2)
    ask(shop, "VILLE", cities(shop, 5), "missing")
    shop.worker("enrichment")
    assert settled(shop, 5) == {"failed": 4, "done": 1}
    assert len(model.calls) == 3 + 3 + 1
    listed: Any = shop.foxstream_worker("enrichment", "failed", "--json").json()
    assert sorted(f["code"] for f in listed) == [
        "content-filter",
        "http-400",
        "http-500",
        "refusal",
    ]
    replies.clear()
    assert shop.foxstream_worker("enrichment", "retry", "--all").stdout == "4 asked again\n"

    assert settled(shop, 5) == {"done": 5}
