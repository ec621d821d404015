"""Stock files of SIRENE at their full width, as many lines as wanted, the same at every call.

By INSEE's counts of 2026: a third of the establishments are not head offices and three in five are
closed; 5 % have status P; one head office in ten has moved, and its former one is closed. The
companies that are closed have the codes of older nomenclatures and no code of NAF 2025.
"""

import csv
import random
import zipfile
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path

from tests.benchmarks.samples import luhn, siren

ESTABLISHMENTS = [
    "siren",
    "nic",
    "siret",
    "statutDiffusionEtablissement",
    "dateCreationEtablissement",
    "trancheEffectifsEtablissement",
    "anneeEffectifsEtablissement",
    "activitePrincipaleRegistreMetiersEtablissement",
    "dateDernierTraitementEtablissement",
    "etablissementSiege",
    "nombrePeriodesEtablissement",
    "complementAdresseEtablissement",
    "numeroVoieEtablissement",
    "indiceRepetitionEtablissement",
    "dernierNumeroVoieEtablissement",
    "indiceRepetitionDernierNumeroVoieEtablissement",
    "typeVoieEtablissement",
    "libelleVoieEtablissement",
    "codePostalEtablissement",
    "libelleCommuneEtablissement",
    "libelleCommuneEtrangerEtablissement",
    "distributionSpecialeEtablissement",
    "codeCommuneEtablissement",
    "codeCedexEtablissement",
    "libelleCedexEtablissement",
    "codePaysEtrangerEtablissement",
    "libellePaysEtrangerEtablissement",
    "identifiantAdresseEtablissement",
    "coordonneeLambertAbscisseEtablissement",
    "coordonneeLambertOrdonneeEtablissement",
    "complementAdresse2Etablissement",
    "numeroVoie2Etablissement",
    "indiceRepetition2Etablissement",
    "typeVoie2Etablissement",
    "libelleVoie2Etablissement",
    "codePostal2Etablissement",
    "libelleCommune2Etablissement",
    "libelleCommuneEtranger2Etablissement",
    "distributionSpeciale2Etablissement",
    "codeCommune2Etablissement",
    "codeCedex2Etablissement",
    "libelleCedex2Etablissement",
    "codePaysEtranger2Etablissement",
    "libellePaysEtranger2Etablissement",
    "dateDebut",
    "etatAdministratifEtablissement",
    "enseigne1Etablissement",
    "enseigne2Etablissement",
    "enseigne3Etablissement",
    "denominationUsuelleEtablissement",
    "activitePrincipaleEtablissement",
    "nomenclatureActivitePrincipaleEtablissement",
    "caractereEmployeurEtablissement",
    "activitePrincipaleNAF25Etablissement",
]
UNITS = [
    "siren",
    "statutDiffusionUniteLegale",
    "unitePurgeeUniteLegale",
    "dateCreationUniteLegale",
    "sigleUniteLegale",
    "sexeUniteLegale",
    "prenom1UniteLegale",
    "prenom2UniteLegale",
    "prenom3UniteLegale",
    "prenom4UniteLegale",
    "prenomUsuelUniteLegale",
    "pseudonymeUniteLegale",
    "identifiantAssociationUniteLegale",
    "trancheEffectifsUniteLegale",
    "anneeEffectifsUniteLegale",
    "dateDernierTraitementUniteLegale",
    "nombrePeriodesUniteLegale",
    "categorieEntreprise",
    "anneeCategorieEntreprise",
    "dateDebut",
    "etatAdministratifUniteLegale",
    "nomUniteLegale",
    "nomUsageUniteLegale",
    "denominationUniteLegale",
    "denominationUsuelle1UniteLegale",
    "denominationUsuelle2UniteLegale",
    "denominationUsuelle3UniteLegale",
    "categorieJuridiqueUniteLegale",
    "activitePrincipaleUniteLegale",
    "nomenclatureActivitePrincipaleUniteLegale",
    "nicSiegeUniteLegale",
    "economieSocialeSolidaireUniteLegale",
    "societeMissionUniteLegale",
    "caractereEmployeurUniteLegale",
    "activitePrincipaleNAF25UniteLegale",
]

_ACTIVITIES = [
    ("62.01Z", "62.10Y"),
    ("68.20B", "68.20H"),
    ("96.09Z", "96.99G"),
    ("62.02A", "62.20G"),
    ("32.12Z", "32.12Y"),
]
_OLD = [("22.02", "NAP"), ("85.1A", "NAFRev1"), ("55.3A", "NAF1993")]
_STREETS = ["DES TILLEULS", "DE RENNES", "MICHEL-ANGE", "VICTOR HUGO", "DE LA REPUBLIQUE"]
_CITIES = [
    ("92220", "BAGNEUX", "92007"),
    ("83600", "FREJUS", "83061"),
    ("35000", "RENNES", "35238"),
    ("69001", "LYON", "69381"),
]
_NAMES = ["ACME", "GARAGE DU CENTRE", 'ATELIER "BOIS"', "DUPONT, PERE ET FILS", "OMEGA"]


class _Company:
    """What the lines of a company have in common."""

    def __init__(self, number: int) -> None:
        chance = random.Random(number)
        self.siren = siren(number)
        self.closed = chance.random() < 0.55
        self.masked = chance.random() < 0.05
        self.person = chance.random() < 0.55
        self.moved = chance.random() < 0.1
        branches = chance.choice((0, 0, 0, 0, 0, 0, 0, 1, 1, 2))
        self.branches = 1000 if number % 10_000 == 9_999 else branches + self.moved
        self.number = chance.randint(1, 180)
        self.street, self.city = chance.choice(_STREETS), chance.choice(_CITIES)
        self.name = chance.choice(_NAMES)
        self.rev2, self.naf_2025 = chance.choice(_ACTIVITIES)
        self.nomenclature = "NAFRev2"
        if self.closed:
            self.naf_2025 = ""
            if chance.random() < 0.6:
                self.rev2, self.nomenclature = chance.choice(_OLD)
        self.date = f"202{chance.randint(2, 6)}-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}"

    @property
    def status(self) -> str:
        return "P" if self.masked else "O"

    def hidden(self, value: str) -> str:
        return "[ND]" if self.masked and value else value


def establishments(lines: int) -> Iterator[dict[str, str]]:
    """So many lines; the branches of a company come before and after its head office."""
    made = number = 0
    while made < lines:
        company = _Company(number)
        number += 1
        head = 2 if company.moved else 1
        for nic in range(1, min(company.branches + 1, lines - made) + 1):
            made += 1
            yield _establishment(company, nic, is_head=nic == head)


def _establishment(company: _Company, nic: int, *, is_head: bool) -> dict[str, str]:
    closed = company.closed or (not is_head and (company.moved or nic % 2 == 0))
    postal_code, city, commune = company.city
    number = str(company.number + nic)
    return {
        "siren": company.siren,
        "siret": luhn(f"{company.siren}{nic:04d}"),
        "nic": luhn(f"{company.siren}{nic:04d}")[-5:],
        "statutDiffusionEtablissement": company.status,
        "dateCreationEtablissement": company.date,
        "trancheEffectifsEtablissement": "NN",
        "dateDernierTraitementEtablissement": f"{company.date}T12:01:56",
        "etablissementSiege": str(is_head).lower(),
        "nombrePeriodesEtablissement": "2",
        "numeroVoieEtablissement": company.hidden(number),
        "typeVoieEtablissement": company.hidden("RUE"),
        "libelleVoieEtablissement": company.hidden(company.street),
        "codePostalEtablissement": company.hidden(postal_code),
        "libelleCommuneEtablissement": city,
        "codeCommuneEtablissement": commune,
        "identifiantAdresseEtablissement": company.hidden(f"{commune}0000_B"),
        "coordonneeLambertAbscisseEtablissement": company.hidden("652345.12"),
        "coordonneeLambertOrdonneeEtablissement": company.hidden("6862345.67"),
        "dateDebut": company.date,
        "etatAdministratifEtablissement": "F" if closed else "A",
        "activitePrincipaleEtablissement": company.rev2,
        "nomenclatureActivitePrincipaleEtablissement": company.nomenclature,
        "caractereEmployeurEtablissement": "N",
        "activitePrincipaleNAF25Etablissement": "" if closed else company.naf_2025,
    }


def units(lines: int) -> Iterator[dict[str, str]]:
    """So many companies, those of `establishments` first."""
    for number in range(lines):
        company = _Company(number)
        yield {
            "siren": company.siren,
            "statutDiffusionUniteLegale": company.status,
            "dateCreationUniteLegale": company.date,
            "trancheEffectifsUniteLegale": "NN",
            "dateDernierTraitementUniteLegale": f"{company.date}T12:01:56",
            "nombrePeriodesUniteLegale": "2",
            "dateDebut": company.date,
            "etatAdministratifUniteLegale": "C" if company.closed else "A",
            "categorieJuridiqueUniteLegale": "1000" if company.person else "5710",
            "activitePrincipaleUniteLegale": company.rev2,
            "nomenclatureActivitePrincipaleUniteLegale": company.nomenclature,
            "caractereEmployeurUniteLegale": "N",
            "activitePrincipaleNAF25UniteLegale": company.naf_2025,
            **_names(company),
        }


def _names(company: _Company) -> dict[str, str]:
    if not company.person:
        return {"denominationUniteLegale": f"{company.name} {company.siren}"}
    return {
        "sexeUniteLegale": company.hidden("F"),
        "prenom1UniteLegale": company.hidden("ALIX"),
        "prenomUsuelUniteLegale": company.hidden("ALIX"),
        "nomUniteLegale": company.hidden("EXEMPLE"),
    }


FILES = {
    "StockEtablissement": (ESTABLISHMENTS, establishments),
    "StockUniteLegale": (UNITS, units),
}


def write_stock(folder: Path, name: str, lines: int) -> Path:
    """The file `name` of FILES as INSEE publishes it, `name`_utf8.zip; its path."""
    header, made = FILES[name]
    path = folder / f"{name}_utf8.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{name}_utf8.csv", "w", force_zip64=True) as member,
        TextIOWrapper(member, encoding="utf-8", newline="") as text,
    ):
        writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(made(lines))
    return path
