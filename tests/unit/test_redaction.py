"""What is taken out of reviews before they are sent, and what stays."""

import re

import pytest

from processors.errors import ConfigurationError
from processors.texts.content.disclosure import FIELDS, Disclosure, disclosure
from processors.texts.content.redaction import RULES, redacted
from processors.texts.server.provider import unkept

PHONE, EMAIL, LINK, NAME = "[téléphone]", "[adresse électronique]", "[lien]", "[nom]"


@pytest.mark.parametrize(
    "number",
    [
        "0612345678", "06 12 34 56 78", "06.12.34.56.78", "06-12-34-56-78", "06/12/34/56/78",
        "06\u00a012\u202f34 56 78", "06\u200b12\u200b34\u200b56\u200b78", "0 612 345 678",
        "+33612345678", "+33 6 12 34 56 78", "+33 (0)6 12 34 56 78", "0033 6 12 34 56 78",
        "+32 470 12 34 56", "+352 621 123 456", "02 99 12 34 56", "0 6 1 2 3 4 5 6 7 8",
    ],
)  # fmt: skip
def test_telephone_numbers(number: str) -> None:
    assert redacted(f"Appelez le {number}, merci.", []) == f"Appelez le {PHONE}, merci."
    assert redacted(f"tel{number}", []) == f"tel{PHONE}"


@pytest.mark.parametrize(
    "address",
    [
        "claire@example.org", "claire.secrete+avis@mail.example.co.uk", "CLAIRE@EXAMPLE.ORG",
        "claire(at)example.org", "claire [at] example.org", "claire arobase example.org",
        "hélène@éxample.fr",
    ],
)  # fmt: skip
def test_addresses(address: str) -> None:
    assert redacted(f"Écrivez à {address} vite", []) == f"Écrivez à {EMAIL} vite"


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org/profil?id=3", "http://x", "www.exemple.fr/claire", "exemple.fr",
        "facebook.com/claire.secrete", "m.facebook.com", "HTTPS://EXEMPLE.FR", "@claire_35",
    ],
)  # fmt: skip
def test_links(link: str) -> None:
    assert redacted(f"Voir {link} ici", []) == f"Voir {LINK} ici"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Merci à M. Dupont, très poli.", "Merci à M. [nom], très poli."),
        ("Merci à M.Dupont", "Merci à M.[nom]"),
        ("M Dupont est venu", "M [nom] est venu"),
        ("Mme Le Goff-Martin rappelle", "Mme [nom] rappelle"),
        ("MME DUPONT", "MME [nom]"),
        ("Madame Claire de La Tour nous a reçus", "Madame [nom] nous a reçus"),
        ("monsieur d'Ormesson", "monsieur [nom]"),
        ("Mlle Élodie", "Mlle [nom]"),
        ("le docteur Nguyen", "le docteur [nom]"),
        ("Me Durand", "Me [nom]"),
        ("merci à mme dupont et à mr martin", "merci à mme [nom] et à mr [nom]"),
        ("Messieurs Dupont et Martin", "Messieurs [nom] et Martin"),
    ],
)  # fmt: skip
def test_names_by_title(text: str, left: str) -> None:
    assert redacted(text, []) == left


@pytest.mark.parametrize(
    "text",
    [
        "Très bien. Rapide et propre. À recommander !",
        "Devis de 12.5 euros, 3 jours, le 01/02/2024, au 35000 Rennes.",
        "Ce monsieur est très poli, madame la directrice aussi.",
        "mme est venue, m. a rappelé",
        "Trop cher : 10 000 000 000 de fois.",
        "SIRET 12345678901234",
        "Venez me voir à l'atelier. Me voilà ravi",
        "Madame, je vous remercie.",
    ],
)
def test_what_stays(text: str) -> None:
    """Nothing that names or reaches nobody is lost."""
    assert redacted(text, []) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Claire, cliente fidèle", "[nom], cliente fidèle"),
        ("CLAIRE SECRETE est passée", "[nom] est passée"),
        ("claire secrète ici", "[nom] ici"),
        ("une eau claire", "une eau claire"),  # no name without a capital
        ("Jean-Marc et Claire", "[nom] et [nom]"),
        ("Client satisfait", "Client satisfait"),
    ],
)
def test_names_of_authors(text: str, left: str) -> None:
    assert redacted(text, ["Claire Secrète", "Jean-Marc P.", "Client anonyme", ""]) == left


@pytest.mark.parametrize(
    "one", ["a", "0", "0 1", "M. ", "A", "a.", "@", "www.", "+3 ", "é-", "M. de "]
)
def test_hostile_reviews_come_to_an_end(one: str) -> None:
    """However long they are, each word is looked at a bounded number of times."""
    redacted((one * 200_000)[:200_000], ["A A", "Claire"])


def test_rules_hold_for_each_other() -> None:
    """What stands for something is not found again."""
    words = f"{PHONE} {EMAIL} {LINK} M. {NAME}"
    assert [found for _, rule in RULES for found in re.findall(rule, words)] == []


GIVEN = {
    "entreprise": "Dupont", "ville": "Rennes", "nombre_avis": 2,
    "avis": [
        {"note": 5, "date": "2026-01-01", "texte": "Claire a appelé le 0612345678.", "auteur": "Jean Luc"},
        {"note": 1, "date": "2026-01-02", "texte": "Merci Luc ! " + "x" * 1490 + "06 12 34 56 78",
         "auteur": "Claire Secrète"},
    ],
}  # fmt: skip


def test_reviews_are_sent_without_their_authors() -> None:
    """Nor are the authors of one named by another; a number is not cut in half."""
    sent = Disclosure().sent("AVIS", GIVEN)

    assert sent["avis"][0] == {
        "note": 5, "date": "2026-01-01", "texte": "[nom] a appelé le [téléphone].",
    }  # fmt: skip
    assert sent["avis"][1]["texte"].startswith("Merci [nom] !")
    assert len(sent["avis"][1]["texte"]) == 1500
    assert not re.search(r"\d", sent["avis"][1]["texte"])


def test_fields_are_left_out() -> None:
    """Of one kind, and of each review."""
    found = disclosure("", "avis.ville, AVIS.date,ville.region")
    sent = found.sent("AVIS", GIVEN)

    assert set(sent) == {"entreprise", "nombre_avis", "avis"}
    assert set(sent["avis"][0]) == {"note", "texte"}
    assert found.sent("VILLE", {"nom": "Rennes", "region": "B"}) == {"nom": "Rennes"}
    assert found.sent("PROLOCALISATION", {"ville": "Rennes"}) == {"ville": "Rennes"}


def test_all_kinds_are_written_unless_some_are_chosen() -> None:
    assert disclosure("", "").kinds == FIELDS.keys()
    assert disclosure("ville, AVIS", "").kinds == {"VILLE", "AVIS"}


@pytest.mark.parametrize(
    ("kinds", "leave_out"), [("CHIEN", ""), ("", "ville.nom"), ("", "avis.texte"), ("", "region")]
)
def test_what_there_is_not_is_refused(kinds: str, leave_out: str) -> None:
    """A word that means nothing would leave in what somebody wants to leave out."""
    with pytest.raises(ConfigurationError, match="FOX_AI"):
        disclosure(kinds, leave_out)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (None, {"store": False}),
        ("https://api.openai.com/v1", {"store": False}),
        ("https://eu.api.openai.com/v1", {"store": False}),
        ("https://api.mistral.ai/v1", {}),
        ("http://localhost:11434/v1", {}),
        ("https://openai.com.example.org/v1", {}),
    ],
)
def test_openai_is_asked_to_keep_nothing(url: str | None, body: dict[str, bool]) -> None:
    """Others do not know the parameter, and may refuse it."""
    assert unkept(url) == body
