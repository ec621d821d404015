"""Headers of public registers: of companies as `Field.chains` writes them, and of places."""

# INSEE names a legal person, a person in their own name and a shop in different columns.
NAMES = (
    "denominationUniteLegale > denominationUsuelle1UniteLegale > denominationUsuelleEtablissement"
    " > prenomUsuelUniteLegale + nomUniteLegale > nomUniteLegale",
    "denominationUsuelleEtablissement > enseigne1Etablissement",
    "NOMEN_LONG > NOM",
)
TRADE_NAMES = (
    "enseigne1Etablissement > denominationUsuelleEtablissement > denominationUsuelle1UniteLegale",
)
ACTIVITIES = ("activitePrincipaleEtablissement > activitePrincipaleUniteLegale",)

ADDRESSES = (
    "numeroVoieEtablissement + indiceRepetitionEtablissement + typeVoieEtablissement"
    " + libelleVoieEtablissement",
    "dc_numerodansvoie + dc_libnomrue",
    "L4_NORMALISEE > L4_DECLAREE",
)
EMAILS = ("dc_adressemailetablissement > dc_emailcorrespondant",)
PHONES = ("dc_numerotelephone1 > dc_telephonecorrespondant",)
SITES = ("dc_sitewebetablissement_1 > dc_sitewebetablissement_2 > dc_urlentreprise",)

COORDINATES = (
    "coordonnees gps",
    "coordonnees",
    "coordonnees geographiques",
    "geo point 2d",
    "geo point",
    "geopoint",
    "geolocalisation",
)
