"""Other texts, requested of the gateway: by its API, and on its page."""

from uuid import uuid4

import pytest

from tests.fix_enrichment import cities
from tests.fix_gateway import Served
from tests.fix_stack import eventually

REGENERATE = "/api/imports/texts/regenerate/"


def requested(served: Served) -> list[tuple[str, str, int]]:
    """Slug, reason and generation of what workers have taken."""
    return served.site.query(
        "SELECT v.slug, e.reason, e.generation FROM ingest.enrichment e "
        "JOIN location_ville v ON v.id = e.entity_id ORDER BY e.generation, v.slug"
    )


def test_other_texts_are_requested(served: Served) -> None:
    """Of each row once, by slug or id. What people edited is replaced only if that is asked for."""
    first, _ = cities(served.site, 2)
    [(slug,)] = served.site.query("SELECT slug FROM location_ville WHERE id = %s", first)
    other = next(name for name in ("ville-1", "ville-2") if name != slug)
    with served.client() as client:
        rows = {"kind": "VILLE", "rows": [str(first), other, other, f"nulle-part-{uuid4()}"]}
        answer = client.post(REGENERATE, json=rows)
        assert (answer.status_code, answer.json()["rows"]) == (202, 3)
        eventually(lambda: len(requested(served)) == 2)
        assert client.post(
            REGENERATE, json={"kind": "VILLE", "rows": [slug], "overwrite": True}
        ).is_success
        eventually(lambda: len(requested(served)) == 3)

    assert {found[1:] for found in requested(served)[:2]} == {("regenerate", 1)}
    assert requested(served)[2] == (slug, "overwrite", 2)
    rejected = (
        "SELECT count(*)::int FROM ingest.rejects WHERE faults -> 0 ->> 'code' = 'unknown-entity'"
    )
    eventually(lambda: served.site.query(rejected) == [(1,)])


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "VILLE", "rows": []},
        {"kind": "VILLE", "rows": ["a"] * 101},
        {"kind": "VILLE", "rows": ["  "]},
        {"kind": "VILLE", "rows": ["a\u0000b"]},
        {"kind": "DEPARTEMENT", "rows": ["35"]},
        {"rows": ["a"]},
    ],
    ids=["no row", "too many", "blank", "NUL", "no such text", "no kind"],
)
def test_what_is_no_request(asked: object, served: Served) -> None:
    """Nothing is published."""
    with served.client() as client:
        answer = client.post(REGENERATE, json=asked)

    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_may_request_them(served: Served) -> None:
    """Accounts that may import; a person signed in with the token of the page."""
    reader = served.new_token("lecture", "read")
    asked = {"kind": "VILLE", "rows": ["a"]}
    with served.client(reader) as client:
        assert client.post(REGENERATE, json=asked).status_code == 403
    browser = served.browser()
    browser.post("/login", data={"token": served.token})
    assert browser.post(REGENERATE, json=asked).status_code == 403
    page = browser.get("/textes").text
    assert all(name in page for name in ("PROLOCALISATION", "modifiés à la main", "texts.js"))
    browser.post("/login", data={"token": reader})
    assert 'id="texts"' not in browser.get("/textes").text
