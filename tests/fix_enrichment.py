"""Rows to write about, requests for texts, and the server that plays the model.

A test of starts, deaths or settings takes `shop` and starts workers of its own. One of what becomes of
an answer takes `texts` and runs the same code itself, without a process. In between, a file of tests
shares one worker: `open_shop`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import count as numbers
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from deploy.local.stack import Stack
from processors.database.pool import Connection, Pool, open_pool, transaction
from processors.texts.content.prompts import Prompt
from processors.texts.model import call_limits, halts
from processors.texts.model.answer_handling import AnswerHandling, Asked, Terms, handling
from processors.texts.model.batch_api import Batcher
from processors.texts.model.call_limits import Limits, Permit
from processors.texts.model.model_caller import ModelCaller
from processors.texts.requests import store
from processors.texts.requests.store import Request
from processors.texts.server.provider import Provider
from schemas.values.text_prices import Price
from tests.fix_stack import Site, eventually, new_database, prepared
from tests.openai_server import CUT, ScriptedOpenAI

PRICE = Price(Decimal("0.15"), Decimal("0.60"), date(2024, 7, 18))
"""What a million tokens cost in the tests, whatever the model of today costs."""

FAST = {
    "FOX_AI_MODEL": "gpt-4o-mini",
    "FOX_AI_PRICE_INPUT": str(PRICE.input),
    "FOX_AI_PRICE_OUTPUT": str(PRICE.output),
    "FOX_AI_WINDOW_SECONDS": "3",
    "FOX_AI_REQUESTS_PER_MINUTE": "1000",
    "FOX_AI_RETRY_SECONDS": "0.2",
    "FOX_AI_BREAKER_SECONDS": "1",
    "FOX_AI_TIMEOUT_SECONDS": "8",
}


@pytest.fixture
def model() -> Iterator[ScriptedOpenAI]:
    """The server that plays the model."""
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture
def shop(site: Site, model: ScriptedOpenAI) -> Site:
    """A site whose workers ask `model`, with time scaled down."""
    site.settings = {**model.environment, **FAST}
    return site


@contextmanager
def open_shop(
    stack: Stack, *kinds: str, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Site, ScriptedOpenAI]]:
    """A site with a worker that runs, for several tests: each empties it with `empty` when it begins."""
    with ScriptedOpenAI() as server:
        site = prepared(stack)
        # Nobody dies: that a call takes its time on a busy machine is no trouble.
        patient = {"FOX_AI_TIMEOUT_SECONDS": "30"}
        site.settings = {**server.environment, **FAST, **patient, **(settings or {})}
        try:
            site.worker(*kinds)
            yield site, server
        finally:
            site.end()


_TABLES = (
    "ingest.enrichment", "ingest.enrichment_texts", "ingest.ai_results", "ingest.ai_rejected",
    "ingest.ai_calls", "ingest.ai_budgets", "ingest.ai_import_costs", "ingest.ai_batches", "ingest.text_provenance",
    "ingest.text_history", "ingest.ai_results_removed", "ingest.ai_limits", "ingest.ai_pauses",
    "reviews_avisdecrypte",
    "reviews_avis", "enterprise_prolocalisation", "enterprise_entreprise",
    "subcategory_souscategorie", "category_categorie", "location_ville",
)  # fmt: skip
_STANDING = (
    "failures = 0, open_until = NULL, open_reason = NULL, opened_for = 0, probe_until = NULL, "
    "blocked_until = NULL, halted = NULL, halted_until = NULL, halted_for = 0, refused = '{}'"
)


def empty(site: Site) -> None:
    """As if no text had ever been asked for. What stands on topics stays: see `cities`."""
    changes = [
        *(f"DELETE FROM {table}" for table in _TABLES),
        f"UPDATE ingest.ai_models SET {_STANDING}",
    ]
    site.execute("; ".join(changes))


TERMS = Terms(
    asked_model="gpt-4o-mini",
    limits=Limits(
        "gpt-4o-mini", calls=1000, tokens=10**9, window=1.0, concurrency=4, seconds=20.0,
        failures=5, open_seconds=60.0, budgets={}, settings="of tests",
    ),
    price=PRICE,
    retry_seconds=0.2,
    retries=2,
    import_seconds=600.0,
    batched=False,
)  # fmt: skip


PROBE_COST = float(TERMS.price.cost(*CUT.tokens))
"""What a site has spent before its first text, in US dollars."""


@dataclass
class Texts:
    """A database for texts, and the client of the server that plays the model."""

    site: Site
    pool: Pool
    provider: Provider

    def caller(self, terms: Terms = TERMS) -> ModelCaller:
        return ModelCaller(self.pool, self.provider, terms, caught_up)

    @asynccontextmanager
    async def working(self, terms: Terms = TERMS, callers: int = 1) -> AsyncIterator[None]:
        """So many callers run, as in so many processes: they share nothing but the database."""
        tasks = [asyncio.create_task(self.caller(terms).run()) for _ in range(callers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def batcher(self, terms: Terms) -> Batcher:
        """The one who sends batches, without a worker around it."""
        async with transaction(self.pool) as connection:
            await call_limits.begin(connection, terms.limits.model)
        return Batcher(self.pool, self.provider, terms, caught_up)

    async def claimed(self, handle: AnswerHandling) -> tuple[Request, Prompt]:
        """The first request that waits, leased, and its prompt, claimed."""
        request = await store.lease(handle.connection, uuid4(), 60, 60, None, batched=False)
        assert request is not None
        prompt = await handle.prompt(request)
        assert prompt is not None
        await store.claim(handle.connection, request, prompt, 60, TERMS.limits.settings)
        return request, prompt

    async def call(self) -> Asked:
        """A call that is under way, for the first request that waits."""
        async with handling(self.pool, TERMS) as handle:
            request, prompt = await self.claimed(handle)
            _, call = handle.call(request, prompt, [])
            permit = await call_limits.take(handle.connection, TERMS.limits, call)
        assert isinstance(permit, Permit)
        return Asked(request, prompt, permit)

    def ask(self, ids: list[UUID], reason: str = "asked", tries: int = 0) -> None:
        """Requests for cities that have come in."""
        self.site.execute(
            "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, state, tries) "
            "SELECT gen_random_uuid(), 'VILLE', e, %s, 1, 'pending', %s FROM unnest(%s::uuid[]) e",
            reason, tries, ids,
        )  # fmt: skip


async def caught_up(_: Connection) -> bool:
    """There is no topic to read."""
    return True


def counted() -> dict[str, float]:
    """All that is counted of texts, but how a call was made and why one failed: as "calls made"."""
    return {
        " ".join([family.name.split("_")[2], *sample.labels.values()]): sample.value
        for family in REGISTRY.collect()
        if family.type == "counter"
        and family.name.startswith(("fox_ai_", "fox_enrichment_"))
        and family.name != "fox_ai_failures"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels.get("outcome") != "batched"
    }


async def soon(ask: Callable[[], object]) -> None:
    """As `eventually`, while callers run in this very test."""
    await asyncio.to_thread(eventually, ask)


@pytest.fixture(scope="session")
def texts_database(stack: Stack) -> str:
    """The URL of a migrated database."""
    return new_database(stack, "texts")


@pytest.fixture
def texts_site(stack: Stack, texts_database: str) -> Site:
    """A database for texts where nothing was ever asked, without topics."""
    site = Site(stack, "", texts_database)
    empty(site)
    site.execute("DELETE FROM ingest.ai_models")
    return site


@pytest.fixture
async def texts(
    texts_site: Site, model: ScriptedOpenAI, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Texts]:
    """The same, and the model may be asked."""
    monkeypatch.setenv("NO_PROXY", "*")
    provider = Provider(lambda: "sk-test", model.url, 20.0)
    async with open_pool(texts_site.database_url, 8) as pool:
        async with transaction(pool) as connection:
            await call_limits.begin(connection, TERMS.limits.model)
            for budgets in ({}, {"day": Decimal(1)}):
                proof = replace(TERMS.limits, budgets=budgets).proof
                await halts.prove(connection, TERMS.limits.model, proof)
        yield Texts(texts_site, pool, provider)
    await provider.close()


def configure(site: Site, **settings: object) -> None:
    site.settings = {
        **site.settings,
        **{f"FOX_AI_{k.upper()}": str(v) for k, v in settings.items()},
    }


_numbers = numbers(1000)


def fresh() -> int:
    """A number that no other test has: a row with it is one that nobody has imported or asked about."""
    return next(_numbers)


def cities(site: Site, count: int, first: int = 1) -> list[UUID]:
    """So many cities in the site's table, about which no answer is known."""
    site.execute(
        """
        INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal,
            codes_postaux, departement, region, lat, lng, population)
        SELECT md5('ville ' || n)::uuid, now(), now(), 'Ville ' || n, 'ville-' || n, '35000', '[]',
            '35', 'Bretagne', 48, -1, %s
        FROM generate_series(%s::integer, %s) n
        """,
        fresh(),
        first,
        first + count - 1,
    )
    return [i for (i,) in site.query("SELECT id FROM location_ville ORDER BY id")]


def page(site: Site, nom: str = "Dupont") -> UUID:
    """A company with its page."""
    ids = [uuid4() for _ in range(5)]
    entreprise, categorie, sous_categorie, ville, proloc = ids
    tag = str(proloc)[:8]
    site.execute(
        "INSERT INTO enterprise_entreprise (id, created_at, updated_at, siren, nom) "
        "VALUES (%s, now(), now(), left(%s, 9), %s)", entreprise, tag, nom,
    )  # fmt: skip
    site.execute(
        "INSERT INTO category_categorie (id, created_at, updated_at, nom, slug) "
        "VALUES (%s, now(), now(), %s, %s)", categorie, f"Bâtiment {tag}", tag,
    )  # fmt: skip
    site.execute(
        "INSERT INTO subcategory_souscategorie (id, created_at, updated_at, categorie_id, nom, slug) "
        "VALUES (%s, now(), now(), %s, %s, %s)", sous_categorie, categorie, f"Maçon {tag}", tag,
    )  # fmt: skip
    site.execute(
        "INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal, "
        "codes_postaux, departement, region, lat, lng, population) "
        "VALUES (%s, now(), now(), 'Rennes', %s, '35000', '[]', '35', 'Bretagne', 48, -1, 0)",
        ville, f"rennes-{tag}",
    )  # fmt: skip
    site.execute(
        "INSERT INTO enterprise_prolocalisation (id, created_at, updated_at, entreprise_id, "
        "sous_categorie_id, ville_id) VALUES (%s, now(), now(), %s, %s, %s)",
        proloc, entreprise, sous_categorie, ville,
    )  # fmt: skip
    return proloc


def review(site: Site, proloc: UUID, note: int, texte: str, statut: str = "publie") -> None:
    site.execute(
        "INSERT INTO reviews_avis (id, created_at, updated_at, entreprise_id, pro_localisation_id, "
        "texte, note, date_avis, auteur_nom, auteur_email, source, statut) "
        "SELECT %s, now(), now(), entreprise_id, id, %s, %s, now(), 'Claire Secrète', "
        "'claire@example.org', 'google', %s FROM enterprise_prolocalisation WHERE id = %s",
        uuid4(), texte, note, statut, proloc,
    )  # fmt: skip


def ask(site: Site, kind: str, ids: list[UUID], reason: str = "asked") -> None:
    """Notes requests, as an import or a plan does."""
    site.execute(
        "INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority) "
        "SELECT gen_random_uuid(), %s, e, %s, 1 FROM unnest(%s::uuid[]) e",
        kind, reason, ids,
    )  # fmt: skip


def states(site: Site) -> dict[str, int]:
    return dict(site.query("SELECT state, count(*)::int FROM ingest.enrichment GROUP BY state"))


def settled(site: Site, count: int, seconds: float = 90) -> dict[str, int]:
    """The states of all requests when so many are over."""

    def over() -> dict[str, int] | None:
        found = states(site)
        return found if sum(found.get(s, 0) for s in ("done", "failed", "left")) >= count else None

    return eventually(over, seconds) or {}


def report(site: Site) -> dict[str, Any]:
    done = site.foxstream_worker("enrichment", "report", "--json")
    assert done.code == 0, done.stderr
    return done.json()


def standing(site: Site, what: str) -> Any:
    """What stands in the way of calls, or None."""
    found = site.query(f"SELECT {what} FROM ingest.ai_models")
    return found[0][0] if found else None
