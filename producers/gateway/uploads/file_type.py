"""Whether name, announced type and content of a file fit each other."""

from pathlib import PurePosixPath

from producers.gateway.problems import Problem
from producers.reading.container.signatures import signature_of
from producers.reading.refusals import BZIP2, EMPTY_ZIP, GZIP, OLE, ZIP, ZSTD

_TEXT = frozenset({".csv", ".txt", ".tsv", ".json", ".jsonl"})
_BINARY = frozenset({".xlsx", ".xls", ".ods", ".zip", ".gz", ".bz2", ".zst"})
EXTENSIONS = _TEXT | _BINARY

# Announced types that no table has. Browsers announce what the office suite of the machine claims
# (Excel: application/vnd.ms-excel for .csv), so that the others mean nothing.
_FOREIGN = ("image/", "audio/", "video/", "font/", "application/pdf", "text/html")

_SIGNATURES = {
    ZIP: ("un classeur ou une archive ZIP", frozenset({".xlsx", ".ods", ".zip"})),
    EMPTY_ZIP: ("une archive ZIP vide", frozenset()),
    OLE: ("un document d'un ancien format Office", frozenset({".xls"})),
    GZIP: ("une archive gzip", frozenset({".gz"})),
    BZIP2: ("une archive bzip2", frozenset({".bz2"})),
    ZSTD: ("une archive zstd", frozenset({".zst"})),
}


def safe_name(name: str) -> str:
    """The last part of a file name, in printable characters, at most 255 of them."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(letter if letter.isprintable() else "\ufffd" for letter in last).strip()
    if len(clean) > 255:
        suffix = PurePosixPath(clean).suffix[:20]
        clean = clean[: 255 - len(suffix)] + suffix
    return clean or "sans nom"


def check_name(name: str, content_type: str) -> str:
    """The extension. Raises Problem 415 if no table has it, or none has the announced type."""
    extension = PurePosixPath(name).suffix.lower()
    if extension not in EXTENSIONS:
        raise _unfit(
            f"Un fichier {extension or 'sans extension'} ne peut pas être importé : enregistrez-le "
            f"au format CSV, Excel ou LibreOffice ({', '.join(sorted(EXTENSIONS))})."
        )
    if content_type.strip().lower().startswith(_FOREIGN):
        raise _unfit(f"Le fichier est annoncé comme {content_type[:60]} : ce n'est pas un tableau.")
    return extension


def check(name: str, content_type: str, head: bytes) -> str:
    """The extension. Raises Problem 415 if it is unknown or the content is something else."""
    extension = check_name(name, content_type)
    for signature, (found, extensions) in _SIGNATURES.items():
        if head.startswith(signature):
            if extension in extensions:
                return extension
            raise _unfit(f"Le fichier s'appelle {extension} mais contient {found}.")
    if foreign := signature_of(head):
        raise _unfit(f"Le fichier s'appelle {extension} mais contient {foreign.found}.")
    if extension in _BINARY:
        raise _unfit(
            f"Le fichier s'appelle {extension} mais n'en est pas un : enregistrez-le à nouveau."
        )
    return extension


def _unfit(message: str) -> Problem:
    error = {"field": "file", "code": "unsupported-media-type", "message": message}
    return Problem(415, "unsupported-media-type", message, errors=[error])
