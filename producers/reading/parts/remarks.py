"""What people and programs write above, between and below the rows of a table: comments, totals, sources."""

import re
from collections.abc import Sequence

_LONGEST = 200
_COMMENT = re.compile(r"#|//|--(?!-)|/\*|;;|rem ", re.IGNORECASE)
_TOTAL = re.compile(
    r"\W{0,3}(?:sous[ -]?totaux|sous[ -]?total|grand total|total|totaux)\b"
    r"(?: (?:général|generale?|générale|ttc|ht|des? \w{1,30}|d'\w{1,30}|entreprises?|lignes?|clients?))*+"
    r"[ \u00a0]?[:=]?[0-9.,% \u00a0\u202f€]*+(?:entreprises?|lignes?|clients?)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,' \u00a0\u202f]*(?:%|€|eur)?", re.IGNORECASE)
_FOOTER = re.compile(
    r"\W{0,3}(?:sources?\b|nombre (?:total |d)|page [0-9]|fin d[eu]\b|end of\b|mis(?:e|es)? à jour|"
    r"date d[eu']|note\b|notes\b|nb\b|légende\b|données (?:au|du|de)\b|généré|édité|imprimé|exporté|"
    r"(?:export|extraction|extrait|fichier|document|liste|rapport|généré|édité|imprimé|exporté|créé)\w*"
    r" (?:le|du|au|par|généré|édité|créé|arrêtée?)\b|copyright\b|©|"
    r"[0-9]+ (?:rows?|lignes?|enregistrements?|résultats?|records?)\b)",
    re.IGNORECASE,
)

_DESCRIPTION = re.compile(
    r"(?:(?:var|nvar)?char2?|string|str|texte?|chaîne|integer|entier|int|bigint|numeric|numérique|number|nombre|"
    r"date|datetime|timestamp|bool|boolean|booléen|float|double|decimal|alphanum[a-zé]{0,8})(?: ?\([0-9, ]+\))?|"
    r"obligatoire|facultati(?:f|ve)|requise?|optionnel(?:le)?|required|optional|mandatory|"
    r"[0-9]{1,3} (?:chiffres?|caractères?|car\.?|digits?|characters?)(?: max\.?)?|"
    r"(?:format|ex|exemple|p\. ?ex|e\.g)\.? ?:.{1,80}",
    re.IGNORECASE,
)


def is_description(given: Sequence[str]) -> bool:
    """Whether a line with these filled cells says what the columns hold: types, "obligatoire", examples."""
    texts = [text[1:-1] if text[0] in "([<" else text for text in given if len(text) <= _LONGEST]
    return 1 < len(texts) == len(given) and all(map(_DESCRIPTION.fullmatch, texts))


def is_comment(given: Sequence[str]) -> bool:
    """Whether a line with these filled cells is a comment for programs."""
    return _COMMENT.match(given[0]) is not None


def is_total(given: Sequence[str]) -> bool:
    """Whether it adds up the rows: the word, and beside it nothing but numbers."""
    first, *others = given
    if len(first) > _LONGEST or _TOTAL.fullmatch(first) is None:
        return False
    return all(len(text) <= _LONGEST and _NUMBER.fullmatch(text) for text in others)


def is_footer(given: Sequence[str]) -> bool:
    """Whether it has one text that says where the table comes from, or how long it is."""
    return len(given) == 1 and _FOOTER.match(given[0]) is not None
