"""The pages in a real Chromium, on the real stack."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Locator, Page, Request, expect, sync_playwright

from tests.fix_companies import hurry, make_slow
from tests.fix_gateway import Served, companies

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=fr",
]
WAIT_MS = 60_000

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="NO CHROMIUM: the pages are not tested. On Debian: apt-get install chromium",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A page of nobody; fails the test where the browser complains of anything."""
    context = browser.new_context(base_url=served.url, locale="fr-FR")
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    made = context.new_page()
    complaints: list[str] = []
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on(
        "console",
        lambda message: complaints.append(message.text) if "Policy" in message.text else None,
    )
    yield made
    context.close()
    assert complaints == []


@pytest.fixture
def user(page: Page, served: Served) -> Page:
    """Somebody who is signed in."""
    page.goto("/login")
    page.get_by_label("Jeton d'accès").fill(served.token)
    page.get_by_role("button", name="Se connecter").click()
    expect(page.get_by_role("heading", name="Imports")).to_be_visible()
    return page


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def import_with_success(user: Page) -> None:
    """Sends the file that was chosen, and waits until its import has ended well."""
    user.get_by_role("button", name="Importer").click()
    expect(user.locator("#state")).to_have_attribute("data-status", "SUCCESS")


def is_accessible(page: Page) -> None:
    """No serious fault that axe knows."""
    found = Axe().run(page).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert serious == [], [(f["id"], [n["html"] for n in f["nodes"]]) for f in serious]


def test_a_bad_token_and_a_login(page: Page, served: Served) -> None:
    """A page that needs a login leads there; a bad token is said; a good one leads back."""
    page.goto("/apercu")
    expect(page.get_by_role("heading", name="Connexion")).to_be_visible()
    is_accessible(page)
    page.get_by_label("Jeton d'accès").fill("fox_0_0")
    page.get_by_label("Jeton d'accès").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("pas valable")
    page.get_by_label("Jeton d'accès").fill(served.token)
    page.get_by_label("Jeton d'accès").press("Enter")
    expect(page.get_by_role("heading", name="Vue d'ensemble")).to_be_visible()
    is_accessible(page)
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page.get_by_role("heading", name="Connexion")).to_be_visible()
    page.goto("/imports")
    expect(page.get_by_role("heading", name="Connexion")).to_be_visible()


def test_upload_with_preview_to_the_error_file(user: Page, tmp_path: Path) -> None:
    """Checked at once, imported on demand, followed to its end, and the rejected lines come down."""
    path = written(tmp_path, "société.csv", companies(610_000_000, 2_000, faulty=3))
    user.get_by_role("link", name="Envoyer un fichier").first.click()
    is_accessible(user)
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    verdict = user.locator("#verdict")
    expect(verdict).to_contain_text("2 000 lignes à importer".replace(" ", "\u202f", 1))
    expect(verdict).to_contain_text("3 en erreur")
    expect(user.locator("#examples")).to_contain_text("9 chiffres")
    expect(user.locator("#preview")).to_contain_text("Entreprise 0")
    expect(user.get_by_label("code_postal")).to_have_value("code_postal")
    is_accessible(user)

    user.get_by_role("button", name="Importer").click()

    expect(user.locator("#state")).to_have_attribute("data-ended", "yes")
    expect(user.locator("#state")).to_contain_text("3 en erreur")
    expect(user.get_by_role("heading", name="Premières erreurs")).to_be_visible()
    expect(user.locator("#errors")).to_contain_text("2002")
    is_accessible(user)
    with user.expect_download() as download:
        user.get_by_role("link", name="Lignes rejetées (Excel)").click()
    assert download.value.suggested_filename == "société-erreurs.xlsx"
    user.get_by_role("link", name="Tous les imports").click()
    expect(user.get_by_role("row", name="société.csv")).to_contain_text("99,85")
    is_accessible(user)


def test_values_that_are_not_stored(user: Page, tmp_path: Path) -> None:
    """Shown before the import and after it; the file that comes down is corrected and sent back."""
    text = "siren;nom;email\n610600004;Un;x@\n610600012;Deux;a@b.fr\n"
    path = written(tmp_path, "courriels.csv", text.encode())
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#verdict")).to_contain_text("1 ligne dont une valeur n'est pas valide")
    expect(user.locator("#examples")).to_contain_text("L'adresse e-mail « x@ » n'est pas valide")
    is_accessible(user)

    import_with_success(user)
    expect(user.locator("#state")).to_contain_text("Une ligne est importée sans une de ses valeurs")
    heading = user.get_by_role("heading", name="Premières valeurs non enregistrées")
    expect(heading).to_be_visible()
    expect(user.locator("#errors")).to_contain_text("elle n'a pas été enregistrée")
    is_accessible(user)
    with user.expect_download() as download:
        user.get_by_role("link", name="Lignes à corriger (CSV)").click()
    report = download.value.path().read_text(encoding="utf-8-sig")
    address = user.url
    user.goto("/envoyer")
    corrected = written(tmp_path, "corrigé.csv", report.replace('"x@"', '"x@y.fr"', 1).encode())
    user.get_by_label("Choisissez un fichier").set_input_files(corrected)
    expect(user.locator("#verdict")).to_contain_text("1 ligne à importer, aucune erreur")
    import_with_success(user)
    user.goto(address)
    expect(user.locator("#state")).to_have_attribute("data-dropped", "0")
    expect(heading).to_be_hidden()


def test_a_column_is_mapped_by_hand(user: Page, tmp_path: Path) -> None:
    """A column with a name of its own is given its meaning by a menu, and the check runs again."""
    path = written(
        tmp_path, "a.csv", b"siren;nom;boite\n610500000;Un;01000\n610500001;Deux;01001\n"
    )
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#verdict")).to_contain_text("2 lignes à importer")
    user.get_by_label("boite").select_option("code_postal")
    expect(user.locator("#preview")).to_contain_text("01001")
    user.get_by_label("Type d'import").select_option("VILLE")
    expect(user.locator("#verdict")).to_contain_text("import")
    expect(user.get_by_role("button", name="Importer")).to_be_disabled()


def test_a_required_column_is_mapped_by_hand(user: Page, tmp_path: Path) -> None:
    """A file that is refused for its header shows what it has, so that the menus can fix it."""
    path = written(tmp_path, "b.csv", b"immatriculation;client\n610600000;Un\n610600001;Deux\n")
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#verdict")).to_contain_text("Aucune colonne")
    user.get_by_label("immatriculation").select_option("siren")
    expect(user.locator("#verdict")).to_contain_text("« nom » manque")
    user.get_by_label("client").select_option("nom")
    expect(user.locator("#verdict")).to_contain_text("2 lignes à importer")


def test_the_keyboard_alone(user: Page, tmp_path: Path, served: Served) -> None:
    """From the list to a finished import without a mouse."""
    path = written(tmp_path, "clavier.csv", companies(620_000_000, 50))
    user.keyboard.press("Tab")
    expect(user.get_by_role("link", name="Aller au contenu")).to_be_focused()
    reach(user, "Envoyer un fichier")
    user.keyboard.press("Enter")
    expect(user.get_by_role("heading", name="Envoyer un fichier")).to_be_visible()
    user.get_by_label("Choisissez un fichier").focus()
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#verdict")).to_contain_text("50 lignes à importer")
    reach(user, "Importer 50 lignes")
    user.keyboard.press("Enter")
    expect(user.locator("#state")).to_contain_text("Tout est importé")


def test_cancel(user: Page, served: Served) -> None:
    """Asked first; what was not written is not, and the page says what became of the import."""
    make_slow(served.site, 0.3)
    try:
        import_id = served.upload("longue.csv", companies(650_000_000, 40_000)).json()["id"]
        user.goto(f"/imports/{import_id}")
        expect(user.locator("#state")).to_have_attribute("data-status", "PROCESSING")
        user.once("dialog", lambda dialog: dialog.dismiss())
        user.get_by_role("button", name="Annuler l'import").click()
        expect(user.locator("#state")).to_have_attribute("data-status", "PROCESSING")
        user.once("dialog", lambda dialog: dialog.accept())
        user.get_by_role("button", name="Annuler l'import").click()
        expect(user.locator("#state")).to_contain_text("L'import a été annulé")
    finally:
        hurry(served.site)
    expect(user.get_by_role("button", name="Importer les lignes restantes")).to_be_visible()
    expect(user.get_by_role("button", name="Annuler l'import")).to_have_count(0)
    is_accessible(user)
    state = served.state(import_id)
    assert state["cancelled"] > 0
    assert state["success_rows"] + state["cancelled"] == state["total_rows"]


def test_texts_are_asked_for_by_who_knows_the_price(
    user: Page, served: Served, tmp_path: Path
) -> None:
    """The check says it, and so does the question behind the button; no means no."""
    path = written(tmp_path, "métiers.csv", "nom\nBâtiment\nSanté\nDroit\n".encode())
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    user.get_by_label("Type d'import").select_option("CATEGORIE")
    expect(user.locator("#cost")).to_contain_text("Au plus 3 textes avec gpt-6-luna")
    expect(user.locator("#cost")).to_contain_text("moins de 0,01 $")
    is_accessible(user)
    user.get_by_role("button", name="Importer").click()
    expect(user.locator("#state")).to_contain_text("Tout est importé")
    expect(user.locator("#state")).to_contain_text("Non demandés")
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    user.once("dialog", refuse)
    user.get_by_role("button", name="Générer les contenus IA").click()
    assert "Au plus 3 textes avec gpt-6-luna" in asked[0]
    import_id = user.url.rpartition("/")[2]
    assert served.state(import_id)["generate_ai_content"] is False

    user.once("dialog", lambda dialog: dialog.accept())
    user.get_by_role("button", name="Générer les contenus IA").click()

    expect(user.locator("#state")).to_contain_text("En attente")
    expect(user.get_by_role("button", name="Générer les contenus IA")).to_have_count(0)
    expect(user.locator("#state section", has_text="Demandés")).to_contain_text("3")
    is_accessible(user)
    user.goto("/imports")
    expect(user.get_by_role("row", name="métiers.csv")).to_contain_text("En attente")


def test_a_correction_and_its_origin_show_each_other(
    user: Page, served: Served, tmp_path: Path
) -> None:
    """The lines that come back are an import of their own, and the first one is right in the end."""
    parent = served.upload("départ.csv", companies(660_000_000, 5, faulty=2)).json()["id"]
    assert served.ended(parent)["status"] == "PARTIAL"
    with served.client() as client:
        report = client.get(f"/api/imports/{parent}/errors.csv").content.decode("utf-8-sig")
    for number in (1, 2):
        report = report.replace('"12345"', f'"66100000{number}"', 1)
    path = written(tmp_path, "corrigé.csv", report.encode())
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#verdict")).to_contain_text("2 lignes à importer")
    user.get_by_role("button", name="Importer").click()
    expect(user.locator("#state")).to_contain_text("Tout est importé")
    family = user.locator("section", has=user.get_by_role("heading", name="Imports liés"))
    expect(family).to_contain_text("départ.csv")
    expect(family).to_contain_text("(import d'origine)")
    is_accessible(user)

    family.get_by_role("link", name="départ.csv").click()

    expect(user.get_by_role("heading", name="départ.csv")).to_be_visible()
    expect(family).to_contain_text("corrigé.csv")
    expect(family).to_contain_text("reprise de celui-ci, 2 lignes réglées")
    expect(user.locator("#state")).to_contain_text("Tout est importé")
    is_accessible(user)


def test_the_overview_counts_the_site(user: Page, served: Served) -> None:
    """Rows of its tables, open rejects by code, lag and texts: they come by themselves."""
    cities = b"nom;code_postal_principal\nBourg;01000\nX;1"
    for name, content, kind in (
        ("villes.csv", cities, "VILLE"),
        ("vue.csv", companies(670_000_000, 3, faulty=1), "ENTREPRISE"),
    ):
        import_id = served.upload(name, content, kind).json()["id"]
        assert served.ended(import_id)["success_rows"] > 0
    user.goto("/apercu")

    def card(name: str) -> Locator:
        return user.locator("section", has=user.get_by_role("heading", name=name))

    expect(user.locator("[data-count=villes] strong")).to_have_text("1")
    expect(user.locator("[data-count=entreprises]")).to_contain_text("Entreprises")
    expect(card("Lignes rejetées qui restent")).to_contain_text("valeur mal formée")
    expect(card("Lignes reçues, pas encore écrites")).to_contain_text("Entreprise")
    expect(card("Contenus IA")).to_contain_text("0,00 $")
    expect(card("Catégories les plus fournies")).to_be_visible()
    is_accessible(user)


def test_other_texts_are_requested_after_a_question(user: Page) -> None:
    """A person who says no requests nothing; that edited texts are replaced is part of the question."""
    asked: list[str] = []
    posted: list[object] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        if len(asked) == 1:
            dialog.dismiss()
        else:
            dialog.accept()

    def note(sent: Request) -> None:
        if sent.method == "POST":
            posted.append(sent.post_data_json)

    user.on("dialog", answer)
    user.on("request", note)
    user.goto("/textes")
    is_accessible(user)
    user.get_by_label("Textes de quel type").select_option("VILLE")
    user.get_by_label("Fiches, une par ligne").fill("nulle-part\nnulle-part\nailleurs")
    user.get_by_role("button", name="Demander d'autres textes").click()
    user.get_by_label("Remplacer aussi").check()
    user.get_by_role("button", name="Demander d'autres textes").click()

    expect(user.get_by_role("status")).to_contain_text("Textes de 2 fiches demandés")
    assert posted == [{"kind": "VILLE", "rows": ["nulle-part", "ailleurs"], "overwrite": True}]
    assert ["à la main" in question for question in asked] == [False, True]


def reach(page: Page, name: str) -> None:
    """Tab until the element with this text has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused: Any = page.evaluate("document.activeElement.textContent")
        if focused and focused.strip() == name:
            return
    pytest.fail(f"{name} cannot be reached with Tab")


def test_the_list_moves_by_itself(user: Page, served: Served) -> None:
    """An import that somebody else sends appears, and its badge turns, without a reload."""
    import_id = served.upload("ailleurs.csv", companies(630_000_000, 10)).json()["id"]
    row = user.get_by_role("row", name="ailleurs.csv")
    expect(row).to_be_visible()
    expect(row).to_contain_text("Succès")
    expect(row.get_by_role("link")).to_have_attribute("href", f"/imports/{import_id}")


def test_cells_are_text(user: Page, served: Served, tmp_path: Path) -> None:
    """Markup and formulas in a file are shown as they are: in the preview, the errors and the name."""
    script = "<img src=x onerror=document.title=1>"
    content = f"siren;nom;{script}\n{script};{script};x\n640000000;{script};y\n".encode()
    path = written(tmp_path, "a <b>b.csv", content)
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    expect(user.locator("#preview")).to_contain_text(script)
    expect(user.locator("#examples")).to_contain_text(script)
    user.get_by_role("button", name="Importer").click()
    expect(user.locator("#state")).to_have_attribute("data-ended", "yes")
    expect(user.locator("#errors")).to_contain_text("<img")
    assert user.locator("main img").count() == 0
    assert user.title() != "1"


def test_a_phone(browser: Browser, served: Served) -> None:
    """Nothing is wider than the screen of a telephone."""
    context = browser.new_context(base_url=served.url, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Jeton d'accès").fill(served.token)
    page.get_by_role("button", name="Se connecter").click()
    for address in ("/imports", "/envoyer", "/textes", "/apercu"):
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, address
        is_accessible(page)
    context.close()


def test_columns_are_remembered_and_forgotten(user: Page, tmp_path: Path) -> None:
    """Chosen once by the menus, offered for the next file with who and when, forgotten on the page."""
    header = "Ref tiers;Intitulé long;Commercial"
    first = written(tmp_path, "tiers.csv", f"{header}\n610700002;Un;Luc Martin\n".encode())
    second = written(tmp_path, "suite.csv", f"{header}\n610700010;Deux;Eva Petit\n".encode())
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(first)
    user.get_by_label("Type d'import").select_option("ENTREPRISE")
    user.get_by_label("Ref tiers").select_option("siren")
    user.get_by_label("Intitulé long").select_option("nom")
    expect(user.locator("#verdict")).to_contain_text("1 ligne à importer")
    import_with_success(user)

    user.goto("/envoyer")
    expect(user.get_by_role("heading", name="Choix de colonnes retenus")).to_be_visible()
    user.get_by_label("Choisissez un fichier").set_input_files(second)
    expect(user.locator("#remembered")).to_contain_text("Colonnes comme retenues de tests, le ")
    expect(user.get_by_label("Ref tiers")).to_have_value("siren")
    is_accessible(user)
    import_with_success(user)
    expect(user.locator("#state")).to_contain_text("Colonnes comme retenues de tests, le ")

    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(second)
    user.get_by_role("button", name="Oublier ce choix").click()
    expect(user.locator("#verdict")).to_contain_text("colonne")
    expect(user.locator("#remembered")).to_be_empty()
    user.reload()
    expect(user.get_by_role("heading", name="Choix de colonnes retenus")).to_have_count(0)


def test_overwrite_is_confirmed_on_the_page(user: Page, tmp_path: Path) -> None:
    """How many cells would be cleared is said, and the import waits for its box."""
    path = written(tmp_path, "vide.csv", b"siren;nom;telephone\n610800000;Un;\n")
    user.goto("/envoyer")
    user.get_by_label("Choisissez un fichier").set_input_files(path)
    button = user.get_by_role("button", name="Importer")
    expect(button).to_be_enabled()
    user.get_by_label("Si la ligne existe déjà").select_option("overwrite")
    expect(user.locator("#verdict")).to_contain_text("1 cellule sans valeur")
    expect(button).to_be_disabled()
    is_accessible(user)
    user.get_by_label("Effacer ce que la base contient à la place de 1 cellule").check()
    button.click()
    expect(user.locator("#state")).to_have_attribute("data-status", "SUCCESS")
