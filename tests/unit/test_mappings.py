"""What somebody chose for the columns of a file is offered for the next one with the same header."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from producers.gateway.access import accounts
from producers.gateway.uploads.form import form_of
from producers.gateway.uploads.remembered import offered
from producers.mappings import choice
from producers.mappings.choice import chosen_mapping
from producers.mappings.mapping_topic import MOST_OF_ACCOUNT, remember
from producers.mappings.phrases import phrase, shown
from producers.mappings.recall import recalled, with_mapping
from producers.reading import Options, open_source
from producers.reading.header.fingerprint import fingerprint
from schemas.import_types import ENTREPRISE, IMPORT_TYPES, VILLE, ImportType
from schemas.records import GatewayMapping
from tests.fix_application import Application

SIREN, OTHER = "732829320", "552100554"
FOREIGN = "Ref tiers;Intitulé long;Commercial"
COLUMNS = {"Ref tiers": "siren", "Intitulé long": "nom"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "fichier.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def chosen(
    path: Path,
    columns: Mapping[str, str],
    account: str | None = "jeanne",
    import_type: ImportType = ENTREPRISE,
    **options: Any,
) -> GatewayMapping | None:
    given = Options(columns=columns, **options)
    return chosen_mapping(open_source(path, import_type, given), given, account)


def columns_of(found: GatewayMapping | None) -> Mapping[str, str]:
    assert found is not None
    return found["columns"]


def id_of(found: GatewayMapping | None) -> str:
    assert found is not None
    return found["id"]


def mapping(**given: Any) -> GatewayMapping:
    made: Any = {
        "id": "m",
        "account": "jeanne",
        "import_type": "ENTREPRISE",
        "fingerprint": fingerprint(FOREIGN.split(";")),
        "columns": COLUMNS,
        "sheet": None,
        "at": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    }
    made.update(given)
    found: GatewayMapping = made
    return found


# --- which headers are the same


@pytest.mark.parametrize(
    "other",
    [
        ["Intitulé long", "Commercial", "Ref tiers"],
        ["REF_TIERS", "intitule-long", " commercial "],
        ["Ref tiers", "", "Intitulé  long", "Commercial", ""],
        ["\ufeffRef tiers", "Intitule\u0301 long", "Commercial"],
    ],
)
def test_the_same_header(other: list[str]) -> None:
    """Neither order counts nor what the reader ignores in a name, nor columns without one."""
    assert fingerprint(other) == fingerprint(FOREIGN.split(";"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["Ref tiers", "Nom"], ["Ref tiers", "Nom", "Tel"]),
        (["Ref tiers", "Nom"], ["Ref tiers"]),
        (["Ref", "Nom"], ["Ref", "Ref", "Nom"]),
        (["ab", "c"], ["a", "bc"]),
        (["a b"], ["a", "b"]),
        (["%", "€"], ["#", "€"]),
        (["Tél.", "tel", "Nom"], ["TEL", "tel", "Nom"]),
        (["_code", "Nom"], ["_line", "Nom"]),
    ],
)
def test_another_header(one: list[str], other: list[str]) -> None:
    """Each column counts; if two names differ only in spelling, the spelling counts as well."""
    assert fingerprint(one) != fingerprint(other)


# --- what is remembered


def test_what_is_remembered(write: Write) -> None:
    """What was chosen, what was left out, and the columns that are not imported at all."""
    path = write(f"{FOREIGN};Suivi\n{SIREN};ACME;Luc Martin;x\n")

    found = chosen(path, {**COLUMNS, "Suivi": ""}, sheet=None)

    assert found is not None
    assert found["columns"] == {**COLUMNS, "Commercial": "", "Suivi": ""}
    assert (found["account"], found["import_type"]) == ("jeanne", "ENTREPRISE")
    assert found["id"] == id_of(chosen(path, COLUMNS))
    assert found["id"] != id_of(chosen(path, COLUMNS, account=None))


def test_what_cells_said_is_remembered(write: Write) -> None:
    """A column that only its cells named is one of the choice: the next file has other cells."""
    path = write(f"{FOREIGN};Joindre\n{SIREN};ACME;Luc Martin;a@x.fr\n{OTHER};B;Eva Petit;b@x.fr\n")

    assert columns_of(chosen(path, COLUMNS))["Joindre"] == "email_contact"


def test_what_names_say_is_not_remembered(write: Write) -> None:
    """Nothing is to be remembered of a file that the reader understands alike by its names."""
    path = write(f"siren;nom;telephone;Suivi\n{SIREN};ACME;0299000001;x\n")

    assert chosen(path, {"siren": "siren", "nom": "nom"}) is None
    assert chosen(path, {}) is None
    assert chosen(path, {"telephone": ""}) is not None


def test_a_large_header_is_not_remembered(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record on the topic is bounded, by its columns and by its size."""
    path = write(f"{FOREIGN}\n{SIREN};ACME;Luc Martin\n")
    monkeypatch.setattr(choice, "MOST_COLUMNS", 2)
    assert chosen(path, COLUMNS) is None
    monkeypatch.undo()
    monkeypatch.setattr(choice, "MOST_BYTES", 20)
    assert chosen(path, COLUMNS) is None


def test_an_account_has_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more pushes out the oldest of the same account, and nobody else's."""
    sent: list[tuple[str, bytes | None]] = []

    class Sender:
        def publish(self, topic: str, messages: Any) -> None:
            assert topic == "gateway.mappings"
            sent.extend(messages)

        def flush(self) -> None: ...

    begin = datetime(2026, 1, 1, tzinfo=UTC)
    known = [mapping(id=str(n), at=begin + timedelta(days=n)) for n in range(MOST_OF_ACCOUNT)]
    others = [mapping(id="other", account="paul", at=begin - timedelta(days=9))]

    remember(mapping(id="7"), [*known, *others], Sender(), lambda _: b"x")  # type: ignore[arg-type]
    assert sent == [("7", b"x")]
    sent.clear()
    remember(mapping(id="new"), [*known, *others], Sender(), lambda _: b"x")  # type: ignore[arg-type]
    assert sent == [("new", b"x"), ("0", None)]


# --- what is offered


def test_a_second_file(write: Write) -> None:
    """It has the columns in another order and spelling, below a title, and needs no choice."""
    first = chosen(write(f"{FOREIGN}\n{SIREN};ACME;Luc Martin\n"), COLUMNS)
    assert first is not None
    second = write(
        f"Export du 3 mars;;\nCOMMERCIAL;REF_TIERS;intitule long\nEva Petit;{OTHER};B\n",
        "autre.csv",
    )

    found = recalled(second, ENTREPRISE, Options(), [first])

    assert found == first
    source = open_source(second, ENTREPRISE, with_mapping(Options(), found))
    assert source.mapping == {"REF_TIERS": "siren", "intitule long": "nom"}
    assert next(source.chunks())[0].key == OTHER


@pytest.mark.parametrize(
    ("known", "options", "import_type"),
    [
        (mapping(), Options(columns={"Ref tiers": "siren"}), ENTREPRISE),
        (mapping(), Options(), VILLE),
        (mapping(columns={"Ref tiers": "ancien_champ"}), Options(), ENTREPRISE),
        (mapping(fingerprint=fingerprint(["Ref tiers"])), Options(), ENTREPRISE),
        (mapping(sheet="Clients"), Options(), ENTREPRISE),
    ],
    ids=["the operator chose", "another type", "a field that is gone", "another header", "a sheet"],
)
def test_what_is_not_offered(
    write: Write, known: GatewayMapping, options: Options, import_type: ImportType
) -> None:
    """What the operator says holds, and a mapping of another type, header or sheet says nothing."""
    path = write(f"{FOREIGN}\n{SIREN};ACME;Luc Martin\n")

    assert recalled(path, import_type, options, [known]) is None


def test_the_newest_is_offered(write: Write) -> None:
    """Of several accounts of a group."""
    path = write(f"{FOREIGN}\n{SIREN};ACME;Luc Martin\n")
    new, old = mapping(id="new", at=datetime(2026, 4, 1, tzinfo=UTC)), mapping(id="old")

    for known in ([new, old], [old, new]):
        assert id_of(recalled(path, ENTREPRISE, Options(), known)) == "new"


def test_json(write: Write) -> None:
    """The names of a JSON file are its header."""
    path = write('[{"Ref tiers": "732829320", "Intitulé long": "ACME"}]', "fichier.json")
    known = mapping(fingerprint=fingerprint(["Ref tiers", "Intitulé long"]))

    assert recalled(path, ENTREPRISE, Options(), [known]) == known


def test_a_sheet_that_was_chosen(tmp_path: Path) -> None:
    """It is chosen again, of several that have the same header; where it is not there, nothing is."""
    book = openpyxl.Workbook()
    for at, name in enumerate(("Archive", "Clients")):
        sheet = book.create_sheet(name)
        sheet.append(FOREIGN.split(";"))
        sheet.append([(OTHER, SIREN)[at], "ACME", "Luc Martin"])
    del book["Sheet"]
    path = tmp_path / "deux.xlsx"
    book.save(path)
    first = chosen(path, COLUMNS, sheet="Clients")
    assert first is not None
    assert first["sheet"] == "Clients"

    found = recalled(path, ENTREPRISE, Options(), [first])

    assert found == first
    source = open_source(path, ENTREPRISE, with_mapping(Options(), found))
    assert [row.key for rows in source.chunks() for row in rows] == [SIREN]
    book["Clients"].title = "Tiers"
    book.save(path)
    assert recalled(path, ENTREPRISE, Options(), [first]) is None


def test_a_broken_file(write: Write) -> None:
    """Is not looked into: the reader says what is wrong with it."""
    path = write("PK\x03\x04 abîmé", "fichier.xlsx")

    assert recalled(path, ENTREPRISE, Options(), [mapping()]) is None


# --- who is offered what


def test_whose_mappings_are_offered(application: Callable[..., Application]) -> None:
    """Those of the account and its group; those of the command line to all."""
    gateway = application().gateway
    for name, group in (("jeanne", "a"), ("paul", "a"), ("zoé", None)):
        record = accounts.new_token(name, "import", None, group)[1]
        gateway.tokens.take({record["id"]: record})
    gateway.take_mappings(
        {
            "j": mapping(id="j"),
            "z": mapping(id="z", account="zoé"),
            "c": mapping(id="c", account=None),
            "v": mapping(id="v", import_type="VILLE"),
        }
    )

    def seen(name: str, group: str | None, scope: str = "import") -> set[str]:
        account = accounts.Account(name, scope, "t", None, group)
        return {each["id"] for each in offered(gateway, account, ["ENTREPRISE"])}

    assert seen("paul", "a") == {"j", "c"}
    assert seen("zoé", None) == {"z", "c"}
    assert seen("autre", "b") == {"c"}
    assert seen("chef", None, "admin") == {"j", "z", "c"}
    gateway.take_mappings({"j": None})
    assert seen("paul", "a") == {"c"}
    assert {
        each["id"] for each in offered(gateway, accounts.Account("zoé", "read", "t"), IMPORT_TYPES)
    } == {"z", "c"}


def test_columns_that_are_given_are_not_recalled() -> None:
    """Also if none is: an empty object says that names and cells decide."""
    assert form_of({"import_type": "VILLE"}).recalls
    assert not form_of({"import_type": "VILLE", "columns": "{}"}).recalls
    assert not form_of({"import_type": "VILLE", "columns": '{"a": "nom"}'}).recalls


def test_who_and_when_is_said() -> None:
    """In words, of what the state of an import holds."""
    assert phrase(shown(mapping()) or {}) == "colonnes comme retenues de jeanne, le 02/03/2026"
    assert "la ligne de commande" in phrase(shown(mapping(account=None)) or {})
    assert shown(None) is None
