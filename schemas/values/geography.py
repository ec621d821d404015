"""What follows from the postal code of a French city: its département, and by it the region.

Sources: INSEE, code officiel géographique (18 regions since 2016, overseas collectivities); La
Poste gives Corsica 200/201 for 2A and 202 to 206 for 2B, and overseas codes start with 97 or 98.
"""

_REGIONS = {
    "Auvergne-Rhône-Alpes": "01 03 07 15 26 38 42 43 63 69 73 74",
    "Bourgogne-Franche-Comté": "21 25 39 58 70 71 89 90",
    "Bretagne": "22 29 35 56",
    "Centre-Val de Loire": "18 28 36 37 41 45",
    "Corse": "2A 2B",
    "Grand Est": "08 10 51 52 54 55 57 67 68 88",
    "Hauts-de-France": "02 59 60 62 80",
    "Île-de-France": "75 77 78 91 92 93 94 95",
    "Normandie": "14 27 50 61 76",
    "Nouvelle-Aquitaine": "16 17 19 23 24 33 40 47 64 79 86 87",
    "Occitanie": "09 11 12 30 31 32 34 46 48 65 66 81 82",
    "Pays de la Loire": "44 49 53 72 85",
    "Provence-Alpes-Côte d'Azur": "04 05 06 13 83 84",
    "Guadeloupe": "971",
    "Martinique": "972",
    "Guyane": "973",
    "La Réunion": "974",
    "Saint-Pierre-et-Miquelon": "975",
    "Mayotte": "976",
    "Saint-Barthélemy": "977",
    "Saint-Martin": "978",
    "Terres australes et antarctiques françaises": "984",
    "Wallis-et-Futuna": "986",
    "Polynésie française": "987",
    "Nouvelle-Calédonie": "988",
    "Monaco": "980",
}
_REGION_OF = {code: region for region, codes in _REGIONS.items() for code in codes.split()}


def departement_of(postal_code: str) -> str:
    """Code of the département of a postal code of 5 digits: 2 or 3 characters."""
    if postal_code.startswith(("97", "98")):
        return postal_code[:3]
    if postal_code.startswith("20"):
        return "2A" if postal_code[2] in "01" else "2B"
    return postal_code[:2]


def region_of(departement: str) -> str:
    """Name of the region of a département; '' where there is none of that code."""
    return _REGION_OF.get(departement, "")
