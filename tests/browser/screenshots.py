"""Pictures of the admin pages for docs/import-guide.md.

    python -m tests.browser.screenshots

Starts the embedded servers, a worker and the gateway, imports sample files and writes
docs/images/*.png. Needs Chromium (on Debian: apt-get install chromium).
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from deploy.local.processes.ports import free_port
from deploy.local.stack import Stack
from tests.browser.test_pages import CHROMIUM, FLAGS
from tests.fix_companies import hurry, make_slow
from tests.fix_gateway import Served, companies
from tests.fix_stack import prepared

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SAMPLES = ROOT / "docs" / "samples"


def main() -> None:
    """All pictures, of a system with a few imports."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        with Stack(folder / "stack", keep_schemas=True) as stack:
            site = prepared(stack)
            site.worker()
            served = Served(site, folder / "spool", free_port())
            served.start()
            served.token = served.new_token("Claire Martin", "admin")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                context = browser.new_context(
                    base_url=served.url, locale="fr-FR", viewport={"width": 1200, "height": 850}
                )
                context.set_default_timeout(60_000)
                expect.set_options(timeout=60_000)
                _take(context.new_page(), served)
                browser.close()
            served.close()


def _take(page: Page, served: Served) -> None:
    page.goto("/login")
    _shoot(page, "login")
    page.get_by_label("Jeton d'accès").fill(served.token)
    page.get_by_role("button", name="Se connecter").click()
    _taxonomy(served)
    page.goto("/envoyer")
    _shoot(page, "envoyer")
    page.get_by_label("Choisissez un fichier").set_input_files(SAMPLES / "entreprises.csv")
    expect(page.locator("#verdict")).to_contain_text("à importer")
    _shoot(page, "verifier", whole=True)
    page.get_by_role("button", name="Importer").click()
    expect(page.locator("#state")).to_have_attribute("data-ended", "yes")
    expect(page.get_by_role("heading", name="Premières erreurs")).to_be_visible()
    _shoot(page, "import", whole=True)
    make_slow(served.site, 0.2)
    running = served.upload("coiffeurs.csv", companies(320_000_000, 40_000)).json()["id"]
    page.goto(f"/imports/{running}")
    expect(page.locator("#state")).to_contain_text("encore")
    _shoot(page, "progression")
    hurry(served.site)
    served.ended(running)
    cities = (SAMPLES / "villes-france.csv").read_bytes()
    served.ended(served.upload("villes-france.csv", cities, "VILLE").json()["id"])
    served.ended(served.upload("clients à revoir.csv", b"code;libelle\n1;2\n").json()["id"])
    served.upload(
        "salons.csv", companies(300_000_000, 30_000, faulty=19_000), generate_ai_content="true"
    )
    page.goto("/imports")
    expect(page.get_by_role("row", name="salons.csv")).to_be_visible()
    _shoot(page, "imports")
    page.goto(f"/imports/{_corrected(served)}")
    expect(page.locator("#state")).to_contain_text("401 lignes importées")
    expect(page.locator("#errors")).to_contain_text("9 chiffres")
    _shoot(page, "lies", whole=True)
    page.goto("/apercu")
    expect(page.locator("section", has_text="restent à corriger")).to_contain_text("19")
    _shoot(page, "apercu", whole=True)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/imports")
    _shoot(page, "telephone")


def _taxonomy(served: Served) -> None:
    """Categories with sub-categories, whose texts are asked for."""
    trades = {
        "Bâtiment": "Maçonnerie Plomberie Électricité Couverture Peinture",
        "Santé": "Dentiste Kinésithérapeute Opticien",
        "Restauration": "Pizzeria Crêperie",
        "Droit": "Notaire",
    }
    lines = [f"{name};{trade}" for trade, names in trades.items() for name in names.split()]
    for file, content, kind in (
        ("catégories.csv", "\n".join(["nom", *trades]), "CATEGORIE"),
        ("métiers.csv", "\n".join(["nom;categorie", *lines]), "SOUS_CATEGORIE"),
    ):
        sent = served.upload(file, content.encode(), kind, generate_ai_content="true")
        served.ended(sent.json()["id"])


def _corrected(served: Served) -> str:
    """An import of which lines were rejected, corrected and sent again."""
    content = companies(310_000_000, 400, faulty=2)
    parent: str = served.upload("boulangeries.csv", content).json()["id"]
    served.ended(parent)
    with served.client() as client:
        report = client.get(f"/api/imports/{parent}/errors.csv").content
    report = report.replace(b'"12345"', b'"311000000"', 1)
    served.ended(served.upload("boulangeries-erreurs.csv", report).json()["id"])
    return parent


def _shoot(page: Page, name: str, *, whole: bool = False) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", full_page=whole, animations="disabled")


if __name__ == "__main__":
    main()
