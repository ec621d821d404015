"""Rows to write about, requests for texts, and the server that plays the model."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.fix_stack import Site, eventually
from tests.openai_server import ScriptedOpenAI

FAST = {
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


def configure(site: Site, **settings: object) -> None:
    site.settings = {
        **site.settings,
        **{f"FOX_AI_{k.upper()}": str(v) for k, v in settings.items()},
    }


def cities(site: Site, count: int, first: int = 1) -> list[UUID]:
    """So many cities in the site's table."""
    site.execute(
        """
        INSERT INTO location_ville (id, created_at, updated_at, nom, slug, code_postal_principal,
            codes_postaux, departement, region, lat, lng, population)
        SELECT md5('ville ' || n)::uuid, now(), now(), 'Ville ' || n, 'ville-' || n, '35000', '[]',
            '35', 'Bretagne', 48, -1, 0
        FROM generate_series(%s::integer, %s) n
        """,
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
