"""What every contestant is told, and the upsert that each of them sends."""

import json
import os
from functools import cache
from typing import Any
from urllib.request import urlopen

import fastavro

BOOTSTRAP = os.environ.get("FOX_KAFKA_BOOTSTRAP", "localhost:9092")
REGISTRY_URL = os.environ.get("FOX_SCHEMA_REGISTRY_URL", "http://localhost:8081")
DATABASE_URL = os.environ.get("FOX_DATABASE_URL", "postgresql://foxstream@localhost/foxstream")
TOPIC = os.environ.get("BENCH_TOPIC", "fox.rows.entreprise")
GROUP = os.environ.get("BENCH_GROUP", "bench")

COLUMNS = (
    "siren",
    "nom",
    "siret",
    "nom_commercial",
    "adresse",
    "code_postal",
    "ville_nom",
    "naf_code",
    "naf_libelle",
    "telephone",
    "email_contact",
    "site_web",
    "is_active",
)
_GIVEN = ("siren", "nom", "siret")
_TEXTS = COLUMNS[3:-1]

INSERTED = ", ".join(("id", "created_at", "updated_at", *COLUMNS))

ON_CONFLICT = ", ".join(
    (
        "ON CONFLICT (siren) DO UPDATE SET updated_at = excluded.updated_at",
        "nom = excluded.nom",
        "siret = coalesce(excluded.siret, t.siret)",
        *(f"{name} = coalesce(nullif(excluded.{name}, ''), t.{name})" for name in _TEXTS),
        "is_active = excluded.is_active",
    )
)
"""null does not erase, as the rows' schema asks: it has become '' before the conflict."""


def values(sign: str) -> str:
    """The values of INSERTED, where `sign` spells a column: the site's defaults for nulls."""
    return ", ".join(
        (
            "gen_random_uuid(), now(), now()",
            *(sign.format(name) for name in _GIVEN),
            *(f"coalesce({sign.format(name)}, '')" for name in _TEXTS),
            f"coalesce({sign.format('is_active')}, true)",
        )
    )


@cache
def schema(schema_id: int) -> Any:
    """What the registry holds under this id, parsed; it is asked once."""
    with urlopen(f"{REGISTRY_URL}/schemas/ids/{schema_id}") as answer:
        return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
