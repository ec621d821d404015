"""Remembered mappings on the real stack, and the confirmation of what `overwrite` clears."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fix_gateway import Served
from tests.fix_stack import Site, eventually
from tests.integration.test_gateway import IMPORTS, problem

FIRST = "Ref tiers;Intitulé long;Commercial\n732829320;ACME;Luc Martin\n"
SECOND = "Commercial;REF_TIERS;intitule long\nEva Petit;552100554;Bois SARL\n"
CHOSEN = '{"Ref tiers": "siren", "Intitulé long": "nom"}'
COLUMNS = ("--column", "Ref tiers=siren", "--column", "Intitulé long=nom")


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def names(site: Site) -> list[tuple[Any, ...]]:
    return site.query("SELECT siren, nom FROM enterprise_entreprise ORDER BY siren")


def test_a_mapping_from_the_page_to_the_command_and_back(
    gateway: Callable[..., Served], tmp_path: Path
) -> None:
    """Chosen with an upload, shown and used for the next one and by the command, forgotten by both."""
    served = gateway()
    site = served.site
    site.worker()
    second = written(tmp_path, "second.csv", SECOND)
    assert site.foxstream("check", second, "--type", "ENTREPRISE").code == 4
    first = served.ended(served.upload("premier.csv", FIRST.encode(), columns=CHOSEN).json()["id"])
    assert (first["status"], "remembered" in first["options"]) == ("SUCCESS", False)

    with served.client() as client:
        listed = eventually(lambda: client.get(f"{IMPORTS}mappings/").json())
        assert [(each["account"], each["import_type"]) for each in listed] == [
            ("tests", "ENTREPRISE")
        ]
        assert listed[0]["columns"]["Commercial"] == ""
        found = client.post(f"{IMPORTS}preview/", files={"file": ("second.csv", SECOND)}).json()
        assert (found["import_type"], found["refusal"]) == ("ENTREPRISE", None)
        assert found["mapping"] == {"REF_TIERS": "siren", "intitule long": "nom"}
        assert found["remembered"] == {name: listed[0][name] for name in ("id", "account", "at")}
        form = {"import_type": "ENTREPRISE", "columns": "{}"}
        plain = client.post(f"{IMPORTS}preview/", data=form, files={"file": ("b.csv", SECOND)})
        assert plain.json()["remembered"] is None

    state = served.ended(served.upload("second.csv", SECOND.encode()).json()["id"])
    assert (state["status"], state["inserted"]) == ("SUCCESS", 1)
    assert '"account": "tests"' in state["options"]["remembered"]
    assert names(site) == [("552100554", "Bois SARL"), ("732829320", "ACME")]
    problem(served.upload("second.csv", SECOND.encode()), 409, "already-imported")
    said = site.foxstream("status", state["id"]).stdout
    assert "colonnes comme retenues de tests, le " in said

    done = site.foxstream("check", second, "--type", "ENTREPRISE")
    assert done.code == 0, done.stderr
    assert "comme retenues de tests" in done.stdout
    assert listed[0]["id"] in site.foxstream("mapping", "list").stdout
    with served.client(served.new_token("zoé", "import")) as other:
        assert other.get(f"{IMPORTS}mappings/").json() == []
        problem(other.delete(f"{IMPORTS}mappings/{listed[0]['id']}/"), 403, "not-yours")
        refused = other.post(f"{IMPORTS}preview/", files={"file": ("second.csv", SECOND)}).json()
        assert (refused["remembered"], refused["refusal"] is None) == (None, False)
    with served.client() as client:
        assert client.delete(f"{IMPORTS}mappings/{listed[0]['id']}/").status_code == 204
        problem(client.delete(f"{IMPORTS}mappings/{listed[0]['id']}/"), 404, "unknown-mapping")
    assert site.foxstream("check", second, "--type", "ENTREPRISE").code == 4


def test_a_mapping_of_the_command(gateway: Callable[..., Served], tmp_path: Path) -> None:
    """Chosen with --column, used by the next command and offered to every account; the command forgets."""
    served = gateway()
    site = served.site
    site.worker()
    first, second = (written(tmp_path, f"{n}.csv", text) for n, text in enumerate((FIRST, SECOND)))
    assert site.foxstream("import", first, "--type", "ENTREPRISE", *COLUMNS).code == 0

    with served.client(served.new_token("zoé", "import")) as client:
        [mapping] = eventually(lambda: client.get(f"{IMPORTS}mappings/").json())
        assert mapping["account"] is None
        problem(client.delete(f"{IMPORTS}mappings/{mapping['id']}/"), 403, "not-yours")
    done = site.foxstream("import", second, "--type", "ENTREPRISE")

    assert done.code == 0, done.stderr
    assert "comme retenues de la ligne de commande" in done.stdout
    assert len(names(site)) == 2
    assert site.foxstream("mapping", "forget").code == 2
    assert site.foxstream("mapping", "forget", "--account", "zoé").code == 4
    assert site.foxstream("mapping", "forget", mapping["id"]).code == 0
    assert "Aucune" in site.foxstream("mapping", "list").stdout
    eventually(lambda: served.client().get(f"{IMPORTS}mappings/").json() == [])


def test_overwrite_is_confirmed(gateway: Callable[..., Served], tmp_path: Path) -> None:
    """If blank cells would clear something: by a field of the upload or an option of the command."""
    served = gateway()
    site = served.site
    site.worker()
    full = "siren;nom;telephone\n732829320;ACME;0299000001\n"
    blank = "siren;nom;telephone\n732829320;ACME;\n"
    phone = "SELECT telephone FROM enterprise_entreprise"
    way = {"policy": "overwrite"}

    assert served.ended(served.upload("a.csv", full.encode(), **way).json()["id"])["inserted"] == 1
    document = problem(served.upload("b.csv", blank.encode(), **way), 409, "overwrite-unconfirmed")
    assert document["blank_cells"] == {"telephone": 1}
    assert site.query(phone) == [("0299000001",)]
    path = written(tmp_path, "b.csv", blank)
    refused = site.foxstream("import", path, "--type", "ENTREPRISE", "--policy", "overwrite")
    assert refused.code == 4
    assert "1 cellule sans valeur (telephone : 1)" in refused.stderr
    assert [each["file_name"] for each in served.client().get(IMPORTS).json()["results"]] == [
        "a.csv"
    ]

    answer = served.upload("b.csv", blank.encode(), confirm_overwrite="true", **way)
    assert served.ended(answer.json()["id"])["updated"] == 1
    assert site.query(phone) != [("0299000001",)]
    again = ("--policy", "overwrite", "--yes", "--force")
    assert site.foxstream("import", path, "--type", "ENTREPRISE", *again).code == 0
    assert site.foxstream("import", path, "--type", "ENTREPRISE", "--force").code == 0
