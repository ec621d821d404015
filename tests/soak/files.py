"""The content of the files that a plan names."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from tests.benchmarks.samples import siren
from tests.soak.plan import FIRST_CATEGORIES, File, Kind

BAD_EVERY = 100

_HEADERS: Mapping[Kind, str] = {
    "ENTREPRISE": "siren;nom;adresse;code_postal;ville_nom;naf_code;naf_libelle;telephone;email_contact;is_active",
    "VILLE": "nom;code_postal_principal;population",
    "CATEGORIE": "nom;description;ordre",
    "SOUS_CATEGORIE": "nom;categorie;description;ordre",
}

_TRADES = (
    ("10.71C", "Boulangerie et boulangerie-pâtisserie", "Boulangerie"),
    ("43.22A", "Travaux d'installation d'eau et de gaz en tous locaux", "Plomberie"),
    ("56.10A", "Restauration traditionnelle", "Restaurant"),
    ("96.02A", "Coiffure", "Salon de coiffure"),
)
_known_siren = lru_cache(maxsize=None)(siren)


def _company(number: int, edition: int) -> str:
    code, label, trade = _TRADES[number % len(_TRADES)]
    return (
        f"{_known_siren(number)};{trade} {number} ({edition});{1 + number % 180} rue des Tilleuls;"
        f"{1000 + number % 94000:05d};Ville {number % 900};{code};{label};"
        f"01 {10 + edition % 90} {10 + number % 90} 00 00;contact{number}@exemple.fr;oui"
    )


def _city(number: int, edition: int) -> str:
    return f"Soulac {number} les Bains;{1000 + number % 94000:05d};{1000 + edition}"


def _category(number: int, edition: int) -> str:
    return f"Métier {number};Ce que fait le métier {number} ({edition});{number}"


def _sub_category(number: int, edition: int) -> str:
    parent = number % FIRST_CATEGORIES.fresh
    return f"Spécialité {number};Métier {parent};La spécialité {number} ({edition});{number}"


_ROWS: Mapping[Kind, Callable[[int, int], str]] = {
    "ENTREPRISE": _company,
    "VILLE": _city,
    "CATEGORIE": _category,
    "SOUS_CATEGORIE": _sub_category,
}

# Without a natural key.
_BAD: Mapping[Kind, str] = {
    "ENTREPRISE": "12345;Fausse;;;;;;;;",
    "VILLE": "Fausse;;",
    "CATEGORIE": ";Fausse;1",
    "SOUS_CATEGORIE": ";Métier 1;Fausse;1",
}


def content(file: File) -> bytes:
    """UTF-8 with a header; bad rows stand among the good ones."""
    return "\n".join((_HEADERS[file.kind], *_lines(file))).encode()


def _lines(file: File) -> Iterator[str]:
    row, bad = _ROWS[file.kind], file.bad
    for place, number in enumerate(file.numbers()):
        if bad and place % (BAD_EVERY - 1) == 0:
            bad -= 1
            yield _BAD[file.kind]
        yield row(number, file.edition)
    yield from [_BAD[file.kind]] * bad
