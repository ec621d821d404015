"""Headers of public registers: of companies as `Field.chains` writes them, and of places."""

import re

# INSEE names a legal person, a person in their own name and a shop in different columns. A person has
# a usual first name, or else a first one, and a name of usage that goes before the name of birth.
NAMES = (
    "denominationUniteLegale"
    " > prenomUsuelUniteLegale + nomUsageUniteLegale > prenom1UniteLegale + nomUsageUniteLegale"
    " > nomUsageUniteLegale"
    " > prenomUsuelUniteLegale + nomUniteLegale > prenom1UniteLegale + nomUniteLegale > nomUniteLegale"
    " > denominationUsuelle1UniteLegale > denominationUsuelleEtablissement > sigleUniteLegale",
    "denominationUsuelleEtablissement > enseigne1Etablissement",
    "NOMEN_LONG > NOM",
    "nom_raison_sociale > nom_complet",
)
TRADE_NAMES = (
    "enseigne1Etablissement > denominationUsuelleEtablissement > denominationUsuelle1UniteLegale"
    " > sigleUniteLegale",
    "denominationUsuelle1UniteLegale > sigleUniteLegale",
)
NAMES_OF_ESTABLISHMENTS = ("denominationUsuelleEtablissement",)
"""Names of a company only in files that have no other: in SIRENE's files they are trade names."""

ACTIVITIES = ("activitePrincipaleEtablissement > activitePrincipaleUniteLegale",)
ACTIVITIES_2025 = ("activitePrincipaleNAF25Etablissement > activitePrincipaleNAF25UniteLegale",)
NOMENCLATURES = (
    "nomenclatureActivitePrincipaleEtablissement",
    "nomenclatureActivitePrincipaleUniteLegale",
)
"""Which nomenclature the code of the line is from, in the order of ACTIVITIES."""

DISCLOSURES = ("statutDiffusionEtablissement > statutDiffusionUniteLegale",)
# Of two lines that were treated at the same moment the later beginning decides.
SOURCE_DATES = (
    "dateDebut + dateDernierTraitementEtablissement > dateDebut + dateDernierTraitementUniteLegale"
    " > dateDebut",
    "dateDebut + dateDernierTraitementUniteLegale > dateDebut",
)
UNDISCLOSED = re.compile(r"\[\s*(?:ND|NON[ -]DIFFUSIBLE)\s*\]", re.IGNORECASE)
"""What INSEE and the State's company search write in the place of a value that is not disclosed.

A text that contains it is not a value: systems join such cells, "[ND] [ND]", and change their case.
"""

ADDRESSES = (
    "numeroVoieEtablissement + indiceRepetitionEtablissement + typeVoieEtablissement"
    " + libelleVoieEtablissement",
    "dc_numerodansvoie + dc_libnomrue",
    "L4_NORMALISEE > L4_DECLAREE",
)
EMAILS = ("dc_adressemailetablissement > dc_emailcorrespondant",)
PHONES = ("dc_numerotelephone1 > dc_telephonecorrespondant",)
SITES = ("dc_sitewebetablissement_1 > dc_sitewebetablissement_2 > dc_urlentreprise",)

# Some lists have the code of the département and the commune's number in it beside INSEE's code.
COMMUNES = ("Code_commune_INSEE > code_commune", "code_insee > code_commune")

COORDINATES = (
    "coordonnees gps",
    "coordonnees",
    "coordonnees geographiques",
    "geo point 2d",
    "geo point",
    "geopoint",
    "geolocalisation",
    "geolocalisation de l etablissement",
)
